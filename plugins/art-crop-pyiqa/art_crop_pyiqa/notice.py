"""pyiqa may be used for non-commercial purposes only: who uses it is told before it is imported."""

from __future__ import annotations

import os
import warnings

__all__ = ["VARIABLE", "LicenceNotice", "give_notice"]

VARIABLE = "ART_CROP_PYIQA_LICENCE"
"""Environment variable; ``accepted`` says that the user knows."""

_given = False


class LicenceNotice(UserWarning):
    """What a licence asks of its user."""


def give_notice() -> None:
    """Say it once a process, unless the user has said that they know."""
    global _given
    if _given or os.environ.get(VARIABLE, "").lower() == "accepted":
        return
    _given = True
    warnings.warn(
        "pyiqa is licensed for non-commercial use only (PolyForm Noncommercial 1.0.0, earlier parts S-Lab License 1.0; "
        "Required Notice: Copyright (c) 2022 Chaofeng Chen), and its metrics' weights may have terms of their own. "
        f"{VARIABLE}=accepted silences this notice",
        LicenceNotice,
        stacklevel=3,
    )
