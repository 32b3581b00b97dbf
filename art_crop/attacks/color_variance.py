"""Perturb a photo below a perceptual threshold at each pixel: more where the colours about it vary more.

Paper 002 (Sweere, Liu and Larson, "Maintaining perceptual faithfulness of adversarial image examples by leveraging
color variance", MediaEval 2019, algorithm 1):

    pT = m * cV;   v = U(-0.01, 0.01) * pT
    repeat at most T times:
        return x + v if the condition is met at clamp(x + v, 0, 1)
        loss = -CE(logits, label) + alpha * |v|_1 / |pT|_1
        v = optimiser's step on the loss, clipped to +-pT, rounded to whole grey levels

cV is :func:`art_crop.functional.color.color_variance`. The rounded photo is what the model is asked about and what is
returned; the optimiser keeps a v that is not rounded, for rounding would take back its small steps. Beyond the paper:
the threshold map is a constraint, and the loss is that of any objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.constraints import Constraint, GreyLevels, PerPixelBound
from art_crop.attacks.results import AttackResult, photo_stream
from art_crop.attacks.space import Candidate
from art_crop.checks import check_choice, check_int, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.color import color_variance
from art_crop.functional.norms import norm_of
from art_crop.objectives import LabelOut, Loss

__all__ = ["CONDITIONS", "ColorVarianceAttack", "PerceptualAttack", "color_threshold"]

Condition = Literal["top1", "top1-50", "top5"]
CONDITIONS: dict[str, dict[str, Any]] = {"top1": {}, "top1-50": {"confidence_gap": 0.5}, "top5": {"k": 5}}
"""The paper's conditions, as arguments of :class:`~art_crop.objectives.LabelOut`."""


def color_threshold(x: Tensor, threshold: float = 50 / 255, window: int = 5, sigma: float = 1.0) -> PerPixelBound:
    """Bound each pixel by the colour variance about it (paper 002: pT = m cV), for any attack with a ``constraint``.

    Args:
        x: Photos (N, 3, H, W) in [0, 1].
        threshold: m, the bound where the photo's colours vary most.
        window: Width of the window in pixels, odd.
        sigma: Standard deviation of its Gaussian weight, in pixels.

    Returns:
        A constraint with bounds (N, 1, H, W); all 0 for photos of one colour.

    Raises:
        InvalidInputError: A parameter outside its range, or photos smaller than the window.
    """
    check_number(threshold, "threshold", above=0)
    return PerPixelBound(threshold * color_variance(x, window=window, sigma=sigma))


class PerceptualAttack(PhotoAttack):
    """Base of the attacks whose limits are perceptual: neither norm nor budget, and the paper's conditions.

    Args:
        estimator: The source model, a white box of any task, with photos in [0, 1].
        condition: What must become of a class that is given as y, or that a ``LabelOut`` speaks of: ``"top1"``: it is
            not the first any more, ``"top1-50"``: and has at most half the first one's probability, ``"top5"``: it is
            none of the first five. None: what y says. Of no effect on other objectives.
        max_iter: Largest number of steps, each a forward and backward pass.
        **kwargs: ``constraint``, ``mask``, ``layer``, ``by``, ``ratios``, ``loss``, ``quantize``, ``success_oracle``,
            ``seed``, ``verbose``, ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in ("norm", "eps", "minimal")),
        *("condition", "max_iter"),
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"
    _searches_reduced = False
    _in_colour = True

    def __init__(
        self, estimator: Any, *, condition: Condition | None = None, max_iter: int = 100, **kwargs: Any
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        self.condition, self.max_iter = condition, max_iter

    def _check_params(self) -> None:
        super()._check_params()
        check_choice(self.condition, "condition", (None, *CONDITIONS))
        check_int(self.max_iter, "max_iter", at_least=1)
        if tuple(self.estimator.clip_values) != (0, 1):
            raise InvalidInputError(
                f"estimator: colours need photos in [0, 1], this one's are in {tuple(self.estimator.clip_values)}"
            )

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _objective(self, y: Any, count: int) -> Any:
        objective = super()._objective(y, count)
        if self.condition is None or not isinstance(objective, LabelOut):
            return objective
        return LabelOut(objective.labels, loss=self.loss, **CONDITIONS[self.condition])


class ColorVarianceAttack(PerceptualAttack):
    """Change each pixel by no more than a threshold that grows with the colour variance about it (paper 002).

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> attack = art_crop.load_attack("color-variance")(estimator)
        >>> x_adv = attack.generate(x, art_crop.Region(0.3, 0.75, 0.7, 1.0))
        >>> attack.results[0].success
        True

    A photo that meets its objective already is returned as it is, and so is one of one colour, whose threshold is 0
    everywhere; its result's ``note`` says so. Where no step meets the objective, the last one's photo is returned, and
    its result says that it failed.

    Args:
        estimator: The source model, a white box of any task, with photos in [0, 1].
        threshold: Largest change of a pixel where the photo's colours vary most; m in the paper.
        window: Width in pixels of the window in which colours are compared, odd.
        sigma: Standard deviation of the window's Gaussian weight, in pixels.
        learning_rate: Of Adam; for the plain gradient the largest change of a pixel in a step. A pair goes from the
            first at the first step to the second at the last, geometrically: an eighth of a grey level at first, so
            that most photos end with a small change, and a quarter in the end. In 100 steps that is up to 18 grey
            levels; larger steps reach thresholds sooner, and change hard photos more.
        optimizer: ``"adam"``, or ``"gradient"``: steps along the gradient.
        l1_weight: Weight of the change's L1 norm, as a share of the threshold map's, in the loss; alpha in the paper,
            which gives no number. A number or a pair, for how much a photo can bear while it still succeeds differs
            by orders of magnitude.
        **kwargs: As for :class:`PerceptualAttack`; ``loss`` is ``"cross_entropy"`` unless said otherwise.

    Raises:
        InvalidInputError: A parameter outside its range; when used: photos smaller than the window.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *PerceptualAttack.attack_params,
        *("threshold", "window", "sigma", "learning_rate", "optimizer", "l1_weight"),
    ]

    def __init__(
        self,
        estimator: Any,
        *,
        threshold: float = 50 / 255,
        window: int = 5,
        sigma: float = 1.0,
        learning_rate: float | Sequence[float] = (0.0005, 0.001),
        optimizer: Literal["adam", "gradient"] = "adam",
        l1_weight: float | Sequence[float] = (1000.0, 0.1),
        loss: Loss = "cross_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(estimator, loss=loss, **kwargs)
        self.threshold, self.window, self.sigma = threshold, window, sigma
        self.learning_rate, self.optimizer, self.l1_weight = learning_rate, optimizer, l1_weight
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        for name in ("threshold", "sigma"):
            check_number(getattr(self, name), name, above=0)
        if check_int(self.window, "window", at_least=3) % 2 == 0:
            raise InvalidInputError(f"window: an odd number is needed, not {self.window}")
        check_choice(self.optimizer, "optimizer", ("adam", "gradient"))
        for name in ("learning_rate", "l1_weight"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)):
                check_number(value, name, **({"at_least": 0} if name == "l1_weight" else {"above": 0}))
            elif len(value) != 2:
                raise InvalidInputError(f"{name}: a number or a pair is needed, not {value!r}")
            for one in value if isinstance(value, (list, tuple)) else ():
                check_number(one, name, above=0)

    def _batch(
        self, x: Tensor, objective: Any, eps: list[float], mask: Tensor | None, limits: Constraint | None
    ) -> Batch:
        bound = color_threshold(x, self.threshold, self.window, self.sigma)
        whole = bound & GreyLevels() if self.quantize else bound
        return super()._batch(x, objective, eps, mask, whole if limits is None else whole & limits)

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        """Algorithm 1; a photo's steps end at its own success. The first look is at the photo itself."""
        n, start, source = len(batch), batch.start, gradients.plain(batch.estimator)
        low, high = (torch.stack([getattr(space, end) for space in batch.spaces]) - start for end in ("low", "high"))
        bound = torch.maximum(-low, high)
        area = bound.flatten(1).sum(1).clamp_min(1e-30).view(-1, 1, 1, 1)
        noise = [photo_stream(photo, self.seed).uniform(-0.01, 0.01, photo.shape) for photo in start]
        change = bound * torch.from_numpy(np.stack(noise)).to(start)
        change = change if batch.weight is None else change * (batch.weight > 0)
        adam = torch.optim.Adam([change], fused=change.device.type in ("cpu", "cuda"))  # in one go through memory
        movable = bound.flatten(1).amax(1) > 0
        seen, active, before = start.clone(), list(range(n)), [False] * n
        taken, asked, curves = [0] * n, [0] * n, [[] for _ in range(n)]  # type: list[int], list[int], list[list[float]]
        for step in range(self.max_iter):
            some = slice(None) if len(active) == n else active  # a slice copies nothing
            gradient, success, loss, apart = gradients.gradient_at(batch, source, seen[some], active)
            gradient = _with_l1(gradient, change[some], self._at(self.l1_weight, step) / area[some])
            if len(active) < n:
                gradient = torch.zeros_like(change).index_copy_(0, torch.tensor(active, device=start.device), gradient)
            change.grad = gradient
            for i, reached, value in zip(tuple(active), success, loss, strict=True):
                curves[i].append(value)
                taken[i], asked[i], before[i] = step + 1, asked[i] + apart, before[i] or (step == 0 and reached)
                if reached or not movable[i]:
                    active.remove(i)
            self.on_step(step + 1, self.max_iter)
            if not active:
                break
            rate = adam.param_groups[0]["lr"] = self._at(self.learning_rate, step)
            if self.optimizer == "adam":
                adam.step()
            else:
                largest = norm_of(change.grad, "inf").clamp_min(1e-30).view(-1, 1, 1, 1)
                change -= rate * change.grad / largest
            change.clamp_(low, high)
            some = slice(None) if len(active) == n else active
            moved = start[some] + change[some]
            seen[some] = moved.mul_(255).round_().div_(255) if self.quantize else moved
        records = self._records(batch, [Candidate(photo) for photo in seen], before, taken, asked, curves)
        stuck = "no pixel may change: the photo is of one colour, or its limits are 0"
        return [
            (candidate, result if may_move else replace(result, note=stuck))
            for (candidate, result), may_move in zip(records, movable.tolist(), strict=True)
        ]

    def _at(self, value: float | Sequence[float], step: int) -> float:
        """A number, or where a pair has got to at a step."""
        if isinstance(value, (int, float)):
            return value
        first, last = value
        return float(first * (last / first) ** (step / max(1, self.max_iter - 1)))


def _with_l1(gradient: Tensor, change: Tensor, weight: Tensor) -> Tensor:
    """The gradient of loss + weight |change|_1: where the change rounds to 0 the subgradient of least norm.

    A pixel whose gradient is not worth the weight then stays still, instead of trembling about 0.
    """
    least = gradient - gradient.clamp(-weight, weight)
    return torch.where(change.abs() < 0.5 / 255, least, gradient + weight * change.sign())
