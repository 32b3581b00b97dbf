"""Kept photos for a report's page: thumbnails before and after, and what is drawn on them or said below them.

What stands in a run's folder may have come from anywhere: paths that leave the folder, files that are no photos and
details of the wrong shape are left out with a reason. Only numbers are drawn; the page's template escapes all text.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.frame import Frame
from art_crop.bench.measures import reached
from art_crop.errors import ImageFileError

__all__ = ["LIMIT", "WHEN", "Box", "Entry", "choose", "make_entries"]

LIMIT = 36
"""Pairs of photos in a page, unless another number is asked for."""
WHEN = ("before", "after")
_SIDE, _QUALITY = 520, 78  # longer side of a thumbnail in pixels, and of its JPEG
_HASH = re.compile(r"-([0-9a-f]{16})\.(?:png|jpg)$")  # in names that this version gives to kept photos
_MAX_PIXELS = 100_000_000
_WINDOWS = 6  # the style sheet's colours of crop windows
_PAIRS = 12
_DRAWN = ("region", "ratios", *(f"{name}_{when}" for name in ("crops", "salient_point", "saliency") for when in WHEN))


class Thumbnail(NamedTuple):
    """A small JPEG as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


class Box(NamedTuple):
    """A rectangle on a thumbnail, in its pixels, with its class in the style sheet and what it is."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


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
        images: JPEG as a data URI, before and after.
        boxes: Crop windows and the wanted region, before and after.
        points: The salient point, before and after, as far as it is known.
        heat: The saliency map as a PNG with the map as its opacity, a data URI; "" where the run kept none.
        windows: What the crop windows are of, in the order of their colours.
        details: Labels and values for a photo that has nothing to draw: of a score or a class, for example.
    """

    photo: str
    caption: str
    result: str
    success: bool | None
    width: int
    height: int
    images: Mapping[str, str]
    boxes: Mapping[str, Sequence[Box]]
    points: Mapping[str, tuple[float, float]]
    heat: Mapping[str, str]
    windows: tuple[str, ...]
    details: tuple[tuple[str, str], ...] = ()

    @property
    def drawn(self) -> bool:
        """Whether anything lies on the photo."""
        return bool(any(self.boxes.values()) or self.points or any(self.heat.values()))


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
    names = [name for row in frame.rows(rows, ["original", "image"]) for name in row.values()]
    thumbnails = {name: _thumbnail(run, name) for name in dict.fromkeys(names)}
    entries = []
    for index, row in zip(rows, frame.rows(rows), strict=True):
        pair = [one for name in (row["original"], row["image"]) if isinstance(one := thumbnails[name], Thumbnail)]
        if len(pair) == 2:
            good = None if math.isnan(success[index]) else bool(success[index])
            entries.append(_entry(row, ratios, good, pair, seeds))
    return entries, total, [reason for reason in thumbnails.values() if isinstance(reason, str)]


def _thumbnail(run: Path, name: str) -> Thumbnail | str:
    """A photo inside the run's folder, or why there is none."""
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
        named = _HASH.search(path.name)
        if named and path.is_file() and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(named[1]):
            return f"{name!r} is damaged: its content is not that of which its name has the hash"
        photo = load_photo(path, max_pixels=_MAX_PIXELS)
    except (ImageFileError, OSError) as error:
        return f"{name!r} cannot be shown: {str(error).replace(str(path), path.name)}"
    image = Image.fromarray(photo.pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return Thumbnail(_data_uri(image, "jpeg", quality=_QUALITY), image.width, image.height)


def _entry(row: Mapping[str, Any], ratios: Any, success: bool | None, pair: list[Thumbnail], seeds: bool) -> Entry:
    _, width, height = pair[0]
    models = f"{row['scored']} scored" + (f", {row['attacked']} attacked" if row["attacked"] else ", no gradients used")
    models = row["scored"] if row["attacked"] == row["scored"] else models
    budget = "" if row["eps"] is None else f" · budget {row['eps']:g}"
    budget += f" · seed {row['seed']}" if seeds else ""
    numbers = {**dict(row["metrics"] or []), "l2": row["l2"]}
    numbers = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    shown = [f"shift {100 * numbers['shift']:.0f}%"] if "shift" in numbers else []
    shown += [f"L2 {numbers['l2']:.3g}"] if "l2" in numbers else []
    shown += [f"{numbers['psnr']:.1f} dB"] if "psnr" in numbers else []
    details = _details(row)
    found = {"ratios": ratios, **details} if isinstance(details, dict) else {}
    scale = (width / max(1, row["width"] or 1), height / max(1, row["height"] or 1))
    points = {when: _numbers(found.get(f"salient_point_{when}"), 2) for when in WHEN}
    boxes = {when: _boxes(found, when, scale, (width, height)) for when in WHEN}
    entry = Entry(
        photo=row["photo"],
        caption=f"{row['method']} · {models}{budget}",
        result=" · ".join(shown),
        success=success,
        width=width,
        height=height,
        images={when: one.uri for when, one in zip(WHEN, pair, strict=True)},
        boxes=boxes,
        points={when: (at[0] * scale[0], at[1] * scale[1]) for when, at in points.items() if at},
        heat={when: _heat(found.get(f"saliency_{when}")) for when in WHEN},
        windows=_ratios(found)[: sum(box.kind.startswith("window") for box in boxes["after"])],
    )
    return entry if entry.drawn else replace(entry, details=_pairs(details))


def _details(row: Mapping[str, Any]) -> Any:
    """What the run says of a photo besides its numbers, {} where that is no JSON."""
    try:
        return json.loads(row["facts"] or "{}")
    except (ValueError, RecursionError):
        return {}


def _pairs(details: Any) -> tuple[tuple[str, str], ...]:
    """Labels and values of an object, or of a list of pairs, as far as they are numbers or words."""
    pairs = list(details.items()) if isinstance(details, dict) else details if isinstance(details, list) else []
    shown = []
    for label, value in [pair for pair in pairs if isinstance(pair, (list, tuple)) and len(pair) == 2]:
        if isinstance(value, (bool, int, float)) and abs(value) < 1e300:
            value = str(value).lower() if isinstance(value, bool) else f"{value:.4g}"
        if isinstance(label, str) and isinstance(value, str) and label not in _DRAWN:
            shown.append((label.replace("_", " ")[:60], value[:120]))
    return tuple(shown[:_PAIRS])


def _boxes(details: dict[str, Any], when: str, scale: Sequence[float], size: Sequence[int]) -> list[Box]:
    """The wanted region and the crop windows, in pixels of a thumbnail of that size."""
    found, ratios = [], _ratios(details)
    region, windows = _numbers(details.get("region"), 4), details.get(f"crops_{when}")
    if region:
        x0, y0, x1, y1 = (value * size[k % 2] for k, value in enumerate(region))
        found.append(Box("region", x0, y0, max(1.0, x1 - x0), max(1.0, y1 - y0), "wanted region"))
    for k, window in enumerate(windows[:_WINDOWS] if isinstance(windows, list) else []):
        if box := _numbers(window, 4):
            x, y, width, height = (value * scale[axis % 2] for axis, value in enumerate(box))
            inset = 2.0 * k  # windows that share an edge stay apart
            inner = (max(1.0, width - 2 * inset), max(1.0, height - 2 * inset))
            title = f"crop {ratios[k]} {when}" if k < len(ratios) else f"crop {when}"
            found.append(Box(f"window c{k}", x + inset, y + inset, *inner, title))
    return found


def _ratios(details: dict[str, Any]) -> tuple[str, ...]:
    """Aspect ratios (height / width) of the crop windows, as text; () where one of them is no number."""
    ratios = details.get("ratios")
    found = [_numbers([ratio], 1) for ratio in ratios[:_WINDOWS]] if isinstance(ratios, (list, tuple)) else []
    return tuple(f"{ratio[0]:g}" for ratio in found) if all(found) else ()


def _heat(rows: Any) -> str:
    """A saliency map (rows of levels 0 to 255) as a PNG whose opacity is the saliency; "" for anything else."""
    from PIL import Image

    try:
        levels = np.asarray(rows, dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        return ""
    if levels.ndim != 2 or not 0 < levels.size <= 16_384 or not np.isfinite(levels).all():
        return ""
    # The square root, for a density has a high peak and wide slopes that should be seen as well.
    strength = np.sqrt(levels.clip(0, 255) / 255)
    full = np.ones_like(strength)
    pixels = np.dstack((255 * full, 230 * (1 - strength), 40 * full, 200 * strength)).astype(np.uint8)
    return _data_uri(Image.fromarray(pixels), "png")


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """So many finite numbers of a sensible size, or none."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        return ()
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in values):
        return ()
    return tuple(float(v) for v in values)


def _data_uri(image: Any, kind: str, **options: Any) -> str:
    """A picture as the address of an image file that needs no other file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
