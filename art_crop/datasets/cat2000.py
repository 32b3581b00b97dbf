"""CAT2000, training set: 2000 photos of 1920 x 1080 in 20 categories with where 18 observers each looked.

Borji and Itti, "CAT2000: A Large Scale Fixation Dataset for Boosting Saliency Research", CVPR workshop 2015; the set on
which the cropping attack was published. Fixations are read from ``FIXATIONLOCS``, maps with a mark at every fixated
pixel, so that two fixations on the same pixel count once; who looked there, and when, they do not say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import file_names
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.errors import InvalidInputError

__all__ = ["CATEGORIES", "CAT2000", "CAT2000Item"]

SIZE = (1920, 1080)
"""Width and height of every photo of the set, in pixels."""

CATEGORIES = (
    "Action",
    "Affective",
    "Art",
    "BlackWhite",
    "Cartoon",
    "Fractal",
    "Indoor",
    "Inverted",
    "Jumbled",
    "LineDrawing",
    "LowResolution",
    "Noisy",
    "Object",
    "OutdoorManMade",
    "OutdoorNatural",
    "Pattern",
    "Random",
    "Satelite",
    "Sketch",
    "Social",
)
"""Names of its folders, as the authors spell them."""

_PER_CATEGORY = 100


@dataclass(frozen=True)
class CAT2000Item(PhotoItem):
    """One photo of CAT2000.

    Attributes:
        name: Such as ``Action/001.jpg``.
        path: Where the file lies.
        label: Its category, one of :data:`CATEGORIES`.
        table: File of its fixations.
    """

    label: str
    table: Path

    @property
    def fixations(self) -> NDArray[np.float64]:
        """Pixels on which somebody's gaze rested, float64 ``(n, 2)``: x, y from 0; read from its file each time.

        Raises:
            InvalidInputError: the file is not one of the data set's.
        """
        rows, columns = np.nonzero(_read_marks(self.table))
        return np.stack([columns, rows], axis=1).astype(np.float64)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels, without reading it."""
        return SIZE


class CAT2000(PhotoSet[CAT2000Item]):
    """The training set as a sequence of :class:`CAT2000Item`, by category and name.

    Args:
        root: Folder that holds ``Stimuli/`` and ``FIXATIONLOCS/``, or its ``trainSet/`` does; None: where it was
            fetched to.

    Raises:
        InvalidInputError: a part is missing.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = dataset_root(root, sources.CAT2000)
        base = self.root / "trainSet" if (self.root / "trainSet").is_dir() else self.root
        stimuli, tables = base / "Stimuli", base / "FIXATIONLOCS"
        if not stimuli.is_dir() or not tables.is_dir():
            raise sources.CAT2000.incomplete(
                f"root must hold the folders Stimuli and FIXATIONLOCS of the training set; {base} does not"
            )
        items = []
        for label in CATEGORIES:
            names = file_names(stimuli / label, ".jpg")
            if len(names) != _PER_CATEGORY:
                raise sources.CAT2000.incomplete(
                    f"root must hold {_PER_CATEGORY} photos of each category; {stimuli / label} holds {len(names)}"
                )
            absent = {Path(name).stem for name in names} - {Path(n).stem for n in file_names(tables / label, ".mat")}
            if absent:
                raise sources.CAT2000.incomplete(
                    f"root must hold the fixations of every photo; {tables / label} lacks {len(absent)}, "
                    f"first {min(absent)}.mat"
                )
            items += [
                CAT2000Item(f"{label}/{name}", stimuli / label / name, label, tables / label / f"{Path(name).stem}.mat")
                for name in names
            ]
        super().__init__(items)


def _read_marks(table: Path) -> NDArray[np.generic]:
    """The map of a file; its size is looked at before its content is unpacked."""
    from scipy.io import loadmat, whosmat

    try:
        stated = {name: (shape, kind) for name, shape, kind in whosmat(table)}
        shape, kind = stated.get("fixLocs", ((), ""))
        if shape != (SIZE[1], SIZE[0]) or kind not in ("logical", "double", "single", "uint8", "int8", "uint16"):
            raise ValueError(f"fixLocs must be numbers of shape {SIZE[1]} x {SIZE[0]}, not {kind or 'absent'} {shape}")
        return np.asarray(loadmat(table, variable_names=["fixLocs"])["fixLocs"])
    except Exception as error:  # scipy's reader raises anything, IndexError and MemoryError included, on a damaged file
        raise InvalidInputError(f"root must hold CAT2000's fixations; {table}: {error}") from error
