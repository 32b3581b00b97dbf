"""art_crop's own checks of what a classifier must be."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import ClassifierConformance


class TestEfficientNetLite0(ClassifierConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model("efficientnet-lite0", device="cpu")
