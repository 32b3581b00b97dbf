"""Which pip requirements the installed distributions do not satisfy."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

__all__ = ["missing"]


def missing(requirements: Sequence[str]) -> list[str]:
    """Return those requirements that apply here and that no installed distribution satisfies."""
    lacking: list[str] = []
    if not requirements:
        return lacking
    from packaging.requirements import Requirement  # slow to import, and most records have none
    from packaging.version import InvalidVersion

    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
            satisfied = requirement.specifier.contains(version, prereleases=True)
        except (importlib.metadata.PackageNotFoundError, InvalidVersion, TypeError, KeyError):
            satisfied = False  # not there, or without a version that could be compared
        if not satisfied:
            lacking.append(text)
    return lacking
