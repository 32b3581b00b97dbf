"""The figures of a report: how shifts are distributed, success against the budget or the change, how searches went."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import reached
from art_crop.bench.reporting.charts import Series, histogram, line_chart
from art_crop.bench.statistics import mid_quantiles, per_photo, share_of_photos
from art_crop.bench.tables import Part, parts

__all__ = ["Panel", "Plot", "plots"]

_PANELS = 36
_CURVES = 400  # of a line; more would cost seconds and show the same
_POINTS = 160
_ASKED = 30  # queries of a method's longest search, for which the chart of queries has a line
_CHARTS = 4  # of curves, for as many budgets; more would say the same again
_CURVE_KINDS = {  # title, x axis, y axis and caption of what ``curve_of`` can name
    "loss": (
        "Loss against passes",
        "passes through the attacked model",
        "least loss so far",
        "The least loss of the attacked model so far, after each pass through it: the median over photos and its "
        "quartiles. Attacks with different losses are not to be compared by its size.",
    ),
    "budget": (
        "Smallest budget against queries",
        "queries",
        "smallest budget so far",
        "The smallest budget that has succeeded so far, after each query: the median over photos and its quartiles. A "
        "line begins where half of them have one; a band that meets the top says that a quarter have none yet.",
    ),
}

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


class Panel(NamedTuple):
    """One chart of several that share a heading."""

    title: str
    svg: str


class Plot(NamedTuple):
    """A figure: a heading, what it shows, one chart or several, and the name and colour of each of their lines."""

    title: str
    split: Mapping[str, str]
    caption: str
    panels: Sequence[Panel]
    legend: Sequence[tuple[str, int]] = ()
    small: bool = False


def plots(frame: Frame) -> list[Plot]:
    """All figures that the rows allow, by attacked and scored model."""
    groups = parts(frame)
    found = [maker(frame, part) for maker in (_shifts, _budgets, _changes, _queries) for part in groups]
    found += [_curves(frame, part, kind) for kind in _CURVE_KINDS for part in groups]
    return [plot for plot in found if plot is not None]


def _shifts(frame: Frame, part: Part) -> Plot | None:
    """Histograms of the shift, a small one for each method and budget, as in figure 3 of the paper on croppers."""
    shift, eps = frame.numbers("shift"), frame.numbers("eps")
    known = part.mask & ~np.isnan(shift)
    edges = np.linspace(-0.25, 1.25, 31)
    cells = [
        (f"{method}{f', budget {value:g}' if value is not None else ''}", number,
         np.histogram(np.clip(shift[chosen], edges[0], edges[-1]), edges)[0])
        for number, (method, own) in enumerate(_methods(frame, known))
        for value, chosen in _budgets_of(eps, own)
    ]  # fmt: skip
    if not cells:
        return None
    cells, left_out = cells[:_PANELS], len(cells) - _PANELS
    # A handful of photos may all be in one bar, which is no scale for the others.
    most = max(counts.sum() for _, _, counts in cells)
    top = max(float(counts.max() / counts.sum()) for _, _, counts in cells if 4 * counts.sum() >= most)
    panels = []
    for name, number, counts in cells:
        title = f"Shift of the peak, {name}, {counts.sum()} results"
        panels.append(Panel(name, histogram(counts, edges, title=title, top=top, colour=number)))
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
        series.append(Series(method, x, y, (low, high), number, dots=True))
    caption = "Share of photos whose attack reached its goal at each budget; bands are 95% intervals."
    x_title = f"budget ({_norm(frame, known)})"
    return _shares("Success against the budget", part, caption, series, x_title)


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
        series.append(Series(method, x, y, None, number))
    caption = "Share of photos reached with a change of at most this size, as written; further left is less."
    x_title = "L2 of the written change, pixels in [0, 1]"
    return _shares("Success against the change", part, caption, series, x_title, log=True)


def _queries(frame: Frame, part: Part) -> Plot | None:
    """Share of photos reached within so many queries, a chart for each budget: for attacks that ask and ask again."""
    good, queries = reached(frame), frame.numbers("queries")
    known = part.mask & ~np.isnan(good)
    panels: list[Panel] = []
    legend: dict[tuple[str, int], None] = {}
    budgets = _budgets_of(frame.numbers("eps"), known)
    for budget, rows in budgets:
        series = []
        for number, (method, own) in enumerate(_methods(frame, part.mask)):
            chosen = own & rows
            if not chosen.any() or queries[chosen].max() < _ASKED:
                continue
            hits, rise = _rising(queries[chosen], good[chosen] == 1, frame.photos[chosen])
            last = float(queries[chosen].max())
            x = np.concatenate(([1.0], np.repeat(hits, 2), [last]))
            y = np.concatenate(([0.0], np.column_stack((np.concatenate(([0.0], rise))[:-1], rise)).ravel()))
            series.append(Series(method, x, np.append(y, y[-1]), None, number))
        if series:
            name = "" if budget is None or len(budgets) == 1 else f"budget {budget:g}"
            title = f"Success against queries{name and f', {name}'}"
            svg = line_chart(series, title, "queries", "reached the goal", percent=True, log_x=True, y_range=(0.0, 1.0))
            panels.append(Panel(name, svg))
            legend |= dict.fromkeys((one.name, one.colour) for one in series)
    caption = "Share of photos reached within so many queries of the model, the first look at the photo included."
    return Plot("Success against queries", part.split, caption, panels, tuple(legend)) if panels else None


def _shares(title: str, part: Part, caption: str, series: list[Series], x_title: str, log: bool = False) -> Plot | None:
    """A chart of shares of photos, on a logarithmic axis where x is of very different sizes; None without a line."""
    if not series:
        return None
    log = log or _very_different(np.concatenate([one.x for one in series]))
    svg = line_chart(series, title, x_title, "reached the goal", percent=True, log_x=log, y_range=(0.0, 1.0))
    return Plot(title, part.split, caption, [Panel("", svg)], [(one.name, one.colour) for one in series])


def _rising(values: Values, hit: Mask, photos: NDArray[np.int64]) -> tuple[Values, Values]:
    """Values of the hits (m,) in rising order, and the share of photos that each reaches; a photo counts once."""
    _, place, counts = np.unique(photos, return_inverse=True, return_counts=True)
    weights = 1 / counts[place.ravel()][hit]
    order = np.argsort(values[hit], kind="stable")
    return values[hit][order], np.cumsum(weights[order]) / len(counts)


def _curves(frame: Frame, part: Part, kind: str) -> Plot | None:
    """Median and quartiles of what a search has found after each query, a chart for each budget."""
    title, x_title, y_title, caption = _CURVE_KINDS[kind]
    known = part.mask & frame.text("curve_of").equals(kind)
    if not known.any():
        return None
    budgets: list[tuple[float | None, Mask]] = [(None, known)]
    if kind == "loss":
        budgets = _budgets_of(frame.numbers("eps"), known)
        budgets = [budgets[k] for k in np.unique(np.linspace(0, len(budgets) - 1, _CHARTS).astype(np.intp))]
    else:
        y_title += f" ({_norm(frame, known)})"
    panels: list[Panel] = []
    every: list[Series] = []
    for budget, rows in budgets:
        methods = enumerate(_methods(frame, part.mask))
        found = [one for number, (name, own) in methods if (one := _middle(frame, name, own & rows, number))]
        series = [one for one in found if one.begun]
        every += found
        if series:
            name = "" if budget is None or len(budgets) == 1 else f"budget {budget:g}"
            log_y = kind == "budget" and _very_different(np.concatenate([one.ends for one in series]))
            full = f"{title}{name and f', {name}'}"
            panels.append(Panel(name, line_chart(series, full, x_title, y_title, log_y=log_y, counted=True)))
    if never := dict.fromkeys(one.name for one in every if not one.begun):
        caption += f" Without a line, for more than half of the photos have none: {', '.join(never)}."
    caption += f" At most {_CURVES} results a line."
    legend = dict.fromkeys((one.name, one.colour) for one in every if one.begun)
    return Plot(title, part.split, caption, panels, tuple(legend)) if panels else None


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
    return Series(method, at.astype(np.float64) + 1, middle, (low, high), colour)


def _methods(frame: Frame, mask: Mask) -> list[tuple[str, Mask]]:
    text = frame.text("method")
    return [(name, mask & text.equals(name)) for name in text.present(mask)]


def _budgets_of(eps: Values, mask: Mask) -> list[tuple[float | None, Mask]]:
    values = np.unique(eps[mask & ~np.isnan(eps)])
    found: list[tuple[float | None, Mask]] = [(float(value), mask & (eps == value)) for value in values]
    without = mask & np.isnan(eps)
    return [*found, (None, without)] if without.any() else found


def _very_different(values: Values) -> bool:
    """Whether numbers ask for a logarithmic axis."""
    known = values[np.isfinite(values)]
    return bool(known.min() > 0 and known.max() / known.min() > 20)


def _norm(frame: Frame, mask: Mask) -> str:
    norm = next(iter(frame.text("norm").present(mask)), "")
    known = {"inf": "L∞", "linf": "L∞", "": "L2", "2": "L2", "l2": "L2"}
    if norm in known:
        return f"{known[norm]}, pixels in [0, 1]"
    return norm if re.fullmatch(r"[ -~]{1,30}", norm) else "in the run's own norm"  # what a chart's font can show
