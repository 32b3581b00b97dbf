"""Reading a photo from a file that may be anything: pixels and all that goes with them, or one ``ImageFileError``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from art_crop.images.decoding import decode_alpha, decode_rgb, is_grey
from art_crop.images.metadata import Metadata, collect_metadata
from art_crop.images.opening import MAX_PIXELS, OpenedImage, open_checked, quiet
from art_crop.images.orientation import apply_orientation, exif_orientation

__all__ = ["Photo", "is_jpeg", "jpeg_settings_of", "load_photo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as it is meant to be seen.

    Attributes:
        pixels: uint8 RGB of shape (H, W, 3), upright.
        format: Pillow's name of the file's format, one of :data:`~art_crop.images.FORMATS`.
        path: Where it was read.
        orientation: EXIF orientation of the file, 1 to 8; the pixels are upright already. 1 for a HEIC, whose decoder
            turns it.
        metadata: What goes with the pixels into another file: EXIF, ICC, XMP, IPTC, chunks of a PNG.
        alpha: Transparency, uint8 (H, W), 0 is invisible; ``None`` where the file has none. ``pixels`` are not
            composited with it.
        grey: The file has grey pixels only, whatever they are.
        bits: Bits per channel in the file; ``pixels`` are the highest 8 of them.
        colour_mode: Pillow's name of the file's colour mode, such as "RGB", "CMYK" or "P".
        jpeg_settings: libjpeg's quality and the subsampling of a JPEG, as :func:`jpeg_settings_of` gives them.
        jpeg_tables: Quantisation steps of a JPEG's components, row by row: of Y, and of Cb and Cr; one table where all
            share it, three where all differ. Empty for other formats.
        jpeg_sampling: Chroma subsampling of a JPEG as the file has it, "4:0:0" if it is grey; "unusual" for some.
        notes: What is wrong with the file and did not keep it from being read.
    """

    pixels: NDArray[np.uint8]
    format: str
    path: Path
    orientation: int = 1
    metadata: Metadata = field(default_factory=Metadata)
    alpha: NDArray[np.uint8] | None = None
    grey: bool = False
    bits: int = 8
    colour_mode: str = "RGB"
    jpeg_settings: tuple[int, str] | None = None
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    jpeg_sampling: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def exif(self) -> bytes | None:
        """EXIF block for these pixels (orientation 1, no thumbnail), or ``None``."""
        return self.metadata.exif

    @property
    def icc(self) -> bytes | None:
        """ICC profile for these pixels, or ``None``. They are not converted by it."""
        return self.metadata.icc

    @property
    def had_alpha(self) -> bool:
        """Whether the file has transparency."""
        return self.alpha is not None

    @property
    def visible(self) -> NDArray[np.bool_] | None:
        """Where the photo is not wholly transparent, (H, W); ``None`` if it is nowhere.

        Invisible pixels are written as they were read, whatever they are changed to, so a change has to keep to these.
        """
        return None if self.alpha is None or self.alpha.all() else self.alpha > 0

    def keep_invisible(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put the photo's own pixels where it is wholly transparent: they hold what nobody has seen.

        Args:
            pixels: uint8 (H, W, 3). Those of another size come back as they are.
        """
        visible = self.visible
        if visible is None or pixels.shape != self.pixels.shape:
            return pixels
        return np.where(visible[:, :, None], pixels, self.pixels)


def load_photo(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo: uint8 RGB upright pixels, and the metadata that may be written with them.

    Colour modes become RGB by :func:`~art_crop.images.decode_rgb`.

    Args:
        path: A regular file in one of :data:`~art_crop.images.FORMATS`.
        max_pixels: Most pixels (width times height) that are accepted; half of it for WebP, AVIF and HEIC.

    Raises:
        ImageFileError: The file is missing, unreadable, not such a photo, truncated, animated or too large.
        InvalidInputError: ``path`` is not a path, or ``max_pixels`` is not a positive integer.
    """
    with open_checked(path, max_pixels) as opened:
        image, file = opened.image, Path(path)
        stored = exif_orientation(image)
        bits, colour_mode = _bits(opened, file), image.mode
        pixels = decode_rgb(image)
        # Asked again: some formats carry their EXIF after the pixels, and Pillow turns a TIFF upright by itself.
        remaining = exif_orientation(image)
        pixels = apply_orientation(pixels, remaining)
        alpha = decode_alpha(image, bits)
        orientation = remaining if remaining != 1 else stored
        height, width = pixels.shape[:2]
        try:
            with quiet():
                metadata = collect_metadata(
                    image,
                    file,
                    (width, height),
                    data=opened.data,
                    jpeg=opened.jpeg,
                    png=opened.png,
                    turned=orientation >= 5,
                )
        except Exception:  # it comes from the file, and must not cost the photo
            metadata = Metadata(dropped=("damaged metadata",))
        return Photo(
            pixels=pixels,
            format=str(image.format),
            path=file,
            orientation=orientation,
            metadata=metadata,
            alpha=None if alpha is None else apply_orientation(alpha, remaining),
            grey=is_grey(image),
            bits=bits,
            colour_mode=colour_mode,
            jpeg_settings=opened.jpeg.settings if opened.jpeg is not None else None,
            jpeg_tables=opened.jpeg.component_tables if opened.jpeg is not None else (),
            jpeg_sampling=opened.jpeg.sampling if opened.jpeg is not None else None,
            notes=opened.notes,
        )


def is_jpeg(path: str | os.PathLike[str]) -> bool:
    """Tell by its first bytes whether a file is a JPEG, whatever its name says; False where it cannot be read."""
    try:
        file = Path(path)
        if not file.is_file():  # reading a pipe would wait for ever
            return False
        with file.open("rb") as stream:
            return stream.read(3) == b"\xff\xd8\xff"
    except (OSError, ValueError):
        return False


def jpeg_settings_of(photo: str | os.PathLike[str] | Photo) -> tuple[int, str] | None:
    """Estimate how a JPEG was encoded, so that another one can be written alike.

    The quality is that of libjpeg whose quantisation tables (ITU-T T.81, annex K, scaled) are the file's, or the
    nearest to them by the mean logarithm of the ratios. The subsampling is read; one that is not written here, and
    that of a grey file, counts as 4:2:0.

    Args:
        photo: The file, or a photo that was read from it.

    Returns:
        Quality (1 to 100) and subsampling ("4:4:4", "4:2:2" or "4:2:0"); ``None`` for other formats.

    Raises:
        ImageFileError: As :func:`~art_crop.images.open_image`.
    """
    if isinstance(photo, Photo):
        return photo.jpeg_settings
    with open_checked(photo, MAX_PIXELS) as opened:
        return opened.jpeg.settings if opened.jpeg is not None else None


def _bits(opened: OpenedImage, file: Path) -> int:
    """Bits per channel in the file."""
    image: Image.Image = opened.image
    if opened.png is not None:
        return opened.png.header[8]
    if image.format == "TIFF":
        return int(np.max(image.tag_v2.get(258, 1)))  # type: ignore[attr-defined]
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if image.format == "AVIF":
        with file.open("rb") as stream:
            head = stream.read(65_536)
        # AV1 in ISO BMFF, 2.3.3: after a byte of version and one of profile and level, 0x40 is 10 bits and 0x20 12.
        start = head.find(b"av1C")
        flags = head[start + 6] if 0 <= start < len(head) - 6 else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    return 8
