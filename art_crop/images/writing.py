"""Writing results: encoded photos with their metadata, and files that are either the old or the new one, never half."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import secrets
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from art_crop.errors import InvalidInputError, OutputError
from art_crop.images.embedding import jfif_density, jpeg_segments_of, png_chunks_of
from art_crop.images.jpeg_file import jpeg_segments
from art_crop.images.png_file import insert_chunks
from art_crop.images.reading import Photo
from art_crop.process import is_running

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:0:0")
_JPEG_SUFFIXES = (".jpg", ".jpeg")
_RUN_LENGTHS, _SEARCH = {"compress_type": zlib.Z_RLE}, {"compress_level": 3}
_BAND = 8
_JPEG_SIDE = 65_535
_JFIF, _DENSITY = 0xE0, slice(13, 18)
_REASONS = {
    getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up",  # Windows has none
    errno.ENOSPC: "the disk is full",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the disk is read-only",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def encode_png(pixels: NDArray[np.uint8], like: Photo | None = None) -> bytes:
    """Encode uint8 RGB pixels of shape (H, W, 3) as a PNG, lossless, with the metadata of ``like``.

    A photo's noise leaves deflate nothing to find but runs, and looking for more takes five times as long. So photos
    are compressed by run lengths, and pictures that repeat themselves (drawings, screenshots) by a search.

    Args:
        pixels: uint8 of shape (H, W, 3).
        like: Photo whose metadata is kept, and where the size is the same, its transparency with the very pixels that
            it hides. Grey pixels of a grey photo stay grey. See :func:`dropped_metadata` for what is not kept.

    Raises:
        InvalidInputError: The pixels have another dtype or shape, or are empty.
    """
    check_pixels(pixels)
    image = _png_image(pixels, like)
    chunks = [] if like is None else png_chunks_of(like.metadata, image.size, image.mode)[0]
    return insert_chunks(_png(image, **_compression(image)), chunks)


def _png_image(pixels: NDArray[np.uint8], like: Photo | None) -> Image.Image:
    """The picture in the colour mode of the PNG: L, LA, RGB or RGBA."""
    if like is not None:
        pixels = like.keep_invisible(pixels)
        channels: NDArray[np.uint8] = pixels[:, :, :1] if like.grey and _all_grey(pixels) else pixels
        if like.alpha is not None and like.alpha.shape == pixels.shape[:2]:
            channels = np.dstack([channels, like.alpha])
        pixels = channels[:, :, 0] if channels.shape[2] == 1 else channels
    return Image.fromarray(np.ascontiguousarray(pixels))


def _all_grey(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels[:, :, :1] == pixels[:, :, 1:]).all())


def _compression(image: Image.Image) -> dict[str, int]:
    """How to compress a picture, from what becomes of eight bands of it."""
    width, height = image.size
    tops = {max(0, height * (2 * k + 1) // 16 - _BAND // 2) for k in range(8)}
    bands = [image.crop((0, top, width, min(top + _BAND, height))) for top in tops]
    runs, searched = (sum(len(_png(band, **options)) for band in bands) for options in (_RUN_LENGTHS, _SEARCH))
    if runs <= 1.1 * searched:
        return _RUN_LENGTHS
    # Where there is much to find, the longest search is quick too.
    return _SEARCH if searched > 0.5 * width * _BAND * len(bands) else {}


def _png(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def encode_jpeg(
    pixels: NDArray[np.uint8],
    quality: int = 75,
    like: Photo | None = None,
    *,
    subsampling: str | None = None,
    tables: Sequence[Sequence[int]] | None = None,
) -> bytes:
    """Encode uint8 RGB pixels as a JPEG with the metadata of ``like``.

    Args:
        pixels: uint8 of shape (H, W, 3), at most 65,535 on a side.
        quality: libjpeg's quality, 1 to 100; Pillow's default is 75.
        like: Photo whose metadata is kept; see :func:`dropped_metadata` for what is not.
        subsampling: "4:4:4", "4:2:2" or "4:2:0", or "4:0:0" for a grey JPEG; ``None`` is Pillow's default, 4:2:0.
        tables: Quantisation steps instead of those of the quality: of Y, and of Cb and Cr, 64 each, row by row; one
            for all components, or three.

    Raises:
        InvalidInputError: An argument is not as above.
    """
    if not _is_quality(quality):
        raise InvalidInputError(f"quality must be an integer from 1 to 100, not {quality!r}")
    if subsampling is not None and subsampling not in SUBSAMPLINGS:
        raise InvalidInputError(f"subsampling must be None or one of {', '.join(SUBSAMPLINGS)}, not {subsampling!r}")
    check_pixels(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    grey = subsampling == "4:0:0"
    if max(image.size) > _JPEG_SIDE:
        raise InvalidInputError(
            f"pixels of {image.size[0]}×{image.size[1]} do not fit into a JPEG; allowed: at most {_JPEG_SIDE} on a side"
        )
    options: dict[str, Any] = {} if subsampling is None or grey else {"subsampling": subsampling}
    # Pillow would scale the tables by the quality.
    options |= {"quality": int(quality)} if tables is None else {"qtables": check_tables(tables)}
    buffer = io.BytesIO()
    (image.convert("L") if grey else image).save(buffer, "JPEG", **options)
    return with_jpeg_metadata(buffer.getvalue(), like, image.size, grey=grey)


def check_tables(tables: Any) -> list[list[int]]:
    """Quantisation tables as Pillow takes them.

    Raises:
        InvalidInputError: They are not one to three, of 64 whole numbers from 1 to 65,535 each.
    """
    try:
        found = np.array(tables)
    except ValueError:
        found = np.zeros(0)
    if found.ndim != 2 or found.shape[1] != 64 or not 1 <= len(found) <= 3 or found.dtype.kind not in "iu":
        raise InvalidInputError("tables must be one to three, of 64 whole numbers each")
    if found.min() < 1 or found.max() > 65_535:
        raise InvalidInputError(f"tables must hold numbers from 1 to 65,535, not {found.min()} to {found.max()}")
    rows: list[list[int]] = found.tolist()
    return rows


def with_jpeg_metadata(jpeg: bytes, like: Photo | None, size: tuple[int, int], *, grey: bool = False) -> bytes:
    """Put a photo's metadata into a JPEG that was written here without any.

    Args:
        jpeg: The file; it begins with JFIF's segment.
        like: The photo, or ``None``.
        size: Width and height of the JPEG.
        grey: The JPEG has one component, for which a profile of grey pixels is right.
    """
    if like is None:
        return jpeg
    start = next(start for marker, start in jpeg_segments(jpeg) if marker != _JFIF)
    head, density = bytearray(jpeg[:start]), jfif_density(like.metadata.density)
    if density is not None:
        head[_DENSITY] = density
    return bytes(head) + jpeg_segments_of(like.metadata, size, grey=grey)[0] + jpeg[start:]


def dropped_metadata(
    photo: Photo, suffix: str, pixels: NDArray[np.uint8] | None = None, *, subsampling: str | None = None
) -> tuple[str, ...]:
    """Name everything of a photo that a file written like it does not have.

    Args:
        photo: The photo, as ``like`` of :func:`encode_png`, :func:`encode_jpeg` or :func:`save_photo`.
        suffix: ".png", ".jpg" or ".jpeg".
        pixels: uint8 (H, W, 3) that are written; ``None``: the photo's own.
        subsampling: Of a JPEG that is written like the photo, a JPEG itself.

    Returns:
        Names such as "EXIF thumbnail", "gain map" or "PNG gAMA in a JPEG"; none where all is kept.

    Raises:
        InvalidInputError: Another suffix, or pixels of another kind.
    """
    suffix = suffix.lower()
    if suffix not in (".png", *_JPEG_SUFFIXES):
        raise InvalidInputError(f"suffix must be .png, .jpg or .jpeg, not {suffix!r}")
    pixels = photo.pixels if pixels is None else pixels
    check_pixels(pixels)
    size = (pixels.shape[1], pixels.shape[0])
    if suffix == ".png":
        grey = photo.grey and _all_grey(photo.keep_invisible(pixels))
    else:
        grey = subsampling == "4:0:0"
    alpha = photo.alpha is not None and suffix == ".png" and photo.alpha.shape == pixels.shape[:2]
    names = list(photo.metadata.dropped)
    if suffix == ".png":
        names += png_chunks_of(photo.metadata, size, ("L" if grey else "RGB") + "A" * alpha)[1]
    else:
        names += jpeg_segments_of(photo.metadata, size, grey=grey)[1]
    if photo.alpha is not None and not alpha and photo.alpha.min() < 255:
        names.append("transparency")
    if photo.grey and not grey:
        names.append("grey becomes colour")
    if photo.bits > 8:
        names.append(f"{photo.bits} bits per channel become 8")
    if photo.colour_mode == "CMYK":
        names.append("CMYK becomes RGB")
    if subsampling is not None and photo.jpeg_sampling not in (None, subsampling):
        names.append(f"{photo.jpeg_sampling} chroma becomes {subsampling}")
    return tuple(dict.fromkeys(names))


def save_photo(
    path: str | os.PathLike[str], pixels: NDArray[np.uint8], *, like: Photo | None = None, quality: int | None = None
) -> None:
    """Write pixels as a photo, atomically; the suffix chooses the format.

    Args:
        path: Ends in .png, .jpg or .jpeg (any case).
        pixels: uint8 RGB of shape (H, W, 3), upright.
        like: Photo whose metadata is kept.
        quality: JPEG quality, 1 to 100; ``None`` is 95. Not for PNG.

    Raises:
        InvalidInputError: An argument is not as above.
        OutputError: The file cannot be written; what existed before is untouched.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        if quality is not None:
            raise InvalidInputError("quality must be None for a PNG, which is lossless; allowed with .jpg and .jpeg")
        data = encode_png(pixels, like)
    elif suffix in _JPEG_SUFFIXES:
        data = encode_jpeg(pixels, 95 if quality is None else quality, like)
    else:
        raise InvalidInputError(f"path must end in .png, .jpg or .jpeg, not {suffix or 'without a suffix'!r}: {path}")
    write_atomic(path, data)


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that there is either the old one or the whole new one, whatever happens.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name. A new file's
    permissions follow the umask, an existing file's are kept, a symbolic link goes on pointing where it did.

    Raises:
        OutputError: No folder, no permission, a full disk, or the path is a folder or a device; nothing has changed.
    """
    try:
        target = Path(path).resolve()
        mode = _existing_mode(target)
        temporary = target.parent / f".art-crop-{os.getpid()}-{secrets.token_hex(8)}.tmp"
        # The kernel applies the umask here, which tempfile's 0600 would not.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                temporary.chmod(mode)
            temporary.replace(target)
        except BaseException:  # Ctrl-C too must leave nothing behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error
    except (ValueError, RuntimeError) as error:  # a NUL in the name; a loop of symbolic links (before Python 3.13)
        raise OutputError(f"cannot write {str(path)!r}: {error}") from error
    _sync_folder(target.parent)


def remove_abandoned(folder: Path) -> None:
    """Take away half-written files that :func:`write_atomic` left in a folder when its process was killed."""
    for left in folder.glob(".art-crop-*.tmp"):
        owner = re.fullmatch(r"\.art-crop-(\d+)-\w+\.tmp", left.name)
        if owner and not is_running(int(owner[1])):
            with contextlib.suppress(OSError):
                left.unlink()


def write_atomic_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text by :func:`write_atomic`; line ends are kept as they are."""
    write_atomic(path, text.encode("utf-8"))


def write_atomic_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON by :func:`write_atomic`.

    Raises:
        InvalidInputError: JSON cannot hold the value, NaN and infinity included.
        OutputError: As :func:`write_atomic`.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"value must be what JSON can hold (finite numbers, no arrays): {error}") from error
    write_atomic_text(path, text + "\n")


def _existing_mode(target: Path) -> int | None:
    """Permission bits of the file that will be replaced; ``None`` if there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OutputError(f"cannot write {target}: it is a folder, and a file name is needed")
    if not stat.S_ISREG(mode):  # replacing /dev/null would remove it
        raise OutputError(f"cannot write {target}: it is not a regular file")
    if not os.access(target, os.W_OK):  # the rename alone would succeed over a write-protected file
        raise OutputError(f"cannot write {target}: the file is write-protected")
    return stat.S_IMODE(mode)


def _sync_folder(folder: Path) -> None:
    """Let the rename itself reach the disk; best effort, for the file is already whole and some systems cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _is_quality(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 1 <= int(value) <= 100


def check_pixels(pixels: object) -> None:
    """Refuse what is no uint8 array (H, W, 3) of at least one pixel.

    Raises:
        InvalidInputError: It is not.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        given = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise InvalidInputError(f"pixels must be a uint8 array of shape (H, W, 3), not {given}")
    if pixels.size == 0:
        raise InvalidInputError(f"pixels must have at least one pixel, not shape {pixels.shape}")
