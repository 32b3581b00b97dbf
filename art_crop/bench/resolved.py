"""A suite as ``run.json`` has it, which may have come from anywhere: its settings, and what it does to one model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from art_crop.bench.suite import AttackUse, Setting, Special, Suite, canonical, digest

__all__ = ["settings_of", "task_sha256"]

_MOST = 100_000  # settings; a grid that somebody made up may have more than there is memory for
_TASK = ("protocol", "protocol_options", "data")
_ITSELF = "the scored model"


def settings_of(content: Mapping[str, Any]) -> list[Setting]:
    """The settings of a resolved suite; none where it is not as this version writes it."""
    try:
        attacks = tuple(
            AttackUse(
                **{
                    **attack,
                    **{name: tuple(attack[name]) for name in ("attacked", "scored", "ensemble")},
                    "skip": tuple((pair[0], pair[1]) for pair in attack["skip"]),
                    "special": tuple(Special(**one) for one in attack["special"]),
                }
            )
            for attack in content["attacks"]
        )
        every = Suite("", "", (), attacks, seeds=tuple(content["seeds"])).settings()
        found = list(itertools.islice(every, _MOST + 1))
        for one in found:  # which fails where something is not what it should be
            canonical([dict(one.params), float(one.seed), float(one.params.get("eps") or 0)])
        return found if len(found) <= _MOST else []
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
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
        uses = {use["name"]: [use["plugin"], use["options"], use["defences"]] for use in content["models"]}
        defences = {use["name"]: [use["plugin"], use["options"]] for use in content["defences"]}
        others = {
            name: [plugin, options, [defences[one] for one in own], str(weights.get(name) or "")]
            for name, (plugin, options, own) in uses.items()
        }
        limits = {name: content["limits"][name] for name in ("photos", "photo_seconds")}
        tasks = [
            digest(
                {
                    **{key: value for key, value in vars(setting).items() if key != "method"},
                    "scored": _ITSELF,
                    "attacked": _role(setting.attacked, scored, others),
                    "ensemble": [_role(name, scored, others) for name in setting.ensemble],
                }
            )
            for setting in settings_of(content)
            if setting.scored == scored
        ]
        return digest([{key: content[key] for key in _TASK}, limits, sorted(tasks)]) if tasks else ""
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return ""


def _role(name: str, scored: str, others: Mapping[str, Any]) -> Any:
    """A model by what it is, not by what it is called: none, the scored one, or a surrogate."""
    return "" if not name else _ITSELF if name == scored else others[name]
