"""Checks of gradients: shape, each photo's own, and the slopes that finite differences measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from art_crop.testing import slopes
from art_crop.testing.checks import close, planar
from art_crop.testing.estimator import EstimatorGround

__all__ = ["GradientChecks"]

Array = np.ndarray[Any, Any]


class GradientChecks(EstimatorGround):
    """``loss_gradient`` as ART knows it, and ``value_and_gradient``, which the attacks here call."""

    def test_gradients_are_finite_and_shaped_like_the_photos(self, estimator: Any, photos: Array) -> None:
        """Arrays for arrays, tensors for tensors."""
        self.needs_gradients()
        y = self.targets(estimator, photos)
        gradient = estimator.loss_gradient(photos, y)
        assert isinstance(gradient, np.ndarray), "loss_gradient must return numpy for numpy photos"
        assert gradient.dtype == np.float32, f"loss_gradient must be float32, not {gradient.dtype}"
        assert gradient.shape == photos.shape, (
            f"loss_gradient must have the photos' shape {photos.shape}, not {gradient.shape}: differentiate with "
            "respect to the photo as it was given, not to what the model makes of it"
        )
        assert np.isfinite(gradient).all(), "loss_gradient is NaN or infinite somewhere"
        assert (np.abs(gradient).reshape(len(gradient), -1).max(1) > 0).all(), (
            "loss_gradient is 0 for a whole photo: something on the way is detached (detach(), .data, numpy, round())"
        )
        x = self.planar_tensor(estimator, photos)
        as_tensor = estimator.loss_gradient(x, torch.from_numpy(np.asarray(y)))
        assert isinstance(as_tensor, torch.Tensor), "loss_gradient must return a tensor for a tensor"
        found = planar(as_tensor.cpu().numpy(), estimator.channels_first)
        assert close(gradient, found, self.batch_tolerance), "loss_gradient of a tensor differs from that of the array"

    def test_a_photos_gradient_is_the_same_alone_and_in_any_batch(self, estimator: Any, photos: Array) -> None:
        """A mean over the batch makes gradients N times too small, and a batch's photos depend on one another."""
        self.needs_gradients()
        estimator = self.in_one_batch(estimator, photos)
        y = self.targets(estimator, photos)
        together = estimator.loss_gradient(photos, y)
        x, weights = self.planar_tensor(estimator, photos), self._weights(estimator, photos)
        whole = estimator.value_and_gradient(x, self.projection(weights))
        for order in ([1], [2, 0]):
            part = estimator.loss_gradient(np.ascontiguousarray(photos[order]), y[order])
            assert close(together[order], part, self.batch_tolerance), (
                f"loss_gradient of photos {order} differs from that in the whole batch: sum the losses over the batch, "
                "do not average them, and compute nothing over the batch; for a sound model that magnifies rounding "
                f"set batch_tolerance above {self.batch_tolerance:g}"
            )
            own = estimator.value_and_gradient(x[order], self.projection(weights[order]))
            for name, batch, alone in (("gradient", whole.gradient, own.gradient), ("loss", whole.loss, own.loss)):
                among = batch.cpu() if name == "loss" else None
                assert close(batch[order].cpu(), alone.cpu(), self.batch_tolerance, among=among), (
                    f"value_and_gradient: the {name} of photos {order} differs from that in the whole batch"
                )

    def test_gradient_matches_finite_differences(self, estimator: Any, photos: Array) -> None:
        """Of a weighted sum of the output, in float64 where the network has such a form."""
        self.needs_gradients()
        photos = self._between_levels(estimator, photos)
        weights, x = self._weights(estimator, photos), self.planar_tensor(estimator, photos)
        gradient = estimator.value_and_gradient(x, self.projection(weights)).gradient
        assert gradient is not None, "value_and_gradient returned no gradient"
        assert gradient.shape == x.shape, (
            f"value_and_gradient must give a gradient like the photos, {tuple(x.shape)}, not {tuple(gradient.shape)}"
        )
        exact = None if self.straight_through else slopes.float64_model(estimator, x.cpu().numpy())

        def loss(moved: Array) -> Array:
            if exact is not None:
                predicted = exact(torch.from_numpy(moved)).cpu()
                return (predicted * weights.double()).reshape(len(moved), -1).sum(1).numpy()
            tensor = torch.from_numpy(moved.astype(np.float32)).to(x.device)
            return np.asarray(estimator.evaluate(tensor, self.projection(weights)).loss.double().cpu())

        found = gradient.double().cpu().numpy()
        self._compare(estimator, loss, x.cpu().numpy(), found, exact is not None, "value_and_gradient of the output")

    def test_loss_gradient_matches_differences_of_compute_loss(self, estimator: Any, photos: Array) -> None:
        """ART's two methods must speak of one loss."""
        self.needs_gradients()
        photos = self._between_levels(estimator, photos)
        y = self.targets(estimator, photos)
        first = bool(estimator.channels_first)
        gradient = estimator.loss_gradient(photos, y)
        x, gradient = (array if first else array.transpose(0, 3, 1, 2) for array in (photos, gradient))

        def loss(moved: Array) -> Array:
            losses = estimator.compute_loss(planar(moved.astype(np.float32), first), y, reduction="none")
            return np.asarray(losses, np.float64).reshape(len(moved))

        self._compare(estimator, loss, x, gradient.astype(np.float64), False, "loss_gradient of compute_loss")

    # -- helpers -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _between_levels(estimator: Any, photos: Array) -> Array:
        """Two of the photos, each value moved by up to half a grey level: see :mod:`art_crop.testing.slopes`."""
        low, high = (float(value) for value in estimator.clip_values)
        dither = np.random.default_rng(4).uniform(-0.5, 0.5, photos[:2].shape) * (high - low) / 255
        return np.ascontiguousarray(photos[:2] + dither.astype(np.float32))

    @staticmethod
    def _weights(estimator: Any, photos: Array) -> torch.Tensor:
        return torch.from_numpy(slopes.weights_for(estimator.predict(photos))).float()

    def _compare(self, estimator: Any, loss: slopes.Loss, x: Array, gradient: Array, exact: bool, of: str) -> None:
        """Slopes of a gradient against differences."""
        low, high = (float(value) for value in estimator.clip_values)
        usual = 0.01 if exact else 0.25 if self.straight_through else 0.05
        tolerance = usual if self.gradient_tolerance is None else self.gradient_tolerance
        groups = [slopes.random_directions(x.shape, 6)] if exact else [slopes.pieces(gradient, 3)]
        if not exact and not self.straight_through:
            groups.append(slopes.coarse_patterns(x.shape, 3))
        steps = slopes.SMALL_STEPS if exact else slopes.LARGE_STEPS
        held = np.float64 if exact else np.float32
        for directions in groups:
            worst = slopes.slope_error(
                loss, x, gradient, directions, steps, extent=high - low, held=held, enough=tolerance
            )
            assert worst <= tolerance, (
                f"{of}: its slopes differ from finite differences by {worst:.0%} (allowed {tolerance:.1%}). 200% is a "
                "wrong sign; 100% or less a part that is detached, or a mean where a sum belongs; it may also be a "
                "gradient with respect to something else than the photo. For a model that rounds its pixels and passes "
                "the gradient straight through set straight_through = True; for one that is sound and strongly "
                f"non-linear set gradient_tolerance above {worst:.2g}"
            )
