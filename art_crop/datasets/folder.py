"""The photos of a folder, in the order of their names, each read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from art_crop.errors import InvalidInputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Endings of file names, in lower case, that are taken for photos."""


@dataclass(frozen=True)
class PhotoItem:
    """One photo of a dataset.

    Attributes:
        name: Path inside the dataset's folder, with forward slashes: the same on every system.
        path: Where the file lies.
    """

    name: str
    path: Path

    def load(self) -> NDArray[np.uint8]:
        """Read the pixels, upright RGB, uint8 ``(height, width, 3)``; nothing is kept.

        Raises:
            ImageFileError: the file is not a photo that can be read safely; the other items stay usable.
        """
        from art_crop.photo import load_photo

        return load_photo(self.path).pixels


class Folder(Sequence[PhotoItem]):
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
            raise InvalidInputError(f"root must hold photos ({', '.join(sorted(wanted))}), found none in {self.root}")
        self._items = tuple(PhotoItem(name, self.root / name) for name in names)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> PhotoItem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PhotoItem]: ...
    def __getitem__(self, index: int | slice) -> PhotoItem | Sequence[PhotoItem]:
        return self._items[index]

    def __iter__(self) -> Iterator[PhotoItem]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Folder({str(self.root)!r}, {len(self)} photos)"


def existing_folder(path: str | os.PathLike[str], name: str) -> Path:
    """Return ``path`` with ``~`` expanded; raise InvalidInputError, which names the argument, if it is no folder."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise InvalidInputError(f"{name} must be an existing folder; {folder} {state}")
    return folder


def _is_hidden(inside: Path) -> bool:
    return any(part.startswith(".") for part in inside.parts)
