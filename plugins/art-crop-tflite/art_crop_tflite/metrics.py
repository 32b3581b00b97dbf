"""NIMA's scores as measures of a changed photo, such as a suite's table has beside SSIM."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from art_crop.errors import InvalidInputError
from art_crop.metrics import MetricRecord
from art_crop_tflite.estimators import nima_aesthetic, nima_technical

__all__ = ["NIMA_AESTHETIC_SCORE", "NIMA_TECHNICAL_SCORE"]

Array = np.ndarray[Any, Any]
_MODELS = {"aesthetic": nima_aesthetic, "technical": nima_technical}


@lru_cache(maxsize=2)
def _model(kind: str) -> Any:
    return _MODELS[kind](device="cpu")


def _score(kind: str, original: Array, changed: Array) -> float:
    for name, photo in (("original", original), ("changed", changed)):
        if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
            raise InvalidInputError(f"{name} must be an array of shape (height, width, 3)")
    if changed.shape != original.shape:
        raise InvalidInputError(f"changed must have the shape of original, {original.shape}, got {changed.shape}")
    x = changed.astype(np.float32) / (255 if changed.dtype == np.uint8 else 1)
    return float(_model(kind).predict(x.transpose(2, 0, 1)[None])[0])


def aesthetic_score(original: Array, changed: Array) -> float:
    """Score the changed photo (height, width, 3), uint8 or in [0, 1], by NIMA aesthetic, 1 to 10.

    The original is there for its shape only, as measures of two photos have both.

    Raises:
        InvalidInputError: Not two photos of one shape.
        WeightsError: The weights are not there, or malformed.
    """
    return _score("aesthetic", original, changed)


def technical_score(original: Array, changed: Array) -> float:
    """Score the changed photo by NIMA technical; as :func:`aesthetic_score`."""
    return _score("technical", original, changed)


NIMA_AESTHETIC_SCORE = MetricRecord("nima-aesthetic-score", "points of 1 to 10", "higher", (1.0, 10.0), aesthetic_score)
NIMA_TECHNICAL_SCORE = MetricRecord("nima-technical-score", "points of 1 to 10", "higher", (1.0, 10.0), technical_score)
