"""OSIE: 700 photos of 800 x 600 with the eye fixations of 15 observers.

Xu, Jiang, Wang, Kankanhalli and Zhao, "Predicting human gaze beyond pixels", Journal of Vision 14(1):28, 2014;
photos and ``data/eye/fixations.mat`` at github.com/NUS-VIP/predicting-human-gaze-beyond-pixels (MIT).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import plain_name
from art_crop.datasets.photo_set import PhotoItem, PhotoSet
from art_crop.errors import InvalidInputError

SIZE = (800, 600)
"""Width and height of every photo of the set, in pixels."""

SIGMA_PX = 24.0
"""Blur of the authors' own fixation maps (``params.eye.radius`` in their ``config.m``): about one degree of vision."""

_HELD_OUT_EVERY = 5


@dataclass(frozen=True, eq=False)
class OSIEItem(PhotoItem):
    """One photo of OSIE with its fixations.

    Attributes:
        name: File name, such as ``1001.jpg``.
        path: Where the file lies.
        by_subject: One float64 ``(n, 2)`` array for each observer: x, y in pixels from 0, in the order of looking.
    """

    by_subject: tuple[NDArray[np.float64], ...] = field(repr=False)

    @property
    def fixations(self) -> NDArray[np.float64]:
        """All observers' fixations, float64 ``(n, 2)``: x, y in pixels, (0, 0) the centre of the first pixel."""
        return np.concatenate(self.by_subject)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels, without reading it."""
        return SIZE


class OSIE(PhotoSet[OSIEItem]):
    """The data set as a sequence of :class:`OSIEItem`, in the order of ``fixations.mat``.

    Args:
        root: Folder that holds ``stimuli/`` (the photos) and ``fixations.mat``; None: where it was fetched to.

    Raises:
        InvalidInputError: a part is missing, or ``fixations.mat`` is not the data set's.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = dataset_root(root, sources.OSIE)
        stimuli, table = self.root / "stimuli", self.root / "fixations.mat"
        if not stimuli.is_dir() or not table.is_file():
            raise sources.OSIE.incomplete(
                f"root must hold the folder stimuli and the file fixations.mat; {self.root} does not"
            )
        super().__init__(OSIEItem(name, stimuli / name, subjects) for name, subjects in _read_fixations(table))
        absent = [item.name for item in self if not item.path.is_file()]
        if absent:
            raise sources.OSIE.incomplete(
                f"root must hold every photo that fixations.mat names; {stimuli} lacks {len(absent)}, first {absent[0]}"
            )

    @property
    def held_out(self) -> tuple[OSIEItem, ...]:
        """Every fifth photo (index % 5 == 0, 140 of 700): for the last measurement only, nothing is chosen on it."""
        return self._items[::_HELD_OUT_EVERY]

    @property
    def train(self) -> tuple[OSIEItem, ...]:
        """The other 560 photos."""
        return tuple(item for index, item in enumerate(self._items) if index % _HELD_OUT_EVERY)


class Viewed(Protocol):
    """A photo with fixations: an item of OSIE or CAT2000."""

    @property
    def fixations(self) -> NDArray[np.float64]:
        """(n, 2): x, y in pixels from 0."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels."""


def fixation_density(
    item: Viewed, *, sigma_px: float = SIGMA_PX, size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Density of where people looked at a photo of the set: :func:`gaussian_density` of all its fixations.

    Args:
        item: A photo with its fixations.
        sigma_px: Standard deviation in pixels **of the photo**, whatever ``size`` is.
        size: Width and height of the result; ``None`` for the photo's own.

    Returns:
        float32 ``(height, width)``, >= 0, sum 1.
    """
    return gaussian_density(item.fixations, item.size, sigma_px=sigma_px, size=size or item.size)


def gaussian_density(
    points: NDArray[np.float64], photo_size: tuple[int, int], *, sigma_px: float, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Density of points on a photo: one Gaussian for each, none weighted, scaled to sum 1.

    Args:
        points: ``(n, 2)`` x, y in pixels of the photo, at least one; (0, 0) is the centre of the first pixel.
        photo_size: Width and height of the photo.
        sigma_px: Standard deviation of the Gaussians in pixels of the photo.
        size: Width and height of the result. A cell of a smaller map holds exactly the mass on its part of the photo,
            so that the density is neither sampled nor interpolated.

    Returns:
        float32 ``(height, width)``, >= 0, sum 1. Mass that the Gaussians have beyond the border is scaled away.

    Raises:
        InvalidInputError: there is no point, or none has mass on the photo; ``sigma_px`` or ``size`` is not positive.
    """
    from scipy.special import ndtr

    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InvalidInputError(f"sigma_px must be positive and finite, got {sigma_px}")
    if min(size) < 1:
        raise InvalidInputError(f"size must be a width and a height of at least 1, got {size}")
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise InvalidInputError(f"points must be finite, of shape (n, 2) with n >= 1, got {points.shape}")

    def mass(axis: int, some: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each point's one-dimensional Gaussian on each column (axis 0) or row (axis 1), (n, cells)."""
        edges = np.linspace(-0.5, photo_size[axis] - 0.5, size[axis] + 1)
        return np.diff(np.asarray(ndtr((edges - some[:, axis, None]) / sigma_px), dtype=np.float64), axis=1)

    # In blocks: the fixations of a whole data set at once would need a gigabyte.
    density = np.zeros((size[1], size[0]))
    for start in range(0, len(points), 4096):
        some = points[start : start + 4096]
        density += mass(1, some).T @ mass(0, some)
    total = density.sum()
    if not total > 0:
        raise InvalidInputError(
            f"points must have mass on the {photo_size[0]} x {photo_size[1]} photo; all lie far off"
        )
    return np.asarray(density / total, dtype=np.float32)


def _read_fixations(table: Path) -> list[tuple[str, tuple[NDArray[np.float64], ...]]]:
    """File name and, for each observer, the fixations in pixels from 0."""
    from scipy.io import loadmat

    try:
        photos = loadmat(table, squeeze_me=True, struct_as_record=False)["fixations"]
        return [
            (plain_name(photo.img), tuple(_positions(subject) for subject in np.atleast_1d(photo.subjects)))
            for photo in np.atleast_1d(photos)
        ]
    except Exception as error:  # scipy's reader raises anything, IndexError and MemoryError included, on a damaged file
        raise InvalidInputError(
            f"root must hold OSIE's fixations.mat (fixations[i].img, .subjects[j].fix_x, .fix_y); {table}: {error}"
        ) from error


def _positions(subject: Any) -> NDArray[np.float64]:
    x, y = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (subject.fix_x, subject.fix_y))
    # MATLAB counts pixels from 1.
    positions = np.stack([x, y], axis=1) - 1
    if not np.isfinite(positions).all():
        raise ValueError("a fixation is not finite")
    return positions
