"""Maximum differentiation: of all photos at one squared error, the one that a model scores best or worst.

Wang and Simoncelli, "Maximum Differentiation (MAD) Competition: A Methodology for Comparing Computational Models of
Perceptual Quantities", Journal of Vision 8(12), 2008, appendix: from a photo with noise of the given error, go along
the model's gradient g less its part along the error's gradient, which is the change d itself,

    g' = g - (g.d / d.d) d,

and correct what the step added to the error. Here the step is a turn, which adds nothing: d <- cos(t) d - sin(t) ||d||
g' / ||g'||, a quarter turn in all, so that a gradient that stayed the same would be followed wholly in the end.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult, photo_noise
from art_crop.attacks.space import Candidate, PhotoSpace
from art_crop.checks import check_int, reject_unknown
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.norms import norm_of, unit

__all__ = ["MaximumDifferentiation", "turned"]


class MaximumDifferentiation(PhotoAttack):
    """MADC: steps orthogonal to the squared error's gradient, at an error that stays the same.

    Args:
        estimator: The source model, a white box of any task.
        eps: L2 norm of every change from the first to the last, in units of ``clip_values``: the root of the summed
            squared error. One number, or one a photo.
        max_iter: Steps, each a forward and backward pass and a turn by pi / 2 / ``max_iter``.
        **kwargs: ``constraint``, ``mask``, ``layer``, ``by``, ``ratios``, ``loss``, ``quantize``, ``success_oracle``,
            ``seed`` (of the noise that it begins with), ``verbose``, ``summary_writer``: as for
            :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in ("norm", "minimal")),
        "max_iter",
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"
    _searches_reduced = False

    def __init__(self, estimator: Any, *, max_iter: int = 10, **kwargs: Any) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        self.max_iter = max_iter
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.max_iter, "max_iter", at_least=1)

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        n, start, source = len(batch), batch.start, gradients.plain(batch.estimator)
        spaces = [space for space in batch.spaces if isinstance(space, PhotoSpace)]
        first = batch.evaluate(start)
        noise = torch.stack([photo_noise(photo, self.seed, self._clip) for photo in start])
        movable = 1.0 if batch.weight is None else (batch.weight > 0).to(start)
        change = unit(noise * movable) * start.new_tensor(batch.eps).view(-1, 1, 1, 1)
        curves: list[list[float]] = [[] for _ in range(n)]
        for k in range(self.max_iter):
            seen = start + torch.stack([space.inside(one) for space, one in zip(spaces, change, strict=True)])
            gradient, _, loss, _ = gradients.gradient_at(batch, source, seen, range(n), decide=False)
            change = turned(change, gradient, math.pi / 2 / self.max_iter)
            for curve, value in zip(curves, loss, strict=True):
                curve.append(value)
            self.on_step(k + 1, self.max_iter)
        ends = [space.at(change[i], batch.eps[i]) for i, space in enumerate(spaces)]
        taken = [self.max_iter + (self.mask == "grad-cam")] * n
        return self._records(batch, ends, first.success.tolist(), taken, [1] * n, curves)


def turned(change: Tensor, gradient: Tensor, angle: float) -> Tensor:
    """Turn changes (n, 3, H, W) by an angle away from gradients of that shape, at the norms that they have.

    A gradient along the change leaves nowhere to go, and the change as it is.
    """
    shape = (-1, 1, 1, 1)
    size = norm_of(change).view(shape)
    along = unit(change)
    gradient = unit(gradient)
    across = gradient - (gradient * along).flatten(1).sum(1).view(shape) * along
    # Once more: what rounding leaves along the change is all there is where the two are nearly parallel.
    across = across - (across * along).flatten(1).sum(1).view(shape) * along
    turns = norm_of(across).view(shape) > 1e-5
    new = math.cos(angle) * along - math.sin(angle) * unit(across)
    return torch.where(turns, size * unit(new), change)
