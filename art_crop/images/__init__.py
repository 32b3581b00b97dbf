"""Photos as files: safe reading, metadata that stays with the photo, and writing that never leaves half a file.

``reading`` turns a file into uint8 RGB pixels or one clear sentence, ``metadata`` handles EXIF and ICC, ``writing``
encodes and replaces files atomically, ``encoding`` holds what was encoded, and how, ``coefficients`` a JPEG's insides.
"""

from __future__ import annotations

from art_crop.images.coefficients import JpegCoefficients, decode_reduced
from art_crop.images.encoding import EncodedImage, Encoding, Jpeg, Png
from art_crop.images.metadata import apply_orientation, exif_orientation
from art_crop.images.reading import FORMATS, MAX_PIXELS, Photo, decode_rgb, load_photo, open_image
from art_crop.images.writing import (
    encode_jpeg,
    encode_png,
    save_photo,
    write_atomic,
    write_atomic_json,
    write_atomic_text,
)

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "EncodedImage",
    "Encoding",
    "Jpeg",
    "JpegCoefficients",
    "Photo",
    "Png",
    "apply_orientation",
    "decode_reduced",
    "decode_rgb",
    "encode_jpeg",
    "encode_png",
    "exif_orientation",
    "load_photo",
    "open_image",
    "save_photo",
    "write_atomic",
    "write_atomic_json",
    "write_atomic_text",
]
