"""A saliency model in few lines: how much a place differs in colour and luminance from what surrounds it.

After Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention for Rapid Scene Analysis", 1998: opponent
colours, centre minus surround at several scales, summed. No training and no weights, so it is a baseline that any
learnt model should beat.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from art_crop.estimators import PyTorchSaliencyRegressor

__all__ = ["ContrastSaliency", "contrast_saliency"]

CELL = 16
"""Side of a map cell, pixels."""
SURROUNDS = (3, 5, 9, 17)
"""Sides of the surrounds, cells."""


class ContrastSaliency(nn.Module):
    """Photos (N, 3, H, W) in [0, 1] -> maps (N, ceil(H / 16), ceil(W / 16)), contrast of at least 0."""

    opponent: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Luminance, red against green, blue against yellow.
        self.register_buffer("opponent", torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]]))
        self.surrounds = nn.ModuleList(
            nn.AvgPool2d(side, stride=1, padding=side // 2, count_include_pad=False) for side in SURROUNDS
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, h, w)."""
        size = (-(-x.shape[-2] // CELL), -(-x.shape[-1] // CELL))
        cells = F.adaptive_avg_pool2d(torch.einsum("oc,nchw->nohw", self.opponent.to(x.dtype), x), size)
        contrast = torch.zeros_like(cells[:, 0])
        for surround in self.surrounds:
            # The small number keeps the gradient of the root finite where there is no contrast.
            contrast = contrast + ((cells - surround(cells)) ** 2).sum(1).add(1e-6).sqrt()
        return contrast / len(SURROUNDS)


def contrast_saliency(**kwargs: Any) -> PyTorchSaliencyRegressor:
    """The model as an ART estimator, which gives it ``predict``, ``crop``, gradients and every attack.

    Args:
        **kwargs: As for :class:`~art_crop.estimators.PyTorchSaliencyRegressor`: ``device``, ``clip_values``, …
    """
    estimator = PyTorchSaliencyRegressor(ContrastSaliency(), **kwargs)
    estimator.name = "contrast-saliency"
    return estimator
