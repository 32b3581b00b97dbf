"""XMP packets and Photoshop's image resources (IPTC among them) for changed pixels: bytes stay, previews go.

XMP: ISO 16684-1 and Adobe's "XMP Specification Part 3". Image resources: "Adobe Photoshop File Formats Specification".
"""

from __future__ import annotations

import re
from itertools import islice

__all__ = ["HAS_GAIN_MAP", "IPTC", "iptc_resource", "patch_resources", "patch_xmp"]

IPTC = 0x0404
_THUMBNAILS = (0x0409, 0x040C)
_COPIES = {0x0422: "Photoshop's copy of EXIF", 0x0423: "Photoshop's copy of EXIF", 0x0424: "Photoshop's copy of XMP"}
HAS_GAIN_MAP = re.compile(rb"hdrgm:Version|HDRGainMap")
_TIFF_PREFIX = re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")
_PREVIEW = re.compile(rb"(<xmpGImg:image\b[^>]{0,200}>|xmpGImg:image\s*=\s*[\"'])([^<\"']+)")
# Promises of data that stand outside the packet and are not written.
_PROMISES = re.compile(
    rb"\s(?:hdrgm:Version|HDRGainMap:HDRGainMapVersion|GCamera:Micro[vV]ideo|GCamera:MotionPhoto)"
    rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')"
)
_EXTENSION = re.compile(rb"\sxmpNote:HasExtendedXMP\s*=\s*(?:\"[^\"]*\"|'[^']*')")


def patch_xmp(packet: bytes, *, extended: bool = True) -> tuple[bytes | None, tuple[str, ...]]:
    """Make a packet right for upright pixels: orientation 1, no preview, no promise of a gain map or a film.

    The length stays, and so does every other byte.

    Args:
        packet: The packet, in UTF-8.
        extended: The extension that it may announce is kept.

    Returns:
        The packet (``None`` if it cannot be kept), and names of what was removed.
    """
    if b"\0" in packet.rstrip(b"\0"):  # UTF-16 and UTF-32 are allowed outside JPEG, and nobody writes them
        return None, ("XMP that is not UTF-8",)
    prefixes = b"|".join({b"tiff", *(re.escape(m.group(1)) for m in islice(_TIFF_PREFIX.finditer(packet), 8))})
    packet = re.sub(
        rb"((?:" + prefixes + rb"):Orientation\s*(?:=\s*[\"']|>)\s*)([2-9])",
        lambda match: match.group(1) + b"1",
        packet,
    )
    for pattern in (_PROMISES,) if extended else (_PROMISES, _EXTENSION):
        packet = pattern.sub(lambda match: b" " * len(match.group()), packet)
    without = _PREVIEW.sub(lambda match: match.group(1) + b" " * len(match.group(2)), packet)
    return without, ("XMP thumbnail",) if without != packet else ()


def patch_resources(data: bytes) -> tuple[bytes | None, tuple[str, ...]]:
    """Leave thumbnails and copies of other metadata out of Photoshop's image resources; the others stay as they are."""
    kept, dropped, place = [], [], 0
    while place + 12 <= len(data) and data[place : place + 4] in (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR"):
        number = int.from_bytes(data[place + 4 : place + 6], "big")
        name = data[place + 6] + 1
        content = place + 6 + name + name % 2
        length = int.from_bytes(data[content : content + 4], "big")
        end = content + 4 + length
        end = min(end + length % 2, len(data)) if end <= len(data) else len(data)
        if number in _THUMBNAILS:
            dropped.append("Photoshop thumbnail")
        elif number in _COPIES:
            dropped.append(_COPIES[number])
        else:
            kept.append(data[place:end])
        place = end
    return b"".join([*kept, data[place:]]) or None, tuple(dropped)


def iptc_resource(data: bytes) -> bytes:
    """IPTC records as an image resource; what is one already stays."""
    if data.startswith(b"8BIM"):
        return data
    return b"8BIM" + IPTC.to_bytes(2, "big") + b"\0\0" + len(data).to_bytes(4, "big") + data + bytes(len(data) % 2)
