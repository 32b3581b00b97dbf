"""Where training comes from: photos of folders and of OSIE, and teachers of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.training.images import TrainingPhoto

if TYPE_CHECKING:
    from art_crop.estimators.saliency import PyTorchSaliencyRegressor

__all__ = ["callable_teacher", "estimator_teacher", "import_callable", "training_photos"]

LONG_SIDE = 560
"""Photos are kept at this size: crops of a half still fill the network's 320 px."""

Teacher = Callable[[Tensor], Tensor]


def training_photos(
    folders: Sequence[str | Path],
    fixations: str | Path | None = None,
    *,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> list[TrainingPhoto]:
    """Photos of OSIE's training part with their fixations, then those of the folders, kept small in memory.

    The held-out fifth of OSIE is never among them, unless a folder contains it.

    Args:
        folders: Folders of photos.
        fixations: OSIE's folder, or None.
        progress: Wraps the items, given (items, how many), for a progress bar.

    Raises:
        InvalidInputError: A folder is missing or holds no photos.
        ImageFileError: A photo cannot be read.
    """
    from art_crop.datasets.folder import Folder
    from art_crop.datasets.osie import OSIE

    items: list[Any] = [] if fixations is None else list(OSIE(fixations).train)
    for folder in folders:
        items += list(Folder(folder))
    photos = []
    for item in items if progress is None else progress(items, len(items)):
        image = Image.fromarray(item.load())
        width, height = image.size
        image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        looked = (item.fixations + 0.5) / (width, height) if hasattr(item, "fixations") else None
        photos.append(TrainingPhoto(image, looked))
    return photos


def estimator_teacher(estimator: PyTorchSaliencyRegressor, *, at_once: int = 4) -> Teacher:
    """Labels from a white-box estimator, in bfloat16: its rounding is far below what a student can learn.

    Raises:
        InvalidInputError: Not a PyTorchSaliencyRegressor (others teach through :func:`callable_teacher`).
    """
    from art_crop.estimators.placement import frozen
    from art_crop.estimators.saliency import PyTorchSaliencyRegressor

    if not isinstance(estimator, PyTorchSaliencyRegressor):
        raise InvalidInputError(f"teacher: a saliency model is needed, not {type(estimator).__name__}")
    low, high = (float(value) for value in estimator.clip_values)

    def teach(levels: Tensor) -> Tensor:
        device = estimator.device
        outputs = []
        with frozen(estimator.model), torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
            for part in torch.split(levels, at_once):
                outputs.append(estimator.forward_output(low + part.to(device).float() * ((high - low) / 255)))
        maps = torch.cat([output.saliency for output in outputs])
        return maps if outputs[0].log_density else _logarithm(maps)

    return teach


def callable_teacher(function: Callable[[Any], Any], gives: Literal["log-density", "density"] = "density") -> Teacher:
    """Labels from any function of float32 photos (N, 3, h, w) in [0, 1] -> maps (N, h', w').

    Raises:
        InvalidInputError: When used: answers of another shape, negative densities, or values that are not finite.
    """

    def teach(levels: Tensor) -> Tensor:
        given = function(levels.cpu().numpy().astype(np.float32) / 255)
        try:
            answer = np.asarray(given, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"teacher: an array of maps is needed ({error})") from error
        if answer.ndim != 3 or len(answer) != len(levels) or not answer.size:
            raise InvalidInputError(f"teacher: maps of shape ({len(levels)}, h, w) are needed, not {answer.shape}")
        if not np.isfinite(answer).all():
            raise InvalidInputError("teacher: finite maps are needed (NaN or infinity found)")
        if gives == "density" and answer.min() < 0:
            raise InvalidInputError("teacher: densities are >= 0; say that it gives log-density")
        maps = torch.from_numpy(answer.copy()).to(levels.device)  # the function may go on using its own
        return maps if gives == "log-density" else _logarithm(maps)

    return teach


def _logarithm(density: Tensor) -> Tensor:
    """Log density with a floor at a ten-thousandth of each map's peak, so that empty cells do not rule the loss."""
    peak = density.flatten(1).amax(1).clamp_min(1e-30)[:, None, None]
    return (density / peak).clamp_min(1e-4).log()


def import_callable(target: str) -> Callable[[Any], Any]:
    """Import the function that ``module:name`` names; see :func:`~art_crop.estimators.external.import_function`."""
    from art_crop.estimators.external import import_function

    return import_function(target, "teacher")
