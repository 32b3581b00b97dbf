"""The former name of :mod:`art_crop.images`, kept for one version."""

import warnings

from art_crop.images import *  # noqa: F403

warnings.warn(
    "art_crop.photo is called art_crop.images now; the old name goes with version 0.2", DeprecationWarning, stacklevel=2
)
