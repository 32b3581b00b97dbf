"""art_crop's own checks of what a classifier must be."""

from __future__ import annotations

from typing import Any

import pytest

import art_crop
from art_crop.testing import ClassifierConformance


class TestSqueezeNet(ClassifierConformance):
    # With random weights it hardly answers to the kit's coarse patterns, and float32 rounds a tenth of that off.
    gradient_tolerance = 0.15

    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model(
            "torchvision-classifier", architecture="squeezenet1_1", weights=None, nb_classes=7, seed=1, device="cpu"
        )
