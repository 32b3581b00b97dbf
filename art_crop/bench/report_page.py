"""A summary as one self-contained HTML page: nothing is fetched, and a content security policy forbids it besides.

File names, methods and error messages come from outside: all text goes through :func:`html.escape`, JSON is embedded
with the signs escaped that could end a script, and only the page's own script, by its hash, may run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import art_crop
from art_crop.bench.gallery import Entry
from art_crop.bench.plots import Plot
from art_crop.bench.report_sections import (
    about_section,
    errors_section,
    gallery_section,
    plot_section,
    results_section,
    shown_text,
    table_section,
)
from art_crop.bench.results_table import results_table
from art_crop.bench.summary import Summary
from art_crop.bench.visible import visible

__all__ = ["METHODS_NOTE", "page", "safe_json"]

METHODS_NOTE = (
    "n counts photos, and in brackets those of which a result failed; a photo with several results in a cell, of "
    "several seeds for example, counts once, with their mean. Intervals are 95%: of shares by Wilson (1927) where "
    "each photo is in or out, of all else by the percentile bootstrap (2,000 resamples of photos, fixed seed), which "
    "a single photo cannot have. “Reached the goal” and “success” leave out photos that were a success before the "
    "attack; “at the target” is a peak within 10% of its way or, where it says so, within 16 pixels (a cell of the "
    "saliency map). L2 and L∞ are of the change in whole grey levels, before it is written as JPEG where a suite does "
    "that; pixels in [0, 1]. Rows with an error, and photos that the suite’s rule leaves out, are in no share and no "
    "mean."
)


def page(summary: Summary, figures: list[Plot], entries: list[Entry], gallery_note: str) -> str:
    """The whole page.

    Args:
        summary: What the run's rows say.
        figures: Plots of it.
        entries: Kept photos.
        gallery_note: How many of how many are shown, and what is missing.
    """
    script = _template("report.js")
    photos: dict[str, str] = {}
    sections = [
        ("tables", "Tables", "".join(table_section(table) for table in summary.tables)),
        ("figures", "Figures", "".join(plot_section(plot) for plot in figures)),
        ("photos", "Photos", gallery_section(entries, photos, gallery_note, summary.reached)),
        ("results", "All results", results_section(summary)),
        ("errors", "Errors", errors_section(summary.errors, "error")),
        ("left-out", "Left out", errors_section(summary.left_out, "reason, for example")),
        ("run", "This run", about_section(summary)),
    ]
    shown = [(key, title, body) for key, title, body in sections if body]
    return _filled(
        _template("report.html"),
        {
            "script_hash": "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            "generator": f"art-crop {art_crop.__version__}",
            "title": escape(visible(f"{summary.title} – art-crop bench")),
            "css": _template("report.css"),
            "heading": shown_text(summary.title),
            "lead": _lead(summary),
            "tiles": _tiles(summary),
            "notices": "".join(f'<p class="notice">{shown_text(notice)}</p>' for notice in summary.notices),
            "navigation": "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in shown),
            "sections": "\n".join(
                f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, title, body in shown
            ),
            "footer": "".join(f"<p>{shown_text(text)}</p>" for text in (METHODS_NOTE, summary.licences) if text),
            "results_json": safe_json(results_table(summary.frame, visible) if summary.results else None),
            "photos_json": safe_json(photos),
            "script": script,
        },
    )


def safe_json(value: Any) -> str:
    """JSON that may stand in a script element: no sign of it can end the element or a line of JavaScript."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _template(name: str) -> str:
    return files("art_crop.bench").joinpath("templates").joinpath(name).read_text(encoding="utf-8").strip()


def _filled(template: str, values: Mapping[str, str]) -> str:
    """In one pass, so that nothing that is put in is read as a place to put in more."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _lead(summary: Summary) -> str:
    models = ", ".join(summary.info.models) or "no model"
    paper = f" Beside the numbers of {summary.paper}." if summary.paper else ""
    return shown_text(f"Suite {summary.info.suite} ({summary.info.suite_sha256[:12]}). Models: {models}.{paper}")


def _tiles(summary: Summary) -> str:
    failed, left_out = int(summary.frame.failed.sum()), int(summary.frame.excluded.sum())
    done = summary.completeness
    hours = summary.seconds / 3600
    minutes = f"{summary.seconds / 60:.1f} min" if summary.seconds >= 60 else f"{summary.seconds:.1f} s"
    time = f"{hours:.1f} h" if hours >= 1 else minutes
    tiles = [
        (f"{summary.photos:,}", "photos", ""),
        (f"{summary.results:,}", "results", ""),
        *([] if done.finished else [(f"{100 * done.found // (done.expected or 1)}%", "of the run is there", "bad")]),
        (f"{left_out:,}", "results left out", ""),
        (f"{failed:,}", "errors", "bad" if failed else ""),
        (time, "spent in attacks", ""),
    ]
    return "".join(f'<li class="{kind}"><b>{value}</b><span>{name}</span></li>' for value, name, kind in tiles)
