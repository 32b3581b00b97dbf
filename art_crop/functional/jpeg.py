"""JPEG as a linear map with a smoothed quantiser: which way to push pixels so that the change survives encoding.

An encoder turns each 8x8 block into DCT coefficients and rounds them to multiples of the table's steps; a decoder at
1/n of the size uses only the lowest 8/n x 8/n of them. Rounding has no useful gradient. Averaged over a small Gaussian
uncertainty of the coefficient it has one: large where a coefficient is about to flip to the next multiple, near 0 where
nothing that fits the budget will change it. (ITU-T T.81; JFIF 1.02 colours; chroma is the mean of the pixels that
share a sample: 2x2 of 4:2:0, two beside each other of 4:2:2.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["SHRINKS", "jpeg_surrogate", "smoothed_quantiser_slope"]

SHRINKS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:0:0": (1, 1)}
"""Pixels down and across that share a sample of chroma; 4:0:0 has none."""

# JFIF: Y, Cb, Cr of R, G, B (offsets of 128 do not matter to a gradient).
RGB_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
YCC_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@lru_cache(maxsize=8)
def _dct_matrix(size: int) -> Tensor:
    """Orthonormal DCT-II, (frequencies, positions)."""
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / size) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _blocks(plane: Tensor) -> Tensor:
    """(N, H, W), sides multiples of 8 -> DCT coefficients (N, H/8, W/8, 8, 8)."""
    n, height, width = plane.shape
    blocks = plane.view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    matrix = _dct_matrix(8).to(plane.device)
    return matrix @ blocks @ matrix.T


def _planes(coefficients: Tensor, size: int) -> Tensor:
    """Decode to ``size`` pixels a block side from the lowest coefficients: (N, a, b, 8, 8) -> (N, a size, b size)."""
    matrix = _dct_matrix(size).to(coefficients.device)
    # A block mean is DC / 8 in an 8-point transform and DC / size in a smaller one.
    blocks = matrix.T @ (coefficients[..., :size, :size] * (size / 8)) @ matrix
    n, rows, columns = blocks.shape[:3]
    return blocks.transpose(2, 3).reshape(n, rows * size, columns * size)


def smoothed_quantiser_slope(coefficients: Tensor, step: Tensor, sigma: float) -> Tensor:
    """Slope of E[q round((c + noise) / q)] at c for Gaussian noise of ``sigma``: how readily a coefficient flips.

    1 on average over c; for a step much larger than sigma it is near 0 except about the thresholds (k + 1/2) q.
    """
    distance = (torch.remainder(coefficients / step, 1) - 0.5) * step
    nearest = sum(torch.exp(-((distance + k * step) ** 2) / (2 * sigma**2)) for k in range(-4, 5))
    return step * torch.as_tensor(nearest) / (sigma * math.sqrt(2 * math.pi))


def chroma_size(subsampling: str, scale: int) -> int:
    """Side of the pixels that libjpeg-turbo makes of a block of chroma at 1/``scale``, before it enlarges them.

    Where both directions are subsampled, the transform itself makes twice as many (``jdmaster.c``).
    """
    return min(8, 16 // scale) if SHRINKS[subsampling] == (2, 2) else 8 // scale


def jpeg_surrogate(
    levels: Tensor, tables: Sequence[Tensor], scale: int, sigma: float = 1.0, subsampling: str = "4:2:0"
) -> Tensor:
    """What a decoder at 1/``scale`` of the size makes of encoded photos, as a differentiable stand-in for the gradient.

    Args:
        levels: Photos, levels 0..255, (N, 3, H, W).
        tables: Quantisation steps of luma and chroma, (8, 8) each, row by row from the lowest frequency; the last one
            stands for all components that follow, too.
        scale: 1, 2, 4 or 8.
        sigma: Uncertainty of a coefficient in levels: about what the perturbation and its rounding move.
        subsampling: "4:4:4", "4:2:2", "4:2:0", or "4:0:0" for a grey JPEG.

    Returns:
        (N, 3, ceil(H/scale), ceil(W/scale)). The values are those of a linear map, not of a decoder; only the slopes
        are meant.
    """
    height, width = levels.shape[-2:]
    padded = F.pad(levels, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = torch.einsum("kc,nchw->nkhw", torch.tensor(RGB_TO_YCC, dtype=torch.float32, device=levels.device), padded)
    chroma = F.avg_pool2d(ycc[:, 1:], SHRINKS[subsampling])
    out: list[Tensor] = []
    for index, plane in enumerate((ycc[:, 0] - 128, chroma[:, 0], chroma[:, 1])):
        if index and subsampling == "4:0:0":
            out.append(torch.zeros_like(out[0]))
            continue
        coefficients = _blocks(plane)
        step = tables[min(index, len(tables) - 1)].to(levels.device)
        slope = smoothed_quantiser_slope(coefficients.detach(), step, sigma)
        decoded = _planes(coefficients * slope, chroma_size(subsampling, scale) if index else 8 // scale)
        if decoded.shape != (out[0] if out else decoded).shape:
            size, mode = out[0].shape[1:], "nearest" if scale == 8 else "bilinear"  # a block of a pixel is repeated
            decoded = F.interpolate(decoded[:, None], size=tuple(size), mode=mode)[:, 0]
        out.append(decoded)
    to_rgb = torch.tensor(YCC_TO_RGB, dtype=torch.float32, device=levels.device)
    rgb = torch.einsum("kc,nchw->nkhw", to_rgb, torch.stack(out, 1))
    return rgb[..., : -(-height // scale), : -(-width // scale)]
