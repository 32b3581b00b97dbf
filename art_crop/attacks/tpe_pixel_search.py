"""Move a cropper's peak by asking alone: coloured patches, placed by a tree-structured Parzen estimator.

Paper 000 narrows the search to regions of the photo, works on saliency maps without gradients, and chooses pixels'
positions and values with a tree-structured Parzen estimator (TPE; Bergstra et al. 2011, Watanabe 2023). Here, in rounds
of a small study each:

    place    a Gabor patch at the target and one at the old peak, in opponent colours, each at an offset of its own
    mix      the patches with the best change of the rounds before: cos(a) best + sin(a) patches
    combine  the changes of all trials so far, by a linear model of their losses, into one trial of each batch
    rescale  each to the whole budget, round to whole grey levels, ask, tell the study the loss
    narrow   the box of offsets about the best place, and begin the next round with a fresh study

A fresh study is as quick at its last trial as at its first, while the cost of a long one grows with its trials.

A service that answers with a point or a crop alone says nothing while neither moves. There the search also asks about
larger changes than the budget allows, where most directions succeed, and looks for the direction that succeeds at the
smallest size: every success at a smaller size is progress that can be seen, until it is inside the budget. The search
for the smallest change (``minimal``) goes on in the same way below it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import zlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.saliency_peak import SaliencyPeakFGM
from art_crop.attacks.space import Candidate
from art_crop.attacks.targets import peak_moves
from art_crop.attacks.trials import (
    SAMPLERS,
    Range,
    Sampler,
    StudyLog,
    Suggestions,
    Trial,
    TrialLog,
    check_storage,
    need_optuna,
)
from art_crop.checks import check_choice, check_int, reject_unknown
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.gabor import add_gabor
from art_crop.functional.norms import unit
from art_crop.objectives import BoxOutput

__all__ = ["TPEPixelSearch"]

SIGMA, WAVELENGTH = (0.024, 0.06), (0.038, 0.09)
"""Shares of the photo's longer side, from and to: spread of a patch, and length of its wave."""
BOX, NARROWER = 0.15, 0.6
"""Share of the longer side by which a patch may be off its place in the first round, and by what the box shrinks."""
ANGLE = Range(0.05, math.pi / 2)
"""How far patches turn away from the change that they are mixed with."""
GIVEN = -1
"""Stands for the surrogate's direction where else a trial's number stands."""
COARSE = 160
"""Pixels of the longer side at which the linear model sees changes; patches are smooth."""
RIDGE, LEAST, MOST = 0.3, 8, 400
"""Of the linear model: its regularisation, and of how many trials it is made."""
SPECIAL = 8
"""Where trials are asked about one by one, of so many one is the linear model's, or the leader's at a smaller size."""
FAR = 4.0
"""Times the budget at which a search without maps begins."""


class TPEPixelSearch(PhotoAttack):
    """Search patches that meet an objective, with a model that answers and is not looked into.

    Args:
        estimator: The model that is asked, of any task, query-only or not.
        eps: L2 norm of the change. Every photo that is asked about keeps to it, but for models that answer with points
            or crops alone, which are asked about larger changes, too.
        minimal: Go on after a success, to smaller changes, until the queries are used up.
        max_queries: Times that the model may be asked about a photo, the photo itself included.
        batch: Trials of a photo that are asked about at once.
        trials: Of a round's study.
        sampler: ``"tpe"``; or, over the same patches, ``"cma-es"`` or ``"random"``.
        combine: Make one trial of each batch from a linear model of the trials so far; False: patches alone.
        surrogate: A white box of the same task, or its name, whose gradients help; None: none does.
        transfer: ``"start"``: the change that succeeds with the surrogate is asked about first, and the search goes on
            from there; ``"prior"``: the first round's patches are mixed with the surrogate's gradient.
        storage: URL of a database or path of a journal file where trials are kept: a search that was stopped goes on,
            and several workers share it. Searches of the same photo, objective and settings are one; ``max_queries``
            and ``batch`` may differ. None: trials are forgotten.
        **kwargs: ``constraint``, ``by``, ``ratios``, ``loss``, ``quantize`` (``"round"`` unless given), ``seed``,
            ``verbose``, ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        MissingDependencyError: Optuna is not installed.
        OutputError: When used: the storage cannot be opened, is locked, or is damaged.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in ("norm", "mask", "layer")),
        *("max_queries", "batch", "trials", "sampler", "combine", "surrogate", "transfer", "storage"),
    ]
    _searches_reduced = False

    def __init__(
        self,
        estimator: Any,
        *,
        max_queries: int = 300,
        batch: int = 8,
        trials: int = 100,
        sampler: Sampler = "tpe",
        combine: bool = True,
        surrogate: Any = None,
        transfer: Literal["start", "prior"] = "start",
        storage: str | Path | None = None,
        quantize: bool | Literal["round"] = "round",
        **kwargs: Any,
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, quantize=quantize, **kwargs)
        self.max_queries, self.batch, self.trials, self.sampler = max_queries, batch, trials, sampler
        self.combine, self.surrogate, self.transfer, self.storage = combine, surrogate, transfer, storage
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        for name in ("max_queries", "batch", "trials"):
            check_int(getattr(self, name), name, at_least=1)
        check_choice(self.sampler, "sampler", SAMPLERS)
        check_choice(self.combine, "combine", (True, False))
        check_choice(self.transfer, "transfer", ("start", "prior"))
        if self.storage is not None:
            check_storage(self.storage)
        if isinstance(self.surrogate, str):
            from art_crop.plugins.registry import load_model

            self.surrogate = load_model(self.surrogate)
        if self.surrogate is not None:
            self._check_other(self.surrogate, "surrogate", (TorchEstimator,))
        need_optuna()

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        searches = self._searches(batch)
        active = [i for i, search in enumerate(searches) if not search.done]
        try:
            while active:
                trials = [(i, trial) for i in active for trial in searches[i].ask()]
                if trials:
                    photos = torch.stack([searches[i].candidate(trial).seen for i, trial in trials])
                    verdict = batch.evaluate(photos, [i for i, _ in trials])
                    answers = zip(verdict.loss.tolist(), verdict.success.tolist(), strict=True)
                    for (i, trial), (loss, success) in zip(trials, answers, strict=True):
                        searches[i].tell(replace(trial, loss=loss, success=success))
                    self.on_step(max(search.queries for search in searches), self.max_queries)
                else:
                    time.sleep(0.05)  # other workers are asking about what is left
                active = [i for i in active if not searches[i].done]
        finally:
            for search in searches:
                search.log.give_up()
        return [search.found() for search in searches]

    def _searches(self, batch: Batch) -> list[_Search]:
        """Begin for each photo, or go on where its storage says."""
        logs = [
            TrialLog() if self.storage is None else StudyLog(str(self.storage), self._study(batch, i))
            for i in range(len(batch))
        ]
        new = [i for i, log in enumerate(logs) if not log.has("photo")]
        firsts: dict[int, Any] = {}
        if new:
            objective = batch.objective.take(new)
            output = (batch.oracle or batch.estimator).output(batch.start[new])
            verdict, places = objective(output), self._places(output, objective, len(new))
            for k, i in enumerate(new):
                firsts[i] = {
                    "loss": float(verdict.loss[k]),
                    "success": bool(verdict.success[k]),
                    "places": places[k],
                    "boxes": isinstance(output, BoxOutput),
                }
        given = self._directions(batch)
        return [
            _Search(self, batch, i, log, log.note("photo", partial(firsts.get, i)), None if given is None else given[i])
            for i, log in enumerate(logs)
        ]

    def _directions(self, batch: Batch) -> Tensor | None:
        """Where the surrogate would go from each photo, (n, 3, H, W)."""
        if self.surrogate is None:
            return None
        x = batch.start.to(self.surrogate.device)
        if self.transfer == "prior":
            gradient: Tensor = self.surrogate.value_and_gradient(x, batch.objective).gradient
            return -gradient.to(batch.start)
        attack = SaliencyPeakFGM(self.surrogate, eps=batch.eps, max_iter=10, quantize=False)
        changed: Tensor = attack.generate(x, batch.objective).to(batch.start)
        return changed - batch.start

    def _places(self, output: Any, objective: Any, count: int) -> list[list[list[float]]]:
        """Where each photo's patches begin, and by how much they may be off: x, y, share of the longer side."""
        regions = getattr(objective, "regions", None)
        if regions is None:
            return [[[0.5, 0.5, 0.5]] * 2] * count
        return [[[*move.target, BOX], [*move.old, BOX]] for move in peak_moves(output, regions)]

    def _study(self, batch: Batch, index: int) -> str:
        """Name a photo's study after all that its search follows from."""
        asked = batch.oracle or batch.estimator
        weight = None if batch.weight is None else batch.weight[index]
        search = {
            name: getattr(self, name)
            for name in ("trials", "sampler", "combine", "transfer", "seed", "quantize", "minimal")
        }
        said = [
            *(batch.spaces[index].start.seen, batch.eps[index], weight, search, batch.objective.take([index])),
            *(
                getattr(batch.spaces[index], "constraint", None),
                _name_of(asked),
                None if self.surrogate is None else _name_of(self.surrogate),
            ),
        ]
        return "art-crop " + hashlib.sha256(json.dumps(_plain(said), sort_keys=True).encode()).hexdigest()[:32]


class _Search:
    """The rounds on one photo: what was asked about so far, and what follows from it."""

    def __init__(
        self, attack: TPEPixelSearch, batch: Batch, index: int, log: TrialLog, first: Any, given: Tensor | None
    ) -> None:
        self.attack, self.space, self.eps, self.log = attack, batch.spaces[index], batch.eps[index], log
        self.weight = None if batch.weight is None else batch.weight[index]
        self.first, self.given, self.boxes = first, given, first["boxes"]
        levels = (self.space.start.seen * 255).round().to(torch.uint8).cpu().numpy().tobytes()
        self.seed = zlib.crc32(levels, attack.seed)
        self.suggest = Suggestions(attack.sampler)
        self.known: dict[int, Trial] = {}
        self.changes: dict[int, Tensor] = {}
        """Of the latest trials, by their numbers, at the linear model's size."""
        self.products = torch.zeros(0, 0, dtype=torch.float64)
        """Of these changes with each other."""
        self.least = first["loss"]
        self.curve: list[float] = [math.inf if attack.minimal else self.least]
        self.best: Trial | None = None
        """Inside the budget."""
        self.leader: Trial | None = None
        """The best of any size; patches are mixed with it in the rounds to come."""
        self.floor = 0.0
        """While sizes are made smaller, the largest at which the leader's direction is known to fail."""
        self.round, self.base, self.places = -1, None, first["places"]
        self.kept: dict[int, Tensor] = {}
        self._sync()

    @property
    def queries(self) -> int:
        """How often the model was asked."""
        return 1 + len(self.known)

    @property
    def success(self) -> bool:
        """Whether the photo as it is, or a change inside the budget, meets the objective."""
        return bool(self.first["success"] or (self.best is not None and self.best.success))

    @property
    def done(self) -> bool:
        """Whether the photo succeeds, or may not be asked about again."""
        enough = self.first["success"] if self.attack.minimal else self.success
        return bool(enough or self.queries >= self.attack.max_queries)

    @property
    def by_size(self) -> bool:
        """Whether the size that succeeds is made smaller, and not the loss."""
        return bool(self.boxes or (self.attack.minimal and self.success))

    def ask(self) -> list[Trial]:
        """Choose the next trials, numbered; none where other workers are asking about all that is left."""
        if self.log.shared:
            self._sync()
            left = self.log.taken_over()
            if left or self.done:
                return left
        asked = len(self.known) + self.log.running()
        count = min(self.attack.batch, self.attack.max_queries - 1 - asked)
        if count <= 0:
            return []
        if self.round != asked // self.attack.trials:
            self._begin_round(asked // self.attack.trials)
        if not asked and self.given is not None and self.attack.transfer == "start":
            return self.log.reserve([Trial(base=GIVEN)], self.attack.max_queries - 1)
        alone = self.attack.batch == 1  # then every so many trials
        chosen = [] if alone and asked % SPECIAL else self._special()[:count]
        seeds = [
            int(np.random.SeedSequence([self.seed, self.round, asked + k]).generate_state(1)[0])
            for k in range(len(chosen), count)
        ]
        history = [
            (trial.params, self._value(trial))
            for trial in self.known.values()
            if trial.round == self.round and trial.params
        ]
        for params in self.suggest(self._ranges(), history, seeds):
            chosen.append(Trial(self.round, params, self.base, scale=self._scale(len(chosen))))
        return self.log.reserve(chosen, self.attack.max_queries - 1)

    def tell(self, trial: Trial) -> None:
        """Take in an answer."""
        self.log.finish(trial)
        self._learn(trial)

    def candidate(self, trial: Trial) -> Candidate:
        """Make a trial's photo."""
        return self.space.at(self.direction(trial), self.eps * trial.scale)

    def found(self) -> tuple[Candidate, AttackResult]:
        """The best photo inside the budget, with its record; it was asked about already."""
        candidate = self.space.start if self.best is None else self.candidate(self.best)
        loss = self.first["loss"] if self.best is None or self.best.loss is None else self.best.loss
        result = AttackResult(
            success=self.success,
            success_before=self.first["success"],
            l2=math.nan,
            linf=math.nan,
            loss=loss,
            gradients=0 if self.given is None else 10 if self.attack.transfer == "start" else 1,
            queries=self.queries,
            curve=tuple(self.curve),
            curve_of="budget" if self.attack.minimal else "loss",
            note="" if self.success else f"{self.queries} queries did not find it: try a larger max_queries, or eps",
        )
        return candidate, result

    # -- what was asked about ------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        for trial in self.log.finished():
            if trial.number not in self.known:
                self._learn(trial)

    def _learn(self, trial: Trial) -> None:
        assert trial.loss is not None
        self.known[trial.number] = trial
        if self.attack.combine and not self.boxes:
            self._add_change(trial)
        first = math.inf if self.by_size else self.first["loss"]
        if trial.scale <= 1:
            self.least = min(self.least, trial.loss)
            if _rank(trial) > ((False, 0.0, -self.first["loss"]) if self.best is None else _rank(self.best)):
                self.best = trial
        size = self.eps * self.best.scale if self.best is not None and self.best.success else math.inf
        self.curve.append(size if self.attack.minimal else self.least)
        if self._value(trial) < (first if self.leader is None else self._value(self.leader)):
            if self.leader is None or self.leader.number not in trial.weights:
                self.floor = 0.0
            self.leader = trial
        elif self.by_size and self.leader is not None and self.leader.number in trial.weights:
            self.floor = max(self.floor, trial.scale)
        wanted = {one.number for one in (self.leader, self.best) if one is not None} | {self.base}
        self.kept = {n: change for n, change in self.kept.items() if n in wanted or n not in self.known}

    def _add_change(self, trial: Trial) -> None:
        """Keep a trial's change for the linear model, and its products with those before."""
        direction = self.direction(trial)
        change = F.interpolate(direction[None], self._coarse, mode="area")[0]
        change *= self.eps / float(direction.norm().clamp_min(1e-30))
        if len(self.changes) == MOST:
            self.changes.pop(next(iter(self.changes)))
            self.products = self.products[1:, 1:]
        self.changes[trial.number] = change
        products = [float(torch.dot(other.flatten(), change.flatten())) for other in self.changes.values()]
        grown = self.products.new_zeros(len(products), len(products))
        grown[:-1, :-1] = self.products
        grown[-1, :] = grown[:, -1] = grown.new_tensor(products)
        self.products = grown

    def _value(self, trial: Trial) -> float:
        """What is made less: the loss; or the size that succeeds, and before that the loss."""
        assert trial.loss is not None
        if not self.by_size:
            return trial.loss
        return math.log(trial.scale) + (0.0 if trial.success else 1.0 + math.log(FAR) + trial.loss)

    # -- what to ask about ---------------------------------------------------------------------------------------------

    def _begin_round(self, number: int) -> None:
        leader = self.leader
        placed = leader if leader is not None and leader.params else self._best_placed()

        def began() -> Any:
            base = GIVEN if self.given is not None else None
            base = leader.number if number and leader is not None else base
            if placed is None or not number:
                return {"base": base, "places": self.first["places"]}
            box = [place[2] * NARROWER**number for place in self.first["places"]]
            return {"base": base, "places": [[placed.params[f"x{k}"], placed.params[f"y{k}"], box[k]] for k in (0, 1)]}

        state = self.log.note(f"round {number}", began)
        self.round, self.base, self.places = number, state["base"], state["places"]

    def _best_placed(self) -> Trial | None:
        placed = [trial for trial in self.known.values() if trial.params]
        return min(placed, key=self._value, default=None)

    def _ranges(self) -> dict[str, Range]:
        """Of two patches' parameters: places in fractions of width and height, lengths in shares of the longer side."""
        height, width = self.space.start.seen.shape[-2:]
        ranges = {"sigma": Range(*SIGMA, log=True), "wave": Range(*WAVELENGTH, log=True), "share": Range(0.0, 1.0)}
        for k, (x, y, box) in enumerate(self.places):
            for name, middle, side in ((f"x{k}", x, width), (f"y{k}", y, height)):
                off = box * max(height, width) / side
                ranges[name] = Range(min(max(middle - off, 0.0), 1.0), max(min(middle + off, 1.0), 0.0))
            ranges[f"hue{k}"] = ranges[f"turn{k}"] = Range(0.0, math.pi)
            ranges[f"phase{k}"] = Range(-math.pi, math.pi)
        return ranges if self.base is None else {**ranges, "angle": ANGLE}

    def _scale(self, place: int) -> float:
        """Times the budget at which patches are asked about: where sizes count, below what is known to succeed."""
        if not self.by_size:
            return 1.0
        if self.leader is not None and self.leader.success:
            return self._no_less(0.85 * self.leader.scale)
        return FAR if place % 2 else 1.0

    def _no_less(self, scale: float) -> float:
        """Inside the budget is small enough, unless the smallest change is wanted."""
        return scale if self.attack.minimal else max(1.0, scale)

    def _special(self) -> list[Trial]:
        """The trial of a batch that is no sampler's: the linear model's, or the leader at a smaller size."""
        if self.by_size:
            leader = self.leader
            if leader is None or not leader.success:
                return []
            smaller = self._no_less(math.sqrt(max(self.floor, leader.scale / 2) * leader.scale))
            enough = leader.scale / smaller > 1.02
            return [Trial(self.round, weights={leader.number: 1.0}, scale=smaller)] if enough else []
        if not self.attack.combine or len(self.changes) < LEAST:
            return []
        # By their numbers: workers that know the same trials, in whatever order they heard of them, make the same sum.
        learnt = list(self.changes)
        order = sorted(range(len(learnt)), key=learnt.__getitem__)
        numbers, products = [learnt[k] for k in order], self.products[order][:, order]
        losses = products.new_tensor([self.known[number].loss - self.first["loss"] for number in numbers])
        ridge = RIDGE * float(products.diagonal().mean()) * torch.eye(len(losses), dtype=losses.dtype)
        weights = -torch.linalg.solve(products + ridge, losses)
        if not torch.isfinite(weights).all() or not weights.any():
            return []
        return [Trial(self.round, weights=dict(zip(numbers, weights.tolist(), strict=True)))]

    def direction(self, trial: Trial) -> Tensor:
        """Where a trial goes from the photo, (3, H, W); its length does not matter."""
        if trial.number in self.kept:
            return self.kept[trial.number]
        if trial.weights:
            change = self._sum(trial.weights)
        elif trial.params:
            change = self._patches(trial.params, trial.base)
        else:
            assert self.given is not None
            change = self.given
        change = change if self.weight is None else change * self.weight
        if trial.number >= 0:
            self.kept[trial.number] = change
        return change

    def _sum(self, weights: dict[int, float]) -> Tensor:
        if len(weights) == 1:
            return self.direction(self.known[next(iter(weights))])
        coarse = torch.zeros_like(next(iter(self.changes.values())))
        for number, weight in weights.items():
            coarse.add_(self.changes[number], alpha=weight)
        return F.interpolate(coarse[None], self.space.start.seen.shape[-2:], mode="bilinear", align_corners=False)[0]

    def _patches(self, params: dict[str, float], base: int | None) -> Tensor:
        height, width = self.space.start.seen.shape[-2:]
        side = max(height, width)
        change = torch.zeros_like(self.space.start.seen)
        for k, part in enumerate((params["share"], 1 - params["share"])):
            at = params[f"x{k}"], params[f"y{k}"]
            turn, phase, hue = (params[f"{name}{k}"] for name in ("turn", "phase", "hue"))
            sigma, wave = params["sigma"] * side, params["wave"] * side
            add_gabor(change, at, sigma, wave, turn, phase, hue, math.sqrt(part))
        if base is None:
            return change
        carried = self.given if base == GIVEN else self.direction(self.known[base])
        assert carried is not None
        angle = params["angle"]
        return math.cos(angle) * unit(carried[None])[0] + math.sin(angle) * unit(change[None])[0]

    @property
    def _coarse(self) -> tuple[int, int]:
        height, width = self.space.start.seen.shape[-2:]
        factor = max(1.0, max(height, width) / COARSE)
        return max(1, round(height / factor)), max(1, round(width / factor))


def _rank(trial: Trial) -> tuple[bool, float, float]:
    """The greater the better inside the budget: success, by a smaller change, and else a smaller loss."""
    assert trial.loss is not None
    return trial.success, -trial.scale if trial.success else 0.0, -trial.loss


def _name_of(model: Any) -> Any:
    """What tells one model from another, as far as that can be told."""
    inner = getattr(model, "model", None)
    return [model.name, getattr(inner, "__qualname__", type(inner).__name__), model.weights_sha256]


def _plain(value: Any) -> Any:
    """Turn anything that a search follows from into JSON; arrays into their digests."""
    if isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return [*array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Iterable):
        return [_plain(one) for one in value]
    return [type(value).__name__, _plain(getattr(value, "__dict__", repr(value)))]
