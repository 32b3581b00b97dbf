"""How a pixel differs from its surroundings, at several scales, in lightness and opponent colours.

This is what Itti, Koch and Niebur ("A Model of Saliency-Based Visual Attention for Rapid Scene Analysis", PAMI 1998)
built the first saliency model from, and what trained ones still follow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from art_crop.functional.filters import gaussian_blur

__all__ = ["COLOUR", "SCALES", "opponent_contrast"]

OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1 / 2, -1 / 2, 0.0), (-1 / 4, -1 / 4, 1 / 2))
"""Lightness, red against green, blue against yellow, of R, G, B (Itti 1998, without its normalisation)."""
SCALES = (0.005, 0.01, 0.02, 0.04)
"""Standard deviations of the surroundings, as shares of the photo's longer side."""
COLOUR = 2.0
"""Weight of the opponent colours beside lightness."""


def opponent_contrast(x: Tensor, scales: Sequence[float] = SCALES, colour: float = COLOUR) -> Tensor:
    """Sum over the scales of photo minus surroundings; added to the photo, it raises its contrast everywhere.

    Args:
        x: Photos (N, 3, H, W), RGB.
        scales: Standard deviations of the surroundings, as shares of the photo's longer side.
        colour: Weight of the two opponent colours beside lightness.

    Returns:
        (N, 3, H, W), RGB differences.
    """
    opponent = torch.tensor(OPPONENT, dtype=x.dtype, device=x.device)
    weights = torch.tensor((1.0, colour, colour), dtype=x.dtype, device=x.device).view(1, 3, 1, 1)
    channels = torch.einsum("kc,nchw->nkhw", opponent, x)
    surroundings = torch.stack([gaussian_blur(channels, scale * max(x.shape[-2:])) for scale in scales]).sum(0)
    contrast = weights * (len(scales) * channels - surroundings)
    return torch.einsum("ck,nkhw->nchw", torch.linalg.inv(opponent), contrast)
