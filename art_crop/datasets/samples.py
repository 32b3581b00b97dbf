"""The photos that come with scikit-image: enough to see whether everything works, without any download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from art_crop.datasets.photo_set import PhotoItem, PhotoSet
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


class Samples(PhotoSet[PhotoItem]):
    """Seven photos out of scikit-image's wheel as a sequence of :class:`~art_crop.datasets.photo_set.PhotoItem`.

    Raises:
        InvalidInputError: scikit-image was installed without its data.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("skimage.data")
        folder = Path(spec.origin).parent if spec is not None and spec.origin else Path("skimage/data")
        super().__init__(PhotoItem(name, folder / name) for name in NAMES)
        absent = [item.name for item in self if not item.path.is_file()]
        if absent:
            raise InvalidInputError(f"scikit-image's photos are not installed: {folder} lacks {', '.join(absent)}")
