"""The record of one photo's attack, and the random streams that belong to a photo."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.functional.norms import norm_of

__all__ = ["AttackResult", "photo_noise", "photo_stream"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AttackResult:
    """What became of one photo; ``success`` is decided in float32 on exactly the photo that was returned."""

    success: bool
    success_before: bool
    l2: float
    """L2 norm of the change over the whole photo, in units of ``clip_values``."""
    linf: float
    loss: float
    gradients: int
    """Forward and backward passes, Grad-CAM's included."""
    queries: int
    """Forward passes alone."""
    curve: tuple[float, ...] = ()
    """How the search went: the best value so far after each query of the model; see :attr:`curve_of`."""
    curve_of: Literal["", "loss", "budget"] = ""
    """What :attr:`curve` holds: least losses of the attacked model, smallest budgets that succeeded (inf before the
    first), or nothing where the options leave neither to be known."""
    note: str = ""
    """What a user has to know of this photo; mostly nothing."""

    def measured(self, delta: Tensor) -> AttackResult:
        """Fill in the norms of a change (3, H, W)."""
        return replace(self, l2=float(norm_of(delta[None])), linf=float(delta.abs().max()))

    def measured_levels(self, pixels: Array, changed: Array) -> AttackResult:
        """Fill in the norms of the change from one uint8 photo (H, W, 3) to another, in strips."""
        squares, largest, rows = 0, 0, max(1, 1_000_000 // pixels.shape[1])
        for top in range(0, len(pixels), rows):
            delta = changed[top : top + rows].astype(np.int32) - pixels[top : top + rows]
            squares, largest = squares + int((delta * delta).sum()), max(largest, int(np.abs(delta).max()))
        return replace(self, l2=math.sqrt(squares) / 255, linf=largest / 255)


def photo_stream(x: Tensor, seed: int, clip: tuple[float, float] = (0.0, 1.0)) -> np.random.Generator:
    """A random stream that belongs to the seed and the photo's own pixels, whatever else is in the batch."""
    levels = ((x - clip[0]) * (255 / (clip[1] - clip[0]))).round().to(torch.uint8).cpu().numpy().tobytes()
    # numpy's seeds take numbers of any size; torch's generator on a CPU looks at the lowest 32 bits only.
    return np.random.default_rng([seed, zlib.crc32(levels)])


def photo_noise(x: Tensor, seed: int, clip: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Gaussian noise shaped like a photo, from its :func:`photo_stream`."""
    return torch.from_numpy(photo_stream(x, seed, clip).standard_normal(x.shape, np.float32)).to(x.device)
