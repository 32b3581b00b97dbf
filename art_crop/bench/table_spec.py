"""What a suite's ``[[table]]`` may ask for: names of rows, columns and measures, checked before anything runs.

A measure is ``share-at-target``, ``share-within-16px``, ``share-over-90``, ``success`` or ``success-before``, or ``mean
X``, ``median X``, ``clipped mean X`` or ``largest X``, X being a column or a metric (a metric's name alone is its
mean); each may end in ``of successes``. Nothing here needs more than the standard library.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from art_crop.errors import InvalidInputError

__all__ = ["COLUMNS", "KEYS", "SHARES", "Kind", "MeasureName", "check_table", "parse_measure"]

Kind = Literal["share", "mean", "median", "clipped mean", "largest"]

KEYS = ("method", "attacked", "scored", "attack", "group", "norm", "eps", "seed")
"""What the rows or the columns of a table may stand for."""
SHARES = ("share-at-target", "share-within-16px", "share-over-90", "success", "success-before")
COLUMNS = ("l2", "linf", "seconds", "queries", "gradients", "width", "height")
"""Numbers that every result has, whatever the protocol and the suite's metrics."""
_ESTIMATES: tuple[Kind, ...] = ("mean", "median", "clipped mean", "largest")
_ALLOWED = (
    f"{', '.join(SHARES)}, {', '.join(f'{name} X' for name in _ESTIMATES)} (X a metric or {', '.join(COLUMNS[:5])}), "
    "each with or without 'of successes'"
)
_SPEC = ("title", "rows", "columns", "values", "note", "paper")


class MeasureName(NamedTuple):
    """What the name of a measure says: what is computed, of which column, and whether only of successes."""

    kind: Kind
    column: str
    of_successes: bool


def parse_measure(name: Any) -> MeasureName:
    """Take the name of a measure apart; whether results have its column is not asked here.

    Raises:
        InvalidInputError: It is none; the message says which there are, and the nearest.
    """
    text, found = re.subn(r"\s+of successes$", "", name.strip()) if isinstance(name, str) else ("", 0)
    if text in SHARES:
        return MeasureName("share", text, bool(found))
    match = re.fullmatch(r"(?:(clipped mean|mean|median|largest)\s+)?([a-z0-9_.-]+)", text)
    if match is None or text in _ESTIMATES or text.startswith(("share-", "success-")):
        near = _nearest(text, [*SHARES, *(f"{kind} {column}" for kind in _ESTIMATES for column in COLUMNS)])
        raise InvalidInputError(f"values: {name!r} is no measure; {near}allowed: {_ALLOWED}")
    kinds: dict[str | None, Kind] = {None: "mean", **{kind: kind for kind in _ESTIMATES}}
    return MeasureName(kinds[match[1]], match[2], bool(found))


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
    for key in spec:
        if key not in _SPEC:
            raise _unknown(key, key, _SPEC)
    rows, columns = spec.get("rows", "method"), spec.get("columns", "")
    if rows not in KEYS:
        raise _unknown("rows", rows, KEYS)
    if columns not in (*KEYS, ""):
        raise _unknown("columns", columns, KEYS)
    values = spec.get("values", ["success"])
    if not isinstance(values, (list, tuple)) or not values:
        raise InvalidInputError(f"values: a list of measures is needed, not {values!r}")
    for name in values:
        measure = parse_measure(name)
        if metrics is not None and measure.kind != "share" and measure.column not in (*COLUMNS, *metrics):
            raise _unknown("values", measure.column, (*metrics, *COLUMNS), f" in {name!r}; no result will have it")
    _check_paper(spec.get("paper", {}), columns, len(values), methods if rows == "method" else None)


def _check_paper(paper: Any, columns: str, count: int, methods: Collection[str] | None) -> None:
    """The paper's numbers: {row: number or list}, or {row: {column: number or list}}, a number for each measure."""
    if not isinstance(paper, Mapping):
        raise InvalidInputError(f"paper: a table of rows is needed, not {paper!r}")
    for row, numbers in paper.items():
        if methods is not None and row not in methods:
            raise _unknown(f"paper.{row}", row, methods)
        for column, some in numbers.items() if isinstance(numbers, Mapping) else [("", numbers)]:
            where = f"paper.{row}{f'.{column}' if column else ''}"
            if column and columns in ("eps", "seed") and column != _as_shown(column):
                wanted = _as_shown(column)
                hint = f"it would have to be written {wanted!r}" if wanted else "the columns are numbers"
                raise InvalidInputError(f"{where}: no column is called {column!r}; {hint}")
            listed = some if isinstance(some, (list, tuple)) else [some]
            if len(listed) > count or not all(_is_number(number) for number in listed):
                most = f"at most {count} numbers are needed, one for each of values"
                raise InvalidInputError(f"{where}: {most}, not {some!r}")


def _as_shown(column: str) -> str:
    """A number as the columns of reports show it; "" for what is none."""
    try:
        return f"{float(column):g}"
    except ValueError:
        return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _unknown(key: str, name: Any, allowed: Iterable[str], more: str = "") -> InvalidInputError:
    names = list(dict.fromkeys(allowed))
    near = _nearest(str(name), names)
    return InvalidInputError(f"{key}: {name!r} is not known here{more}; {near}allowed: {', '.join(names)}")


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
