"""What ART asks of every estimator.

Ported from ART's own tests, which cannot be imported from outside (they import tensorflow and keras):
https://github.com/Trusted-AI/adversarial-robustness-toolbox, tests/estimators/classification/
test_deeplearning_common.py and test_common_deeplearning.py, MIT licence. Each check names the one that it follows.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from art.estimators.estimator import BaseEstimator, LossGradientsMixin

from art_crop.testing.checks import close, refused, same
from art_crop.testing.estimator import EstimatorGround

__all__ = ["ArtChecks"]

Array = np.ndarray[Any, Any]


class ArtChecks(EstimatorGround):
    """Attributes, parameters, losses, activations, training."""

    def test_it_is_an_art_estimator_by_inheritance(self, estimator: Any) -> None:
        """ART's attacks look at the class's ancestors; a duck is refused."""
        assert isinstance(estimator, BaseEstimator), (
            f"{type(estimator).__name__} does not inherit from art.estimators.BaseEstimator; wrap the model in one of "
            "art_crop.estimators' classes"
        )
        if not self.query_only:
            assert isinstance(estimator, LossGradientsMixin), (
                "the estimator has no LossGradientsMixin: set query_only = True if the model can only be asked"
            )
            assert hasattr(estimator, "value_and_gradient"), (
                "the estimator has no value_and_gradient, which attacks call; inherit from one of "
                "art_crop.estimators' PyTorch classes"
            )

    def test_input_shape_and_clip_values_describe_the_photos(self, estimator: Any, photos: Array) -> None:
        """ART's test_input_shape."""
        shape = tuple(estimator.input_shape)
        assert len(shape) == 3, f"input_shape must be three numbers without the batch, not {shape}"
        fits = all(want in (-1, None, have) for want, have in zip(shape, photos.shape[1:], strict=True))
        assert fits, f"input_shape {shape} does not describe photos of shape {photos.shape[1:]}"
        assert isinstance(estimator.channels_first, bool), "channels_first must be True or False"
        assert estimator.clip_values is not None, "clip_values must be set: the range that attacks clip to"
        low, high = (float(value) for value in estimator.clip_values)
        assert low < high, f"clip_values must be (lowest, highest), not {estimator.clip_values}"

    def test_every_parameter_is_an_attribute_and_can_be_set_to_itself(self, estimator: Any, photos: Array) -> None:
        """ART's get_params and set_params."""
        parameters = estimator.get_params()
        missing = [name for name in estimator.estimator_params if name not in parameters]
        assert not missing, f"estimator_params names {missing}, which get_params does not give: make them attributes"
        twin = copy.deepcopy(estimator)
        expected = estimator.predict(photos)
        for name in estimator.estimator_params:
            twin.set_params(**{name: getattr(twin, name)})
        assert np.array_equal(twin.predict(photos), expected), "setting each parameter to itself changed predictions"

    def test_set_params_takes_all_or_none(self, estimator: Any) -> None:
        """A refused value must not stay, nor what was given with it."""
        twin = copy.deepcopy(estimator)
        low, high = (float(value) for value in twin.clip_values)
        before = {name: getattr(twin, name) for name in twin.estimator_params}
        cases: list[dict[str, Any]] = [
            {"clip_values": (high, low)},
            {"clip_values": (low, high + 1), "input_shape": "large"},
            {"clip_values": (low, high + 1), "no_such_parameter": 1},
        ]
        for case in cases:
            with refused("clip_values|input_shape|no_such_parameter", f"set_params({case})"):
                twin.set_params(**case)
            after = {name: getattr(twin, name) for name in twin.estimator_params}
            stayed = [name for name in before if not same(before[name], after[name])]
            assert not stayed, (
                f"set_params({case}) was refused, yet {stayed} changed: check first, or put everything back on an error"
            )

    def test_unknown_keywords_are_refused(self, estimator: Any, photos: Array) -> None:
        """A misspelt keyword that is swallowed costs somebody a day."""
        y = self.targets(estimator, photos)
        calls: dict[str, Any] = {
            "predict": lambda **extra: estimator.predict(photos, **extra),
            "compute_loss": lambda **extra: estimator.compute_loss(photos, y, **extra),
            "set_params": lambda **extra: copy.deepcopy(estimator).set_params(**extra),
        }
        if not self.query_only:
            calls["loss_gradient"] = lambda **extra: estimator.loss_gradient(photos, y, **extra)
        for name, call in calls.items():
            with refused("no_such_keyword", f"{name}(..., no_such_keyword=1)"):
                call(no_such_keyword=1)

    def test_repr_names_the_class(self, estimator: Any) -> None:
        """ART's test_repr."""
        text = repr(estimator)
        for part in (type(estimator).__name__, "clip_values", "channels_first"):
            assert part in text, f"repr(estimator) must name {part}, it is {text[:200]!r}"

    def test_losses_agree_with_one_another(self, estimator: Any, photos: Array) -> None:
        """compute_loss, its reductions, compute_losses and compute_loss_from_predictions."""
        y = self.targets(estimator, photos)
        losses = estimator.compute_loss(photos, y, reduction="none")
        assert losses.shape == (len(photos),), f"compute_loss must give a loss a photo, not shape {losses.shape}"
        assert np.isfinite(losses).all(), "compute_loss gave NaN or infinity for ordinary photos and targets"
        for reduction, expected in (("sum", losses.sum()), ("mean", losses.mean())):
            found = estimator.compute_loss(photos, y, reduction=reduction)
            assert np.allclose(found, expected, rtol=1e-4), f"compute_loss with reduction={reduction!r} is {found}"
        alone = estimator.compute_loss(photos[1:2], y[1:2], reduction="none")
        assert np.allclose(alone, losses[1:2], rtol=1e-3), "the loss of a photo alone differs from that in a batch"
        if hasattr(estimator, "compute_loss_from_predictions"):
            again = estimator.compute_loss_from_predictions(estimator.predict(photos), y, reduction="none")
            assert np.allclose(again, losses, rtol=1e-3), "compute_loss_from_predictions differs from compute_loss"
        with refused("reduction", "compute_loss(..., reduction='largest')"):
            estimator.compute_loss(photos, y, reduction="largest")

    def test_fit_trains_or_says_that_it_does_not(self, estimator: Any, photos: Array) -> None:
        """ART's test_fit: real training, or a NotImplementedError with a sentence."""
        twin = copy.deepcopy(estimator)
        try:
            twin.fit(photos, self.targets(estimator, photos), batch_size=2, nb_epochs=1)
        except NotImplementedError as error:
            assert str(error), "fit raised NotImplementedError without a word: say what to do instead"

    def test_get_activations_by_name_and_by_index(self, estimator: Any, photos: Array) -> None:
        """ART's test_get_activations."""
        try:
            names = list(getattr(estimator, "layer_names", None) or [])
            first = estimator.get_activations(photos, 0, batch_size=2)
        except NotImplementedError as error:
            assert str(error), "get_activations raised NotImplementedError without a word: say why"
            return
        assert len(first) == len(photos), f"get_activations must give a row a photo, not {len(first)} rows"
        assert names, "get_activations works, so layer_names must list the layers"
        assert close(first, estimator.get_activations(photos, names[0], batch_size=1), self.batch_tolerance), (
            f"get_activations by index 0 and by the name {names[0]!r} differ"
        )
        with refused("layer|no_such_layer", "get_activations(x, 'no_such_layer')"):
            estimator.get_activations(photos, "no_such_layer")

    def test_a_clone_for_refitting_is_another_object(self, estimator: Any, photos: Array) -> None:
        """ART's clone_for_refitting: the original stays what it is."""
        expected = estimator.predict(photos)
        try:
            clone = estimator.clone_for_refitting()
        except (AttributeError, NotImplementedError):
            pytest.skip("this estimator cannot be cloned for refitting")
        assert clone is not estimator, "clone_for_refitting returned the estimator itself"
        assert clone.predict(photos).shape == expected.shape, "the clone predicts something of another shape"
        assert np.array_equal(estimator.predict(photos), expected), "clone_for_refitting changed the original"
