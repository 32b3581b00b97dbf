"""What every attack here shares: ART's contract, one objective and one budget a photo, and who decides success."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from art.exceptions import EstimatorError
from torch import Tensor
from tqdm.auto import tqdm

from art_crop.attacks.constraints import Constraint, GreyLevels
from art_crop.attacks.results import AttackResult
from art_crop.attacks.search import Found, smallest_budgets
from art_crop.attacks.space import Candidate, PhotoSpace, ReducedSpace, Space
from art_crop.attacks.targets import Located, objective_of, peak_moves
from art_crop.checks import check_choice, check_int, check_mask, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.base import Evaluation
from art_crop.estimators.blackbox import BlackBox
from art_crop.estimators.passes import photos_numbered
from art_crop.estimators.placement import frozen
from art_crop.estimators.quality import same_scale
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.norms import Norm
from art_crop.geometry import check_ratios
from art_crop.objectives import LOSSES, PEAKS, Loss, Peak

__all__ = ["Batch", "DirectionAttack", "EstimatorRequirementError", "PhotoAttack"]

Array = np.ndarray[Any, Any]
WIDE = 0.15
"""Standard deviation of the spots of ``mask="spots"``, as a share of the photo's longer side."""


class EstimatorRequirementError(InvalidInputError, EstimatorError):
    """An attack cannot use an estimator; the message says which it takes. ART's own callers know it, too."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self.message = message  # what ART prints


@dataclass
class Batch:
    """Some photos of one size, with all that a search on them needs.

    Attributes:
        spaces: Where each photo's candidates are searched.
        objective: For these photos.
        eps: Budget, or largest budget, of each.
        weight: Mask (n, 1 or 3, h, w) at the size of the spaces, or None.
        estimator: The source model, at the size of the spaces.
        oracle: The model that decides success, at that size; None: the source model.
    """

    spaces: Sequence[Space]
    objective: Any
    eps: list[float]
    weight: Tensor | None
    estimator: Any
    oracle: Any

    def __len__(self) -> int:
        return len(self.spaces)

    @property
    def start(self) -> Tensor:
        """The unchanged photos as the models are asked about them, (n, 3, h, w)."""
        return torch.stack([space.start.seen for space in self.spaces])

    def evaluate(self, photos: Tensor, indices: Sequence[int] | None = None) -> Evaluation:
        """Ask the model that decides about some of the photos; all of them by default."""
        objective = self.objective if indices is None else self.objective.take(indices)
        with photos_numbered(range(len(self)) if indices is None else indices):
            verdict: Evaluation = (self.oracle or self.estimator).evaluate(photos, objective)
        return verdict


class PhotoAttack(EvasionAttack):
    """Base of the attacks; they differ in where a perturbation comes from (:meth:`_search`).

    Args:
        estimator: The source model: any estimator of art_crop that the attack can use, of any task.
        norm: ``2`` or ``"inf"`` (``numpy.inf``).
        eps: Budget for each photo: norm of the whole perturbation in units of ``clip_values``; one number, or one a
            photo. With ``minimal`` the largest budget that is tried.
        minimal: Find the smallest perturbation that succeeds.
        constraint: What the perturbation may be beside that norm, such as a
            :class:`~art_crop.attacks.constraints.PerPixelBound`; ``generate`` takes one too.
        mask: ``"grad-cam"`` (the paper's), ``"spots"`` (wide Gaussian spots about target and old peak), or None.
            ``generate`` also takes an array.
        layer: Module of the model for Grad-CAM; None: the last convolution of at least 8 channels, activated.
        by: How regions given as y are meant: the peak ``"cell"`` (the cropper's salient point), ``"column"`` or
            ``"map-column"`` must lie in them; see :class:`~art_crop.objectives.PeakInRegion`.
        ratios: Aspect ratios whose crops must all contain the region; None: the peak must lie in it.
        loss: ``"margin"`` or ``"cross_entropy"``, where y is no objective.
        quantize: Return photos in whole levels of uint8, divided by 255: what a file holds. ``"round"``: always by
            plain rounding; True: at budgets too small for that, single levels are chosen where they are worth most.
            Photos that are not in whole levels are rounded first, everywhere; the budget counts from there.
        success_oracle: Another estimator of the same task, white box or query-only, that decides success; asked and
            never looked into. None: the source model.
        seed: Start of the random streams; a photo's result is the same alone and in any batch.
        verbose: Show a progress bar.
        summary_writer: As in ART.
        judge: Old name of ``success_oracle``.

    Raises:
        InvalidInputError: A parameter outside its range.
        EstimatorRequirementError: An estimator that the attack cannot use.
    """

    attack_params: ClassVar[list[str]] = [
        *EvasionAttack.attack_params,
        *("norm", "eps", "minimal", "constraint", "mask", "layer", "by", "ratios", "loss"),
        *("quantize", "success_oracle", "seed", "verbose"),
    ]
    _estimator_requirements: Any = ((TorchEstimator, BlackBox),)
    _needed = "an estimator of art_crop, white box or query-only"
    _in_colour: ClassVar[bool] = False
    """It is about colours, so that photos of one channel are none for it."""

    def __init__(
        self,
        estimator: Any,
        *,
        norm: float | str = 2,
        eps: float | Sequence[float] = 10.0,
        minimal: bool = False,
        constraint: Constraint | None = None,
        mask: Literal["grad-cam", "spots"] | None = None,
        layer: str | None = None,
        by: Peak = "cell",
        ratios: Sequence[float] | None = None,
        loss: Loss = "margin",
        quantize: bool | Literal["round"] = True,
        success_oracle: Any = None,
        seed: int = 0,
        verbose: bool = False,
        summary_writer: Any = False,
        judge: Any = None,
    ) -> None:
        try:
            super().__init__(estimator=estimator, summary_writer=summary_writer)
        except EstimatorError:
            raise EstimatorRequirementError(
                f"estimator: {type(self).__name__} takes {self._needed}, not {type(estimator).__name__}"
            ) from None
        self._targeted = True
        self.norm, self.eps, self.minimal, self.constraint = norm, eps, minimal, constraint
        self.mask: Any = mask
        self.layer, self.by, self.ratios, self.loss = layer, by, ratios, loss
        if judge is not None:
            warnings.warn("judge: it is called success_oracle now", DeprecationWarning, stacklevel=3)
        self.quantize, self.success_oracle = quantize, judge if success_oracle is None else success_oracle
        self.seed, self.verbose = seed, verbose
        self.results: list[AttackResult] = []
        self.on_step: Callable[[int, int], None] = lambda done, of: None
        """Called after each step or round on a photo, with how many of how many are done."""

    def _check_params(self) -> None:
        if self.norm not in (2, "2", "inf", np.inf):
            raise InvalidInputError(f'norm: one of 2, inf, "inf" is needed, not {self.norm!r}')
        budgets = list(np.atleast_1d(np.asarray(self.eps, dtype=object)))
        if not budgets:
            raise InvalidInputError("eps: one number, or one a photo, is needed, not an empty list")
        for eps in budgets:
            check_number(eps, "eps", above=0)
        self.mask = _renamed(self.mask, "places", "spots", "mask")
        check_choice(self.mask, "mask", (None, "grad-cam", "spots"))
        if self.mask == "grad-cam" and not isinstance(self.estimator, TorchEstimator):
            raise InvalidInputError(f"mask: Grad-CAM needs a white box, not {type(self.estimator).__name__}")
        check_choice(self.by, "by", PEAKS)
        check_choice(self.loss, "loss", LOSSES)
        check_int(self.seed, "seed", at_least=0)
        check_choice(self.quantize, "quantize", (True, False, "round"))
        for name in ("minimal", "verbose"):
            check_choice(getattr(self, name), name, (True, False))
        if self.constraint is not None and not isinstance(self.constraint, Constraint):
            raise InvalidInputError(f"constraint: a Constraint or None is needed, not {self.constraint!r}")
        channels = self.estimator.input_shape[0 if self.estimator.channels_first else 2]
        if self._in_colour and channels != 3:
            raise InvalidInputError(
                f"estimator: {type(self).__name__} needs photos of 3 channels, not of {channels} (input_shape)"
            )
        if self.success_oracle is not None:
            self._check_other(self.success_oracle, "success_oracle", (TorchEstimator, BlackBox))
        if self.ratios is not None:
            self.ratios = check_ratios(self.ratios)
        if self.quantize and tuple(self.estimator.clip_values) != (0, 1):
            raise InvalidInputError(
                "quantize: needs an estimator with clip_values=(0, 1); set quantize=False for others"
            )

    def _check_other(self, other: Any, name: str, kinds: tuple[type, ...]) -> None:
        known = isinstance(other, kinds)
        if not known or other.task != self.estimator.task:
            kind = "white box" if BlackBox not in kinds else "estimator"
            raise InvalidInputError(
                f"{name}: a {self.estimator.task} {kind} of art_crop is needed, not {type(other).__name__}"
            )
        if tuple(other.clip_values) != tuple(self.estimator.clip_values):
            raise InvalidInputError(f"{name}: clip_values {self.estimator.clip_values} are needed, as the estimator's")
        if other.task == "quality" and not same_scale(self.estimator, other):
            raise InvalidInputError(
                f"{name}: its scores go {_scale(other)}, the estimator's {_scale(self.estimator)}; one scale is "
                "needed, which a white box's on_scale gives"
            )

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none."""
        reject_unknown(kwargs, self.attack_params, "set_params")
        before = {name: getattr(self, name) for name in kwargs}
        try:
            super().set_params(**kwargs)
        except Exception:
            self.__dict__.update(before)
            raise

    def generate(self, x: Any, y: Any = None, *, mask: Any = None, constraint: Any = None, **kwargs: Any) -> Any:
        """Perturb photos so that each meets its objective.

        Args:
            x: Photos in the estimator's layout and range, or a tensor (N, 3, H, W).
            y: An objective; or for saliency the regions (one ``Region``, a list of them, an array (N, 4) of x0, y0, x1,
                y1 in fractions), for quality the scores to fall to (to rise to, where lower is better), for
                classification the labels to leave.
            mask: Where the perturbation may be, in [0, 1], broadcast to x; multiplied with the attack's own mask.
            constraint: Further limits, with a bound or budget for each photo, beside the attack's own constraint.
            **kwargs: None; unknown keywords are refused.

        Returns:
            Photos of x's shape, float32, a tensor where x is one; :attr:`results` says of each whether it succeeded.

        Raises:
            InvalidInputError: Bad photos, objectives, masks or constraints; as many budgets as photos are needed; a
                model whose answers or gradients are not finite, with the photos for which that is so.
        """
        with torch.inference_mode(False):  # gradients are needed, whatever the caller is in
            return self._generate(x, y, mask, constraint, kwargs)

    def _generate(self, x: Any, y: Any, mask: Any, constraint: Any, kwargs: dict[str, Any]) -> Any:
        reject_unknown(kwargs, (), "generate")
        tensor = self.estimator.to_tensor(x)
        objective = self._objective(y, len(tensor))
        limits = self._limits(constraint, tensor.shape)
        budgets = self._budgets(len(tensor))
        masks = None if mask is None else self._user_mask(mask, x)
        adversarial, results = tensor.clone(), []
        bar = tqdm(total=len(tensor), desc=type(self).__name__, unit="photo", disable=not self.verbose)
        with bar, _frozen(self.estimator):
            for part in self.estimator.chunks(len(tensor)):
                photos, indices = tensor[part], range(part.start, part.stop)
                with photos_numbered(indices):
                    batch = self._batch(
                        photos,
                        objective.take(indices),
                        budgets[part].tolist(),
                        None if masks is None else masks[part],
                        None if limits is None else limits.take(indices),
                    )
                    for i, (candidate, result) in enumerate(self._search(batch)):
                        adversarial[part.start + i] = batch.spaces[i].photo(candidate)
                        results.append(result.measured(adversarial[part.start + i] - photos[i]))
                bar.update(len(indices))
        self.results = results
        return adversarial.to(x.device) if isinstance(x, Tensor) else self.estimator.to_array(adversarial)

    def generate_levels(self, pixels: Array, y: Any) -> Array:
        """Perturb one photo in whole grey levels; as :meth:`generate`, without any copy of it in floating point.

        Args:
            pixels: Photo uint8 (H, W, 3).
            y: As for :meth:`generate`, for one photo.

        Returns:
            The changed photo, uint8 (H, W, 3); :attr:`results` has one entry.
        """
        levels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        halvings = self._halvings((pixels.shape[1], pixels.shape[0]))
        if not halvings:
            x = levels[None].float() / 255
            found = self.generate(x.numpy() if self.estimator.channels_first else self.estimator.to_array(x), y)
            planar = found[0].transpose(1, 2, 0) if self.estimator.channels_first else found[0]
            return np.ascontiguousarray(np.rint(planar * 255).astype(np.uint8))
        space = ReducedSpace(levels, halvings)
        candidate = self.search_in(space, y, (pixels.shape[1], pixels.shape[0]))
        changed: Array = space.levels(candidate).permute(1, 2, 0).contiguous().numpy()
        self.results = [self.results[0].measured_levels(pixels, changed)]
        return changed

    def search_in(self, space: Space, y: Any, size: tuple[int, int]) -> Candidate:
        """Search one photo (width, height) in a space of the caller's, at the size at which all models see it.

        The candidate's photo is the space's affair; :attr:`results` has one entry, whose norms are NaN.
        """
        batch = self._reduced([space], self._objective(y, 1), self._budgets(1).tolist(), None, size)
        with torch.inference_mode(False), _frozen(self.estimator):
            ((candidate, result),) = self._search(batch)
        self.results = [result]
        return candidate

    @abstractmethod
    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        """Perturbed photos of a batch, with their records; norms are filled in later."""

    # -- the pieces ----------------------------------------------------------------------------------------------------

    @property
    def _norm(self) -> Norm:
        return "2" if self.norm in (2, "2") else "inf"

    @property
    def _clip(self) -> tuple[float, float]:
        low, high = self.estimator.clip_values
        return float(low), float(high)

    def _objective(self, y: Any, count: int) -> Any:
        return objective_of(y, count, self.estimator, by=self.by, ratios=self.ratios, loss=self.loss)

    def _models(self) -> list[Any]:
        """All models that are asked about candidates."""
        return [self.estimator] if self.success_oracle is None else [self.estimator, self.success_oracle]

    def _halvings(self, size: tuple[int, int]) -> int:
        """Halvings with which all models begin, after which the photo can be searched; 0: it is searched as it is."""
        models = self._models()
        if not all(isinstance(model, PyTorchSaliencyRegressor) for model in models) or self.constraint is not None:
            return 0
        counts = {model.halvings(size) for model in models}
        return counts.pop() if len(counts) == 1 and self.quantize is True and self._norm == "2" else 0

    def _batch(
        self, x: Tensor, objective: Any, eps: list[float], mask: Tensor | None, limits: Constraint | None
    ) -> Batch:
        halvings = 0 if limits is not None or mask is not None else self._halvings((x.shape[-1], x.shape[-2]))
        if halvings and self._searches_reduced:
            spaces = [ReducedSpace((photo.cpu() * 255).round().to(torch.uint8), halvings) for photo in x]
            return self._reduced(spaces, objective, eps, mask, (x.shape[-1], x.shape[-2]))
        objective = self._located(x, objective)
        weight = self._weight(x, objective, mask, self.estimator)
        grids = [
            PhotoSpace(
                photo,
                self._norm,
                quantize=bool(self.quantize),
                single_levels=self.quantize is True,
                halvings=self._begins_with(x),
                weight=None if weight is None else weight[i],
                clip=self._clip,
                constraint=None if limits is None else limits.take([i]),
            )
            for i, photo in enumerate(x)
        ]
        return Batch(grids, objective, eps, weight, self.estimator, self.success_oracle)

    _searches_reduced = True
    """Whether the attack's directions mean the same at the size after a cropper's halvings."""

    def _reduced(
        self, spaces: Sequence[Space], objective: Any, eps: list[float], mask: Tensor | None, size: tuple[int, int]
    ) -> Batch:
        estimator, oracle = (
            None if model is None else model.at_reduced_size(size) for model in (self.estimator, self.success_oracle)
        )
        assert estimator is not None
        start = torch.stack([space.start.seen for space in spaces]).to(estimator.device)
        objective = self._located(start, objective, oracle or estimator)
        weight = self._weight(start, objective, mask, estimator)
        return Batch(spaces, objective, eps, weight, estimator, oracle)

    def _begins_with(self, x: Tensor) -> int:
        halvings = getattr(self.estimator, "halvings", None)
        return halvings((x.shape[-1], x.shape[-2])) if callable(halvings) else 0

    @property
    def _needs_peaks(self) -> bool:
        """Whether objectives must be :class:`~art_crop.attacks.targets.Located`."""
        return bool(self.mask == "spots")

    def _located(self, x: Tensor, objective: Any, asked: Any = None) -> Any:
        """The objective, with where the photos' peaks are and should go where that is needed."""
        if not self._needs_peaks:
            return objective
        regions = getattr(objective, "regions", None)
        if regions is None:
            raise InvalidInputError("y: regions are needed by this attack's options, not another objective")
        asked = asked or self.success_oracle or self.estimator
        return Located(objective, peak_moves(asked.output(asked.to_array(x)), regions))

    def _weight(self, x: Tensor, objective: Any, mask: Tensor | None, estimator: Any) -> Tensor | None:
        """The user's mask times the Grad-CAM map of the target's score, or times the spots about the two peaks."""
        if self.mask is None:
            return mask
        if self.mask == "spots":
            own = torch.maximum(*objective.spots((x.shape[-2], x.shape[-1]), x, WIDE))[:, None]
        else:
            own = estimator.grad_cam(x, objective, self.layer)
        return own if mask is None else own * mask

    def _limits(self, constraint: Any, shape: Sequence[int]) -> Constraint | None:
        if constraint is not None and not isinstance(constraint, Constraint):
            raise InvalidInputError(f"constraint: a Constraint or None is needed, not {constraint!r}")
        given = [limit for limit in (self.constraint, constraint) if limit is not None]
        if not given:
            return None
        limits = given[0] if len(given) == 1 else given[0] & given[1]
        limits.check(shape)
        return limits & GreyLevels() if self.quantize else limits

    def _smallest(
        self,
        batch: Batch,
        indices: Sequence[int],
        directions: Sequence[Tensor],
        expected: Sequence[float | None],
        losses: Sequence[float],
        most: Sequence[float] | None = None,
    ) -> list[Found[Candidate]]:
        """The smallest budget of some of the photos along their directions (3, h, w), at most ``eps`` or ``most``."""

        def evaluate(some: list[int], candidates: list[Candidate]) -> list[tuple[bool, float]]:
            photos = torch.stack([candidate.seen for candidate in candidates])
            found = batch.evaluate(photos, [indices[i] for i in some])
            return list(zip(found.success.tolist(), found.loss.tolist(), strict=True))

        return smallest_budgets(
            lambda i, eps: batch.spaces[indices[i]].at(directions[i], eps),
            evaluate,
            [batch.eps[i] for i in indices] if most is None else most,
            expected,
            losses,
        )

    def _records(
        self,
        batch: Batch,
        candidates: Sequence[Candidate],
        before: Sequence[bool],
        gradients: Sequence[int],
        queries: Sequence[int],
        curves: Sequence[Sequence[float]],
    ) -> list[tuple[Candidate, AttackResult]]:
        """The candidates with their records; success as float32 sees exactly these photos.

        Curves are of budgets with ``minimal``; else of the source model's loss, NaN where that is not known, and the
        last one is added here.
        """
        final = batch.evaluate(torch.stack([candidate.seen for candidate in candidates]))
        kind: Literal["loss", "budget"] = "budget" if self.minimal else "loss"
        records = []
        rows = zip(final.success.tolist(), final.loss.tolist(), before, gradients, queries, curves, strict=True)
        for candidate, (success, loss, began, steps, asked, curve) in zip(candidates, rows, strict=True):
            if curve and not self.minimal and self.success_oracle is None:
                curve = [*curve, loss]
            best = () if any(map(math.isnan, curve)) else tuple(accumulate(curve, min))
            result = AttackResult(
                success, began, math.nan, math.nan, loss, steps, asked + 1, best, kind if best else ""
            )
            records.append((candidate, result))
        return records

    def _budgets(self, count: int) -> Array:
        eps = np.atleast_1d(np.asarray(self.eps, dtype=np.float64))
        if len(eps) not in (1, count):
            raise InvalidInputError(f"eps: one number, or {count} of them (one a photo), is needed, not {len(eps)}")
        return np.broadcast_to(eps, count)

    def _user_mask(self, mask: Any, x: Any) -> Tensor:
        full = check_mask(mask.detach().cpu().numpy() if isinstance(mask, Tensor) else mask, tuple(x.shape))
        full = full if self.estimator.channels_first or isinstance(x, Tensor) else full.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.array(full, order="C")).to(self.estimator.device)  # a copy, for it may be read-only


class DirectionAttack(PhotoAttack):
    """An attack whose direction no gradient gives: one step at the budget, or the smallest that succeeds along it."""

    _searches_reduced = False

    def __init__(self, estimator: Any, **kwargs: Any) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, **kwargs)

    @abstractmethod
    def _direction(self, photos: Tensor, objective: Any) -> Tensor:
        """Where to go from the photos (n, 3, H, W), before masks; its length does not matter."""

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        photos, count = batch.start, len(batch)
        first = batch.evaluate(photos)
        before = first.success.tolist()
        direction = self._direction(photos, batch.objective)
        direction = direction if batch.weight is None else direction * batch.weight
        queries = [1] * count
        gradients = [int(self.mask == "grad-cam")] * count
        if not self.minimal:
            moved = [space.at(direction[i], batch.eps[i]) for i, space in enumerate(batch.spaces)]
            curves = [[] if self.success_oracle is not None else [loss] for loss in first.loss.tolist()]
            return self._records(batch, moved, before, gradients, queries, curves)
        moved, curves = [space.start for space in batch.spaces], [[] for _ in before]
        todo = [i for i, done in enumerate(before) if not done]
        losses = [float(first.loss[i]) for i in todo]
        found = self._smallest(batch, todo, [direction[i] for i in todo], [None] * len(todo), losses)
        for i, one in zip(todo, found, strict=True):
            moved[i] = one.candidate or batch.spaces[i].at(direction[i], batch.eps[i])
            queries[i], curves[i] = 1 + len(one.trail), one.trail
        return self._records(batch, moved, before, gradients, queries, curves)


def _scale(estimator: Any) -> str:
    low, high = estimator.score_range
    return f"from {low:g} to {high:g}, {'higher' if estimator.higher_is_better else 'lower'} is better"


def _frozen(estimator: Any) -> Any:
    """Freeze a white box once for a whole call, for a walk through its modules before each gradient costs 1 to 2%."""
    return frozen(estimator.model) if isinstance(estimator, TorchEstimator) else nullcontext()


def _renamed(value: Any, old: str, new: str, name: str) -> Any:
    """A value that had another name."""
    if value != old or not isinstance(value, str):
        return value
    warnings.warn(f"{name}: {old!r} is called {new!r} now", DeprecationWarning, stacklevel=4)
    return new
