"""Places365, validation set: 36,500 photos of places, 100 of each of 365 categories.

Zhou, Lapedriza, Khosla, Oliva and Torralba, "Places: A 10 million image database for scene recognition", TPAMI 2017.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import file_names, plain_name
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.datasets.tables import read_list
from art_crop.errors import InvalidInputError

__all__ = ["Places365", "Places365Item"]

PHOTOS = 36_500
CATEGORIES = 365
FOLDERS = ("val_256", "val_large")
"""Folders of the photos, as its archives have them: 256 x 256 pixels, or at least 512 on the shorter side."""


@dataclass(frozen=True)
class Places365Item(PhotoItem):
    """One photo of Places365.

    Attributes:
        name: File name, such as ``Places365_val_00000001.jpg``.
        path: Where the file lies.
        label: Number of its category, from 0 to 364: the output of the authors' classifiers that stands for it.
        category: Its name, such as ``apartment_building/outdoor``.
    """

    label: int
    category: str


class Places365(PhotoSet[Places365Item]):
    """The validation set as a sequence of :class:`Places365Item`, in the order of its list.

    Attributes:
        categories: The 365 names; a label is an index into them.

    Args:
        root: Folder that holds ``val_256/`` or ``val_large/``, ``places365_val.txt`` and ``categories_places365.txt``.
            None: where it was fetched to.

    Raises:
        InvalidInputError: a part is missing, or a list is damaged.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = dataset_root(root, sources.PLACES365)
        folder = next((self.root / name for name in FOLDERS if (self.root / name).is_dir()), None)
        lists = [self.root / "places365_val.txt", self.root / "categories_places365.txt"]
        absent = [*([] if folder else [" or ".join(FOLDERS)]), *(path.name for path in lists if not path.is_file())]
        if folder is None or absent:
            raise sources.PLACES365.incomplete(
                f"root must hold {' or '.join(FOLDERS)}, {lists[0].name} and {lists[1].name}; "
                f"{self.root} lacks {', '.join(absent)}"
            )
        self.categories = _read_categories(lists[1])
        labels = read_list(lists[0], _photo)
        names = {name for name, _ in labels}
        if len(names) != PHOTOS or len(labels) != PHOTOS:
            raise sources.PLACES365.incomplete(f"root must hold a list of {PHOTOS:,} photos; {lists[0]} does not")
        missing = sorted(names - set(file_names(folder, ".jpg")))
        if missing:
            raise sources.PLACES365.incomplete(
                f"root must hold every photo of {lists[0].name}; {folder} lacks {len(missing)}, first {missing[0]}"
            )
        super().__init__(Places365Item(name, folder / name, label, self.categories[label]) for name, label in labels)


def _photo(name: str, label: int) -> tuple[str, int]:
    if not 0 <= label < CATEGORIES:
        raise ValueError(f"a category must lie between 0 and {CATEGORIES - 1}, not {label}")
    return plain_name(name), label


def _read_categories(path: Path) -> tuple[str, ...]:
    """Names without the letter under which the authors file them: ``/a/airfield`` is ``airfield``."""

    def parse(name: str, number: int) -> tuple[int, str]:
        if not name.startswith("/") or len(name.split("/", 2)) != 3:
            raise ValueError(f"{name!r} is not of the form /a/airfield")
        return number, name.split("/", 2)[2]

    rows = read_list(path, parse)
    if sorted(number for number, _ in rows) != list(range(CATEGORIES)):
        raise InvalidInputError(f"root: {path} must number {CATEGORIES} categories from 0")
    return tuple(name for _, name in sorted(rows))
