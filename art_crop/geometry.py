"""Where things are in a photo: regions, map cells, crop windows. One place for every rule of position.

The crop rules are those of the open-sourced cropper (image-crop-analysis, Yee et al. 2021), in its float32 arithmetic.
Pixels are counted from 0; x runs right, y down; a ratio is height / width.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import numpy as np

from art_crop.errors import InvalidInputError

__all__ = [
    "DEFAULT_RATIOS",
    "Region",
    "Window",
    "cell_centres",
    "crop_window",
    "salient_pixel",
    "window_contains",
]

DEFAULT_RATIOS = (0.56, 1.0, 1.14, 2.0)
"""Aspect ratios (height / width) that the deployed cropper's program uses by default, next to the photo's own."""

_ENDS = {"": (0.35, 0.65), "top": (0.0, 0.3), "bottom": (0.7, 1.0), "left": (0.0, 0.3), "right": (0.7, 1.0)}
PARTS = {
    "-".join(filter(None, (row, column))) or "centre": (
        _ENDS[column][0],
        _ENDS[row][0],
        _ENDS[column][1],
        _ENDS[row][1],
    )
    for row in ("top", "", "bottom")
    for column in ("left", "", "right")
}
PARTS["center"] = PARTS["centre"]
"""Parts of a photo by name, as x0, y0, x1, y1: top-left, top, ..., each of 30% of the width and of the height."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Region:
    """A box in fractions of a photo's width and height: 0 <= x0 < x1 <= 1, 0 <= y0 < y1 <= 1.

    Raises:
        InvalidInputError: Not four finite numbers in that order and range.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        values = astuple(self)
        if not all(isinstance(v, (int, float, np.floating, np.integer)) and math.isfinite(v) for v in values):
            raise InvalidInputError(f"region: four finite numbers x0,y0,x1,y1 are needed, not {values}")
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise InvalidInputError(
                f"region: {self} does not lie inside the photo; needed is 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 "
                "(fractions of width and height)"
            )

    def __str__(self) -> str:
        return ",".join(f"{v:g}" for v in astuple(self))

    @classmethod
    def parse(cls, text: str, width: int, height: int) -> Region:
        """Read a region of a photo of that size: ``x0,y0,x1,y1``, or the name of a part of the photo.

        Each number is a fraction (0.1), a percentage (10%) or pixels (64px). The names are those of :data:`PARTS`:
        ``bottom`` is the lowest 30% of the height and the middle 30% of the width, ``top-left`` a corner of that size.

        Example:
            >>> str(Region.parse("10%, 0.5, 320px, 100%", 640, 480)), str(Region.parse("top-left", 640, 480))
            ('0.1,0.5,0.5,1', '0,0,0.3,0.3')

        Raises:
            InvalidInputError: Not four numbers, or a box that is empty, inverted or outside the photo; an unknown name.
        """
        name = re.sub(r"[\s_]+", "-", text.strip().lower())
        if name in PARTS:
            return cls(*PARTS[name])
        if re.fullmatch(r"[a-z-]+", name):
            near = difflib.get_close_matches(name, PARTS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InvalidInputError(f"region: there is no part {text.strip()!r}; {hint}known are {', '.join(PARTS)}")
        parts = [part.strip() for part in text.split(",")]
        numbers = [re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(px|%)?", part) for part in parts]
        if len(parts) != 4 or not all(numbers):
            raise InvalidInputError(
                f"region: {text!r} is not x0,y0,x1,y1; "
                "write fractions (0.1,0.8,0.6,1), percentages (10%,80%,60%,100%), pixels (64px,480px,400px,600px) or a "
                f"part of the photo ({', '.join(PARTS)})"
            )
        sizes = (width, height, width, height)
        values = [
            float(m[1]) / {"px": size, "%": 100}.get(m[2], 1) for m, size in zip(numbers, sizes, strict=True) if m
        ]
        if not (0 <= values[0] < values[2] <= 1 and 0 <= values[1] < values[3] <= 1):
            raise InvalidInputError(
                f"region: {text!r} is empty, inverted or outside the photo of {width}x{height} px; "
                "needed is 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 as fractions, or pixels inside it"
            )
        return cls(*values)

    def pixels(self, width: int, height: int) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 in pixels of a photo of that size (not rounded)."""
        return self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height


class Window(NamedTuple):
    """A crop in whole pixels."""

    left: int
    top: int
    width: int
    height: int


def _lround(value: np.float32) -> int:
    """C's lround for positive values: halves away from zero."""
    return math.floor(float(value) + 0.5)


def crop_window(width: int, height: int, point: tuple[int, int], ratio: float, *, symmetric: bool = False) -> Window:
    """The cropper's window for one aspect ratio.

    Args:
        width: Photo width, px.
        height: Photo height, px.
        point: Salient point (x, y), px.
        ratio: Height / width of the crop, positive.
        symmetric: The photo is mirror-symmetric to the cropper: the crop is centred on the middle column.

    Returns:
        The largest window of that ratio, as near to the point as the photo's edges allow, at least 1 px a side.
    """
    x, y = (int(np.float32(0.5) * np.float32(width)) if symmetric else point[0]), point[1]
    ratio32 = np.float32(ratio)
    if np.float32(height) / np.float32(width) > ratio32:
        size = min(height, max(1, _lround(np.float32(width) * ratio32)))
        return Window(0, min(max(y - size // 2, 0), height - size), width, size)
    size = min(width, max(1, _lround(np.float32(height) / ratio32)))
    return Window(min(max(x - size // 2, 0), width - size), 0, size, height)


def window_contains(window: Window, region: Region, width: int, height: int) -> bool:
    """Whether every pixel that the region touches lies inside the window (photo of that size)."""
    x0, y0, x1, y1 = region.pixels(width, height)
    # A region given in pixels may come back as 99.99999999: a millionth of a pixel is no pixel.
    slack = 1e-6
    return (
        window.left <= x0 + slack
        and window.top <= y0 + slack
        and x1 <= window.left + window.width + slack
        and y1 <= window.top + window.height + slack
    )


def cell_centres(count: int, side: int, stride: int = 16) -> Array:
    """Where the cells of one axis stand, in pixels of the network's input: min(stride i + stride / 2, side - 1)."""
    centres = stride * np.arange(count, dtype=np.float32) + np.float32(stride // 2)
    inside: Array = np.minimum(centres, np.float32(side - 1))
    return inside


def cells_to_pixels(
    shape: tuple[int, int], resized: tuple[int, int], size: tuple[int, int], stride: int = 16
) -> tuple[Array, Array]:
    """Photo pixels (float32) of a map's columns and rows: map (h, w), network input (w, h), photo (width, height)."""
    scale = min(np.float32(size[0]) / np.float32(resized[0]), np.float32(size[1]) / np.float32(resized[1]))
    return (
        cell_centres(shape[1], resized[0], stride) * scale,
        cell_centres(shape[0], resized[1], stride) * scale,
    )


def salient_pixel(
    saliency: Array, resized: tuple[int, int], size: tuple[int, int], stride: int = 16
) -> tuple[int, int]:
    """The salient point (x, y) in photo pixels: the first strict maximum of the map (h, w), row by row, truncated."""
    row, column = np.unravel_index(int(np.argmax(saliency)), saliency.shape)
    xs, ys = cells_to_pixels((saliency.shape[0], saliency.shape[1]), resized, size, stride)
    return int(xs[column]), int(ys[row])


def check_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    """Ratios as floats.

    Raises:
        InvalidInputError: None given, or one that is not finite and positive.
    """
    try:
        values = tuple(float(r) for r in ratios)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"ratios: a list of numbers > 0 is needed, not {ratios!r}") from error
    if not values or not all(math.isfinite(r) and r > 0 for r in values):
        raise InvalidInputError(
            f"ratios: one or more positive finite numbers (height / width) are needed, not {values}"
        )
    return values
