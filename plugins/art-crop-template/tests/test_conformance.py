"""art_crop's own checks of what a saliency model and a metric must be."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import MetricConformance, SaliencyModelConformance


class TestContrastSaliency(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model("contrast-saliency", device="cpu")


class TestRmse(MetricConformance):
    @pytest.fixture
    def metric(self) -> Any:
        return art_crop.load_metric("rmse")
