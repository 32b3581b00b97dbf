"""The figure beside a result: what the cropper showed before and shows now, its saliency maps, and the change enlarged.

Drawn by matplotlib without pyplot, so that no window system and no global state is touched.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from art_crop.geometry import Region, Window
from art_crop.models.cropper import FilePrediction
from art_crop.pipeline.goals import CropView, LabelView, ResavedView, ScoreView, View
from art_crop.pipeline.message import pixels_in_words
from art_crop.pipeline.picture import SaliencyMap, amplified_change, overlay, threshold_map, thumbnail
from art_crop.pipeline.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_crops", "draw_figure", "draw_prediction"]

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
"""Okabe and Ito's colours, which people with colour-blindness can tell apart; one a ratio."""

_GOOD, _BAD, _INK, _QUIET = "#1B7F4B", "#B3261E", "#202124", "#6B6F76"
_SIDE, _DPI = 500, 110  # a panel has about as many pixels: of a larger picture some would not be seen
# Inches.
_WIDTH, _MARGIN, _GAP, _TITLE, _STRIP, _LABEL, _NUMBERS = 15.0, 0.35, 0.3, 0.42, 2.1, 1.75, 3.4

Pixels = NDArray[np.uint8]


def draw_figure(
    record: Record,
    original: Pixels,
    written: Pixels,
    maps: tuple[SaliencyMap | None, SaliencyMap | None],
    bound: NDArray[np.float32] | None = None,
) -> bytes:
    """PNG bytes of the figure.

    Args:
        record: The outcome and its numbers.
        original: Upright photo, uint8 (H, W, 3).
        written: The file's pixels, of the same shape.
        maps: Saliency of the original file and of the written one; None where the model gives none.
        bound: Largest change of each pixel (H, W) in grey levels, where there is one.
    """
    from matplotlib.figure import Figure

    column = (_WIDTH - 2 * _MARGIN - 2 * _GAP) / 3
    panel = column * min(max(record.height / record.width, 0.4), 1.35)
    message = textwrap.wrap(record.message, 150)
    head = 0.5 + 0.24 * len(message)
    cropped = isinstance(record.before, CropView)
    lower = panel if cropped else max(_NUMBERS - 0.2, 0.0 if bound is None else panel)
    height = head + panel + 2 * _TITLE + lower + (_TITLE + _STRIP + 0.2 if cropped else 0.2)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")

    def axes(left: float, top: float, wide: float, high: float) -> Axes:
        box = (left / _WIDTH, 1 - (top + high) / height, wide / _WIDTH, high / height)
        return _plain(figure.add_axes(box))

    left = _MARGIN / _WIDTH
    names = f"{record.input_name}  →  {record.output_name}"
    _text(figure, left, 1 - 0.2 / height, names, fontsize=17, weight="bold")
    _text(figure, left, 1 - 0.58 / height, "\n".join(message), fontsize=12, color=_GOOD if record.success else _BAD)
    region = None if record.region is None else Region(*record.region)
    for k, (pixels, view, saliency, when) in enumerate(
        ((original, record.before, maps[0], "before"), (written, record.after, maps[1], "after"))
    ):
        small, size = thumbnail(pixels, _SIDE), (record.width, record.height)
        ax = axes(_MARGIN + k * (column + _GAP), head + _TITLE, column, panel)
        ax.imshow(small)
        if isinstance(view, CropView):
            draw_crops(ax, small.shape, size, view, record.shown_ratios, region)
        _title(ax, when, _verdict(record, view), _GOOD if view.success else _BAD)
        if saliency is None or not isinstance(view, CropView):
            continue
        ax = axes(_MARGIN + k * (column + _GAP), head + panel + 2 * _TITLE, column, panel)
        ax.imshow(overlay(small, saliency))
        draw_crops(ax, small.shape, size, view, (), region)
        _title(ax, f"saliency {when}", f"peak at {view.salient_point[0]}, {view.salient_point[1]}", _QUIET)
    right = _MARGIN + 2 * (column + _GAP)
    _change(axes(right, head + _TITLE, column, panel), original, written)
    top = head + panel + 2 * _TITLE
    _numbers(axes(right, top, column, lower), record)
    if bound is not None:
        _threshold(axes(_MARGIN + column + _GAP, top, column, panel), bound)
    for k, view in enumerate((record.before, record.after)):
        if isinstance(view, LabelView):
            beside = bound is None  # each below its photo; else one above the other, and the threshold map beside them
            high = 1.25
            place = (k * (column + _GAP), 0.0) if beside else (0.0, k * (high + _TITLE))
            _first_labels(axes(_MARGIN + place[0], top + place[1], column, high), view, ("before", "after")[k])
    if isinstance(record.after, ScoreView) and record.score_range is not None:
        _scores(axes(_MARGIN, top, column + (0 if bound is not None else column + _GAP), 2.3), record)
    if isinstance(record.before, CropView) and isinstance(record.after, CropView):
        _crops(axes, record, original, written, head + 2 * panel + 3 * _TITLE)
    return _figure_bytes(figure)


def draw_prediction(
    pixels: Pixels, seen: FilePrediction, ratios: Sequence[float], saliency: SaliencyMap | None, title: str
) -> bytes:
    """PNG bytes of a figure of one photo as a cropper sees it: its windows, and its saliency map.

    Args:
        pixels: Upright photo, uint8 (H, W, 3).
        seen: What the cropper made of the file.
        ratios: The ratio of each of its windows.
        saliency: Its map; None where the model gives none.
        title: Name of the photo.
    """
    from matplotlib.figure import Figure

    view = CropView(seen.salient_point, seen.crops, (False,) * len(seen.crops), False, seen.symmetric)
    column = (10 - 2 * _MARGIN - _GAP) / 2
    panel = column * min(max(seen.size[1] / seen.size[0], 0.4), 1.35)
    height = panel + _TITLE + _MARGIN
    figure = Figure(figsize=(10, height), dpi=_DPI, facecolor="white")
    small = thumbnail(pixels, _SIDE)
    heat = small if saliency is None else overlay(small, saliency)
    for k, (picture, drawn) in enumerate(((small, ratios), (heat, ()))):
        left = _MARGIN + k * (column + _GAP)
        box = (left / 10, 0.5 * _MARGIN / height, column / 10, panel / height)
        ax = _plain(figure.add_axes(box))
        ax.imshow(picture)
        draw_crops(ax, small.shape, seen.size, view, drawn)
        point = f"peak at {seen.salient_point[0]}, {seen.salient_point[1]}"
        _title(ax, "saliency" if k else title, point if k else "symmetric: centred" if seen.symmetric else "", _QUIET)
    return _figure_bytes(figure)


def draw_crops(
    ax: Axes,
    shown: tuple[int, ...],
    size: tuple[int, int],
    view: CropView,
    ratios: Sequence[float],
    region: Region | None = None,
) -> None:
    """Windows, salient point and region on a photo.

    Args:
        ax: Where the photo is drawn.
        shown: Shape (h, w, ...) of the picture that shows it.
        size: Its own width and height.
        view: What the cropper made of it.
        ratios: The ratio of each window; empty: no windows.
        region: What was wanted.
    """
    sx, sy = shown[1] / size[0], shown[0] / size[1]
    for k, (window, ratio) in enumerate(zip(view.crops, ratios, strict=False)):
        inset = 2.5 * k * max(shown[:2]) / 900  # windows that share an edge stay apart
        box = (window.left * sx + inset, window.top * sy + inset, window.width * sx, window.height * sy)
        box = (*box[:2], max(0.5, box[2] - 2 * inset), max(0.5, box[3] - 2 * inset))
        _box(ax, box, COLOURS[k % len(COLOURS)], 3, label=f"crop {ratio:g}")
    if region is not None:
        x0, y0, x1, y1 = region.pixels(shown[1], shown[0])
        _box(ax, (x0, y0, x1 - x0, y1 - y0), "white", 2, label="region", linestyle=(0, (3, 2)))
    x, y = view.salient_point[0] * sx, view.salient_point[1] * sy
    ax.plot([x], [y], "o", markersize=8, markerfacecolor="#FF3B30", markeredgecolor="white", markeredgewidth=1.5)
    if ratios:
        ax.legend(
            loc="lower right", fontsize=8.5, facecolor="#BBBBBB", framealpha=0.85, borderpad=0.5, handlelength=1.6
        )


def _figure_bytes(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of photos may have signs that the font lacks
        figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 3})
    return buffer.getvalue()


def _box(ax: Axes, box: tuple[float, ...], colour: str, width: float, **style: Any) -> None:
    """A rectangle left, top, width, height in pixels, with a dark rim so that it shows on any photo."""
    from matplotlib.patches import Rectangle

    corner = (box[0] - 0.5, box[1] - 0.5)  # pixel centres have whole numbers
    ax.add_patch(Rectangle(corner, box[2], box[3], fill=False, edgecolor="black", linewidth=width + 1.6, alpha=0.6))
    ax.add_patch(Rectangle(corner, box[2], box[3], fill=False, edgecolor=colour, linewidth=width, **style))


def _change(ax: Axes, original: Pixels, written: Pixels) -> None:
    picture, scale, block = amplified_change(original, written, _SIDE)
    ax.imshow(picture, interpolation="nearest")
    where = f"largest of {block}×{block} px" if block > 1 and scale else "grey is none"
    _title(ax, f"change, enlarged ×{scale}" if scale else "no change", where, _QUIET)


def _threshold(ax: Axes, bound: NDArray[np.float32]) -> None:
    picture, most = threshold_map(bound, _SIDE)
    ax.imshow(picture)
    most_of_all = "" if most >= bound.max() else f" to {bound.max():.0f}"
    _title(ax, "threshold map", f"dark: 0, light: {most:.0f}{most_of_all} levels", _QUIET)


def _first_labels(ax: Axes, view: LabelView, when: str) -> None:
    """A classifier's first classes as bars; the one in question in a colour of its own."""
    names = [textwrap.shorten(one.name, 44, placeholder=" …") for one in view.top]
    colours = [COLOURS[0] if one.label == view.goal_label else COLOURS[1] for one in view.top]
    for k, (one, name, colour) in enumerate(zip(view.top, names, colours, strict=True)):
        ax.barh(k, one.probability, height=0.82, color=colour)
        ax.text(0.01, k, f"{one.probability:.1%}  {name}", fontsize=9.5, va="center", color=_INK, parse_math=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(max(len(names), 5) - 0.5, -0.5)
    ax.set_facecolor("#F1F3F4")
    rank = "" if view.rank <= len(names) else f"{_short(view.goal_name)} is number {view.rank}"
    _title(ax, f"first labels {when}", rank, _QUIET)


def _scores(ax: Axes, record: Record) -> None:
    """Where on the model's scale the photo is, the file, and the file encoded again; and where it should be."""
    assert isinstance(record.before, ScoreView)
    assert isinstance(record.after, ScoreView)
    assert record.score_range is not None
    rows: list[tuple[str, ScoreView | ResavedView]] = [("photo", record.before), ("file", record.after)]
    rows += [(f"re-saved {view.subsampling}", view) for view in record.resaved]
    low, high = record.score_range
    ((direction, bound),) = record.wanted.items()
    ax.axvspan(*((low, bound) if direction == "below" else (bound, high)), color="#E6F4EA")
    ax.axvline(bound, color=_INK, linewidth=1)
    for k, (name, view) in enumerate(rows):
        colour = COLOURS[1] if k == 0 else _GOOD if view.success else _BAD
        ax.barh(k, view.score - low, left=low, height=0.72, color=colour, alpha=0.6)
        words = f"{name}  {view.score:.4g}"
        ax.text(low + 0.01 * (high - low), k, words, fontsize=10.5, va="center", color=_INK, parse_math=False)
    ax.set_xlim(low, high)
    ax.set_ylim(max(len(rows), 4) - 0.5, -0.5)
    ax.set_xticks(np.linspace(low, high, 6), [f"{value:.4g}" for value in np.linspace(low, high, 6)], fontsize=9)
    ax.tick_params(bottom=True, labelbottom=True, length=3)
    _title(ax, "scores", f"wanted: {direction} {bound:g}", _QUIET)


def _short(name: str) -> str:
    return textwrap.shorten(name, 30, placeholder=" …")


def _numbers(ax: Axes, record: Record) -> None:
    """The figures of the record, as a small table."""
    change = record.change
    rows = [
        ("L2 norm", f"{change.l2:.3f}  (pixels in [0, 1])"),
        ("largest change", f"{change.linf * 255:.0f} of 255 levels"),
        ("PSNR", "∞ (equal)" if change.psnr_db is None else f"{change.psnr_db:.1f} dB"),
        ("SSIM", "–" if change.ssim is None else f"{change.ssim:.5f}"),
        (
            "CIEDE2000",
            f"{change.ciede2000_mean:.3f} mean, {change.ciede2000_p95:.3f} at 95%, L2 {change.ciede2000_l2:.1f}",
        ),
        ("written as", _written_as(record.encoding)),
        ("photo", f"{record.width} × {record.height} px"),
        ("model", f"{record.model}  {(record.weights_sha256 or '')[:8]}"),
        ("cost", f"{record.gradients} gradients, {record.queries} queries, {record.seconds:.1f} s"),
        ("art_crop", record.versions["art_crop"]),
    ]
    if record.l2_before_encoding != change.l2:
        rows.insert(1, ("before encoding", f"{record.l2_before_encoding:.3f}"))
    if isinstance(record.after, CropView) and record.after.symmetric:
        rows.append(("symmetric", "yes: crops are centred"))
    for view in record.resaved:
        rows.insert(-2, (f"re-saved {view.subsampling}", f"score {view.score:.4g} at quality {view.quality}"))
    if record.condition is not None:
        rows.insert(0, ("condition", record.condition))
    if record.within_threshold is not None:
        inside = pixels_in_words(record.within_threshold)
        rows.insert(4, ("threshold", f"{record.threshold:g}; {inside} within the map"))
    step = min(0.092, 1 / len(rows))
    for k, (name, value) in enumerate(rows):
        for x, text, colour in ((0.02, name, _QUIET), (0.31, value, _INK)):
            ax.text(x, 0.98 - k * step, text, fontsize=11.5, color=colour, va="top", parse_math=False)


def _written_as(encoding: dict[str, Any]) -> str:
    if encoding.get("format") != "JPEG":
        return "PNG"
    own = encoding["tables"] == "original"
    return f"JPEG, {'own tables, about ' if own else ''}quality {encoding['quality']}, {encoding['subsampling']}"


def _crops(axes: Any, record: Record, original: Pixels, written: Pixels, top: float) -> None:
    """The crops themselves, before and after, a pair for each ratio; smaller where there are many."""
    crops = [
        (f"crop {ratio:g} {when}", COLOURS[k % len(COLOURS)], _cut(pixels, view.crops[k]), view.shows[k])
        for k, ratio in enumerate(record.shown_ratios)
        for pixels, view, when in ((original, record.before, "before"), (written, record.after, "after"))
        if isinstance(view, CropView)
    ]
    wides = [_STRIP * min(max(crop.shape[1] / crop.shape[0], 0.15), 6) for _, _, crop, _ in crops]
    slots = [max(wide, _LABEL) for wide in wides]
    shrink = min(1.0, (_WIDTH - 2 * _MARGIN - _GAP * (len(crops) - 1)) / sum(slots))
    left = _MARGIN
    for (title, colour, crop, shown), wide, slot in zip(crops, wides, slots, strict=True):
        ax = axes(left, top, wide * shrink, _STRIP * shrink)
        ax.imshow(thumbnail(crop, 500))
        for spine in ax.spines.values():
            spine.set(visible=True, edgecolor=colour, linewidth=2.5)
        sign, tone = ("✓", _GOOD) if shown else ("✗", _BAD)
        ax.set_title(f"{title} {sign}", loc="left", fontsize=max(5.0, 11 * shrink), weight="bold", color=tone, pad=5)
        left += slot * shrink + _GAP


def _cut(pixels: Pixels, window: Window) -> Pixels:
    return pixels[window.top : window.top + window.height, window.left : window.left + window.width]


def _verdict(record: Record, view: View) -> str:
    if isinstance(view, LabelView):
        return f"{_short(view.name)}, {view.probability:.0%}"
    if not isinstance(view, CropView):
        return f"score {view.score:.4g}"
    if record.ratios is None:
        return f"salient point {'inside' if view.success else 'outside'}"
    return "region shown" if view.success else "region partly hidden" if any(view.shows) else "region hidden"


def _text(figure: Figure, x: float, y: float, text: str, *, color: str = _INK, **style: Any) -> None:
    figure.text(x, y, text, color=color, ha="left", va="top", parse_math=False, **style)


def _plain(ax: Axes) -> Axes:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def _title(ax: Axes, left: str, right: str, colour: str) -> None:
    ax.set_title(left, loc="left", fontsize=11.5, weight="bold", color=_INK, pad=5, parse_math=False)
    ax.set_title(right, loc="right", fontsize=10.5, color=colour, pad=5)
