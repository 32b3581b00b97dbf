"""ART's preprocessors in front of a torch model, with gradients through all of them.

ART differentiates a chain only if all of it is torch, or if it is a single numpy step; and through ``forward``, so that
a step that rounds has a gradient of 0. Here each step is differentiated at its own input, so torch and numpy ones chain
in any order, and one that states an estimate of its gradient is believed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from art.defences.preprocessor.preprocessor import PreprocessorPyTorch
from torch import Tensor

__all__ = ["apply_step"]


def apply_step(x: Tensor, step: Any) -> Tensor:
    """Photos (N, 3, H, W) after one ART preprocessor, on the device of ``x``."""
    if not isinstance(step, PreprocessorPyTorch):
        numpy_result: Tensor = _NumpyStep.apply(x, step)  # type: ignore[no-untyped-call]
        return numpy_result
    here = x.to(step.device)
    # It may work in place, so each call gets a copy.
    result: Tensor = step.forward(here.clone())[0].to(x.device)
    if type(step).estimate_forward is PreprocessorPyTorch.estimate_forward or not torch.is_grad_enabled():
        return result
    estimate: Tensor = step.estimate_forward(here.clone()).to(x.device)
    return result.detach() + (estimate - estimate.detach())  # the exact value, the estimated gradient


class _NumpyStep(torch.autograd.Function):
    """An ART preprocessor that is no torch one, with the gradient that it estimates itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Any) -> Tensor:
        ctx.step, ctx.x = step, x.detach().cpu().numpy().copy()  # a defence may write into what it is given
        defended, _ = step(ctx.x.copy(), None)
        return torch.from_numpy(np.array(defended, np.float32, order="C")).to(x.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        estimated = ctx.step.estimate_gradient(ctx.x.copy(), gradient.cpu().numpy().copy())
        return torch.from_numpy(np.array(estimated, np.float32, order="C")).to(gradient.device), None
