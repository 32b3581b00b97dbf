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

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from torch import Tensor
from tqdm.auto import tqdm

from art_crop.attacks import transfer
from art_crop.attacks.placing import Placing
from art_crop.attacks.results import AttackResult, photo_noise
from art_crop.attacks.smallest import bisect
from art_crop.attacks.wishes import Located, find_places, wishes
from art_crop.checks import check_choice, check_int, check_mask, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_regressor import Evaluation
from art_crop.functional.norms import Norm, norm_of, unit
from art_crop.geometry import Region, check_ratios
from art_crop.objectives import LOSSES, PEAKS, CropContainsRegion, Loss, Objective, Peak, PeakInRegion

__all__ = ["AttackResult", "SaliencyPeakFGM"]

Array = np.ndarray[Any, Any]


class SaliencyPeakFGM(EvasionAttack):
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
        mask: ``"grad-cam"`` (the paper's), or None. ``generate`` also takes an array. It weights the gradient; where it
            is 0 nothing changes. With norm inf, whose steps are signs, only that counts.
        layer: Module of the model for Grad-CAM; None: the last convolution of at least 8 channels, activated.
        momentum: Share of the earlier steps' direction that is kept in each step.
        by: What must lie in the region: the peak ``"cell"`` (the cropper's salient point), ``"column"``,
            ``"map-column"``; see :class:`~art_crop.objectives.PeakInRegion`.
        ratios: Aspect ratios whose crops must all contain the region; None: the peak must lie in it.
        loss: ``"margin"`` or ``"cross_entropy"``.
        quantize: Return photos in whole levels of uint8, divided by 255: what a file holds. ``"round"``: always by
            plain rounding; True: at budgets too small for that, single levels are chosen where they are worth most.
            Photos that are not in whole levels are rounded first, everywhere; the budget counts from there.
        smoothing: Standard deviation, in pixels, of a Gaussian filter on the gradient; 0: none. This option and the next
            six make results hold on models that were not attacked; see :mod:`~art_crop.attacks.transfer`.
        diversity: Share of the steps that see the photo at a random size.
        averaging: Kinds of changed copies over which a gradient is averaged: ``"resize"``, ``"jpeg"``, ``"blur"``.
        draws: Copies of each kind.
        features: Layers whose activations should grow at the target and shrink at the old peak; ``"auto"``: four
            convolutions of the model's second half; None: none.
        feature_weight: Of the features' term beside the loss.
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
        *EvasionAttack.attack_params,
        *("norm", "eps", "max_iter", "minimal", "mask", "layer", "momentum", "by", "ratios", "loss"),
        *("smoothing", "diversity", "averaging", "draws", "features", "feature_weight", "ensemble"),
        *("quantize", "judge", "early_stop", "random_init", "seed", "verbose"),
    ]
    _estimator_requirements = (PyTorchSaliencyRegressor,)

    def __init__(
        self,
        estimator: PyTorchSaliencyRegressor,
        *,
        norm: float | str = 2,
        eps: float | Sequence[float] = 10.0,
        max_iter: int = 3,
        minimal: bool = False,
        mask: Literal["grad-cam"] | None = None,
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
        ensemble: Sequence[PyTorchSaliencyRegressor] = (),
        quantize: bool | Literal["round"] = True,
        judge: PyTorchSaliencyRegressor | None = None,
        early_stop: bool = False,
        random_init: bool = False,
        seed: int = 0,
        verbose: bool = False,
        summary_writer: Any = False,
    ) -> None:
        super().__init__(estimator=estimator, summary_writer=summary_writer)
        self._targeted = True
        self.norm, self.eps, self.max_iter, self.minimal = norm, eps, max_iter, minimal
        self.mask, self.layer, self.momentum = mask, layer, momentum
        self.by, self.ratios, self.loss = by, ratios, loss
        self.smoothing, self.diversity, self.averaging, self.draws = smoothing, diversity, averaging, draws
        self.features, self.feature_weight, self.ensemble = features, feature_weight, ensemble
        self.quantize, self.judge, self.early_stop, self.random_init = quantize, judge, early_stop, random_init
        self.seed, self.verbose = seed, verbose
        self.results: list[AttackResult] = []
        self._check_params()

    def _check_params(self) -> None:
        if self.norm not in (2, "2", "inf", np.inf):
            raise InvalidInputError(f'norm: one of 2, inf, "inf" is needed, not {self.norm!r}')
        budgets = list(np.atleast_1d(np.asarray(self.eps, dtype=object)))
        if not budgets:
            raise InvalidInputError("eps: one number, or one a photo, is needed, not an empty list")
        for eps in budgets:
            check_number(eps, "eps", above=0)
        check_int(self.max_iter, "max_iter", at_least=1)
        check_number(self.momentum, "momentum", at_least=0, at_most=1)
        check_choice(self.mask, "mask", (None, "grad-cam"))
        check_choice(self.by, "by", PEAKS)
        check_choice(self.loss, "loss", LOSSES)
        check_int(self.seed, "seed", at_least=0)
        check_choice(self.quantize, "quantize", (True, False, "round"))
        if self.judge is not None:
            self._check_other(self.judge, "judge")
        self._check_transfer()
        for name in ("minimal", "early_stop", "random_init", "verbose"):
            check_choice(getattr(self, name), name, (True, False))
        if self.ratios is not None:
            self.ratios = check_ratios(self.ratios)
        if self.quantize and tuple(self.estimator.clip_values) != (0, 1):
            raise InvalidInputError(
                "quantize: needs an estimator with clip_values=(0, 1); set quantize=False for others"
            )

    def _check_transfer(self) -> None:
        check_number(self.smoothing, "smoothing", at_least=0)
        check_number(self.diversity, "diversity", at_least=0, at_most=1)
        check_int(self.draws, "draws", at_least=1)
        check_number(self.feature_weight, "feature_weight", at_least=0)
        for name in ("averaging", "ensemble"):
            if not isinstance(getattr(self, name), (list, tuple)):
                raise InvalidInputError(f"{name}: a list is needed, not {getattr(self, name)!r}")
        for kind in self.averaging:
            check_choice(kind, "averaging", transfer.COPIES)
        for other in self.ensemble:
            self._check_other(other, "ensemble")
        if isinstance(self.features, str) and self.features != "auto":
            raise InvalidInputError(f'features: "auto", a list of layers or None is needed, not {self.features!r}')
        for model in self._models if self.features is not None else ():
            transfer.feature_layers(model.model, self.features)

    def _check_other(self, other: Any, name: str) -> None:
        if not isinstance(other, PyTorchSaliencyRegressor):
            raise InvalidInputError(f"{name}: a PyTorchSaliencyRegressor is needed, not {type(other).__name__}")
        if tuple(other.clip_values) != tuple(self.estimator.clip_values):
            raise InvalidInputError(f"{name}: clip_values {self.estimator.clip_values} are needed, as the estimator's")

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none."""
        reject_unknown(kwargs, self.attack_params, "set_params")
        before = {name: getattr(self, name) for name in kwargs}
        try:
            super().set_params(**kwargs)
        except Exception:
            self.__dict__.update(before)
            raise

    def generate(self, x: Array, y: Any = None, *, mask: Any = None, **kwargs: Any) -> Array:
        """Perturb photos so that each shows its region.

        Args:
            x: Photos, float32, in the estimator's layout and range.
            y: The regions: one ``Region``, a list of them, an array (N, 4) of x0, y0, x1, y1 in fractions; or an
                objective, which then takes the place of ``by``, ``ratios`` and ``loss``.
            mask: Where the perturbation may be, in [0, 1], broadcast to x; multiplied with Grad-CAM's where that is on.
            **kwargs: None; unknown keywords are refused.

        Returns:
            Photos of x's shape, float32; :attr:`results` says of each whether it succeeded.

        Raises:
            InvalidInputError: Bad photos, regions or masks; as many budgets or regions as photos are needed.
        """
        reject_unknown(kwargs, (), "generate")
        tensor = self.estimator.to_tensor(x)
        objective = wishes(y, len(tensor), self._objective)
        budgets = self._budgets(len(tensor))
        masks = None if mask is None else self._user_mask(mask, x)
        adversarial, self.results = tensor.clone(), []
        self._source = self._gradient_source()
        with tqdm(total=len(tensor), desc=type(self).__name__, unit="photo", disable=not self.verbose) as bar:
            for part in self.estimator.chunks(len(tensor)):
                wish = self._located(tensor[part], objective.take(range(part.start, part.stop)))
                weight = self._weight(tensor[part], wish, None if masks is None else masks[part])
                search = self._smallest_of_each if self.minimal else self._steps
                adversarial[part], results = search(tensor[part], wish, weight, budgets[part].tolist())
                self.results += results
                bar.update(part.stop - part.start)
        result: Array = self.estimator.to_array(adversarial)
        return result

    # -- the attack ----------------------------------------------------------------------------------------------------

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
        taken, active = [0] * len(x), list(range(len(x)))
        step, total = torch.zeros_like(x), torch.zeros_like(x)
        for k in range(self.max_iter):
            success, gradient = self._look(adversarial[active], wish.take(active), decide=self.early_stop or k == 0)
            gradient = gradient if weight is None else gradient * weight[active]
            step[active] = self.momentum * step[active] - unit(gradient, self._norm)
            total[active] += step[active]
            for i, reached in zip(tuple(active), success.tolist(), strict=True):
                before[i], taken[i] = before[i] or (k == 0 and reached and not self.random_init), k + 1
                if reached and self.early_stop:
                    active.remove(i)
                else:
                    budget, last = eps[i] * math.sqrt((k + 1) / self.max_iter), k + 1 == self.max_iter
                    exact = last or self.early_stop
                    adversarial[i] = placings[i].at(total[i], budget, exact=exact)
            if not active:
                break
        return self._judged(x, adversarial, wish, before, taken, [int(self.random_init)] * len(x))

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
        success, gradient = self._look(placing.grid[None], wish)
        if bool(success):
            return self._judged(x, placing.grid[None], wish, [True], [1], [0])
        reach: float | None = None
        best, queries, direction = placing.grid[None], 0, torch.zeros_like(x)
        for k in range(self.max_iter):
            downhill = -gradient if weight is None else -gradient * weight
            direction = (direction * k + downhill) / (k + 1)
            along = direction[0]
            found, found_at, asked = bisect(
                lambda budget: placing.at(along, budget)[None],  # noqa: B023
                lambda photo: bool(self._verdict(photo, wish).success),
                eps,
                reach,
            )
            queries += asked
            if found is None:
                best = found = placing.at(along, eps)[None] if reach is None else best
            elif reach is None or found_at < reach:
                best, reach = found, found_at
            if k + 1 < self.max_iter:
                _, gradient = self._look(found, wish)
        return self._judged(x, best, wish, [False], [self.max_iter], [queries])

    # -- the pieces ----------------------------------------------------------------------------------------------------

    def _look(self, photos: Tensor, wish: Objective, *, decide: bool = True) -> tuple[Tensor, Tensor]:
        """Success (n,) and gradient at photos (n, 3, H, W); the success is only binding where it decides something."""
        gradient, success = self._source(photos, wish, decide and self.judge is None)
        if decide and (success is None or self.judge is not None):
            success = self._verdict(photos, wish).success
        return torch.zeros(len(photos), dtype=torch.bool) if success is None else success, gradient

    @property
    def _models(self) -> list[PyTorchSaliencyRegressor]:
        return [self.estimator, *self.ensemble]

    def _gradient_source(self) -> transfer.Source:
        """The options for transfer, one about the other."""
        sources = []
        for model in self._models:
            layers = transfer.feature_layers(model.model, self.features)
            sources.append(
                transfer.with_features(model, layers, self.feature_weight) if layers else transfer.plain(model)
            )
        source = transfer.ensembled(sources) if len(sources) > 1 else sources[0]
        if self.averaging:
            source = transfer.averaged(source, self.averaging, self.draws, self.seed, self._clip)
        if self.diversity:
            source = transfer.diverse(source, self.diversity, self.seed, self._clip)
        return transfer.smoothed(source, self.smoothing) if self.smoothing else source

    def _located(self, x: Tensor, wish: Objective) -> Objective:
        """The wish, with the photos' places where an option needs them: the judge's peak, or the model's own."""
        if self.features is None:
            return wish
        regions = getattr(wish, "regions", None)
        if regions is None:
            raise InvalidInputError("y: regions are needed where features are moved as well, not another objective")
        return Located(wish, find_places((self.judge or self.estimator).output(self.estimator.to_array(x)), regions))

    def _verdict(self, photos: Tensor, wish: Objective) -> Evaluation:
        """Loss and success of the model that decides."""
        judged: Evaluation = (self.judge or self.estimator).evaluate(photos, wish)
        return judged

    @property
    def _norm(self) -> Norm:
        return "2" if self.norm in (2, "2") else "inf"

    @property
    def _clip(self) -> tuple[float, float]:
        low, high = self.estimator.clip_values
        return float(low), float(high)

    def _placing(self, photo: Tensor, weight: Tensor | None) -> Placing:
        return Placing(
            photo,
            self._norm,
            quantize=bool(self.quantize),
            single_levels=self.quantize is True,
            halvings=self.estimator.rule.halvings((photo.shape[-1], photo.shape[-2])),
            weight=weight,
            clip=self._clip,
        )

    def _start(self, placing: Placing, eps: float) -> Tensor:
        if not self.random_init:
            return placing.grid
        noise = photo_noise(placing.grid, self.seed, self._clip)
        return placing.at(noise if placing.movable is None else noise * placing.movable, 0.01 * eps)

    def _judged(
        self,
        x: Tensor,
        adversarial: Tensor,
        wish: Objective,
        before: list[bool],
        gradients: list[int],
        queries: list[int],
    ) -> tuple[Tensor, list[AttackResult]]:
        """The photos with their records; success as float32 sees exactly these photos."""
        each = len(self._models) * (1 + self.draws * len(self.averaging))
        gradients = [count * each + (self.mask is not None) for count in gradients]
        final = self._verdict(adversarial, wish)
        delta = adversarial - x
        columns = (final.success, norm_of(delta), norm_of(delta, "inf"), final.loss)
        rows = zip(*(column.tolist() for column in columns), before, gradients, queries, strict=True)
        return adversarial, [AttackResult(s, b, l2, linf, loss, g, q + 1) for s, l2, linf, loss, b, g, q in rows]

    def _weight(self, x: Tensor, wish: Objective, mask: Tensor | None) -> Tensor | None:
        """The user's mask times the Grad-CAM map of the target's score."""
        if self.mask is None:
            return mask
        cam: Tensor = self.estimator.grad_cam(x, wish, self.layer)
        return cam if mask is None else cam * mask

    def _objective(self, regions: list[Region]) -> Objective:
        if self.ratios is not None:
            return CropContainsRegion(regions, self.ratios, loss=self.loss)
        return PeakInRegion(regions, by=self.by, loss=self.loss)

    def _budgets(self, count: int) -> Array:
        eps = np.atleast_1d(np.asarray(self.eps, dtype=np.float64))
        if len(eps) not in (1, count):
            raise InvalidInputError(f"eps: one number, or {count} of them (one a photo), is needed, not {len(eps)}")
        return np.broadcast_to(eps, count)

    def _user_mask(self, mask: Any, x: Array) -> Tensor:
        full = check_mask(mask, x.shape)
        full = full if self.estimator.channels_first else full.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.array(full, order="C")).to(self.estimator.device)  # a copy, for it may be read-only
