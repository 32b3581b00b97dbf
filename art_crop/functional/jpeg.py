"""JPEG in torch: libjpeg's encoder and decoder to the last level, with gradients, and a stand-in for the whole way.

:func:`encode` and :func:`decode` follow libjpeg-turbo's integer arithmetic (``jccolor.c``, ``jcsample.c``,
``jfdctint.c``, ``jcdctmgr.c``; ``jidctint.c``, ``jdsample.c``, ``jdcolor.c``), with which Pillow works, in double
precision, where it is exact. Its roundings pass gradients on as if they were not there.

:func:`jpeg_surrogate` is JPEG as a linear map with a smoothed quantiser: which way to push pixels so that the change
survives encoding. An encoder turns each 8x8 block into DCT coefficients and rounds them to multiples of the table's
steps; a decoder at 1/n of the size uses only the lowest 8/n x 8/n of them. Rounding has no useful gradient. Averaged
over a small Gaussian uncertainty of the coefficient it has one: large where a coefficient is about to flip to the next
multiple, near 0 where nothing that fits the budget will change it. (ITU-T T.81; JFIF 1.02 colours; chroma is the mean
of the pixels that share a sample: 2x2 of 4:2:0, two beside each other of 4:2:2.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.checks import check_choice, check_int
from art_crop.errors import InvalidInputError

__all__ = [
    "SHRINKS",
    "dct_matrix",
    "decode",
    "encode",
    "jpeg_surrogate",
    "quality_tables",
    "smoothed_quantiser_slope",
]

SHRINKS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:0:0": (1, 1)}
"""Pixels down and across that share a sample of chroma; 4:0:0 has none."""

# JFIF: Y, Cb, Cr of R, G, B (offsets of 128 do not matter to a gradient).
RGB_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
YCC_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


@lru_cache(maxsize=8)
def dct_matrix(size: int) -> Tensor:
    """Orthonormal DCT-II, (frequencies, positions)."""
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / size) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _blocks(plane: Tensor) -> Tensor:
    """(N, H, W), sides multiples of 8 -> DCT coefficients (N, H/8, W/8, 8, 8)."""
    n, height, width = plane.shape
    blocks = plane.view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    matrix = dct_matrix(8).to(plane.device)
    return matrix @ blocks @ matrix.T


def _planes(coefficients: Tensor, size: int) -> Tensor:
    """Decode to ``size`` pixels a block side from the lowest coefficients: (N, a, b, 8, 8) -> (N, a size, b size)."""
    matrix = dct_matrix(size).to(coefficients.device)
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


# -- libjpeg, to the last level ----------------------------------------------------------------------------------------

# T.81, annex K.1: steps at quality 50.
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99)  # the lowest 4x4; all others are 99
# 16 bits after the point, and what is added before the floor: libjpeg's rounding of Cb and Cr is not that of Y.
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_YCC_ADDED = (1 << 15, (128 << 16) + (1 << 15) - 1, (128 << 16) + (1 << 15) - 1)
CR_TO_RED, CB_TO_GREEN, CR_TO_GREEN, CB_TO_BLUE = 91881, -22554, -46802, 116130
"""libjpeg's constants of the way back, 16 bits after the point."""


class _Floor(torch.autograd.Function):
    """The floor, in place, whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.floor_()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def _shifted(x: Tensor, bits: int, rounded: bool = True) -> Tensor:
    """Whole numbers, shifted to the right and rounded, halves up."""
    return _floor((x + (1 << bits - 1)).mul_(0.5**bits)) if rounded else x * 0.5**bits


def _floor(x: Tensor) -> Tensor:
    """Round down what nobody else holds."""
    result: Tensor = _Floor.apply(x)  # type: ignore[no-untyped-call]
    return result


# libjpeg's transform, 13 bits after the point: no addition between its products is rounded, so it is a matrix of whole
# numbers, sqrt(8) times the orthonormal one, and the inverse one's its transpose. Frequencies, and half the positions.
_HALF_DCT = (
    *((8192, 8192, 8192, 8192), (11363, 9633, 6437, 2260), (10703, 4433, -4433, -10703), (9633, -2259, -11362, -6436)),
    *(
        (8192, -8192, -8192, 8192),
        (6437, -11362, 2261, 9633),
        (4433, -10704, 10704, -4433),
        (2260, -6436, 9633, -11363),
    ),
)


def quality_tables(quality: int) -> tuple[Tensor, Tensor]:
    """Give the quantisation steps of luma and chroma of libjpeg's quality.

    Args:
        quality: 1 to 100.

    Returns:
        Float64 (8, 8) each, whole numbers from 1 to 255, row by row from the lowest frequency.
    """
    check_int(quality, "quality", at_least=1, at_most=100)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = torch.tensor(_LUMA).view(8, 8), torch.full((8, 8), 99)
    chroma[:4, :4] = torch.tensor(_CHROMA).view(4, 4)
    scaled = [((table * percent + 50) // 100).clamp(1, 255).double() for table in (luma, chroma)]
    return scaled[0], scaled[1]


def encode(
    levels: Tensor, tables: Sequence[Tensor], subsampling: str = "4:2:0", *, rounded: bool = True
) -> tuple[Tensor, ...]:
    """Encode photos as libjpeg does: into whole multiples of quantisation steps.

    Args:
        levels: Whole levels 0..255, (N, 3, H, W).
        tables: Quantisation steps (8, 8) of luma and of chroma; the last one stands for all that follow.
        subsampling: "4:4:4", "4:2:2" or "4:2:0"; "4:0:0" for luma alone.
        rounded: Without it, nothing on the way is rounded, and levels need not be whole.

    Returns:
        Y, Cb and Cr, float64 (N, rows of blocks, columns of blocks, 8, 8), whole numbers where they are rounded; their
        gradients are those of the same way without a rounding.
    """
    check_choice(subsampling, "subsampling", tuple(SHRINKS))
    levels, matrix = levels.double(), _integer_dct(levels.device)
    height, width = levels.shape[-2:]
    components = []
    for index in range(1 if subsampling == "4:0:0" else 3):
        weights = levels.new_tensor(_TO_YCC[index])
        offset = _TO_YCC_ADDED[index] if rounded else 128 << 16 if index else 0
        plane = torch.einsum("nchw,c->nhw", levels, weights).add_(offset).mul_(0.5**16)
        plane = _floor(plane) if rounded else plane
        down, across = SHRINKS[subsampling] if index else (1, 1)
        rows, columns = -(-height // down), -(-width // across)
        plane = _repeated(plane, -(-columns // 8) * 8 * across, rows * down)
        if across == 2:  # the rounding of a mean of two is 0 and 1 in turn, of four 1 and 2
            added = torch.arange(plane.shape[-1] // 2, device=levels.device) % 2 + down - 1
            parts = [plane[:, row::down, column::across] for row in range(down) for column in range(across)]
            mean = torch.stack(parts).sum(0) / len(parts)
            plane = _floor(mean + added / len(parts)) if rounded else mean
        plane = _repeated(plane, plane.shape[-1], -(-rows // 8) * 8)
        n, tall, wide = plane.shape
        blocks = (plane - 128).view(n, tall // 8, 8, wide // 8, 8).transpose(2, 3)
        coefficients = _shifted(matrix @ _shifted(blocks @ matrix.T, 11, rounded), 15, rounded)
        step = tables[min(index, len(tables) - 1)].to(coefficients) * 8
        if not rounded:
            components.append(coefficients / step)
            continue
        sign = 1 - 2 * (coefficients.detach() < 0).double()
        components.append(sign * _floor((coefficients * sign + (step / 2).floor()) / step))
    return tuple(components)


def decode(
    components: Sequence[Tensor], tables: Sequence[Tensor], size: tuple[int, int], subsampling: str = "4:2:0"
) -> Tensor:
    """Decode quantised coefficients as libjpeg does, with its smooth enlargement of chroma.

    Args:
        components: Y, Cb and Cr, or Y alone, (N, rows of blocks, columns of blocks, 8, 8), multiples of the steps; they
            need not be whole.
        tables: Quantisation steps (8, 8) of luma and of chroma; the last one stands for all that follow.
        size: Width and height of the photo.
        subsampling: "4:4:4", "4:2:2" or "4:2:0"; where there is Y alone it says nothing.

    Returns:
        Levels float64 (N, 3, H, W), whole numbers from 0 to 255. Gradients pass through all roundings, and not through
        what is clipped.

    Raises:
        InvalidInputError: Components of other shapes than such a photo has.
    """
    width, height = size
    check_choice(subsampling, "subsampling", tuple(SHRINKS))
    matrix, planes = _integer_dct(components[0].device), []
    for index, component in enumerate(components):
        shrink = SHRINKS[subsampling] if index else (1, 1)
        rows, columns = -(-height // shrink[0]), -(-width // shrink[1])
        wanted = (-(-rows // 8), -(-columns // 8), 8, 8)
        if component.shape[1:] != wanted:
            raise InvalidInputError(f"components: {wanted} a photo is needed, not {tuple(component.shape[1:])}")
        coefficients = component.double() * tables[min(index, len(tables) - 1)].to(matrix)
        blocks = _shifted(_shifted(matrix.T @ coefficients, 11) @ matrix, 18)
        plane = (blocks + 128).clamp(0, 255).transpose(2, 3).flatten(3).flatten(1, 2)[:, :rows, :columns]
        smooth = columns > 2
        if shrink == (2, 2):
            plane = enlarged_twice(plane) if smooth else plane.repeat_interleave(2, 1).repeat_interleave(2, 2)
        elif shrink == (1, 2):
            plane = widened_twice(plane, smooth)
        planes.append(plane[:, :height, :width])
    if len(planes) == 1:
        return planes[0][:, None].expand(-1, 3, -1, -1)
    y, cb, cr = planes[0], planes[1] - 128, planes[2] - 128
    red = y + _shifted(CR_TO_RED * cr, 16)
    green = y + _shifted(CB_TO_GREEN * cb + CR_TO_GREEN * cr, 16)
    blue = y + _shifted(CB_TO_BLUE * cb, 16)
    return torch.stack([red, green, blue], 1).clamp(0, 255)


def enlarged_twice(plane: Tensor) -> Tensor:
    """Whole levels (..., h, w) at twice the size by libjpeg's triangle filter: 3/4 nearer, 1/4 further.

    ``jdsample.c`` rounds up and down in turn.
    """
    padded = _edged(plane, 1, 1)
    middle = 3 * padded[..., 1:-1, :]
    tall = torch.stack([middle + padded[..., :-2, :], middle + padded[..., 2:, :]], -2).flatten(-3, -2)
    middle = 3 * tall[..., 1:-1]
    wide = torch.stack([middle + tall[..., :-2] + 8, middle + tall[..., 2:] + 7], -1).flatten(-2)
    return _floor(wide.div_(16))


def widened_twice(plane: Tensor, smooth: bool) -> Tensor:
    """Whole levels (..., h, w) at twice the width, by the same filter or by repetition."""
    if not smooth:
        return plane.repeat_interleave(2, -1)
    padded = _edged(plane, 0, 1)
    middle = 3 * padded[..., 1:-1]
    wide = torch.stack([middle + padded[..., :-2] + 1, middle + padded[..., 2:] + 2], -1).flatten(-2)
    return _floor(wide.div_(4))


def _edged(plane: Tensor, rows: int, columns: int) -> Tensor:
    """Repeat the outermost rows and columns."""
    flat = plane.reshape(1, -1, *plane.shape[-2:])
    padded = F.pad(flat, (columns, columns, rows, rows), mode="replicate")
    return padded.view(*plane.shape[:-2], *padded.shape[-2:])


def _repeated(plane: Tensor, width: int, height: int) -> Tensor:
    """Repeat the last column and row of (N, h, w) up to a size."""
    if plane.shape[1:] == (height, width):
        return plane
    rows = torch.arange(height, device=plane.device).clamp_max(plane.shape[1] - 1)
    columns = torch.arange(width, device=plane.device).clamp_max(plane.shape[2] - 1)
    return plane[:, rows][:, :, columns]


def _integer_dct(device: torch.device) -> Tensor:
    half = torch.tensor(_HALF_DCT, dtype=torch.float64, device=device)
    return torch.cat([half, half.flip(1) * half.new_tensor([1, -1] * 4)[:, None]], 1)
