"""All results for the page's own table: columns of numbers and of codes, as small as JSON allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from art_crop.bench.measures import LABELS, TASK
from art_crop.bench.results import Frame

__all__ = ["results_table"]

_ROWS = 200_000
_METRICS = 8
_TEXTS = {"photo": "photo", "method": "method", "attacked": "attacked", "scored": "scored", "group": "data"}
_FIRST = {"eps": "budget", "seed": "seed", "success": "success"}
_LAST = {"l2": "L2", "linf": "L∞", "gradients": "gradients", "queries": "queries", "seconds": "seconds"}


def results_table(frame: Frame, shown: Callable[[str], str] = str) -> dict[str, Any]:
    """List rows with a number, ``{"rows": n, "columns": [...]}``, without columns that say the same everywhere.

    A column has title, kind ("text", "number" or "flag"), filter (a list of its values is offered) and values; where it
    is text also categories, of which the values are places. Nothing measured is null. ``shown`` goes over all text.
    """
    data = frame.data.filter("_measured").head(_ROWS)
    columns: list[dict[str, Any]] = []
    for name, title in _TEXTS.items():
        text = frame.text(name)
        used, codes = np.unique(text.codes[frame.measured][:_ROWS], return_inverse=True)
        if len(used) > 1 or name in ("photo", "method"):
            offered = name != "photo" and 1 < len(used) <= 60
            categories = [shown(text.categories[code]) for code in used]
            own = {"title": title, "kind": "text", "filter": offered, "categories": categories}
            columns.append({**own, "values": codes.ravel().tolist()})
    metrics = [name for name in frame.metrics if name not in _LAST and name in data.columns][:_METRICS]
    for name, title in {**_FIRST, **{name: LABELS.get(name, name) for name in metrics}, **_LAST}.items():
        values = data[name].cast(pl.Float64)
        distinct = values.drop_nulls().n_unique()
        if not distinct or (distinct == 1 and name in ("eps", "seed") and not values.has_nulls()):
            continue
        offered, kind = name in _FIRST and distinct <= 60, "flag" if name == "success" else "number"
        column = {"title": title, "kind": kind, "filter": offered, "values": _short(values)}
        columns.append({**column, "percent": True} if name in TASK.percent else column)
    return {"rows": len(data), "columns": columns}


def _short(values: pl.Series) -> list[Any]:
    """Four significant digits; whole numbers without a point."""
    known = values.drop_nulls().to_numpy()
    digits = 10.0 ** np.clip(3 - np.floor(np.log10(np.where(known == 0, 1.0, np.abs(known)))), 0, 12)
    rounded = np.round(known * digits) / digits
    whole = bool((rounded == np.floor(rounded)).all())
    found = np.zeros(len(values), np.int64 if whole else np.float64)
    found[values.is_not_null().to_numpy()] = rounded
    return pl.DataFrame({"n": found}).select(pl.when(values.is_not_null()).then("n")).to_series().to_list()
