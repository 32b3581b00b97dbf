"""The photos of a folder, in the order of their names, each read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from art_crop.datasets.paths import existing_folder
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.errors import InvalidInputError

__all__ = ["EXTENSIONS", "Folder"]

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".heic", ".heif", ".avif"),
)
"""Endings of file names, in lower case, that are taken for photos."""


class Folder(PhotoSet[PhotoItem]):
    """The photos of a folder as a sequence of :class:`PhotoItem`, sorted by name.

    Args:
        root: The folder. Hidden files and files with other endings are passed over.
        recursive: Also take the photos of the folders inside it, hidden ones excepted.
        extensions: Endings to take, in any case.

    Raises:
        InvalidInputError: ``root`` is not a folder, or holds no photo.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, recursive: bool = False, extensions: Sequence[str] = EXTENSIONS
    ) -> None:
        self.root = existing_folder(root, "root")
        if isinstance(extensions, str) or not extensions or not all(ending.startswith(".") for ending in extensions):
            raise InvalidInputError(f"extensions must be endings that start with a dot, got {extensions!r}")
        wanted = {ending.lower() for ending in extensions}
        names = sorted(
            file.relative_to(self.root).as_posix()
            for file in (self.root.rglob("*") if recursive else self.root.iterdir())
            if file.suffix.lower() in wanted and file.is_file() and not _is_hidden(file.relative_to(self.root))
        )
        if not names:
            inside = "" if recursive else "; the folders inside it are searched only with recursive=True"
            endings = ", ".join(sorted(wanted))
            raise InvalidInputError(f"root must hold photos ({endings}), found none in {self.root}{inside}")
        super().__init__(PhotoItem(name, self.root / name) for name in names)


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith(".") for part in inside.parts)
