"""A run's rows as tables: cells by row, column and measure, beside the numbers that the paper prints.

Models are never pooled: where a run has several attacked or scored models (or norms) and the table's rows and columns
do not tell them apart, there is a table for each. Attacks that use no model (attacked is "") stand in each of them.
What failed has its line too, with the count, for who reads only the table would take it for never tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import Cell, Measure, measure
from art_crop.bench.table_spec import check_table
from art_crop.errors import InvalidInputError

__all__ = ["Line", "Part", "Table", "default_specs", "parts", "ratio_split", "row_labels", "suite_tables"]

_SPLIT = ("scored", "attacked", "norm")
_PARTED = 10

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Line:
    """One line of a table: the row's label, the column's, a cell for each measure and the paper's numbers.

    ``failed`` counts photos of which a result ended with an error.
    """

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
    """A table of a report.

    Attributes:
        title: Its heading.
        split: What all its rows have in common where the run has more: attacked, scored, norm.
        row_title: Heading of the first column.
        column_title: Heading of the second; "" where there is none.
        measures: One for each cell of a line.
        note: Text below.
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


@dataclass(frozen=True)
class Part:
    """Rows that may stand in one table."""

    split: Mapping[str, str]
    mask: Mask


def suite_tables(frame: Frame, specs: Sequence[Mapping[str, Any]]) -> tuple[list[Table], list[str]]:
    """The tables that a suite asks for, or such as fit its rows where it asks for none; and what is wrong with some."""
    found = [_checked(frame, spec) for spec in specs or default_specs(frame)]
    return [table for tables, _ in found for table in tables], [problem for _, problem in found if problem]


def _checked(frame: Frame, spec: Mapping[str, Any]) -> tuple[list[Table], str]:
    name = f"table {spec.get('title', '')!r}"
    try:
        tables = _tables(frame, spec)
    except InvalidInputError as error:
        return [], f"{name}: {error}"
    lines = [line for table in tables for line in table.lines]
    names = [one.name for one in tables[0].measures] if lines and frame.measured.any() else []
    empty = [repr(one) for k, one in enumerate(names) if not any(line.cells[k].n for line in lines)]
    return tables, f"{name}: no result has {', '.join(empty)}" if empty else ""


def default_specs(frame: Frame) -> list[dict[str, Any]]:
    """A table of successes, shifts, sizes of change and cost, as far as the rows have them."""
    measured = frame.measured
    wanted = {
        "success": "success",
        "shift": "share-at-target",
        "clipped mean shift": "clipped mean shift",
        "l2": "median l2",
        "psnr": "mean psnr",
        "seconds": "median seconds",
    }
    values = [name for key, name in wanted.items() if (~np.isnan(frame.numbers(key.split()[-1])[measured])).any()]
    return [{"title": "Results", "rows": "method", "columns": "eps", "values": values or ["success"]}]


def parts(frame: Frame, used: Sequence[str] = (), *, failed: bool = False) -> list[Part]:
    """Groups of rows that agree in attacked and scored model and in norm, unless these are rows or columns already.

    They have a number, or with ``failed`` ended with an error.
    """
    kept = frame.measured | frame.failed if failed else frame.measured
    groups = [Part({}, kept)]
    for key in _SPLIT:
        text = frame.text(key)
        values = [value for value in text.present(kept) if value or key != "attacked"]
        if key in used or len(values) < 2:
            continue
        network_free = text.equals("") if key == "attacked" else np.zeros(len(frame), bool)
        groups = [
            Part({**group.split, key: value}, group.mask & (text.equals(value) | network_free))
            for group in groups
            for value in values
            if (group.mask & text.equals(value)).any()
        ]
    return groups


def row_labels(frame: Frame, key: str, mask: Mask) -> list[tuple[str, Mask]]:
    """Label and rows of each row of a table.

    Several methods of one attacked model are rows of their own, and network-free attacks go by their method.
    """
    text = frame.text(key)
    if key != "attacked":
        return [(value or "–", mask & text.equals(value)) for value in text.present(mask)]
    found, methods = [], frame.text("method")
    for value in text.present(mask):
        chosen = mask & text.equals(value)
        names = methods.present(chosen)
        for name in names:
            label = value if len(names) == 1 and value else f"{value}: {name}" if value else name
            found.append((label, chosen & methods.equals(name)))
    return found


def ratio_split(frame: Frame) -> list[Table]:
    """Photos whose second peak is nearly the first, and the others: parted at the median ratio of the two.

    Near ties are easy, so that a share over all photos says little without it. Halves of fewer than ten photos say
    nothing themselves, and make no table.
    """
    ratio, found = frame.ratio, []
    if not ((~np.isnan(ratio)) & frame.measured).any():
        return []
    at_target = measure("share-at-target")
    if np.isnan(at_target.values(frame)[frame.measured]).all():
        at_target = measure("success")
    values = at_target.values(frame)
    for part in parts(frame):
        known = part.mask & ~np.isnan(ratio)
        _, first = np.unique(frame.photos[known], return_index=True)
        if len(first) < _PARTED:
            continue
        median = float(np.median(ratio[known][first]))
        lines = []
        for label, rows in row_labels(frame, "method", known):
            for column, order, chosen in _columns(frame, "eps", rows):
                halves = (chosen & (ratio < median), chosen & (ratio >= median))
                cells = tuple(at_target.cell(values, frame.photos, half) for half in halves)
                lines.append(Line(label, column, cells, (None, None), order))
        measures = tuple(
            Measure(name, name, "share", at_target.column, percent=True) for name in ("strong first peak", "near tie")
        )
        note = f"Share {at_target.label}" if at_target.name == "share-at-target" else "Share of successes"
        note += f"; the photos are parted at the median ratio of second to first peak, {median:.3f}."
        title = "Strong first peaks and near ties"
        found.append(Table(title, part.split, "method", _title(lines, "eps"), measures, tuple(lines), note))
    return found


def _tables(frame: Frame, spec: Mapping[str, Any]) -> list[Table]:
    check_table(spec)
    rows = str(spec.get("rows", "method"))
    columns = str(spec.get("columns", "eps" if _has_budgets(frame) else ""))
    measures = tuple(measure(name) for name in spec.get("values", ["success"]))
    values = [one.values(frame) for one in measures]
    paper = spec.get("paper", {})
    found = []
    for part in parts(frame, (rows, columns), failed=True):
        lines = []
        for label, chosen in row_labels(frame, rows, part.mask):
            for column, order, mask in _columns(frame, columns, chosen):
                cells = tuple(one.cell(value, frame.photos, mask) for one, value in zip(measures, values, strict=True))
                failed = len(np.unique(frame.photos[mask & frame.failed]))
                lines.append(Line(label, column, cells, _paper(paper, label, column, len(measures)), order, failed))
        title = str(spec.get("title", "Results"))
        found.append(
            Table(title, part.split, rows, _title(lines, columns), measures, tuple(lines), str(spec.get("note", "")))
        )
    return found


def _columns(frame: Frame, key: str, mask: Mask) -> Iterable[tuple[str, float, Mask]]:
    """Label, place and rows of each column of a row; one without a label where the key is no number for these rows."""
    if key == "":
        return [("", 0.0, mask)]
    if key not in ("eps", "seed"):
        text = frame.text(key)
        return [(value, float(k), mask & text.equals(value)) for k, value in enumerate(text.present(mask))]
    numbers = frame.numbers(key)
    present = np.unique(numbers[mask & ~np.isnan(numbers)])
    found = [(f"{value:g}", float(value), mask & (numbers == value)) for value in present]
    without = mask & np.isnan(numbers)
    return [*found, ("", -1.0, without)] if without.any() else found


def _has_budgets(frame: Frame) -> bool:
    """Whether some method was given several budgets; one of its own says nothing that its label does not."""
    pairs = np.column_stack((frame.text("method").codes, np.nan_to_num(frame.numbers("eps"), nan=-1)))
    distinct = np.unique(pairs[frame.measured | frame.failed], axis=0)
    return len(distinct) > len(np.unique(distinct[:, 0]))


def _title(lines: Sequence[Line], key: str) -> str:
    title = {"eps": "budget"}.get(key, key)
    return title if any(line.column for line in lines) else ""


def _paper(paper: Any, row: str, column: str, count: int) -> tuple[float | None, ...]:
    """The paper's numbers of a line, as many as there are measures."""
    numbers = paper.get(row, {}) if isinstance(paper, Mapping) else {}
    numbers = numbers.get(column, []) if isinstance(numbers, Mapping) else numbers
    numbers = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    kept = [float(n) if isinstance(n, (int, float)) and not isinstance(n, bool) else None for n in numbers]
    return tuple((*kept, *[None] * count)[:count])
