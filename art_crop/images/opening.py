"""Opening a file that may be anything, or a trap: a checked header, or one ``ImageFileError`` with what is allowed."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images.jpeg_file import END, MOST_SEGMENTS, JpegFile, parse_jpeg
from art_crop.images.png_file import SIGNATURE, PngFile, parse_png

__all__ = ["FORMATS", "MAX_PIXELS", "OpenedImage", "open_checked", "open_image"]

MAX_PIXELS = 150_000_000
"""Largest photo read by default, in pixels. Decoding takes about 9 bytes of memory per pixel, 10 where turned. Half as
many pixels are allowed in a WebP, AVIF or HEIC, whose decoders take up to 19 bytes per pixel."""

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF")
"""Formats that are read, by Pillow's names; no other decoder is ever tried."""

ALLOWED = "allowed: a JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF photo with one frame"
_GREEDY = ("WEBP", "AVIF", "HEIF")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"heif")
_LARGEST_JPEG = 2**29
_SMALL_TILE = 2**24
# Every scan of a progressive JPEG goes over the whole picture. Encoders make about ten.
_MOST_SCANS, _FEWEST_SCANS, _SCANNED_PIXELS = 100, 20, 2_000_000_000
_RESTARTS = b"".join(bytes([0xFF, 0xD0 + k]) + b"\x55" * 16 for k in range(8))
_FILLERS = (b"", b"\x55" * 16, b"\xaa" * 16, b"\x33" * 16, _RESTARTS)
# TIFF 6.0: white is zero, black is zero, RGB, palette, CMYK, YCbCr; CIELab has a sentence of its own.
_PHOTOMETRICS = {0, 1, 2, 3, 5, 6, 8}


@dataclass(frozen=True)
class OpenedImage:
    """An opened image, and what was found in its file on the way.

    Attributes:
        image: Pillow's image, its pixels not decoded yet.
        data: The whole file, for a JPEG, else empty.
        jpeg: Its segments, for a JPEG.
        png: Its chunks, for a PNG.
        notes: What is wrong with the file and did not keep it from being read.
    """

    image: Image.Image
    data: bytes = b""
    jpeg: JpegFile | None = None
    png: PngFile | None = None
    notes: tuple[str, ...] = ()


@contextmanager
def open_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image file safely; its header is read and checked, its pixels are not decoded yet.

    So a caller may still choose a decoding scale with ``image.draft``. Decode with
    :func:`~art_crop.images.decode_rgb`.

    Args:
        path: A regular file in one of :data:`FORMATS`; HEIC needs the extra ``heif``.
        max_pixels: Most pixels (width times height) that are accepted, inclusive; half of it for WebP, AVIF and HEIC.
            Pillow's own limit of twice ``PIL.Image.MAX_IMAGE_PIXELS`` (178,956,970 unless changed) holds besides.

    Yields:
        The opened Pillow image (of several in a JPEG or HEIC the primary one), closed on leaving.

    Raises:
        ImageFileError: The file is missing, unreadable, not such an image, damaged, animated or too large, or made so
            that it takes much more time or memory than a photo of its size.
        InvalidInputError: ``path`` is not a path, or ``max_pixels`` is not a positive integer.
    """
    with open_checked(path, max_pixels) as opened:
        yield opened.image


@contextmanager
def open_checked(path: str | os.PathLike[str], max_pixels: int) -> Iterator[OpenedImage]:
    """Open as :func:`open_image` does, and keep what was learnt of the file."""
    _check_arguments(path, max_pixels)
    file = Path(path)
    head = _check_file(file)
    try:
        png = parse_png(file) if head.startswith(SIGNATURE) else None
        stream: Any = png.without_unsafe(file) if png is not None and png.unsafe else file
    except OSError as error:
        raise ImageFileError(f"{file} cannot be read ({reason(error)}); {ALLOWED}") from error
    data, jpeg = _read_jpeg(file) if head.startswith(b"\xff\xd8") else (b"", None)
    image = _identify(file, stream, head, max_pixels)
    try:
        image.filename = str(file)  # type: ignore[attr-defined]  # messages name it
        _check_header(image, file, max_pixels)
        notes = []
        if jpeg is not None:
            _check_scans(jpeg, file, image.size)
            if jpeg.end is None:
                image.close()
                image = _identify(file, io.BytesIO(_completed(file, data, jpeg)), head, max_pixels)
                image.filename = str(file)  # type: ignore[attr-defined]
                notes.append("the file lacks its end marker; the picture is whole")
        elif image.format == "TIFF":
            _check_tiff(image, file)
        yield OpenedImage(image, data, jpeg, png, tuple(notes))
    finally:
        image.close()


def _check_arguments(path: object, max_pixels: object) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidInputError(f"path must be a str or os.PathLike, not {type(path).__name__}")
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise InvalidInputError(f"max_pixels must be a positive integer, not {max_pixels!r}")


def _check_file(file: Path) -> bytes:
    """The beginning of a regular file that is not empty."""
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageFileError(f"{file} is a folder; {ALLOWED}")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device might block for ever
            raise ImageFileError(f"{file} is not a regular file; {ALLOWED}")
        if status.st_size == 0:
            raise ImageFileError(f"{file} is empty (0 bytes); {ALLOWED}")
        with file.open("rb") as stream:
            return stream.read(64)
    except FileNotFoundError:
        raise ImageFileError(f"{file} does not exist; {ALLOWED}") from None
    except PermissionError as error:
        raise ImageFileError(f"{file} cannot be read (no permission); {ALLOWED}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageFileError(f"{str(file)!r} cannot be read ({reason(error)}); {ALLOWED}") from error


def _identify(file: Path, stream: Any, head: bytes, max_pixels: int) -> Image.Image:
    avif = b"avif" in head[8:] or b"avis" in head[8:]
    heic = head[4:8] == b"ftyp" and head[8:12] in _HEIC and not avif
    # JPEG's opener finds MPO.
    formats = [name for name in FORMATS if name not in ("MPO", "HEIF", "AVIF")]
    try:
        with quiet():
            if features.check("avif"):
                formats.append("AVIF")
            elif head[4:8] == b"ftyp" and avif:
                raise ImageFileError(f"{file} is an AVIF; Pillow 11.3 or newer is needed to read it")
            return _open_heic(file) if heic else Image.open(stream, formats=formats)
    except UnidentifiedImageError as error:
        raise ImageFileError(
            f"{file} is not an image that is read here, or its header is damaged; {ALLOWED}"
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{file} has too many pixels; allowed: at most {max_pixels:,}") from error
    except ImageFileError:
        raise
    except Exception as error:  # see decode_rgb
        raise ImageFileError(f"{file} is damaged ({reason(error)}); {ALLOWED}") from error


def _open_heic(file: Path) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageFileError(f"{file} is a HEIC, which needs pillow-heif: pip install 'art-crop[heif]'") from error
    image: Image.Image = HeifImageFile(file)
    return image


def _check_header(image: Image.Image, file: Path, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageFileError(f"{file} has no pixels ({width}×{height}); {ALLOWED}")
    what = f" for a {image.format}" if image.format in _GREEDY else ""
    most = max(1, max_pixels // 2) if what else max_pixels
    if width * height > most:
        raise ImageFileError(
            f"{file} has {width}×{height} = {width * height:,} pixels; allowed: at most {most:,}{what}"
        )
    try:
        with quiet():
            # Several pictures in a JPEG or HEIC are a camera's photo with a second view or a preview, no animation.
            animated = image.format not in ("MPO", "HEIF") and bool(getattr(image, "is_animated", False))
    except Exception as error:  # see decode_rgb; GIF looks for its next frame here
        raise ImageFileError(f"{file} is damaged ({reason(error)}); {ALLOWED}") from error
    if animated:
        raise ImageFileError(f"{file} has more than one frame (an animation or several pages); {ALLOWED}")


def _read_jpeg(file: Path) -> tuple[bytes, JpegFile]:
    """The bytes and segments of a JPEG."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_JPEG)
    except OSError as error:
        raise ImageFileError(f"{file} cannot be read ({reason(error)}); {ALLOWED}") from error
    jpeg = parse_jpeg(data, most_scans=_MOST_SCANS)
    if jpeg.count > MOST_SEGMENTS:
        raise ImageFileError(f"{file} has more than {MOST_SEGMENTS:,} segments; allowed: at most that many in a JPEG")
    return data, jpeg


def _check_scans(jpeg: JpegFile, file: Path, size: tuple[int, int]) -> None:
    """Refuse more scans than a photo of a size has."""
    most = min(_MOST_SCANS, max(_FEWEST_SCANS, _SCANNED_PIXELS // (size[0] * size[1])))
    if len(jpeg.scans) > most:
        raise ImageFileError(f"{file} has more than {most} scans; allowed: at most {most} in a JPEG of its size")


def _completed(file: Path, data: bytes, jpeg: JpegFile) -> bytes:
    """A JPEG with the end marker that it lacks, if it lacks nothing else.

    Pictures that are all there do not depend on what stands between them and the end marker.
    """
    if jpeg.coefficients_are_complete:
        data, first = data.removesuffix(b"\xff"), None
        for filler in _FILLERS:
            try:
                with quiet(), Image.open(io.BytesIO(data + filler + END), formats=["JPEG"]) as image:
                    pixels = np.asarray(image)
            except Exception:  # see decode_rgb
                break
            if first is None:
                first = pixels
            elif not np.array_equal(first, pixels):
                break
        else:
            return data + END
    raise ImageFileError(f"{file} is truncated or damaged (the picture stops before its end); {ALLOWED}")


def _check_tiff(image: Image.Image, file: Path) -> None:
    """Refuse tiles and strips beyond the picture, which would be decoded whole, and colours with another meaning."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    try:
        with quiet():
            width, height = image.size
            depths = np.ravel(tags.get(258, 1)).tolist()
            bits = max(sum(depths), tags.get(277, 1) * max(depths))
            tile = tags.get(322, 0) * tags.get(323, 0) * bits // 8
            photometric = tags.get(262, 0)
            # Wider ones are checked as they are: Pillow decodes them with their signs.
            signed = 2 in np.ravel(tags.get(339, 1)).tolist() and max(depths) <= 8
    except Exception as error:  # see decode_rgb
        raise ImageFileError(f"{file} is damaged ({reason(error)}); {ALLOWED}") from error
    if tile > max(_SMALL_TILE, 2 * width * height * bits // 8):
        raise ImageFileError(
            f"{file} has tiles of {tags[322]}×{tags[323]} pixels; allowed: tiles of {_SMALL_TILE >> 20} MiB, or of "
            f"twice the size of the photo"
        )
    if photometric not in _PHOTOMETRICS:
        raise ImageFileError(
            f"{file} has pixels of TIFF's photometric interpretation {photometric}; allowed: grey, palette, RGB, CMYK "
            f"or YCbCr"
        )
    if signed:
        raise ImageFileError(f"{file} has signed pixel values; allowed: unsigned ones of 8 or 16 bits per channel")


def reason(error: Exception) -> str:
    """The first line of an error, without a full stop; its type where it says nothing."""
    text = (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0].rstrip(".")
    return text or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings (decompression bomb, damaged tags) to ourselves: we check and report in our own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
