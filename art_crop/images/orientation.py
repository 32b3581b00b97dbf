"""Which way up a photo is: the EXIF tag 274 (CIPA DC-008, "Exif 2.32", table 4).

1 is upright, 2 to 8 are the seven mirrored and turned ways in which a camera may have stored the picture.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from art_crop.errors import InvalidInputError

__all__ = ["apply_orientation", "exif_block", "exif_orientation"]

_ORIENTATION = int(ExifTags.Base.Orientation)


def exif_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation of an opened image, 1 to 8; 1 where there is none or it is not valid.

    Only EXIF counts. An orientation that stands in XMP alone is ignored, as browsers and the deployed cropper do. A
    TIFF's own tag counts until its pixels are decoded: Pillow turns a TIFF upright while decoding and drops the tag.
    HEIC photos are turned by their decoder and are always upright here.
    """
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of every damaged tag
            if image.format == "TIFF":
                value = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
            else:
                exif.load(exif_block(image))
                value = exif.get(_ORIENTATION, 1)
    except Exception:  # metadata comes from the file: Pillow raises many types on damaged values
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def apply_orientation(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn stored pixels upright.

    Args:
        array: Pixels of shape (H, W) or (H, W, C), any dtype, as stored.
        orientation: EXIF orientation, 1 to 8.

    Returns:
        A C-contiguous array; width and height are swapped for 5 to 8. For 1 it may be ``array`` itself.

    Raises:
        InvalidInputError: The orientation is not 1 to 8, or the array has neither 2 nor 3 axes.
    """
    if array.ndim not in (2, 3):
        raise InvalidInputError(f"array must have shape (H, W) or (H, W, C), not {array.shape}")
    if orientation not in range(1, 9):
        raise InvalidInputError(f"orientation must be one of the EXIF values 1 to 8, not {orientation!r}")
    upright = array.swapaxes(0, 1) if orientation >= 5 else array
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1]
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1]
    return np.ascontiguousarray(upright)


def exif_block(image: Image.Image) -> bytes:
    """EXIF bytes as the file holds them, ``b""`` if none; also from the text chunk that older programs put in PNG."""
    block = image.info.get("exif") or b""
    text = image.info.get("Raw profile type exif") or image.info.get("Raw profile type APP1")
    if not block and text:
        block = raw_profile(str(text))
    return bytes(block)


def raw_profile(text: str) -> bytes:
    """Bytes of a text that ImageMagick made of a profile: a newline, the name, the length, and hexadecimal lines."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""
