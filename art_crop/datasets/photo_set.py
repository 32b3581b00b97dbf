"""What every dataset here is: a sequence of photos with names, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["PhotoItem", "PhotoSet"]


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
        from art_crop.images import load_photo

        return load_photo(self.path).pixels


Item = TypeVar("Item", bound=PhotoItem, covariant=True)


class PhotoSet(Sequence[Item]):
    """A sequence of :class:`PhotoItem` or of items that know more; subclasses find the items, and read none.

    Args:
        items: The photos, in the order of the set.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self._items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __repr__(self) -> str:
        where = f"{str(self.root)!r}, " if hasattr(self, "root") else ""
        return f"{type(self).__name__}({where}{len(self)} photos)"
