"""The quantised DCT coefficients of a JPEG file (ITU-T T.81): read, changed by whole steps, and written without loss.

Huffman coding is left to libjpeg, through ``jpeglib``; nothing is decoded to pixels and encoded again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images.decoding import decode_rgb
from art_crop.images.jpeg_file import SCAN, jpeg_segments
from art_crop.images.opening import open_image

__all__ = ["LARGEST_COEFFICIENT", "JpegCoefficients", "decode_reduced"]

LARGEST_COEFFICIENT = 1023
"""Largest value that 8-bit baseline coding has room for (T.81, tables F.1 and F.2); the smallest is -1023, of the
frequency (0, 0) -1024."""

_FRAME = 0xC0
# Vertical and horizontal sampling factors of Y, Cb and Cr.
_FACTORS = {
    "4:4:4": [[1, 1], [1, 1], [1, 1]],
    "4:2:2": [[1, 2], [1, 1], [1, 1]],
    "4:2:0": [[2, 2], [1, 1], [1, 1]],
}


@dataclass(frozen=True, eq=False)
class JpegCoefficients:
    """What a colour JPEG holds: whole multiples of quantisation steps, 8x8 for each block.

    Attributes:
        components: Y, Cb and Cr, int16 (rows of blocks, columns of blocks, 8, 8); the frequency (0, 0) comes first.
        tables: Quantisation steps of Y, and of Cb and Cr, uint16 (8, 8).
        subsampling: "4:4:4", "4:2:2" or "4:2:0".
        size: Width and height in pixels.
    """

    components: tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]
    tables: tuple[NDArray[np.uint16], NDArray[np.uint16]]
    subsampling: str
    size: tuple[int, int]

    @classmethod
    def from_bytes(cls, data: bytes) -> JpegCoefficients:
        """Read the coefficients of a JPEG file; its metadata is left out.

        Raises:
            ImageFileError: Not a whole JPEG with Y, Cb and Cr in one of the three subsamplings.
        """
        import jpeglib

        with temporary_file(data, ".jpg") as file:
            try:
                decode_reduced(data, 8)  # libjpeg's own reader would fill what is missing with grey
            except ImageFileError as error:
                raise ImageFileError(f"data: {str(error).removeprefix(str(file)).strip()}") from error
            found = jpeglib.read_dct(str(file))
            factors = np.asarray(found.samp_factor).tolist()
            subsampling = next((name for name, known in _FACTORS.items() if known == factors), None)
            if found.jpeg_color_space != jpeglib.JCS_YCbCr or subsampling is None:
                raise ImageFileError(f"data: a JPEG with Y, Cb and Cr in {', '.join(_FACTORS)} is needed")
            found.load()
        luma, chroma, other = (np.array(found.qt[number]) for number in found.quant_tbl_no)
        if not np.array_equal(chroma, other):
            raise ImageFileError("data: a JPEG whose Cb and Cr have the same quantisation steps is needed")
        return cls((found.Y, found.Cb, found.Cr), (luma, chroma), subsampling, (found.width, found.height))

    def to_bytes(self) -> bytes:
        """Write a JPEG file with these coefficients and no metadata; the same coefficients give the same bytes."""
        import jpeglib

        jpeg = jpeglib.from_dct(*self.components, qt=np.stack(self.tables), quant_tbl_no=np.array([0, 1, 1]))
        jpeg.width, jpeg.height = self.size
        jpeg.samp_factor = _FACTORS[self.subsampling]
        with temporary_file(b"", ".jpg") as file:
            jpeg.write_dct(str(file))
            data = bytearray(file.read_bytes())
        # jpeglib numbers the components from 0, and JFIF from 1.
        for marker, start in jpeg_segments(data):
            if marker == SCAN:
                data[start + 5 : start + 11 : 2] = b"\1\2\3"
            elif marker == _FRAME:
                data[start + 10 : start + 19 : 3] = b"\1\2\3"
        return bytes(data)

    def with_components(self, components: Sequence[Any]) -> JpegCoefficients:
        """The same file with other coefficients.

        Args:
            components: Y, Cb and Cr of the shapes that they have here, whole numbers (arrays, or tensors on the CPU).

        Raises:
            InvalidInputError: Another number or shape of components, no integers, or one beyond ±1023.
        """
        arrays = [np.asarray(component) for component in components]
        wanted = [component.shape for component in self.components]
        if [array.shape for array in arrays] != wanted:
            raise InvalidInputError(f"components must have shapes {wanted}, not {[array.shape for array in arrays]}")
        for array in arrays:
            if array.dtype.kind not in "iu":
                raise InvalidInputError(f"components must be integers, not {array.dtype}")
            least = array.min((0, 1))
            least[0, 0] += 1
            if array.max() > LARGEST_COEFFICIENT or least.min() < -LARGEST_COEFFICIENT:
                raise InvalidInputError(f"components must lie within ±{LARGEST_COEFFICIENT}, or be a mean of -1024")
        y, cb, cr = (array.astype(np.int16, copy=False) for array in arrays)
        return replace(self, components=(y, cb, cr))


def decode_reduced(data: bytes, scale: int) -> NDArray[np.uint8]:
    """Decode a JPEG file at 1/``scale`` of its size, as ``Image.draft`` makes libjpeg do it.

    Args:
        data: The file.
        scale: 1, 2, 4 or 8.

    Returns:
        uint8 RGB (ceil(H/scale), ceil(W/scale), 3), as stored: EXIF orientation is not applied.

    Raises:
        ImageFileError: Not a whole JPEG.
    """
    with temporary_file(data, ".jpg") as file, open_image(file) as image:
        if image.format not in ("JPEG", "MPO"):
            raise ImageFileError(f"{file} is a {image.format}; a JPEG is needed")
        # A side below `scale` pixels needs the fraction: Pillow divides by it.
        image.draft(None, (image.width / scale, image.height / scale))  # type: ignore[arg-type]
        return decode_rgb(image)


@contextmanager
def temporary_file(data: bytes, suffix: str) -> Iterator[Path]:
    """A file that holds ``data`` for as long as the block runs, in a folder that only this user can read."""
    with tempfile.TemporaryDirectory(prefix="art-crop-") as folder:
        file = Path(folder) / f"photo{suffix}"
        file.write_bytes(data)
        yield file
