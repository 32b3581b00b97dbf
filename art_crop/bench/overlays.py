"""What a report draws on kept photos, from the facts of their rows: crop windows, salient points and saliency.

Facts may have come from anywhere: such as have another shape are passed over, and only numbers of them are drawn.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

__all__ = ["boxes", "data_uri", "heat", "points", "ratios_of", "read_facts"]

_WINDOWS = 6


def read_facts(text: str | None) -> dict[str, Any]:
    """The facts of a row, {} where they are no JSON object."""
    try:
        facts = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def boxes(facts: dict[str, Any], when: str, scale: tuple[float, float], size: tuple[int, int]) -> str:
    """Crop windows and the wanted region as SVG elements, in pixels of a thumbnail.

    Args:
        facts: Of a row.
        when: "before" or "after" the attack.
        scale: Pixels of the thumbnail for one of the photo, in x and y.
        size: Width and height of the thumbnail.
    """
    sx, sy = scale
    windows, ratios = facts.get(f"crops_{when}"), ratios_of(facts)
    out = []
    region = _numbers(facts.get("region"), 4)
    if region:
        x0, y0, x1, y1 = (value * size[k % 2] for k, value in enumerate(region))
        out.append(_box("region", x0, y0, x1 - x0, y1 - y0, "wanted region"))
    for k, window in enumerate(windows[:_WINDOWS] if isinstance(windows, list) else []):
        box = _numbers(window, 4)
        if box:
            inset = 2.0 * k  # windows that share an edge stay apart
            left, top, wide, high = (
                box[0] * sx + inset,
                box[1] * sy + inset,
                box[2] * sx - 2 * inset,
                box[3] * sy - 2 * inset,
            )
            label = f"crop {ratios[k]} {when}" if k < len(ratios) else f"crop {when}"
            out.append(_box(f"window c{k}", left, top, wide, high, label))
    return "".join(out)


def ratios_of(facts: dict[str, Any]) -> tuple[str, ...]:
    """Aspect ratios (height / width) of the crop windows, as text; () where one of them is no number."""
    ratios = facts.get("ratios")
    found = [_numbers([ratio], 1) for ratio in ratios[:_WINDOWS]] if isinstance(ratios, (list, tuple)) else []
    return tuple(f"{ratio[0]:g}" for ratio in found) if all(found) else ()


def points(facts: dict[str, Any], scale: tuple[float, float]) -> str:
    """The salient point before and after, and the way between them, as SVG elements."""
    found = {when: _numbers(facts.get(f"salient_point_{when}"), 2) for when in ("before", "after")}
    at = {when: (point[0] * scale[0], point[1] * scale[1]) for when, point in found.items() if point}
    out = []
    if len(at) == 2:
        (x0, y0), (x1, y1) = at["before"], at["after"]
        out.append(f'<line class="point way" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')
    for when, (x, y) in at.items():
        title = f"<title>salient point {escape(when)}</title>"
        out.append(f'<circle class="point {when}" cx="{x:.1f}" cy="{y:.1f}" r="7">{title}</circle>')
    return "".join(out)


def heat(rows: Any) -> str:
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
    pixels = np.empty((*levels.shape, 4), np.uint8)
    pixels[..., 0], pixels[..., 2] = 255, 40
    pixels[..., 1] = (230 * (1 - strength)).astype(np.uint8)
    pixels[..., 3] = (200 * strength).astype(np.uint8)
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), "png")


def _box(classes: str, left: float, top: float, wide: float, high: float, title: str) -> str:
    box = f'x="{left:.1f}" y="{top:.1f}" width="{max(1.0, wide):.1f}" height="{max(1.0, high):.1f}"'
    return f'<rect class="rim" {box}/><rect class="{classes}" {box}><title>{escape(title)}</title></rect>'


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """So many finite numbers of a sensible size, or none."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        return ()
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in values):
        return ()
    return tuple(float(v) for v in values)


def data_uri(data: bytes, kind: str) -> str:
    """An image file of that kind, as the address of an image that needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
