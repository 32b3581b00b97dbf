"""Photos as files: safe reading, metadata that stays with the photo, and writing that never leaves half a file.

``opening``, ``decoding`` and ``reading`` turn a file into uint8 RGB pixels or one clear sentence; ``metadata`` collects
what goes with them, from the parts that ``exif``, ``packets``, ``jpeg_file`` and ``png_file`` know, and ``embedding``
puts it into a file again; ``writing`` encodes and replaces files atomically, ``encoding`` holds what was encoded, and
how, ``coefficients`` a JPEG's insides.
"""

from __future__ import annotations

from art_crop.images.coefficients import JpegCoefficients, decode_reduced
from art_crop.images.decoding import decode_rgb
from art_crop.images.encoding import EncodedImage, Encoding, Jpeg, Png
from art_crop.images.metadata import Metadata
from art_crop.images.opening import FORMATS, MAX_PIXELS, open_image
from art_crop.images.orientation import apply_orientation, exif_orientation
from art_crop.images.reading import Photo, is_jpeg, jpeg_settings_of, load_photo
from art_crop.images.writing import (
    dropped_metadata,
    encode_jpeg,
    encode_png,
    remove_abandoned,
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
    "Metadata",
    "Photo",
    "Png",
    "apply_orientation",
    "decode_reduced",
    "decode_rgb",
    "dropped_metadata",
    "encode_jpeg",
    "encode_png",
    "exif_orientation",
    "is_jpeg",
    "jpeg_settings_of",
    "load_photo",
    "open_image",
    "remove_abandoned",
    "save_photo",
    "write_atomic",
    "write_atomic_json",
    "write_atomic_text",
]
