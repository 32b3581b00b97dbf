"""Grad-CAM: where in a photo a network's answer comes from.

Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2; papers 000 and 001 multiply their perturbation by it, normalised
to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["grad_cam"]


def grad_cam(forward: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor) -> Tensor:
    """Grad-CAM of a score, normalised to [0, 1] for each sample and resampled to the photos' size.

    Args:
        forward: Photos (N, 3, H, W) -> scores (N,), through ``layer``.
        layer: The module whose activations (N, C, h, w) are weighted.
        x: Photos.

    Returns:
        (N, 1, H, W) in [0, 1]; all ones for a sample whose map would be 0 everywhere, so that a mask never stops an attack.
    """
    captured: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        # Frozen parameters: the graph must begin here.
        held = output if output.requires_grad else output.detach().requires_grad_()
        captured.append(held)
        return held

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            scores = forward(x)
            (gradient,) = torch.autograd.grad(scores.sum(), captured[-1])
    finally:
        handle.remove()
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (weights * captured[-1].detach()).sum(1, keepdim=True).clamp_min(0)
    cam = F.interpolate(cam, x.shape[-2:], mode="bilinear", align_corners=False)
    low, high = cam.amin((2, 3), keepdim=True), cam.amax((2, 3), keepdim=True)
    return torch.where(high > low, (cam - low) / (high - low).clamp_min(1e-30), torch.ones_like(cam))
