"""How much a written photo differs from its original, in strips, so that memory does not grow with the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from art_crop.metrics.image import ciede2000_map, ssim

__all__ = ["Change", "l2", "measure_change"]

_STRIP_PIXELS = 1_000_000
_SSIM_BORDER = 5  # scikit-image leaves out the pixels whose 11 x 11 window leaves the photo


@dataclass(frozen=True)
class Change:
    """Distances between the original and what was written, pixels in [0, 1]; None where one has no finite value."""

    l2: float
    linf: float
    psnr_db: float | None
    """None: the photos are equal."""
    ssim: float | None
    """None: a side is below 11 px."""
    ciede2000_mean: float
    ciede2000_p95: float


def measure_change(original: NDArray[np.uint8], written: NDArray[np.uint8]) -> Change:
    """All distances of two uint8 photos (H, W, 3), as :mod:`art_crop.metrics` defines them.

    Example:
        >>> import numpy as np
        >>> grey = np.full((20, 30, 3), 100, np.uint8)
        >>> measure_change(grey, grey).psnr_db is None
        True
    """
    height, width = original.shape[:2]
    rows = max(1, _STRIP_PIXELS // width)
    squares, largest = 0, 0
    colours = np.empty((height, width), np.float32)
    for top in range(0, height, rows):
        strip = slice(top, min(top + rows, height))
        squares += _squares(original[strip], written[strip])
        largest = max(largest, int(np.abs(written[strip].astype(np.int16) - original[strip]).max()))
        colours[strip] = ciede2000_map(original[strip], written[strip])
    return Change(
        l2=math.sqrt(squares) / 255,
        linf=largest / 255,
        psnr_db=None if squares == 0 else 10 * math.log10(255**2 * original.size / squares),
        ssim=_ssim(original, written, rows),
        ciede2000_mean=float(colours.mean(dtype=np.float64)),
        ciede2000_p95=float(np.percentile(colours, 95)),
    )


def l2(original: NDArray[np.uint8], changed: NDArray[np.uint8]) -> float:
    """L2 norm of the difference of two uint8 photos, pixels in [0, 1]."""
    rows = max(1, _STRIP_PIXELS // original.shape[1])
    tops = range(0, len(original), rows)
    return math.sqrt(sum(_squares(original[top : top + rows], changed[top : top + rows]) for top in tops)) / 255


def _squares(original: NDArray[np.uint8], changed: NDArray[np.uint8]) -> int:
    return int(((changed.astype(np.int64) - original) ** 2).sum())


def _ssim(original: NDArray[np.uint8], written: NDArray[np.uint8], rows: int) -> float | None:
    """Mean of the strips' SSIM, each with the rows that its windows reach into."""
    height, width = original.shape[:2]
    if min(height, width) <= 2 * _SSIM_BORDER:
        return None
    total: float = 0.0
    last = height - _SSIM_BORDER
    for top in range(_SSIM_BORDER, last, rows):
        bottom = min(top + rows, last)
        strip = slice(top - _SSIM_BORDER, bottom + _SSIM_BORDER)
        total += float(ssim(original[strip], written[strip])) * (bottom - top)
    mean: float = total / (last - _SSIM_BORDER)
    return mean
