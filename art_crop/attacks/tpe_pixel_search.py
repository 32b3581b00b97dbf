"""Move a cropper's peak by asking alone: coloured patches, placed by a tree-structured Parzen estimator.

Paper 000 narrows the search to regions of the photo, works on saliency maps without gradients, and chooses pixels'
positions and values with a tree-structured Parzen estimator (TPE; Bergstra et al. 2011, Watanabe 2023). Here, in rounds
of a small study each:

    place    a Gabor patch at the target and one at the old peak, in opponent colours, each at an offset of its own
    mix      the patches with the best change of the rounds before: cos(a) best + sin(a) patches
    rescale  to the whole budget, round to whole grey levels, ask, tell the study the loss
    narrow   the box of offsets about the best place, and begin the next round with a fresh study

A fresh study is as quick at its last trial as at its first, while the cost of a long one grows with its trials.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate
from art_crop.attacks.targets import peak_moves
from art_crop.checks import check_choice, check_int, reject_unknown
from art_crop.errors import MissingDependencyError
from art_crop.functional.norms import unit

__all__ = ["SAMPLERS", "TPEPixelSearch"]

Sampler = Literal["tpe", "random", "cma-es"]
SAMPLERS = ("tpe", "random", "cma-es")
OPPONENT = ((1 / math.sqrt(2), -1 / math.sqrt(2), 0.0), (-1 / math.sqrt(6), -1 / math.sqrt(6), 2 / math.sqrt(6)))
"""Red against green, blue against yellow: models of where people look answer to colour more than to light."""
SIGMA, WAVELENGTH = (0.02, 0.06), (0.03, 0.09)
"""Shares of the photo's longer side, from and to: spread of a patch, and length of its wave."""
BOX, NARROWER = 0.15, 0.6
"""Share of the longer side by which a patch may be off its place in the first round, and by what the box shrinks."""


class TPEPixelSearch(PhotoAttack):
    """Search patches that meet an objective, with a model that answers and is not looked into.

    Args:
        estimator: The model that is asked, of any task, query-only or not.
        eps: L2 norm of the change, kept by every photo that is asked about.
        max_queries: Times that the model may be asked about a photo, the photo itself included.
        batch: Trials of a photo that are asked about at once.
        trials: Of a round's study.
        sampler: ``"tpe"``; or, over the same patches, ``"cma-es"`` or ``"random"``.
        **kwargs: ``constraint``, ``by``, ``ratios``, ``loss``, ``quantize`` (``"round"`` unless given), ``seed``,
            ``verbose``, ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        MissingDependencyError: Optuna is not installed.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in ("norm", "minimal", "mask", "layer")),
        *("max_queries", "batch", "trials", "sampler"),
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
        quantize: bool | Literal["round"] = "round",
        **kwargs: Any,
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, quantize=quantize, **kwargs)
        self.max_queries, self.batch, self.trials, self.sampler = max_queries, batch, trials, sampler
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        for name in ("max_queries", "batch", "trials"):
            check_int(getattr(self, name), name, at_least=1)
        check_choice(self.sampler, "sampler", SAMPLERS)
        _optuna()

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        asked, start, n = batch.oracle or batch.estimator, batch.start, len(batch)
        output = asked.output(start)
        first, places = batch.objective(output), self._places(output, batch.objective, n)
        searches = [_Search(self, batch, i, places[i], float(first.loss[i])) for i in range(n)]
        before = first.success.tolist()
        active = [i for i in range(n) if not before[i] and not searches[i].done]
        while active:
            trials = [(i, trial) for i in active for trial in searches[i].ask()]
            photos = torch.stack([trial.candidate.seen for _, trial in trials])
            verdict = batch.evaluate(photos, [i for i, _ in trials])
            for (i, trial), loss, success in zip(trials, verdict.loss.tolist(), verdict.success.tolist(), strict=True):
                searches[i].tell(trial, loss, success)
            active = [i for i in active if not searches[i].done]
            self.on_step(max(search.queries for search in searches), self.max_queries)
        return [  # each answer is that of a file already: nothing is asked again for the record
            (
                search.best,
                AttackResult(
                    success=search.success or before[i],
                    success_before=before[i],
                    l2=math.nan,
                    linf=math.nan,
                    loss=search.least,
                    gradients=0,
                    queries=search.queries,
                    curve=tuple(search.curve),
                    curve_of="loss",
                ),
            )
            for i, search in enumerate(searches)
        ]

    def _places(self, output: Any, objective: Any, count: int) -> list[list[tuple[float, float, float]]]:
        """Where each photo's patches begin, and by how much they may be off: x, y, share of the longer side."""
        regions = getattr(objective, "regions", None)
        if regions is None:
            return [[(0.5, 0.5, 0.5)] * 2] * count
        return [[(*move.target, BOX), (*move.old, BOX)] for move in peak_moves(output, regions)]


class _Trial(NamedTuple):
    asked: Any
    """The study's own record of it."""
    candidate: Candidate
    direction: Tensor
    places: list[tuple[float, float]]


class _Search:
    """The rounds on one photo: what was found so far, and the study of the present round."""

    def __init__(
        self, attack: TPEPixelSearch, batch: Batch, index: int, places: list[tuple[float, float, float]], loss: float
    ) -> None:
        self.attack, self.space, self.eps = attack, batch.spaces[index], batch.eps[index]
        self.weight = None if batch.weight is None else batch.weight[index]
        self.best, self.least, self.success, self.queries = self.space.start, loss, False, 1
        self.curve = [loss]
        self.direction: Tensor | None = None
        self.carried: Tensor | None = None
        self.places, self.found_at = places, [place[:2] for place in places]
        levels = (self.space.start.seen * 255).round().to(torch.uint8).cpu().numpy().tobytes()
        self.seed, self.round = zlib.crc32(levels, attack.seed), -1
        self._next_round()

    @property
    def done(self) -> bool:
        """Whether the photo succeeds, or may not be asked about again."""
        return self.success or self.queries >= self.attack.max_queries

    def _next_round(self) -> None:
        self.round, self.left = self.round + 1, self.attack.trials
        if self.round:
            self.places = [(*at, place[2] * NARROWER) for at, place in zip(self.found_at, self.places, strict=True)]
            self.carried = self.direction
        self.study = _study(self.attack.sampler, self.seed + self.round)

    def ask(self) -> list[_Trial]:
        """Choose the next trials."""
        if not self.left:
            self._next_round()
        count = min(self.attack.batch, self.left, self.attack.max_queries - self.queries)
        self.left -= count
        return [self._trial(self.study.ask()) for _ in range(count)]

    def tell(self, trial: _Trial, loss: float, success: bool) -> None:
        """Take in an answer."""
        self.study.tell(trial.asked, loss)
        self.queries += 1
        if (success, -loss) > (self.success, -self.least):
            self.best, self.least, self.success = trial.candidate, loss, success
            self.direction, self.found_at = trial.direction, trial.places
        self.curve.append(self.least)

    def _trial(self, trial: Any) -> _Trial:
        """Turn a study's numbers into a photo."""
        height, width = self.space.start.seen.shape[-2:]
        side = max(height, width)
        sigma = trial.suggest_float("sigma", *SIGMA, log=True) * side
        wave = trial.suggest_float("wavelength", *WAVELENGTH, log=True) * side
        share = trial.suggest_float("share", 0.0, 1.0)
        change, places = torch.zeros_like(self.space.start.seen), []
        for k, ((x, y, box), part) in enumerate(zip(self.places, (share, 1 - share), strict=True)):
            at = (
                float(np.clip(x + trial.suggest_float(f"x{k}", -box, box) * side / width, 0, 1)),
                float(np.clip(y + trial.suggest_float(f"y{k}", -box, box) * side / height, 0, 1)),
            )
            places.append(at)
            hue, turn = trial.suggest_float(f"hue{k}", 0, math.pi), trial.suggest_float(f"turn{k}", 0, math.pi)
            phase = trial.suggest_float(f"phase{k}", -math.pi, math.pi)
            add_gabor(change, at, sigma, wave, turn, phase, hue, math.sqrt(part))
        if self.carried is not None:
            angle = trial.suggest_float("angle", 0.05, math.pi / 2)
            change = math.cos(angle) * unit(self.carried[None])[0] + math.sin(angle) * unit(change[None])[0]
        change = change if self.weight is None else change * self.weight
        return _Trial(trial, self.space.at(change, self.eps), change, places)


def add_gabor(
    change: Tensor,
    at: tuple[float, float],
    sigma: float,
    wave: float,
    turn: float,
    phase: float,
    hue: float,
    size: float,
) -> None:
    """Add a Gabor patch of a given norm to a change (3, H, W), where it is not next to nothing.

    Args:
        change: What it is added to, in place.
        at: Its middle, x and y in fractions of width and height.
        sigma: Standard deviation of its Gaussian, in pixels.
        wave: Length of its wave, in pixels.
        turn: Direction of the wave, in radians.
        phase: Of the wave at its middle.
        hue: Angle in the plane of red against green and blue against yellow.
        size: Its L2 norm.
    """
    height, width = change.shape[-2:]
    ranges = []
    for fraction, side in ((at[1], height), (at[0], width)):
        middle = fraction * side - 0.5
        low, high = max(0, math.floor(middle - 3 * sigma)), min(side, math.ceil(middle + 3 * sigma) + 1)
        ranges.append((slice(low, high), torch.arange(low, high, dtype=change.dtype, device=change.device) - middle))
    (rows, y), (columns, x) = ranges
    along = math.cos(turn) * x[None] + math.sin(turn) * y[:, None]
    patch = torch.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2)) * torch.cos(
        2 * math.pi / wave * along + phase
    )
    colour = math.cos(hue) * change.new_tensor(OPPONENT[0]) + math.sin(hue) * change.new_tensor(OPPONENT[1])
    change[:, rows, columns] += size / float(patch.norm().clamp_min(1e-12)) * colour.view(3, 1, 1) * patch


def _study(sampler: Sampler, seed: int) -> Any:
    optuna = _optuna()
    seed %= 2**32
    made: dict[str, Callable[[], Any]] = {
        "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "cma-es": lambda: optuna.samplers.CmaEsSampler(seed=seed),
    }
    return optuna.create_study(sampler=made[sampler]())


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingDependencyError('this attack needs Optuna: pip install "art-crop[tpe]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
