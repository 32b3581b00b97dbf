"""The numbers that a cell of a report's table may hold, by the names that suites use.

``share-at-target``, ``share-over-90``, ``success``, ``mean X``, ``median X`` and ``clipped mean X``, X being a column
or a metric (a metric's name alone is its mean); each may end in ``of successes``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.statistics import mean_interval, median_interval, share_interval
from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import Interval

__all__ = ["LABELS", "Cell", "Measure", "at_target", "measure", "reached"]

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
Kind = Literal["share", "mean", "median", "clipped mean"]

_SHIFTS = ("shift", "peak-shift", "mean-clipped-shift", "shift-over-width")
LABELS = {
    "share-at-target": "at the target",
    "share-over-90": "shift over 90%",
    "success": "success",
    "success-before": "success before",
    "l2": "L2",
    "linf": "L∞",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "ciede2000-mean": "CIEDE2000",
    "shift-over-width": "shift / width",
    "seconds": "time (s)",
}
"""Headings of columns and metrics whose names are not what a reader would call them."""
_TOLERANCE = 0.1 + 1e-9  # 1.1 - 1 is a little more than 0.1 in binary


@dataclass(frozen=True)
class Cell:
    """An estimate with its interval and the number of photos behind it; nothing measured has n = 0 and no interval."""

    n: int
    interval: Interval | None = None


@dataclass(frozen=True)
class Measure:
    """One column of a table.

    Attributes:
        name: As the suite has it.
        label: Heading.
        kind: What is computed.
        column: Of which column or metric.
        of_successes: Only of rows that succeeded.
        percent: Shown in percent, as the papers print it.
    """

    name: str
    label: str
    kind: Kind
    column: str
    of_successes: bool = False
    percent: bool = False

    def values(self, frame: Frame) -> Values:
        """The value of every row, NaN where the measure does not apply; shares are 0 and 1."""
        if self.column == "share-at-target":
            values = at_target(frame)
        elif self.column == "share-over-90":
            shift = frame.numbers("shift")
            values = np.where(np.isnan(shift), np.nan, shift > 0.9)
        elif self.column == "success":
            values = _success(frame)
        elif self.column == "success-before":
            values = frame.numbers("success_before")
        else:
            values = frame.numbers(self.column)
            if self.kind == "clipped mean":
                values = np.clip(values, 0, 1)
        kept = frame.measured & (reached(frame) == 1) if self.of_successes else frame.measured
        return np.where(kept, values, np.nan)

    def cell(self, values: Values, mask: Mask) -> Cell:
        """The number of some rows, from :meth:`values`."""
        found = values[mask]
        found = found[~np.isnan(found)]
        n = len(found)
        if n == 0:
            return Cell(0)
        if self.kind == "share":
            return Cell(n, share_interval(int(found.sum()), n))
        return Cell(n, median_interval(found) if self.kind == "median" else mean_interval(found))

    def text(self, value: float) -> str:
        """A value as tables show it."""
        if self.percent:
            return f"{round(100 * value, 1) + 0.0:.1f}%"  # + 0.0: there is no minus nought
        return f"{value:.0f}" if abs(value) >= 1_000 else f"{value + 0.0:.3g}" if abs(value) < 10 else f"{value:.1f}"


def measure(name: str) -> Measure:
    """The measure of a name.

    Raises:
        InvalidInputError: It is none; the message says which there are.
    """
    text, found = re.subn(r"\s+of successes$", "", name.strip()) if isinstance(name, str) else ("", 0)
    kind: Kind
    if text in ("share-at-target", "share-over-90", "success", "success-before"):
        kind, column = "share", text
    else:
        match = re.fullmatch(r"(?:(clipped mean|mean|median)\s+)?([a-z0-9_.-]+)", text)
        if match is None or text in ("mean", "median"):
            raise InvalidInputError(
                f"values: {name!r} is no measure; allowed: share-at-target, share-over-90, success, success-before, "
                "mean X, median X, clipped mean X (X a metric or l2, linf, seconds, queries, gradients), "
                "each with or without 'of successes'"
            )
        prefix = match[1] or "mean"
        kind = "clipped mean" if prefix == "clipped mean" else "median" if prefix == "median" else "mean"
        column = match[2]
    label = LABELS.get(column, column.replace("_", " "))
    label = label if kind == "share" else f"{kind} {label}"
    label += " of successes" if found else ""
    return Measure(name, label, kind, column, bool(found), kind == "share" or column in _SHIFTS)


def at_target(frame: Frame) -> Values:
    """1 where the peak ended within 10% of its way to the target, else 0; NaN without a shift."""
    shift = frame.numbers("shift")
    return np.where(np.isnan(shift), np.nan, np.abs(shift - 1) <= _TOLERANCE)


def reached(frame: Frame) -> Values:
    """1 where the attack did what it was for: by the protocol's verdict, and where it gives none, at the target."""
    success = _success(frame)
    return np.where(np.isnan(success), at_target(frame), success)


def _success(frame: Frame) -> Values:
    """The protocol's verdict, of photos that the attack had something to do for."""
    return np.where(frame.numbers("success_before") == 1, np.nan, frame.numbers("success"))
