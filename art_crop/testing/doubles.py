"""Small models with fixed weights, and photos: what the checks use where a plugin author gives nothing of their own."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from art.estimators.estimator import BaseEstimator
from torch import Tensor, nn

__all__ = [
    "TinyClassifier",
    "TinyQuality",
    "TinySaliency",
    "Unusable",
    "filled",
    "one_of_each",
    "photos",
    "tiny_estimator",
]

Array = np.ndarray[Any, Any]
Victim = Literal["saliency", "quality", "classifier"]
CLASSES = 4


class TinySaliency(nn.Module):
    """(N, 3, H, W) -> log density (N, 1, H / 4, W / 4); smooth, with a batch norm and a dropout, whose mode matters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.Softplus()
        self.drop = nn.Dropout(0.5)
        self.second = nn.Conv2d(8, 1, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Raw map."""
        result: Tensor = self.second(self.drop(self.act(self.norm(self.first(x)))))
        return result


class _Pooled(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)
        self.act = nn.Tanh()
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.out(self.drop(self.act(self.conv(x)).mean((2, 3))))
        return result


class TinyQuality(_Pooled):
    """(N, 3, H, W) -> scores (N, 1) in (0, 100)."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return 100 * torch.sigmoid(super().forward(x))


class TinyClassifier(_Pooled):
    """(N, 3, H, W) -> logits (N, 4)."""

    def __init__(self) -> None:
        super().__init__(CLASSES)


def filled(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in evaluation mode, its weights drawn from the seed alone and not from global random state."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
            values = rng.standard_normal(tuple(parameter.shape)) * 1.5 / np.sqrt(fan_in)
            parameter.copy_(torch.from_numpy(values))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.copy_(torch.from_numpy(rng.uniform(-0.2, 0.2, module.num_features)))
    return model.eval()


def tiny_estimator(kind: Victim, *, seed: int = 0, **kwargs: Any) -> Any:
    """An estimator of this package around one of the models above, on the CPU; keywords as its constructor has them."""
    from art_crop import estimators

    kwargs = {"device": "cpu", **kwargs}
    if kind == "saliency":
        return estimators.PyTorchSaliencyRegressor(filled(TinySaliency(), seed), **{"log_density": True, **kwargs})
    if kind == "quality":
        return estimators.PyTorchQualityRegressor(filled(TinyQuality(), seed), **kwargs)
    return estimators.PyTorchPhotoClassifier(filled(TinyClassifier(), seed), **{"nb_classes": CLASSES, **kwargs})


def one_of_each() -> dict[str, Any]:
    """A small estimator of every task, white box and query-only, by what it is."""
    from art_crop import estimators

    return {
        "a saliency model": tiny_estimator("saliency"),
        "a quality model": tiny_estimator("quality"),
        "a classifier": tiny_estimator("classifier"),
        "a query-only saliency model": estimators.BlackBoxSaliencyRegressor(lambda x: x.mean(1)),
        "a query-only quality model": estimators.BlackBoxQualityRegressor(lambda x: 100 * x.mean((1, 2, 3))),
    }


def photos(count: int, height: int, width: int, *, channels: int = 3, seed: int = 0) -> Array:
    """Photos (N, channels, H, W), float32 in whole grey levels / 255, all in [0.2, 0.8]: smooth colours and some grain.

    Nothing lies at the ends of the range, so that a finite difference is never clipped.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    result = np.empty((count, channels, height, width))
    for photo in result:
        middle = rng.uniform(0.2, 0.8, 2)
        spot = np.exp(-((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2) / 0.03)
        for plane in photo:
            turns, phase = rng.uniform(-2, 2, 2), rng.uniform(0, 2 * np.pi)
            plane[:] = 0.5 + 0.12 * np.cos(2 * np.pi * (turns[0] * rows + turns[1] * columns) + phase)
            plane += rng.uniform(-0.14, 0.14) * spot + rng.uniform(-0.03, 0.03, plane.shape)
    levels: Array = np.rint(np.clip(result, 0.2, 0.8) * 255).astype(np.float32) / np.float32(255)
    return levels


class Unusable(BaseEstimator):  # type: ignore[misc]
    """An ART estimator that is of no use to any attack: it has neither gradients nor a task."""

    estimator_params = BaseEstimator.estimator_params

    def fit(self, x: Any, y: Any, **kwargs: Any) -> None:
        """Nothing."""

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """Nothing."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Any photo."""
        return (3, -1, -1)
