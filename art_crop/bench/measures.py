"""The numbers that a cell of a report's table may hold, by the names of :mod:`art_crop.bench.table_spec`.

A cell's unit is the photo: several results of one photo are their mean, or for the largest value, all looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.statistics import mean_interval, median_interval, per_photo, share_of_photos
from art_crop.bench.table_spec import Kind, parse_measure
from art_crop.metrics.intervals import Interval

__all__ = ["LABELS", "Cell", "Measure", "at_target", "measure", "reached"]

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

_SHIFTS = ("shift", "peak-shift", "mean-clipped-shift", "shift-over-width")
LABELS = {
    "share-at-target": "at the target",
    "share-within-16px": "at the target, or within 16 px",
    "share-over-90": "shift over 90%",
    "success": "success",
    "success-before": "success before",
    "l2": "L2",
    "linf": "L∞",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "ciede2000-mean": "CIEDE2000",
    "shift-over-width": "shift / width",
    "ratio": "second / first peak",
    "way": "way (px)",
    "seconds": "time (s)",
}
"""Headings of columns and metrics whose names are not what a reader would call them."""
_TOLERANCE = 0.1 + 1e-9  # 1.1 - 1 is a little more than 0.1 in binary
_NEAR = 16.0  # pixels: a cell of a cropper's map


@dataclass(frozen=True)
class Cell:
    """An estimate, the number of photos behind it, and its interval; nothing measured has n = 0 and neither.

    Attributes:
        n: Photos.
        interval: Estimate with the ends of its 95% interval; None where there is none.
        bare: A value without an interval: a largest one, or the mean of a single photo, whose resamples would all be
            the same.
    """

    n: int
    interval: Interval | None = None
    bare: float | None = None

    @property
    def value(self) -> float | None:
        """The number of the cell, with or without an interval; None where nothing was measured."""
        return self.interval.estimate if self.interval is not None else self.bare

    def as_json(self) -> dict[str, Any]:
        """n, estimate, and low and high where there is an interval."""
        if self.interval is not None:
            return {"n": self.n, **self.interval._asdict()}
        return {"n": self.n} if self.bare is None else {"n": self.n, "estimate": self.bare}


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
        elif self.column == "share-within-16px":
            values = _within(frame)
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

    def cell(self, values: Values, photos: NDArray[np.int64], mask: Mask) -> Cell:
        """The number of some rows, from :meth:`values` and from the photo of every row."""
        kept = mask & ~np.isnan(values)
        found, of = values[kept], photos[kept]
        if not len(found):
            return Cell(0)
        if self.kind == "largest":
            return Cell(len(np.unique(of)), bare=float(found.max()))
        found = per_photo(found, of)
        if len(found) == 1 and (self.kind != "share" or found[0] not in (0, 1)):
            return Cell(1, bare=float(found[0]))
        kind = {"share": share_of_photos, "median": median_interval}.get(self.kind, mean_interval)
        return Cell(len(found), kind(found))

    def text(self, value: float) -> str:
        """A value as tables show it."""
        if self.percent:
            return f"{round(100 * value, 1) + 0.0:.1f}%"  # + 0.0: there is no minus nought
        if self.kind == "largest":  # whether a budget of 10 was kept is a question of the fifth digit
            return f"{value + 0.0:.5g}"
        value += 0.0
        if abs(value) >= 1_000:
            return f"{value:.0f}"
        if abs(value) >= 10 or value == 0:
            return f"{value:.1f}"
        return f"{value:#.3g}"  # with its zeros, so that a column's numbers have one length


def measure(name: str) -> Measure:
    """The measure of a name.

    Raises:
        InvalidInputError: It is none; the message says which there are.
    """
    kind, column, of_successes = parse_measure(name)
    label = LABELS.get(column, column.replace("_", " "))
    label = label if kind == "share" else f"{kind} {label}"
    label += " of successes" if of_successes else ""
    return Measure(name, label, kind, column, of_successes, kind == "share" or column in _SHIFTS)


def at_target(frame: Frame) -> Values:
    """1 where the peak ended within 10% of its way to the target, else 0; NaN where it had no way to go."""
    shift = _shift(frame)
    return np.where(np.isnan(shift), np.nan, np.abs(shift - 1) <= _TOLERANCE)


def _shift(frame: Frame) -> Values:
    """The shift of photos whose peak was not at the target before."""
    return np.where(frame.numbers("success_before") == 1, np.nan, frame.numbers("shift"))


def _within(frame: Frame) -> Values:
    """1 where the peak ended within 10% of its way to the target or within 16 pixels of it; NaN without a way."""
    shift, way = _shift(frame), frame.numbers("way")
    with np.errstate(divide="ignore"):
        reach = np.maximum(_TOLERANCE, _NEAR / np.abs(way) + 1e-9)
    return np.where(np.isnan(shift) | np.isnan(way), np.nan, np.abs(shift - 1) <= reach)


def reached(frame: Frame) -> Values:
    """1 where the attack did what it was for: by the protocol's verdict, and where it gives none, at the target.

    NaN for photos that were a success before: they are left out, not judged by their shift instead.
    """
    return np.where(np.isnan(frame.numbers("success")), at_target(frame), _success(frame))


def _success(frame: Frame) -> Values:
    """The protocol's verdict, of photos that the attack had something to do for."""
    return np.where(frame.numbers("success_before") == 1, np.nan, frame.numbers("success"))
