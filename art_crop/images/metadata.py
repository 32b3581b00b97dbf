"""Metadata that stays with a photo whose pixels change, collected from any format.

Every block is carried byte by byte, but for what would be wrong with upright, changed pixels (orientation, previews).
What is not carried has a name, so that nobody loses a copyright notice or a colour space without being told.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from art_crop.images.exif import EXIF_HEADER, TiffReader, patch_exif, tiff_exif
from art_crop.images.jpeg_file import COMMENT, JpegFile
from art_crop.images.orientation import exif_block, raw_profile
from art_crop.images.packets import HAS_GAIN_MAP, IPTC, iptc_resource, patch_resources, patch_xmp
from art_crop.images.png_file import Chunk, PngFile, text_of

__all__ = ["Metadata", "collect_metadata"]

XMP_HEADER, _XMP_MORE = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
RESOURCES_HEADER, ICC_HEADER = b"Photoshop 3.0\0", b"ICC_PROFILE\0"
_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
LARGEST_BLOCK = 2**24
_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"mDCv", b"cLLi")
_PIXELS = (b"tRNS", b"eXIf", b"pHYs", b"IEND")  # carried by other ways
_OF_THE_MODE = (b"sBIT", b"bKGD")
_KNOWN_TO_WEBP = {"VP8 ", "VP8L", "VP8X", "ALPH", "ICCP", "EXIF", "XMP ", "ANIM", "ANMF"}


@dataclass(frozen=True)
class Metadata:
    r"""What goes with a photo's pixels, each block as it stood in the file.

    Attributes:
        exif: EXIF for upright pixels, with ``Exif\0\0`` before it.
        icc: ICC profile, for RGB or (of a grey photo) for grey pixels.
        xmp: XMP packet.
        extended_xmp: Content of the JPEG segments of an extended XMP.
        iptc: Photoshop's image resources (8BIM); IPTC is the one of number 0x0404.
        comments: Comments of a JPEG or GIF.
        density: Pixels per unit, across and down, and the unit: 0 none (an aspect ratio), 1 inch, 2 cm, 3 metre.
        png_chunks: Colour, text and other chunks of a PNG that are written into a PNG again.
        dropped: Names of what the file had and no written file gets.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    extended_xmp: tuple[bytes, ...] = ()
    iptc: bytes | None = None
    comments: tuple[bytes, ...] = ()
    density: tuple[int, int, int] | None = None
    png_chunks: tuple[Chunk, ...] = ()
    dropped: tuple[str, ...] = ()


def collect_metadata(
    image: Image.Image,
    file: Path,
    size: tuple[int, int],
    *,
    data: bytes = b"",
    jpeg: JpegFile | None = None,
    png: PngFile | None = None,
    turned: bool = False,
) -> Metadata:
    """Collect the metadata of an opened and decoded image.

    Args:
        image: The image; some formats have their EXIF after the pixels.
        file: Where it was read.
        size: Upright width and height in pixels.
        data: The whole file, for a JPEG.
        jpeg: Its segments, for a JPEG.
        png: Its chunks, for a PNG.
        turned: Width and height were swapped.
    """
    if jpeg is not None:
        found = _of_jpeg(jpeg, data)
    elif png is not None:
        found = _of_png(png)
    elif image.format == "TIFF":
        known = 282 in image.tag_v2  # type: ignore[attr-defined]  # where there is none, Pillow says 1
        found = replace(_of_tiff(file), density=_density(image.info.get("dpi")) if known else None)
    else:
        found = _of_info(image, file)
    dropped = list(found.dropped)
    exif, xmp, iptc, density = found.exif, found.xmp, found.iptc, found.density
    if exif is None and image.format != "TIFF":
        exif = _stored_exif(image)
    if exif is not None:
        patched = patch_exif(exif, size)
        exif, removed = patched or (None, ("damaged EXIF",))
        dropped += removed
    if xmp is not None:
        if HAS_GAIN_MAP.search(xmp) and "gain map" not in dropped:
            dropped.append("gain map")
        xmp, removed = patch_xmp(xmp, extended=bool(found.extended_xmp))
        dropped += removed
    if iptc is not None:
        iptc, removed = patch_resources(iptc)
        dropped += removed
    if density is not None and turned:
        density = (density[1], density[0], density[2])
    # Bytes 16 to 19 of the header name the colour space (ICC.1:2022, table 19).
    icc, space = found.icc, (found.icc or b"")[16:20]
    if icc is not None and space not in (b"RGB ", b"GRAY"):
        icc = None
        dropped.append(f"ICC profile for {space.decode('latin-1').strip() or 'nothing'}")
    unique = tuple(dict.fromkeys(dropped))
    return replace(found, exif=exif, icc=icc, xmp=xmp, iptc=iptc, density=density, dropped=unique)


def _stored_exif(image: Image.Image) -> bytes | None:
    decoder = getattr(image, "_decoder", None)
    if image.format == "AVIF" and decoder is not None:
        # Pillow writes the block anew where the orientation differs, and spoils its text.
        block: bytes | None = decoder.get_info()[4] or None
        return block
    return exif_block(image) or None


def _of_jpeg(jpeg: JpegFile, data: bytes) -> Metadata:
    profile: dict[int, bytes] = {}
    xmp, more, resources, comments, density = None, [], [], [], None
    dropped = []
    for marker, content in jpeg.segments:
        if marker == COMMENT:
            comments.append(content)
        elif content.startswith(EXIF_HEADER):
            pass  # Pillow joins several
        elif marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            density = (int.from_bytes(content[8:10], "big"), int.from_bytes(content[10:12], "big"), content[7])
            dropped += ["JFIF thumbnail"] if any(content[12:14]) else []
        elif marker == 0xE1 and content.startswith(XMP_HEADER):
            xmp = content[len(XMP_HEADER) :]
        elif marker == 0xE1 and content.startswith(_XMP_MORE):
            more.append(content)
        elif marker == 0xE2 and content.startswith(ICC_HEADER) and len(content) > 14:
            profile[content[12]] = content[14:]
        elif marker == 0xE2 and content.startswith(_GAIN_MAP):
            dropped.append("gain map")
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            pass  # names the pictures behind the first, which are found below
        elif marker == 0xED and content.startswith(RESOURCES_HEADER):
            resources.append(content[len(RESOURCES_HEADER) :])
        elif marker == 0xEB and b"jumb" in content[:32]:
            dropped.append("content credentials (JUMBF), which would not hold for changed pixels")
        elif marker != 0xEE:  # Adobe's says how these very pixels are coded
            name = re.split(rb"[^ -~]", content[:24])[0].decode("ascii")
            dropped.append(f"JPEG APP{marker - 0xE0}" + f" {name!r}" * bool(name))
    if any(b"GImage:" in part or b"GDepth:" in part or b"xmpGImg:" in part for part in more):
        dropped.append("extended XMP, which holds pictures")
        more = []
    behind = data[jpeg.end or len(data) :].strip(b"\0")
    if HAS_GAIN_MAP.search(behind[:200_000]) or _GAIN_MAP in behind[:200_000]:
        dropped.append("gain map")
    pictures, film = behind.count(b"\xff\xd8\xff"), b"ftyp" in behind
    if film:
        dropped.append("film (motion photo)")
    elif pictures and "gain map" not in dropped:
        dropped.append("further pictures behind the first")
    elif behind and not pictures:
        dropped.append(f"{len(behind):,} bytes behind the picture")
    icc = b"".join(profile[k] for k in sorted(profile)) or None
    plain = density in ((1, 1, 0), (0, 0, 0))
    return Metadata(
        icc=icc,
        xmp=xmp,
        extended_xmp=tuple(more),
        iptc=b"".join(resources) or None,
        comments=tuple(comments),
        density=None if plain else density,
        dropped=tuple(dropped),
    )


def _of_png(png: PngFile) -> Metadata:
    depth = png.header[8]
    xmp, iptc, density = None, None, None
    kept, dropped = [], list(png.dropped)
    has_exif = any(chunk.kind == b"eXIf" for chunk in png.chunks)
    for chunk in png.chunks:
        kind, name = chunk.kind, chunk.kind.decode("latin-1")
        text = text_of(chunk)
        if text is not None:
            keyword, content = text
            if keyword == "XML:com.adobe.xmp":
                xmp = content
            elif keyword in ("Raw profile type exif", "Raw profile type APP1"):
                dropped += ["second EXIF"] if has_exif else []
                has_exif = True
            elif keyword in ("Raw profile type iptc", "Raw profile type 8bim") and iptc is None:
                iptc = raw_profile(content.decode("latin-1")) or None
            else:
                kept.append(chunk)
        elif kind == b"pHYs" and len(chunk.data) == 9:
            across, down = int.from_bytes(chunk.data[:4], "big"), int.from_bytes(chunk.data[4:8], "big")
            density = (across, down, 3 if chunk.data[8] == 1 else 0)
        elif kind in _PIXELS:
            pass
        elif kind in _OF_THE_MODE:
            if depth <= 8:
                kept.append(chunk)
            else:
                dropped.append(f"PNG {name}")
        # The fourth letter says whether a chunk may be copied by those who change pixels and do not know it.
        elif kind in _COLOUR or kind in (b"sPLT", b"tIME") or kind[3:].islower():
            kept.append(chunk)
        else:
            dropped.append(f"PNG {name}")
    return Metadata(
        icc=png.icc,
        xmp=xmp,
        iptc=iptc and iptc_resource(iptc),
        density=density,
        png_chunks=tuple(kept),
        dropped=tuple(dropped),
    )


def _of_tiff(file: Path) -> Metadata:
    with file.open("rb") as stream:

        def read(start: int, length: int) -> bytes:
            stream.seek(start)
            return stream.read(min(length, LARGEST_BLOCK))

        try:
            tiff = TiffReader(read)
            exif, dropped = tiff_exif(tiff)
            entries, _ = tiff.directory(tiff.first)
            blocks = {e.tag: read(e.start, e.length) for e in entries if e.tag in (700, 33723, 34377, 34675)}
            orders = {e.tag for e in entries}
        except (ValueError, OverflowError, OSError):
            return Metadata(dropped=("damaged TIFF tags",))
    resources = blocks.get(34377, b"")
    if 33723 in blocks and b"8BIM" + IPTC.to_bytes(2, "big") not in resources:
        resources += iptc_resource(blocks[33723])
    names = {330: "further pictures (TIFF subdirectories)", 37724: "Photoshop layers"}
    return Metadata(
        exif=exif,
        icc=blocks.get(34675) or None,
        xmp=blocks.get(700) or None,
        iptc=resources or None,
        dropped=(*dropped, *(name for tag, name in names.items() if tag in orders)),
    )


def _of_info(image: Image.Image, file: Path) -> Metadata:
    """Of a WebP, GIF, BMP, AVIF or HEIC, what their decoders give."""
    info, dropped, icc = image.info, [], image.info.get("icc_profile") or None
    with file.open("rb") as stream:
        head = stream.read(65_536)
        if image.format == "WEBP":
            dropped = [f"WebP {name!r}" for name in _riff_chunks(stream) if name not in _KNOWN_TO_WEBP]
        elif image.format == "BMP" and head[70:74] == b"DEBM":  # a profile in the file, BITMAPV5HEADER
            start, length = struct.unpack_from("<II", head, 126)
            stream.seek(14 + start)
            icc = stream.read(min(length, LARGEST_BLOCK)) or None
    if image.format in ("AVIF", "HEIF"):
        if b"tmap" in head or any("gainmap" in str(kind).lower() for kind in info.get("aux", ())):
            dropped.append("gain map")
        dropped += [f"auxiliary picture {kind}" for kind in info.get("aux", ()) if "gainmap" not in str(kind).lower()]
        dropped += ["depth map"] if info.get("depth_images") else []
        dropped += ["further pictures behind the first"] if getattr(image, "n_frames", 1) > 1 else []
        nclx = head.find(b"colrnclx")
        # ITU-T H.273: primaries 1 and 2 are those of sRGB and unknown ones, transfers 1, 2, 6 and 13 look like its own.
        codes = struct.unpack_from(">HH", head, nclx + 8) if 0 <= nclx <= len(head) - 12 else (1, 13)
        if icc is None and (codes[0] not in (1, 2) or codes[1] not in (1, 2, 6, 13)) and max(codes) < 256:
            return Metadata(
                xmp=info.get("xmp") or None,
                png_chunks=(Chunk(b"cICP", bytes([*codes, 0, 1])),),
                dropped=tuple(dropped),
            )
    comment, xmp = info.get("comment"), info.get("xmp")
    return Metadata(
        icc=icc,
        xmp=xmp if isinstance(xmp, bytes) and xmp else None,
        comments=(bytes(comment),) if isinstance(comment, bytes) and comment else (),
        density=_density(info.get("dpi")),
        dropped=tuple(dropped),
    )


def _density(dpi: object) -> tuple[int, int, int] | None:
    try:
        across, down = (round(float(value) / 0.0254) for value in dpi)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None
    return (across, down, 3) if 0 < across < 2**31 and 0 < down < 2**31 else None


def _riff_chunks(stream: BinaryIO) -> Iterator[str]:
    """Names of a RIFF file's chunks, at most a hundred."""
    place = 12
    for _ in range(100):
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        yield head[:4].decode("latin-1")
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
