"""The models that ship with the package or are fetched for it, as estimators."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from art_crop.errors import WeightsError
from art_crop.estimators.quality import PyTorchQualityRegressor
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.models.cropper import Cropper
from art_crop.models.fastgaze import load_fastgaze
from art_crop.models.gaze_lite import EMBEDDED, Head, load_gaze_lite
from art_crop.models.quality_lite import EMBEDDED as EMBEDDED_QUALITY
from art_crop.models.quality_lite import load_quality_lite
from art_crop.models.sensitivity import NAME as SENSITIVITY
from art_crop.models.sensitivity import load_fcn_vgg16
from art_crop.models.weights import FASTGAZE, file_sha256, locate

__all__ = ["fastgaze", "fcn_vgg16_sensitivity", "gaze_lite", "gaze_lite_human", "quality_lite"]


def _cropper(network: nn.Module, jpeg_quality: int | None) -> Cropper:
    """The network as a cropper, its weights in the layout that is fastest; nobody else has them yet."""
    return Cropper(network, jpeg_quality=jpeg_quality).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def fastgaze(
    *, weights: str | Path | None = None, blur: bool = False, jpeg_quality: int | None = None, **kwargs: Any
) -> PyTorchSaliencyRegressor:
    """The deployed social-media cropper, exactly.

    Args:
        weights: ``fastgaze.vxm``; default: the environment variable ART_CROP_FASTGAZE, then what
            ``art-crop models fetch fastgaze`` fetched.
        blur: Apply the file's Gaussian blur layer, which the deployed program does not (paper 001 assumes it).
        jpeg_quality: See photos as the cropper would after they were saved as a JPEG of this quality (1 to 100).
        **kwargs: As for :class:`~art_crop.estimators.saliency.PyTorchSaliencyRegressor`.

    Raises:
        WeightsError: No weights found, or malformed ones.
    """
    found = locate(FASTGAZE, weights)
    estimator = PyTorchSaliencyRegressor(_cropper(load_fastgaze(found.path, blur=blur), jpeg_quality), **kwargs)
    estimator.name, estimator.weights_sha256 = "fastgaze", found.sha256
    return estimator


def _gaze_lite(
    head: Head, weights: str | Path | None, jpeg_quality: int | None, kwargs: dict[str, Any]
) -> PyTorchSaliencyRegressor:
    path = EMBEDDED if weights is None else Path(weights)
    estimator = PyTorchSaliencyRegressor(_cropper(load_gaze_lite(path, head), jpeg_quality), **kwargs)
    estimator.name = "gaze-lite" if head == "cropper" else "gaze-lite-human"
    estimator.weights_sha256 = file_sha256(path)
    return estimator


def gaze_lite(
    *, weights: str | Path | None = None, jpeg_quality: int | None = None, **kwargs: Any
) -> PyTorchSaliencyRegressor:
    """The embedded surrogate that follows FastGaze; ``weights`` names a file that ``art-crop distil`` made.

    ``jpeg_quality`` and other keywords as for :func:`fastgaze`.
    """
    return _gaze_lite("cropper", weights, jpeg_quality, kwargs)


def gaze_lite_human(
    *, weights: str | Path | None = None, jpeg_quality: int | None = None, **kwargs: Any
) -> PyTorchSaliencyRegressor:
    """The embedded model that follows people's eyes; arguments as for :func:`gaze_lite`."""
    return _gaze_lite("human", weights, jpeg_quality, kwargs)


def quality_lite(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchQualityRegressor:
    """The embedded image-quality model, 0 to 100, higher is better; ``weights`` names a file that was trained anew.

    Other keywords as for :class:`~art_crop.estimators.quality.PyTorchQualityRegressor`.
    """
    path = EMBEDDED_QUALITY if weights is None else Path(weights)
    network = load_quality_lite(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchQualityRegressor(network, score_range=(0.0, 100.0), **kwargs)
    estimator.name, estimator.weights_sha256 = "quality-lite", file_sha256(path)
    return estimator


def fcn_vgg16_sensitivity(*, weights: str | Path | None = None, **kwargs: Any) -> PyTorchSaliencyRegressor:
    """The sensitivity network of paper 004: where people see a change of a photo, maps (N, H, W) in [0, 1].

    Args:
        weights: A file that ``art-crop train-sensitivity`` made; default: the one that the environment variable
            ART_CROP_SENSITIVITY names. None come with the package.
        **kwargs: As for :class:`~art_crop.estimators.saliency.PyTorchSaliencyRegressor`.

    Raises:
        WeightsError: No weights named, or malformed ones.
        MissingDependencyError: torchvision is missing or does not fit torch.
    """
    named = weights if weights is not None else os.environ.get("ART_CROP_SENSITIVITY")
    if not named:
        raise WeightsError(
            f"weights: {SENSITIVITY} comes without any: make them with `art-crop train-sensitivity`, and give "
            "weights=path or set ART_CROP_SENSITIVITY"
        )
    path = Path(named).expanduser()
    network = load_fcn_vgg16(path).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchSaliencyRegressor(network, **kwargs)
    estimator.name, estimator.weights_sha256 = SENSITIVITY, file_sha256(path)
    return estimator
