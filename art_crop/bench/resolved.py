"""A suite as ``run.json`` has it, which may have come from anywhere: its settings, and what it does to one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert, to_builtins

from art_crop.bench.suite import MOST_SETTINGS, AttackUse, Setting, Suite, Wholes, canonical, digest

__all__ = ["settings_of", "task_sha256"]

_TASK = ("protocol", "protocol_options", "data")
_ITSELF = "the scored model"
_NOT_A_SUITE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class _Content(Struct):
    attacks: tuple[AttackUse, ...]
    seeds: Wholes


def settings_of(content: Mapping[str, Any]) -> list[Setting]:
    """The settings of a resolved suite; none where it is not as this version writes it, or has too many."""
    try:
        read = convert(content, _Content)
        suite = Suite("", "", (), read.attacks, seeds=read.seeds)
        found = list(suite.settings()) if suite.size <= MOST_SETTINGS else []
        for one in found:  # which fails where a parameter is not what JSON and the tables of results can hold
            canonical([one.params, float(one.params.get("eps") or 0)])
        return found
    except _NOT_A_SUITE:
        return []


def task_sha256(content: Mapping[str, Any], scored: str, weights: Mapping[str, Any]) -> str:
    """Hash of all that a suite does to one model, whatever that is called; "" where it cannot be told.

    Two models, of one suite or of two that differ in which model they score, may stand in one table where it is the
    same: the same protocol, rule for photos, attacks and parameters, and the same surrogates. Order, titles, metrics
    and threads do not count, and the model's own options and defences are its own affair.

    Args:
        content: The resolved suite.
        scored: What it calls the model.
        weights: SHA-256 of the weights by what the suite calls a model.
    """
    try:
        uses = {use["name"]: [use["plugin"], _options(use), use["defences"]] for use in content["models"]}
        defences = {use["name"]: [use["plugin"], use["options"]] for use in content["defences"]}
        others = {
            name: [plugin, options, [defences[one] for one in own], str(weights.get(name) or "")]
            for name, (plugin, options, own) in uses.items()
        }
        limits = {name: content["limits"][name] for name in ("photos", "photo_seconds")}
        tasks = [
            digest(
                {
                    **{key: value for key, value in to_builtins(setting).items() if key != "method"},
                    "scored": _ITSELF,
                    "attacked": _role(setting.attacked, scored, others),
                    "ensemble": [_role(name, scored, others) for name in setting.ensemble],
                }
            )
            for setting in settings_of(content)
            if setting.scored == scored
        ]
        return digest([{key: content[key] for key in _TASK}, limits, sorted(tasks)]) if tasks else ""
    except _NOT_A_SUITE:
        return ""


def _role(name: str, scored: str, others: Mapping[str, Any]) -> Any:
    """A model by what it is, not by what it is called: none, the scored one, or a surrogate."""
    return "" if not name else _ITSELF if name == scored else others[name]


def _options(use: Mapping[str, Any]) -> dict[str, Any]:
    """A model's options, with the JPEG that it sees photos after."""
    return {**use["options"], **({"after_jpeg": use["after_jpeg"]} if use.get("after_jpeg") else {})}
