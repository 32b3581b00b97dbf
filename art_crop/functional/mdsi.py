"""Mean deviation similarity index, batched and differentiable: how much a photo differs from another to the eye.

Nafchi, Shahkolaei, Hedjam and Cheriet, "Mean Deviation Similarity Index: Efficient and Reliable Full-Reference Image
Quality Evaluator", IEEE Access 2016: similarities of gradients and of two chroma channels are added up in each pixel
(equations 5 to 12), and what counts is how unequal the sums are over the photo (equation 13).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.errors import InvalidInputError

__all__ = ["mdsi"]

C1, C2, C3 = 140.0, 55.0, 550.0
"""Of the two gradient similarities and the chroma similarity, for values from 0 to 255."""
GRADIENT_SHARE, POWER = 0.6, 0.25
LUMA, CHROMA_H, CHROMA_M = (0.2989, 0.5870, 0.1140), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17)


def mdsi(x: Tensor, y: Tensor) -> Tensor:
    """Compare photos at half their size, the scale of the paper for sides of 384 to 640 pixels.

    Args:
        x: Photos (N, 3, H, W) in [0, 1], sides of at least 6 pixels.
        y: Others of the same shape.

    Returns:
        (N,), 0 for equal photos; about 0.1 where nobody sees a difference, 0.5 for wrecks.

    Raises:
        InvalidInputError: Different shapes, no RGB, or smaller photos.
    """
    if x.shape != y.shape or x.ndim != 4 or x.shape[1] != 3:
        raise InvalidInputError(f"y: RGB photos of the shape of x are needed, {tuple(x.shape)}, not {tuple(y.shape)}")
    if min(x.shape[-2:]) < 6:
        raise InvalidInputError(f"x: photos of at least 6 x 6 pixels are needed, not {tuple(x.shape[-2:])}")
    x, y = F.avg_pool2d(255 * x, 2), F.avg_pool2d(255 * y, 2)
    (light_x, h_x, m_x), (light_y, h_y, m_y) = _channels(x), _channels(y)
    slope_x, slope_y, slope_both = _slope(light_x), _slope(light_y), _slope((light_x + light_y) / 2)
    gradients = (
        _similarity(slope_x, slope_y, C1)
        + _similarity(slope_y, slope_both, C2)  # what was added
        - _similarity(slope_x, slope_both, C2)  # what was lost
    )
    chroma = (2 * (h_x * h_y + m_x * m_y) + C3) / (h_x**2 + h_y**2 + m_x**2 + m_y**2 + C3)
    total = (GRADIENT_SHARE * gradients + (1 - GRADIENT_SHARE) * chroma).flatten(1)
    # A fourth root of a negative sum is a complex number, half of it real and half imaginary.
    size = total.abs().clamp_min(1e-8) ** POWER
    real = torch.where(total < 0, 0.5**0.5 * size, size)
    imaginary = torch.where(total < 0, 0.5**0.5 * size, torch.zeros_like(size))
    apart = (real - real.mean(1, keepdim=True)) ** 2 + (imaginary - imaginary.mean(1, keepdim=True)) ** 2
    return _root(apart).mean(1).clamp_min(1e-12) ** POWER * (x != y).flatten(1).any(1)


def _channels(x: Tensor) -> list[Tensor]:
    return [torch.einsum("c,nchw->nhw", x.new_tensor(weights), x) for weights in (LUMA, CHROMA_H, CHROMA_M)]


def _slope(light: Tensor) -> Tensor:
    """Magnitude of Prewitt's gradient, 0 beyond the edges."""
    across = light.new_tensor([[1.0, 0.0, -1.0]] * 3) / 3
    found = F.conv2d(light[:, None], torch.stack([across, across.T])[:, None], padding=1)
    return _root(found.square().sum(1))


def _root(x: Tensor) -> Tensor:
    """Square root with a finite slope at 0."""
    return (x + 1e-12).sqrt()


def _similarity(a: Tensor, b: Tensor, constant: float) -> Tensor:
    return (2 * a * b + constant) / (a**2 + b**2 + constant)
