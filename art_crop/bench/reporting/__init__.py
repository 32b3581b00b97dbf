"""``art-crop bench report``: a run as one HTML page, as Markdown, and as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.bench.reporting.figures import plots
from art_crop.bench.reporting.gallery import LIMIT, make_entries
from art_crop.bench.reporting.page import html_page, markdown_page, plain_markdown
from art_crop.bench.summary import ErrorGroup, Summary, summarise
from art_crop.bench.tables import Table
from art_crop.errors import InvalidInputError, OutputError

__all__ = ["ReportFiles", "as_json", "make_folder", "plain_markdown", "write_report"]


@dataclass(frozen=True)
class ReportFiles:
    """What was written."""

    html: Path
    markdown: Path
    json: Path


def write_report(run: Path, out: Path | None = None, *, photos: int = LIMIT) -> ReportFiles:
    """Write ``report.html``, ``report.md`` and ``report.json``.

    A run that is still going on is shown as it is by now; that, or a run without results, is said in the report.

    Args:
        run: Folder of a run.
        out: Folder to write to; default: the run's.
        photos: At most so many pairs of kept photos in the page.

    Raises:
        InvalidInputError: ``run`` holds no run, or ``photos`` is negative.
        OutputError: A file cannot be written.
        MissingDependencyError: Without pyarrow or jinja2.
    """
    from art_crop.images import write_atomic_json, write_atomic_text

    if photos < 0:
        raise InvalidInputError(f"photos must be at least 0, not {photos}")
    summary = summarise(run)
    entries, total, problems = make_entries(run, summary.frame, photos, summary.options.get("ratios"))
    note = ""
    if total:
        note = f"{len(entries)} of {total} kept results, of every method, model and budget in turn."
        note += f" Not shown: {'; '.join(problems[:5])}." if problems else ""
    html = html_page(summary, plots(summary.frame), entries, note)
    folder = run if out is None else out
    make_folder(folder)
    written = ReportFiles(*(folder / f"report.{suffix}" for suffix in ("html", "md", "json")))
    write_atomic_text(written.html, html)
    write_atomic_text(written.markdown, markdown_page(summary))
    write_atomic_json(written.json, as_json(summary))
    return written


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it; OutputError where that cannot be."""
    # The job's function of this name would import torch, which nobody needs who only reads results.
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"cannot write into {folder}: it is a file, and a folder is needed") from None
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def as_json(summary: Summary) -> dict[str, Any]:
    """The same for programs: every estimate with the ends of its interval and its n, shares and shifts as fractions."""
    return {
        "schema": 1,
        "run": {key: value for key, value in dataclasses.asdict(summary.info).items() if key != "suite_content"},
        "title": summary.title,
        "paper": summary.paper,
        "photos": summary.photos,
        "results": summary.results,
        "left_out": [_group(group) for group in summary.left_out],
        "errors": [_group(group) for group in summary.errors],
        "seconds": summary.seconds,
        "finished": summary.completeness.finished,
        "expected": summary.completeness.expected,
        "found": summary.completeness.found,
        "settings_without_results": list(summary.completeness.without),
        "notices": list(summary.notices),
        "tables": [_json_table(table) for table in summary.tables],
    }


def _json_table(table: Table) -> dict[str, Any]:
    lines = []
    for line in table.lines:
        cells = {}
        for one, cell, paper in zip(table.measures, line.cells, line.paper, strict=True):
            cells[one.name] = {**cell.as_json(), **({} if paper is None else {"paper": paper})}
        lines.append({"row": line.row, "column": line.column, "failed": line.failed, "cells": cells})
    return {
        "title": table.title,
        "split": dict(table.split),
        "rows": table.row_title,
        "columns": table.column_title,
        "lines": lines,
    }


def _group(group: ErrorGroup) -> dict[str, Any]:
    return {"kind": group.kind, "message": group.message, "rows": group.count, "photos": list(group.photos)}
