"""EfficientNet-Lite0 to Lite2: the networks, with the module names of the published weight files.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1, in the Lite
variant of the official TensorFlow code (tpu/models/official/efficientnet/lite): ReLU6 instead of swish, no
squeeze-and-excitation; wider and deeper variants keep the first and last convolution's channels and the first and last
stage's depth. Convolutions pad as TensorFlow's "SAME" does, which at stride 2 puts the odd pixel to the right
and below.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["VARIANTS", "EfficientNetLite", "PhotoClassifier"]


class Variant(NamedTuple):
    """What tells the networks of the family apart."""

    size: int
    """Side of the square that the network was trained on, pixels."""
    width: float
    """Factor on the channels of every stage."""
    depth: float
    """Factor on the repeats of every stage but the first and the last."""


VARIANTS = {
    "efficientnet-lite0": Variant(224, 1.0, 1.0),
    "efficientnet-lite1": Variant(240, 1.0, 1.1),
    "efficientnet-lite2": Variant(260, 1.1, 1.2),
}

# Repeats, kernel, stride of the first, expansion, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """Convolution without bias whose output has ceil(n / stride) rows and columns."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', ceil(h / stride), ceil(w / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:])
        x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return F.conv2d(x, self.weight, None, self.stride, groups=self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow; the input is added where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.widens, self.adds = expansion != 1, stride == 1 and channels_in == channels_out
        if self.widens:
            self._expand_conv, self._bn0 = SameConv(channels_in, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, channels_out, 1), _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride)."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        y: Tensor = self._bn2(self._project_conv(wide))
        return x + y if self.adds else y


def _channels(base: int, width: float) -> int:
    """A multiple of 8 near the scaled number, at least nine tenths of it, as in the official code."""
    wanted = base * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


class EfficientNetLite(nn.Module):
    """Normalised photos (N, 3, S, S) -> logits (N, 1000), S the variant's size."""

    def __init__(self, variant: Variant = VARIANTS["efficientnet-lite0"]) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), _norm(32)
        blocks, channels = [], 32
        for stage, (repeats, kernel, stride, expansion, base) in enumerate(STAGES):
            width = _channels(base, variant.width)
            count = repeats if stage in (0, len(STAGES) - 1) else math.ceil(repeats * variant.depth)
            for k in range(count):
                blocks.append(Block(channels, width, kernel, stride if k == 0 else 1, expansion))
                channels = width
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SameConv(channels, 1280, 1), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1000)."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        x = F.relu6(self._bn1(self._conv_head(self._blocks(x))))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits


class PhotoClassifier(nn.Module):
    """Photos (N, 3, H, W) of any size with values in [0, 1] -> logits (N, 1000), differentiable all the way.

    The square in the middle, whose share of the shorter side is the official evaluation's S / (S + 32), is resized to
    ``size`` S and normalised to (level - 127) / 128, as the network was trained.
    """

    def __init__(self, network: EfficientNetLite, size: int = VARIANTS["efficientnet-lite0"].size) -> None:
        super().__init__()
        self.network, self.size = network, size

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 1000)."""
        height, width = x.shape[-2:]
        side = max(1, round(self.size / (self.size + 32) * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        square = x[..., top : top + side, left : left + side]
        if side != self.size:
            square = F.interpolate(square, (self.size, self.size), mode="bicubic", antialias=True, align_corners=False)
        logits: Tensor = self.network((square * 255 - 127) / 128)
        return logits
