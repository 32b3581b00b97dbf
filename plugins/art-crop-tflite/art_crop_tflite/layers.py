"""The operators that are layers: convolutions and pools on images, as modules that can be named and watched."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Convolution", "ImageLayer", "Interpolation", "MatrixLayer", "Pool", "interpolation_matrix"]

Pair = tuple[int, int]
LONG = 1 << 16


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """How many pixels SAME padding puts before and after a side: the odd one comes after."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _pads(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[int, int, int, int]:
    """Left, right, top, bottom."""
    top, bottom = same_padding(x.shape[2], kernel[0], stride[0], dilation[0])
    left, right = same_padding(x.shape[3], kernel[1], stride[1], dilation[1])
    return left, right, top, bottom


class Convolution(nn.Conv2d):
    """A convolution (N, C, h, w) -> (N, K, h', w') with VALID or SAME padding.

    Args:
        weight: (K, C / groups, height, width).
        bias: (K,) or None.
        stride: Rows, columns.
        same: SAME padding.
        dilation: Rows, columns.
        groups: As in torch.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: Pair, same: bool, dilation: Pair, groups: int
    ) -> None:
        # On "meta" it takes no memory, whatever the file claims, and draws no random numbers.
        super().__init__(
            weight.shape[1] * groups,
            weight.shape[0],
            cast(Pair, tuple(weight.shape[2:])),
            stride=stride,
            dilation=dilation,
            groups=groups,
            bias=bias is not None,
            device="meta",
        )
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        if bias is not None:
            self.bias = nn.Parameter(bias)
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, K, h', w')."""
        padding = (0, 0)
        if self.same:
            stride, dilation = cast(Pair, self.stride), cast(Pair, self.dilation)
            left, right, top, bottom = _pads(x, cast(Pair, self.kernel_size), stride, dilation)
            if left == right and top == bottom:
                padding = (top, left)
            else:
                x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(
            x, self.weight, self.bias, cast(Pair, self.stride), padding, cast(Pair, self.dilation), self.groups
        )


class Pool(nn.Module):
    """Maximum or mean over windows (N, C, h, w) -> (N, C, h', w'); what SAME padding adds counts for neither."""

    def __init__(self, kind: str, size: Pair, *, stride: Pair, same: bool) -> None:
        super().__init__()
        self.kind, self.size, self.stride, self.same = kind, size, stride, same

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h', w')."""
        pads = _pads(x, self.size, self.stride, (1, 1)) if self.same else (0, 0, 0, 0)
        if self.kind == "max":
            even = pads[0] == pads[1] and pads[2] == pads[3]
            if not even:
                x = F.pad(x, pads, value=float("-inf"))
            return F.max_pool2d(x, self.size, self.stride, (pads[2], pads[0]) if even else 0)
        total = F.avg_pool2d(F.pad(x, pads), self.size, self.stride, divisor_override=1)
        inside = F.pad(torch.ones_like(x[:1, :1]), pads)
        return total / F.avg_pool2d(inside, self.size, self.stride, divisor_override=1)


class ImageLayer(nn.Sequential):
    """Layers for images (n, C, h, w) applied to values (N, b, h, w, C); both are views of the same memory."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, b, h, w, C) -> (N, b, h', w', K)."""
        result: Tensor = super().forward(x.flatten(0, 1).permute(0, 3, 1, 2))  # type: ignore[no-untyped-call]
        n, _, h, w = result.shape
        return result.permute(0, 2, 3, 1).reshape(x.shape[0], n // x.shape[0], h, w, -1)


class MatrixLayer(nn.Module):
    """A matrix product on the last dimension, after a reshape, and its activation.

    The runtime adds the terms one after another in float32. Over some 100,000 terms that is far from the sum (0.2 px in
    a centroid), so long products are rounded in the same order; the gradient is that of the exact product.
    """

    def __init__(self, operation: nn.Linear, activation: nn.Module | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.operation, self.activation, self.shape = operation, activation, shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> (N, ..., K)."""
        x = x.reshape(x.shape[0], *self.shape)
        result = cast(Tensor, self.operation(x))
        if self.operation.in_features >= LONG and result.dtype == torch.float32 and not x.is_meta:
            result = result + (_one_by_one(x, self.operation) - result).detach()
        return cast(Tensor, result if self.activation is None else self.activation(result))


@torch.no_grad()
def _one_by_one(x: Tensor, operation: nn.Linear) -> Tensor:
    """The product with its terms added in order, each sum rounded to float32."""
    rows = x.reshape(-1, x.shape[-1]).cpu().numpy()
    weight = operation.weight.cpu().numpy()
    sums = np.array([[np.add.accumulate(row * column)[-1] for column in weight] for row in rows], np.float32)
    result = torch.from_numpy(sums).to(x.device).reshape(*x.shape[:-1], -1)
    return result if operation.bias is None else result + operation.bias


class Interpolation(nn.Module):
    """Bilinear resize of (N, b, h, w, C) as two matrix products; exact for each of the file format's conventions."""

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, x: Tensor) -> Tensor:
        """(N, b, h, w, C) -> (N, b, H, W, C)."""
        planes = x.movedim(-1, 2)
        return (self.rows @ (planes @ self.columns.mT)).movedim(2, -1)


def interpolation_matrix(size: int, target: int, align_corners: bool, half_pixel_centers: bool) -> Tensor:
    """Bilinear weights of one side, float32 (target, size), computed in float32 as the reference kernel does."""
    f = np.float32
    scale = f(size - 1) / f(target - 1) if align_corners and target > 1 else f(size) / f(target)
    place = np.arange(target, dtype=np.float32)
    place = (place + f(0.5)) * scale - f(0.5) if half_pixel_centers else place * scale
    lower = np.maximum(np.floor(place), 0).astype(np.int64)
    upper = np.minimum(np.ceil(place), size - 1).astype(np.int64)
    share = place - lower.astype(np.float32)
    matrix = np.zeros((target, size), np.float32)
    rows = np.arange(target)
    np.add.at(matrix, (rows, np.minimum(lower, size - 1)), f(1) - share)
    np.add.at(matrix, (rows, upper), share)
    return torch.from_numpy(matrix)
