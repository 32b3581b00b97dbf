"""TensorFlow Lite models as ART estimators: attention-center, NIMA technical, and files of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_crop.checks import check_int
from art_crop.errors import InvalidInputError
from art_crop.estimators.placement import frozen
from art_crop.estimators.quality import PyTorchQualityRegressor
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.functional.precision import exact_float32
from art_crop.models.weights import WeightFile, file_sha256, locate
from art_crop_tflite.models import Fit, QualityModel, SaliencyModel, in_photo
from art_crop_tflite.network import load_tflite
from art_crop_tflite.resizing import Resampling
from art_crop_tflite.weights import ATTENTION_CENTER, NIMA_AESTHETIC, NIMA_TECHNICAL

__all__ = ["attention_center", "centers", "nima_aesthetic", "nima_technical", "tflite_quality", "tflite_saliency"]

Array = np.ndarray[Any, Any]
MAP, CENTER = 1586, 1597
"""Numbers of attention-center's tensors: the map (480 x 640), and its centroid, which the file gives out."""
BINS = tuple(float(value) for value in range(1, 11))


def attention_center(
    *, weights: str | os.PathLike[str] | None = None, pool: int = 1, fit: Fit = "pad", **kwargs: Any
) -> PyTorchSaliencyRegressor:
    """Google's attention-center, a saliency network that is trained on where people look (COCO, SALICON).

    Photos of any size; they are resized to 640x480 with Pillow's bicubic filter. The map (N, 480, 640) has values of 0
    to 1 (a density, no logarithm) and covers the photo; :func:`centers` gives what the file itself gives out.

    Args:
        weights: ``center.tflite``; default: the environment variable ART_CROP_ATTENTION_CENTER, then what
            ``art-crop models fetch attention-center`` fetched.
        pool: Mean over squares of this many cells: 16 gives maps of 30x40. Default: the map as it is.
        fit: ``"pad"``: photos that are not 4:3 get black bars, as in Google's program, and the map is cut to the photo;
            ``"stretch"``: they are stretched.
        **kwargs: As for :class:`~art_crop.estimators.saliency.PyTorchSaliencyRegressor`.

    Raises:
        WeightsError: No weights found, or malformed ones.
        InvalidInputError: An argument that is not allowed.
    """
    _reject(kwargs, "log_density")
    found = locate(ATTENTION_CENTER, weights)
    model = SaliencyModel(
        load_tflite(found.path, (MAP, CENTER)), pool=pool, fit=fit, clip_values=kwargs.get("clip_values", (0.0, 1.0))
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchSaliencyRegressor(model, **kwargs)
    estimator.name, estimator.weights_sha256 = ATTENTION_CENTER.name, found.sha256
    return estimator


def centers(estimator: PyTorchSaliencyRegressor, x: Array) -> Array:
    """attention-center's own output for photos: the map's centroid (x, y), float32 (N, 2), in pixels of the photo.

    Args:
        estimator: From :func:`attention_center`.
        x: Photos, in the estimator's layout and range.

    Raises:
        InvalidInputError: Another estimator; photos as for ``predict``.
    """
    model = getattr(estimator, "model", None)
    if not isinstance(model, SaliencyModel) or len(model.network.outputs) < 2:
        raise InvalidInputError("estimator: one that attention_center() made is needed")
    tensor = estimator.to_tensor(x)
    size = (tensor.shape[-1], tensor.shape[-2])
    with frozen(model), exact_float32(estimator.device), torch.no_grad():
        points = [in_photo(model.center(tensor[c]), model.frame(tensor), size) for c in estimator.chunks(len(tensor))]
    result: Array = torch.cat(points).cpu().numpy()
    return result


def nima_technical(
    *, weights: str | os.PathLike[str] | None = None, resampling: Resampling = "nearest", **kwargs: Any
) -> PyTorchQualityRegressor:
    """NIMA technical (idealo's MobileNet, trained on TID2013): how good a photo is technically, 1 to 10.

    Args:
        weights: ``technical_model.tflite``; default: the environment variable ART_CROP_NIMA_TECHNICAL, then what
            ``art-crop models fetch nima-technical`` fetched.
        resampling: How photos become 224x224: ``"nearest"``, as in idealo's program (Keras' default when it loads a
            photo), ``"bilinear"`` or ``"bicubic"``.
        **kwargs: As for :class:`~art_crop.estimators.quality.PyTorchQualityRegressor`.

    Raises:
        WeightsError: No weights found, or malformed ones.
        InvalidInputError: An argument that is not allowed.
    """
    return _nima(NIMA_TECHNICAL, weights, resampling, kwargs)


def nima_aesthetic(
    *, weights: str | os.PathLike[str] | None = None, resampling: Resampling = "nearest", **kwargs: Any
) -> PyTorchQualityRegressor:
    """NIMA aesthetic (idealo's MobileNet, trained on AVA): how much a photo pleases, 1 to 10.

    Args:
        weights: ``aesthetic_model.tflite``; default: the environment variable ART_CROP_NIMA_AESTHETIC, then what
            ``art-crop models fetch nima-aesthetic`` fetched.
        resampling: As for :func:`nima_technical`.
        **kwargs: As for :class:`~art_crop.estimators.quality.PyTorchQualityRegressor`.

    Raises:
        WeightsError: No weights found, or malformed ones.
        InvalidInputError: An argument that is not allowed.
    """
    return _nima(NIMA_AESTHETIC, weights, resampling, kwargs)


def _nima(file: WeightFile, weights: Any, resampling: Resampling, kwargs: dict[str, Any]) -> PyTorchQualityRegressor:
    _reject(kwargs, "score_range", "bin_values", "higher_is_better")
    found = locate(file, weights)
    model = QualityModel(
        load_tflite(found.path),
        value_range=(-1.0, 1.0),
        resampling=resampling,
        clip_values=kwargs.get("clip_values", (0.0, 1.0)),
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchQualityRegressor(model, score_range=(1.0, 10.0), bin_values=BINS, **kwargs)
    estimator.name, estimator.weights_sha256 = file.name, found.sha256
    return estimator


def tflite_saliency(
    *,
    weights: str | os.PathLike[str],
    tensor: int | None = None,
    value_range: tuple[float, float] = (0.0, 255.0),
    resampling: Resampling = "bicubic",
    fit: Fit = "stretch",
    pool: int = 1,
    **kwargs: Any,
) -> PyTorchSaliencyRegressor:
    """A saliency network of one's own from a ``.tflite`` file.

    Args:
        weights: The file. Its input is an image (1, h, w, 3) in float32.
        tensor: Number of the tensor that is the map, (1, h, w), (1, h, w, 1) or (1, 1, h, w); default: the output.
        value_range: What the network wants in place of the levels 0 and 255, such as (-1, 1).
        resampling: How photos get the input's size, as Pillow does it: ``"nearest"``, ``"bilinear"``, ``"bicubic"``.
        fit: ``"pad"`` (black bars) or ``"stretch"``, for photos of other proportions.
        pool: Mean over squares of this many of the map's cells.
        **kwargs: As for :class:`~art_crop.estimators.saliency.PyTorchSaliencyRegressor`.

    Raises:
        WeightsError: No such file, a malformed one, or operators that are not supported.
        InvalidInputError: An argument that is not allowed.
    """
    path, outputs = _file(weights), _outputs(tensor)
    model = SaliencyModel(
        load_tflite(path, outputs),
        pool=pool,
        value_range=value_range,
        resampling=resampling,
        fit=fit,
        clip_values=kwargs.get("clip_values", (0.0, 1.0)),
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchSaliencyRegressor(model, **kwargs)
    estimator.name, estimator.weights_sha256 = "tflite-saliency", file_sha256(path)
    return estimator


def tflite_quality(
    *,
    weights: str | os.PathLike[str],
    tensor: int | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    resampling: Resampling = "bicubic",
    fit: Fit = "stretch",
    **kwargs: Any,
) -> PyTorchQualityRegressor:
    """A quality network of one's own from a ``.tflite`` file: a score, or a distribution over opinion bins.

    Args:
        weights: The file. Its input is an image (1, h, w, 3) in float32.
        tensor: Number of the tensor that is the score; default: the output.
        value_range: What the network wants in place of the levels 0 and 255.
        resampling: As for :func:`tflite_saliency`.
        fit: As for :func:`tflite_saliency`.
        **kwargs: As for :class:`~art_crop.estimators.quality.PyTorchQualityRegressor`; ``bin_values`` for a
            distribution.

    Raises:
        WeightsError: No such file, a malformed one, or operators that are not supported.
        InvalidInputError: An argument that is not allowed.
    """
    path, outputs = _file(weights), _outputs(tensor)
    model = QualityModel(
        load_tflite(path, outputs),
        value_range=value_range,
        resampling=resampling,
        fit=fit,
        clip_values=kwargs.get("clip_values", (0.0, 1.0)),
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchQualityRegressor(model, **kwargs)
    estimator.name, estimator.weights_sha256 = "tflite-quality", file_sha256(path)
    return estimator


def _file(weights: object) -> Path:
    if not isinstance(weights, (str, os.PathLike)):
        raise InvalidInputError(f"weights: the path of a .tflite file is needed, not {weights!r}")
    return Path(weights).expanduser()


def _outputs(tensor: int | None) -> Sequence[int] | None:
    return None if tensor is None else (check_int(tensor, "tensor", at_least=0),)


def _reject(kwargs: dict[str, Any], *names: str) -> None:
    """The model's own facts are no options."""
    given = [name for name in names if name in kwargs]
    if given:
        raise InvalidInputError(f"{', '.join(given)}: given by the model; leave it out")
