"""Estimates over photos, paired tests and their correction. The unit is the photo: its seeds are one value, their mean.

Comparisons are paired: Fisher's sign-flip permutation test of a mean difference, of which McNemar's exact test is the
case of yes and no, with the step-down correction of Holm (1979) over all comparisons that are made at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import Interval, mean_interval, wilson_interval

__all__ = ["holm", "mcnemar", "mid_quantiles", "per_photo", "share_of_photos", "sign_flip"]

_EXACT = 32  # differences whose signs are all tried: two halves of 2**16 sums each
_LARGEST = 12  # of more differences, those whose signs are all tried

Values = NDArray[np.float64]


def per_photo(values: Values, photos: NDArray[np.int64]) -> Values:
    """Average ``values`` (n,) over each photo, ``photos`` (n,) saying which one a value is of: (m,)."""
    _, place, counts = np.unique(photos, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(place.ravel(), weights=values) / counts)


def share_of_photos(shares: Values) -> Interval:
    """Average photos' own shares (n,), with Wilson's interval where each is 0 or 1 and else that of a mean."""
    if bool(np.isin(shares, (0, 1)).all()):
        return wilson_interval(int(shares.sum()), len(shares))
    mean, low, high = mean_interval(shares)
    return Interval(mean, max(0.0, low), min(1.0, high))


def mid_quantiles(table: NDArray[np.float64]) -> tuple[Values, Values, Values]:
    """Find lower quartile, median and upper quartile of each column of ``table`` (photos, queries), without NaN.

    Infinite entries, "none yet", count as larger than any number: a quantile is a number as soon as its share of the
    photos have one, the median from half of them on, and infinite before.
    """
    shares = (0.25, 0.5, 0.75)
    with np.errstate(invalid="ignore"):
        found = np.quantile(table, shares, axis=0)
    # There is nothing between a number and infinity; there the value that this share of the photos do not exceed.
    step = np.quantile(table, shares, axis=0, method="inverted_cdf")
    low, middle, high = np.where(np.isfinite(found), found, step)
    return low, middle, high


def sign_flip(differences: ArrayLike) -> float:
    """Compute the two-sided p-value of a mean difference of pairs (n,): how often random signs give as large a sum.

    Exact for up to 32 differences that are not 0. Of more, all signs of the 12 largest are tried, and the sum of the
    others is normal with its exact variance: a mean that a few photos decide is tested by these. No difference has
    p = 1. Raises :class:`~art_crop.errors.InvalidInputError` for differences that are not finite.
    """
    from scipy.stats import norm

    data = np.asarray(differences, dtype=np.float64)
    if data.ndim != 1 or not np.isfinite(data).all():
        raise InvalidInputError(f"differences must be finite, of shape (n,), got shape {data.shape}")
    data = data[data != 0]
    if data.size == 0:
        return 1.0
    data = data / np.abs(data).max()  # squares of tiny differences must not vanish
    observed, sizes = abs(float(data.sum())) - 1e-9, np.sort(np.abs(data))
    if data.size <= _EXACT:
        # A sum with some signs is one of the first half's plus one of the second's; counted are those that reach.
        first, second = _sums(sizes[::2]), np.sort(_sums(sizes[1::2]))
        reaching = int((len(second) - np.searchsorted(second, observed - first)).sum())
        return float(min(1.0, math.ldexp(reaching, 1 - data.size)))
    spread = math.sqrt(float((sizes[:-_LARGEST] ** 2).sum()))
    p = 2 * float(norm.sf((observed - _sums(sizes[-_LARGEST:])) / spread).mean())
    return float(min(1.0, max(p, math.ldexp(1, 1 - data.size))))


def _sums(values: Values) -> Values:
    """Sums of ``values`` (n,) with every pattern of signs: (2**n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def mcnemar(gained: int, lost: int) -> float:
    """Compute McNemar's exact two-sided p-value from the pairs that differ: ``gained`` one way, ``lost`` the other."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values (m,) for there being m of them: the chance of any false alarm stays below the level (Holm 1979).

    Raises :class:`~art_crop.errors.InvalidInputError` for a value outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise InvalidInputError("p_values must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * (p.size - np.arange(p.size))))
    return [float(value) for value in corrected]
