"""Estimates with intervals, paired tests and their correction, for tables of many cells and of many rows.

The unit is the photo: several results of one photo, of several seeds say, are one value, their mean. Shares have Wilson
intervals where every photo is in or out, and else, as means and medians do, percentile bootstrap intervals (Efron 1979)
over photos: the same seed always, so that a report made twice is the same report. What makes 100,000 rows cheap:

- a mean's resamples are a matrix of counts, drawn once for each sample size and used for every cell of that size; of
  more than :data:`GROUPS` values, random groups are resampled instead, which leaves the variance as it is;
- a resampled median is an order statistic of uniform numbers, which a beta distribution gives without resampling.

Comparisons are paired: the sign-flip permutation test of a mean difference, of which McNemar's exact test is the case
of yes and no, with the step-down correction of Holm (1979) over all comparisons that are made at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import Interval

__all__ = [
    "GROUPS",
    "LEVEL",
    "RESAMPLES",
    "holm",
    "mcnemar",
    "mean_interval",
    "median_interval",
    "mid_quantiles",
    "per_photo",
    "share_interval",
    "share_of_photos",
    "sign_flip",
]

LEVEL = 0.95
RESAMPLES = 2_000
GROUPS = 4_096
_SEED = 20_260_101
_ENUMERATED = 16  # 65,536 patterns of signs

Values = NDArray[np.float64]


def share_interval(k: int, n: int) -> Interval:
    """Share k of n with its 95% Wilson score interval.

    The closed form of :func:`art_crop.metrics.intervals.wilson_interval`, without the tenth of a second that scipy's
    statistics take to import. Raises :class:`~art_crop.errors.InvalidInputError` unless 0 <= k <= n and n >= 1.
    """
    if n < 1 or not 0 <= k <= n:
        raise InvalidInputError(f"k and n must satisfy 0 <= k <= n and n >= 1, got k={k}, n={n}")
    z2 = 1.959963984540054**2
    share = k / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return Interval(share, 0.0 if k == 0 else low, 1.0 if k == n else high)


def per_photo(values: Values, photos: NDArray[np.int64]) -> Values:
    """Means (m,) of ``values`` (n,) over each photo, ``photos`` (n,) saying which one a value is of.

    Where each photo has one value these are the values as they stand.
    """
    _, place, counts = np.unique(photos, return_inverse=True, return_counts=True)
    if len(counts) == len(values):
        return values
    return np.asarray(np.bincount(place.ravel(), weights=values) / counts)


def share_of_photos(shares: Values) -> Interval:
    """Mean of photos' own shares (n,) with its 95% interval: Wilson's where each is 0 or 1, else the bootstrap's."""
    if bool(((shares == 0) | (shares == 1)).all()):
        return share_interval(int(shares.sum()), len(shares))
    mean, low, high = mean_interval(shares)
    return Interval(mean, max(0.0, low), min(1.0, high))


def mean_interval(values: ArrayLike) -> Interval:
    """Mean of ``values`` (n,) with its 95% percentile bootstrap interval; a single value has one of no width.

    Raises :class:`~art_crop.errors.InvalidInputError` for no values and for values that are not finite.
    """
    data = _finite(values)
    least, most = float(data.min()), float(data.max())
    mean = min(max(float(data.mean()), least), most)
    groups = _grouped(data - mean)
    estimates = _counts(len(groups)) @ groups.astype(np.float32) / len(groups)
    low, high = np.quantile(estimates.astype(np.float64), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # float32 counts and the groups' rounding must not put the mean a hair outside its interval, nor an end of that
    # where no mean of these values can be.
    return Interval(mean, min(mean, max(least, mean + float(low))), max(mean, min(most, mean + float(high))))


def median_interval(values: ArrayLike) -> Interval:
    """Median of ``values`` (n,) with its 95% percentile bootstrap interval.

    Raises :class:`~art_crop.errors.InvalidInputError` for no values and for values that are not finite.
    """
    data = np.sort(_finite(values))
    n = len(data)
    random = np.random.default_rng(_SEED)
    upper_rank = n // 2 + 1
    # The upper middle one of n uniform numbers; given it, the one below is the largest of upper_rank - 1 below it.
    upper = random.beta(upper_rank, n + 1 - upper_rank, RESAMPLES)
    drawn = data[np.minimum((upper * n).astype(np.intp), n - 1)]
    if n % 2 == 0:
        lower = upper * random.beta(upper_rank - 1, 1, RESAMPLES)
        drawn = (drawn + data[np.minimum((lower * n).astype(np.intp), n - 1)]) / 2
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(np.median(data)), float(low), float(high))


def mid_quantiles(table: NDArray[np.float64]) -> tuple[Values, Values, Values]:
    """Lower quartile, median and upper quartile of each column of ``table`` (photos, queries), without NaN.

    Infinite entries, "none yet", count as larger than any number: a quantile is a number as soon as its share of the
    photos have one, the median from half of them on, and infinite before.
    """
    ordered, n = np.sort(table, axis=0), len(table)
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * (n - 1)
        below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
        with np.errstate(invalid="ignore"):
            between = below + (place - math.floor(place)) * (above - below)
        # There is nothing between a number and infinity; there the value that this share of the photos do not exceed.
        found.append(np.where(np.isinf(above), ordered[math.ceil(share * n) - 1], between))
    return found[0], found[1], found[2]


def sign_flip(differences: ArrayLike) -> float:
    """Two-sided p-value of a mean difference of pairs (n,): how often random signs give a sum as far from 0.

    Fisher's paired permutation test. All patterns of signs are counted up to 16 differences that are not 0; above, the
    sum's normal approximation with its exact variance, the sum of squares. No difference at all has p = 1.

    Raises :class:`~art_crop.errors.InvalidInputError` for differences that are not finite.
    """
    data = np.asarray(differences, dtype=np.float64)
    if data.ndim != 1 or not np.isfinite(data).all():
        raise InvalidInputError(f"differences must be finite, of shape (n,), got shape {data.shape}")
    data = data[data != 0]
    if data.size == 0:
        return 1.0
    data = data / np.abs(data).max()  # squares of tiny differences must not vanish
    if data.size > _ENUMERATED:
        return math.erfc(abs(float(data.sum())) / math.sqrt(2 * float((data**2).sum())))
    signs = ((np.arange(2**data.size)[:, None] >> np.arange(data.size)) & 1) * 2.0 - 1
    sums = np.abs(signs @ data)
    return float((sums >= abs(float(data.sum())) - 1e-9).mean())


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact two-sided p-value from the pairs that differ: ``gained`` one way and ``lost`` the other."""
    from scipy.special import betainc

    n, k = gained + lost, min(gained, lost)
    if min(gained, lost) < 0:
        raise InvalidInputError(f"gained and lost must not be negative, got {gained} and {lost}")
    if n == 0 or 2 * k == n:
        return 1.0
    return min(1.0, 2 * float(betainc(n - k, k + 1, 0.5)))  # P(Bin(n, 1/2) <= k)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values (m,) corrected for there being m of them, so that the chance of any false alarm stays below the level.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.size == 0:
        return []
    if not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError("p_values must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))))
    return [float(value) for value in corrected]


def _finite(values: ArrayLike) -> Values:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise InvalidInputError(f"values must be finite, of shape (n,) with n >= 1, got shape {data.shape}")
    return data


def _grouped(centred: Values) -> Values:
    """At most GROUPS means of random groups as equal in size as can be, scaled so that each group counts alike."""
    if len(centred) <= GROUPS:
        return centred
    shuffled = np.random.default_rng(_SEED).permutation(centred)
    starts = np.linspace(0, len(centred), GROUPS, endpoint=False).astype(np.intp)
    return np.asarray(np.add.reduceat(shuffled, starts) * (GROUPS / len(centred)))


@lru_cache(maxsize=8)
def _counts(n: int) -> NDArray[np.float32]:
    """How often each of n values is in each resample: (RESAMPLES, n)."""
    drawn = np.random.default_rng(_SEED).integers(0, n, (RESAMPLES, n))
    drawn += np.arange(RESAMPLES)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n).astype(np.float32)
