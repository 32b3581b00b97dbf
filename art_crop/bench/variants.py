"""One method with several values of a parameter is several methods to a report: a mean over them would be nobody's.

Budgets have columns of their own, and seeds are repetitions; every other parameter of a grid becomes part of the name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_order", "variant_names"]

_TOLD = ("eps", "norm")


def variant_names(methods: Sequence[str], params: Sequence[str], cells: NDArray[np.int64]) -> list[str]:
    """Names of settings: their methods, with the parameters in which settings of one cell differ.

    Args:
        methods: Method of each setting.
        params: Parameters of each setting, as JSON.
        cells: For each setting a number, equal where reports would put two settings into one cell.
    """
    if len(np.unique(cells)) == len(cells):
        return list(methods)
    read = [_read(text) for text in params]
    different: dict[str, dict[str, None]] = {}
    order = np.argsort(cells, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
        names = dict.fromkeys(name for k in own for name in read[k] if name not in _TOLD)
        some = different.setdefault(methods[own[0]], {})
        some.update(dict.fromkeys(name for name in names if len({_word(read[k].get(name)) for k in own}) > 1))
    words = [
        [f"{name} {_word(own[name])}" for name in different[method] if name in own]
        for method, own in zip(methods, read, strict=True)
    ]
    return [", ".join([method, *some]) for method, some in zip(methods, words, strict=True)]


def in_order(named: Mapping[str, str], methods: Sequence[str]) -> list[str]:
    """Names (name -> method) in the order of the methods, those of one method by the sizes of their numbers."""
    place = {method: k for k, method in enumerate(methods)}

    def key(name: str) -> tuple[int, list[tuple[float, str]]]:
        pieces = re.split(r"(\d+(?:\.\d+)?)", name)
        numbers = [(float(piece), "") if k % 2 else (0.0, piece) for k, piece in enumerate(pieces)]
        return place[named[name]], numbers

    return sorted((name for name, method in named.items() if method in place), key=key)


def _read(text: str) -> Mapping[str, Any]:
    """Parameters by name; those that cannot be read are one of their own."""
    try:
        params = json.loads(text)
    except (ValueError, RecursionError):
        params = None
    return params if isinstance(params, dict) else {"parameters": text[:80]}


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
