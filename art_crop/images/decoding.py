"""From an opened image to pixels: uint8 RGB whatever the file's colour mode is, and the transparency beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from art_crop.errors import ImageFileError
from art_crop.images.opening import ALLOWED, quiet, reason

__all__ = ["decode_alpha", "decode_rgb", "is_grey"]

_STRIP_PIXELS = 4_000_000
_PHOTOMETRIC, _BITS = 262, 258


def decode_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Decode an opened image to uint8 RGB of shape (H, W, 3), by the rules of the deployed cropper.

    Palette, grey and bilevel are expanded; alpha is dropped without compositing; of 16 bits the high byte is taken;
    CMYK goes through Pillow's ``convert("RGB")``; ICC profiles are ignored. EXIF orientation is **not** applied (see
    :func:`~art_crop.images.apply_orientation`), except to TIFF and HEIC files, whose decoders turn them upright.

    Raises:
        ImageFileError: The pixels are truncated or damaged, their colour mode has no RGB meaning here (floating point,
            Lab, integers beyond 16 bits), or they do not fit into memory.
    """
    name = getattr(image, "filename", "") or "the image"
    try:
        with quiet():
            image.load()
            width, height = image.size
            pixels = np.empty((height, width, 3), dtype=np.uint8)
            tags = getattr(image, "tag_v2", {})
            shift = 4 if tags.get(_BITS) in (12, (12,)) else 8
            # Pillow turns white-is-zero around in 8 bits and fewer only.
            inverted = image.mode.startswith("I") and tags.get(_PHOTOMETRIC) == 0
            # In strips, so that a large photo needs no second full copy in between.
            rows = max(1, _STRIP_PIXELS // width)
            for top in range(0, height, rows):
                bottom = min(top + rows, height)
                strip = _strip_rgb(image.crop((0, top, width, bottom)), shift)
                pixels[top:bottom] = 255 - strip if inverted else strip
    except _UnsupportedModeError as error:
        raise ImageFileError(f"{name} {error}") from None
    except MemoryError as error:
        raise ImageFileError(f"{name} does not fit into memory: {image.size[0]}×{image.size[1]} pixels") from error
    except Exception as error:  # decoders meet hostile bytes: OSError, SyntaxError, struct.error, zlib.error and more
        raise ImageFileError(f"{name} is truncated or damaged ({reason(error)}); {ALLOWED}") from error
    return pixels


class _UnsupportedModeError(Exception):
    """A colour mode without RGB meaning here."""


def _strip_rgb(strip: Image.Image, shift: int) -> NDArray[Any]:
    """One strip as RGB or as grey of shape (h, w, 1), which broadcasts."""
    mode = strip.mode
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(strip)
        if mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
            raise _UnsupportedModeError("has grey values beyond 16 bits; allowed: 8 or 16 bits per channel")
        return (values >> shift).astype(np.uint8)[:, :, None]
    if mode == "F" or mode == "LAB":
        what = "floating-point grey" if mode == "F" else "Lab"
        raise _UnsupportedModeError(
            f"has {what} pixels; allowed: grey, palette, RGB or CMYK of 8 or 16 bits per channel"
        )
    # Otherwise Pillow may warn of, or map colours for, a transparency that is dropped anyway.
    strip.info.pop("transparency", None)
    return np.asarray(strip if mode == "RGB" else strip.convert("RGB"))


def decode_alpha(image: Image.Image, bits: int) -> NDArray[np.uint8] | None:
    """Decode the transparency of an image whose pixels were decoded: uint8 (H, W), 0 is invisible; ``None`` without.

    Args:
        image: The image, as stored.
        bits: Bits per channel in the file; a PNG's transparent colour is given in them.
    """
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return np.asarray(image.getchannel("A" if image.mode[-1] == "A" else "a"))
    key = image.info.get("transparency")
    if key is None:
        return None
    pixels = np.asarray(image)
    if image.mode == "P":
        table: NDArray[np.uint8] = np.full(256, 255, np.uint8)
        if isinstance(key, bytes):
            table[: len(key)] = np.frombuffer(key[:256], np.uint8)
        elif 0 <= key < 256:
            table[key] = 0
        opacity: NDArray[np.uint8] = table[pixels]
        return opacity
    if image.mode == "RGB" and isinstance(key, tuple):
        levels = np.array(key) >> (8 if bits == 16 else 0)
        return np.where((pixels == levels).all(2), 0, 255).astype(np.uint8)
    if isinstance(key, int):
        level = bool(key) if image.mode == "1" else key * 255 // (2**bits - 1) if bits < 8 else key
        return np.where(pixels == level, 0, 255).astype(np.uint8)
    return None


def is_grey(image: Image.Image) -> bool:
    """Whether all colours that the image can have are grey."""
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", "I") or image.mode.startswith("I;16")
