"""The ground that the checks of estimators stand on: fixtures, and what a kind of model has to say about itself."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from art_crop.testing import doubles
from art_crop.testing.checks import planar

__all__ = ["EstimatorGround"]

Array = np.ndarray[Any, Any]


class EstimatorGround:
    """Fixtures and settings that a subclass may override; ``estimator`` it must."""

    query_only: ClassVar[bool] = False
    """The model can only be asked: no gradients, no layers, no network to look into."""
    straight_through: ClassVar[bool] = False
    """The model rounds, and its gradient passes straight through: differences are taken over many grey levels."""
    gradient_tolerance: ClassVar[float | None] = None
    """Largest deviation of slopes, as a share of the largest; None: 1% in float64, 5% in float32, 25% if rounding."""
    batch_tolerance: ClassVar[float] = 1e-4
    """Largest deviation of a photo's result alone from that in a batch, as a share of the results' spread."""
    photo_size: ClassVar[tuple[int, int]] = (64, 96)
    """Height and width of the photos that are tried, where the estimator's input_shape leaves them open."""
    other_sizes: ClassVar[tuple[tuple[int, int], ...]] = ((80, 80), (97, 65))
    """Sizes that must either work or be refused clearly."""

    @pytest.fixture
    def estimator(self) -> Any:
        """The model under test. Any scope will do: the checks leave it as they found it."""
        pytest.fail(
            f"{type(self).__name__}: define a pytest fixture `estimator` that returns your model's estimator",
            pytrace=False,
        )

    @pytest.fixture
    def photos(self, estimator: Any) -> Array:
        """Three different photos in the estimator's layout and range, away from the ends of the range."""
        shape = tuple(estimator.input_shape)
        channels, *size = shape if estimator.channels_first else (shape[2], shape[0], shape[1])
        height, width = (n if n > 0 else usual for n, usual in zip(size, self.photo_size, strict=True))
        return self.make_photos(estimator, 3, height, width, channels=channels)

    @pytest.fixture
    def estimator_channels_last(self, estimator: Any) -> Any:
        """The same model for photos (N, H, W, C); None where the estimator cannot be had so."""
        if self.query_only:
            return None  # a callable takes the one layout that it was written for
        twin = copy.deepcopy(estimator)
        shape = tuple(estimator.input_shape)
        moved = (*shape[1:], shape[0]) if estimator.channels_first else shape
        try:
            twin.set_params(channels_first=False, input_shape=moved)
        except (ValueError, TypeError, AttributeError, NotImplementedError):
            return None
        return twin

    # -- what a kind of model says about itself ------------------------------------------------------------------------

    def check_prediction(self, estimator: Any, prediction: Array, photos: Array) -> None:
        """Fails unless a prediction has the shape and the range of this kind of model."""
        raise NotImplementedError

    def targets(self, estimator: Any, photos: Array) -> Array:
        """Targets y for ``loss_gradient(x, y)`` that are not what the model predicts."""
        raise NotImplementedError

    def bad_targets(self, estimator: Any, photos: Array) -> dict[str, Any]:
        """Targets that must be refused with a message that names y, by what is wrong with them."""
        raise NotImplementedError

    def further_calls(self, estimator: Any, photos: Array) -> None:
        """Public methods of this kind of model beyond ART's, each called once."""

    # -- helpers -------------------------------------------------------------------------------------------------------

    def make_photos(self, estimator: Any, count: int, height: int, width: int, channels: int = 3) -> Array:
        """Photos of a size, in the estimator's layout and range."""
        low, high = (float(value) for value in estimator.clip_values)
        x = low + doubles.photos(count, height, width, channels=channels) * (high - low)
        return planar(x.astype(np.float32), bool(estimator.channels_first))

    def needs_gradients(self) -> None:
        """Skips a check that a query-only model cannot be asked."""
        if self.query_only:
            pytest.skip("a query-only model has no gradients")

    @staticmethod
    def in_one_batch(estimator: Any, photos: Array) -> Any:
        """The estimator with all photos in one micro-batch; on a CPU it would take them one by one otherwise."""
        if "micro_batch" not in estimator.estimator_params or estimator.micro_batch is not None:
            return estimator
        twin = copy.deepcopy(estimator)
        twin.set_params(micro_batch=len(photos))
        return twin

    def network(self, estimator: Any) -> nn.Module:
        """The torch module inside; skips the check where there is none."""
        model = getattr(estimator, "model", None)
        if not isinstance(model, nn.Module):
            pytest.skip("this estimator holds no torch module")
        return model

    def planar_tensor(self, estimator: Any, photos: Array) -> torch.Tensor:
        """Photos as the tensor (N, C, H, W) that ``value_and_gradient`` takes."""
        x = photos if estimator.channels_first else photos.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.array(x, np.float32, order="C")).to(getattr(estimator, "device", "cpu"))

    def call_everything(self, estimator: Any, photos: Array) -> None:
        """Each public method once: what must leave no trace."""
        y = self.targets(estimator, photos)
        estimator.predict(photos)
        estimator.compute_loss(photos, y)
        if not self.query_only:
            estimator.loss_gradient(photos, y)
            x = self.planar_tensor(estimator, photos)
            weights = torch.ones(y.shape)
            estimator.value_and_gradient(x, self.projection(weights))
            estimator.evaluate(x, self.projection(weights))
            if getattr(estimator, "layer_names", None):
                estimator.get_activations(photos, estimator.layer_names[-1])
        self.further_calls(estimator, photos)

    @staticmethod
    def projection(weights: torch.Tensor) -> Any:
        """The objective whose loss is the weighted sum of the model's output."""
        from art_crop.testing.slopes import Projection

        return Projection(weights)

    @staticmethod
    def at_other_photos(estimator: Any, photos: Array) -> Array:
        """The photos in another order and turned upside down: something else of the same size."""
        axis = 2 if estimator.channels_first else 1
        other: Array = np.ascontiguousarray(np.flip(photos[::-1], axis))
        return other
