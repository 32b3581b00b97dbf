"""Fetching the known datasets: downloaded or taken from a folder, checked, unpacked, and put in place in one step."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from art_crop.datasets.paths import existing_folder
from art_crop.datasets.sources import DatasetSource
from art_crop.datasets.unpacking import unpack
from art_crop.downloads import RemoteFile, Tell, cache_folder, download, transfer_bar
from art_crop.errors import DownloadError, InvalidInputError, OutputError

__all__ = ["contents_sha256", "dataset_root", "fetch", "located"]

_CHUNK = 1 << 20


def located(name: str) -> Path | None:
    """Folder of a dataset that was fetched: where ``--to`` put it last, else in the cache folder; None: not here."""
    try:
        chosen = Path(_pointer(name).read_text("utf-8").strip())
    except (OSError, ValueError):
        chosen = None
    for folder in (chosen, _own_folder(name)):
        if folder is not None and folder.is_absolute() and folder.is_dir():
            return folder
    return None


def dataset_root(root: str | os.PathLike[str] | None, source: DatasetSource) -> Path:
    """The folder to open: the one that is given, else the one that was fetched.

    Raises:
        InvalidInputError: it is no folder, or the dataset was not fetched; the message says how to get it.
    """
    if root is not None:
        return existing_folder(root, "root")
    found = located(source.name)
    if found is None:
        raise InvalidInputError(f"root: {source.name} is not on this machine: {source.cure}")
    return found


def fetch(
    source: DatasetSource,
    *,
    to: str | os.PathLike[str] | None = None,
    origin: str | os.PathLike[str] | None = None,
    accept_terms: bool = False,
    again: bool = False,
    progress: bool = True,
) -> Path:
    """Get a dataset, unless it is here already, so that it can be opened without naming a folder.

    Nothing is in place before all of it is there and checked. A broken download goes on where it stopped.

    Args:
        source: Which dataset.
        to: A folder for it, new or empty; None for one in the cache folder.
        origin: Where its files are instead of at their publishers': a folder, a file where it has only one, or an
            address (HTTPS, or HTTP from this machine) to which the files' names are added.
        accept_terms: The publishers' terms are accepted.
        again: Get it though it is here.
        progress: Show a progress bar on the error stream.

    Returns:
        Its folder.

    Raises:
        InvalidInputError: it is not one to download, or its terms are not accepted, or an argument cannot be used.
        DownloadError: the network failed, or what came is not the published data.
        OutputError: the folder cannot be written.
    """
    target = _own_folder(source.name) if to is None else Path(to).expanduser().absolute()
    found = located(source.name)
    if found is not None and not again and (to is None or found == target):
        return found
    _check_allowed(source, origin, accept_terms)
    if to is not None and target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InvalidInputError(f"to must be a new or an empty folder; {target} is not")
    staging = target.parent / f".{source.name}.partial"
    try:
        unpacked = _gathered(source, origin, staging, progress)
        _put_in_place(unpacked, target)
        shutil.rmtree(staging)
        if to is None:
            _pointer(source.name).unlink(missing_ok=True)
        else:
            _pointer(source.name).parent.mkdir(parents=True, exist_ok=True)
            _pointer(source.name).write_text(f"{target}\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {source.name} in {target}: {error.strerror or error}") from error
    return target


def contents_sha256(folder: Path) -> str:
    """SHA-256 of what ``sha256sum`` prints for all files below a folder, in the order of their names."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    lines = [f"{_digest(folder / name, 'sha256')}  {name}\n" for name in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_allowed(source: DatasetSource, origin: object, accept_terms: bool) -> None:
    if not source.parts or (source.by_hand and origin is None):
        raise InvalidInputError(f"{source.name} cannot be downloaded automatically: {source.cure}")
    if source.terms and not accept_terms:
        raise InvalidInputError(
            f"{source.name} is {source.terms} (see {source.page}); if you accept that, add --accept-terms"
        )


def _gathered(source: DatasetSource, origin: str | os.PathLike[str] | None, staging: Path, progress: bool) -> Path:
    """All files of the dataset in ``staging/unpacked``, checked. What is wrong is thrown away, what is half stays."""
    sizes = [part.file.size if part.file.exact else None for part in source.parts]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with transfer_bar(source.name, total, shown=progress) as tell:
        files = [_obtained(source, part.file, origin, staging, tell) for part in source.parts]
    unpacked = staging / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir(parents=True)
    try:
        for part, file in zip(source.parts, files, strict=True):
            if part.keep:
                unpack(file, unpacked, part.keep)
            else:
                shutil.copyfile(file, unpacked / part.file.name)
        if source.contents and contents_sha256(unpacked) != source.contents:
            raise DownloadError(f"what came of {source.name} is not the published data (its SHA-256 differs)")
    except DownloadError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return unpacked


def _obtained(
    source: DatasetSource, file: RemoteFile, origin: str | os.PathLike[str] | None, staging: Path, tell: Tell
) -> Path:
    """Where the file is: downloaded, or found in the folder that the user names."""
    what = source.name if len(source.parts) == 1 else f"{source.name} ({file.name})"
    if origin is None or "://" in str(origin):
        url = None if origin is None else f"{str(origin).rstrip('/')}/{file.name}"
        return download(file, staging, what=what, url=url, tell=tell, resume=True)
    place = Path(origin).expanduser()
    path = place if place.is_file() and len(source.parts) == 1 else place / file.name
    if not path.is_file():
        raise InvalidInputError(f"from: there is no file {path}; {source.name} needs {file.name}, see {source.page}")
    if path.stat().st_size > file.size or (file.known_hash and not _is_published(path, file)):
        raise InvalidInputError(f"from: {path} is not the published file (its hash differs)")
    return path


def _put_in_place(unpacked: Path, target: Path) -> None:
    """Rename, so that the dataset appears whole; an older copy in the cache is gone only then."""
    older = unpacked.parent / "older"
    shutil.rmtree(older, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(older)
    unpacked.rename(target)


def _is_published(path: Path, file: RemoteFile) -> bool:
    algorithm, _, expected = file.known_hash.partition(":")
    return _digest(path, algorithm) == expected


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _own_folder(name: str) -> Path:
    return cache_folder() / "datasets" / name


def _pointer(name: str) -> Path:
    """File that remembers where ``--to`` put a dataset."""
    return cache_folder() / "datasets" / f"{name}.path"
