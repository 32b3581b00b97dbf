"""The kit on every metric of the registry."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import MetricConformance

MAP_METRICS = ("nss", "auc-judd", "cc", "kld", "sim")
SHIFTS = {
    "peak-shift": [(100.0, at, 300.0) for at in (300.0, 250.0, 100.0, 50.0)],
    "shift-over-width": [(100.0, at, 300.0, 640.0) for at in (300.0, 250.0, 100.0, 50.0)],
    "mean-clipped-shift": [(shifts,) for shifts in ([1.0, 1.2], [0.9, 0.4], [0.1, -3.0])],
    "share-at-target": [(shifts,) for shifts in ([1.0, 0.95], [1.05, 0.4], [0.1, -3.0])],
}
COLOUR_METRICS = ("ciede2000-mean", "ciede2000-p95", "ciede2000-l2", "within-color-threshold", "sensitivity-l2")
SYMMETRIC_METRICS = ("l2", "linf", "rms", "psnr", "ssim", "ms-ssim")
PHOTO_METRICS = (*SYMMETRIC_METRICS, *COLOUR_METRICS)
BUILTIN = sorted(
    plugin.name for plugin in art_crop.list_plugins() if plugin.kind == "metric" and plugin.distribution == "art-crop"
)


def test_every_metric_is_here() -> None:
    assert sorted((*PHOTO_METRICS, *MAP_METRICS, *SHIFTS)) == BUILTIN


@pytest.mark.parametrize("name", SYMMETRIC_METRICS)
class TestPhotoMetrics(MetricConformance):
    symmetric = True

    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)


@pytest.mark.parametrize("name", COLOUR_METRICS)
class TestColourMetrics(MetricConformance):
    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)


@pytest.mark.parametrize("name", ["nss", "auc-judd"])
class TestFixationMetrics(MetricConformance):
    of = "fixations"

    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)


@pytest.mark.parametrize("name", ["cc", "sim"])
class TestSymmetricDensityMetrics(MetricConformance):
    of = "density"
    symmetric = True

    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)


@pytest.mark.parametrize("name", ["kld"])
class TestDivergence(MetricConformance):
    of = "density"

    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)


@pytest.mark.parametrize("name", SHIFTS)
class TestShiftMetrics(MetricConformance):
    @pytest.fixture
    def metric(self, name: str) -> Any:
        return art_crop.load_metric(name)

    @pytest.fixture
    def examples(self, name: str) -> Any:
        return SHIFTS[name]

    @pytest.fixture
    def bad_examples(self, name: str) -> Any:
        good = SHIFTS[name][0]
        return {
            "a NaN": (float("nan"), *good[1:]),
            "text": ("left", *good[1:]),
            "nothing": ([], *good[1:]) if len(good) == 1 else (good[0], good[1], good[0], *good[3:]),
        }
