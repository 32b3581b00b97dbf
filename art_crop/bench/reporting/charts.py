"""Charts as inline SVG: matplotlib computes where everything lies, the page's style sheet says how it looks.

What matplotlib writes is reduced to shapes and their classes, so that a chart follows the page into the dark, has no
identifier that another chart of the page has as well, and is the same whenever it is drawn. Without pyplot.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "Series", "histogram", "line_chart"]

COLOURS = 8
"""Series that the page's style sheet has colours for; more begin again with the first."""
_POINTS_PER_INCH = 72  # matplotlib's SVG has one unit a point
_STYLE = {"svg.fonttype": "none", "path.simplify": False, "font.size": 12, "axes.axisbelow": True}
_CLASSES = ("band", "bar", "base", "dot", "label", "line", "ytick")

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """A line: x and y, and the ends of a band about it where there is one.

    Where y is infinite there is nothing to draw yet; a band's end that is infinite lies at the chart's top.
    """

    name: str
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    colour: int = 0
    dots: bool = False

    @property
    def begun(self) -> bool:
        """Whether there is anything of the line."""
        return bool(np.isfinite(self.y).any())

    @property
    def ends(self) -> Values:
        """Every finite number of the line and of its band."""
        values = np.concatenate((self.y, *(self.band or ())))
        return np.asarray(values[np.isfinite(values)])

    def finite(self) -> Series:
        """The part of the line that there is."""
        known = np.isfinite(self.y)
        band = None if self.band is None else (self.band[0][known], self.band[1][known])
        return replace(self, x=self.x[known], y=self.y[known], band=band)


def line_chart(
    series: Sequence[Series],
    title: str,
    x_title: str,
    y_title: str,
    *,
    percent: bool = False,
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
    counted: bool = False,
) -> str:
    """Draw lines with bands, as an ``<svg>`` element of 640 x 300.

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
    drawn = [one.finite() for one in series]
    ys = np.concatenate([one.ends for one in drawn])
    bottom, top = y_range or (float(ys.min()), float(ys.max()))
    with _canvas(640, 300, left=64, right=18, top=36, bottom=46) as canvas:
        axes = canvas.axes
        for one in drawn:
            colour, clipped = f"c{one.colour % COLOURS}", np.clip(one.y, bottom, top)
            if one.band is not None:
                x, y = np.append(one.x, one.x[::-1]), np.append(one.band[0], one.band[1][::-1])
                axes.fill(x, np.clip(y, bottom, top), clip_on=False, gid=f"band {colour}")
            axes.plot(one.x, clipped, clip_on=False, gid=f"line {colour}")
            for k in range(len(one.x) if one.dots else 0):
                text = f"{one.name}: {_number(one.y[k], percent)} at {one.x[k]:g}"
                if one.band is not None:
                    text += f" [{', '.join(_number(end[k], percent) for end in one.band)}]"
                axes.plot(one.x[k], clipped[k], "o", clip_on=False, gid=canvas.titled(f"dot {colour}", text))
        xs = np.concatenate([one.x for one in series])  # also where a line has not begun
        axes.update_datalim([(xs.min(), bottom), (xs.max(), top)])
        axes.autoscale_view()
        _ticks(axes, "x", log=log_x, whole=counted)
        _ticks(axes, "y", log=log_y)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
        axes.yaxis.set_major_formatter(lambda value, _: _number(value, percent))
        axes.grid(axis="y")
        axes.text(0.5, -40 / 218, x_title, ha="center", gid="label", transform=axes.transAxes, parse_math=False)
        axes.text(-56 / 558, 1 + 16 / 218, y_title, gid="label", transform=axes.transAxes, parse_math=False)
        return canvas.svg(title)


def histogram(counts: NDArray[np.int64], edges: Values, *, title: str, top: float, colour: int = 0) -> str:
    """Draw a small histogram of shares of 0% to 100% and somewhat beyond, as an ``<svg>`` of 220 x 120.

    Args:
        counts: How many are between two edges (n,), at least one in all.
        edges: Where bars begin and end (n + 1,).
        title: For readers who cannot see it.
        top: Share of all at the top of the axis, the same for all that are compared.
        colour: Number of the series.
    """
    with _canvas(220, 120, left=6, right=6, top=6, bottom=20) as canvas:
        for count, start, end in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                gid = canvas.titled(
                    f"bar c{colour % COLOURS}",
                    f"shift {100 * start:.0f}% to {100 * end:.0f}%: {count} of {counts.sum()}",
                )
                height, gap = min(top, count / counts.sum()), 0.05 * (end - start)
                canvas.axes.bar(start + gap, height, end - start - 2 * gap, align="edge", clip_on=False, gid=gid)
        canvas.axes.set(xlim=(edges[0], edges[-1]), ylim=(0, top), xticks=[0, 0.5, 1], yticks=[])
        canvas.axes.xaxis.set_major_formatter(lambda value, _: _number(value, percent=True))
        return canvas.svg(title)


class _Canvas:
    """Axes at a fixed place of a figure, and what its shapes say when they are pointed at."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self._titles: list[str] = []

    def titled(self, classes: str, title: str) -> str:
        """An artist's ``gid`` with which its shape has these classes and this title."""
        self._titles.append(visible(title))
        return f"{classes}|{len(self._titles) - 1}"

    def svg(self, title: str) -> str:
        """What is drawn, as an element for an HTML page."""
        written = io.StringIO()
        self.axes.figure.savefig(written, format="svg")  # type: ignore[union-attr]
        root = ElementTree.fromstring(written.getvalue())  # noqa: S314 - what has just been drawn here, from nobody else
        box = root.get("viewBox", "")
        self._reduce(root)
        root.attrib = {"viewBox": box, "role": "img", "aria-label": visible(title)}
        return ElementTree.tostring(root, encoding="unicode")

    def _reduce(self, element: ElementTree.Element) -> None:
        """Keep shapes, texts and classes: HTML needs no name spaces, and the style sheet has the colours."""
        old, element.attrib, element.tail = element.attrib, {}, None
        element.tag = element.tag.rpartition("}")[2]
        numbers: dict[str, str] = {key: f"{float(old[key]):.1f}" for key in ("x", "y") if key in old}
        if element.tag == "text":
            anchor = re.search(r"text-anchor: (\w+)", old["style"])
            element.attrib = numbers
            element.set("text-anchor", anchor[1] if anchor else "start")
            return
        element.text = None
        if element.tag == "path":
            points = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", old["d"])
            element.set("d", " ".join(points.split()))
        elif element.tag == "use":  # a marker
            element.tag, element.attrib = "circle", {"cx": numbers["x"], "cy": numbers["y"], "r": "4"}
        for child in list(element):
            self._reduce(child)
            if child.tag in ("defs", "metadata") or (child.tag == "g" and not len(child)):
                element.remove(child)
        classes, _, number = re.sub(r"_\d+$", "", old.get("id", "")).partition("|")
        if classes.partition(" ")[0] in _CLASSES:
            element.set("class", classes)
        if number:
            title = ElementTree.Element("title")
            title.text = self._titles[int(number)]
            element.insert(0, title)


@contextmanager
def _canvas(width: int, height: int, *, left: int, right: int, top: int, bottom: int) -> Iterator[_Canvas]:
    """Axes that lie so many units inside a figure; matplotlib's settings are as they were afterwards."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a reader's own style must not change the report
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]
        figure = Figure((width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), dpi=_POINTS_PER_INCH, frameon=False)
        box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
        axes = figure.add_axes(box)
        axes.patch.set_visible(False)
        axes.margins(0)
        axes.tick_params("x", length=0, pad=8)
        axes.tick_params("y", length=0, pad=7)
        for side, spine in axes.spines.items():
            spine.set(visible=side == "bottom", gid="base")
        yield _Canvas(axes)


def _ticks(axes: Axes, name: str, *, log: bool, whole: bool = False) -> None:
    """About five round numbers; of a logarithmic axis powers of ten, with 2 and 5 between them where they are few."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axis = axes.xaxis if name == "x" else axes.yaxis
    if log:
        axes.set(**{f"{name}scale": "log"})
        low, high = axis.get_view_interval()
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(LogLocator(subs=(1.0,) if high > 1_000 * low else (1.0, 2.0, 5.0)))
    else:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=whole))


def _number(value: float, percent: bool) -> str:
    return (f"{100 * value:.0f}%" if percent else f"{value:.3g}").replace("-", "−")
