"""How far the scores of a quality model can be driven: the measures of the MSU metrics-robustness benchmark.

Antsiferova et al., "Comparing the Robustness of Modern No-Reference Image- and Video-Quality Metrics to Adversarial
Attacks", AAAI 2024. The formulas are those of the benchmark's published code (``score_methods.py`` of
https://github.com/msu-video-group/MSU_Metrics_Robustness_Benchmark, ``robustness_score`` and
``normalized_relative_gain``); the robustness score goes back to Zhang et al., "Perceptual Attacks of No-Reference Image
Quality Models with Human-in-the-Loop", NeurIPS 2022.

The benchmark scales scores so that those of its clean photos go from 0 to 1. Here the range is the one that a suite
names for its model, so that a photo's number does not depend on the other photos; with the least and the largest clean
score as ``low`` and ``high`` the numbers are the benchmark's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError

__all__ = ["relative_gains", "robustness_scores"]

_ADDED = 1e-6  # the benchmark's own, so that an untouched photo has a finite number

Values = NDArray[np.float64]


def robustness_scores(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """log10 of the largest change of score that is possible over the change that was made, for each photo (n,).

    R = log10(max(1 - f, f) / (|f' - f| + 0.000001)), f and f' being the scores before and after, scaled so that ``low``
    is 0 and ``high`` is 1: 0 where the attack did all it could, 1 where a tenth of it; higher is more robust. Its mean
    over photos is the benchmark's robustness score.

    Args:
        before: Scores of the photos (n,), between ``low`` and ``high``.
        after: Scores of the attacked photos (n,).
        low: Least score that the model gives.
        high: Largest one.

    Raises:
        InvalidInputError: Other shapes, values that are not finite, or scores before the attack beyond the range.
    """
    f, attacked = _scaled(before, after, low, high)
    return np.asarray(np.log10(np.maximum(1 - f, f) / (np.abs(attacked - f) + _ADDED)))


def relative_gains(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """(f' - f) / (f + 1) for each photo (n,), of scores scaled so that ``low`` is 0 and ``high`` is 1.

    Both scores are raised by 1, so that a photo whose score was 0 has a finite gain; the difference does not change.
    Arguments and errors are those of :func:`robustness_scores`.
    """
    f, attacked = _scaled(before, after, low, high)
    return np.asarray((attacked - f) / (f + 1))


def _scaled(before: ArrayLike, after: ArrayLike, low: float, high: float) -> tuple[Values, Values]:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInputError(f"low and high must be finite, low below high, got {low} and {high}")
    f, attacked = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if f.ndim != 1 or f.shape != attacked.shape or not (np.isfinite(f).all() and np.isfinite(attacked).all()):
        raise InvalidInputError(f"before and after must be finite, of one shape (n,), got {f.shape}, {attacked.shape}")
    f, attacked = (f - low) / (high - low), (attacked - low) / (high - low)
    if f.size and (f.min() < -1e-9 or f.max() > 1 + 1e-9):
        raise InvalidInputError(f"before must lie between low and high, {low} and {high}")
    return f.clip(0, 1), attacked
