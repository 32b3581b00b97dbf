"""Conformance of saliency models: photos -> maps, salient points and crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_crop.testing.art_contract import ArtChecks
from art_crop.testing.checks import refused
from art_crop.testing.gradients import GradientChecks
from art_crop.testing.predictions import PredictionChecks, StateChecks
from art_crop.testing.refusals import RefusalChecks

__all__ = ["SaliencyModelConformance"]

Array = np.ndarray[Any, Any]
RATIOS = (0.56, 1.0, 2.0)


class SaliencyModelConformance(PredictionChecks, StateChecks, GradientChecks, ArtChecks, RefusalChecks):
    """Subclass it, and give it the model.

    Example:
        >>> import pytest
        >>> from art_crop.testing import SaliencyModelConformance
        >>> class TestMyModel(SaliencyModelConformance):
        ...     straight_through = True  # only if the model rounds its pixels
        ...
        ...     @pytest.fixture
        ...     def estimator(self):
        ...         return art_crop.load_model("my-model")
    """

    def check_prediction(self, estimator: Any, prediction: Array, photos: Array) -> None:
        """Maps (N, h, w) of more than one cell; densities are not negative."""
        assert prediction.ndim == 3, f"saliency maps must have the shape (N, h, w), not {prediction.shape}"
        assert prediction[0].size > 1, "a saliency map must have more than one cell"
        log_density = self._log_density(estimator)
        assert isinstance(log_density, bool), "log_density must say whether exp(map) is the density: True or False"
        assert log_density or (prediction.min() >= 0 and prediction[0].max() > 0), (
            "with log_density=False the map is a density, so it must be >= 0 and not all 0; say log_density=True if "
            "exp(map) is the density"
        )

    @staticmethod
    def _log_density(estimator: Any) -> Any:
        rule = getattr(estimator, "rule", estimator)
        return getattr(rule, "log_density", getattr(estimator, "log_density", None))

    def targets(self, estimator: Any, photos: Array) -> Array:
        """The predictions with something added."""
        maps = estimator.predict(photos)
        noise = np.random.default_rng(3).uniform(0.5, 1.5, maps.shape)
        result: Array = (maps + noise * max(float(np.ptp(maps)), 1e-3)).astype(np.float32)
        return result

    def bad_targets(self, estimator: Any, photos: Array) -> dict[str, Any]:
        """No map for each photo, maps of another size, NaN."""
        y = self.targets(estimator, photos)
        bad = y.copy()
        bad[0, 0, 0] = np.nan
        return {"too few maps": y[:1], "maps of another size": np.repeat(y, 2, axis=1), "maps with a NaN": bad}

    def further_calls(self, estimator: Any, photos: Array) -> None:
        """Crops and salient points."""
        estimator.crop(photos, RATIOS)
        if hasattr(estimator, "salient_points"):
            estimator.salient_points(photos)

    def test_crops_are_windows_inside_the_photo(self, estimator: Any, photos: Array) -> None:
        """(N, R, 4) whole numbers: left, top, width, height, of the ratios that were asked for."""
        height, width = photos.shape[2:] if estimator.channels_first else photos.shape[1:3]
        windows = np.asarray(estimator.crop(photos, RATIOS))
        assert windows.shape == (len(photos), len(RATIOS), 4), f"crop must be (N, R, 4), not {windows.shape}"
        assert np.issubdtype(windows.dtype, np.integer), f"crop windows must be whole numbers, not {windows.dtype}"
        left, top, wide, tall = np.moveaxis(windows, 2, 0)
        inside = (left >= 0) & (top >= 0) & (wide > 0) & (tall > 0) & (left + wide <= width) & (top + tall <= height)
        assert inside.all(), f"crop windows must lie inside a photo of {width}x{height} px: {windows[~inside]}"
        limit = np.minimum(1.5, 0.1 * tall)  # whole pixels
        assert (np.abs(tall - wide * np.array(RATIOS)) <= limit + 1).all(), (
            f"crop windows must have the ratios height / width {RATIOS}: {windows.tolist()}"
        )
        for bad in ((0.0,), (-1.0,), (float("nan"),), ()):
            with refused("ratios?", f"crop with ratios={bad}"):
                estimator.crop(photos, bad)

    def test_salient_points_lie_inside_the_photo(self, estimator: Any, photos: Array) -> None:
        """(N, 2) whole numbers x, y."""
        if not hasattr(estimator, "salient_points"):
            pytest.skip("this estimator gives no salient points")
        height, width = photos.shape[2:] if estimator.channels_first else photos.shape[1:3]
        points = np.asarray(estimator.salient_points(photos))
        assert points.shape == (len(photos), 2), f"salient_points must be (N, 2), not {points.shape}"
        inside = (points >= 0).all() and (points < [width, height]).all()
        assert inside, f"salient points must lie inside a photo of {width}x{height} px: {points.tolist()}"

    def test_a_lossless_file_gives_what_its_pixels_give(self, estimator: Any, photos: Array, tmp_path: Path) -> None:
        """``predict_file`` is the deployed pipeline; on a PNG it must agree with ``predict``."""
        if not hasattr(estimator, "predict_file"):
            assert self.query_only, "a saliency estimator needs predict_file; inherit from PyTorchSaliencyRegressor"
            pytest.skip("this estimator takes no files")
        from art_crop.images import save_photo

        low, high = (float(value) for value in estimator.clip_values)
        x = photos[:1] if estimator.channels_first else photos[:1].transpose(0, 3, 1, 2)
        levels = np.rint((x[0].transpose(1, 2, 0) - low) / (high - low) * 255).astype(np.uint8)
        save_photo(tmp_path / "photo.png", levels)
        read = estimator.predict_file(tmp_path / "photo.png", RATIOS)
        maps = estimator.predict(photos[:1])
        scale = max(float(np.ptp(maps)), 1e-6)
        assert read.saliency_map.shape == maps.shape[1:], "predict_file gives a map of another shape than predict"
        assert np.abs(read.saliency_map - maps[0]).max() <= 1e-3 * scale, (
            "predict_file of a PNG differs from predict of its pixels by more than 0.1% of the map's range"
        )
        assert not hasattr(estimator, "salient_points") or (
            tuple(read.salient_point) == tuple(estimator.salient_points(photos[:1])[0])
        ), "predict_file of a PNG gives another salient point than salient_points of its pixels"
        assert np.array_equal(np.array(read.crops), estimator.crop(photos[:1], RATIOS)[0]), (
            "predict_file of a PNG gives other crops than crop of its pixels"
        )
