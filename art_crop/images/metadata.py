"""EXIF and ICC of a photo: which way is up, and which metadata may stay with changed pixels.

Orientation is the EXIF tag 274 (CIPA DC-008, "Exif 2.32", table 4): 1 is upright, 2 to 8 are the seven mirrored and
turned ways a camera may have stored the picture.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from art_crop.errors import InvalidInputError

ORIENTATION = int(ExifTags.Base.Orientation)
_EXIF_IFD = int(ExifTags.IFD.Exif)
_DIRECTORIES = (_EXIF_IFD, int(ExifTags.IFD.GPSInfo))
_WIDTH, _HEIGHT = int(ExifTags.Base.ExifImageWidth), int(ExifTags.Base.ExifImageHeight)

# A TIFF file's tags describe both the photo and how its bytes lie in that file; only the former go with the photo.
_TIFF_KEPT = frozenset(
    int(tag)
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Orientation,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Copyright,
        ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    )
)


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation of an opened image, 1 to 8; 1 where there is none or it is not valid.

    Only EXIF counts. An orientation that stands in XMP alone is ignored, as browsers and the deployed cropper do. A
    TIFF's own tag counts until its pixels are decoded: Pillow turns a TIFF upright while decoding and drops the tag.
    """
    value = _read_exif(image).get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def apply_orientation(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Upright copy of stored pixels.

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


def upright_exif(image: Image.Image, size: tuple[int, int]) -> bytes | None:
    r"""EXIF block of an image for its upright pixels: orientation 1, pixel size corrected, thumbnail dropped.

    Every other tag is kept. The embedded thumbnail goes because it would go on showing the picture before the change.

    Args:
        image: The image; some formats have their EXIF after the pixels, so decode it first.
        size: Upright width and height in pixels.

    Returns:
        The block, starting with ``Exif\0\0``; ``None`` where there is no EXIF or it is damaged beyond reading.
    """
    exif = _read_exif(image)
    if not exif:
        return None
    try:
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        details = exif.get_ifd(_EXIF_IFD)
        for tag, side in ((_WIDTH, size[0]), (_HEIGHT, size[1])):
            if tag in details:
                details[tag] = side
        return bytes(exif.tobytes())
    except Exception:  # metadata comes from the file: Pillow raises many types on damaged values
        return None


def rgb_profile(image: Image.Image) -> bytes | None:
    """ICC profile of an image if it is for RGB, else ``None``: the result has RGB pixels, whatever the file had."""
    profile = image.info.get("icc_profile")
    # Bytes 16 to 19 of the header name the colour space (ICC.1:2022, table 19).
    if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
        return profile
    return None


def _read_exif(image: Image.Image) -> Image.Exif:
    """EXIF of an image, without Pillow's fallback to XMP; empty when there is none or it cannot be parsed."""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of every damaged tag
            exif.load(_tiff_block(image) if image.format == "TIFF" else _exif_block(image))
    except Exception:  # see upright_exif
        return Image.Exif()
    return exif


def _exif_block(image: Image.Image) -> bytes:
    """EXIF bytes as the file holds them, ``b""`` if none; also from the text chunk that older programs put in PNG."""
    block = image.info.get("exif", b"")
    if not block and "Raw profile type exif" in image.info:
        # A newline, the name, the length and then hexadecimal lines.
        block = bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
    return bytes(block)


def _tiff_block(image: Image.Image) -> bytes:
    """EXIF bytes with those tags of a TIFF file that describe the photo."""
    tags, kept = image.getexif(), Image.Exif()
    for tag in _TIFF_KEPT.intersection(tags):
        kept[tag] = dict(tags.get_ifd(tag)) if tag in _DIRECTORIES else tags[tag]
    return bytes(kept.tobytes()) if kept else b""
