"""How well a saliency map predicts where people look, and how far an attack moved its peak.

NSS, AUC-Judd, CC, KLD and SIM follow the code of the MIT saliency benchmark (Bylinskii, Judd, Oliva, Torralba and
Durand, "What Do Different Evaluation Metrics Tell Us About Saliency Models?", 2019). Maps are ``(height, width)`` at
the photo's own size, fixations are ``(n, 2)`` x, y in pixels from 0: (0, 0) is the centre of the first pixel. As in
that benchmark a fixated pixel counts once, however many fixations fall on it. Arguments of the wrong shape or range
raise :class:`~art_crop.errors.InvalidInputError`, which names them.

The shift of the peak is that of Yoshida and Okuda, "Adversarial Examples for Image Cropping in Social Media", section
3.2 and tables 1 and 2.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import Interval, mean_interval, wilson_interval

__all__ = [
    "Interval",
    "auc_judd",
    "mean_interval",
    "cc",
    "kld",
    "mean_clipped_shift",
    "nss",
    "peak_shift",
    "share_at_target",
    "shift_over_width",
    "sim",
    "wilson_interval",
]

Map = NDArray[np.floating[Any]]

_EPSILON = float(np.finfo(np.float64).eps)  # the benchmark's own guard against log 0


def nss(saliency: Map, fixations: ArrayLike) -> float:
    """Normalised scanpath saliency: mean at the fixated pixels of the map scaled to mean 0 and standard deviation 1.

    0 is chance, higher is better. A constant map predicts nothing: 0.
    """
    values = _map(saliency, "saliency")
    fixated = values[_fixated_pixels(values, fixations)]
    if _is_constant(values):
        return 0.0
    return float((fixated.mean() - values.mean()) / values.std(ddof=1))


def auc_judd(saliency: Map, fixations: ArrayLike) -> float:
    """Area under the ROC curve of fixated against all other pixels, 0.5 at chance, 1 at best.

    The thresholds are the map's values at the fixated pixels (Judd, Ehinger, Durand and Torralba 2009). The benchmark
    breaks ties with random jitter; here tied pixels share a straight piece of the curve, which is what jitter gives on
    average: the result is deterministic, and 0.5 for a constant map.
    """
    values = _map(saliency, "saliency")
    rows, columns = _fixated_pixels(values, fixations)
    fixated = np.sort(values[rows, columns])
    if fixated.size == values.size:
        raise InvalidInputError("fixations must leave at least one pixel of the map without a fixation")
    thresholds = np.unique(fixated)[::-1]
    # Pixels at or above each threshold: one sort of the map serves all thresholds.
    above = values.size - np.searchsorted(np.sort(values, axis=None), thresholds, side="left")
    hits = fixated.size - np.searchsorted(fixated, thresholds, side="left")
    true_rate = np.concatenate(([0.0], hits / fixated.size, [1.0]))
    false_rate = np.concatenate(([0.0], (above - hits) / (values.size - fixated.size), [1.0]))
    return float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1])) / 2)


def cc(saliency: Map, density: Map) -> float:
    """Pearson's correlation of a map with a fixation density, or of two maps, in [-1, 1]; 0 if either is constant."""
    first, second = _maps(saliency, density)
    if _is_constant(first) or _is_constant(second):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    # Not vdot: BLAS sums in an order that depends on its threads.
    return float((first * second).sum() / np.sqrt(np.square(first).sum() * np.square(second).sum()))


def kld(saliency: Map, density: Map) -> float:
    """Kullback-Leibler divergence of a map from a fixation density, in nats, 0 at best.

    Both are scaled to sum 1, so they must not be negative: of a log density pass ``exp(map)``.
    """
    first, second = _maps(saliency, density)
    first, second = _shares(first, "saliency"), _shares(second, "density")
    # The guard makes the divergence of equal maps a little negative.
    return max(0.0, float(np.sum(second * np.log(_EPSILON + second / (first + _EPSILON)))))


def sim(saliency: Map, density: Map) -> float:
    """Similarity: the mass that two maps have in common, in [0, 1], 1 at best.

    As in the benchmark each map is first scaled to [0, 1] by its own minimum and maximum, so that a map gains nothing
    from a floor under every pixel, and then to sum 1. A constant map is taken as uniform.
    """
    first, second = (_from_zero(values) for values in _maps(saliency, density))
    return float(np.minimum(first / first.sum(), second / second.sum()).sum())


def peak_shift(before: ArrayLike, after: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """(shift of the peak toward the target) / (distance to the target), table 1 of the paper.

    Args:
        before: Column of the peak on the original photo, a number or ``(n,)``, in any unit of length.
        after: Column of the peak on the changed photo.
        target: Column that was aimed at; must differ from ``before``.

    Returns:
        Not clipped: 0 where the peak stayed, 1 at the target, above 1 beyond it, negative where it moved away.
    """
    start, end, goal = _columns(before, after, target)
    return np.asarray((end - start) / (goal - start), dtype=np.float64)


def shift_over_width(before: ArrayLike, after: ArrayLike, target: ArrayLike, width: ArrayLike) -> NDArray[np.float64]:
    """(shift of the peak toward the target) / (width of the photo), table 2 of the paper; negative where it moved away.

    ``width`` has the unit of the columns and must be positive.
    """
    start, end, goal = _columns(before, after, target)
    across = np.asarray(width, dtype=np.float64)
    if not (np.isfinite(across) & (across > 0)).all():
        raise InvalidInputError(f"width must be positive and finite, got {across}")
    return np.asarray((end - start) * np.sign(goal - start) / across, dtype=np.float64)


def mean_clipped_shift(shift: ArrayLike) -> float:
    """Mean over photos of :func:`peak_shift` clipped to [0, 1], so that one peak far astray does not decide it."""
    return float(np.clip(_shifts(shift), 0.0, 1.0).mean())


def share_at_target(shift: ArrayLike, *, tolerance: float = 0.1, level: float = 0.95) -> Interval:
    """Share of photos whose peak arrived, with its Wilson interval.

    Arrived: :func:`peak_shift` differs from 1 by at most ``tolerance``, that is the peak is within 10% of the distance
    that it had to move, on either side of the target.
    """
    if not 0 <= tolerance < 1:
        raise InvalidInputError(f"tolerance must be in [0, 1), got {tolerance}")
    shifts = _shifts(shift)
    # 1.1 - 1 is a little more than 0.1 in binary.
    arrived = np.abs(shifts - 1) <= tolerance + 1e-9
    return wilson_interval(int(arrived.sum()), shifts.size, level=level)


def _map(values: Map, name: str) -> Map:
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.size < 2:
        shape = getattr(values, "shape", type(values).__name__)
        raise InvalidInputError(f"{name} must be an array of shape (height, width), got {shape}")
    if not (np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)):
        raise InvalidInputError(f"{name} must be numbers, got {values.dtype}")
    if not np.isfinite(values).all():
        raise InvalidInputError(f"{name} must be finite, without NaN or infinity")
    return values.astype(np.float64)


def _maps(saliency: Map, density: Map) -> tuple[Map, Map]:
    first, second = _map(saliency, "saliency"), _map(density, "density")
    if first.shape != second.shape:
        raise InvalidInputError(f"density must have the shape of saliency, {first.shape}, got {second.shape}")
    return first, second


def _shares(values: Map, name: str) -> Map:
    if values.min() < 0 or values.max() == 0:
        raise InvalidInputError(f"{name} must be >= 0 and not all 0; of a log density pass exp(map)")
    return cast(Map, values / values.sum())


def _from_zero(values: Map) -> Map:
    return np.ones_like(values) if _is_constant(values) else values - values.min()


def _is_constant(values: Map) -> bool:
    # Not std() == 0: the mean of a constant is itself rounded.
    return bool(values.min() == values.max())


def _fixated_pixels(values: Map, fixations: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the distinct pixels that hold a fixation."""
    points = np.asarray(fixations, dtype=np.float64)
    if points.ndim != 2 or points.shape[0] == 0 or points.shape[1] != 2:
        raise InvalidInputError(f"fixations must have shape (n, 2), x and y, with n >= 1, got {points.shape}")
    height, width = values.shape
    limits = np.array([width, height])
    if not ((points >= -0.5) & (points <= limits - 0.5)).all():
        raise InvalidInputError(
            f"fixations must lie on the {width} x {height} map, x in [-0.5, {width - 0.5}] and "
            f"y in [-0.5, {height - 0.5}]; drop those outside first"
        )
    nearest = np.minimum(np.floor(points + 0.5), limits - 1).astype(np.intp)
    flat = np.unique(nearest[:, 1] * width + nearest[:, 0])
    return flat // width, flat % width


def _columns(before: ArrayLike, after: ArrayLike, target: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    columns = tuple(np.asarray(value, dtype=np.float64) for value in (before, after, target))
    for name, value in zip(("before", "after", "target"), columns, strict=True):
        if not np.isfinite(value).all():
            raise InvalidInputError(f"{name} must be finite")
    if (columns[0] == columns[2]).any():
        raise InvalidInputError("target must differ from before: there is no distance to shift over")
    return columns


def _shifts(shift: ArrayLike) -> NDArray[np.float64]:
    shifts = np.atleast_1d(np.asarray(shift, dtype=np.float64))
    if shifts.ndim != 1 or shifts.size == 0 or not np.isfinite(shifts).all():
        raise InvalidInputError(f"shift must be finite, of shape (n,) with n >= 1, got shape {shifts.shape}")
    return shifts
