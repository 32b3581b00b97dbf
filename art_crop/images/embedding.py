"""Where metadata stands in a PNG or a JPEG, and what has no room in one."""

from __future__ import annotations

import struct
import zlib

from art_crop.images.exif import EXIF_HEADER, patch_exif
from art_crop.images.jpeg_file import COMMENT, segment
from art_crop.images.metadata import ICC_HEADER, LARGEST_BLOCK, RESOURCES_HEADER, XMP_HEADER, Metadata
from art_crop.images.png_file import TEXT_LIMIT, Chunk, text_chunk, text_of

__all__ = ["jfif_density", "jpeg_segments_of", "png_chunks_of"]

_SEGMENT = 65_533
_GREY_PROFILE = "ICC profile for grey pixels"


def jpeg_segments_of(metadata: Metadata, size: tuple[int, int], *, grey: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """Segments that carry the metadata in a JPEG, and the names of what has no room in one.

    Args:
        metadata: What to carry.
        size: Width and height of the JPEG's pixels.
        grey: It has one component.
    """
    parts, dropped = [], []
    exif = metadata.exif and (patch_exif(metadata.exif, size) or (None,))[0]
    if exif is not None and len(exif) <= _SEGMENT:
        parts.append(segment(0xE1, exif))
    elif exif is not None:
        dropped.append(f"EXIF of {len(exif):,} bytes, of which a JPEG holds {_SEGMENT:,}")
    if metadata.xmp is not None and len(metadata.xmp) + len(XMP_HEADER) <= _SEGMENT:
        parts.append(segment(0xE1, XMP_HEADER + metadata.xmp))
        parts += [segment(0xE1, content) for content in metadata.extended_xmp]
    elif metadata.xmp is not None:
        dropped.append(f"XMP of {len(metadata.xmp):,} bytes, of which a JPEG holds {_SEGMENT - len(XMP_HEADER):,}")
    if metadata.icc is not None:
        pieces = _pieces(metadata.icc, _SEGMENT - len(ICC_HEADER) - 2)
        if metadata.icc[16:20] != b"RGB " and not grey:
            dropped.append(_GREY_PROFILE)
        elif len(pieces) > 255:
            dropped.append("ICC profile of more than 16 MiB")
        else:
            parts += [segment(0xE2, ICC_HEADER + bytes([k, len(pieces)]) + piece) for k, piece in enumerate(pieces, 1)]
    if metadata.iptc is not None:
        parts += [segment(0xED, RESOURCES_HEADER + p) for p in _pieces(metadata.iptc, _SEGMENT - len(RESOURCES_HEADER))]
    for comment in metadata.comments:
        if len(comment) <= _SEGMENT:
            parts.append(segment(COMMENT, comment))
        else:
            dropped.append(f"comment of {len(comment):,} bytes in a JPEG")
    for chunk in metadata.png_chunks:
        text = text_of(chunk)
        if text is None:
            dropped.append(f"PNG {chunk.kind.decode('latin-1')} in a JPEG")
        elif text[0] == "Comment" and len(comment := _utf8(text[1])) <= _SEGMENT:
            parts.append(segment(COMMENT, comment))
        else:
            dropped.append(f"PNG text {text[0]!r} in a JPEG")
    return b"".join(parts), tuple(dropped)


def jfif_density(density: tuple[int, int, int] | None) -> bytes | None:
    """Unit and density as JFIF has them (5 bytes); ``None`` for its default."""
    if density is None:
        return None
    across, down, unit = density
    if unit == 3:
        across, down, unit = round(across * 0.0254), round(down * 0.0254), 1
    return struct.pack(">BHH", unit, across, down) if 0 < across < 65_536 and 0 < down < 65_536 else None


def png_chunks_of(metadata: Metadata, size: tuple[int, int], mode: str) -> tuple[list[Chunk], tuple[str, ...]]:
    """Chunks that carry the metadata in a PNG, and the names of what has no room in one.

    Args:
        metadata: What to carry.
        size: Width and height of the PNG's pixels.
        mode: Its mode, by Pillow's name: L, LA, RGB or RGBA.
    """
    chunks, dropped = [], []
    lengths = {b"sBIT": len(mode), b"bKGD": 2 if mode in ("L", "LA") else 6}
    for chunk in metadata.png_chunks:
        if lengths.get(chunk.kind, len(chunk.data)) == len(chunk.data):
            chunks.append(chunk)
        else:
            dropped.append(f"PNG {chunk.kind.decode('latin-1')}")
    if metadata.icc is not None:
        if metadata.icc[16:20] != (b"GRAY" if mode in ("L", "LA") else b"RGB "):
            dropped.append(_GREY_PROFILE)
        elif len(metadata.icc) > TEXT_LIMIT:
            dropped.append(f"ICC profile of {len(metadata.icc):,} bytes, of which Pillow reads {TEXT_LIMIT:,} in a PNG")
        else:
            chunks.append(Chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    exif = metadata.exif and (patch_exif(metadata.exif, size) or (None,))[0]
    if exif is not None:
        chunks.append(Chunk(b"eXIf", exif[len(EXIF_HEADER) :]))
    if metadata.density is not None:
        across, down, unit = metadata.density
        factor = {1: 1 / 0.0254, 2: 100.0}.get(unit, 1.0)
        values = round(across * factor), round(down * factor)
        chunks.append(Chunk(b"pHYs", struct.pack(">IIB", *values, int(unit != 0))))
    if metadata.xmp is not None and len(metadata.xmp) <= LARGEST_BLOCK:
        chunks.append(Chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.extended_xmp:
        dropped.append("extended XMP in a PNG")
    if metadata.iptc is not None:
        # As ImageMagick and ExifTool have it: PNG knows no IPTC.
        digits = metadata.iptc.hex()
        lines = "\n".join(digits[k : k + 72] for k in range(0, len(digits), 72))
        text = f"\niptc\n{len(metadata.iptc):8d}\n{lines}\n".encode()
        if len(text) <= TEXT_LIMIT:
            chunks.append(Chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)))
        else:
            dropped.append(f"IPTC of {len(metadata.iptc):,} bytes in a PNG")
    for comment in metadata.comments:
        if b"\0" in comment.rstrip(b"\0"):
            dropped.append("comment with zero bytes in a PNG")
        else:
            chunks.append(text_chunk("Comment", comment.rstrip(b"\0")))
    return chunks, tuple(dropped)


def _utf8(text: bytes) -> bytes:
    """A PNG's text, Latin-1 or UTF-8, as a JPEG's comment, of which no standard says what it is in, is understood."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1").encode("utf-8")
    return text


def _pieces(data: bytes, length: int) -> list[bytes]:
    return [data[k : k + length] for k in range(0, len(data), length)]
