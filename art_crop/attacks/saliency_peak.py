"""Move a saliency map's peak, or the crop that follows from it, with the gradient of the model.

Papers 000 and 001 (Yoshida, Okuda et al., "Adversarial Examples for Image Cropping in Social Media", ICIP 2022,
algorithm 1):

    x' = x;   repeat N = 3 times:   eta = alpha * grad J / ||grad J||_2;   x' = x' + eta

with the plain gradient (signs suffer where a model blurs), multiplied by the model's Grad-CAM map, and the whole
perturbation scaled to the L2 norm that was asked for. N = 1 is FGM. Beyond the paper: any number of steps, momentum,
the smallest perturbation that succeeds, results in whole grey levels, success judged on what is returned, and gradients
that hold on other models (:mod:`art_crop.attacks.transfer`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from art_crop.attacks import transfer
from art_crop.attacks.peak_attack import PeakAttack
from art_crop.attacks.placing import Placing
from art_crop.attacks.results import AttackResult, photo_noise
from art_crop.checks import check_choice, check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import layer_called
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.functional.norms import unit
from art_crop.objectives import Loss, Objective, Peak

__all__ = ["SaliencyPeakFGM"]


class SaliencyPeakFGM(PeakAttack):
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

    Args:
        estimator: The model attacked.
        norm: ``2`` or ``"inf"`` (``numpy.inf``).
        eps: Budget for each photo: norm of the whole perturbation in units of ``clip_values``; one number, or one a
            photo. With ``minimal`` the largest budget that is tried.
        max_iter: Gradient steps; 3 in the paper. With ``minimal`` the rounds in which the direction is corrected.
        minimal: Find the smallest perturbation that succeeds: bisect the budget along a direction, take the gradient
            where that ends, average, repeat. ``momentum``, ``early_stop`` and ``random_init`` have no part in it.
        mask: ``"grad-cam"`` (the paper's), ``"places"`` (wide Gaussian spots about target and old peak), or None.
            ``generate`` also takes an array. It weights the gradient; where it is 0 nothing changes. With norm inf,
            whose steps are signs, only that counts.
        layer: Module of the model for Grad-CAM; None: the last convolution of at least 8 channels, activated.
        momentum: Share of the earlier steps' direction that is kept in each step.
        by: What must lie in the region: the peak ``"cell"`` (the cropper's salient point), ``"column"``,
            ``"map-column"``; see :class:`~art_crop.objectives.PeakInRegion`.
        ratios: Aspect ratios whose crops must all contain the region; None: the peak must lie in it.
        loss: ``"margin"`` or ``"cross_entropy"``.
        quantize: Return photos in whole levels of uint8, divided by 255: what a file holds. ``"round"``: always by
            plain rounding; True: at budgets too small for that, single levels are chosen where they are worth most.
            Photos that are not in whole levels are rounded first, everywhere; the budget counts from there.
        smoothing: Standard deviation, in pixels, of a Gaussian filter on the gradient; 0: none. This option and the
            next seven make results hold on models that were not attacked; see :mod:`~art_crop.attacks.transfer`.
        diversity: Share of the steps that see the photo at a random size.
        averaging: Kinds of changed copies over which a gradient is averaged: ``"resize"``, ``"jpeg"``, ``"blur"``.
        draws: Copies of each kind.
        features: Layers whose activations should grow at the target and shrink at the old peak; ``"auto"``: four of
            the fifth to tenth convolutions; None: none.
        feature_weight: Of the features' term beside the loss.
        contrast: Weight, beside the gradient, of the edit that knows no network; see
            :class:`~art_crop.attacks.contrast_shift.ContrastShift`.
        ensemble: Further estimators, whose gradients of norm 1 are added to this one's.
        judge: Another estimator that decides success, asked and never looked into: gradients of a surrogate, verdicts
            of the model that is meant. None: the model attacked.
        early_stop: End a photo's steps as soon as it succeeds, with the budget of that step.
        random_init: Begin with noise of a hundredth of the budget, from ``seed``, different for each photo.
        seed: Start of the random streams; a photo's result is the same alone and in any batch.
        verbose: Show a progress bar.
        summary_writer: As in ART.

    Raises:
        InvalidInputError: A parameter outside its range.
    """

    attack_params: ClassVar[list[str]] = [
        *PeakAttack.attack_params,
        *("max_iter", "momentum", "early_stop", "random_init"),
        *("smoothing", "diversity", "averaging", "draws", "features", "feature_weight", "contrast", "ensemble"),
    ]

    def __init__(
        self,
        estimator: PyTorchSaliencyRegressor,
        *,
        norm: float | str = 2,
        eps: float | Sequence[float] = 10.0,
        max_iter: int = 3,
        minimal: bool = False,
        mask: Literal["grad-cam", "places"] | None = None,
        layer: str | None = None,
        momentum: float = 0.0,
        by: Peak = "cell",
        ratios: Sequence[float] | None = None,
        loss: Loss = "margin",
        smoothing: float = 0.0,
        diversity: float = 0.0,
        averaging: Sequence[transfer.Copy] = (),
        draws: int = 1,
        features: Sequence[str] | Literal["auto"] | None = None,
        feature_weight: float = 1.0,
        contrast: float = 0.0,
        ensemble: Sequence[PyTorchSaliencyRegressor] = (),
        quantize: bool | Literal["round"] = True,
        judge: PyTorchSaliencyRegressor | None = None,
        early_stop: bool = False,
        random_init: bool = False,
        seed: int = 0,
        verbose: bool = False,
        summary_writer: Any = False,
    ) -> None:
        super().__init__(
            estimator,
            norm=norm,
            eps=eps,
            minimal=minimal,
            mask=mask,
            layer=layer,
            by=by,
            ratios=ratios,
            loss=loss,
            quantize=quantize,
            judge=judge,
            seed=seed,
            verbose=verbose,
            summary_writer=summary_writer,
        )
        self.max_iter, self.momentum, self.early_stop, self.random_init = max_iter, momentum, early_stop, random_init
        self.smoothing, self.diversity, self.averaging, self.draws = smoothing, diversity, averaging, draws
        self.features, self.feature_weight, self.contrast = features, feature_weight, contrast
        self.ensemble = ensemble
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
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
            check_choice(kind, "averaging", transfer.COPIES)
        for other in self.ensemble:
            self._check_other(other, "ensemble")
        if isinstance(self.features, str) and self.features != "auto":
            raise InvalidInputError(f'features: "auto", a list of layers or None is needed, not {self.features!r}')
        for model in self._models if isinstance(self.features, (list, tuple)) else ():
            for layer in self.features or ():
                layer_called(model.model, layer)

    # -- the attack ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._source = self._gradient_source()

    def _search(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: list[float]
    ) -> tuple[Tensor, list[AttackResult]]:
        return (self._smallest_of_each if self.minimal else self._steps)(x, wish, weight, eps)

    def _steps(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: list[float]
    ) -> tuple[Tensor, list[AttackResult]]:
        """Algorithm 1 for photos (n, 3, H, W): gradients of unit norm, added up, at a budget that grows to ``eps``.

        N unit steps in unrelated directions add up to sqrt(N); the paper's own step is eps / 1.77 for N = 3.
        """
        placings = [self._placing(photo, None if weight is None else weight[i]) for i, photo in enumerate(x)]
        adversarial = torch.stack([self._start(placing, e) for placing, e in zip(placings, eps, strict=True)])
        # The first look is at the photo itself, unless that begins with noise.
        before = self._verdict(x, wish).success.tolist() if self.random_init else [False] * len(x)
        taken, asked, active = [0] * len(x), [int(self.random_init)] * len(x), list(range(len(x)))
        curves: list[list[float]] = [[] for _ in x]
        step, total = torch.zeros_like(x), torch.zeros_like(x)
        for k in range(self.max_iter):
            some = slice(None) if len(active) == len(x) else active  # a slice copies nothing
            decide = self.early_stop or (k == 0 and not self.random_init)
            gradient, success, loss, apart = self._look(adversarial[some], wish.take(active), decide=decide)
            gradient = gradient if weight is None else gradient * weight[some]
            step[some] = self.momentum * step[some] - unit(gradient, self._norm)
            total[some] += step[some]
            for i, reached, value in zip(tuple(active), success.tolist(), loss.tolist(), strict=True):
                curves[i].append(value)
                asked[i] += apart
                before[i], taken[i] = before[i] or (k == 0 and reached and not self.random_init), k + 1
                if reached and self.early_stop:
                    active.remove(i)
                else:
                    budget, last = eps[i] * math.sqrt((k + 1) / self.max_iter), k + 1 == self.max_iter
                    exact = last or self.early_stop
                    adversarial[i] = placings[i].at(total[i], budget, exact=exact)
            if not active:
                break
        return self._judged(x, adversarial, wish, before, taken, asked, curves)

    def _smallest_of_each(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: list[float]
    ) -> tuple[Tensor, list[AttackResult]]:
        """:meth:`_smallest` for each of some photos: every bisection goes its own way."""
        found, results = x.clone(), []
        for i, most in enumerate(eps):
            one = slice(i, i + 1)
            found[one], result = self._smallest(x[one], wish.take([i]), None if weight is None else weight[one], most)
            results += result
        return found, results

    def _smallest(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: float
    ) -> tuple[Tensor, list[AttackResult]]:
        """The smallest perturbation of one photo that succeeds, at most ``eps``.

        At the smallest perturbation the change is parallel to the gradient there, not to that at x. So: bisect the
        budget along the direction, take the gradient at the end, average it into the direction, and bisect again.
        """
        placing = self._placing(x[0], None if weight is None else weight[0])
        gradient, success, _, apart = self._look(placing.grid[None], wish)
        if bool(success):
            return self._judged(x, placing.grid[None], wish, [True], [1], [apart], [[]])
        reach: float | None = None
        best, direction, curve = placing.grid[None], torch.zeros_like(x), [math.inf]
        for k in range(self.max_iter):
            downhill = -gradient if weight is None else -gradient * weight
            direction = (direction * k + downhill) / (k + 1)
            along = direction[0]
            found, found_at, trail = self._bisect(placing, along, wish, eps, reach)
            curve += trail
            if found is None:
                best = found = placing.at(along, eps)[None] if reach is None else best
            elif reach is None or found_at < reach:
                best, reach = found, found_at
            if k + 1 < self.max_iter:
                gradient, *_ = self._look(found, wish, decide=False)
                curve.append(curve[-1])
        return self._judged(x, best, wish, [False], [self.max_iter], [len(curve) - self.max_iter + apart], [curve])

    # -- the pieces ----------------------------------------------------------------------------------------------------

    def _look(self, photos: Tensor, wish: Objective, *, decide: bool = True) -> tuple[Tensor, Tensor, Tensor, bool]:
        """Gradient at photos (n, 3, H, W), success (n,), binding only where it decides something, and loss (n,).

        And whether that took a query of its own, as a judge's verdict does. The loss is NaN where the options leave
        none that is the attacked model's own, at these photos.
        """
        gradient, success, loss = self._source(photos, wish, decide and self.judge is None)
        apart = decide and (success is None or self.judge is not None)
        if apart:
            success = self._verdict(photos, wish).success
        success = torch.zeros(len(photos), dtype=torch.bool) if success is None else success
        loss = torch.full((len(photos),), math.nan) if loss is None else loss
        return gradient, success, loss, apart

    @property
    def _models(self) -> list[PyTorchSaliencyRegressor]:
        return [self.estimator, *self.ensemble]

    def _gradient_source(self) -> transfer.Source:
        """The options for transfer, one about the other."""
        sources = []
        for model in self._models:
            sources.append(
                transfer.plain(model)
                if self.features is None
                else transfer.with_features(model, self.features, self.feature_weight)
            )
        source = transfer.ensembled(sources) if len(sources) > 1 else sources[0]
        if self.averaging:
            source = transfer.averaged(source, self.averaging, self.draws, self.seed, self._clip)
        if self.diversity:
            source = transfer.diverse(source, self.diversity, self.seed, self._clip)
        if self.smoothing:
            source = transfer.smoothed(source, self.smoothing)
        return transfer.with_contrast(source, self.contrast) if self.contrast else source

    @property
    def _needs_places(self) -> bool:
        return super()._needs_places or self.features is not None or self.contrast > 0

    @property
    def _passes(self) -> int:  # type: ignore[override]
        return len(self._models) * (1 + self.draws * len(self.averaging))

    def _start(self, placing: Placing, eps: float) -> Tensor:
        if not self.random_init:
            return placing.grid
        noise = photo_noise(placing.grid, self.seed, self._clip)
        return placing.at(noise if placing.movable is None else noise * placing.movable, 0.01 * eps)
