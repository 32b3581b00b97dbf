"""EXIF for changed pixels, by the fewest changed bytes: what is not the orientation, a size or a preview stays.

A block is a small TIFF file (CIPA DC-008 "Exif 2.32", 4.5; TIFF 6.0, section 2): directories of 12-byte entries, whose
values lie anywhere in it. Camera makers' notes point into it by position too, so nothing is moved, only overwritten.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from art_crop.images.jpeg_file import find_jpegs

__all__ = ["EXIF_HEADER", "Entry", "TiffReader", "patch_exif", "tiff_exif"]

EXIF_HEADER = b"Exif\0\0"
ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 274, 0x8769, 0x8825, 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_STARTS, _LENGTHS = (513, 273, 324), (514, 279, 325)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SHORT, _LONG = 3, 4
_MOST_ENTRIES, _MOST_DIRECTORIES = 4096, 16
_LARGEST_TAG, _LARGEST_BLOCK = 60_000, 2**24
# How a TIFF file's bytes lie in it, rather than what they show; its XMP, IPTC, Photoshop and ICC go their own way.
_LAYOUT = frozenset(
    number
    for first, last in (
        (254, 259),
        (262, 266),
        (273, 273),
        (277, 281),
        (284, 284),
        (288, 293),
        (297, 300),
        (317, 317),
        (320, 347),
    )
    for number in range(first, last + 1)
) | {*range(512, 522), *range(529, 533), 559, 700, 33723, 34377, 34675, 37724}
Range = tuple[int, int]


class Entry(NamedTuple):
    """One tag of a directory."""

    place: int
    """Where the entry itself stands."""
    tag: int
    kind: int
    items: int
    start: int
    """Where its value stands: in the entry, or elsewhere."""
    length: int
    """Bytes of the value."""


class TiffReader:
    """Directories of a TIFF file, or of EXIF, which is one.

    Args:
        read: Gives ``length`` bytes at a position, fewer at the end.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self.read = read
        head = read(0, 16)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        magic = self.number(head[2:4]) if self.order else 0
        self.big = magic == 43
        if magic not in (42, 43) or len(head) < (16 if self.big else 8):
            raise ValueError("no TIFF header")
        self.first = self.number(head[8:16] if self.big else head[4:8])

    def number(self, data: bytes | bytearray) -> int:
        """An unsigned number in the byte order of the file."""
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def directory(self, start: int) -> tuple[list[Entry], int]:
        """Entries of the directory at ``start`` (perhaps none), and where its pointer to the next one stands."""
        head, size, width = (8, 20, 8) if self.big else (2, 12, 4)
        count = self.number(self.read(start, head)) if start >= 8 else 0
        if count > _MOST_ENTRIES:
            return [], 0
        data, entries = self.read(start + head, size * count), []
        for place in range(0, len(data) - size + 1, size):
            tag, kind = self.number(data[place : place + 2]), self.number(data[place + 2 : place + 4])
            number = self.number(data[place + 4 : place + 4 + width])
            length, value = _SIZES.get(kind, 0) * number, start + head + place + 4 + width
            if length > width:
                value = self.number(data[place + 4 + width : place + size])
            entries.append(Entry(start + head + place, tag, kind, number, value, length))
        return entries, start + head + size * count

    def numbers(self, entry: Entry) -> list[int]:
        """Values of an entry of whole numbers, at most a few thousand."""
        size = _SIZES.get(entry.kind, 1)
        data = self.read(entry.start, min(entry.length, size * _MOST_ENTRIES))
        return [self.number(data[k : k + size]) for k in range(0, len(data), size)]

    def tree(self) -> Iterator[tuple[int, list[Entry]]]:
        """The first directory (0), and EXIF, GPS and interoperability by the tags that point to them."""
        found, seen = [(0, self.first)], set()
        while found:
            tag, start = found.pop(0)
            if start not in seen:
                seen.add(start)
                entries, _ = self.directory(start)
                yield tag, entries
                found += [(e.tag, self.numbers(e)[0]) for e in entries if e.tag in _POINTERS and self.numbers(e)]


def patch_exif(block: bytes, size: tuple[int, int]) -> tuple[bytes, tuple[str, ...]] | None:
    r"""Make an EXIF block right for upright pixels: orientation 1, pixel size corrected, previews removed.

    Previews go because they would go on showing the picture before the change.

    Args:
        block: With or without ``Exif\0\0`` before it.
        size: Upright width and height in pixels.

    Returns:
        The block with ``Exif\0\0``, and names of what was removed; ``None`` if it is damaged beyond reading.
    """
    data = bytearray(block[6:] if block.startswith(EXIF_HEADER) else block)
    if len(data) > _LARGEST_BLOCK:
        return None
    try:
        tiff = TiffReader(lambda start, length: bytes(data[start : start + length]))
    except ValueError:
        return None
    first, pointer = tiff.directory(tiff.first)
    if tiff.big or not first:
        return None
    live: list[Range] = [(0, 8)]
    directories: list[Range] = [(0, 8)]
    for tag, entries in list(tiff.tree()):
        if entries:
            directories.append((entries[0].place - 2, entries[-1].place + 16))
        live += [(e.start, e.start + e.length) for e in entries]
        for entry in entries:
            if tag == 0 and entry.tag == ORIENTATION:
                data[entry.place + 2 : entry.place + 12] = struct.pack(tiff.order + "HIHH", _SHORT, 1, 1, 0)
            elif tag == EXIF_IFD and entry.tag in (_WIDTH, _HEIGHT):
                side = size[entry.tag - _WIDTH]
                if tiff.numbers(entry)[:1] != [side]:
                    data[entry.place + 2 : entry.place + 12] = struct.pack(tiff.order + "HII", _LONG, 1, side)
    removed = ["EXIF thumbnail"] if _remove_thumbnail(data, tiff, pointer, live + directories) else []
    previews = list(find_jpegs(data))
    _erase(data, previews, directories)
    return EXIF_HEADER + bytes(data), (*removed, *["maker's preview"][: len(previews)])


def _remove_thumbnail(data: bytearray, tiff: TiffReader, pointer: int, live: list[Range]) -> bool:
    """Erase the directories after the first, and what they alone point to; cut off what this leaves at the end."""
    start, gone = tiff.number(data[pointer : pointer + 4]), []
    seen: set[int] = set()
    while start and start not in seen and len(seen) < _MOST_DIRECTORIES:
        seen.add(start)
        entries, following = tiff.directory(start)
        if not entries:
            break
        gone += [(start, following + 4)] + [(e.start, e.start + e.length) for e in entries]
        for one, other in zip(_STARTS, _LENGTHS, strict=True):
            starts = next((tiff.numbers(e) for e in entries if e.tag == one), [])
            lengths = next((tiff.numbers(e) for e in entries if e.tag == other), [])
            gone += [(a, a + b) for a, b in zip(starts, lengths, strict=False)]
        start = tiff.number(data[following : following + 4])
    data[pointer : pointer + 4] = bytes(len(data[pointer : pointer + 4]))
    erased = _erase(data, gone, live)
    for first, last in reversed(erased):
        if last < len(data):
            break
        del data[first:]
    return bool(gone)


def _erase(data: bytearray, ranges: list[Range], kept: list[Range]) -> list[Range]:
    """Overwrite ranges with zeros, except for what is kept; returns what was overwritten."""
    gone = np.zeros(len(data) + 1, bool)
    for mark, these in ((True, ranges), (False, kept)):
        for start, end in _merged(these):
            gone[start : min(end, len(data))] = mark
    np.frombuffer(data, np.uint8)[gone[:-1]] = 0
    edges = np.flatnonzero(np.diff(gone, prepend=False))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _merged(ranges: list[Range]) -> list[Range]:
    """Ranges without overlaps, so that many of them cost no more than one."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def tiff_exif(tiff: TiffReader) -> tuple[bytes | None, tuple[str, ...]]:
    """Make an EXIF block of those tags of a TIFF file that describe the photo, each value's bytes as they are.

    Returns:
        The block (``None`` without such tags), and names of tags that are too large for one.
    """
    tables: dict[int, list[tuple[Entry, bytes]]] = {}
    dropped, room = [], _LARGEST_BLOCK
    for tag, entries in tiff.tree():
        tables[tag] = []
        for entry in entries:
            if (tag == 0 and entry.tag in _LAYOUT) or entry.tag in _POINTERS or entry.kind >= 16:
                continue
            room -= entry.length
            if entry.length > _LARGEST_TAG or not entry.length or room < 0:
                dropped.append(f"TIFF tag {entry.tag}")
            else:
                tables[tag].append((entry, tiff.read(entry.start, entry.length)))
    tables = {tag: table for tag, table in tables.items() if table or tag == 0}
    if tables.keys() == {0} and not tables[0]:
        return None, tuple(dropped)
    # INTEROP hangs on EXIF, and both others on the first directory.
    inner = {0: [t for t in (EXIF_IFD, GPS_IFD) if t in tables], EXIF_IFD: [t for t in (INTEROP_IFD,) if t in tables]}
    place, starts = 8, {}
    for tag, table in tables.items():
        starts[tag] = place
        place += 6 + 12 * (len(table) + len(inner.get(tag, [])))
        place += sum(len(value) + len(value) % 2 for _, value in table if len(value) > 4)
    block = struct.pack(tiff.order + "2sHI", b"II" if tiff.order == "<" else b"MM", 42, 8)
    for tag, table in tables.items():
        rows = [(e.tag, e.kind, e.items, value) for e, value in table]
        rows += [(t, _LONG, 1, struct.pack(tiff.order + "I", starts[t])) for t in inner.get(tag, [])]
        body, values, place = struct.pack(tiff.order + "H", len(rows)), b"", starts[tag] + 6 + 12 * len(rows)
        for number, kind, count, value in sorted(rows):
            body += struct.pack(tiff.order + "HHI", number, kind, count)
            if len(value) > 4:
                body += struct.pack(tiff.order + "I", place + len(values))
                values += value + bytes(len(value) % 2)
            else:
                body += value.ljust(4, b"\0")
        block += body + bytes(4) + values
    return EXIF_HEADER + block, tuple(dropped)
