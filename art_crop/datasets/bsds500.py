"""BSDS500: the 500 photos of 481 x 321 or 321 x 481 of the Berkeley segmentation benchmark, without its segmentations.

Arbelaez, Maire, Fowlkes and Malik, "Contour Detection and Hierarchical Image Segmentation", TPAMI 33(5), 2011.
"""

from __future__ import annotations

import os
from pathlib import Path

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import file_names
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.errors import InvalidInputError

__all__ = ["BSDS500"]

SPLITS = {"train": 200, "val": 100, "test": 200}
"""Its parts, in its order, and how many photos each has."""

_INSIDE = ("", "images", "data/images", "BSDS500/data/images", "BSR/BSDS500/data/images")


class BSDS500(PhotoSet[PhotoItem]):
    """The photos as a sequence of :class:`~art_crop.datasets.photo_set.PhotoItem`, split by split and sorted by name.

    Args:
        root: Folder that holds ``train/``, ``val/`` and ``test/``, or a folder above it as in the authors' archive
            (``BSR/BSDS500/data/images``); or a folder with all photos side by side, 500, or the 300 of train and val.
            None: where it was fetched to.
        split: "train", "val" or "test"; None for all.

    Raises:
        InvalidInputError: a part is missing, or there is no such split.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, split: str | None = None) -> None:
        if split is not None and split not in SPLITS:
            raise InvalidInputError(f"split must be {', '.join(SPLITS)} or None, not {split!r}")
        self.root = dataset_root(root, sources.BSDS500)
        images = next((self.root / inside for inside in _INSIDE if _has_splits(self.root / inside)), None)
        if images is None:
            names = self._side_by_side(split)
            super().__init__(PhotoItem(name, self.root / name) for name in names)
            return
        items = []
        for part in SPLITS if split is None else (split,):
            names = file_names(images / part, ".jpg")
            if len(names) != SPLITS[part]:
                raise sources.BSDS500.incomplete(
                    f"root must hold {SPLITS[part]} photos in {part}; {images / part} holds {len(names)}"
                )
            items += [PhotoItem(f"{part}/{name}", images / part / name) for name in names]
        super().__init__(items)

    def _side_by_side(self, split: str | None) -> list[str]:
        names = file_names(self.root, ".jpg")
        if len(names) not in (SPLITS["train"] + SPLITS["val"], sum(SPLITS.values())):
            raise sources.BSDS500.incomplete(
                "root must hold the folders train, val and test, or 500 photos (300 without those of test); "
                f"{self.root} holds {len(names)} photos and no such folders"
            )
        if split is not None:
            raise InvalidInputError(f"split must be None where all photos lie side by side, as in {self.root}")
        return names


def _has_splits(folder: Path) -> bool:
    return any((folder / part).is_dir() for part in SPLITS)
