"""The parts of a JPEG file (ITU-T T.81, annex B) without its pixels: segments, scans, tables, and where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

__all__ = ["END", "JpegFile", "find_jpegs", "jpeg_segments", "parse_jpeg", "segment"]

END = b"\xff\xd9"
SCAN, TABLE, COMMENT = 0xDA, 0xDB, 0xFE
MOST_SEGMENTS = 20_000
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# In coded data FF is followed by a zero or a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_START = re.compile(rb"\xff\xd8\xff[\xc0-\xc4\xdb\xdd\xe0-\xef\xfe]")
_SUBSAMPLINGS = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1", (4, 2): "4:1:0"}
_WRITTEN = ("4:4:4", "4:2:2", "4:2:0")

# T.81, tables K.1 and K.2, in the order of reading (rows).
_LUMA = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 18 22 37 56
68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
_CHROMA = "17 18 24 47 18 21 26 66 24 26 56 99 47 66 99 99"
_ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, (k // 8) if (k // 8 + k % 8) % 2 else (k % 8)))


@dataclass(frozen=True)
class JpegFile:
    """What stands around the pixels of a JPEG file.

    Attributes:
        segments: Marker and content of every application and comment segment before the end of the picture.
        tables: Quantisation steps by number, in the order of the file (zigzag).
        frame: Content of the frame header, ``b""`` if there is none.
        scans: Headers of the scans, without those after ``most_scans`` of :func:`parse_jpeg`.
        end: Bytes up to and with the end marker; ``None`` where the file stops before it.
        count: Segments of all kinds, at most one more than :data:`MOST_SEGMENTS`.
        kind: Marker of the frame header: 0xC0 to 0xC2 for Huffman coding of the DCT.
    """

    segments: tuple[tuple[int, bytes], ...]
    tables: dict[int, list[int]]
    frame: bytes
    scans: tuple[bytes, ...]
    end: int | None
    count: int
    kind: int

    @property
    def settings(self) -> tuple[int, str] | None:
        """Quality of libjpeg and subsampling; the nearest ones, where the file has others."""
        components = self._components
        if not components:
            return None
        luma = self.tables.get(components[0][2])
        chroma = self.tables.get(components[1][2]) if len(components) == 3 else None
        if luma is None:
            return None
        found = np.array([luma] if chroma is None else [luma, chroma])
        distances = [np.abs(np.log(found / standard_tables(q)[: len(found)])).sum() for q in range(100, 0, -1)]
        quality = 100 - int(np.argmin(distances))
        return quality, self.sampling if chroma is not None and self.sampling in _WRITTEN else "4:2:0"

    @property
    def sampling(self) -> str:
        """Chroma subsampling, "4:0:0" of a grey file; "unusual" where the second and third component differ, or so."""
        components = self._components
        if len(components) < 2:
            return "4:0:0"
        across, down = ([component[1] >> shift & 15 for component in components] for shift in (4, 0))
        if len({*across[1:3]}) > 1 or len({*down[1:3]}) > 1 or across[0] % across[1] or down[0] % down[1]:
            return "unusual"
        return _SUBSAMPLINGS.get((across[0] // across[1], down[0] // down[1]), "unusual")

    @property
    def component_tables(self) -> tuple[tuple[int, ...], ...]:
        """Quantisation steps of the components, row by row; the last ones stand for all that follow, too.

        Two for Y, and for Cb and Cr; one where all share it; none where the file lacks a table that it names.
        """
        numbers = [component[2] for component in self._components]
        while len(numbers) > 1 and numbers[-1] == numbers[-2]:
            numbers.pop()
        if any(number not in self.tables for number in numbers):
            return ()
        rows = np.argsort(_ZIGZAG)
        return tuple(tuple(np.array(self.tables[number])[rows].tolist()) for number in numbers)

    @property
    def _components(self) -> list[bytes]:
        """Number, sampling factors and table of each component."""
        found = [self.frame[k : k + 3] for k in range(6, len(self.frame) - 2, 3)]
        return found if self.tables and all(c[1] >> 4 and c[1] & 15 for c in found) else []

    @property
    def coefficients_are_complete(self) -> bool:
        """Whether the scans hold all bits of all frequencies; a progressive file may stop after any scan."""
        if len(self.frame) < 6:
            return False
        missing = {(c, k) for c in self.frame[6::3][: self.frame[5]] for k in range(64)}
        for scan in self.scans:
            count = scan[0] if scan else 0
            if len(scan) < 4 + 2 * count:
                return False
            first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
            if not bits & 15:
                missing -= {(c, k) for c in scan[1 : 1 + 2 * count : 2] for k in range(first, last + 1)}
        return not missing


def standard_tables(quality: int) -> np.ndarray:
    """Quantisation steps (2, 64) of luma and chroma that libjpeg uses for a quality, in zigzag order."""
    chroma = np.full((8, 8), 99)
    chroma[:4, :4] = np.array(_CHROMA.split(), int).reshape(4, 4)
    base = np.stack([np.array(_LUMA.split(), int), chroma.ravel()])[:, _ZIGZAG]
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((base * scale + 50) // 100).clip(1, 255)


def parse_jpeg(data: bytes | bytearray, start: int = 0, most_scans: int = 1000) -> JpegFile:
    """Walk through a JPEG file from its start marker to its end marker; whatever cannot be followed ends it."""
    segments: list[tuple[int, bytes]] = []
    tables: dict[int, list[int]] = {}
    scans, frame, kind, count = [], b"", 0, 0
    place, end = start + 2, None
    while (place := data.find(b"\xff", place)) >= 0 and place + 1 < len(data):
        marker = data[place + 1]
        if marker == 0xD9:
            end = place + 2
            break
        if marker == 0xFF or marker == 0 or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        count += 1
        if count > MOST_SEGMENTS:
            break
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        content = bytes(data[place + 4 : place + 2 + length])
        if length < 2 or len(content) != length - 2:
            break
        place += 2 + length
        if 0xE0 <= marker <= 0xEF or marker == COMMENT:
            segments.append((marker, content))
        elif marker == TABLE:
            tables.update(_tables(content))
        elif marker in _FRAMES and not frame:
            frame, kind = content, marker
        elif marker == SCAN:
            scans.append(content)
            found = _MARKER.search(data, place)
            if found is None or len(scans) > most_scans or len(content) < 4 + 2 * (content or b"\0")[0]:
                break
            place = found.start()
    return JpegFile(tuple(segments), tables, frame, tuple(scans), end, count, kind)


def _tables(content: bytes) -> Iterator[tuple[int, list[int]]]:
    """Quantisation tables of one segment, T.81 B.2.4.1."""
    place = 0
    while place < len(content):
        wide, number = content[place] >> 4, content[place] & 15
        size = 128 if wide else 64
        steps = content[place + 1 : place + 1 + size]
        if len(steps) == size:
            values = np.frombuffer(steps, ">u2" if wide else "u1").astype(int)
            if values.all():
                yield number, values.tolist()
        place += 1 + size


def find_jpegs(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Start and end of whole JPEG pictures that stand somewhere in ``data``: previews in makers' notes."""
    place = 0
    for match in islice(_START.finditer(data), 256):
        if match.start() >= place:
            found = parse_jpeg(data, match.start())
            if found.scans:
                place = found.end or len(data)
                if found.frame:
                    yield match.start(), place


def jpeg_segments(jpeg: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Marker and start of every segment of a JPEG file, up to its first scan; for files that were written here."""
    marker, start = 0, 2
    while marker != SCAN:
        marker = jpeg[start + 1]
        yield marker, start
        start += 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")


def segment(marker: int, content: bytes) -> bytes:
    """One segment as it stands in a file; ``content`` of at most 65,533 bytes."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content
