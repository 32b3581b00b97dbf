"""What a suite's ``[[table]]`` may hold, checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from art_crop.errors import InvalidInputError

__all__ = ["COLUMNS", "KEYS", "check_table", "nearest"]

KEYS = ("method", "attacked", "scored", "attack", "group", "norm", "eps", "seed")
"""What the rows or the columns of a table may stand for."""
COLUMNS = ("l2", "linf", "seconds", "queries", "gradients", "width", "height")
"""Numbers that every result has, whatever the task and the suite's metrics."""


def check_table(
    spec: Mapping[str, Any], metrics: Collection[str] | None = None, methods: Collection[str] | None = None
) -> None:
    """Refuse a table that could not be made.

    Args:
        spec: A ``[[table]]`` of a suite.
        metrics: Names of the metrics that the suite's results will have; None: not known, any may be asked for.
        methods: Titles of the suite's attacks; None: not known.

    Raises:
        InvalidInputError: The message begins with the key that is wrong and a colon.
    """
    from art_crop.bench.measures import measure

    for key in spec:
        _check_known(key, key, ("title", "rows", "columns", "values", "note", "paper"))
    rows, columns, values = spec.get("rows", "method"), spec.get("columns", ""), spec.get("values", ["success"])
    _check_known("rows", rows, KEYS)
    _check_known("columns", columns or KEYS[0], KEYS)
    if not isinstance(values, (list, tuple)) or not values:
        raise InvalidInputError(f"values: a list of measures is needed, not {values!r}")
    for name in values:
        one = measure(name)
        if metrics is not None and one.kind != "share":
            for column in (one.column, *([one.before.column] if one.before is not None else [])):
                _check_known("values", column, (*metrics, *COLUMNS), f" in {name!r}; no result will have it")
    paper = spec.get("paper", {})
    if not isinstance(paper, Mapping):
        raise InvalidInputError(f"paper: a table of rows is needed, not {paper!r}")
    for row, numbers in paper.items():
        if methods is not None and rows == "method":
            _check_known(f"paper.{row}", row, methods)
        for column, some in numbers.items() if isinstance(numbers, Mapping) else [("", numbers)]:
            _check_paper(f"paper.{row}{f'.{column}' if column else ''}", columns, column, some, len(values))


def _check_paper(where: str, columns: str, column: str, numbers: Any, count: int) -> None:
    """The paper's numbers of a row, or of a row and a column: a number, or a list of one for each measure."""
    if column and columns in ("eps", "seed"):
        try:
            shown = f"{float(column):g}"
        except ValueError:
            shown = ""
        if column != shown:
            hint = f"it would have to be written {shown!r}" if shown else "the columns are numbers"
            raise InvalidInputError(f"{where}: no column is called {column!r}; {hint}")
    listed = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    if len(listed) > count or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in listed):
        raise InvalidInputError(f"{where}: at most {count} numbers are needed, one for each of values, not {numbers!r}")


def _check_known(key: str, name: Any, allowed: Iterable[str], more: str = "") -> None:
    names = list(dict.fromkeys(allowed))
    if name not in names:
        raise InvalidInputError(
            f"{key}: {name!r} is not known here{more}; {nearest(str(name), names)}allowed: {', '.join(names)}"
        )


def nearest(name: str, names: Iterable[str]) -> str:
    """Ask whether the nearest of some names was meant; "" where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
