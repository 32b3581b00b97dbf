"""All results for the page's own table: columns of numbers and of codes, as small as JSON allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import LABELS

__all__ = ["results_table"]

_ROWS = 200_000
_METRICS = 8
_TEXTS = (
    ("photo", "photo", False),
    ("method", "method", True),
    ("attacked", "attacked", True),
    ("scored", "scored", True),
    ("group", "data", True),
)
_NUMBERS = (
    ("eps", "budget", True),
    ("seed", "seed", True),
    ("success", "success", True),
    ("l2", "L2", False),
    ("linf", "L∞", False),
    ("gradients", "gradients", False),
    ("queries", "queries", False),
    ("seconds", "seconds", False),
)
_PERCENT = ("shift", "shift-over-width")


def results_table(frame: Frame, shown: Callable[[str], str] = str) -> dict[str, Any]:
    """Rows with a number: ``{"rows": n, "columns": [...]}``; a column that says the same everywhere is left out.

    A column has title, kind ("text", "number" or "flag"), filter (a list of its values is offered) and values; where it
    is text also categories, of which the values are places. Nothing measured is null. ``shown`` goes over all text.
    """
    rows = np.flatnonzero(frame.measured)[:_ROWS]
    columns: list[dict[str, Any]] = []
    for name, title, offered in _TEXTS:
        text = frame.text(name)
        used, codes = np.unique(text.codes[rows], return_inverse=True)
        if len(used) < 2 and name not in ("photo", "method"):
            continue
        columns.append(
            {
                "title": title,
                "kind": "text",
                "filter": offered and 1 < len(used) <= 60,
                "categories": [shown(text.categories[code]) for code in used],
                "values": codes.ravel().tolist(),
            }
        )
    metrics = [name for name in frame.metrics if name not in ("l2", "linf")][:_METRICS]
    wanted = [*_NUMBERS[:3], *((name, LABELS.get(name, name), False) for name in metrics), *_NUMBERS[3:]]
    for name, title, offered in wanted:
        values = frame.numbers(name)[rows]
        distinct = np.unique(values[~np.isnan(values)])
        if not len(distinct) or (len(distinct) == 1 and offered and name != "success" and not np.isnan(values).any()):
            continue
        kind = "flag" if name == "success" else "number"
        column = {"title": title, "kind": kind, "filter": offered and len(distinct) <= 60, "values": _short(values)}
        columns.append({**column, "percent": True} if name in _PERCENT else column)
    return {"rows": len(rows), "columns": columns}


def _short(values: NDArray[np.float64]) -> list[float | int | None]:
    """Four significant digits; whole numbers without a point; NaN as None."""
    known = ~np.isnan(values)
    clean = np.where(known, values, 0.0)
    size = np.where(clean == 0, 1.0, np.abs(clean))
    digits = np.clip(3 - np.floor(np.log10(size)), 0, 12)
    scale = 10.0**digits
    rounded = np.round(clean * scale) / scale
    if bool((rounded == np.floor(rounded)).all()):
        found: list[Any] = rounded.astype(np.int64).tolist()
    else:
        found = rounded.tolist()
    if bool(known.all()):
        return found
    return [value if there else None for value, there in zip(found, known.tolist(), strict=True)]
