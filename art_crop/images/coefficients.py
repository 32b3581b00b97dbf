"""The quantised DCT coefficients of a JPEG file (ITU-T T.81): read, changed by whole steps, and written without loss.

Huffman coding is left to libjpeg, through ``jpeglib``; nothing is decoded to pixels and encoded again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images.decoding import decode_rgb
from art_crop.images.jpeg_file import END, SCAN, jpeg_segments, parse_jpeg
from art_crop.images.opening import open_image

__all__ = ["LARGEST_COEFFICIENT", "JpegCoefficients", "decode_reduced"]

LARGEST_COEFFICIENT = 1023
"""Largest value that 8-bit baseline coding has room for (T.81, tables F.1 and F.2); the smallest is -1023, of the
frequency (0, 0) -1024."""

_FRAMES = (0xC0, 0xC1)
_HUFFMAN = (0xC0, 0xC1, 0xC2)
# Vertical and horizontal sampling factors of Y, Cb and Cr.
_FACTORS = {
    "4:0:0": [[1, 1]],
    "4:4:4": [[1, 1], [1, 1], [1, 1]],
    "4:2:2": [[1, 2], [1, 1], [1, 1]],
    "4:2:0": [[2, 2], [1, 1], [1, 1]],
}


@dataclass(frozen=True, eq=False)
class JpegCoefficients:
    """What a JPEG holds: whole multiples of quantisation steps, 8x8 for each block.

    Attributes:
        components: Y, Cb and Cr, or Y alone, int16 (rows of blocks, columns of blocks, 8, 8); the frequency (0, 0)
            comes first.
        tables: Quantisation steps uint16 (8, 8) of Y, and of Cb and Cr; one for all, or three where all differ.
        subsampling: "4:4:4", "4:2:2" or "4:2:0"; "4:0:0" where there is Y alone.
        size: Width and height in pixels.
    """

    components: tuple[NDArray[np.int16], ...]
    tables: tuple[NDArray[np.uint16], ...]
    subsampling: str
    size: tuple[int, int]

    @classmethod
    def from_bytes(cls, data: bytes) -> JpegCoefficients:
        """Read the coefficients of a JPEG file; its metadata is left out.

        Raises:
            ImageFileError: Not a whole JPEG, Huffman-coded, with Y, Cb and Cr in one of the three subsamplings or with
                Y alone.
        """
        import jpeglib

        parsed = parse_jpeg(data)
        with temporary_file(data, ".jpg") as file:
            try:
                decode_reduced(data, 8)  # libjpeg's own reader would fill what is missing with grey
            except ImageFileError as error:
                raise ImageFileError(f"data: {str(error).removeprefix(str(file)).strip()}") from error
            if parsed.kind not in _HUFFMAN:
                raise ImageFileError("data: a JPEG that is Huffman-coded is needed")
            if parsed.end is None:  # of which libjpeg would print a warning
                file.write_bytes(data + END)
            found = jpeglib.read_dct(str(file))
            space = found.jpeg_color_space.name  # jpeglib takes all spaces for equal
            grey = space == "JCS_GRAYSCALE"
            factors = [[1, 1]] if grey else np.asarray(found.samp_factor).tolist()  # alone, they mean nothing
            subsampling = next((name for name, known in _FACTORS.items() if known == factors), None)
            if space not in ("JCS_GRAYSCALE", "JCS_YCbCr") or subsampling is None:
                raise ImageFileError(f"data: a JPEG with Y, Cb and Cr in {', '.join(_FACTORS)} is needed")
            found.load()
        numbers = list(found.quant_tbl_no)[: 1 if grey else 3]
        while len(numbers) > 1 and numbers[-1] == numbers[-2]:
            numbers.pop()
        tables = tuple(np.array(found.qt[number]) for number in numbers)
        components = (found.Y,) if grey else (found.Y, found.Cb, found.Cr)
        return cls(components, tables, subsampling, (found.width, found.height))

    def to_bytes(self) -> bytes:
        """Write a JPEG file with these coefficients and no metadata; the same coefficients give the same bytes."""
        import jpeglib

        numbers = np.minimum(np.arange(len(self.components)), len(self.tables) - 1)
        jpeg = jpeglib.from_dct(*self.components, qt=np.stack(self.tables), quant_tbl_no=cast(Any, numbers))
        jpeg.width, jpeg.height = self.size
        jpeg.samp_factor = _FACTORS[self.subsampling]
        with temporary_file(b"", ".jpg") as file:
            jpeg.write_dct(str(file))
            data = bytearray(file.read_bytes())
        # jpeglib numbers the components from 0, and JFIF from 1.
        count = len(self.components)
        for marker, start in jpeg_segments(data):
            if marker == SCAN:
                data[start + 5 : start + 5 + 2 * count : 2] = b"\1\2\3"[:count]
            elif marker in _FRAMES:
                data[start + 10 : start + 10 + 3 * count : 3] = b"\1\2\3"[:count]
        return bytes(data)

    def upright(self, orientation: int) -> JpegCoefficients | None:
        """Turn the coefficients of stored pixels upright without loss; decoders round what they make of them anew.

        Args:
            orientation: EXIF orientation, 1 to 8.

        Returns:
            None where that cannot be done: half-filled blocks would come to lie first, or the subsampling is 4:2:2 and
            width and height change places.
        """
        across, down = 8 * _FACTORS[self.subsampling][0][1], 8 * _FACTORS[self.subsampling][0][0]
        turned, (width, height) = orientation >= 5, self.size
        if turned and self.subsampling == "4:2:2":
            return None
        # As apply_orientation does it: first the axes change places, and then they are turned around.
        flips = (orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7))
        for flip, side, block in zip(
            flips, (width, height) if turned else (height, width), (down, across), strict=True
        ):
            if flip and side % block:
                return None
        components = []
        for component in self.components:
            found = component.transpose(1, 0, 3, 2) if turned else component
            for axis, flip in enumerate(flips):
                if flip:
                    signs = np.array([1, -1] * 4, np.int16)  # odd frequencies are odd functions
                    found = np.flip(found, axis) * (signs[:, None] if axis == 0 else signs)
            components.append(np.ascontiguousarray(found))
        tables = tuple(np.ascontiguousarray(table.T) for table in self.tables) if turned else self.tables
        size = (height, width) if turned else self.size
        return replace(self, components=tuple(components), tables=tables, size=size)

    def with_components(self, components: Sequence[Any]) -> JpegCoefficients:
        """The same file with other coefficients.

        Args:
            components: Those of the shapes that they have here, whole numbers (arrays, or tensors on the CPU).

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
        return replace(self, components=tuple(array.astype(np.int16, copy=False) for array in arrays))


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
