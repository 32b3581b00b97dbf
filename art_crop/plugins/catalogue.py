"""All plugins read together, once a process: who owns which name, and what is wrong with whom."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

import art_crop
from art_crop.errors import PluginError, PluginWarning
from art_crop.plugins.discovery import ALLOWED_VARIABLE, Candidate, allowed, installed, normalised, strict_by_default
from art_crop.plugins.isolation import stdout_is_not_ours
from art_crop.plugins.loading import SLOW, Loaded, load
from art_crop.plugins.specs import KINDS, PluginSpec

__all__ = ["BUILTIN", "Catalogue", "Entry", "PluginStatus", "catalogue", "forget"]

BUILTIN = "art-crop"
"""The distribution of what ships with this package."""

Status = Literal["ok", "slow", "conflict", "failed", "missing", "disabled"]


@dataclass(frozen=True)
class Entry:
    """A record and the distribution that gives it; two distributions may give records of one kind and name."""

    spec: PluginSpec
    distribution: str
    version: str

    @property
    def key(self) -> str:
        """The distribution's normalised name."""
        return normalised(self.distribution)

    @property
    def full_name(self) -> str:
        """``distribution/name``, which is never ambiguous."""
        return f"{self.key}/{self.spec.name}"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class PluginStatus:
    """What became of one plugin.

    Attributes:
        distribution: The installed package that brings it.
        version: Of that package.
        entry_point: Name of its entry point.
        status: "ok"; "slow" (it works, and every listing waits for it); "conflict" (it takes a name that is taken);
            "failed" (all or part of it cannot be used); "missing" (ART_CROP_PLUGINS names it, and no such plugin is
            installed); "disabled" (ART_CROP_PLUGINS does not name it, so nothing of it was run).
        reasons: What is wrong, a sentence each; empty for "ok" and "slow".
        notes: What its author should know, though it breaks nothing.
        records: How many objects it gives that can be asked for.
        seconds: How long it took to read.
    """

    distribution: str
    version: str
    entry_point: str
    status: Status
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    records: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether strict mode stops at it."""
        return self.status in ("conflict", "failed", "missing")

    def __str__(self) -> str:
        return " ".join(text for text in (self.distribution, self.version) if text)


@dataclass(frozen=True)
class Catalogue:
    """What all plugins give.

    Attributes:
        entries: By kind and name; what ships with this package before others of the same name.
        plugins: art-crop itself, then the others by name.
    """

    entries: tuple[Entry, ...]
    plugins: tuple[PluginStatus, ...]
    errors: tuple[BaseException, ...] = ()

    def check(self) -> None:
        """Raise where any plugin is broken.

        Raises:
            PluginError: One is; the message says what is wrong with each.
        """
        broken = [f"{plugin}: {'; '.join(plugin.reasons)}" for plugin in self.plugins if plugin.broken]
        if broken:
            raise PluginError(" | ".join(broken)) from (self.errors[0] if self.errors else None)


_lock = threading.RLock()
_known: Catalogue | None = None
_reading = False


def catalogue(*, strict: bool | None = None, warn: bool = True) -> Catalogue:
    """Read all plugins the first time, and remember.

    Args:
        strict: Raise where one is broken; default: as ART_CROP_PLUGINS_STRICT says.
        warn: Give the one warning about broken plugins; False where the caller shows them.

    Raises:
        PluginError: Strict, and one is broken; or a plugin asks for the catalogue while it is being read itself.
    """
    global _known, _reading
    fresh = False
    with _lock:
        if _known is None:
            if _reading:
                raise PluginError("a plugin may not load or list anything while plugins are being read")
            _reading = True
            try:
                _known, fresh = _read_all(), True
            finally:
                _reading = False
        known = _known
    if strict_by_default() if strict is None else strict:
        known.check()
    elif fresh and warn:
        _warn(known)
    return known


def forget() -> None:
    """Let the next use read all plugins again, such as after one was installed in a running process."""
    global _known
    with _lock:
        _known = None
        importlib.invalidate_caches()


def _read_all() -> Catalogue:
    own = load(Candidate(BUILTIN, art_crop.__version__, "builtin", "art_crop.plugins.builtin"))
    permitted = allowed()
    candidates = installed()
    chosen = [candidate for candidate in candidates if permitted is None or candidate.key in permitted]
    others: list[Loaded] = []
    if chosen:
        with stdout_is_not_ours():
            others = [load(candidate) for candidate in chosen]
    entries, given, conflicts = _owners([own, *others])
    plugins = [_status(loaded, given[id(loaded)], conflicts[id(loaded)]) for loaded in (own, *others)]
    for candidate in candidates:
        if candidate not in chosen:
            reason = f"not named by {ALLOWED_VARIABLE}; nothing of it was run"
            plugins.append(
                _absent(candidate.distribution, candidate.version, candidate.entry_point, "disabled", reason)
            )
    for name in sorted((permitted or frozenset()) - {candidate.key for candidate in candidates} - {BUILTIN}):
        reason = f"{ALLOWED_VARIABLE} names it, but no such plugin is installed"
        plugins.append(_absent(name, "", "", "missing", reason))
    plugins[1:] = sorted(plugins[1:], key=lambda plugin: (normalised(plugin.distribution), plugin.entry_point))
    errors = tuple(error for loaded in others for error in loaded.errors)
    return Catalogue(entries, tuple(plugins), errors)


def _owners(plugins: list[Loaded]) -> tuple[tuple[Entry, ...], Counter[int], dict[int, list[str]]]:
    """The records by kind and name; of each plugin (by its id) how many count, and which names are not its alone."""
    own: dict[tuple[str, str, str], tuple[Entry, Loaded]] = {}
    conflicts: dict[int, list[str]] = defaultdict(list)
    for loaded in plugins:
        for spec in loaded.records:
            entry = Entry(spec, loaded.candidate.distribution, loaded.candidate.version)
            if own.setdefault((entry.key, spec.kind, spec.name), (entry, loaded))[0] is not entry:
                conflicts[id(loaded)].append(f"{spec.kind} {spec.name!r} is given twice; the first one counts")
    named: dict[tuple[str, str], list[tuple[Entry, Loaded]]] = defaultdict(list)
    for (_, kind, name), owner in own.items():
        named[kind, name].append(owner)
    for (kind, name), owners in named.items():
        builtin = next((entry for entry, _ in owners if entry.key == BUILTIN), None)
        for entry, loaded in owners:
            rivals = [str(rival) for rival, _ in owners if rival is not entry]
            if builtin is not None and entry is not builtin:
                conflicts[id(loaded)].append(
                    f"{kind} {name!r} is a name of {builtin}, which keeps it; ask for {entry.full_name!r}"
                )
            elif builtin is None and rivals:
                conflicts[id(loaded)].append(
                    f"{kind} {name!r} is also given by {' and '.join(rivals)}; ask for {entry.full_name!r}"
                )
    order = sorted(
        (entry for entry, _ in own.values()),
        key=lambda entry: (KINDS.index(entry.spec.kind), entry.spec.name, entry.key != BUILTIN, entry.key),
    )
    return tuple(order), Counter(id(loaded) for _, loaded in own.values()), conflicts


def _status(loaded: Loaded, given: int, conflicts: list[str]) -> PluginStatus:
    status: Status = "slow" if loaded.seconds >= SLOW else "ok"
    if loaded.problems or conflicts:
        status = "failed" if loaded.problems else "conflict"
    candidate = loaded.candidate
    return PluginStatus(
        distribution=candidate.distribution,
        version=candidate.version,
        entry_point=candidate.entry_point,
        status=status,
        reasons=(*loaded.problems, *conflicts),
        notes=loaded.notes,
        records=given,
        seconds=loaded.seconds,
    )


def _absent(distribution: str, version: str, entry_point: str, status: Status, reason: str) -> PluginStatus:
    return PluginStatus(distribution, version, entry_point, status, (reason,))


def _warn(known: Catalogue) -> None:
    """One warning for all, at the line of the user's that asked first."""
    broken = [f"{plugin} ({plugin.reasons[0]})" for plugin in known.plugins if plugin.broken]
    if not broken:
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "art_crop":
        level, frame = level + 1, frame.f_back
    text = f"plugins with problems: {'; '.join(broken)}. What they break is left out; `art-crop plugins` shows all."
    warnings.warn(text, PluginWarning, stacklevel=level)
