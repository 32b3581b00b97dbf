"""The numbers that a cell of a report's table may hold, by the names that a suite's ``[[table]]`` gives them.

A measure is a share (``success``, ``success-before``, ``success-within-N`` queries, or one that a task adds), or
``mean X``, ``median X``, ``clipped mean X`` or ``largest X``, X being a column or a metric (a metric's name alone is
its mean); each may end in ``of successes``. ``wasserstein X`` and ``energy X`` are distances between the photos'
values of ``X-before`` and of X. A cell's unit is the photo: several results of one photo are their mean, or for the
largest value, all looked at. What one task alone measures stands in :data:`TASK`, and no other module of results
knows of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.table_spec import COLUMNS, nearest
from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import Interval

if TYPE_CHECKING:
    import polars as pl

    from art_crop.bench.results import Frame

__all__ = ["LABELS", "TASK", "Cell", "Measure", "Share", "Split", "TaskMeasures", "known", "measure", "reached"]

Kind = Literal["share", "mean", "median", "clipped mean", "largest", "wasserstein", "energy"]
Values = NDArray[np.float64]
_ESTIMATES: tuple[Kind, ...] = ("mean", "median", "clipped mean", "largest", "wasserstein", "energy")
_DISTANCES = {"wasserstein": "Wasserstein distance", "energy": "energy distance"}


@dataclass(frozen=True)
class Share:
    """A share of photos: its heading, and which are in it as an SQL expression of columns.

    With ``of_open`` photos that were a success before the attack are left out, for there was nothing to do.
    """

    label: str
    sql: str
    of_open: bool = True


@dataclass(frozen=True)
class Split:
    """A table of photos parted at the median of a number: a share of those below the median, and of the others."""

    by: str
    share: str
    title: str
    halves: tuple[str, str]
    note: str


@dataclass(frozen=True)
class TaskMeasures:
    """What a task adds to the measures that every result has.

    Attributes:
        shares: By name.
        verdict: The share that says whether an attack reached its goal where the result itself does not.
        summary: Measures for tables and comparisons that nobody has specified.
        percent: Numbers that are shown in percent, as the papers print them.
        particular: Further numbers of which a comparison of means says nothing.
        split: A table of photos parted in two.
    """

    shares: Mapping[str, Share]
    verdict: str
    summary: tuple[str, ...]
    percent: Collection[str]
    particular: Collection[str]
    split: Split


AT_TARGET = 0.1
"""A peak that misses its target by at most this share of the way that it had to go has reached it."""
NEAR = 16.0
"""Pixels, a cell of a cropper's map: a peak no further from its target is near it."""
TASK = TaskMeasures(
    shares={
        # 1.1 - 1 is a little more than 0.1 in binary.
        "share-at-target": Share("at the target", f"abs(shift - 1) <= {AT_TARGET} + 1e-9"),
        "share-within-16px": Share(
            "at the target, or within 16 px",
            f"abs(way) * abs(shift - 1) <= greatest(abs(way) * {AT_TARGET}, {NEAR}) + 1e-6",
        ),
        "share-over-90": Share("shift over 90%", "shift > 0.9", of_open=False),
        "share-top-1": Share("top-1 accuracy", "rank <= 1", of_open=False),
        "share-top-5": Share("top-5 accuracy", "rank <= 5", of_open=False),
    },
    verdict="share-at-target",
    summary=("share-at-target", "clipped mean shift"),
    percent=("shift", "peak-shift", "mean-clipped-shift", "shift-over-width"),
    particular=("ratio", "way", "shown", "symmetric"),
    split=Split(
        by="ratio",
        share="share-at-target",
        title="Strong first peaks and near ties",
        halves=("strong first peak", "near tie"),
        note="the photos are parted at the median ratio of second to first peak",
    ),
)
"""Saliency's: a shift is 0 where the peak was before and 1 at its target; ``way`` is the distance in pixels."""
_SHARES = {"success": Share("success", "success"), "success-before": Share("success before", "success_before", False)}
_SHARES |= TASK.shares
LABELS = {
    "l2": "L2",
    "linf": "L∞",
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "ms-ssim": "MS-SSIM",
    "rms": "RMS",
    "ciede2000-mean": "CIEDE2000",
    "ciede2000-p95": "CIEDE2000, 95th percentile",
    "ciede2000-l2": "L2 of CIEDE2000",
    "within-color-threshold": "share of pixels within the threshold",
    "nima-aesthetic-score": "NIMA aesthetics",
    "shift-over-width": "shift / width",
    "ratio": "second / first peak",
    "way": "way (px)",
    "seconds": "time (s)",
    "score-change": "score change",
    "relative-gain": "relative gain (+: called better)",
    "robustness-score": "robustness score R (higher: more robust)",
}
"""Headings of columns and metrics whose names are not what a reader would call them."""


@dataclass(frozen=True)
class Cell:
    """An estimate over ``n`` photos with its 95% interval; ``bare`` without one: a largest value, a single photo."""

    n: int
    interval: Interval | None = None
    bare: float | None = None

    @property
    def value(self) -> float | None:
        """The number of the cell, with or without an interval; None where nothing was measured."""
        return self.interval.estimate if self.interval is not None else self.bare

    def as_json(self) -> dict[str, Any]:
        """Give n, estimate, and low and high where there is an interval."""
        if self.interval is not None:
            return {"n": self.n, **self.interval._asdict()}
        return {"n": self.n} if self.bare is None else {"n": self.n, "estimate": self.bare}


@dataclass(frozen=True)
class Measure:
    """One column of a table: what is computed (``kind``) of which column, metric or share, and how it is shown."""

    name: str
    label: str
    kind: Kind
    column: str
    of_successes: bool = False
    percent: bool = False

    @property
    def before(self) -> Measure | None:
        """Of a distance between two columns the other one, as a measure; None for all else."""
        return replace(self, column=f"{self.column}-before") if self.kind in _DISTANCES else None

    def of(self, data: pl.DataFrame) -> pl.Expr:
        """Express the value of every row, float64: null where the measure does not apply; shares are 0 and 1."""
        import polars as pl

        if self.kind == "share":
            share = _share_called(self.column)
            assert share is not None
            value = _share(share, data)
        else:
            value = pl.col(self.column).cast(pl.Float64) if self.column in data.columns else pl.lit(None, pl.Float64)
            value = value.clip(0, 1) if self.kind == "clipped mean" else value
        kept = pl.col("_measured") & (_reached(data) == 1) if self.of_successes else pl.col("_measured")
        return pl.when(kept).then(value)

    def cell(self, photos: Values, before: Values | None = None) -> Cell:
        """Estimate from the values of photos (n,): their means, or their largest; of a distance those before, too."""
        from art_crop.bench.statistics import share_of_photos
        from art_crop.metrics.intervals import mean_interval, median_interval

        n = len(photos)
        if self.kind in _DISTANCES:
            return Cell(n, bare=_distance(self.kind, before, photos))
        if n == 0 or self.kind == "largest":
            return Cell(n, bare=float(photos.max()) if n else None)
        if n == 1 and (self.kind != "share" or photos[0] not in (0, 1)):
            return Cell(1, bare=float(photos[0]))
        if self.kind in ("share", "median"):
            return Cell(n, share_of_photos(photos) if self.kind == "share" else median_interval(photos))
        mean, low, high = mean_interval(photos)
        clipped = self.kind == "clipped mean"
        least, most = 0.0 if clipped or self.column in COLUMNS else low, 1.0 if clipped else high
        return Cell(n, Interval(mean, max(least, low), min(most, high)))

    def text(self, value: float) -> str:
        """Show a value as tables do."""
        if self.percent:
            return f"{round(100 * value, 1) + 0.0:.1f}%"  # + 0.0: there is no minus nought
        value += 0.0
        if self.kind == "largest":  # whether a budget of 10 was kept is a question of the fifth digit
            return f"{value:.5g}"
        if self.column in ("ssim", "within-color-threshold"):  # which are near 1, where three digits tell little
            return f"{value:.4f}"
        if abs(value) >= 1_000:
            return f"{value:.0f}"
        # With its zeros, so that a column's numbers have one length.
        return f"{value:.1f}" if abs(value) >= 10 or value == 0 else f"{value:#.3g}"


def measure(name: Any) -> Measure:
    """Give the measure of a name; whether results have its column is not asked here.

    Raises:
        InvalidInputError: It is none; the message says which there are, and the nearest.
    """
    text, found = re.subn(r"\s+of successes$", "", name.strip()) if isinstance(name, str) else ("", 0)
    match = re.fullmatch(r"(?:(clipped mean|mean|median|largest|wasserstein|energy)\s+)?([a-z0-9_.-]+)", text)
    after = " of successes" if found else ""
    share = _share_called(text)
    if share is not None:
        return Measure(name, share.label + after, "share", text, bool(found), percent=True)
    if match is None or text in _ESTIMATES or text.startswith(("share-", "success-")):
        near = nearest(text, [*_SHARES, *(f"{kind} {column}" for kind in _ESTIMATES for column in COLUMNS)])
        allowed = ", ".join([*_SHARES, "success-within-N", *(f"{kind} X" for kind in _ESTIMATES)])
        more = f"(X a metric or {', '.join(COLUMNS[:5])}), each with or without 'of successes'"
        raise InvalidInputError(f"values: {name!r} is no measure; {near}allowed: {allowed} {more}")
    kind: Kind = next((one for one in _ESTIMATES if one == match[1]), "mean")
    named = LABELS.get(match[2], match[2].replace("_", " "))
    label = (f"{_DISTANCES[kind]} of {named}s" if kind in _DISTANCES else f"{kind} {named}") + after
    return Measure(name, label, kind, match[2], bool(found), match[2] in TASK.percent)


def _share_called(name: str) -> Share | None:
    """The share of a name; the number of queries within which a success counts stands in it."""
    within = re.fullmatch(r"success-within-([1-9][0-9]{0,8})", name)
    if within is None:
        return _SHARES.get(name)
    return Share(f"success within {within[1]} queries", f"success and queries <= {within[1]}")


def _distance(kind: Kind, before: Values | None, after: Values) -> float | None:
    """Distance of two distributions, by scipy; None without photos."""
    from scipy.stats import energy_distance, wasserstein_distance

    if before is None or not len(before) or not len(after):
        return None
    return float((wasserstein_distance if kind == "wasserstein" else energy_distance)(before, after))


def known(data: pl.DataFrame, *names: str) -> list[str]:
    """List those of some measures of which some row has a value."""
    return [name for name in names if data.select(measure(name).of(data).is_not_null().any()).item()]


def reached(frame: Frame) -> Values:
    """Tell of each row whether the attack did what it was for, 1 or 0: the result's own verdict, else the task's.

    NaN for photos that were a success before: they are left out, not judged by another number instead.
    """
    found = frame.data.select(_reached(frame.data)).to_series()
    return np.asarray(found.fill_null(float("nan")).to_numpy())


def _reached(data: pl.DataFrame) -> pl.Expr:
    import polars as pl

    return pl.coalesce(_share(_SHARES[name], data) for name in ("success", TASK.verdict))


def _share(share: Share, data: pl.DataFrame) -> pl.Expr:
    import polars as pl

    inside = pl.sql_expr(share.sql)
    if not set(inside.meta.root_names()) <= set(data.columns):
        return pl.lit(None, pl.Float64)
    before = pl.col("success_before").fill_null(value=False)
    return pl.when(~before if share.of_open else True).then(inside.cast(pl.Float64))
