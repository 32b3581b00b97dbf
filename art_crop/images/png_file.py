"""The chunks of a PNG file (W3C "PNG specification, third edition", 5 and 11) other than its pixels."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from art_crop.errors import ImageFileError

__all__ = ["SIGNATURE", "Chunk", "PngFile", "insert_chunks", "parse_png", "text_chunk"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT_LIMIT = 2**20
"""Most bytes of a compressed text or profile that Pillow unpacks; a PNG that holds more cannot be opened by it."""
PROFILE_LIMIT = 2**24
_MEMORY_LIMIT = 2**26
_MOST_CHUNKS = 200_000
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


class Chunk(NamedTuple):
    """One chunk."""

    kind: bytes
    data: bytes
    after: bool = False
    """It stands after the pixels."""


@dataclass(frozen=True)
class PngFile:
    """What stands around the pixels of a PNG file.

    Attributes:
        header: Content of IHDR: width, height, bit depth, colour type and methods.
        chunks: Ancillary chunks that are whole and safe to unpack.
        icc: The unpacked ICC profile.
        dropped: Names of those that are not.
        unsafe: Start and end of chunks that Pillow must not be given, for it would refuse the whole file.
    """

    header: bytes
    chunks: tuple[Chunk, ...]
    icc: bytes | None
    dropped: tuple[str, ...]
    unsafe: tuple[tuple[int, int], ...]

    def without_unsafe(self, file: Path) -> io.BytesIO:
        """The file without its unsafe chunks."""
        parts, place = [], 0
        with file.open("rb") as stream:
            for start, end in self.unsafe:
                parts.append(stream.read(start - place))
                stream.seek(end)
                place = end
            parts.append(stream.read())
        return io.BytesIO(b"".join(parts))


def parse_png(file: Path) -> PngFile:
    """Read all ancillary chunks of a PNG file; its pixels are skipped.

    Raises:
        ImageFileError: More than 200,000 chunks.
        OSError: The file cannot be read.
    """
    header, icc, after, budget, count = b"", None, False, _MEMORY_LIMIT, 0
    chunks: list[Chunk] = []
    dropped: list[str] = []
    unsafe: list[tuple[int, int]] = []
    size = file.stat().st_size
    with file.open("rb") as stream:
        place = len(SIGNATURE)
        while place + 12 <= size:
            stream.seek(place)
            length, kind = struct.unpack(">I4s", stream.read(8))
            start, place = place, place + 12 + length
            count += 1
            if count > _MOST_CHUNKS:
                raise ImageFileError(f"{file} has more than {_MOST_CHUNKS:,} chunks; allowed: at most that many")
            if place > size or kind == b"IEND":
                break
            if kind in (b"PLTE", b"IDAT"):
                after |= kind == b"IDAT"
                continue
            name = kind.decode("latin-1") if kind.isalpha() else repr(kind)
            budget -= length
            if budget < 0:
                unsafe.append((start, place))
                dropped.append(f"PNG {name} (more than {_MEMORY_LIMIT:,} bytes beside the pixels)")
                continue
            data, (checksum,) = stream.read(length), struct.unpack(">I", stream.read(4))
            if kind == b"IHDR":
                header = data
            elif checksum != zlib.crc32(kind + data):
                dropped.append(f"damaged PNG {name}")
            elif kind == b"iCCP":
                icc = _inflate(data.partition(b"\0")[2][1:], PROFILE_LIMIT)
                if icc is None:
                    dropped.append(f"ICC profile (damaged, or more than {PROFILE_LIMIT:,} bytes)")
                if icc is None or len(icc) > TEXT_LIMIT:
                    unsafe.append((start, place))
            elif kind in _TEXTS:
                text = _text(kind, data)
                budget -= len(text or b"")
                if text is None or budget < 0:
                    unsafe.append((start, place))
                    keyword = data.partition(b"\0")[0].decode("latin-1")[:79]
                    dropped.append(f"PNG text {keyword!r} (damaged, or more than {TEXT_LIMIT:,} bytes)")
                else:
                    chunks.append(Chunk(kind, data, after))
            else:
                chunks.append(Chunk(kind, data, after))
    return PngFile(header, tuple(chunks), icc, tuple(dropped), tuple(unsafe))


def _inflate(data: bytes, limit: int) -> bytes | None:
    """Unpack at most ``limit`` bytes; ``None`` if there are more, or the data is damaged."""
    unpacking = zlib.decompressobj()
    try:
        result = unpacking.decompress(data, limit + 1)
    except zlib.error:
        return None
    return result if len(result) <= limit and unpacking.eof else None


def _text(kind: bytes, data: bytes) -> bytes | None:
    """The text of a chunk; ``None`` where it is damaged or too long."""
    keyword, _, rest = data.partition(b"\0")
    if not keyword:
        return None
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflate(rest[1:], TEXT_LIMIT)
    text = rest[2:].split(b"\0", 2)[-1]  # after the language and the translated keyword
    return _inflate(text, TEXT_LIMIT) if rest[:1] == b"\1" else text


def text_of(chunk: Chunk) -> tuple[str, bytes] | None:
    """Keyword and text of a text chunk; ``None`` for another chunk."""
    if chunk.kind not in _TEXTS:
        return None
    return chunk.data.partition(b"\0")[0].decode("latin-1"), _text(chunk.kind, chunk.data) or b""


def text_chunk(keyword: str, text: bytes) -> Chunk:
    """A text as a chunk: of Latin-1 or UTF-8, whichever it is in."""
    if text.isascii():
        return Chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text)
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return Chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text)
    return Chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text)


def insert_chunks(png: bytes, chunks: list[Chunk]) -> bytes:
    """Put chunks into a PNG file: behind its header, or before its end those that stood after the pixels."""
    if not chunks:
        return png
    before = b"".join(_bytes(chunk) for chunk in chunks if not chunk.after)
    after = b"".join(_bytes(chunk) for chunk in chunks if chunk.after)
    view, head = memoryview(png), len(SIGNATURE) + 25
    return b"".join([view[:head], before, view[head:-12], after, view[-12:]])


def _bytes(chunk: Chunk) -> bytes:
    body = chunk.kind + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))
