"""torchvision's classification networks as ART classifiers of photos of any size."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from art_crop.checks import check_int
from art_crop.errors import InvalidInputError, WeightsError
from art_crop.estimators import PyTorchPhotoClassifier
from art_crop.models.torchvision_import import import_torchvision
from art_crop_torchvision.photos import PhotoClassifier
from art_crop_torchvision.weights import load_weights, published

__all__ = ["resnet50_places365", "torchvision_classifier"]

PLACES365 = "http://places2.csail.mit.edu/models_places365/resnet50_places365.pth.tar"

# As torchvision itself builds these two when it loads its own weights: they were ported from TensorFlow's.
PORTED = {"googlenet": {"transform_input": True}, "inception_v3": {"transform_input": True}}


def torchvision_classifier(
    *,
    architecture: str = "resnet50",
    weights: str | Path | None = "DEFAULT",
    nb_classes: int = 1000,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> PyTorchPhotoClassifier:
    """A classifier of torchvision, with the transform that belongs to it inside.

    Args:
        architecture: Name as in ``torchvision.models.list_models(module=torchvision.models)``, such as ``"resnet50"``.
        weights: ``"DEFAULT"``: torchvision's best published weights, downloaded on first use. A path: weights of yours.
            None: random ones.
        nb_classes: Number of classes; of your weights where it is not ImageNet's 1000.
        labels: A name for each class; default: ImageNet's for published weights.
        seed: For ``weights=None``; global random state is not touched.
        **kwargs: As for :class:`~art_crop.estimators.PyTorchPhotoClassifier`: ``device``, ``input_shape``, …

    Raises:
        InvalidInputError: No such architecture, or an option out of range.
        WeightsError: Weights that do not fit; the message says how.
        DownloadError: Published weights that cannot be fetched; the message says where to put the file.
        MissingDependencyError: torchvision is missing or does not fit torch.
    """
    check_int(nb_classes, "nb_classes", at_least=2)
    default = _published(architecture)
    use_published = isinstance(weights, str) and weights == "DEFAULT"
    if use_published and nb_classes != 1000:
        raise InvalidInputError(f"nb_classes: the published weights are for 1000 classes, not {nb_classes}")
    network = _network(architecture, nb_classes, seed, **(PORTED.get(architecture, {}) if use_published else {}))
    digest = None
    if use_published:
        digest = load_weights(network, published(default.url), nb_classes)
        labels = default.meta["categories"] if labels is None else labels
    elif weights is not None:
        digest = load_weights(network, weights, nb_classes)
    preset = default.transforms()
    model = PhotoClassifier(
        network,
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mode=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchPhotoClassifier(model, nb_classes=nb_classes, labels=labels, **kwargs)
    estimator.name, estimator.weights_sha256 = architecture, digest
    return estimator


def resnet50_places365(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchPhotoClassifier:
    """ResNet-50 trained on Places365 (Zhou et al., "Places: A 10 Million Image Database for Scene Recognition", 2018).

    Photos are resized to 256x256 px whatever their shape, and the middle 224x224 are seen, as in the authors' code.

    Args:
        weights: Path of ``resnet50_places365.pth.tar``.
        **kwargs: As for :class:`~art_crop.estimators.PyTorchPhotoClassifier`: ``labels``, ``device``, …

    Raises:
        WeightsError: No path, or a file that is not of this network; the message says where it is published.
    """
    if weights is None:
        raise WeightsError(
            f"weights: the path of resnet50_places365.pth.tar is needed; download it from {PLACES365} (it is not "
            "fetched for you, because it is published without HTTPS and without a hash to check it by)"
        )
    network = _network("resnet50", 365, 0)
    digest = load_weights(network, weights, 365)
    model = PhotoClassifier(network, resize=(256, 256))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchPhotoClassifier(model, nb_classes=365, **kwargs)
    estimator.name, estimator.weights_sha256 = "resnet50-places365", digest
    return estimator


def _published(architecture: str) -> Any:
    """The entry of the best published weights; unknown names are refused with the nearest ones."""
    models = import_torchvision().models
    names = models.list_models(module=models)
    if architecture not in names:
        near = difflib.get_close_matches(str(architecture), names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
        raise InvalidInputError(f"architecture: torchvision has no classifier {architecture!r}; {hint}")
    return models.get_model_weights(architecture).DEFAULT


def _network(architecture: str, nb_classes: int, seed: int, **kwargs: Any) -> nn.Module:
    check_int(seed, "seed", at_least=0)
    models = import_torchvision().models
    if architecture in PORTED:
        kwargs["init_weights"] = True
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network: nn.Module = models.get_model(architecture, weights=None, num_classes=nb_classes, **kwargs)
    return network.eval()
