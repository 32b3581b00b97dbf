"""Small networks that stand in for a cropper, a quality model and a classifier.

They are smooth, so that finite differences mean something. Tests get this module as the fixture ``tiny``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.estimators import PyTorchPhotoClassifier, PyTorchQualityRegressor, PyTorchSaliencyRegressor

Array = np.ndarray[Any, Any]


class TinySaliency(nn.Module):
    """(N, 3, H, W) -> (N, 1, H / 4, W / 4); with a batch norm and a dropout, whose mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.Softplus()
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(6, 1, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.drop(self.act(self.norm(self.first(x)))))  # type: ignore[no-any-return]


class TinyQuality(nn.Module):
    """(N, 3, H, W) -> scores (N, 1) around 50."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5, stride=4)
        self.act = nn.Tanh()
        self.out = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 50 + 20 * self.out(self.act(self.conv(x)).mean((2, 3)))  # type: ignore[no-any-return]


class TinyClassifier(nn.Sequential):
    """(N, 3, H, W) -> logits (N, 4); with a batch norm and a dropout, whose mode matters."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.Softplus(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(54, 4),
        )


def seeded(kind: type[nn.Module], seed: int = 7) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = kind()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model


def photos(count: int = 3, height: int = 24, width: int = 32, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.1, 0.9, (count, 3, height, width)).astype(np.float32)


def saliency_estimator(**kwargs: Any) -> PyTorchSaliencyRegressor:
    return PyTorchSaliencyRegressor(seeded(TinySaliency), **{"log_density": True, "device": "cpu", **kwargs})


def quality_estimator(**kwargs: Any) -> PyTorchQualityRegressor:
    return PyTorchQualityRegressor(seeded(TinyQuality), **{"device": "cpu", **kwargs})


def classifier(**kwargs: Any) -> PyTorchPhotoClassifier:
    return PyTorchPhotoClassifier(seeded(TinyClassifier), **{"nb_classes": 4, "device": "cpu", **kwargs})
