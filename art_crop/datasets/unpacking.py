"""Taking files out of an archive that may be hostile: by pattern, below one folder, never a link, never too much."""

from __future__ import annotations

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import IO

from art_crop.errors import DownloadError

__all__ = ["unpack"]

_CHUNK = 1 << 20
_LONGEST_HEADER, _LONGEST_NAME = 1 << 16, 4096  # bytes; letters
_EXTENDED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_DAMAGE = (  # what the readers raise on bytes that are no archive, or an encrypted one
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
)


@dataclass(frozen=True)
class _Member:
    """An entry of an archive: its name as written there, its size, whether it is a plain file, and its bytes."""

    name: str
    size: int
    plain: bool
    folder: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    into: Path,
    keep: Sequence[tuple[str, int]],
    *,
    most_files: int = 500_000,
    most_bytes: int = 16 << 30,
) -> int:
    """Unpack the plain files of a ZIP or TAR archive that match a pattern; returns how many.

    Args:
        archive: The file.
        into: Where its files go; folders are made as needed, and nothing that exists is written over.
        keep: Patterns with how many leading folders are dropped; see :class:`~art_crop.datasets.sources.Part`.
        most_files: Entries that are allowed.
        most_bytes: Bytes that are allowed, unpacked, whether they are kept or not.

    Raises:
        DownloadError: the archive is damaged, or a name leads out of it, or something that is to be kept is no plain
            file or is there twice, or there is too much of it, or nothing that is to be kept.
        OSError: the files cannot be written.
    """
    entries = total = kept = 0
    with _opened(archive) as members:
        for member in members:
            entries, total = entries + 1, total + max(0, member.size)
            if entries > most_files or total > most_bytes:
                limits = f"{most_files:,} files or {most_bytes:,} bytes"
                raise DownloadError(f"{archive.name} holds more than the allowed {limits}")
            parts = _checked(archive, member.name)
            drop = next((drop for pattern, drop in keep if _matches(parts, pattern)), None)
            if drop is None or member.folder:
                continue
            if not member.plain:
                raise DownloadError(f"{archive.name}: {member.name!r} is a link or a device, not a plain file")
            # Separators and drives on some systems; a line end could forge a line of a list of contents.
            if any(mark in "\\:" or not mark.isprintable() for part in parts for mark in part):
                raise DownloadError(f"{archive.name}: {member.name!r} is no name for a file here")
            target = into.joinpath(*parts[drop:])
            if target.exists():
                raise DownloadError(f"{archive.name} holds {'/'.join(parts[drop:])!r} twice")
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(archive, member, target)
            kept += 1
    if not kept:
        raise DownloadError(f"{archive.name} holds nothing of the form {' or '.join(pattern for pattern, _ in keep)}")
    return kept


def _checked(archive: Path, name: str) -> tuple[str, ...]:
    """The names between the slashes; an entry that could lead anywhere else spoils the whole archive."""
    if len(name) > _LONGEST_NAME:
        raise DownloadError(f"{archive.name}: a name of {len(name):,} letters; at most {_LONGEST_NAME:,} are allowed")
    parts = tuple(part for part in name.rstrip("/").split("/") if part != ".") or (".",)
    if "" in parts or ".." in parts:
        raise DownloadError(f"{archive.name}: {name!r} leads out of the archive's own folder; nothing of it is kept")
    return parts


def _matches(parts: Sequence[str], pattern: str) -> bool:
    wanted = pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _write(archive: Path, member: _Member, target: Path) -> None:
    left = member.size
    with member.open() as source, target.open("xb") as file:
        while piece := source.read(_CHUNK):
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)
    if left:
        raise DownloadError(f"{archive.name}: {member.name!r} has not the size that the archive states")


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Member]]:
    """The entries, read one after another; whatever the readers raise on damaged bytes becomes a DownloadError."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                yield _zip_members(packed)
        else:
            with tarfile.open(archive, "r:*", tarinfo=_Header) as tar:
                yield _tar_members(tar)
    except _DAMAGE as error:
        raise DownloadError(f"{archive.name} is damaged or not an archive that is read here: {error}") from error


def _zip_members(packed: zipfile.ZipFile) -> Iterator[_Member]:
    for info in packed.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was made on a system without modes
        plain = mode in (0, stat.S_IFREG)
        yield _Member(info.filename, info.file_size, plain, info.is_dir(), partial(packed.open, info))


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    while (info := tar.next()) is not None:
        yield _Member(info.name, info.size, info.isreg(), info.isdir(), partial(_tar_open, tar, info))
        tar.members.clear()  # type: ignore[attr-defined] # which would hold every name there was


class _Header(tarfile.TarInfo):
    """A header of bounded length: tarfile reads long names and extended headers into memory, however long they say."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > _LONGEST_HEADER:
            raise tarfile.HeaderError(f"a header of {self.size:,} bytes; at most {_LONGEST_HEADER:,} are allowed")
        if self.type == tarfile.XGLTYPE:  # which add up over the archive
            tar.pax_headers = {}
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.HeaderError("a sparse file, which is not read here")
        return super()._proc_member(tar)  # type: ignore[misc, no-any-return]


def _tar_open(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    source = tar.extractfile(info)
    if source is None:
        raise tarfile.ReadError(f"{info.name} has no bytes")
    return source
