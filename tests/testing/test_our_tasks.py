"""The package's own tasks keep to what plugins' tasks must keep to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import art_crop
from art_crop.bench.tasks import Task
from art_crop.testing import TaskConformance


class TestSecondPeak(TaskConformance):
    @pytest.fixture
    def task(self) -> Task:
        return art_crop.load_task("second-peak")  # type: ignore[no-any-return]

    @pytest.fixture
    def estimator(self) -> Any:
        return art_crop.load_model("gaze-lite")


class TestCropWindow(TestSecondPeak):
    @pytest.fixture
    def task(self) -> Task:
        return art_crop.load_task("crop-window", ratios=(1.0, 0.56), box=(0.2, 0.1))  # type: ignore[no-any-return]

    @pytest.fixture
    def pixels(self) -> Any:
        from skimage import data

        return np.ascontiguousarray(data.coffee()[::2, ::2])


class TestScore(TaskConformance):
    @pytest.fixture
    def task(self) -> Task:
        return art_crop.load_task("score", change=-1.0)  # type: ignore[no-any-return]

    @pytest.fixture
    def estimator(self, tiny: Any) -> Any:
        return tiny.quality_estimator()


class TestLabel(TaskConformance):
    @pytest.fixture
    def task(self) -> Task:
        return art_crop.load_task("label")  # type: ignore[no-any-return]

    @pytest.fixture
    def estimator(self, tiny: Any) -> Any:
        return tiny.classifier()
