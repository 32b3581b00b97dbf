"""Conformance of image-quality models: photos -> scores on a stated scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from art_crop.testing.art_contract import ArtChecks
from art_crop.testing.gradients import GradientChecks
from art_crop.testing.predictions import PredictionChecks, StateChecks
from art_crop.testing.refusals import RefusalChecks

__all__ = ["QualityModelConformance"]

Array = np.ndarray[Any, Any]


class QualityModelConformance(PredictionChecks, StateChecks, GradientChecks, ArtChecks, RefusalChecks):
    """Subclass it, and give it the model as the fixture ``estimator``."""

    def check_prediction(self, estimator: Any, prediction: Array, photos: Array) -> None:
        """Scores (N,) inside the stated range."""
        assert prediction.shape == (len(photos),), f"scores must have the shape (N,), not {prediction.shape}"
        low, high = estimator.score_range
        inside = low <= prediction.min() and prediction.max() <= high
        assert inside, (
            f"scores {prediction.tolist()} lie outside score_range {(low, high)}: state the scale's true ends"
        )

    def targets(self, estimator: Any, photos: Array) -> Array:
        """The predictions, each a tenth of the scale away."""
        low, high = estimator.score_range
        shift = np.where(np.arange(len(photos)) % 2, -0.1, 0.1) * (high - low)
        result: Array = (estimator.predict(photos) + shift).astype(np.float32)
        return result

    def bad_targets(self, estimator: Any, photos: Array) -> dict[str, Any]:
        """No score for each photo, several, NaN."""
        y = self.targets(estimator, photos)
        return {
            "too few scores": y[:1],
            "two scores a photo": np.stack([y, y], 1),
            "a score that is NaN": np.where(np.arange(len(y)) == 0, np.nan, y).astype(np.float32),
        }

    def test_the_scale_is_stated(self, estimator: Any) -> None:
        """Attacks and reports need to know which end is good."""
        low, high = (float(value) for value in estimator.score_range)
        assert np.isfinite([low, high]).all(), "score_range must be two finite numbers"
        assert low < high, f"score_range must be (lowest, highest), not {(low, high)}"
        assert isinstance(estimator.higher_is_better, bool), "higher_is_better must be True or False"

    def test_a_column_of_targets_means_the_same(self, estimator: Any, photos: Array) -> None:
        """Targets (N, 1) against scores (N,) must not broadcast to N x N differences."""
        y = self.targets(estimator, photos)
        expected = estimator.compute_loss(photos, y)
        assert np.allclose(estimator.compute_loss(photos, y[:, None]), expected, rtol=1e-5), (
            "compute_loss of y (N, 1) differs from that of y (N,): the two must never meet in one subtraction"
        )
        if not self.query_only:
            gradients = [estimator.loss_gradient(photos, one) for one in (y, y[:, None])]
            assert np.array_equal(*gradients), "loss_gradient of y (N, 1) differs from that of y (N,)"
