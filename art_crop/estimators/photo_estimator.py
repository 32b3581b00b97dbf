"""What all our estimators share beyond ART's base class: parameters checked before they stay, and checked photos."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from art_crop.checks import check_clip_values, check_images, check_input_shape, reject_unknown
from art_crop.errors import InvalidInputError

__all__ = ["PhotoEstimator", "check_keywords"]

Array = np.ndarray[Any, Any]


class PhotoEstimator:
    """Mixin, to stand before ART's classes: atomic ``set_params`` and the check of photos."""

    estimator_params: ClassVar[list[str]]
    clip_values: Any
    channels_first: bool
    preprocessing_operations: list[Any]
    _input_shape: tuple[int, int, int]
    slack: float = 1e-5
    """How far beyond ``clip_values`` pixels may lie, as a share of the range; they are clipped."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one photo in this estimator's layout; -1 where any height or width is accepted."""
        return self._input_shape

    def _check_params(self) -> None:
        super()._check_params()  # type: ignore[misc]
        check_clip_values(self.clip_values)
        self._input_shape = check_input_shape(self._input_shape, channels_first=self.channels_first)

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none.

        Raises:
            InvalidInputError: An unknown name or a value that is not allowed.
        """
        reject_unknown(kwargs, self.estimator_params, "set_params")
        before, operations = dict(self.__dict__), list(self.preprocessing_operations)
        try:
            super().set_params(**kwargs)  # type: ignore[misc]
        except Exception as error:
            self.__dict__.clear()
            self.__dict__.update(before)
            self.preprocessing_operations[:] = operations  # ART changes this list in place
            if isinstance(error, InvalidInputError):
                raise
            raise InvalidInputError(f"set_params: {error}") from error

    def _photos(self, x: object, name: str = "x") -> Array:
        """Photos as float32 in this estimator's layout; a copy, so that nothing done to it reaches the caller."""
        shape = self.input_shape
        channels = shape[0 if self.channels_first else 2]
        photos = check_images(
            x,
            self.clip_values,
            channels_first=self.channels_first,
            channels=channels,
            name=name,
            slack=self.slack,
        )
        self._check_size(photos.shape[1:], shape, name)
        return photos

    def _check_size(self, given: tuple[int, ...], allowed: tuple[int, ...], name: str) -> None:
        if any(want not in (-1, have) for want, have in zip(allowed, given, strict=True)):
            raise InvalidInputError(f"{name}: photos of shape {allowed} are needed (input_shape), not {tuple(given)}")


def default_input_shape(channels_first: bool) -> tuple[int, int, int]:
    """Colour photos of any size."""
    return (3, -1, -1) if channels_first else (-1, -1, 3)


def check_keywords(kwargs: dict[str, Any], where: str) -> None:
    """Keywords that ART passes on: ``training_mode``, which must be false, for deployed models are judged as they are.

    Raises:
        InvalidInputError: An unknown keyword, or ``training_mode=True``.
    """
    reject_unknown(kwargs, ("training_mode",), where)
    if kwargs.get("training_mode"):
        raise InvalidInputError(f"{where}: training_mode must be False; models are judged in evaluation mode")
