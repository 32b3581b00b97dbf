"""art_crop's own checks of what a classifier must be."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import ClassifierConformance


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite2"])
class TestEfficientNetLite(ClassifierConformance):
    @pytest.fixture
    def estimator(self, name: str) -> Any:
        return art_crop.load_model(name, device="cpu")
