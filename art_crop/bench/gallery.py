"""Kept photos for a report's page: thumbnails before and after, crop windows, salient points and saliency as overlays.

What stands in a run's folder may have come from anywhere: paths that leave the folder, files that are no photos and
facts of the wrong shape are left out with a reason, and nothing of them reaches the page unescaped.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import reached
from art_crop.bench.overlays import boxes, data_uri, heat, points, ratios_of, read_facts
from art_crop.errors import ImageFileError

__all__ = ["LIMIT", "SIDE", "Entry", "choose", "make_entries"]

LIMIT = 36
"""Pairs of photos in a page, unless another number is asked for."""
SIDE = 520
"""Longer side of a thumbnail, in pixels."""
_QUALITY = 78
_MAX_PIXELS = 100_000_000

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """One pair of photos.

    Attributes:
        photo: Name of the photo.
        caption: Attack, models, budget, and the seed where there are several.
        result: Numbers of this photo.
        success: Whether the attack did what it was for; None: not known.
        width: Of the thumbnails, pixels.
        height: Of the thumbnails, pixels.
        before: JPEG as a data URI.
        after: JPEG as a data URI.
        overlay_before: SVG elements.
        overlay_after: SVG elements.
        points: SVG elements that both share: the salient point before, a ring, and after, a dot.
        heat_before: PNG as a data URI, "" where the run kept no map.
        heat_after: The same.
        windows: What the crop windows are of, in the order of their colours.
    """

    photo: str
    caption: str
    result: str
    success: bool | None
    width: int
    height: int
    before: str
    after: str
    overlay_before: str
    overlay_after: str
    points: str
    heat_before: str = ""
    heat_after: str = ""
    windows: tuple[str, ...] = ()


def choose(frame: Frame, limit: int) -> tuple[NDArray[np.intp], int]:
    """Rows with kept photos: of every method, model and budget in turn, successes and failures; and how many there are.

    A photo stands once for each setting. The order of the answer is that of the rows.
    """
    kept = frame.measured & ~frame.text("image").equals("") & ~frame.text("original").equals("")
    rows = np.flatnonzero(kept)
    if not len(rows):
        return rows, 0
    good = reached(frame)[rows]
    groups = [frame.text(key).codes[rows] for key in ("method", "attacked", "scored")]
    groups += [np.nan_to_num(frame.numbers("eps")[rows], nan=-1.0), np.nan_to_num(good, nan=2.0)]
    _, group = np.unique(np.column_stack(groups), axis=0, return_inverse=True)
    group = group.ravel()
    # A row's turn in its group; each group begins with another photo, so that not all show the first.
    order = np.argsort(group, kind="stable")
    starts, sizes = np.searchsorted(group[order], group[order]), np.bincount(group)[group[order]]
    turn = np.empty(len(rows), np.intp)
    turn[order] = (np.arange(len(rows)) - starts - group[order]) % sizes
    picked = np.lexsort((rows, turn))[:limit]
    return np.sort(rows[picked]), len(rows)


def make_entries(run: Path, frame: Frame, limit: int = LIMIT, ratios: Any = None) -> tuple[list[Entry], int, list[str]]:
    """Entries of the gallery, how many pairs the run kept, and why some are missing.

    ``ratios`` are those of the crops, where the rows do not have their own.
    """
    seeds = len(np.unique(frame.numbers("seed")[frame.measured])) > 1
    rows, total = choose(frame, limit)
    success = reached(frame)
    thumbnails: dict[str, tuple[str, int, int] | str] = {}
    for name in dict.fromkeys(name for row in frame.rows(rows, ["original", "image"]) for name in row.values()):
        thumbnails[name] = _thumbnail(run, name)
    entries = []
    for index, row in zip(rows, frame.rows(rows), strict=True):
        before, after = thumbnails[row["original"]], thumbnails[row["image"]]
        if not isinstance(before, str) and not isinstance(after, str):
            facts = {"ratios": ratios, **read_facts(row["facts"])}
            entries.append(_entry(row, facts, success[index], before, after, seed=seeds))
    return entries, total, [reason for reason in thumbnails.values() if isinstance(reason, str)]


def _thumbnail(run: Path, name: str) -> tuple[str, int, int] | str:
    """Data URI, width and height of a photo inside the run's folder; or why there is none."""
    from PIL import Image

    from art_crop.images import load_photo

    try:
        path = (run / name).resolve()
        inside = path.is_relative_to(run.resolve())
    except (OSError, ValueError, RuntimeError):
        return f"{name!r} is no path"
    if not inside:
        return f"{name!r} lies outside the run's folder and is not shown"
    try:
        photo = load_photo(path, max_pixels=_MAX_PIXELS)
    except ImageFileError as error:
        return f"{name!r} cannot be shown: {str(error).replace(str(path), path.name)}"
    image = Image.fromarray(photo.pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return data_uri(buffer.getvalue(), "jpeg"), image.width, image.height


def _entry(
    row: dict[str, Any],
    facts: dict[str, Any],
    success: float,
    before: tuple[str, int, int],
    after: tuple[str, int, int],
    *,
    seed: bool,
) -> Entry:
    width, height = before[1], before[2]
    size = (max(1, row["width"] or 1), max(1, row["height"] or 1))
    scale = (width / size[0], height / size[1])
    models = f"{row['scored']} scored" + (f", {row['attacked']} attacked" if row["attacked"] else ", no gradients used")
    models = row["scored"] if row["attacked"] == row["scored"] else models
    budget = "" if row["eps"] is None else f" · budget {row['eps']:g}"
    budget += f" · seed {row['seed']}" if seed else ""
    numbers = [f"L2 {row['l2']:.3g}"] if row["l2"] is not None else []
    for name, value in row["metrics"] or []:
        if name == "shift" and value is not None and math.isfinite(value):
            numbers.insert(0, f"shift {100 * value:.0f}%")
        elif name == "psnr" and value is not None and math.isfinite(value):
            numbers.append(f"{value:.1f} dB")
    overlays = {when: boxes(facts, when, scale, (width, height)) for when in ("before", "after")}
    return Entry(
        photo=row["photo"],
        caption=f"{row['method']} · {models}{budget}",
        result=" · ".join(numbers),
        success=None if math.isnan(success) else bool(success),
        width=width,
        height=height,
        before=before[0],
        after=after[0],
        overlay_before=overlays["before"],
        overlay_after=overlays["after"],
        points=points(facts, scale),
        heat_before=heat(facts.get("saliency_before")),
        heat_after=heat(facts.get("saliency_after")),
        windows=ratios_of(facts)[: overlays["after"].count('class="window')],
    )
