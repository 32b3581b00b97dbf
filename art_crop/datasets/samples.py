"""The photos that come with scikit-image: enough to see whether everything works, without any download."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from art_crop.datasets.folder import PhotoItem
from art_crop.errors import InvalidInputError

__all__ = ["Samples"]

NAMES = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
)
"""Photos in its wheel, with licences from CC0 to CC BY; its ``skimage/data/README.txt`` tells where each is from."""


class Samples(Sequence[PhotoItem]):
    """Seven photos out of scikit-image's wheel as a sequence of :class:`~art_crop.datasets.folder.PhotoItem`.

    Raises:
        InvalidInputError: scikit-image was installed without its data.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("skimage.data")
        folder = Path(spec.origin).parent if spec is not None and spec.origin else Path("skimage/data")
        self._items = tuple(PhotoItem(name, folder / name) for name in NAMES)
        absent = [item.name for item in self._items if not item.path.is_file()]
        if absent:
            raise InvalidInputError(f"scikit-image's photos are not installed: {folder} lacks {', '.join(absent)}")

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> PhotoItem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PhotoItem]: ...
    def __getitem__(self, index: int | slice) -> PhotoItem | Sequence[PhotoItem]:
        return self._items[index]

    def __repr__(self) -> str:
        return f"Samples({len(self)} photos)"
