"""The cropper's resize: integer arithmetic on uint8 levels, exact forward, straight-through gradient.

Source: the open-sourced reference program of image-crop-analysis (Yee et al. 2021), whose stages are: 2x2 box halving
while the image stays at least as large as the target, then separable Lanczos-3 down or 4-tap Lanczos-2 up, with uint8
between the stages. Every value is an integer, so the result does not depend on the device, the batch or the
number of threads. The gradient is that of the same linear maps without their roundings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["halve", "halving_count", "resize", "resize_levels", "target_size"]

LONG_SIDE = 320


def target_size(width: int, height: int, limit: int = LONG_SIDE) -> tuple[int, int]:
    """Size (width, height) at which the cropper sees a photo: the longer side becomes ``limit``, each at least 1 px."""
    f = np.float32
    scale = min(f(limit) / f(width), f(limit) / f(height))
    return max(1, int(scale * f(width) + f(0.5))), max(1, int(scale * f(height) + f(0.5)))


def halving_count(width: int, height: int, target: tuple[int, int]) -> int:
    """How many 2x2 box halvings come before the filter stage."""
    count = 0
    while width // 2 >= target[0] and height // 2 >= target[1]:
        width, height, count = width // 2, height // 2, count + 1
    return count


class Taps(NamedTuple):
    """One axis of a filter: source indices (n_out, taps) and integer weights (n_out, taps), 65536 standing for 1."""

    source: np.ndarray[Any, np.dtype[np.int64]]
    weight: np.ndarray[Any, np.dtype[np.int32]]


def _fixed_point(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Normalise float32 weights (n_out, taps) as the reference does: summed in tap order, reciprocal, truncated."""
    total = np.zeros(len(weights), np.float32)
    for column in weights.T:
        total += column
    reciprocal = np.float32(1) / total
    fixed: np.ndarray[Any, np.dtype[np.int32]] = np.trunc(weights * reciprocal[:, None] * np.float32(65536)).astype(
        np.int32
    )
    return fixed


def _sinc(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """sin(pi x)/(pi x) in double from a float32 argument, rounded to float32."""
    argument = np.pi * x.astype(np.float64)
    return np.where(x == 0, 1.0, np.sin(argument) / np.where(x == 0, 1.0, argument)).astype(np.float32)


@lru_cache(maxsize=256)
def lanczos3_taps(n_in: int, n_out: int) -> Taps:
    """Lanczos-3 reduction of one axis, 12 taps at most (fewer where the window is narrower: their weight is 0)."""
    f = np.float32
    ratio, inverse = f(n_in) / f(n_out), f(n_out) / f(n_in)
    centre = (np.arange(n_out, dtype=np.float32) + f(0.5)) * ratio - f(1e-5)
    window = min(f(6 - 1e-5), f(3) * ratio)
    first = np.trunc(centre - window + f(0.5)).astype(np.int64)
    last = np.trunc(centre + window + f(0.5)).astype(np.int64)
    taps = first[:, None] + np.arange(12)
    position = inverse * ((taps.astype(np.float32) - centre[:, None]) + f(0.5))
    weights = _sinc(position) * _sinc(position * f(1 / 3))
    weights = np.where(taps < last[:, None], weights, f(0)).astype(np.float32)
    return Taps(np.clip(taps, 0, n_in - 1), _fixed_point(weights))


@lru_cache(maxsize=256)
def lanczos2_taps(n_in: int, n_out: int) -> Taps:
    """Four-tap Lanczos-2 enlargement of one axis (the kernel's value at 0 is 1/2; normalising makes up for it)."""
    f = np.float32
    position = (np.arange(n_out, dtype=np.float32) + f(0.5)) * (f(n_in) / f(n_out)) - f(0.5)
    position = np.maximum(f(0), position)
    base = np.trunc(position).astype(np.int64)
    fraction = position - base.astype(np.float32)
    x = (np.arange(-1, 3, dtype=np.float32) - fraction[:, None]).astype(np.float32).astype(np.float64)
    safe = np.where(x == 0, 1.0, x)
    kernel = np.where(x == 0, 0.5, np.sin(np.pi * safe) * np.sin(np.pi * safe / 2) / (np.pi * safe) ** 2)
    index = np.clip(base[:, None] + np.arange(-1, 3), 0, n_in - 1)
    return Taps(index, _fixed_point(kernel.astype(np.float32)))


def _filter(x: Tensor, taps: Taps, dim: int) -> Tensor:
    """Sum of weight x value along ``dim`` in int32 (N, C, H, W); the largest possible sum fits."""
    index = torch.from_numpy(taps.source).to(x.device)
    weight = torch.from_numpy(taps.weight).to(x.device)
    shape = [1, 1, 1, 1]
    shape[dim] = -1
    total = x.index_select(dim, index[:, 0]) * weight[:, 0].view(shape)
    for tap in range(1, index.shape[1]):
        total += x.index_select(dim, index[:, tap]) * weight[:, tap].view(shape)
    return total


def halve(x: Tensor) -> Tensor:
    """2x2 box mean of integer levels (N, C, H, W), rounded down; an odd last row or column is dropped."""
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    x = x[..., :height, :width]
    total = x[..., 0::2, 0::2].to(torch.int16)
    total = total + x[..., 0::2, 1::2] + x[..., 1::2, 0::2] + x[..., 1::2, 1::2]
    return (total >> 2).to(x.dtype)


def _stage(x: Tensor, size: tuple[int, int]) -> str:
    """Which filter follows the halvings for an image (…, H, W) and a target (width, height)."""
    height, width = x.shape[-2:]
    if size[0] > width or size[1] > height:
        return "enlarge"
    return "reduce" if (size[0] < width or size[1] < height) else "none"


def resize_levels(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 levels (N, C, H, W) to ``size`` = (width, height) exactly as the deployed cropper does.

    Returns:
        uint8 (N, C, height, width).
    """
    for _ in range(halving_count(x.shape[-1], x.shape[-2], size)):
        x = halve(x)
    stage = _stage(x, size)
    if stage == "enlarge":
        wide = _filter(x.to(torch.int32), lanczos2_taps(x.shape[-1], size[0]), 3) >> 10
        tall = _filter(wide, lanczos2_taps(x.shape[-2], size[1]), 2)
        return ((tall + (2**21 - 1)) >> 22).clamp(0, 255).to(torch.uint8)
    if stage == "reduce":
        for dim, n_out in ((3, size[0]), (2, size[1])):
            if x.shape[dim] != n_out:
                total = _filter(x.to(torch.int32), lanczos3_taps(x.shape[dim], n_out), dim)
                x = ((total + 32767) >> 16).clamp(0, 255).to(torch.uint8)
    return x


@lru_cache(maxsize=64)
def _matrix(kind: str, n_in: int, n_out: int, device: str) -> Tensor:
    """The filter of one axis as a dense float32 matrix (n_out, n_in), for the transposed product of the gradient."""
    taps = lanczos2_taps(n_in, n_out) if kind == "enlarge" else lanczos3_taps(n_in, n_out)
    dense = np.zeros((n_out, n_in), np.float32)
    np.add.at(dense, (np.arange(n_out)[:, None], taps.source), taps.weight.astype(np.float32) / 65536)
    return torch.from_numpy(dense).to(device)


class _Resize(torch.autograd.Function):
    """Exact integers forward; backward is the transpose of the linear maps, as if nothing had been rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, int]) -> Tensor:
        levels = x.round().clamp(0, 255).to(torch.uint8)
        ctx.shape, ctx.size = x.shape, size
        return resize_levels(levels, size).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        height, width = ctx.shape[-2:]
        count = halving_count(width, height, ctx.size)
        base = (height >> count, width >> count)
        kind = "enlarge" if ctx.size[0] > base[1] or ctx.size[1] > base[0] else "reduce"
        device = str(gradient.device)
        if base[0] != ctx.size[1]:
            rows = _matrix(kind, base[0], ctx.size[1], device).to(gradient.dtype)
            gradient = torch.einsum("oi,ncow->nciw", rows, gradient)
        if base[1] != ctx.size[0]:
            gradient = gradient @ _matrix(kind, base[1], ctx.size[0], device).to(gradient.dtype)
        if count:
            full = gradient.new_zeros(ctx.shape)
            side = 2**count
            spread = (gradient / side**2).repeat_interleave(side, -2).repeat_interleave(side, -1)
            full[..., : base[0] * side, : base[1] * side] = spread
            gradient = full
        return gradient, None


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Differentiable :func:`resize_levels` on float levels 0..255 (N, C, H, W).

    Levels are rounded first; the gradient passes straight through every rounding.
    """
    result: Tensor = _Resize.apply(x, size)  # type: ignore[no-untyped-call]
    return result
