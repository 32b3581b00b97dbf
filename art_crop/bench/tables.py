"""A run's rows as tables: cells by row, column and measure, beside the numbers that the paper prints.

Models are never pooled: where a run has several attacked or scored models (or norms) and the table's rows and columns
do not tell them apart, there is a table for each. Attacks that use no model (attacked is "") stand in each of them.
What failed has its line too, with the count, for who reads only the table would take it for never tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from art_crop.bench.measures import TASK, Cell, Measure, known, measure
from art_crop.bench.results import Frame
from art_crop.bench.table_spec import check_table
from art_crop.errors import InvalidInputError

__all__ = ["Line", "Part", "Table", "grouped", "parts", "ratio_split", "suite_tables"]

_MEANS = 4
_PARTED = 10  # photos; halves of fewer say nothing themselves


@dataclass(frozen=True)
class Line:
    """One line of a table: a cell for each measure and the paper's numbers; ``failed`` counts photos with an error."""

    row: str
    column: str
    cells: tuple[Cell, ...]
    paper: tuple[float | None, ...]
    order: float = 0.0
    failed: int = 0

    @property
    def n(self) -> str:
        """Photos behind the line, of each measure where they differ; and how many failed."""
        counts = [str(cell.n) for cell in self.cells]
        text = counts[0] if len(set(counts)) == 1 else ", ".join(counts)
        return f"{text} ({self.failed} failed)" if self.failed else text


@dataclass(frozen=True)
class Table:
    """A table of a report; ``split`` is what all its rows have in common where the run has more than that.

    ``column_title`` is "" where there are no columns, and ``measures`` has one for each cell of a line.
    """

    title: str
    split: Mapping[str, str]
    row_title: str
    column_title: str
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...] = field(default=())
    note: str = ""

    @property
    def has_paper(self) -> tuple[bool, ...]:
        """For which measures the paper has a number somewhere in this table."""
        return tuple(any(line.paper[k] is not None for line in self.lines) for k in range(len(self.measures)))


class Part(NamedTuple):
    """Rows that may stand in one table."""

    split: Mapping[str, str]
    mask: NDArray[np.bool_]


class Group(NamedTuple):
    """Rows that agree in some columns: these, a cell for each measure, and photos and rows that failed."""

    keys: tuple[Any, ...]
    cells: tuple[Cell, ...]
    failed_photos: int
    failed_rows: int


def grouped(data: pl.DataFrame, keys: Sequence[str], measures: Sequence[tuple[Measure, pl.Expr]]) -> Iterator[Group]:
    """Estimate measures, each with the expression of its rows' values, for every combination of ``keys``, in order."""
    others = {f"_{k}_before": one.before for k, (one, _) in enumerate(measures) if one.before is not None}
    names = [*(f"_{k}" for k in range(len(measures))), *others]
    wanted = {f"_{k}": values for k, (_, values) in enumerate(measures)}
    wanted |= {name: one.of(data) for name, one in others.items()}
    values = data.select(*keys, "_photo", "_failed", **wanted)
    largest = {f"_{k}" for k, (one, _) in enumerate(measures) if one.kind == "largest"}
    means = [pl.col(name).max() if name in largest else pl.col(name).mean() for name in names]
    photos = values.group_by(*keys, "_photo", maintain_order=True).agg(*means, pl.col("_failed").sum())
    failed = {"_photos": (pl.col("_failed") > 0).sum(), "_rows": pl.col("_failed").sum()}
    cells = photos.group_by(*keys, maintain_order=True).agg(pl.col(names).drop_nulls(), **failed)
    for row in cells.sort(*keys, nulls_last=True).iter_rows(named=True):
        found = tuple(
            one.cell(np.array(row[f"_{k}"], np.float64), np.array(row.get(f"_{k}_before") or [], np.float64))
            for k, (one, _) in enumerate(measures)
        )
        yield Group(tuple(row[key] for key in keys), found, row["_photos"], row["_rows"])


def suite_tables(frame: Frame, specs: Sequence[Mapping[str, Any]]) -> tuple[list[Table], list[str]]:
    """Make the tables that a suite asks for, or such as fit its rows where it asks for none; and say what is wrong."""
    tables, problems = [], []
    for spec in specs or [{"values": _default_values(frame)}]:
        name = f"table {spec.get('title', 'Results' if not specs else '')!r}"
        try:
            own = _tables(frame, spec)
        except InvalidInputError as error:
            problems.append(f"{name}: {error}")
            continue
        lines = [line for table in own for line in table.lines]
        names = [one.name for one in own[0].measures] if lines and frame.measured.any() else []
        empty = [repr(one) for k, one in enumerate(names) if not any(line.cells[k].n for line in lines)]
        problems += [f"{name}: no result has {', '.join(empty)}"] if empty else []
        tables += own
    return tables, problems


def _default_values(frame: Frame) -> list[str]:
    """Successes, the task's own measures or else means of the run's, sizes of change and cost, as rows have them."""
    own = known(frame.data, *TASK.summary)
    others = [name for name in frame.metrics if name not in (*TASK.particular, "psnr")]
    means = [] if own else [f"mean {name}" for name in others[:_MEANS]]
    wanted = ["success", *own, *means, "median l2", "mean psnr", "median seconds"]
    return known(frame.data, *wanted) or ["success"]


def parts(frame: Frame, used: Sequence[str] = (), *, failed: bool = False) -> list[Part]:
    """Group rows that agree in scored and attacked model and in norm, unless these are rows or columns already.

    They have a number, or with ``failed`` ended with an error.
    """
    kept = frame.measured | frame.failed if failed else frame.measured
    groups = [Part({}, kept)]
    for key in ("scored", "attacked", "norm"):
        text = frame.text(key)
        values = [value for value in text.present(kept) if value or key != "attacked"]
        if key in used or len(values) < 2:
            continue
        without = text.equals("") & (key == "attacked")
        groups = [
            Part({**group.split, key: value}, group.mask & (text.equals(value) | without))
            for group in groups
            for value in values
            if (group.mask & text.equals(value)).any()
        ]
    return groups


def _tables(frame: Frame, spec: Mapping[str, Any]) -> list[Table]:
    check_table(spec)
    rows, columns = str(spec.get("rows", "method")), str(spec.get("columns", "eps" if _has_budgets(frame) else ""))
    measures = [measure(name) for name in spec.get("values", ["success"])]
    found = []
    for part in parts(frame, (rows, columns), failed=True):
        data, paper = frame.data.filter(part.mask), spec.get("paper", {})
        lines = _lines(frame, data, rows, columns, [(one, one.of(data)) for one in measures], paper)
        title, heading = str(spec.get("title", "Results")), _heading(lines, columns)
        found.append(Table(title, part.split, rows, heading, tuple(measures), lines, str(spec.get("note", ""))))
    return found


def ratio_split(frame: Frame) -> list[Table]:
    """Part photos at the median of a number of theirs, as the task says: a share over all says little without it."""
    split = TASK.split
    own = known(frame.data, split.share)
    one = measure(own[0] if own else "success")
    by = pl.col(split.by) if split.by in frame.metrics else _in_facts(frame, split.by)
    found, whole = [], frame.data.with_columns(_by=by)
    for part in parts(frame):
        data = whole.filter(pl.Series(part.mask) & whole["_by"].is_not_null())
        photos = data.unique("_photo", keep="first")["_by"]
        if len(photos) < _PARTED:
            continue
        median = float(np.median(photos))
        measures = tuple(Measure(name, name, "share", one.column, percent=True) for name in split.halves)
        halves = (pl.col("_by") < median, pl.col("_by") >= median)
        values = [(m, pl.when(half).then(one.of(data))) for m, half in zip(measures, halves, strict=True)]
        lines = _lines(frame, data, "method", "eps", values, {})
        note = f"Share {one.label}" if own else "Share of successes"
        title, heading = split.title, _heading(lines, "eps")
        found.append(
            Table(title, part.split, "method", heading, measures, lines, f"{note}; {split.note}, {median:.3f}.")
        )
    return found


def _in_facts(frame: Frame, name: str) -> pl.Series:
    """A number that stands in the facts of rows alone."""
    facts = pl.Series(pl.from_arrow(frame.table.column("facts")), dtype=pl.String)
    found: pl.Series = facts.str.extract(rf'"{name}": ?([0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?)').cast(pl.Float64)
    return found


def _lines(
    frame: Frame, data: pl.DataFrame, rows: str, columns: str, values: Sequence[tuple[Measure, pl.Expr]], paper: Any
) -> tuple[Line, ...]:
    """Lines of a table; several methods of one attacked model are rows of their own."""
    keys = list(dict.fromkeys([rows, *(["method"] if rows == "attacked" else []), *([columns] if columns else [])]))
    groups = list(grouped(data, keys, values))
    methods: dict[Any, set[str]] = {}
    for group in groups:
        methods.setdefault(group.keys[0], set()).add(group.keys[keys.index("method")] if rows == "attacked" else "")
    found = []
    for group in groups:
        own = dict(zip(keys, group.keys, strict=True))
        row, column, order = _shown(own[rows]), "", 0.0
        if rows == "attacked":
            alone = len(methods[own[rows]]) == 1
            row = own["method"] if not row else row if alone else f"{row}: {own['method']}"
        if columns:
            column, order = _shown(own[columns]), -1.0
            if columns in ("eps", "seed"):
                order = -1.0 if own[columns] is None else float(own[columns])
            else:
                order = float(frame.text(columns).categories.index(own[columns]))
        printed = _paper(paper, row, column, len(values))
        found.append(Line(row or "–", column, group.cells, printed, order, group.failed_photos))
    return tuple(found)


def _shown(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"


def _has_budgets(frame: Frame) -> bool:
    """Whether some method was given several budgets; one of its own says nothing that its label does not."""
    kept = frame.data.filter(~pl.col("_excluded"))
    return bool((kept.group_by("method").agg(pl.col("eps").n_unique())["eps"] > 1).any())


def _heading(lines: Sequence[Line], key: str) -> str:
    return {"eps": "budget"}.get(key, key) if any(line.column for line in lines) else ""


def _paper(paper: Any, row: str, column: str, count: int) -> tuple[float | None, ...]:
    """The paper's numbers of a line, as many as there are measures."""
    numbers = paper.get(row, {}) if isinstance(paper, Mapping) else {}
    numbers = numbers.get(column, []) if isinstance(numbers, Mapping) else numbers
    numbers = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    return tuple((*map(float, numbers), *[None] * count)[:count])
