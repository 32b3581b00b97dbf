"""The former name of :mod:`art_crop.pipeline`, kept for one version."""

import warnings

from art_crop.pipeline import *  # noqa: F403

warnings.warn(
    "art_crop.job is called art_crop.pipeline now; the old name goes with version 0.2", DeprecationWarning, stacklevel=2
)
