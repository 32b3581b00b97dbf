"""The figures of a report: how shifts are distributed, success against the budget or the change, quality of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.charts import Series, histogram, legend, line_chart
from art_crop.bench.frame import Frame
from art_crop.bench.measures import reached
from art_crop.bench.statistics import mid_quantiles, share_interval
from art_crop.bench.tables import Part, parts

__all__ = ["Panel", "Plot", "plots"]

_PANELS = 36
_CURVES = 400  # of a line; more would cost seconds and show the same
_POINTS = 160

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One chart of several that share a heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class Plot:
    """A figure: a heading, what it shows, one chart or several small ones."""

    title: str
    split: Mapping[str, str]
    caption: str
    panels: tuple[Panel, ...]
    legend: str = ""
    small: bool = field(default=False)


def plots(frame: Frame) -> list[Plot]:
    """All figures that the rows allow, by attacked and scored model."""
    groups = parts(frame)
    makers = (_shifts, _budgets, _changes, _queries)
    return [plot for maker in makers for part in groups if (plot := maker(frame, part)) is not None]


def _shifts(frame: Frame, part: Part) -> Plot | None:
    """Histograms of the shift, a small one for each method and budget: figure 3 of paper 001."""
    shift, eps = frame.numbers("shift"), frame.numbers("eps")
    known = part.mask & ~np.isnan(shift)
    cells = [
        (f"{method}{f', budget {value:g}' if value is not None else ''}", number, shift[chosen])
        for number, (method, own) in enumerate(_methods(frame, known))
        for value, chosen in _budgets_of(eps, own)
    ]
    if not cells:
        return None
    cells, left_out = cells[:_PANELS], len(cells) - _PANELS
    shares = [np.histogram(np.clip(values, -0.25, 1.25), bins=30, range=(-0.25, 1.25))[0] / len(values)
              for _, _, values in cells]  # fmt: skip
    # A handful of photos may all be in one bar, which is no scale for the others.
    most = max(len(values) for _, _, values in cells)
    top = max(float(share.max()) for share, cell in zip(shares, cells, strict=True) if 4 * len(cell[2]) >= most)
    panels = tuple(
        Panel(name, histogram(values, title=f"Shift of the peak, {name}, {len(values)} photos", low=-0.25, high=1.25,
              bins=30, top=top, colour=number))
        for name, number, values in cells
    )  # fmt: skip
    more = f" {left_out} further panels are left out." if left_out > 0 else ""
    caption = (
        "How far the peak went: 0% is where it was, 100% is the target. Each bar is 5% wide; the outermost hold what "
        f"lies beyond. All panels have one scale, up to {100 * top:.0f}% of the photos.{more}"
    )
    return Plot("Distribution of the shift", part.split, caption, panels, small=True)


def _budgets(frame: Frame, part: Part) -> Plot | None:
    """Share of successes at each budget, with Wilson bands."""
    good, eps = reached(frame), frame.numbers("eps")
    known = part.mask & ~np.isnan(good) & ~np.isnan(eps)
    series = []
    for number, (method, own) in enumerate(_methods(frame, known)):
        cells = [(value, chosen) for value, chosen in _budgets_of(eps, own) if value is not None]
        if len(cells) < 2:
            continue
        found = [share_interval(int(good[chosen].sum()), int(chosen.sum())) for _, chosen in cells]
        y, low, high = np.array(found, dtype=np.float64).T
        x: Values = np.array([value for value, _ in cells], dtype=np.float64)
        series.append(Series(method, x, y, low, high, colour=number, dots=True))
    if not series:
        return None
    xs = np.concatenate([one.x for one in series])
    log_x = bool(xs.min() > 0 and xs.max() / xs.min() > 20)
    norm = next(iter(frame.text("norm").present(known)), "")
    svg = line_chart(
        series,
        title="Share of photos that reached the goal, by budget",
        x_title=f"budget ({_norm(norm)})",
        y_title="reached the goal",
        percent=True,
        log_x=log_x,
        y_range=(0.0, 1.0),
    )
    caption = "Share of photos whose attack reached its goal at each budget; bands are 95% Wilson intervals."
    return Plot("Success against the budget", part.split, caption, (Panel("", svg),), _legend(series))


def _changes(frame: Frame, part: Part) -> Plot | None:
    """Share of photos reached with a written change of at most so much: for attacks that look for the smallest one."""
    good, l2 = reached(frame), frame.numbers("l2")
    known = part.mask & ~np.isnan(good) & ~np.isnan(l2) & (l2 > 0)
    series = []
    for number, (method, own) in enumerate(_methods(frame, known)):
        hits = np.sort(l2[own & (good == 1)])
        budgets = [chosen for _, chosen in _budgets_of(frame.numbers("eps"), own)]
        if len(budgets) != 1 or len(hits) < 3 or hits[-1] < 1.15 * hits[0]:  # a fixed budget is written as it is
            continue
        steps = np.linspace(0, len(hits) - 1, min(len(hits), _POINTS)).astype(np.intp)
        x = np.repeat(hits[steps], 2)
        y = np.column_stack((steps, steps + 1)).ravel() / int(own.sum())
        series.append(Series(method, x, y, colour=number))
    if not series:
        return None
    svg = line_chart(
        series,
        title="Share of photos reached with at most this change",
        x_title="L2 of the written change, pixels in [0, 1]",
        y_title="reached the goal",
        percent=True,
        log_x=True,
        y_range=(0.0, 1.0),
    )
    caption = (
        "Share of photos whose goal was reached with a change of at most this size, as written; further left is less."
    )
    return Plot("Success against the change", part.split, caption, (Panel("", svg),), _legend(series))


def _queries(frame: Frame, part: Part) -> Plot | None:
    """Median and quartiles of the best objective value after each query."""
    series = []
    for number, (method, own) in enumerate(_methods(frame, part.mask)):
        rows = np.flatnonzero(own)
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _CURVES)).astype(np.intp)]
        curves = [curve[np.isfinite(curve)] for curve in frame.curves(rows)]
        curves = [curve for curve in curves if len(curve)]
        length = max((len(curve) for curve in curves), default=0)
        if length < 2:
            continue
        at = np.unique(np.linspace(0, length - 1, min(length, _POINTS)).astype(np.intp))
        # A photo that is done keeps its best value while others go on.
        table = np.array([curve[np.minimum(at, len(curve) - 1)] for curve in curves])
        low, middle, high = mid_quantiles(table)
        series.append(Series(method, at.astype(np.float64) + 1, middle, low, high, colour=number))
    if not series:
        return None
    svg = line_chart(series, title="Best objective value by queries", x_title="queries", y_title="best value so far")
    caption = f"Median over photos of the best value so far, and its quartiles; at most {_CURVES} photos a line."
    return Plot("Queries", part.split, caption, (Panel("", svg),), _legend(series))


def _methods(frame: Frame, mask: Mask) -> list[tuple[str, Mask]]:
    text = frame.text("method")
    return [(name, mask & text.equals(name)) for name in text.present(mask)]


def _budgets_of(eps: Values, mask: Mask) -> list[tuple[float | None, Mask]]:
    values = np.unique(eps[mask & ~np.isnan(eps)])
    found: list[tuple[float | None, Mask]] = [(float(value), mask & (eps == value)) for value in values]
    without = mask & np.isnan(eps)
    return [*found, (None, without)] if without.any() else found


def _legend(series: list[Series]) -> str:
    return legend([(one.name, one.colour) for one in series])


def _norm(norm: str) -> str:
    if norm in ("inf", "linf"):
        return "L∞, pixels in [0, 1]"
    return "L2, pixels in [0, 1]" if norm in ("", "2", "l2") else norm
