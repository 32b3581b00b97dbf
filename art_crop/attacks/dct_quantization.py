"""Change a photo so that its JPEG meets an objective: choose the JPEG's own quantised coefficients.

Paper 003 (Bonnet, Furon and Bas, "Fooling an Automatic Image Quality Estimator", MediaEval 2020):

    step 1   x_a = x + u: PGD in L2, its radius bisected, or another attack
    step 2b  P: that change in units of the quantisation steps D, X: the photo's coefficients;
             minimise |D (P + Q)|^2 + lambda L, L to first order:  Q* = -P - lambda g / (2 D^2)
             the file holds round(X + P + Q*) with the smallest lambda for which it meets the objective

or, for a lossless file, step 2a: each pixel takes the whole level above or below u, whichever costs less in
|u|^2 + lambda L. Beyond the paper: g is the mean of the gradients at several such files, each found with those before
it, the first of them on the way to the objective; squares are those of RGB (a step of Cb counts otherwise than one of
Y, and four pixels share it in 4:2:0); a file is only taken if the photo also meets the objective after platforms have
decoded and encoded it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate
from art_crop.checks import check_choice, check_int, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.jpeg import SHRINKS, YCC_TO_RGB, decode, encode, quality_tables
from art_crop.functional.norms import norm_of, unit
from art_crop.images.coefficients import LARGEST_COEFFICIENT, JpegCoefficients

__all__ = ["DCTQuantizationAttack"]

RADIUS_ROUNDS = RADIUS_STEPS = 7
"""Of step 1: radii that are tried, and gradient steps at each."""
GROWTH, CLOSE, LAST_CLOSE = 1.6, 1.3, 1.04
"""Ratios of one lambda to the next while it is searched upwards, and of the two between which a round's search ends,
and the last round's."""
FIRST = 0.1
"""Steps by which the first lambda moves the coefficient that it moves most."""
WAY = 0.5
"""Share of the rounds that lead to the objective by equal steps of the loss; the others improve what met it."""
MOST_TRIALS, LAST_TRIALS = 6, 30
"""Of lambda in a round, after which a new gradient is worth more than a longer way along the old one; and in the first
round, which begins with next to nothing, and the last: it has then grown by more than all coefficients need."""
Resave = tuple[int, str]
Components = tuple[Tensor, ...]
"""Y, Cb and Cr in steps, (1, rows of blocks, columns of blocks, 8, 8) each."""


class DCTQuantizationAttack(PhotoAttack):
    """Meet an objective as a JPEG file, by its quantised coefficients, or as a lossless file by whole grey levels.

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> attack = art_crop.load_attack("dct-quantization")(estimator, resaved=())
        >>> x_adv = attack.generate(x, art_crop.Region(0.3, 0.75, 0.7, 1.0))
        >>> attack.results[0].success
        True
        >>> jpeg = attack.coefficients[0].to_bytes()

    What ``generate`` returns are the decoder's pixels; encoded anew they would give other coefficients, so the file is
    made of :attr:`coefficients`, one a photo.

    Args:
        estimator: The source model, a white box of any task, with photos in [0, 1].
        domain: ``"dct"``: a JPEG; ``"spatial"``: whole grey levels of a lossless file.
        quality: Of the JPEG, 1 to 100, as libjpeg scales its tables.
        subsampling: Of its chroma: ``"4:2:0"``, as Pillow's default, ``"4:2:2"``, ``"4:4:4"``, or ``"4:0:0"``: grey.
        resaved: Quality and subsampling of encoders that may encode the decoded photo again: the objective must be met
            then, too, and their gradients are part of the mean. Of no effect in the spatial domain.
        bound: Steps by which a coefficient may lie from round(X + P). (The paper writes 1/D, which would be nothing.)
        margin: How far beyond the objective's bound the model's answer must lie in all of these, as a share of a
            quality model's scale; of other losses in their own units.
        max_iter: Rounds: gradients that are averaged, and searches for lambda. The first half leads to the objective
            by equal steps of the loss. Models with rough gradients need more for the same distortion.
        max_radius: Largest L2 norm of step 1, in units of ``clip_values``; the paper's is 2000 / 255.
        inner: The attack that takes the place of step 1: one of art_crop, or one of ART's that needs no y or takes
            the bounds or labels as y.
        **kwargs: ``by``, ``ratios``, ``loss``, ``success_oracle``, ``seed``, ``verbose``, ``summary_writer``: as for
            :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *(
            name
            for name in PhotoAttack.attack_params
            if name not in ("norm", "eps", "minimal", "constraint", "mask", "layer", "quantize")
        ),
        *("domain", "quality", "subsampling", "resaved", "bound", "margin", "max_iter", "max_radius", "inner"),
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"
    _in_colour = True
    _searches_reduced = False

    def __init__(
        self,
        estimator: Any,
        *,
        domain: Literal["dct", "spatial"] = "dct",
        quality: int = 90,
        subsampling: str = "4:2:0",
        resaved: Sequence[Resave] = ((90, "4:4:4"), (90, "4:2:0")),
        bound: int = 1,
        margin: float = 0.005,
        max_iter: int = 8,
        max_radius: float = 2000 / 255,
        inner: Any = None,
        **kwargs: Any,
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        self.domain, self.quality, self.subsampling, self.resaved = domain, quality, subsampling, resaved
        self.bound, self.margin, self.max_iter, self.max_radius = bound, margin, max_iter, max_radius
        self.inner = inner
        self.coefficients: list[JpegCoefficients | None] = []
        """What the file of each photo holds; None in the spatial domain."""
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_choice(self.domain, "domain", ("dct", "spatial"))
        check_int(self.quality, "quality", at_least=1, at_most=100)
        check_choice(self.subsampling, "subsampling", tuple(SHRINKS))
        if not isinstance(self.resaved, (list, tuple)) or any(
            not isinstance(one, (list, tuple)) or len(one) != 2 for one in self.resaved
        ):
            raise InvalidInputError(f"resaved: pairs of a quality and a subsampling are needed, not {self.resaved!r}")
        for quality, subsampling in self.resaved:
            check_int(quality, "resaved", at_least=1, at_most=100)
            check_choice(subsampling, "resaved", tuple(SHRINKS))
        check_int(self.bound, "bound", at_least=1)
        check_number(self.margin, "margin", at_least=0)
        check_int(self.max_iter, "max_iter", at_least=1)
        check_number(self.max_radius, "max_radius", above=0)
        if self.inner is not None and not callable(getattr(self.inner, "generate", None)):
            raise InvalidInputError(f"inner: an attack, with generate(x, y), or None is needed, not {self.inner!r}")

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _generate(self, x: Any, y: Any, mask: Any, constraint: Any, kwargs: dict[str, Any]) -> Any:
        for name, value in (("mask", mask), ("constraint", constraint)):
            if value is not None:
                raise InvalidInputError(f"{name}: none can be kept to, for a JPEG's coefficients change whole blocks")
        self.coefficients = []
        return super()._generate(x, y, mask, constraint, kwargs)

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        models = [_Model(batch, i, self._margin) for i in range(len(batch))]
        candidates, notes = [], []
        for model in models:
            x = model.batch.start[model.index][None].double() * 255
            self.coefficients.append(None)
            before, _ = model.ask(x, margin=0)
            model.before = before
            if self.domain == "spatial":
                levels = x if before else self._quantised_levels(model, x, self._step_one(model, x))
                note = "the objective is met already: nothing is changed" if before else ""
            else:
                levels, note = self._quantised_coefficients(model, x)
            candidates.append(Candidate((levels[0] / 255).to(batch.start)))
            notes.append(note)
        records = self._records(
            batch,
            candidates,
            [model.before for model in models],
            [model.gradients for model in models],
            [model.queries for model in models],
            [[] for _ in models],
        )
        return [
            (candidate, replace(result, note=note)) for (candidate, result), note in zip(records, notes, strict=True)
        ]

    @property
    def _margin(self) -> float:
        low, high = getattr(self.estimator, "score_range", (0.0, 1.0))
        return self.margin * float(high - low)

    def _step_one(self, model: _Model, x: Tensor) -> Tensor:
        """The smallest photo that meets the objective, of those that PGD visits while its radius is bisected.

        Of the inner attack its own; where nothing succeeds, the last one.
        """
        if self.inner is not None:
            return self._inner(model, x)
        low, high, best, least = 0.0, 255 * self.max_radius, x, math.inf
        for _ in range(RADIUS_ROUNDS):
            radius, moved, reached = (low + high) / 2, x, False
            for _ in range(RADIUS_STEPS):
                moved = (moved - radius / RADIUS_STEPS * unit(model.gradient(moved))).clamp(0, 255)
                moved = x + (moved - x) * (radius / norm_of(moved - x).clamp_min(1e-30)).clamp_max(1)
                reached, _ = model.ask(moved)
                if reached:
                    break
            size = float(norm_of(moved - x))
            if least == math.inf or (reached and size < least):
                best, least = moved, size if reached else math.inf
            low, high = (low, radius) if reached else (radius, high)
            self.on_step(0, self.max_iter)
        return best

    def _inner(self, model: _Model, x: Tensor) -> Tensor:
        objective = model.objective
        photo = self.estimator.to_array((x / 255).float())
        given = objective
        if not isinstance(self.inner, PhotoAttack):  # what ART's attacks understand
            given = getattr(objective, "bounds", None) or getattr(objective, "labels", None)
            given = None if given is None else np.asarray(given, np.float32)
        found: Tensor = self.estimator.to_tensor(self.inner.generate(photo, given))
        return found.to(x) * 255

    def _quantised_levels(self, model: _Model, x: Tensor, moved: Tensor) -> Tensor:
        """Step 2a: of the levels above and below, those of the smallest lambda that meets the objective."""
        up = (moved - x).ceil()
        choice = (moved - x) != up  # elsewhere the level is whole
        gradient = model.gradient(moved)
        # The level above is taken where 1 - 2 up > lambda g: at these lambdas pixels change their minds.
        turns = torch.where(choice & (gradient != 0), (1 - 2 * up) / gradient, -1.0)
        turns = turns[turns > 0].sort().values

        def at(multiplier: float) -> Tensor:
            above = 1 - 2 * up > multiplier * gradient
            return (x + torch.where(choice & ~above, up - 1, up)).clamp(0, 255)

        low, high = -1, len(turns)  # of turns that have happened; all of them, and then none is known to fail
        while high - low > 1:
            middle = (low + high) // 2
            succeeds, _ = model.ask(at(float(turns[middle]) * (1 + 1e-12)))
            low, high = (low, middle) if succeeds else (middle, high)
        return at(float(turns[high]) * (1 + 1e-12) if high < len(turns) else math.inf)

    def _quantised_coefficients(self, model: _Model, x: Tensor) -> tuple[Tensor, str]:
        """Step 2b, in rounds: the file that is nearest to the photo, of those that meet the objective."""
        tables, size = quality_tables(self.quality), (x.shape[-1], x.shape[-2])
        original = encode(x, tables, self.subsampling, rounded=False)
        plain = tuple(_storable(component) for component in encode(x, tables, self.subsampling))
        best = _Best(plain)

        def file(components: Components) -> Tensor:
            return decode(components, tables, size, self.subsampling)

        prices = self._prices(tables)

        def holds(slack: float, components: Components) -> bool:
            if slack > 0:
                return model.ask(file(components))[1] <= slack
            distance = sum(
                float((price * (part - x).square()).sum())
                for price, part, x in zip(prices, components, original, strict=True)
            )
            if best.succeeds and distance >= best.least:
                return True  # no model need be asked: what is wanted lies below this multiplier
            succeeds, loss = self._holds(model, file(components))
            best.tell(components, succeeds, loss, distance)
            return succeeds

        note = "the JPEG meets the objective as it is: nothing is changed"
        if not holds(0.0, plain):
            _, first = model.ask(file(plain))
            centre = [
                part.round() for part in encode(self._step_one(model, x), tables, self.subsampling, rounded=False)
            ]
            trial, start, total = plain, 0.0, [torch.zeros_like(component) for component in original]
            for step in range(self.max_iter):
                # On the way there: the gradient at the photo says little of one that is far away.
                slack = max(0.0, first * (1 - (step + 1) / (self.max_iter * WAY)))
                slope = self._slope(model, trial, file, step)
                total = [before + newest for before, newest in zip(total, slope, strict=True)]
                mean = [g / (step + 1) / (2 * price) for g, price in zip(total, prices, strict=True)]
                at = partial(_quantised, original, mean, centre, self.bound)
                largest = max(float(part.abs().max()) for part in mean)
                found = partial(holds, slack)
                begin = start or FIRST / max(largest, 1e-30)
                last = step == self.max_iter - 1
                trials = LAST_TRIALS if last or step == 0 else MOST_TRIALS
                close = LAST_CLOSE if last else CLOSE if slack == 0 else GROWTH
                multiplier = _smallest_multiplier(at, found, begin, trials, close)
                trial, start = at(multiplier), multiplier / GROWTH**2
                self.on_step(step + 1, self.max_iter)
            note = "" if best.succeeds else "no file was found that holds in all encoders"
        steps = [table.numpy().astype(np.uint16) for table in tables][: len(original)]
        whole = [component[0].cpu().numpy().astype(np.int16) for component in best.components]
        self.coefficients[-1] = JpegCoefficients(tuple(whole), tuple(steps), self.subsampling, size)
        return file(best.components), note

    def _holds(self, model: _Model, levels: Tensor) -> tuple[bool, float]:
        """Whether the decoded file meets the objective, as it is and encoded again; the largest loss until it fails."""
        worst, views = -math.inf, self._views(levels)
        for index in sorted(range(len(views)), key=lambda index: index != model.hardest):
            succeeds, loss = model.ask(views[index]())
            worst = max(worst, loss)
            if not succeeds:
                model.hardest = index  # likely the next one's, too, which then need not be asked about the others
                return False, worst
        return True, worst

    def _views(self, levels: Tensor) -> list[Callable[[], Tensor]]:
        """The decoded file, and what is decoded of it after each of the other encoders."""

        def again(quality: int, subsampling: str) -> Tensor:
            tables = quality_tables(quality)
            components = encode(levels, tables, subsampling)
            return decode(components, tables, (levels.shape[-1], levels.shape[-2]), subsampling)

        return [lambda: levels, *(partial(again, *one) for one in self.resaved)]

    def _slope(
        self, model: _Model, components: Components, file: Callable[[Components], Tensor], step: int
    ) -> Components:
        """The loss's gradient with respect to a step of each coefficient, through the decoder or one of the encoders.

        Each has its turn: over the rounds the mean is that of all of them.
        """
        with torch.enable_grad():
            leaves = tuple(component.detach().requires_grad_() for component in components)
            views = self._views(file(leaves))
            view = views[step % len(views)]()
        return torch.autograd.grad(view, leaves, model.gradient(view.detach()))

    def _prices(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """Squared levels of RGB of a step of each frequency."""
        colours, shrink = torch.tensor(YCC_TO_RGB, dtype=torch.float64).square().sum(0), SHRINKS[self.subsampling]
        prices = [tables[0].square() * colours[0]]
        if self.subsampling != "4:0:0":
            prices += [tables[1].square() * colours[index] * math.prod(shrink) for index in (1, 2)]
        return [price.to(self.estimator.device) for price in prices]


class _Model:
    """The models as they are asked about one photo of a batch, in levels 0..255, and how often they were."""

    def __init__(self, batch: Batch, index: int, margin: float) -> None:
        self.batch, self.index, self.margin = batch, index, margin
        self.source, self.objective = gradients.plain(batch.estimator), batch.objective.take([index])
        self.gradients = self.queries = 0
        self.before, self.hardest = False, 0

    def ask(self, levels: Tensor, margin: float | None = None) -> tuple[bool, float]:
        """Tell whether levels (1, 3, H, W) meet the objective by the margin, and the loss."""
        verdict = self.batch.evaluate((levels / 255).to(self.batch.start), [self.index])
        self.queries += 1
        loss = float(verdict.loss[0])
        return bool(verdict.success[0]) and loss <= -(self.margin if margin is None else margin), loss

    def gradient(self, levels: Tensor) -> Tensor:
        """Give the loss's gradient with respect to levels (1, 3, H, W)."""
        photo = (levels / 255).to(self.batch.start)
        gradient = gradients.gradient_at(self.batch, self.source, photo, [self.index], decide=False)[0]
        self.gradients += 1
        return gradient.to(levels) / 255


class _Best:
    """The best file so far: the nearest to the photo of those that succeed, else the one with the least loss."""

    def __init__(self, components: Components) -> None:
        self.components, self.succeeds, self.least = components, False, math.inf

    def tell(self, components: Components, succeeds: bool, loss: float, distance: float) -> None:
        """Take in a file, what the models say of it, and how far it is from the photo."""
        least = distance if succeeds else loss
        if (succeeds and not self.succeeds) or (succeeds == self.succeeds and least < self.least):
            self.components, self.succeeds, self.least = components, succeeds, least


def _quantised(
    original: Sequence[Tensor], slope: Sequence[Tensor], centre: Sequence[Tensor], bound: int, multiplier: float
) -> Components:
    """What the file holds at a multiplier: round(X - lambda g / 2 D^2), within the bound of round(X + P)."""
    return tuple(
        _storable((x - multiplier * g).round().clamp(middle - bound, middle + bound))
        for x, g, middle in zip(original, slope, centre, strict=True)
    )


def _storable(component: Tensor) -> Tensor:
    """Whole coefficients that a baseline file has room for; photos need no others."""
    return component.round().clamp(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)


def _smallest_multiplier(
    at: Callable[[float], Components], holds: Callable[[Components], bool], start: float, trials: int, close: float
) -> float:
    """Search the smallest multiplier whose file holds: upwards first, for it is not monotone, and then between.

    Args:
        at: Multiplier -> file.
        holds: File -> whether it does.
        start: First multiplier.
        trials: Of the way upwards, each :data:`GROWTH` times the one before.
        close: Ratio of the least that holds to the largest that does not at which the search ends.

    Returns:
        It, or the last one where none of them does.
    """
    low, high = 0.0, start
    for _ in range(trials):
        if holds(at(high)):
            break
        low, high = high, high * GROWTH
    else:
        return low
    while low and high > low * close * (1 + 1e-9):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(at(middle)) else (middle, high)
    return high
