"""Which plugins are installed, and which of them may be read. Nothing of a plugin is imported here.

``importlib.metadata.entry_points()`` is not used: one malformed ``entry_points.txt`` anywhere makes it raise.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from art_crop.errors import printable
from art_crop.plugins.hookspecs import GROUP

__all__ = [
    "ALLOWED_VARIABLE",
    "STRICT_VARIABLE",
    "Candidate",
    "allowed",
    "installed",
    "normalised",
    "strict_by_default",
]

ALLOWED_VARIABLE = "ART_CROP_PLUGINS"
"""Comma-separated distributions whose plugins may be read; unset: all; empty: none. art-crop's own are always read."""
STRICT_VARIABLE = "ART_CROP_PLUGINS_STRICT"
"""Set to 1, any broken plugin raises a PluginError instead of being left out with a warning."""

_FILE = "entry_points.txt"
_TARGET = re.compile(r"\w+(\.\w+)*(:\w+(\.\w+)*)?")
_UNKNOWN = "(unknown)"


@dataclass(frozen=True)
class Candidate:
    """An entry point of the group ``art_crop.plugins``, not imported yet.

    Attributes:
        distribution: Name of the distribution that brings it, as its metadata spell it.
        version: Of that distribution.
        entry_point: The entry point's name.
        target: What it names: ``"package.module"``, or ``"package.module:attribute"``.
        problem: Why it cannot even be tried; empty where it can.
    """

    distribution: str
    version: str
    entry_point: str
    target: str
    problem: str = ""

    @property
    def key(self) -> str:
        """The distribution's normalised name (PEP 503), by which two spellings are the same."""
        return normalised(self.distribution)


def installed() -> list[Candidate]:
    """Every entry point of the group, by distribution and name; of a distribution found twice, the importable copy."""
    candidates: dict[tuple[str, str, str], Candidate] = {}
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        text = _entry_points_text(distribution)
        if GROUP not in text:
            continue
        name = _metadata(distribution, "Name")
        if name != _UNKNOWN and (normalised(name) in seen or _is_shadowed(name, text)):
            continue
        seen.add(normalised(name))
        for candidate in _candidates(distribution, name):
            candidates.setdefault((candidate.key, candidate.entry_point, candidate.target), candidate)
    return [candidates[key] for key in sorted(candidates)]


def allowed() -> frozenset[str] | None:
    """Normalised names of the distributions that ART_CROP_PLUGINS allows; None where it is unset, which allows all."""
    value = os.environ.get(ALLOWED_VARIABLE)
    if value is None:
        return None
    return frozenset(normalised(name.strip()) for name in value.split(",") if name.strip())


def strict_by_default() -> bool:
    """Whether ART_CROP_PLUGINS_STRICT is set to anything but nothing, 0, false, no or off."""
    return os.environ.get(STRICT_VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off")


def normalised(distribution: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _entry_points_text(distribution: importlib.metadata.Distribution) -> str:
    try:
        return distribution.read_text(_FILE) or ""
    except Exception:  # not text, or a reader of somebody else's: whatever it is, it is not a plugin we can read
        return ""


def _metadata(distribution: importlib.metadata.Distribution, field: str) -> str:
    try:
        values = distribution.metadata.get_all(field)  # indexing warns or raises where there is none
    except Exception:  # there may be no METADATA at all, which every Python version reports in its own way
        values = None
    return printable(values[0], 80) if values and values[0].strip() else _UNKNOWN


def _is_shadowed(name: str, text: str) -> bool:
    """Whether another copy of the distribution comes earlier on sys.path, so that its modules are the imported ones."""
    try:
        return (importlib.metadata.distribution(name).read_text(_FILE) or "") != text
    except Exception:
        return False


def _candidates(distribution: importlib.metadata.Distribution, name: str) -> Iterator[Candidate]:
    version = _metadata(distribution, "Version")
    try:
        entry_points = distribution.entry_points.select(group=GROUP)
    except Exception as error:  # the parser has no error of its own: it fails with TypeError, ValueError, ...
        problem = f"its {_FILE} is malformed ({type(error).__name__})"
        yield Candidate(name, version, _UNKNOWN, "", problem)
        return
    for entry_point in entry_points:
        target = entry_point.value.partition("[")[0].strip()  # extras are of no use here
        problem = "" if _TARGET.fullmatch(target) else f"its entry point must name a module, not {printable(target)!r}"
        yield Candidate(name, version, printable(entry_point.name, 80), target, problem)
