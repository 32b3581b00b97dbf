"""Pillow's resize of uint8 photos, to the last bit, with a straight-through gradient; and fitting into a frame.

Source: Pillow's Resample.c and Geometry.c. Weights are fixed-point numbers with 22 binary digits, rows are resampled
before columns, and the values between the two are uint8. The gradient is that of the same linear maps unrounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["RESAMPLINGS", "Frame", "Resampling", "fit", "resize", "resize_levels"]

Resampling = Literal["nearest", "bilinear", "bicubic"]
RESAMPLINGS = ("nearest", "bilinear", "bicubic")
Array = np.ndarray[Any, Any]

_BITS = 22
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}


class Taps(NamedTuple):
    """One side of a filter: where each output value comes from, (n, taps), and the weights there."""

    source: Array
    weight: Array


def _bilinear(x: Array) -> Array:
    result: Array = np.maximum(1 - np.abs(x), 0)
    return result


def _bicubic(x: Array) -> Array:
    a, x = -0.5, np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    result: Array = np.where(x < 1, near, np.where(x < 2, far, 0))
    return result


@lru_cache(maxsize=64)
def forward_taps(n_in: int, n_out: int, resampling: Resampling) -> Taps:
    """Pillow's taps of one side; weights are int32, 2**22 standing for 1."""
    scale = n_in / n_out
    if resampling == "nearest":
        place = np.cumsum(np.concatenate([[scale * 0.5], np.full(n_out - 1, scale)]))  # Pillow adds the steps up, too
        return Taps(np.minimum(place.astype(np.int64), n_in - 1)[:, None], np.full((n_out, 1), 1 << _BITS, np.int32))
    stretch = max(scale, 1.0)
    support = _SUPPORT[resampling] * stretch
    centre = (np.arange(n_out) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), n_in)
    index = first[:, None] + np.arange(int((last - first).max()))
    kernel = (_bilinear if resampling == "bilinear" else _bicubic)((index - centre[:, None] + 0.5) * (1 / stretch))
    kernel = np.where(index < last[:, None], kernel, 0.0)
    kernel = kernel / kernel.sum(1, keepdims=True)
    fixed = np.trunc(kernel * (1 << _BITS) + np.where(kernel < 0, -0.5, 0.5)).astype(np.int32)
    return Taps(np.minimum(index, n_in - 1), fixed)


@lru_cache(maxsize=64)
def backward_taps(n_in: int, n_out: int, resampling: Resampling) -> Taps:
    """The transposed filter as taps of its own: for each input value the outputs that it went into, float32."""
    source, weight = forward_taps(n_in, n_out, resampling)
    rows = np.repeat(np.arange(n_out), source.shape[1])
    used = weight.ravel() != 0
    columns, rows, values = source.ravel()[used], rows[used], weight.ravel()[used] / (1 << _BITS)
    order = np.argsort(columns, kind="stable")
    columns, rows, values = columns[order], rows[order], values[order]
    counts = np.bincount(columns, minlength=n_in)
    rank = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    index = np.zeros((n_in, max(int(counts.max()), 1)), np.int64)
    share = np.zeros(index.shape, np.float32)
    index[columns, rank], share[columns, rank] = rows, values
    return Taps(index, share)


def _apply(x: Tensor, taps: Taps, dim: int) -> Tensor:
    """Sum over the taps of weight x value along ``dim`` of (N, C, H, W), in x's type."""
    index = torch.from_numpy(taps.source).to(x.device)
    weight = torch.from_numpy(taps.weight).to(x.device, x.dtype)
    shape = [1, 1, 1, 1]
    shape[dim] = -1
    total = x.index_select(dim, index[:, 0]) * weight[:, 0].view(shape)
    for tap in range(1, index.shape[1]):
        total.addcmul_(x.index_select(dim, index[:, tap]), weight[:, tap].view(shape))
    return total


def resize_levels(x: Tensor, size: tuple[int, int], resampling: Resampling) -> Tensor:
    """Integer levels 0..255 (N, C, H, W) -> int32 (N, C, height, width) for ``size`` = (width, height), as Pillow."""
    x = x.to(torch.int32)
    for dim, n_out in ((3, size[0]), (2, size[1])):
        if x.shape[dim] != n_out:
            total = _apply(x, forward_taps(x.shape[dim], n_out, resampling), dim)
            x = ((total + (1 << (_BITS - 1))) >> _BITS).clamp(0, 255)
    return x


class _Resize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, int], resampling: Resampling) -> Tensor:
        ctx.shape, ctx.size, ctx.resampling = x.shape, size, resampling
        return resize_levels(x.round().clamp(0, 255), size, resampling).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        for dim, n_out in ((2, ctx.size[1]), (3, ctx.size[0])):
            if ctx.shape[dim] != n_out:
                gradient = _apply(gradient, backward_taps(ctx.shape[dim], n_out, ctx.resampling), dim)
        return gradient, None, None


def resize(x: Tensor, size: tuple[int, int], resampling: Resampling) -> Tensor:
    """Differentiable :func:`resize_levels` on float levels 0..255 (N, C, H, W), which are rounded first."""
    result: Tensor = _Resize.apply(x, size, resampling)  # type: ignore[no-untyped-call]
    return result


class Frame(NamedTuple):
    """Where a photo lies in a network's input: left, top, width, height, in the input's pixels."""

    left: int
    top: int
    width: int
    height: int


def fit(photo: tuple[int, int], target: tuple[int, int], mode: Literal["pad", "stretch"]) -> Frame:
    """Where a photo (width, height) goes in an input (width, height); padding as TensorFlow's resize_with_pad."""
    if mode == "stretch":
        return Frame(0, 0, *target)
    ratio = max(photo[0] / target[0], photo[1] / target[1])
    width, height = (max(1, min(t, int(side / ratio))) for side, t in zip(photo, target, strict=True))
    return Frame((target[0] - width) // 2, (target[1] - height) // 2, width, height)


def into_frame(levels: Tensor, frame: Frame, target: tuple[int, int], resampling: Resampling) -> Tensor:
    """Levels (N, C, H, W), resized to the frame and padded with black to ``target`` = (width, height)."""
    x = resize(levels, (frame.width, frame.height), resampling)
    right, bottom = target[0] - frame.left - frame.width, target[1] - frame.top - frame.height
    return F.pad(x, (frame.left, right, frame.top, bottom)) if (right or bottom or frame.left or frame.top) else x
