"""The one place where what a user passes in is checked: every message names the argument and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from art_crop.errors import InvalidInputError

__all__ = [
    "check_choice",
    "check_clip_values",
    "check_images",
    "check_input_shape",
    "check_int",
    "check_mask",
    "check_number",
    "check_range",
    "reject_unknown",
]

Array = np.ndarray[Any, Any]


def check_images(
    x: object,
    clip_values: tuple[float, float],
    *,
    channels_first: bool = True,
    channels: int = 3,
    name: str = "x",
    slack: float = 1e-5,
) -> Array:
    """A batch of images as float32, clipped to ``clip_values`` (never the caller's array written to).

    Args:
        x: The images.
        clip_values: Lowest and highest value of a pixel.
        channels_first: (N, C, H, W) or (N, H, W, C).
        channels: How many.
        name: What messages call the images.
        slack: How far beyond ``clip_values`` a value may lie, as a share of the range.

    Raises:
        InvalidInputError: Not a float array (N, 3, H, W) or (N, H, W, 3), empty, not finite, outside ``clip_values``.
    """
    layout = f"(N, {channels}, H, W)" if channels_first else f"(N, H, W, {channels})"
    if not isinstance(x, np.ndarray):
        raise InvalidInputError(f"{name}: a numpy array {layout} is needed, not {type(x).__name__}")
    if not np.issubdtype(x.dtype, np.floating):
        raise InvalidInputError(
            f"{name}: floating point values in [{clip_values[0]:g}, {clip_values[1]:g}] are needed, not {x.dtype}"
            + ("; divide uint8 images by 255" if x.dtype == np.uint8 else "")
        )
    if x.ndim != 4 or x.shape[1 if channels_first else 3] != channels:
        raise InvalidInputError(f"{name}: shape {layout} is needed, not {x.shape}")
    if x.size == 0:
        raise InvalidInputError(f"{name}: at least one image of at least 1x1 px is needed, not shape {x.shape}")
    lowest, highest = float(x.min()), float(x.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise InvalidInputError(f"{name}: values must be finite (NaN or infinity found)")
    beyond = slack * (clip_values[1] - clip_values[0])
    if lowest < clip_values[0] - beyond or highest > clip_values[1] + beyond:
        raise InvalidInputError(
            f"{name}: values lie in [{lowest:g}, {highest:g}], "
            f"allowed is [{clip_values[0]:g}, {clip_values[1]:g}] (clip_values)"
            + (f" and beyond it {slack:.0%} of the range (slack)" if slack >= 0.01 else "")
        )
    return np.clip(x, *clip_values).astype(np.float32, copy=False)


def check_clip_values(values: Any) -> tuple[float, float]:
    """Lowest and highest value of a pixel, as :func:`check_range`; not one for each channel."""
    return check_range(values, "clip_values")


def check_range(values: Any, name: str) -> tuple[float, float]:
    """Lowest and highest value of something.

    Raises:
        InvalidInputError: Not two finite numbers, the first below the second.
    """
    try:
        low, high = (float(value) for value in values)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInputError(f"{name}: two finite numbers (lowest, highest) are needed, not {values!r}")
    return low, high


def check_input_shape(shape: Any, *, channels_first: bool) -> tuple[int, int, int]:
    """Shape of one photo in the estimator's layout; -1 for a height or width that may be any.

    Raises:
        InvalidInputError: Not three whole numbers, or a channel count below 1 where the layout has its channels.
    """
    layout = "(channels, height, width)" if channels_first else "(height, width, channels)"
    numbers = tuple(-1 if np.all(n == -1) else n for n in shape) if isinstance(shape, (tuple, list)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and (n >= 1 or n == -1) for n in numbers)
    if len(numbers) != 3 or not whole or numbers[0 if channels_first else 2] < 1:
        raise InvalidInputError(f"input_shape: {layout} is needed, -1 for any height or width, not {shape!r}")
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def check_number(
    value: object,
    name: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """A finite number in the given range.

    Raises:
        InvalidInputError: Not a number, not finite, or outside the range.
    """
    limits = [f"> {above:g}" if above is not None else "", f">= {at_least:g}" if at_least is not None else ""]
    limits.append(f"<= {at_most:g}" if at_most is not None else "")
    allowed = "a finite number " + " and ".join(limit for limit in limits if limit)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidInputError(f"{name}: {allowed.strip()} is needed, not {value!r}")
    number = float(value)
    bad = not math.isfinite(number)
    bad = bad or (above is not None and number <= above) or (at_least is not None and number < at_least)
    if bad or (at_most is not None and number > at_most):
        raise InvalidInputError(f"{name}: {allowed.strip()} is needed, not {value!r}")
    return number


def check_int(value: object, name: str, *, at_least: int, at_most: int | None = None) -> int:
    """A whole number in the given range.

    Raises:
        InvalidInputError: Not a whole number, or outside the range.
    """
    top = "" if at_most is None else f" and <= {at_most}"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise InvalidInputError(f"{name}: a whole number >= {at_least}{top} is needed, not {value!r}")
    if at_most is not None and value > at_most:
        raise InvalidInputError(f"{name}: a whole number >= {at_least}{top} is needed, not {value!r}")
    return int(value)


def check_choice(value: object, name: str, choices: Collection[object]) -> None:
    """Raises InvalidInputError unless ``value`` is one of ``choices``."""
    if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
        listed = ", ".join(str(c) for c in choices)
        raise InvalidInputError(f"{name}: one of {listed} is needed, not {value!r}")


def check_mask(mask: object, shape: tuple[int, ...], name: str = "mask") -> Array:
    """A mask in [0, 1] as float32, broadcast to the images' ``shape``.

    Raises:
        InvalidInputError: Not finite, outside [0, 1], or of a shape that does not broadcast.
    """
    try:
        array = np.asarray(mask, dtype=np.float32)
        full = np.broadcast_to(array, shape)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}: an array that broadcasts to {shape} is needed ({error})") from error
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise InvalidInputError(f"{name}: values in [0, 1] are needed")
    return full


def reject_unknown(kwargs: Mapping[str, object], allowed: Collection[str], where: str) -> None:
    """Raises InvalidInputError when ``kwargs`` has names that ``where`` does not know."""
    unknown = sorted(set(kwargs) - set(allowed))
    if unknown:
        options = ", ".join(sorted(allowed)) or "none"
        raise InvalidInputError(f"{where}: unknown keyword {', '.join(unknown)}; allowed: {options}")
