"""Checks of what a model answers: its shape and type, and that it depends on the photo alone."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from art_crop.testing.checks import close, global_state_kept, globally_seeded, model_kept, unchanged
from art_crop.testing.estimator import EstimatorGround

__all__ = ["PredictionChecks", "StateChecks"]

Array = np.ndarray[Any, Any]


class PredictionChecks(EstimatorGround):
    """What ``predict`` returns."""

    def test_predict_gives_one_finite_float32_row_for_each_photo(self, estimator: Any, photos: Array) -> None:
        """Shape, type and range."""
        prediction = estimator.predict(photos)
        assert isinstance(prediction, np.ndarray), f"predict must return a numpy array, not {type(prediction).__name__}"
        assert prediction.dtype == np.float32, f"predict must return float32, not {prediction.dtype}; cast the output"
        assert len(prediction) == len(photos), (
            f"predict must return a row a photo: {len(photos)}, not {len(prediction)}"
        )
        assert np.isfinite(prediction).all(), "predict returned NaN or infinity for ordinary photos"
        self.check_prediction(estimator, prediction, photos)

    def test_predict_depends_on_the_photo(self, estimator: Any, photos: Array) -> None:
        """A constant is no model."""
        prediction = estimator.predict(photos)
        different = any(np.abs(row - prediction[0]).max() > 0 for row in prediction[1:])
        assert different, "predict gives the same for three different photos: is the photo used at all?"

    def test_a_photo_gets_the_same_alone_and_in_any_batch(self, estimator: Any, photos: Array) -> None:
        """Batch norm in training mode, or scaling by a batch's maximum, would break this."""
        estimator = self.in_one_batch(estimator, photos)
        together = estimator.predict(photos)
        tolerance = self.batch_tolerance
        for order in ([2, 0, 1], [1], [0, 0]):
            part = estimator.predict(np.ascontiguousarray(photos[order]))
            assert close(together[order], part, tolerance, among=together), (
                f"photos {order} get another prediction than in the whole batch: nothing may be computed over the "
                "batch (batch norm in training mode, a maximum or mean over axis 0, a state kept between calls); for a "
                f"sound model that magnifies rounding set batch_tolerance above {tolerance:g}"
            )
        for size in (1, 2):
            assert close(together, estimator.predict(photos, batch_size=size), tolerance), (
                f"predict with batch_size={size} differs from the default: the batch size must not matter"
            )

    def test_predict_twice_gives_the_same_whatever_the_global_seeds(self, estimator: Any, photos: Array) -> None:
        """No randomness in a judgement."""
        answers = []
        for seed in (1, 2):
            with globally_seeded(seed):
                answers.append(estimator.predict(photos))
        assert np.array_equal(answers[0], answers[1]), (
            "predict twice gives two answers: the model draws random numbers; judge in evaluation mode, with a seed "
            "of your own if it must be random"
        )

    def test_read_only_strided_and_float64_photos_give_the_same(self, estimator: Any, photos: Array) -> None:
        """How an array lies in memory is no matter."""
        expected = estimator.predict(photos)
        read_only = photos.copy()
        read_only.flags.writeable = False
        cases = {
            "read-only photos": read_only,
            "photos with other strides": np.asfortranarray(photos),
            "float64 photos": photos.astype(np.float64),
        }
        for case, x in cases.items():
            assert close(expected, estimator.predict(x), self.batch_tolerance), f"{case}: another prediction"
        backwards = estimator.predict(photos[::-1])  # negative strides, which torch refuses
        assert close(expected, backwards[::-1], self.batch_tolerance), "reversed photos: another prediction"

    def test_channels_last_photos_give_the_same(
        self, estimator: Any, photos: Array, estimator_channels_last: Any
    ) -> None:
        """(N, H, W, C) is a matter of layout only."""
        if estimator_channels_last is None:
            pytest.skip("this estimator cannot be had with channels_first=False")
        x = photos.transpose(0, 2, 3, 1) if estimator.channels_first else photos
        expected, found = estimator.predict(photos), estimator_channels_last.predict(np.ascontiguousarray(x))
        assert close(expected, found, self.batch_tolerance), "the same photos as (N, H, W, C) get another prediction"

    def test_other_photo_sizes_work_or_are_refused_clearly(self, estimator: Any) -> None:
        """Where input_shape leaves the size open, any size is meant."""
        for height, width in self.other_sizes:
            x = self.make_photos(estimator, 2, height, width)
            try:
                prediction = estimator.predict(x)
            except (ValueError, TypeError) as error:
                message = str(error)
                assert "x" in message.split(":")[0] or "shape" in message or "size" in message, (
                    f"photos of {width}x{height} px are refused without saying why: {message!r}; name x and the size"
                )
            except Exception as error:
                raise AssertionError(
                    f"photos of {width}x{height} px: {type(error).__name__}: {error}. State the size in input_shape, "
                    "so that others are refused, or resize inside the model"
                ) from error
            else:
                assert len(prediction) == 2, f"photos of {width}x{height} px: 2 rows are needed, not {len(prediction)}"
                assert np.isfinite(prediction).all(), f"photos of {width}x{height} px: NaN or infinity"


class StateChecks(EstimatorGround):
    """What must be afterwards as it was before."""

    def test_the_callers_arrays_are_not_written_into(self, estimator: Any, photos: Array) -> None:
        """Arrays and tensors, targets too."""
        photos = photos[:1].copy()
        y = self.targets(estimator, photos)
        with unchanged("predict", photos):
            estimator.predict(photos)
        with unchanged("compute_loss", photos, y):
            estimator.compute_loss(photos, y)
        if self.query_only:
            return
        with unchanged("loss_gradient", photos, y):
            estimator.loss_gradient(photos, y)
        x = self.planar_tensor(estimator, photos)
        objective = self.projection(torch.ones(y.shape))
        with unchanged("value_and_gradient", x):
            estimator.value_and_gradient(x, objective)
        with unchanged("evaluate", x):
            estimator.evaluate(x, objective)

    def test_the_model_is_left_as_it_was_found(self, estimator: Any, photos: Array) -> None:
        """Mode, requires_grad, .grad, hooks, parameters and buffers, also of a model in an unusual state."""
        self.network(estimator)
        twin = copy.deepcopy(estimator)
        model = self.network(twin)
        for i, module in enumerate(model.modules()):
            module.training = i % 2 == 0
        for i, parameter in enumerate(model.parameters()):
            parameter.requires_grad_(i % 2 == 0)
        for parameter in list(model.parameters())[:1]:
            parameter.grad = parameter.detach().clone()
        handle = model.register_forward_hook(lambda module, inputs, output: None)
        try:
            with model_kept(model, "a round of calls"):
                self.call_everything(twin, photos[:1])
        finally:
            handle.remove()

    def test_training_mode_makes_no_difference(self, estimator: Any, photos: Array) -> None:
        """Deployed models are judged as they are deployed."""
        self.network(estimator)
        twin = copy.deepcopy(estimator)
        self.network(twin).eval()
        expected = twin.predict(photos)
        self.network(twin).train()
        assert close(expected, twin.predict(photos), self.batch_tolerance), (
            "a model that was left in training mode predicts differently: switch to evaluation mode inside predict"
        )

    def test_the_model_is_left_as_it_was_found_when_it_fails(self, estimator: Any, photos: Array) -> None:
        """An error inside the network must not leave it half changed."""
        self.network(estimator)
        twin = copy.deepcopy(estimator)
        model = self.network(twin).train()

        def fail(module: Any, inputs: Any) -> None:
            raise ZeroDivisionError("a network that fails, for a check")

        # On every module, for an estimator may call parts of its model instead of the whole.
        handles = [module.register_forward_pre_hook(fail) for module in model.modules()]
        y = self.targets(estimator, photos)
        try:
            with model_kept(model, "a call that failed"):
                with pytest.raises(ZeroDivisionError):
                    twin.predict(photos)
                with pytest.raises(ZeroDivisionError):
                    twin.loss_gradient(photos, y)
        finally:
            for handle in handles:
                handle.remove()

    def test_global_state_is_left_alone(self, estimator: Any, photos: Array) -> None:
        """Random states of Python, numpy and torch, and torch's switches."""
        with global_state_kept("a round of calls"):
            self.call_everything(estimator, photos[:1])

    def test_copies_and_pickles_predict_the_same(self, estimator: Any, photos: Array) -> None:
        """As ART's test_pickle: an estimator travels to other processes."""
        expected = estimator.predict(photos)
        assert np.array_equal(copy.deepcopy(estimator).predict(photos), expected), "a deep copy predicts differently"
        if self.query_only:
            return  # a callable need not be picklable
        try:
            twin = pickle.loads(pickle.dumps(estimator))  # noqa: S301 (our own bytes)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AssertionError(
                f"the estimator cannot be pickled ({error}): define the model's class at the top of a module, and keep "
                "lambdas, open files and sessions out of it"
            ) from error
        assert np.array_equal(twin.predict(photos), expected), "a pickled and loaded estimator predicts differently"
