"""Checks that what cannot be meant is refused, by a sentence that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from art_crop.testing.checks import refused
from art_crop.testing.estimator import EstimatorGround

__all__ = ["BAD_PHOTOS", "RefusalChecks"]

Array = np.ndarray[Any, Any]


def _poisoned(x: Array, value: float) -> Array:
    bad: Array = x.copy()
    bad[(0,) * x.ndim] = value
    return bad


def _outside(x: Array, clip_values: Any, side: int) -> Array:
    low, high = (float(value) for value in clip_values)
    return _poisoned(x, high + (high - low) if side > 0 else low - (high - low))


BAD_PHOTOS: dict[str, Callable[[Array, Any], Any]] = {
    "uint8 photos": lambda x, clip: np.zeros(x.shape, np.uint8),
    "photos with a NaN": lambda x, clip: _poisoned(x, np.nan),
    "photos with an infinity": lambda x, clip: _poisoned(x, np.inf),
    "photos above clip_values": lambda x, clip: _outside(x, clip, 1),
    "photos below clip_values": lambda x, clip: _outside(x, clip, -1),
    "a single photo without the batch axis": lambda x, clip: x[0],
    "photos in the other layout": lambda x, clip: (
        x.transpose(0, 2, 3, 1) if x.shape[1] <= 4 else x.transpose(0, 3, 1, 2)
    ),
    "no photos": lambda x, clip: x[:0],
    "photos of no pixels": lambda x, clip: x[:, :, :0, :0] if x.shape[1] <= 4 else x[:, :0, :0],
    "text": lambda x, clip: np.full(x.shape, "a"),
}
"""Makes something that must be refused of good photos (N, C, H, W) or (N, H, W, C), by what is wrong with it."""


class RefusalChecks(EstimatorGround):
    """Bad photos and bad targets."""

    @pytest.mark.parametrize("case", BAD_PHOTOS)
    def test_bad_photos_are_refused(self, estimator: Any, photos: Array, case: str) -> None:
        """By every method that takes photos."""
        bad, y = BAD_PHOTOS[case](photos, estimator.clip_values), self.targets(estimator, photos)
        with refused("x", f"predict with {case}"):
            estimator.predict(bad)
        with refused("x", f"compute_loss with {case}"):
            estimator.compute_loss(bad, y)
        if not self.query_only:
            with refused("x", f"loss_gradient with {case}"):
                estimator.loss_gradient(bad, y)

    def test_photos_that_are_no_array_are_refused(self, estimator: Any, photos: Array) -> None:
        """A list of lists is a mistake more often than not."""
        for name, bad in (("a list", photos.tolist()), ("None", None), ("a path", "photo.jpg")):
            with refused("x", f"predict with {name}"):
                estimator.predict(bad)

    def test_bad_targets_are_refused(self, estimator: Any, photos: Array) -> None:
        """By ``compute_loss`` and ``loss_gradient``."""
        for case, bad in self.bad_targets(estimator, photos).items():
            with refused("y", f"compute_loss with {case}"):
                estimator.compute_loss(photos, bad)
            if not self.query_only:
                with refused("y", f"loss_gradient with {case}"):
                    estimator.loss_gradient(photos, bad)
