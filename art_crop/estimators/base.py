"""What every estimator answers, white box or query-only, and the checks that all of them make.

There is one way to ask whether something succeeded: ``evaluate(x, objective)`` for photos, and ``evaluate_file(path,
objective)`` for a file by the model's exact pipeline, both behind the model's defences.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import (
    check_choice,
    check_clip_values,
    check_images,
    check_input_shape,
    check_range,
    reject_unknown,
)
from art_crop.errors import InvalidInputError
from art_crop.functional.jpeg import RGB_TO_YCC
from art_crop.images import load_photo

__all__ = [
    "Evaluation",
    "PhotoEstimator",
    "check_keywords",
    "check_objective",
    "check_photos",
    "check_scale",
    "check_shape_and_range",
    "default_input_shape",
    "photo_batch",
    "set_params_or_none",
]

Array = np.ndarray[Any, Any]


class Evaluation(NamedTuple):
    """Per sample: loss (N,), success (N,) decided in float32, and the loss's gradient, shaped like x (None without)."""

    loss: Tensor
    success: Tensor
    gradient: Tensor | None = None


class PhotoEstimator(Protocol):
    """What attacks, verification and suites ask of any estimator."""

    task: str
    """``"saliency"``, ``"quality"`` or ``"classification"``: whose objectives it can be asked about."""
    name: str | None
    weights_sha256: str | None
    clip_values: Any
    channels_first: bool

    def evaluate(self, x: Tensor | Array, objective: Any) -> Evaluation:
        """Give loss and success for tensor photos (N, 3, H, W), or numpy photos in the estimator's layout."""

    def evaluate_file(self, path: str | Path, objective: Any) -> Evaluation:
        """Give loss and success, (1,) each, for a file."""

    def output(self, x: Array) -> Any:
        """Predict what objectives are called with, for numpy photos."""

    def output_of_file(self, path: str | Path) -> Any:
        """Predict what objectives are called with, for a file."""

    def to_tensor(self, x: Array, name: str = "x") -> Tensor:
        """Check numpy photos and turn them into a tensor (N, 3, H, W)."""

    def to_array(self, x: Tensor) -> Array:
        """Turn tensor photos into numpy ones in the estimator's layout."""

    def chunks(self, count: int, at_most: int | None = None) -> list[slice]:
        """Divide photos into those that are worked on at once."""


def check_objective(objective: Any, count: int, task: str) -> None:
    """Refuse an objective for another task or other photos, or a photo would get another one's.

    Raises:
        InvalidInputError: It is such.
    """
    wanted = getattr(objective, "task", "")
    if wanted not in ("", task):
        raise InvalidInputError(f"objective: one for {task} models is needed here, not {wanted}")
    if isinstance(objective, Sized) and len(objective) != count:
        raise InvalidInputError(f"objective: it speaks of {len(objective)} photos, x holds {count}")


def default_input_shape(channels_first: bool) -> tuple[int, int, int]:
    """Give the shape of colour photos of any size."""
    return (3, -1, -1) if channels_first else (-1, -1, 3)


def check_keywords(kwargs: dict[str, Any], where: str) -> None:
    """Check keywords that ART passes on: ``training_mode``, which must be false, for models are used as deployed.

    Raises:
        InvalidInputError: An unknown keyword, or ``training_mode=True``.
    """
    reject_unknown(kwargs, ("training_mode",), where)
    if kwargs.get("training_mode"):
        raise InvalidInputError(f"{where}: training_mode must be False; models are used in evaluation mode")


def check_shape_and_range(estimator: Any) -> None:
    """Check ``clip_values`` and ``input_shape`` of an estimator.

    Raises:
        InvalidInputError: One of them is malformed.
    """
    check_clip_values(estimator.clip_values)
    estimator._input_shape = check_input_shape(estimator._input_shape, channels_first=estimator.channels_first)


def check_scale(estimator: Any) -> None:
    """Check ``score_range`` and ``higher_is_better`` of an estimator of scores.

    Raises:
        InvalidInputError: One of them is malformed.
    """
    estimator.score_range = check_range(estimator.score_range, "score_range")
    check_choice(estimator.higher_is_better, "higher_is_better", (True, False))


def set_params_or_none(estimator: Any, set_params: Any, kwargs: dict[str, Any]) -> None:
    """Change an estimator's parameters by ART's ``set_params``, all or, where one of them is refused, none.

    Raises:
        InvalidInputError: An unknown name or a value that is not allowed.
    """
    reject_unknown(kwargs, estimator.estimator_params, "set_params")
    before, operations = dict(estimator.__dict__), list(estimator.preprocessing_operations)
    try:
        set_params(**kwargs)
    except Exception as error:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        estimator.preprocessing_operations[:] = operations  # ART changes this list in place
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"set_params: {error}") from error


def check_photos(estimator: Any, x: object, name: str = "x") -> Array:
    """Check numpy photos: float32 in the estimator's layout; a copy, so that nothing done to it reaches the caller.

    Raises:
        InvalidInputError: Wrong layout, type, range or size, empty, or not finite.
    """
    shape: Sequence[int] = estimator.input_shape
    photos = check_images(
        x,
        estimator.clip_values,
        channels_first=estimator.channels_first,
        channels=shape[0 if estimator.channels_first else 2],
        name=name,
        slack=estimator.slack,
    )
    if any(want not in (-1, have) for want, have in zip(shape, photos.shape[1:], strict=True)):
        raise InvalidInputError(
            f"{name}: photos of shape {shape} are needed (input_shape), not {tuple(photos.shape[1:])}"
        )
    return photos


def photo_batch(path: str | Path, estimator: Any) -> Tensor:
    """Read a photo as an estimator takes it: upright, a float32 tensor (1, 3, H, W) in its ``clip_values``.

    One that takes photos of a single channel gets their luma (ITU-R BT.601, as JPEG has it), (1, 1, H, W).

    Raises:
        ImageFileError: Not a readable photo.
        InvalidInputError: The estimator takes photos of another number of channels.
    """
    low, high = (float(value) for value in estimator.clip_values)
    channels = estimator.input_shape[0 if estimator.channels_first else 2]
    if channels not in (1, 3):
        raise InvalidInputError(f"input_shape: a photo's file has 1 or 3 channels, not {channels}")
    pixels = torch.from_numpy(np.ascontiguousarray(load_photo(path).pixels)).permute(2, 0, 1)[None].float()
    if channels == 1:
        pixels = torch.einsum("c,nchw->nhw", pixels.new_tensor(RGB_TO_YCC[0]), pixels)[:, None]
    return low + pixels * ((high - low) / 255) if (low, high) != (0, 1) else pixels / 255
