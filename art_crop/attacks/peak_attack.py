"""What the attacks on a saliency map's peak share: budgets, masks, whole grey levels, and who decides success."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from torch import Tensor
from tqdm.auto import tqdm

from art_crop.attacks.placing import Placing
from art_crop.attacks.results import AttackResult
from art_crop.attacks.smallest import Bisected, bisect
from art_crop.attacks.wishes import Located, find_places, wishes
from art_crop.checks import check_choice, check_int, check_mask, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.placement import frozen
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_regressor import Evaluation
from art_crop.functional.norms import Norm, norm_of
from art_crop.geometry import Region, check_ratios
from art_crop.objectives import LOSSES, PEAKS, CropContainsRegion, Loss, Objective, Peak, PeakInRegion

__all__ = ["DirectionAttack", "PeakAttack"]

Array = np.ndarray[Any, Any]
WIDE = 0.15
"""Standard deviation of the spots of ``mask="places"``, as a share of the photo's longer side."""


class PeakAttack(EvasionAttack):
    """Base of the attacks that show a region; they differ in where a perturbation comes from (:meth:`_search`).

    Args:
        estimator: The model attacked.
        norm: ``2`` or ``"inf"`` (``numpy.inf``).
        eps: Budget for each photo: norm of the whole perturbation in units of ``clip_values``; one number, or one a
            photo. With ``minimal`` the largest budget that is tried.
        minimal: Find the smallest perturbation that succeeds.
        mask: ``"grad-cam"`` (the paper's), ``"places"`` (wide Gaussian spots about target and old peak), or None.
            ``generate`` also takes an array.
        layer: Module of the model for Grad-CAM; None: the last convolution of at least 8 channels, activated.
        by: What must lie in the region: the peak ``"cell"`` (the cropper's salient point), ``"column"``,
            ``"map-column"``; see :class:`~art_crop.objectives.PeakInRegion`.
        ratios: Aspect ratios whose crops must all contain the region; None: the peak must lie in it.
        loss: ``"margin"`` or ``"cross_entropy"``.
        quantize: Return photos in whole levels of uint8, divided by 255: what a file holds. ``"round"``: always by
            plain rounding; True: at budgets too small for that, single levels are chosen where they are worth most.
            Photos that are not in whole levels are rounded first, everywhere; the budget counts from there.
        judge: Another estimator that decides success, asked and never looked into. None: the model attacked.
        seed: Start of the random streams; a photo's result is the same alone and in any batch.
        verbose: Show a progress bar.
        summary_writer: As in ART.

    Raises:
        InvalidInputError: A parameter outside its range.
    """

    attack_params: ClassVar[list[str]] = [
        *EvasionAttack.attack_params,
        *("norm", "eps", "minimal", "mask", "layer", "by", "ratios", "loss", "quantize", "judge", "seed", "verbose"),
    ]
    _estimator_requirements = (PyTorchSaliencyRegressor,)
    _passes = 1
    """Passes through a model that one look takes."""

    def __init__(
        self,
        estimator: PyTorchSaliencyRegressor,
        *,
        norm: float | str = 2,
        eps: float | Sequence[float] = 10.0,
        minimal: bool = False,
        mask: Literal["grad-cam", "places"] | None = None,
        layer: str | None = None,
        by: Peak = "cell",
        ratios: Sequence[float] | None = None,
        loss: Loss = "margin",
        quantize: bool | Literal["round"] = True,
        judge: PyTorchSaliencyRegressor | None = None,
        seed: int = 0,
        verbose: bool = False,
        summary_writer: Any = False,
    ) -> None:
        super().__init__(estimator=estimator, summary_writer=summary_writer)
        self._targeted = True
        self.norm, self.eps, self.minimal = norm, eps, minimal
        self.mask, self.layer = mask, layer
        self.by, self.ratios, self.loss = by, ratios, loss
        self.quantize, self.judge = quantize, judge
        self.seed, self.verbose = seed, verbose
        self.results: list[AttackResult] = []

    def _check_params(self) -> None:
        if self.norm not in (2, "2", "inf", np.inf):
            raise InvalidInputError(f'norm: one of 2, inf, "inf" is needed, not {self.norm!r}')
        budgets = list(np.atleast_1d(np.asarray(self.eps, dtype=object)))
        if not budgets:
            raise InvalidInputError("eps: one number, or one a photo, is needed, not an empty list")
        for eps in budgets:
            check_number(eps, "eps", above=0)
        check_choice(self.mask, "mask", (None, "grad-cam", "places"))
        check_choice(self.by, "by", PEAKS)
        check_choice(self.loss, "loss", LOSSES)
        check_int(self.seed, "seed", at_least=0)
        check_choice(self.quantize, "quantize", (True, False, "round"))
        for name in ("minimal", "verbose"):
            check_choice(getattr(self, name), name, (True, False))
        if self.judge is not None:
            self._check_other(self.judge, "judge")
        if self.ratios is not None:
            self.ratios = check_ratios(self.ratios)
        if self.quantize and tuple(self.estimator.clip_values) != (0, 1):
            raise InvalidInputError(
                "quantize: needs an estimator with clip_values=(0, 1); set quantize=False for others"
            )

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
        self._prepare()
        bar = tqdm(total=len(tensor), desc=type(self).__name__, unit="photo", disable=not self.verbose)
        with bar, frozen(self.estimator.model):
            for part in self.estimator.chunks(len(tensor)):
                wish = self._located(tensor[part], objective.take(range(part.start, part.stop)))
                weight = self._weight(tensor[part], wish, None if masks is None else masks[part])
                adversarial[part], results = self._search(tensor[part], wish, weight, budgets[part].tolist())
                self.results += results
                bar.update(part.stop - part.start)
        result: Array = self.estimator.to_array(adversarial)
        return result

    def _prepare(self) -> None:
        """Make what all photos of a call share."""

    @abstractmethod
    def _search(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: list[float]
    ) -> tuple[Tensor, list[AttackResult]]:
        """Perturbed photos (n, 3, H, W) with their records, for budgets or largest budgets ``eps``."""

    # -- the pieces ----------------------------------------------------------------------------------------------------

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

    def _bisect(
        self, placing: Placing, direction: Tensor, wish: Objective, most: float, reach: float | None = None
    ) -> Bisected:
        """:func:`~art_crop.attacks.smallest.bisect` for one photo (1, 3, H, W) along a direction (3, H, W)."""
        return bisect(
            lambda budget: placing.at(direction, budget)[None],
            lambda photo: bool(self._verdict(photo, wish).success),
            most,
            reach,
        )

    @property
    def _needs_places(self) -> bool:
        """Whether wishes must be :class:`~art_crop.attacks.wishes.Located`."""
        return self.mask == "places"

    def _located(self, x: Tensor, wish: Objective) -> Objective:
        """The wish, with the photos' places where they are needed: by the judge's map, or the model's own."""
        if not self._needs_places:
            return wish
        regions = getattr(wish, "regions", None)
        if regions is None:
            raise InvalidInputError("y: regions are needed by this attack's options, not another objective")
        asked = self.judge or self.estimator
        return Located(wish, find_places(asked.output(asked.to_array(x)), regions))

    def _judged(
        self,
        x: Tensor,
        adversarial: Tensor,
        wish: Objective,
        before: list[bool],
        gradients: list[int],
        queries: list[int],
        curves: Sequence[Sequence[float]],
    ) -> tuple[Tensor, list[AttackResult]]:
        """The photos with their records; success as float32 sees exactly these photos.

        Curves are of budgets with ``minimal``; else of the attacked model's loss, NaN where that is not known, and the
        last one is added here.
        """
        gradients = [count * self._passes + (self.mask == "grad-cam") for count in gradients]
        final = self._verdict(adversarial, wish)
        delta = adversarial - x
        columns = (final.success, norm_of(delta), norm_of(delta, "inf"), final.loss)
        rows = zip(*(column.tolist() for column in columns), before, gradients, queries, curves, strict=True)
        kind: Literal["loss", "budget"] = "budget" if self.minimal else "loss"
        results = []
        for success, l2, linf, loss, began, steps, asked, curve in rows:
            if curve and not self.minimal and self.judge is None:
                curve = [*curve, loss]
            best = () if any(map(math.isnan, curve)) else tuple(accumulate(curve, min))
            results.append(AttackResult(success, began, l2, linf, loss, steps, asked + 1, best, kind if best else ""))
        return adversarial, results

    def _weight(self, x: Tensor, wish: Objective, mask: Tensor | None) -> Tensor | None:
        """The user's mask times the Grad-CAM map of the target's score, or times the spots about the two places."""
        if self.mask is None:
            return mask
        if self.mask == "places":
            assert isinstance(wish, Located)
            own = torch.maximum(*wish.spots((x.shape[-2], x.shape[-1]), x, WIDE))[:, None]
        else:
            own = self.estimator.grad_cam(x, wish, self.layer)
        return own if mask is None else own * mask

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


class DirectionAttack(PeakAttack):
    """An attack whose direction no gradient gives: one step at the budget, or the smallest that succeeds along it."""

    def __init__(self, estimator: PyTorchSaliencyRegressor, **kwargs: Any) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, **kwargs)

    @abstractmethod
    def _direction(self, photos: Tensor, wish: Objective) -> Tensor:
        """Where to go from the photos (n, 3, H, W), before masks; its length does not matter."""

    def _search(
        self, x: Tensor, wish: Objective, weight: Tensor | None, eps: list[float]
    ) -> tuple[Tensor, list[AttackResult]]:
        placings = [self._placing(photo, None if weight is None else weight[i]) for i, photo in enumerate(x)]
        grids = torch.stack([placing.grid for placing in placings])
        first = self._verdict(grids, wish)
        before = first.success.tolist()
        direction = self._direction(grids, wish)
        direction = direction if weight is None else direction * weight
        moved, queries = grids.clone(), [1] * len(x)
        curves = [[] if self.minimal or self.judge is not None else [loss] for loss in first.loss.tolist()]
        for i, placing in enumerate(placings):
            if not self.minimal:
                moved[i] = placing.at(direction[i], eps[i])
            elif not before[i]:
                found, _, curves[i] = self._bisect(placing, direction[i], wish.take([i]), eps[i])
                moved[i] = placing.at(direction[i], eps[i]) if found is None else found[0]
                queries[i] = 1 + len(curves[i])
        return self._judged(x, moved, wish, before, [0] * len(x), queries, curves)
