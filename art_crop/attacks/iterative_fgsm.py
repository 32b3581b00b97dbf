"""Iterative fast gradient sign methods, the attacks that quality models are measured by.

- I-FGSM (Kurakin, Goodfellow and Bengio, "Adversarial Examples in the Physical World", ICLR workshop 2017):

      x' <- clip(x' - a sign(grad J)),      the clip being to the budget about x and to the range of pixels.

- MI-FGSM (Dong et al., "Boosting Adversarial Attacks with Momentum", CVPR 2018, algorithm 1): the step follows
  g <- mu g + grad J / ||grad J||_1, with a = eps / T, or with g / ||g||_2 for the step where the budget is an L2 norm.
- AMI-FGSM (Sang et al., "On the Generation of Adversarial Examples for Image Quality Assessment", The Visual Computer
  2023), as the benchmark of Antsiferova et al. (AAAI 2024) has it in ``methods/amifgsm/run.py`` of its published code:
  the number of iterations alone makes the step, a = eps / T (its "epsilon = 1 / NOI" for a budget of the whole range),
  and gradients are added up as they are, so that where the model is steep counts most.
- Korhonen and You, "Adversarial Attacks Against Blind Image Quality Assessment Models", QoEVMA 2022: the gradient is
  multiplied by the photo's spatial activity, so that smooth areas stay as they are. Here it multiplies the sign; Adam,
  with which the benchmark steps, divides by each pixel's own past gradients and would take the mask out again.

J is the loss of an objective: a score beyond a bound, either way, a label, a region. The photos on the way are not
rounded; what is returned is, to the nearest level inside the budget.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate, PhotoSpace
from art_crop.checks import check_int, check_number, reject_unknown
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.filters import spatial_activity
from art_crop.functional.norms import Norm, norm_of, unit

__all__ = ["AdaptiveMomentumIterativeFGSM", "IterativeFGSM", "MomentumIterativeFGSM", "SpatialActivityFGSM", "limited"]


class IterativeFGSM(PhotoAttack):
    """I-FGSM: steps along the gradient's sign, or for an L2 budget along the gradient, clipped to the budget.

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None, :256, :256].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("quality-lite")
        >>> attack = art_crop.load_attack("i-fgsm")(estimator, norm="inf", eps=4 / 255)
        >>> x_adv = attack.generate(x, estimator.predict(x) - 5)
        >>> attack.results[0].success
        True

    Args:
        estimator: The source model, a white box of any task.
        max_iter: Steps, each a forward and backward pass.
        eps_step: Norm of a step in units of ``clip_values``; None: ``eps / max_iter``.
        **kwargs: ``norm``, ``eps``, ``constraint``, ``mask``, ``layer``, ``by``, ``ratios``, ``loss``, ``quantize``,
            ``success_oracle``, ``seed``, ``verbose``, ``summary_writer``: as for
            :class:`~art_crop.attacks.base.PhotoAttack`. Of a mask it only counts where it is 0.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name != "minimal"),
        *("max_iter", "eps_step"),
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"
    _searches_reduced = False

    def __init__(self, estimator: Any, *, max_iter: int = 10, eps_step: float | None = None, **kwargs: Any) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        self.max_iter, self.eps_step = max_iter, eps_step
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.max_iter, "max_iter", at_least=1)
        if self.eps_step is not None:
            check_number(self.eps_step, "eps_step", above=0)

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        n, start, source = len(batch), batch.start, gradients.plain(batch.estimator)
        eps = start.new_tensor(batch.eps).view(-1, 1, 1, 1)
        step = eps / self.max_iter if self.eps_step is None else torch.full_like(eps, self.eps_step)
        change, direction = torch.zeros_like(start), torch.zeros_like(start)
        weight = self._step_weight(start)
        before, asked, curves = [False] * n, [0] * n, [[] for _ in range(n)]  # type: list[bool], list[int], list[list[float]]
        for k in range(self.max_iter):
            gradient, success, loss, apart = gradients.gradient_at(
                batch, source, start + change, range(n), decide=k == 0
            )
            direction = self._direction(direction, gradient)
            change = limited(batch, change - step * weight * unit(direction, self._norm), eps, self._norm)
            for i in range(n):
                before[i], asked[i] = before[i] or (k == 0 and success[i]), asked[i] + apart
                curves[i].append(loss[i])
            self.on_step(k + 1, self.max_iter)
        spaces = (space for space in batch.spaces if isinstance(space, PhotoSpace))
        ends = [space.nearest(start[i] + change[i], batch.eps[i]) for i, space in enumerate(spaces)]
        taken = [self.max_iter + (self.mask == "grad-cam")] * n
        return self._records(batch, ends, before, taken, asked, curves)

    def _direction(self, direction: Tensor, gradient: Tensor) -> Tensor:
        """Give where to step away from: the last direction and the newest gradient (n, 3, H, W)."""
        return gradient

    def _step_weight(self, photos: Tensor) -> Tensor | float:
        """Share of the step that each pixel of (n, 3, H, W) makes."""
        return 1.0


class MomentumIterativeFGSM(IterativeFGSM):
    """MI-FGSM: I-FGSM along gradients of L1 norm 1 that are added up, each step's sum ``decay`` times the last one.

    Args:
        estimator: The source model, a white box of any task.
        decay: mu, of the earlier gradients.
        **kwargs: As for :class:`IterativeFGSM`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [*IterativeFGSM.attack_params, "decay"]

    def __init__(self, estimator: Any, *, decay: float = 1.0, **kwargs: Any) -> None:
        self.decay = decay
        super().__init__(estimator, **kwargs)

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.decay, "decay", at_least=0)

    def _direction(self, direction: Tensor, gradient: Tensor) -> Tensor:
        size = gradient.flatten(1).norm(p=1, dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
        total: Tensor = self.decay * direction + gradient / size.view(-1, 1, 1, 1)
        return total


class AdaptiveMomentumIterativeFGSM(MomentumIterativeFGSM):
    """AMI-FGSM: the step is ``eps / max_iter``, and momentum adds up the gradients as they are.

    Args:
        estimator: The source model, a white box of any task.
        **kwargs: As for :class:`MomentumIterativeFGSM`, without ``eps_step``.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [name for name in MomentumIterativeFGSM.attack_params if name != "eps_step"]

    def __init__(self, estimator: Any, **kwargs: Any) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, **kwargs)

    def _direction(self, direction: Tensor, gradient: Tensor) -> Tensor:
        return self.decay * direction + gradient


class SpatialActivityFGSM(IterativeFGSM):
    """Korhonen and You's attack: I-FGSM whose steps are multiplied by the photo's spatial activity.

    The activity is the Sobel gradient of the luma, divided by its largest value and widened by two pixels; see
    :func:`~art_crop.functional.filters.spatial_activity`. A pixel changes by no more than its activity times all steps.

    Args:
        estimator: The source model, a white box of any task.
        **kwargs: As for :class:`IterativeFGSM`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
        EstimatorRequirementError: The estimator is no white box.
    """

    def _step_weight(self, photos: Tensor) -> Tensor:
        return spatial_activity(photos)


def limited(batch: Batch, change: Tensor, eps: Tensor, norm: Norm) -> Tensor:
    """Project changes (n, 3, H, W) of a batch's photos: to budgets (n, 1, 1, 1), and to what their spaces allow."""
    if norm == "inf":
        change = torch.minimum(torch.maximum(change, -eps), eps)
    else:
        change = change * (eps / norm_of(change).clamp_min(1e-30).view(-1, 1, 1, 1)).clamp_max(1)
    spaces = [space for space in batch.spaces if isinstance(space, PhotoSpace)]
    return torch.stack([space.inside(one) for space, one in zip(spaces, change, strict=True)])
