"""The figures of a report: how shifts are distributed, success against the budget or the change, how searches went."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import reached
from art_crop.bench.report.charts import Series, histogram, line_chart
from art_crop.bench.statistics import mid_quantiles, per_photo, share_of_photos
from art_crop.bench.tables import Part, parts

__all__ = ["Panel", "Plot", "plots"]

_PANELS = 36
_CURVES = 400  # of a line; more would cost seconds and show the same
_POINTS = 160
_CHARTS = 4  # of curves, for as many budgets; more would say the same again
_CURVE_KINDS = {
    "loss": (
        "Loss against passes",
        "least loss so far",
        "The least loss of the attacked model so far, after each pass through it: the median over photos and its "
        "quartiles. Attacks with different losses are not to be compared by its size.",
    ),
    "budget": (
        "Smallest budget against queries",
        "smallest budget so far",
        "The smallest budget that has succeeded so far, after each query: the median over photos and its quartiles. A "
        "line begins where half of them have one; a band that meets the top says that a quarter have none yet.",
    ),
}
"""Title, y axis and caption of what ``curve_of`` can name."""

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One chart of several that share a heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class Plot:
    """A figure: a heading, what it shows, one chart or several, and the name and colour of each of their lines."""

    title: str
    split: Mapping[str, str]
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, int], ...] = ()
    small: bool = False


def plots(frame: Frame) -> list[Plot]:
    """All figures that the rows allow, by attacked and scored model."""
    groups = parts(frame)
    makers: tuple[Callable[[Frame, Part], Plot | None], ...]
    makers = (_shifts, _budgets, _changes, *(partial(_curves, kind=kind) for kind in _CURVE_KINDS))
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
        Panel(name, histogram(values, title=f"Shift of the peak, {name}, {len(values)} results", low=-0.25, high=1.25,
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
    """Share of successes at each budget, with the bands of their intervals."""
    good, eps, photos = reached(frame), frame.numbers("eps"), frame.photos
    known = part.mask & ~np.isnan(good) & ~np.isnan(eps)
    series = []
    for number, (method, own) in enumerate(_methods(frame, known)):
        cells = [(value, chosen) for value, chosen in _budgets_of(eps, own) if value is not None]
        if len(cells) < 2:
            continue
        found = [share_of_photos(per_photo(good[chosen], photos[chosen])) for _, chosen in cells]
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
    caption = "Share of photos whose attack reached its goal at each budget; bands are 95% intervals."
    return Plot("Success against the budget", part.split, caption, (Panel("", svg),), _legend(series))


def _changes(frame: Frame, part: Part) -> Plot | None:
    """Share of photos reached with a written change of at most so much: for attacks that look for the smallest one."""
    good, l2 = reached(frame), frame.numbers("l2")
    known = part.mask & ~np.isnan(good) & ~np.isnan(l2) & (l2 > 0)
    series = []
    for number, (method, own) in enumerate(_methods(frame, known)):
        hits, rise = _rising(l2[own], good[own] == 1, frame.photos[own])
        budgets = [chosen for _, chosen in _budgets_of(frame.numbers("eps"), own)]
        if len(budgets) != 1 or len(hits) < 3 or hits[-1] < 1.15 * hits[0]:  # a fixed budget is written as it is
            continue
        steps = np.linspace(0, len(hits) - 1, min(len(hits), _POINTS)).astype(np.intp)
        x = np.repeat(hits[steps], 2)
        y = np.column_stack((np.concatenate(([0.0], rise))[steps], rise[steps])).ravel()
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


def _rising(values: Values, hit: Mask, photos: NDArray[np.int64]) -> tuple[Values, Values]:
    """Values of the hits (m,) in rising order, and the share of photos that each reaches; a photo counts once."""
    _, place, counts = np.unique(photos, return_inverse=True, return_counts=True)
    weights = 1 / counts[place.ravel()][hit]
    order = np.argsort(values[hit], kind="stable")
    return values[hit][order], np.cumsum(weights[order]) / len(counts)


def _curves(frame: Frame, part: Part, kind: str) -> Plot | None:
    """Median and quartiles of what a search has found after each query, a chart for each budget."""
    title, y_title, caption = _CURVE_KINDS[kind]
    known = part.mask & frame.text("curve_of").equals(kind)
    budgets = _budgets_of(frame.numbers("eps"), known) if kind == "loss" else [(None, known)]
    if not known.any():
        return None
    if kind == "budget":
        y_title += f" ({_norm(next(iter(frame.text('norm').present(known))))})"
    budgets = [budgets[k] for k in np.unique(np.linspace(0, len(budgets) - 1, _CHARTS).astype(np.intp))]
    panels, named, never = [], {}, {}
    for budget, rows in budgets:
        series = []
        for number, (method, own) in enumerate(_methods(frame, part.mask)):
            found = _middle(frame, method, own & rows, number)
            if found is None:
                continue
            if np.isfinite(found.y).any():
                series.append(found)
                named[method] = number
            else:
                never[method] = ""
        if series:
            x_title = "queries" if kind == "budget" else "passes through the attacked model"
            name = "" if budget is None or len(budgets) == 1 else f"budget {budget:g}"
            ends = np.concatenate(
                [end[np.isfinite(end)] for one in series for end in (one.y, one.low) if end is not None]
            )
            svg = line_chart(
                series,
                title=f"{title}{name and f', {name}'}",
                x_title=x_title,
                y_title=y_title,
                log_y=kind == "budget" and bool(ends.min() > 0 and ends.max() / ends.min() > 20),
                counted=True,
            )
            panels.append(Panel(name, svg))
    if not panels:
        return None
    if never:
        caption += f" Without a line, for more than half of the photos have none: {', '.join(never)}."
    caption += f" At most {_CURVES} results a line."
    return Plot(title, part.split, caption, tuple(panels), tuple(named.items()))


def _middle(frame: Frame, method: str, own: Mask, colour: int) -> Series | None:
    """Median over the curves of some rows, with quartiles; None where no search took two steps."""
    rows = np.flatnonzero(own)
    if not len(rows):
        return None
    curves = frame.curves(rows[np.linspace(0, len(rows) - 1, min(len(rows), _CURVES)).astype(np.intp)])
    length = max((len(curve) for curve in curves), default=0)
    if length < 2:
        return None
    at = np.unique(np.linspace(0, length - 1, min(length, _POINTS)).astype(np.intp))
    # A search that has ended keeps what it found while others go on.
    low, middle, high = mid_quantiles(np.array([curve[np.minimum(at, len(curve) - 1)] for curve in curves]))
    return Series(method, at.astype(np.float64) + 1, middle, low, high, colour=colour)


def _methods(frame: Frame, mask: Mask) -> list[tuple[str, Mask]]:
    text = frame.text("method")
    return [(name, mask & text.equals(name)) for name in text.present(mask)]


def _budgets_of(eps: Values, mask: Mask) -> list[tuple[float | None, Mask]]:
    values = np.unique(eps[mask & ~np.isnan(eps)])
    found: list[tuple[float | None, Mask]] = [(float(value), mask & (eps == value)) for value in values]
    without = mask & np.isnan(eps)
    return [*found, (None, without)] if without.any() else found


def _legend(series: list[Series]) -> tuple[tuple[str, int], ...]:
    return tuple((one.name, one.colour) for one in series)


def _norm(norm: str) -> str:
    if norm in ("inf", "linf"):
        return "L∞, pixels in [0, 1]"
    if norm in ("", "2", "l2"):
        return "L2, pixels in [0, 1]"
    return norm if re.fullmatch(r"[ -~]{1,30}", norm) else "in the run's own norm"  # what a chart's font can show
