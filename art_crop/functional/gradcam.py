"""Grad-CAM: where in a photo a network's answer comes from.

Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2; papers 000 and 001 multiply their perturbation by it,
normalised to [0, 1].
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.errors import InvalidInputError

__all__ = ["grad_cam"]


def grad_cam(forward: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor) -> Tensor:
    """Grad-CAM of a score, normalised to [0, 1] for each sample and resampled to the photos' size.

    Args:
        forward: Photos (N, 3, H, W) -> scores (N,), through ``layer``.
        layer: The module whose activations (N, C, h, w) are weighted; its last call where there are several.
        x: Photos.

    Returns:
        (N, 1, H, W) in [0, 1]; all ones for a sample whose map is the same everywhere (mostly 0), so that a mask never
        stops an attack.

    Raises:
        InvalidInputError: The layer is not used on the way to the scores, or gives no activations (N, C, h, w).
    """
    captured: list[Tensor] = []
    thread = threading.get_ident()

    def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
        if threading.get_ident() != thread:
            return None  # another thread's pass through the same model
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise InvalidInputError("layer: for Grad-CAM a module that gives activations (N, C, h, w) is needed")
        # Parameters may be frozen and photos without gradient: then the graph has to begin here.
        captured[:] = [output if output.requires_grad else output.detach().requires_grad_()]
        return captured[0].clone()  # the next module may work in place

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            scores = forward(x)
            gradient = _gradient(scores, captured)
    finally:
        handle.remove()
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (weights * captured[0].detach()).sum(1, keepdim=True).clamp_min(0)
    cam = F.interpolate(cam, x.shape[-2:], mode="bilinear", align_corners=False)
    low, high = cam.amin((2, 3), keepdim=True), cam.amax((2, 3), keepdim=True)
    spread = high - low
    # Below that it is the rounding of one and the same number.
    return torch.where(spread > 1e-5 * high, (cam - low) / spread.clamp_min(1e-30), torch.ones_like(cam))


def _gradient(scores: Tensor, captured: list[Tensor]) -> Tensor:
    gradient = None
    if captured and scores.requires_grad:
        (gradient,) = torch.autograd.grad(scores.sum(), captured[0], allow_unused=True)
    if gradient is None:
        raise InvalidInputError("layer: the model's answer does not depend on it; choose another for Grad-CAM")
    return gradient
