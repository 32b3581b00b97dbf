"""A metric: a function of numpy arrays, and a record of what its number means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from art_crop.errors import InvalidInputError
from art_crop.metrics import MetricRecord

__all__ = ["RMSE", "rmse"]


def rmse(original: NDArray[np.uint8], changed: NDArray[np.uint8]) -> float:
    """Root mean squared difference of two photos, in grey levels (0 to 255).

    Args:
        original: Photo (height, width, 3), uint8, or float in [0, 1].
        changed: Its changed version, of the same shape.

    Raises:
        InvalidInputError: Not such a photo, or two different shapes.
    """
    first, second = _levels(original, "original"), _levels(changed, "changed")
    if first.shape != second.shape:
        raise InvalidInputError(f"changed must have the shape of original, {first.shape}, got {second.shape}")
    return float(np.sqrt(np.mean((first - second) ** 2)))


def _levels(photo: object, name: str) -> NDArray[np.float64]:
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        shape = getattr(photo, "shape", type(photo).__name__)
        raise InvalidInputError(f"{name} must be an array of shape (height, width, 3), got {shape}")
    if photo.dtype == np.uint8:
        return photo.astype(np.float64)
    if not np.issubdtype(photo.dtype, np.floating) or not (photo.min() >= 0 and photo.max() <= 1):
        raise InvalidInputError(f"{name} must be uint8, or float, finite and in [0, 1]; it is {photo.dtype}")
    return photo.astype(np.float64) * 255


RMSE = MetricRecord("rmse", "grey levels", "lower", (0.0, 255.0), rmse)
