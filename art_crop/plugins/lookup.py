"""From a name to its record and owner, or to a sentence that helps."""

from __future__ import annotations

import difflib

from art_crop.errors import InvalidInputError, PluginError
from art_crop.plugins.catalogue import BUILTIN, Entry, catalogue
from art_crop.plugins.discovery import normalised
from art_crop.plugins.specs import Kind

__all__ = ["find"]


def find(kind: Kind, name: str) -> Entry:
    """Return the record of that kind and name, with its owner; an attack is also found by its class name.

    Raises:
        InvalidInputError: there is none; the message gives the nearest names, or all when none is near.
        PluginError: several distributions give it; the message names them.
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"name: must be text, not {type(name).__name__}")
    entries = [entry for entry in catalogue().entries if entry.spec.kind == kind]
    owner, slash, bare = name.rpartition("/")
    if slash:
        entries = [entry for entry in entries if entry.key == normalised(owner)]
    found = [entry for entry in entries if entry.spec.name == bare]
    if not found and kind == "attack":
        found = [entry for entry in entries if bare == entry.spec.target.rpartition(":")[2]]
    found = [entry for entry in found if entry.key == BUILTIN] or found
    if len(found) == 1:
        return found[0]
    if found:
        owners = " and ".join(str(entry) for entry in found)
        choices = " or ".join(repr(entry.full_name) for entry in found)
        raise PluginError(f"{kind} {name!r} is given by {owners}; choose {choices}")
    raise InvalidInputError(f"name: there is no {kind} {name!r}; {_hint(kind, owner, bare)}")


def _hint(kind: Kind, owner: str, bare: str) -> str:
    """What may have been meant, and which plugins might have given it had they been read."""
    known = catalogue()
    entries = [entry for entry in known.entries if entry.spec.kind == kind]
    if owner:
        key = normalised(owner)
        plugins = [plugin for plugin in known.plugins if normalised(plugin.distribution) == key]
        trouble = [f"{plugin}: {'; '.join(plugin.reasons)}" for plugin in plugins if plugin.reasons]
        if trouble:
            return " | ".join(trouble)
        same = {entry.full_name: entry.spec.name for entry in entries if entry.key == key}
        names = same or {entry.full_name: entry.spec.name for entry in entries}
        near = [full for full, name in names.items() if name in difflib.get_close_matches(bare.lower(), names.values())]
    else:
        names = {entry.spec.name: entry.spec.name for entry in entries}
        near = difflib.get_close_matches(bare.lower(), names, n=3)
    listed = f"did you mean {' or '.join(near)}?" if near else f"known names: {', '.join(sorted(names)) or 'none'}"
    unread = [f"{plugin} ({plugin.status})" for plugin in known.plugins if plugin.status in ("failed", "disabled")]
    return f"{listed} (not all was read: {', '.join(unread)}; see `art-crop plugins`)" if unread else listed
