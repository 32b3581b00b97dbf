"""Uncertainty of a reported share, mean or median."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from art_crop.errors import InvalidInputError


class Interval(NamedTuple):
    """An estimate with the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def wilson_interval(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Share k/n with its Wilson score interval, which stays in [0, 1] and is sensible at k = 0 and k = n.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. Raises
    :class:`~art_crop.errors.InvalidInputError` unless 0 <= k <= n, n >= 1 and 0 < level < 1.
    """
    from scipy.stats import binomtest

    if n < 1 or not 0 <= k <= n:
        raise InvalidInputError(f"k and n must satisfy 0 <= k <= n and n >= 1, got k={k}, n={n}")
    _check_level(level)
    interval = binomtest(int(k), int(n)).proportion_ci(confidence_level=level, method="wilson")
    return Interval(k / n, float(interval.low), float(interval.high))


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Literal["mean", "median"] = "mean",
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Mean or median of ``values`` (n,) with its percentile bootstrap interval (Efron 1979).

    The same values, settings and seed give the same interval. A single value has a zero-width interval, not an error.
    Raises :class:`~art_crop.errors.InvalidInputError` for no values, values that are not finite, and unknown settings.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise InvalidInputError(f"values must be finite, of shape (n,) with n >= 1, got shape {data.shape}")
    if statistic not in ("mean", "median"):
        raise InvalidInputError(f"statistic must be 'mean' or 'median', got {statistic!r}")
    if resamples < 1:
        raise InvalidInputError(f"resamples must be at least 1, got {resamples}")
    _check_level(level)
    reduce = np.mean if statistic == "mean" else np.median
    random = np.random.default_rng(seed)
    # In blocks: 10,000 resamples of a few thousand photos would need gigabytes at once.
    block = max(1, 2_000_000 // data.size)
    estimates = np.concatenate(
        [
            reduce(data[random.integers(0, data.size, (min(block, resamples - start), data.size))], axis=1)
            for start in range(0, resamples, block)
        ]
    )
    low, high = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(reduce(data)), float(low), float(high))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InvalidInputError(f"level must be between 0 and 1, got {level}")
