"""How much a written photo differs from its original, computed only where it does.

A pixel that has not changed has a colour difference of 0, and SSIM falls below 1 only where its window of 11 x 11
pixels (Wang et al. 2004, section III-B) holds a changed one. So a photo is gone through in tiles, and equal ones cost a
comparison. The numbers are those of :mod:`art_crop.metrics`, here in float32 and in forms that do not cancel.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from art_crop.functional.color import srgb_to_linear

__all__ = ["Change", "l2", "measure_change", "share_within"]

Pixels = NDArray[np.uint8]

_TILE, _REACH = 64, 5
_WINDOW = _TILE + 2 * _REACH
# What is worked on at once stays in the processor's cache.
_TILES, _COLOURS = 4, 1 << 14
_C1, _C2 = 0.01**2, 0.03**2
_DELTA = 6 / 29
# Of IEC 61966-2-1, divided by the white point D65, as in art_crop.functional.color.
_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)


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
    ciede2000_l2: float
    """L2 norm of the map of colour differences."""


def measure_change(original: Pixels, written: Pixels) -> Change:
    """All distances of two uint8 photos (H, W, 3), as :mod:`art_crop.metrics` defines them.

    SSIM is right to about 1e-7, CIEDE2000 to about 1e-4 for a pixel and 1e-6 in the mean.

    Example:
        >>> import numpy as np
        >>> grey = np.full((20, 30, 3), 100, np.uint8)
        >>> measure_change(grey, grey).psnr_db is None
        True
    """
    height, width = original.shape[:2]
    squares, largest, lost = 0, 0, 0.0
    colours: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    # torch's own threads gain nothing on tiles that fit into a cache: the bands go to the cores instead.
    with ThreadPoolExecutor(torch.get_num_threads()) as cores:
        for band in cores.map(partial(_band, original, written), range(0, height, _TILE)):
            squares, largest, lost = squares + band.squares, max(largest, band.largest), lost + band.lost
            colours.extend(band.colours)
    colour_norm = math.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in colours))
    mean, p95 = _mean_and_p95(colours, height * width)
    valid = (height - 2 * _REACH) * (width - 2 * _REACH) * 3
    return Change(
        l2=math.sqrt(squares) / 255,
        linf=largest / 255,
        psnr_db=None if squares == 0 else 10 * math.log10(255**2 * original.size / squares),
        ssim=None if min(height, width) <= 2 * _REACH else 1 - lost / valid,
        ciede2000_mean=mean,
        ciede2000_p95=p95,
        ciede2000_l2=colour_norm,
    )


def share_within(original: Pixels, written: Pixels, bound: NDArray[np.float32]) -> float:
    """Share of the pixels no channel of which has changed by more than a bound (H, W), in grey levels."""
    within = 0
    for top in range(0, len(original), _TILE):
        rows = slice(top, top + _TILE)
        changes = np.abs(written[rows].astype(np.int16) - original[rows]).max(2)
        within += int(np.count_nonzero(changes <= bound[rows] + 1e-3))  # what float32 makes of a whole level
    return within / bound.size


class _Band(NamedTuple):
    squares: int
    largest: int
    lost: float
    """Sum of 1 - SSIM."""
    colours: list[NDArray[np.float32]]


def _band(original: Pixels, written: Pixels, top: int) -> _Band:
    """The differences of ``_TILE`` rows."""
    reached = slice(max(0, top - _REACH), top + _TILE + _REACH)
    if np.array_equal(original[reached], written[reached]):
        return _Band(0, 0, 0.0, [])
    before, after = original[top : top + _TILE], written[top : top + _TILE]
    difference = after.astype(np.int16) - before
    changed = (difference[..., 0] | difference[..., 1] | difference[..., 2]) != 0
    some = slice(None) if 2 * np.count_nonzero(changed) > changed.size else changed  # choosing takes time too
    return _Band(
        int(np.square(difference, dtype=np.int32).sum(dtype=np.int64)),
        max(int(difference.max()), -int(difference.min())),
        _lost_similarity(original, written, top),
        _colour_differences(before[some].reshape(-1, 3), after[some].reshape(-1, 3)),
    )


def l2(original: Pixels, changed: Pixels) -> float:
    """L2 norm of the difference of two uint8 photos, pixels in [0, 1]."""
    squares = 0
    for top in range(0, len(original), _TILE):
        before, after = original[top : top + _TILE], changed[top : top + _TILE]
        if not np.array_equal(before, after):
            squares += int(np.square(after.astype(np.int16) - before, dtype=np.int32).sum(dtype=np.int64))
    return math.sqrt(squares) / 255


def _lost_similarity(original: Pixels, written: Pixels, top: int) -> float:
    """Sum of 1 - SSIM over the channels of a band of ``_TILE`` rows, pixels less than ``_REACH`` from an edge apart."""
    height, width = original.shape[:2]
    first, last = max(0, top - _REACH), min(height, top + _TILE + _REACH)
    margins = (
        (first - (top - _REACH), top + _TILE + _REACH - last),
        (_REACH, -width % _TILE + _REACH),
        (0, 0),
    )
    x, y = (
        sliding_window_view(np.pad(photo[first:last], margins), _WINDOW, axis=1)[:, ::_TILE].transpose(1, 2, 0, 3)
        for photo in (original, written)
    )  # (tiles, 3, _WINDOW, _WINDOW) each
    rows, columns = np.arange(top, top + _TILE), np.arange(x.shape[0] * _TILE).reshape(-1, 1, 1, _TILE)
    counted = ((rows >= _REACH) & (rows < height - _REACH))[:, None] & (
        (columns >= _REACH) & (columns < width - _REACH)
    )
    changed = np.flatnonzero((x != y).any((1, 2, 3)))
    total = 0.0
    for k in range(0, len(changed), _TILES):
        some = changed[k : k + _TILES]
        lost = _one_minus_ssim(torch.from_numpy(x[some]).float() / 255, torch.from_numpy(y[some]).float() / 255)
        total += float((lost * torch.from_numpy(counted[some])).sum(dtype=torch.float64))
    return total


def _smoothing() -> Tensor:
    """The Gaussian of SSIM as a matrix: (_TILE, _WINDOW) times a column of pixels."""
    weights = np.exp(-(np.arange(-_REACH, _REACH + 1) ** 2) / (2 * 1.5**2))
    matrix = np.zeros((_TILE, _WINDOW), np.float32)
    for k, weight in enumerate(weights / weights.sum()):
        matrix[np.arange(_TILE), np.arange(_TILE) + k] = weight
    return torch.from_numpy(matrix)


_SMOOTHING = _smoothing()


def _one_minus_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Of tiles (..., _WINDOW, _WINDOW) in [0, 1], inner pixels only.

    With the difference d = y - x both factors of SSIM are 1 - something small: mean(d)^2 / B1 and var(d) / B2.
    """
    d = y - x
    x, y = x - 0.5, y - 0.5  # covariances stay, and lose fewer digits
    mean_x, mean_d, mean_xy, mean_dd = _SMOOTHING @ torch.stack((x, d, x * y, d * d)) @ _SMOOTHING.T
    covariance = mean_xy - mean_x * (mean_x + mean_d)
    variance_d = mean_dd - mean_d * mean_d
    p = mean_d**2 / ((mean_x + 0.5) ** 2 + (mean_x + mean_d + 0.5) ** 2 + _C1)
    q = variance_d / (2 * covariance + variance_d + _C2)
    lost: Tensor = p + q - p * q
    return lost


def _mean_and_p95(parts: list[NDArray[np.float32]], count: int) -> tuple[float, float]:
    """Mean and 95th percentile (linear between neighbours) of values and as many zeros as make ``count`` of them."""
    values = np.concatenate(parts)
    parts.clear()
    zeros = count - len(values)
    below, share = divmod(0.95 * (count - 1), 1)
    ranks = [int(below), min(int(below) + 1, count - 1)]
    wanted = [rank - zeros for rank in ranks if rank >= zeros]
    mean = float(values.sum(dtype=np.float64)) / count
    if wanted:
        values.partition(wanted)
    low, high = (float(values[rank - zeros]) if rank >= zeros else 0.0 for rank in ranks)
    return mean, low + share * (high - low)


def _colour_differences(before: Pixels, after: Pixels) -> list[NDArray[np.float32]]:
    """CIEDE2000 of pairs of colours (N, 3), in pieces."""
    pieces = (slice(k, k + _COLOURS) for k in range(0, len(before), _COLOURS))
    return [_ciede2000(_lab(before[piece]), _lab(after[piece])).numpy() for piece in pieces]


_LINEAR: NDArray[np.float32] = srgb_to_linear(torch.arange(256, dtype=torch.float64) / 255).float().numpy()


def _lab(colours: Pixels) -> tuple[Tensor, Tensor, Tensor]:
    """L*, a*, b* (D65) of sRGB levels (N, 3)."""
    xyz = torch.tensor(_XYZ) @ torch.from_numpy(_LINEAR[colours.T])
    roots = xyz.clamp_min(_DELTA**3).log_().mul_(1 / 3).exp_()  # in half of the time that a power takes
    x, y, z = torch.where(xyz > _DELTA**3, roots, xyz / (3 * _DELTA**2) + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _ciede2000(lab_1: tuple[Tensor, Tensor, Tensor], lab_2: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Sharma, Wu and Dalal 2005, equations 2 to 22, without gradients and with one angle instead of eight.

    The mean hue is the direction of the sum of the two hues' unit vectors, and of its multiples only cosines are
    needed, which are polynomials of it.
    """
    (l_1, a_1, b_1), (l_2, a_2, b_2) = lab_1, lab_2
    scale = 1.5 - 0.5 * _chroma_weight((_length(a_1, b_1) + _length(a_2, b_2)) / 2)
    a_1, a_2 = a_1 * scale, a_2 * scale
    c_1, c_2 = _length(a_1, b_1).clamp_min(1e-12), _length(a_2, b_2).clamp_min(1e-12)
    c_mean = (c_1 + c_2) / 2
    d_a, d_b = a_2 - a_1, b_2 - b_1
    d_c = (d_a * (a_1 + a_2) + d_b * (b_1 + b_2)) / (c_1 + c_2)
    cross, dot = a_1 * d_b - b_1 * d_a, a_1 * a_2 + b_1 * b_2
    near, far = ((c_1 * c_2 + dot) / 2).clamp_min(1e-24).sqrt(), (2 * (c_1 * c_2 - dot)).clamp_min(0).sqrt()
    d_h = torch.where(dot > 0, cross / near, far.copysign(cross))

    x, y = a_1 / c_1 + a_2 / c_2, b_1 / c_1 + b_2 / c_2
    length = _length(x, y).clamp_min(1e-12)
    x, y = x / length, y / length
    cos_2, sin_2 = x * x - y * y, 2 * x * y
    cos_3, sin_3 = cos_2 * x - sin_2 * y, sin_2 * x + cos_2 * y
    cos_4, sin_4 = cos_2 * cos_2 - sin_2 * sin_2, 2 * sin_2 * cos_2
    t = 1 - 0.17 * _turned(x, y, 30) + 0.24 * cos_2 + 0.32 * _turned(cos_3, sin_3, -6) - 0.2 * _turned(cos_4, sin_4, 63)
    hue = torch.atan2(y, x)
    hue = torch.where(hue < 0, hue + 2 * math.pi, hue)
    bell = ((hue - math.radians(275)) * (1 / math.radians(25))) ** 2
    theta = math.radians(60) * torch.exp(-bell.clamp_max(80))  # denormal numbers are slow
    rotation = -2 * _chroma_weight(c_mean) * torch.sin(theta)

    lightness = ((l_1 + l_2) / 2 - 50) ** 2
    d_l = (l_2 - l_1) / (1 + 0.015 * lightness / (20 + lightness).sqrt())
    d_c = d_c / (1 + 0.045 * c_mean)
    d_h = d_h / (1 + 0.015 * c_mean * t)
    return (d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h).clamp_min(0).sqrt()


def _turned(cos: Tensor, sin: Tensor, degrees: float) -> Tensor:
    """cos(angle - degrees)."""
    return cos * math.cos(math.radians(degrees)) + sin * math.sin(math.radians(degrees))


def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _chroma_weight(chroma: Tensor) -> Tensor:
    cube = chroma * chroma * chroma
    seventh = cube * cube * chroma
    return (seventh / (seventh + 25.0**7)).sqrt()
