"""KonIQ-10k: 10,073 photos from the wild with how good about 120 people each found them.

Hosu, Lin, Sziranyi and Saupe, "KonIQ-10k: An ecologically valid database for deep learning of blind image quality
assessment", IEEE Transactions on Image Processing 29, 2020.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import file_names, plain_name
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.datasets.tables import read_csv
from art_crop.errors import InvalidInputError

__all__ = ["KonIQ10k", "KonIQItem"]

PHOTOS = 10_073
RESOLUTIONS = ("1024x768", "512x384")
"""Folders of the photos, as its archives have them."""

SPLITS = ("training", "validation", "test")

# The scores' own archive, and the table with the authors' division that comes with their code. The score from 0 to 100
# is in a column of its own in the one, and the only one in the other.
_TABLES = (
    ("koniq10k_distributions_sets.csv", "MOS", "set"),
    ("koniq10k_scores_and_distributions.csv", "MOS_zscore", ""),
    ("koniq10k_scores_and_distributions/koniq10k_scores_and_distributions.csv", "MOS_zscore", ""),
)


@dataclass(frozen=True)
class KonIQItem(PhotoItem):
    """One photo of KonIQ-10k.

    Attributes:
        name: File name, such as ``10004473376.jpg``.
        path: Where the file lies.
        mos: Mean opinion score from 0 (bad) to 100 (excellent), from the observers' standardised ratings.
        split: "training", "validation" or "test"; empty where the table does not say.
        size: Width and height in pixels.
    """

    mos: float
    split: str
    size: tuple[int, int]


class KonIQ10k(PhotoSet[KonIQItem]):
    """The data set as a sequence of :class:`KonIQItem`, in the order of its table.

    Args:
        root: Folder that holds ``1024x768/`` or ``512x384/`` and one of the authors' tables,
            ``koniq10k_scores_and_distributions.csv`` or ``koniq10k_distributions_sets.csv`` (the latter also divides).
        resolution: "1024x768" or "512x384"; None: the larger of those that are there.
        split: "training", "validation" or "test"; None for all.

    Raises:
        InvalidInputError: a part is missing, the table is damaged, or there is no such resolution or split.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        resolution: str | None = None,
        split: str | None = None,
    ) -> None:
        if resolution is not None and resolution not in RESOLUTIONS:
            raise InvalidInputError(f"resolution must be {', '.join(RESOLUTIONS)} or None, not {resolution!r}")
        if split is not None and split not in SPLITS:
            raise InvalidInputError(f"split must be {', '.join(SPLITS)} or None, not {split!r}")
        self.root = dataset_root(root, sources.KONIQ10K)
        wanted = RESOLUTIONS if resolution is None else (resolution,)
        folder = next((self.root / name for name in wanted if (self.root / name).is_dir()), None)
        if folder is None:
            raise sources.KONIQ10K.incomplete(
                f"root must hold the photos' folder {' or '.join(wanted)}; {self.root} does not"
            )
        scores = _read_scores(self.root)
        absent = sorted({name for name, _, _ in scores} - set(file_names(folder, ".jpg")))
        if absent:
            raise sources.KONIQ10K.incomplete(
                f"root must hold every photo of the table; {folder} lacks {len(absent)}, first {absent[0]}"
            )
        if split is not None and not any(part == split for _, _, part in scores):
            raise InvalidInputError(f"split {split!r}: only {_TABLES[0][0]} divides the photos; {self.root} lacks it")
        width, height = map(int, folder.name.split("x"))
        super().__init__(
            KonIQItem(name, folder / name, mos, part, (width, height))
            for name, mos, part in scores
            if split in (None, part)
        )


def _read_scores(root: Path) -> list[tuple[str, float, str]]:
    """Photo, score and part of each row of the table that is there."""
    found = next(((root / name, score, part) for name, score, part in _TABLES if (root / name).is_file()), None)
    if found is None:
        raise sources.KONIQ10K.incomplete(
            f"root must hold the table {_TABLES[1][0]} or {_TABLES[0][0]}; {root} does not"
        )
    path, score, part = found

    def parse(row: dict[str, str]) -> tuple[str, float, str]:
        mos = float(row[score])
        if not (math.isfinite(mos) and 0 <= mos <= 100):
            raise ValueError(f"{score} must lie between 0 and 100, not {mos}")
        if part and row[part] not in SPLITS:
            raise ValueError(f"{part} must be one of {', '.join(SPLITS)}, not {row[part]!r}")
        return plain_name(row["image_name"]), mos, row[part] if part else ""

    rows = read_csv(path, ("image_name", score, *([part] if part else [])), parse)
    if len({name for name, _, _ in rows}) != len(rows):
        raise InvalidInputError(f"root: {path} names a photo twice")
    if len(rows) != PHOTOS:
        raise sources.KONIQ10K.incomplete(f"root must hold the scores of {PHOTOS:,} photos; {path} holds {len(rows):,}")
    return rows
