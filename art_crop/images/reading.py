"""Reading a photo from a file that may be anything: pixels, or one ``ImageFileError`` that says what is allowed."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images.metadata import apply_orientation, exif_orientation, rgb_profile, upright_exif

MAX_PIXELS = 150_000_000
"""Largest photo read by default, in pixels. Decoding takes about 7 bytes of memory per pixel, 10 where turned."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are read, by Pillow's names; no other decoder is ever tried."""

_ALLOWED = "allowed: a JPEG, PNG, WebP, BMP, TIFF or GIF photo with one frame"
_STRIP_PIXELS = 4_000_000


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as it is meant to be seen.

    Attributes:
        pixels: uint8 RGB of shape (H, W, 3), upright.
        exif: EXIF block for these pixels (orientation 1, no thumbnail), or ``None``.
        icc: ICC profile for RGB pixels, or ``None``. The pixels are not converted by it.
        format: Pillow's name of the file's format, one of :data:`FORMATS`.
        path: Where it was read.
        had_alpha: The file has transparency, which is dropped without compositing.
        orientation: EXIF orientation of the file, 1 to 8; the pixels are upright already.
    """

    pixels: NDArray[np.uint8]
    exif: bytes | None
    icc: bytes | None
    format: str
    path: Path
    had_alpha: bool
    orientation: int


def load_photo(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo: uint8 RGB upright pixels, and the metadata that may be written with them.

    Colour modes become RGB by :func:`decode_rgb`.

    Args:
        path: A regular file in one of :data:`FORMATS`.
        max_pixels: Most pixels (width times height) that are accepted.

    Raises:
        ImageFileError: The file is missing, unreadable, not such a photo, truncated, animated or too large.
        InvalidInputError: ``path`` is not a path, or ``max_pixels`` is not a positive integer.
    """
    with open_image(path, max_pixels=max_pixels) as image:
        stored = exif_orientation(image)
        pixels = decode_rgb(image)
        # Asked again: some formats carry their EXIF after the pixels, and Pillow turns a TIFF upright by itself.
        remaining = exif_orientation(image)
        pixels = apply_orientation(pixels, remaining)
        height, width = pixels.shape[:2]
        return Photo(
            pixels=pixels,
            exif=upright_exif(image, (width, height)),
            icc=rgb_profile(image),
            format=str(image.format),
            path=Path(path),
            had_alpha=_has_alpha(image),
            orientation=remaining if remaining != 1 else stored,
        )


@contextmanager
def open_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image file safely; its header is read and checked, its pixels are not decoded yet.

    So a caller may still choose a decoding scale with ``image.draft``. Decode with :func:`decode_rgb`.

    Args:
        path: A regular file in one of :data:`FORMATS`.
        max_pixels: Most pixels (width times height) that are accepted, inclusive. Pillow's own limit of twice
            ``PIL.Image.MAX_IMAGE_PIXELS`` (178,956,970 unless changed) holds besides.

    Yields:
        The opened Pillow image (of a multi-picture JPEG its first), closed on leaving.

    Raises:
        ImageFileError: The file is missing, unreadable, not such an image, damaged, animated or too large.
        InvalidInputError: ``path`` is not a path, or ``max_pixels`` is not a positive integer.
    """
    _check_arguments(path, max_pixels)
    file = Path(path)
    _check_file(file)
    image = _identify(file, max_pixels)
    with image:
        _check_header(image, file, max_pixels)
        yield image


def decode_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels of an opened image as uint8 RGB of shape (H, W, 3), by the rules of the deployed cropper.

    Palette, grey and bilevel are expanded; alpha is dropped without compositing; of 16 bits the high byte is taken;
    CMYK goes through Pillow's ``convert("RGB")``; ICC profiles are ignored. EXIF orientation is **not** applied (see
    :func:`apply_orientation`), except to TIFF files, which Pillow turns upright while decoding.

    Raises:
        ImageFileError: The pixels are truncated or damaged, their colour mode has no RGB meaning here (floating point,
            Lab, integers beyond 16 bits), or they do not fit into memory.
    """
    name = getattr(image, "filename", "") or "the image"
    try:
        with _quiet():
            image.load()
            width, height = image.size
            pixels = np.empty((height, width, 3), dtype=np.uint8)
            # In strips, so that a large photo needs no second full copy in between.
            rows = max(1, _STRIP_PIXELS // width)
            for top in range(0, height, rows):
                bottom = min(top + rows, height)
                pixels[top:bottom] = _strip_rgb(image.crop((0, top, width, bottom)))
    except _UnsupportedModeError as error:
        raise ImageFileError(f"{name} {error}") from None
    except MemoryError as error:
        raise ImageFileError(f"{name} does not fit into memory: {image.size[0]}×{image.size[1]} pixels") from error
    except Exception as error:  # decoders meet hostile bytes: OSError, SyntaxError, struct.error, zlib.error and more
        raise ImageFileError(f"{name} is truncated or damaged ({_reason(error)}); {_ALLOWED}") from error
    return pixels


class _UnsupportedModeError(Exception):
    """A colour mode without RGB meaning here."""


def _strip_rgb(strip: Image.Image) -> NDArray[Any]:
    """One strip as RGB or as grey of shape (h, w, 1), which broadcasts."""
    mode = strip.mode
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(strip)
        if mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
            raise _UnsupportedModeError("has grey values beyond 16 bits; allowed: 8 or 16 bits per channel")
        return (values >> 8).astype(np.uint8)[:, :, None]
    if mode == "F" or mode == "LAB":
        what = "floating-point grey" if mode == "F" else "Lab"
        raise _UnsupportedModeError(
            f"has {what} pixels; allowed: grey, palette, RGB or CMYK of 8 or 16 bits per channel"
        )
    # Otherwise Pillow may warn of, or map colours for, a transparency that is dropped anyway.
    strip.info.pop("transparency", None)
    return np.asarray(strip if mode == "RGB" else strip.convert("RGB"))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _check_arguments(path: object, max_pixels: object) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInputError(f"path must be a str or os.PathLike, not {type(path).__name__}")
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise InvalidInputError(f"max_pixels must be a positive integer, not {max_pixels!r}")


def _check_file(file: Path) -> None:
    try:
        status = file.stat()
    except FileNotFoundError:
        raise ImageFileError(f"{file} does not exist; {_ALLOWED}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageFileError(f"{str(file)!r} cannot be read ({_reason(error)}); {_ALLOWED}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageFileError(f"{file} is a folder; {_ALLOWED}")
    if not stat.S_ISREG(status.st_mode):  # a pipe or a device might block for ever
        raise ImageFileError(f"{file} is not a regular file; {_ALLOWED}")
    if status.st_size == 0:
        raise ImageFileError(f"{file} is empty (0 bytes); {_ALLOWED}")


def _identify(file: Path, max_pixels: int) -> Image.Image:
    try:
        with _quiet():
            return Image.open(file, formats=[name for name in FORMATS if name != "MPO"])  # JPEG's opener finds MPO
    except UnidentifiedImageError as error:
        raise ImageFileError(
            f"{file} is not an image that is read here, or its header is damaged; {_ALLOWED}"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{file} has too many pixels; allowed: at most {max_pixels:,}") from error
    except PermissionError as error:
        raise ImageFileError(f"{file} cannot be read (no permission); {_ALLOWED}") from error
    except Exception as error:  # see decode_rgb
        raise ImageFileError(f"{file} is damaged ({_reason(error)}); {_ALLOWED}") from error


def _check_header(image: Image.Image, file: Path, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageFileError(f"{file} has no pixels ({width}×{height}); {_ALLOWED}")
    if width * height > max_pixels:
        raise ImageFileError(
            f"{file} has {width}×{height} = {width * height:,} pixels; allowed: at most {max_pixels:,}"
        )
    try:
        with _quiet():
            # A multi-picture JPEG is a camera's photo with a second view or a preview, not an animation.
            animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception as error:  # see decode_rgb; GIF looks for its next frame here
        raise ImageFileError(f"{file} is damaged ({_reason(error)}); {_ALLOWED}") from error
    if animated:
        raise ImageFileError(f"{file} has more than one frame (an animation or several pages); {_ALLOWED}")


def _reason(error: Exception) -> str:
    """The first line of an error, without a full stop; its type where it says nothing."""
    text = (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0].rstrip(".")
    return text or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings (decompression bomb, damaged tags) to ourselves: we check and report in our own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
