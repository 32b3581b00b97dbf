"""Conformance of photo classifiers: photos -> logits, as ART's attacks know them."""

from __future__ import annotations

from typing import Any

import numpy as np

from art_crop.testing.art_contract import ArtChecks
from art_crop.testing.checks import close, refused
from art_crop.testing.gradients import GradientChecks
from art_crop.testing.predictions import PredictionChecks, StateChecks
from art_crop.testing.refusals import RefusalChecks

__all__ = ["ClassifierConformance"]

Array = np.ndarray[Any, Any]


class ClassifierConformance(PredictionChecks, StateChecks, GradientChecks, ArtChecks, RefusalChecks):
    """Subclass it, and give it the model as the fixture ``estimator``."""

    def check_prediction(self, estimator: Any, prediction: Array, photos: Array) -> None:
        """Logits (N, nb_classes)."""
        expected = (len(photos), estimator.nb_classes)
        assert prediction.shape == expected, (
            f"logits must have the shape (N, nb_classes) {expected}, not {prediction.shape}"
        )

    def targets(self, estimator: Any, photos: Array) -> Array:
        """For each photo the class after the one that is predicted, one-hot."""
        classes = (estimator.predict(photos).argmax(1) + 1) % estimator.nb_classes
        rows: Array = np.eye(estimator.nb_classes, dtype=np.float32)[classes]
        return rows

    def bad_targets(self, estimator: Any, photos: Array) -> dict[str, Any]:
        """No label for each photo, labels that do not exist, NaN."""
        y, count = self.targets(estimator, photos), estimator.nb_classes
        bad = y.copy()
        bad[0, 0] = np.nan
        return {
            "too few labels": y[:1],
            "one-hot rows of too many classes": np.eye(count + 1, dtype=np.float32)[: len(photos)],
            "a label that is too large": np.array([count] * len(photos)),
            "a negative label": np.array([-1] * len(photos)),
            "rows with a NaN": bad,
        }

    def further_calls(self, estimator: Any, photos: Array) -> None:
        """Gradients of logits."""
        if not self.query_only:
            estimator.class_gradient(photos, 0)

    def test_the_number_of_classes_is_stated(self, estimator: Any) -> None:
        """ART's test_nb_classes; names, where there are any, are as many."""
        assert estimator.nb_classes >= 2, f"nb_classes must be at least 2, not {estimator.nb_classes}"
        labels = getattr(estimator, "labels", None)
        assert labels is None or len(labels) == estimator.nb_classes, (
            f"labels must name each of the {estimator.nb_classes} classes, not {len(labels)}"
        )

    def test_whole_numbers_and_one_hot_rows_mean_the_same(self, estimator: Any, photos: Array) -> None:
        """Both forms are in use among ART's attacks."""
        rows = self.targets(estimator, photos)
        numbers = rows.argmax(1)
        assert np.allclose(estimator.compute_loss(photos, numbers), estimator.compute_loss(photos, rows), rtol=1e-5), (
            "compute_loss differs between labels (N,) and one-hot rows (N, nb_classes)"
        )
        if not self.query_only:
            one, other = (estimator.loss_gradient(photos, y) for y in (numbers, rows))
            assert close(one, other, 1e-5), "loss_gradient differs between labels (N,) and one-hot rows"

    def test_class_gradients_are_of_single_logits(self, estimator: Any, photos: Array) -> None:
        """ART's test_shapes and test_class_gradient: all classes, one class, one class for each photo."""
        self.needs_gradients()
        classes = min(3, estimator.nb_classes)
        single = [estimator.class_gradient(photos, label) for label in range(classes)]
        for gradient in single:
            expected = (len(photos), 1, *photos.shape[1:])
            assert gradient.shape == expected, f"class_gradient of one class must be {expected}, not {gradient.shape}"
        labels = np.arange(len(photos)) % classes
        mixed = estimator.class_gradient(photos, labels)
        for i, label in enumerate(labels):
            assert close(single[label][i], mixed[i], self.batch_tolerance), (
                "class_gradient with a class for each photo differs from that of each class"
            )
        if estimator.nb_classes <= 20:  # all classes of a large model take minutes
            every = estimator.class_gradient(photos)
            expected = (len(photos), estimator.nb_classes, *photos.shape[1:])
            assert every.shape == expected, f"class_gradient of all classes must be {expected}, not {every.shape}"
            for label in range(classes):
                assert close(single[label][:, 0], every[:, label], self.batch_tolerance), (
                    "class_gradient of all classes differs from that of each class"
                )
        with refused("label", "class_gradient of a class that does not exist"):
            estimator.class_gradient(photos, estimator.nb_classes)

    def test_the_loss_rises_as_the_wanted_logit_falls(self, estimator: Any, photos: Array) -> None:
        """A loss whose sign is wrong makes every attack run backwards."""
        logits = estimator.predict(photos)
        worst, best = logits.argmin(1), logits.argmax(1)
        losses = [np.asarray(estimator.compute_loss(photos, label)) for label in (best, worst)]
        assert (losses[0] < losses[1]).all(), "compute_loss must be smaller for the predicted class than for any other"
