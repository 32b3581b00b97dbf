"""Charts as inline SVG: histograms, lines with bands, steps. Colours come from the page's CSS, so that dark is dark.

Every text goes through :func:`html.escape`; numbers are formatted here and never taken as text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.visible import visible

__all__ = ["COLOURS", "Series", "histogram", "legend", "line_chart", "ticks"]

COLOURS = 8
"""Series that the page's CSS has colours for; more begin again with the first."""
_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 18, 36, 46

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A line: x and y, and the ends of a band about it where there is one.

    Where y is infinite there is nothing to draw yet; a band's end that is infinite lies at the chart's top.
    """

    name: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None
    colour: int = 0
    dots: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    if not 1e-300 < raw < 1e300:  # nobody's measurements
        return [low, high]
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw - 1e-12 * size)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def legend(names: Sequence[tuple[str, int]]) -> str:
    """Names beside their colours."""
    items = "".join(
        f'<li><i class="key c{colour % COLOURS}"></i>{escape(visible(name))}</li>' for name, colour in names
    )
    return f'<ul class="legend">{items}</ul>'


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_title: str,
    y_title: str,
    percent: bool = False,
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
    counted: bool = False,
) -> str:
    """Lines with bands.

    Args:
        series: At least one finite point in all.
        title: For readers who cannot see it.
        x_title: Below the axis.
        y_title: Above the axis.
        percent: y is a share.
        log_x: x is positive, on a logarithmic axis.
        log_y: y is.
        y_range: Ends of the y axis; default: as the values ask.
        counted: x is a whole number, and so are its ticks.
    """
    move: Callable[[Values], Values] = np.log10 if log_x else np.asarray
    rise: Callable[[Values], Values] = np.log10 if log_y else np.asarray
    xs = np.concatenate([move(one.x) for one in series])
    series = [_drawn(one) for one in series]
    every = [end for one in series for end in (one.y, one.low, one.high) if end is not None]
    ys = np.concatenate(every)
    ys = ys[np.isfinite(ys)]
    x0, x1 = _widened(float(xs.min()), float(xs.max()))
    y0, y1 = y_range or _widened(float(rise(ys).min()), float(rise(ys).max()))

    def px(values: Values) -> Values:
        return np.asarray(_LEFT + (move(values) - x0) / (x1 - x0) * (_WIDTH - _LEFT - _RIGHT))

    def py(values: Values) -> Values:
        inside = np.clip(rise(values), y0, y1)
        return np.asarray(_HEIGHT - _BOTTOM - (inside - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM))

    x_ticks = _log_ticks(np.concatenate([one.x for one in series])) if log_x else ticks(x0, x1, 6)
    if counted:
        x_ticks = [value for value in x_ticks if value == round(value)] or [round(x0)]
    out = [_frame(x_ticks, _log_ticks(ys) if log_y else ticks(y0, y1), px, py, percent, x_title, y_title)]
    for one in series:
        colour = f"c{one.colour % COLOURS}"
        if one.low is not None and one.high is not None:
            around = [*zip(px(one.x), py(one.low), strict=True), *zip(px(one.x)[::-1], py(one.high)[::-1], strict=True)]
            out.append(f'<polygon class="band {colour}" points="{_points(around)}"/>')
        out.append(f'<polyline class="line {colour}" points="{_points(zip(px(one.x), py(one.y), strict=True))}"/>')
        if one.dots:
            for k in range(len(one.x)):
                text = f"{one.name}: {_number(one.y[k], percent)} at {one.x[k]:g}"
                if one.low is not None and one.high is not None:
                    text += f" [{_number(one.low[k], percent)}, {_number(one.high[k], percent)}]"
                where = f'cx="{px(one.x)[k]:.1f}" cy="{py(one.y)[k]:.1f}"'
                out.append(
                    f'<circle class="dot {colour}" {where} r="4"><title>{escape(visible(text))}</title></circle>'
                )
    return _svg(_WIDTH, _HEIGHT, title, "".join(out))


def histogram(values: Values, *, title: str, low: float, high: float, bins: int, top: float, colour: int = 0) -> str:
    """A small histogram of shares, its outermost bars holding what lies beyond.

    Args:
        values: Finite numbers (n,), n >= 1.
        title: For readers who cannot see it.
        low: Left end.
        high: Right end.
        bins: How many bars.
        top: Share at the top of the axis, the same for all that are compared.
        colour: Number of the series.
    """
    width, height, left, bottom, head = 220, 120, 6, 20, 6
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    shares = counts / len(values)
    scale = (width - 2 * left) / (high - low)
    out = []
    for share, count, start, end in zip(shares, counts, edges[:-1], edges[1:], strict=True):
        tall = (height - bottom - head) * min(1.0, share / top)
        text = f"shift {100 * start:.0f}% to {100 * end:.0f}%: {count} of {len(values)}"
        box = f'x="{left + (start - low) * scale + 0.5:.1f}" width="{(end - start) * scale - 1:.1f}"'
        out.append(
            f'<rect class="bar c{colour % COLOURS}" {box} y="{height - bottom - tall:.1f}" height="{tall:.1f}">'
            f"<title>{escape(text)}</title></rect>"
        )
    out.append(f'<line class="axis" x1="{left}" x2="{width - left}" y1="{height - bottom}" y2="{height - bottom}"/>')
    for mark in (0.0, 0.5, 1.0):
        if low <= mark <= high:
            x = left + (mark - low) * scale
            out.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{100 * mark:.0f}%</text>')
    return _svg(width, height, title, "".join(out))


def _frame(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    px: Callable[[Values], Values],
    py: Callable[[Values], Values],
    percent: bool,
    x_title: str,
    y_title: str,
) -> str:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    out = []
    for value, y in zip(y_ticks, py(np.asarray(y_ticks, dtype=np.float64)), strict=True):
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        text = _number(value, percent)
        out.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for value, x in zip(x_ticks, px(np.asarray(x_ticks, dtype=np.float64)), strict=True):
        out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        out.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{value:g}</text>')
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    middle = (_LEFT + right) / 2
    out.append(f'<text class="label" x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>')
    out.append(f'<text class="label" x="8" y="20">{escape(y_title)}</text>')
    return "".join(out)


def _svg(width: int, height: int, title: str, body: str) -> str:
    name = escape(visible(title))
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{body}</svg>'


def _drawn(one: Series) -> Series:
    """The part of a line that is finite."""
    there = np.isfinite(one.y)
    low, high = (None if end is None else end[there] for end in (one.low, one.high))
    return replace(one, x=one.x[there], y=one.y[there], low=low, high=high)


def _points(pairs: object) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)  # type: ignore[attr-defined]


def _number(value: float, percent: bool) -> str:
    return (f"{100 * value:.0f}%" if percent else f"{value:.3g}").replace("-", "−")


def _widened(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis, which have to differ."""
    if high > low:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def _log_ticks(values: Values) -> list[float]:
    low, high = float(values.min()), float(values.max())
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    few = high / low > 1_000
    found = [
        k * 10.0**d for d in decades for k in ((1,) if few else (1, 2, 5)) if low * 0.999 <= k * 10.0**d <= high * 1.001
    ]
    return found or [low, high]
