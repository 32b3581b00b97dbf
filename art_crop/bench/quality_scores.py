"""Measures of how robust a model that gives scores is, from its scores before and after an attack.

They are those of Antsiferova et al., "Comparing the Robustness of Modern No-Reference Image-
and Video-Quality Metrics to Adversarial Attacks", AAAI 2024, by the benchmark's published code (``score_methods.py`` of
https://github.com/msu-video-group/MSU_Metrics_Robustness_Benchmark), the score going back to Zhang et al., "Perceptual
Attacks of No-Reference Image Quality Models with Human-in-the-Loop", NeurIPS 2022. The benchmark scales by the scores
of its clean photos; here the suite names the range, so that a photo's number does not depend on the other photos.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError

__all__ = ["relative_gains", "robustness_scores"]

Values = NDArray[np.float64]


def robustness_scores(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """Compute log10(max(1 - f, f) / (|f' - f| + 0.000001)) for each photo (n,), of scores f before and f' after.

    Scores are scaled so that ``low``, the least that the model gives, is 0 and ``high`` is 1. 0: the attack did all it
    could; 1: a tenth of it; higher is more robust. The mean over photos is the benchmark's robustness score.

    Raises:
        InvalidInputError: Other shapes, values that are not finite, or scores before the attack beyond the range.
    """
    f, attacked = _scaled(before, after, low, high)
    return np.asarray(np.log10(np.maximum(1 - f, f) / (np.abs(attacked - f) + 1e-6)))


def relative_gains(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """Compute (f' - f) / (f + 1) for each photo (n,); arguments and errors are those of :func:`robustness_scores`."""
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
