"""art_crop's own checks of what a saliency model, a metric and a task must be."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import MetricConformance, SaliencyModelConformance, TaskConformance


class TestContrastSaliency(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model("contrast-saliency", device="cpu")


class TestRmse(MetricConformance):
    @pytest.fixture
    def metric(self) -> Any:
        return art_crop.load_metric("rmse")


class TestPeakInBox(TaskConformance):
    @pytest.fixture
    def task(self) -> Any:
        return art_crop.load_task("peak-in-box", box=(0.0, 0.0, 0.3, 0.3))

    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model("contrast-saliency", device="cpu")
