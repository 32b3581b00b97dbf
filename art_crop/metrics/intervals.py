"""Uncertainty of a reported share, mean or median: 95% intervals unless another level is asked for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError


class Interval(NamedTuple):
    """An estimate with the two ends of its confidence interval."""

    estimate: float
    low: float
    high: float


def wilson_interval(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Give the share k/n with its Wilson score interval, which stays in [0, 1] and is sensible at k = 0 and k = n.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. Raises
    :class:`~art_crop.errors.InvalidInputError` unless 0 <= k <= n, n >= 1 and 0 < level < 1.
    """
    from scipy.stats import binomtest

    if n < 1 or not 0 <= k <= n:
        raise InvalidInputError(f"k and n must satisfy 0 <= k <= n and n >= 1, got k={k}, n={n}")
    interval = binomtest(int(k), int(n)).proportion_ci(confidence_level=_checked(level), method="wilson")
    # At k = n the upper end is 1, which rounding may miss on either side.
    return Interval(k / n, float(interval.low) if k else 0.0, float(interval.high) if k < n else 1.0)


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Give the mean of ``values`` (n,) with an interval that holds for few and for skewed values too.

    It spans Student's interval and that of Hall, "On the Removal of Skewness by Transformation", 1992, equation (2.5)
    with Student's quantiles: where values have a long tail, the mean lies further out on that side than on the other.
    Equal values, and a single one, have an interval without width. Raises
    :class:`~art_crop.errors.InvalidInputError` for no values and for values that are not finite.
    """
    from scipy.stats import t

    data = _finite(values)
    n, mean = data.size, float(data.mean())
    if data.min() == data.max():
        return Interval(float(data[0]), float(data[0]), float(data[0]))
    spread = float(data.std(ddof=1))
    reach = float(t.ppf((1 + _checked(level)) / 2, n - 1)) / math.sqrt(n)
    ends = [-reach, reach]
    skewness = float((((data - mean) / spread) ** 3).sum()) * n / ((n - 1) * (n - 2)) if n > 2 else 0.0
    if abs(skewness) > 1e-6:
        ends += [3 / skewness * (np.cbrt(1 + skewness * (end - skewness / (6 * n))) - 1) for end in (-reach, reach)]
    return Interval(mean, mean - spread * float(max(ends)), mean - spread * float(min(ends)))


def median_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Give the median of ``values`` (n,) between two of them: the order statistics that the sign test names.

    It covers at least as often as asked wherever n allows (n >= 6 for 95%); below, its ends are the smallest and the
    largest value. Raises :class:`~art_crop.errors.InvalidInputError` for no values and for values that are not finite.
    """
    from scipy.stats import binom

    data = np.sort(_finite(values))
    below = max(int(binom.ppf((1 - _checked(level)) / 2, data.size, 0.5)) - 1, 0)
    return Interval(float(np.median(data)), float(data[below]), float(data[-1 - below]))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise InvalidInputError(f"values must be finite, of shape (n,) with n >= 1, got shape {data.shape}")
    return data


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise InvalidInputError(f"level must be between 0 and 1, got {level}")
    return level
