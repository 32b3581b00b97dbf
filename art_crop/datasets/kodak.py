"""The Kodak suite: 24 lossless photos of 768 x 512 or 512 x 768, which compression and quality research has long used.

Published on a Kodak Photo CD of samples and, as PNG since 1999, at r0k.us/graphics/kodak; taken to be free to use.
"""

from __future__ import annotations

import os
import re

from art_crop.datasets import sources
from art_crop.datasets.fetching import dataset_root
from art_crop.datasets.paths import file_names
from art_crop.datasets.photo_set import PhotoItem, PhotoSet

__all__ = ["Kodak"]

PHOTOS = 24

_NAME = re.compile(r"(kodim)?(\d\d?)\.png", re.IGNORECASE)


class Kodak(PhotoSet[PhotoItem]):
    """The suite as a sequence of :class:`~art_crop.datasets.photo_set.PhotoItem`, by their numbers.

    Args:
        root: Folder of the photos, ``kodim01.png`` to ``kodim24.png``, as on the page, or ``01.png`` to ``24.png``, as
            in copies of it; other files are passed over. None: where it was fetched to.

    Raises:
        InvalidInputError: a photo is missing, or there twice.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = dataset_root(root, sources.KODAK)
        numbered = [(int(match[2]), match[0]) for match in map(_NAME.fullmatch, file_names(self.root, ".png")) if match]
        found = sorted(number for number, _ in numbered if 1 <= number <= PHOTOS)
        absent = sorted(set(range(1, PHOTOS + 1)) - set(found))
        if absent or len(found) > PHOTOS:
            what = f"lacks {len(absent)}, first kodim{absent[0]:02}.png" if absent else "holds some twice"
            raise sources.KODAK.incomplete(f"root must hold kodim01.png to kodim{PHOTOS}.png; {self.root} {what}")
        super().__init__(
            PhotoItem(name, self.root / name) for number, name in sorted(numbered) if 1 <= number <= PHOTOS
        )
