"""Folders and names of files that users and tables give, checked before they are used."""

from __future__ import annotations

import os
from pathlib import Path

from art_crop.errors import InvalidInputError

__all__ = ["existing_folder", "file_names", "plain_name"]


def existing_folder(path: str | os.PathLike[str], name: str) -> Path:
    """Return ``path`` with ``~`` expanded; raise InvalidInputError, which names the argument, if it is no folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise InvalidInputError(f"{name} must be an existing folder; {folder} {state}")
    return folder


def file_names(folder: Path, *endings: str) -> list[str]:
    """Names of the files of a folder, not of those inside it, that have one of the endings in any case; sorted.

    A folder that is not there has none.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith(endings) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.startswith("."))


def plain_name(name: object) -> str:
    """A file's name out of somebody's table, which becomes a path: it must not lead out of the folder.

    Raises:
        ValueError: it is not the plain name of a file.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or any(mark in name for mark in '/\\:\0"\n'):
        raise ValueError(f"{name!r} is not a file name")
    return name
