"""An attack's product as something that can be written: pixels for a PNG or a JPEG, or a JPEG's own coefficients."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from art_crop.checks import check_choice, check_int
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images.coefficients import JpegCoefficients, temporary_file
from art_crop.images.jpeg_file import TABLE, jpeg_segments
from art_crop.images.reading import Photo, load_photo
from art_crop.images.writing import (
    SUBSAMPLINGS,
    check_pixels,
    check_tables,
    encode_jpeg,
    encode_png,
    with_jpeg_metadata,
    write_atomic,
)

__all__ = ["EncodedImage", "Encoding", "Jpeg", "Png"]


@dataclass(frozen=True)
class Png:
    """Lossless: what is read back are the pixels themselves."""

    suffix: ClassVar[str] = ".png"
    lossy: ClassVar[bool] = False

    def as_json(self) -> dict[str, Any]:
        """How it is encoded, for records."""
        return {"format": "PNG"}

    def encode(self, pixels: NDArray[np.uint8], photo: Photo | None = None) -> EncodedImage:
        """Encode uint8 RGB pixels (H, W, 3) with the metadata of ``photo``, and its own pixels where it hides them.

        Raises:
            InvalidInputError: As :func:`~art_crop.images.encode_png`.
        """
        check_pixels(pixels)
        if photo is not None:
            pixels = photo.keep_invisible(pixels)
        return EncodedImage(partial(encode_png, pixels, photo), self, pixels)


@dataclass(frozen=True)
class Jpeg:
    """A JPEG as Pillow encodes it.

    Attributes:
        quality: libjpeg's quality, 1 to 100; with ``tables`` an estimate that nothing follows from.
        subsampling: "4:4:4", "4:2:2" or, as Pillow's default, "4:2:0"; "4:0:0" for a grey JPEG.
        tables: Quantisation steps instead of the quality's, as :func:`~art_crop.images.encode_jpeg` takes them.

    Raises:
        InvalidInputError: One of them is none of these.
    """

    quality: int
    subsampling: str = "4:2:0"
    tables: tuple[tuple[int, ...], ...] | None = None

    suffix: ClassVar[str] = ".jpg"
    lossy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_int(self.quality, "quality", at_least=1, at_most=100)
        check_choice(self.subsampling, "subsampling", SUBSAMPLINGS)
        if self.tables is not None:
            check_tables(self.tables)

    @classmethod
    def like(cls, photo: Photo) -> Jpeg:
        """Encode as a JPEG was: with its own quantisation tables and chroma subsampling, grey where it is grey.

        A CMYK becomes Y, Cb and Cr with the tables of the nearest quality of libjpeg, and a subsampling that is not
        written here 4:2:0.

        Raises:
            InvalidInputError: The photo is no JPEG.
        """
        if photo.jpeg_sampling is None:
            raise InvalidInputError(f"photo: a JPEG is needed, and {photo.path} is a {photo.format}")
        quality = 75 if photo.jpeg_settings is None else photo.jpeg_settings[0]  # there are files with steps of 0
        sampling = photo.jpeg_sampling if photo.jpeg_sampling in SUBSAMPLINGS else "4:2:0"
        tables = photo.jpeg_tables if photo.colour_mode in ("L", "RGB") else ()
        return cls(quality, sampling, tables or None)

    def as_json(self) -> dict[str, Any]:
        """How it is encoded, for records."""
        tables = "standard" if self.tables is None else "original"
        return {"format": "JPEG", "quality": self.quality, "subsampling": self.subsampling, "tables": tables}

    def encode(self, pixels: NDArray[np.uint8], photo: Photo | None = None) -> EncodedImage:
        """Encode uint8 RGB pixels (H, W, 3) with the metadata of ``photo``.

        Raises:
            InvalidInputError: As :func:`~art_crop.images.encode_jpeg`.
        """
        data = encode_jpeg(pixels, self.quality, photo, subsampling=self.subsampling, tables=self.tables)
        return EncodedImage(lambda: data, self, pixels)


Encoding = Png | Jpeg


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A photo as the bytes of a file.

    Attributes:
        encode: Gives the bytes of the file, when they are first asked for.
        encoding: How it was made.
        pixels: The uint8 RGB pixels (H, W, 3) that were encoded; None where the coefficients were made directly.
    """

    encode: Callable[[], bytes]
    encoding: Encoding
    pixels: NDArray[np.uint8] | None

    @classmethod
    def from_coefficients(
        cls, coefficients: JpegCoefficients, photo: Photo | None = None, *, encoding: Jpeg
    ) -> EncodedImage:
        """Write a JPEG's coefficients as they are, with the metadata that ``encoding.encode`` would give the photo.

        Coefficients as Pillow's encoder made them give Pillow's very bytes.

        Args:
            coefficients: What the file holds.
            photo: Photo whose metadata is kept.
            encoding: Whose steps the coefficients are multiples of; it is noted, and not applied again.
        """
        like, data = encode_jpeg(np.zeros((1, 1, 3), np.uint8), encoding.quality), coefficients.to_bytes()
        # What stands before the quantisation tables, as Pillow writes it.
        data = like[: _header_length(like)] + data[_header_length(data) :]
        data = with_jpeg_metadata(data, photo, coefficients.size, grey=len(coefficients.components) == 1)
        return cls(lambda: data, encoding, None)

    @classmethod
    def of_file(cls, photo: Photo, encoding: Jpeg) -> EncodedImage:
        """Take a JPEG's file as it is, byte for byte.

        Args:
            photo: What was read from it.
            encoding: How it was made; it is noted.

        Raises:
            ImageFileError: It cannot be read any more.
        """
        try:
            data = Path(photo.path).read_bytes()
        except OSError as error:
            raise ImageFileError(f"{photo.path} cannot be read ({error.strerror or error})") from error
        return cls(lambda: data, encoding, None)

    @cached_property
    def data(self) -> bytes:
        """The file; a PNG takes its time, and is made when it is first asked for."""
        return self.encode()

    @property
    def suffix(self) -> str:
        """Of a file name: ".png" or ".jpg"."""
        return self.encoding.suffix

    @cached_property
    def decoded(self) -> NDArray[np.uint8]:
        """Upright uint8 RGB pixels (H, W, 3) that :func:`~art_crop.images.load_photo` reads from the file.

        Measures of a change are computed on these.
        """
        if self.pixels is not None and not self.encoding.lossy:
            return self.pixels
        with temporary_file(self.data, self.suffix) as file:
            return load_photo(file).pixels

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, atomically.

        Raises:
            OutputError: As :func:`~art_crop.images.write_atomic`.
        """
        write_atomic(path, self.data)


def _header_length(jpeg: bytes) -> int:
    """Bytes of a JPEG before its first quantisation table: its application segments."""
    return next(start for marker, start in jpeg_segments(jpeg) if marker == TABLE)
