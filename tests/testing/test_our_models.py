"""The kit on every model of ours."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import art_crop
from art_crop import estimators
from art_crop.testing import ClassifierConformance, QualityModelConformance, SaliencyModelConformance
from art_crop.testing.doubles import tiny_estimator


class TestGazeLite(SaliencyModelConformance):
    straight_through = True

    @pytest.fixture(scope="class")
    @classmethod
    def estimator(cls) -> Any:
        return art_crop.load_model("gaze-lite", device="cpu")


class TestGazeLiteHuman(SaliencyModelConformance):
    straight_through = True

    @pytest.fixture(scope="class")
    @classmethod
    def estimator(cls) -> Any:
        return art_crop.load_model("gaze-lite-human", device="cpu")


class TestFastGaze(SaliencyModelConformance):
    straight_through = True

    @pytest.fixture(scope="class")
    @classmethod
    def estimator(cls, fastgaze_weights: Path) -> Any:
        return art_crop.load_model("fastgaze", weights=fastgaze_weights, device="cpu")


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
class TestSensitivityNetwork(SaliencyModelConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def estimator(cls) -> Any:
        from art_crop.models.sensitivity import FCNVGG16

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(1)
            network = FCNVGG16(long_side=32)
            torch.nn.init.normal_(network.out.weight, std=0.05)  # random features alone hardly answer to a photo
        torch.nn.init.constant_(network.out.bias, 0.5)  # within its range, where it has a gradient
        return estimators.PyTorchSaliencyRegressor(network, device="cpu")


class TestAnySaliencyNetwork(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("saliency")


class TestAnySaliencyNetworkInAnotherRange(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("saliency", clip_values=(0, 255), channels_first=False, preprocessing=(0, 255), loss="kl")


class TestAnyQualityNetwork(QualityModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("quality")


class TestQualityLite(QualityModelConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def estimator(cls) -> Any:
        return art_crop.load_model("quality-lite", device="cpu")


class TestAnyClassifier(ClassifierConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("classifier", labels=("beach", "forest", "street", "kitchen"))


class TestAClassifierOfPhotosOfOneSize(ClassifierConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return tiny_estimator("classifier", input_shape=(3, 48, 40))


def brightness(photos: Any) -> Any:
    """Tiles of 8 pixels: the mean of each."""
    count, channels, height, width = photos.shape
    tiles = photos[:, :, : height // 8 * 8, : width // 8 * 8].reshape(count, channels, height // 8, 8, width // 8, 8)
    return tiles.mean((1, 3, 5))


class TestBlackBoxSaliency(SaliencyModelConformance):
    query_only = True

    @pytest.fixture
    def estimator(self) -> Any:
        return estimators.BlackBoxSaliencyRegressor(brightness)


class TestBlackBoxQuality(QualityModelConformance):
    query_only = True

    @pytest.fixture
    def estimator(self) -> Any:
        return estimators.BlackBoxQualityRegressor(lambda x: 100 * np.abs(np.diff(x, axis=3)).mean((1, 2, 3)))


class WithoutSubmodules(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.weights).sum(1).square()


class TestAModuleWithoutSubmodules(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return estimators.PyTorchSaliencyRegressor(WithoutSubmodules(), device="cpu")


class Waves(torch.nn.Module):
    """No parameters, no submodules, and a slope that changes its sign every twentieth of the range."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(8 * (x[:, 0] - x[:, 2])) + torch.sin(60 * x[:, 1]).square()


class Mean(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1)


class TestAStronglyNonLinearModel(SaliencyModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        return estimators.PyTorchSaliencyRegressor(Waves(), device="cpu")


class TestScoresOfAStronglyNonLinearModel(QualityModelConformance):
    @pytest.fixture
    def estimator(self) -> Any:
        model = torch.nn.Sequential(Waves(), torch.nn.Flatten(1), Mean())
        return estimators.PyTorchQualityRegressor(model, score_range=(0, 4000), device="cpu")
