"""Structural similarity at several scales, batched and differentiable.

Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003, equation 7:
MS-SSIM = l_M^w_M prod_j (c_j s_j)^w_j over M scales, each half as large as the one before it; l, c and s as in SSIM
(Wang et al. 2004), with its Gaussian window of 11 x 11 pixels and sigma 1.5, where that fits wholly into the photo.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.errors import InvalidInputError

__all__ = ["WEIGHTS", "ms_ssim"]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from the photo's own to a sixteenth of it."""
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def ms_ssim(x: Tensor, y: Tensor, weights: tuple[float, ...] = WEIGHTS) -> Tensor:
    """Compare photos at several scales.

    Args:
        x: Photos (N, C, H, W) in [0, 1].
        y: Others of the same shape.
        weights: Of the scales; one weight of 1 is SSIM. A contrast term below 0 counts as 0.

    Returns:
        (N,), means over the channels, at most 1 (equal photos).

    Raises:
        InvalidInputError: Different shapes, or photos so small that the window does not fit at the last scale: with
            five weights a side below 176 pixels.
    """
    if x.shape != y.shape or x.ndim != 4:
        raise InvalidInputError(f"y: photos of the shape of x are needed, {tuple(x.shape)}, not {tuple(y.shape)}")
    least = WINDOW * 2 ** (len(weights) - 1)
    if min(x.shape[-2:]) < least:
        raise InvalidInputError(f"x: photos of at least {least} x {least} pixels are needed, not {tuple(x.shape[-2:])}")
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    window = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    window, channels = window / window.sum(), x.shape[1]
    down, across = (window.view(shape).expand(5 * channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    result = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(weights):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        # Depthwise and channels last: several times as fast on a CPU as one channel at a time.
        planes = torch.cat([x, y, x * x, y * y, x * y], 1).contiguous(memory_format=torch.channels_last)
        planes = F.conv2d(F.conv2d(planes, down, groups=5 * channels), across, groups=5 * channels)
        mean_x, mean_y, square_x, square_y, product = torch.split(planes, channels, 1)
        spread = square_x - mean_x**2 + square_y - mean_y**2
        similarity = (2 * (product - mean_x * mean_y) + C2) / (spread + C2)
        if scale == len(weights) - 1:
            similarity = similarity * (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
        result = result * similarity.mean((2, 3)).clamp_min(0) ** weight
    return result.mean(1)
