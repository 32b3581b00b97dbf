"""Move a saliency map's peak, or the crop that follows from it, with the gradient of the model.

Papers 000 and 001 (Yoshida, Okuda et al., "Adversarial Examples for Image Cropping in Social Media", ICIP 2022,
algorithm 1):

    x' = x;   repeat N = 3 times:   eta = alpha * grad J / ||grad J||_2;   x' = x' + eta

with the plain gradient (signs suffer where a model blurs), multiplied by the model's Grad-CAM map, and the whole
perturbation scaled to the L2 norm that was asked for. N = 1 is FGM. Beyond the paper: any number of steps, momentum,
the smallest perturbation that succeeds, results in whole grey levels, success decided on what is returned, and
gradients that hold on other models (:mod:`art_crop.attacks.gradients`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult, photo_noise
from art_crop.attacks.search import crossing
from art_crop.attacks.space import Candidate, PhotoSpace, Space
from art_crop.checks import check_choice, check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import layer_called
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.norms import unit

__all__ = ["SaliencyPeakFGM"]

STEPS = {"budget": 3, "minimal": 20}
"""Gradient steps unless another number is asked for."""
NEWEST = 0.5, 0.05
"""Weight of the newest gradient in the direction of the smallest change, after the first step and at the end."""
MARGIN = 0.005
"""Share by which a candidate is larger than where the losses say that success begins."""
FIRST = 1 / 16
"""Share of eps that the first candidate has at most: where the photo's own gradient is next to 0, it says nothing."""
ROUNDS = 4
"""Directions that are tried up to eps before a photo is given up."""


class SaliencyPeakFGM(PhotoAttack):
    """Gradient attack on saliency models: show a region of choice.

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> attack = art_crop.load_attack("saliency-peak-fgm")(estimator, minimal=True, ratios=(0.56,))
        >>> x_adv = attack.generate(x, art_crop.Region(0.3, 0.75, 0.7, 1.0))
        >>> attack.results[0].success
        True

    It runs on every white box: on a quality model its objective is a score, on a classifier a label.

    Args:
        estimator: The source model, a white box.
        max_iter: Gradient steps; None: 3, as in the paper, or 20 with ``minimal``.
        momentum: Share of the earlier steps' direction that is kept in each step.
        smoothing: Standard deviation, in pixels, of a Gaussian filter on the gradient; 0: none. This option and the
            next seven make results hold on models that were not attacked; see :mod:`~art_crop.attacks.gradients`.
        diversity: Share of the steps that see the photo at a random size.
        averaging: Kinds of changed copies over which a gradient is averaged: ``"resize"``, ``"jpeg"``, ``"blur"``.
        draws: Copies of each kind.
        features: Layers whose activations should grow at the target and shrink at the old peak; ``"auto"``: four of
            the fifth to tenth convolutions; None: none.
        feature_weight: Of the features' term beside the loss.
        contrast: Weight, beside the gradient, of the edit that knows no network; see
            :class:`~art_crop.attacks.contrast_shift.ContrastShift`.
        ensemble: Further white boxes, whose gradients of norm 1 are added to this one's.
        early_stop: End a photo's steps as soon as it succeeds, with the budget of that step.
        random_init: Begin with noise of a hundredth of the budget, from ``seed``, different for each photo.
        **kwargs: ``norm``, ``eps``, ``minimal``, ``constraint``, ``mask``, ``layer``, ``by``, ``ratios``, ``loss``,
            ``quantize``, ``success_oracle``, ``seed``, ``verbose``, ``summary_writer``: as for
            :class:`~art_crop.attacks.base.PhotoAttack`. With ``minimal`` the smallest perturbation is found so: take
            gradients at candidates near the smallest budget that succeeds, average them into a direction, and bisect
            the budget along it; ``momentum``, ``early_stop`` and ``random_init`` have no part in it. The mask weights
            the gradient; where it is 0 nothing changes. With norm inf, whose steps are signs, only that counts.

    Raises:
        InvalidInputError: A parameter outside its range.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *PhotoAttack.attack_params,
        *("max_iter", "momentum", "early_stop", "random_init"),
        *("smoothing", "diversity", "averaging", "draws", "features", "feature_weight", "contrast", "ensemble"),
    ]

    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"

    def __init__(
        self,
        estimator: Any,
        *,
        max_iter: int | None = None,
        momentum: float = 0.0,
        smoothing: float = 0.0,
        diversity: float = 0.0,
        averaging: Sequence[gradients.Copy] = (),
        draws: int = 1,
        features: Sequence[str] | Literal["auto"] | None = None,
        feature_weight: float = 1.0,
        contrast: float = 0.0,
        ensemble: Sequence[Any] = (),
        early_stop: bool = False,
        random_init: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(estimator, **kwargs)
        self.max_iter, self.momentum, self.early_stop, self.random_init = max_iter, momentum, early_stop, random_init
        self.smoothing, self.diversity, self.averaging, self.draws = smoothing, diversity, averaging, draws
        self.features, self.feature_weight, self.contrast = features, feature_weight, contrast
        self.ensemble = ensemble
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        if self.max_iter is not None:
            check_int(self.max_iter, "max_iter", at_least=1)
        check_number(self.momentum, "momentum", at_least=0, at_most=1)
        for name in ("early_stop", "random_init"):
            check_choice(getattr(self, name), name, (True, False))
        check_number(self.smoothing, "smoothing", at_least=0)
        check_number(self.diversity, "diversity", at_least=0, at_most=1)
        check_int(self.draws, "draws", at_least=1)
        for name in ("feature_weight", "contrast"):
            check_number(getattr(self, name), name, at_least=0)
        for name in ("averaging", "ensemble"):
            if not isinstance(getattr(self, name), (list, tuple)):
                raise InvalidInputError(f"{name}: a list is needed, not {getattr(self, name)!r}")
        for kind in self.averaging:
            check_choice(kind, "averaging", gradients.COPIES)
        for other in self.ensemble:
            self._check_other(other, "ensemble", (TorchEstimator,))
        if isinstance(self.features, str) and self.features != "auto":
            raise InvalidInputError(f'features: "auto", a list of layers or None is needed, not {self.features!r}')
        for model in self._sources() if isinstance(self.features, (list, tuple)) else ():
            for layer in self.features or ():
                layer_called(model.model, layer)

    # -- the attack ----------------------------------------------------------------------------------------------------

    @property
    def _iterations(self) -> int:
        return self.max_iter or STEPS["minimal" if self.minimal else "budget"]

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        source = self._gradient_source(batch)
        return (self._smallest_change if self.minimal else self._steps)(batch, source)

    def _steps(self, batch: Batch, source: gradients.Source) -> list[tuple[Candidate, AttackResult]]:
        """Algorithm 1: gradients of unit norm, added up, at a budget that grows to ``eps``.

        N unit steps in unrelated directions add up to sqrt(N); the paper's own step is eps / 1.77 for N = 3.
        """
        n, noisy = len(batch), self.random_init
        candidates = [self._start(space, eps) for space, eps in zip(batch.spaces, batch.eps, strict=True)]
        # The first look is at the photo itself, unless that begins with noise.
        before = batch.evaluate(batch.start).success.tolist() if noisy else [False] * n
        taken, asked, active = [0] * n, [int(noisy)] * n, list(range(n))
        curves: list[list[float]] = [[] for _ in range(n)]
        step, total = torch.zeros_like(batch.start), torch.zeros_like(batch.start)
        for k in range(self._iterations):
            some = slice(None) if len(active) == n else active  # a slice copies nothing
            photos = torch.stack([candidates[i].seen for i in active])
            decide = self.early_stop or (k == 0 and not noisy)
            gradient, success, loss, apart = gradients.gradient_at(batch, source, photos, active, decide=decide)
            step[some] = self.momentum * step[some] - unit(gradient, self._norm)
            total[some] += step[some]
            for i, reached, value in zip(tuple(active), success, loss, strict=True):
                curves[i].append(value)
                asked[i] += apart
                before[i], taken[i] = before[i] or (k == 0 and reached and not noisy), k + 1
                if reached and self.early_stop:
                    active.remove(i)
                else:
                    budget, last = batch.eps[i] * math.sqrt((k + 1) / self._iterations), k + 1 == self._iterations
                    candidates[i] = batch.spaces[i].at(total[i], budget, exact=last or self.early_stop)
            self.on_step(k + 1, self._iterations)
            if not active:
                break
        return self._records(batch, candidates, before, self._passes(taken), asked, curves)

    def _smallest_change(self, batch: Batch, source: gradients.Source) -> list[tuple[Candidate, AttackResult]]:
        """The smallest perturbation that succeeds, at most ``eps``.

        At the smallest perturbation the change is parallel to the gradient there, not to that at x. So: take gradients
        at candidates near the smallest budget that succeeds, average them into the direction, each new one with less
        weight, and bisect the budget along the direction that they end in.
        """
        n = len(batch)
        ends, best = [space.start for space in batch.spaces], [space.start for space in batch.spaces]
        active, direction, before = list(range(n)), torch.zeros_like(batch.start), [False] * n
        first, size, least = [0.0] * n, [0.0] * n, [math.inf] * n
        taken, asked, curves = [0] * n, [0] * n, [[] for _ in range(n)]  # type: list[int], list[int], list[list[float]]
        for k in range(self._iterations):
            newest = 1.0 if k == 0 else NEWEST[1] + (NEWEST[0] - NEWEST[1]) * _half_cosine(k / self._iterations)
            seen = torch.stack([ends[i].seen for i in active])
            gradient, success, loss, apart = gradients.gradient_at(batch, source, seen, active, judged=True)
            slope = gradient.flatten(1).norm(p=1 if self._norm == "inf" else 2, dim=1).tolist()
            direction[active] = unit((1 - newest) * direction[active] - newest * unit(gradient))
            for j, i in enumerate(tuple(active)):
                taken[i], asked[i] = k + 1, asked[i] + apart
                if k == 0 and success[j]:
                    before[i] = True
                    active.remove(i)
                    continue
                if success[j] and size[i] < least[i]:
                    best[i], least[i] = ends[i], size[i]
                first[i] = loss[j] if k == 0 else first[i]
                curves[i].append(least[i])
                size[i] = _next_size(size[i], least[i], first[i], loss[j], slope[j], success[j], newest)
                size[i] = min(size[i], batch.eps[i] if k else FIRST * batch.eps[i])
                if k + 1 < self._iterations:
                    ends[i] = batch.spaces[i].at(direction[i], size[i])
            self.on_step(k + 1, self._iterations)
            if not active:
                break
        for again in range(1, ROUNDS + 1):
            most = [min(batch.eps[i], least[i]) for i in active]
            lines, start = list(direction[active]), [min(size[i], least[i]) for i in active]
            found = self._smallest(batch, active, lines, start, [first[i] for i in active], most)
            for i, line, one in zip(tuple(active), lines, found, strict=True):
                asked[i], curves[i] = asked[i] + len(one.trail), curves[i] + one.trail
                if one.candidate is not None or least[i] < math.inf:
                    best[i] = one.candidate or best[i]
                    active.remove(i)
                else:
                    best[i] = batch.spaces[i].at(line, batch.eps[i])
            if not active or again == ROUNDS:
                break
            # Up to eps nothing succeeds in this direction: take that at eps into it, each as much as those before.
            seen = torch.stack([best[i].seen for i in active])
            gradient, *_ = gradients.gradient_at(batch, source, seen, active, decide=False)
            direction[active] = unit(again * direction[active] - unit(gradient))
            for i in active:
                taken[i] += 1
                curves[i].append(math.inf)
        return self._records(batch, best, before, self._passes(taken), asked, curves)

    # -- the pieces ----------------------------------------------------------------------------------------------------

    def _sources(self) -> list[Any]:
        return [self.estimator, *self.ensemble]

    def _models(self) -> list[Any]:
        return [*super()._models(), *self.ensemble]

    def _halvings(self, size: tuple[int, int]) -> int:
        # Filters, copies and contrast are those of the photo itself.
        plain = not (self.smoothing or self.contrast or self.averaging or self.diversity or self.ensemble)
        return super()._halvings(size) if plain else 0

    def _gradient_source(self, batch: Batch) -> gradients.Source:
        """The options for transfer, one about the other."""
        sources = []
        for model in (batch.estimator, *self.ensemble):
            sources.append(
                gradients.plain(model)
                if self.features is None
                else gradients.with_features(model, self.features, self.feature_weight)
            )
        source = gradients.ensembled(sources) if len(sources) > 1 else sources[0]
        if self.averaging:
            source = gradients.averaged(source, self.averaging, self.draws, self.seed, self._clip)
        if self.diversity:
            source = gradients.diverse(source, self.diversity, self.seed, self._clip)
        if self.smoothing:
            source = gradients.smoothed(source, self.smoothing)
        return gradients.with_contrast(source, self.contrast) if self.contrast else source

    @property
    def _needs_peaks(self) -> bool:
        return super()._needs_peaks or self.features is not None or self.contrast > 0

    def _passes(self, steps: Sequence[int]) -> list[int]:
        """Passes through a model that so many gradients took, Grad-CAM's included."""
        each = len(self._sources()) * (1 + self.draws * len(self.averaging))
        return [count * each + (self.mask == "grad-cam") for count in steps]

    def _start(self, space: Space, eps: float) -> Candidate:
        if not self.random_init:
            return space.start
        noise = photo_noise(space.start.seen, self.seed, self._clip)
        movable = space.movable if isinstance(space, PhotoSpace) else None
        return space.at(noise if movable is None else noise * movable, 0.01 * eps)


def _half_cosine(share: float) -> float:
    """Fall from 1 to 0."""
    return (1 + math.cos(math.pi * share)) / 2


def _next_size(
    size: float, least: float, first: float, loss: float, slope: float, success: bool, change: float
) -> float:
    """Choose the budget of the next candidate.

    Args:
        size: Of the last candidate; 0: it was the photo.
        least: The smallest that succeeded; inf: none has.
        first: Loss of the photo.
        loss: Loss of the last candidate.
        slope: Dual norm of the gradient there.
        success: Whether it succeeded.
        change: Share by which the budget changes where the losses do not tell where success begins.
    """
    if size == 0:
        return 2 * first / slope if first > 0 and slope > 0 else MARGIN
    if first > 0 and success == (loss < 0):  # where the line through the losses crosses 0
        low, high = (0.5, 2.0) if least == math.inf else (0.67, 1.5)
        factor = min(max(crossing(0.0, size, first, loss) / size, low), high) * (1 + MARGIN)
    else:
        factor = 1 / (1 + change) if success else 1 + change
    return min(size * factor, least * (1 + MARGIN))
