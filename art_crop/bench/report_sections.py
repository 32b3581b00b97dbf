"""The parts of a report's page: tables, figures, pairs of photos, all results, errors, and what ran."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from art_crop.bench.gallery import Entry
from art_crop.bench.measures import Cell, Measure
from art_crop.bench.plots import Plot
from art_crop.bench.summary import ErrorGroup, Summary
from art_crop.bench.tables import Table
from art_crop.bench.visible import visible

__all__ = [
    "about_section",
    "errors_section",
    "gallery_section",
    "plot_section",
    "results_section",
    "shown_text",
    "split_text",
    "table_section",
]

_BADGES = {
    True: '<span class="badge yes">✓ reached</span>',
    False: '<span class="badge no">✗ not reached</span>',
    None: "",
}


def shown_text(text: object) -> str:
    """Escaped, hidden characters made visible; its direction of writing stays its own."""
    return f"<bdi>{escape(visible(text))}</bdi>"


def split_text(split: Mapping[str, str]) -> str:
    """What a table's rows have in common, in words."""
    words = {"scored": "{} scored", "attacked": "{} attacked", "norm": "norm {}"}
    return ", ".join(words[key].format(value) for key, value in split.items())


def _heading(title: str, split: Mapping[str, str]) -> str:
    more = f' <span class="split">– {shown_text(split_text(split))}</span>' if split else ""
    return f"<h3>{shown_text(title)}{more}</h3>"


def table_section(table: Table) -> str:
    """A table with its heading; columns sort."""
    head = [f'<th scope="col" class="text">{escape(table.row_title)}</th>']
    if table.column_title:
        head.append(f'<th scope="col">{escape(table.column_title)}</th>')
    head.append('<th scope="col">n</th>')
    for one, paper in zip(table.measures, table.has_paper, strict=True):
        head.append(f'<th scope="col">{escape(one.label)}</th>')
        if paper:
            head.append('<th scope="col">paper</th>')
    lines = []
    for line, before in zip(table.lines, (None, *table.lines), strict=False):
        again = " again" if before is not None and before.row == line.row else ""
        cells = [f'<th scope="row" class="text{again}">{shown_text(line.row)}</th>']
        if table.column_title:
            cells.append(f'<td data-v="{line.order if line.column else ""}">{shown_text(line.column or "–")}</td>')
        cells.append(f'<td class="n" data-v="{max((cell.n for cell in line.cells), default=0)}">{line.n}</td>')
        for one, cell, number, has in zip(table.measures, line.cells, line.paper, table.has_paper, strict=True):
            cells.append(_cell(one, cell))
            if has:
                shown = "–" if number is None else one.text(number)
                cells.append(f'<td class="paper" data-v="{"" if number is None else number}">{shown}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    note = f'<p class="note">{shown_text(table.note)}</p>' if table.note else ""
    rows = f"<thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'{_heading(table.title, table.split)}<div class="scroll"><table class="sortable">{rows}</table></div>{note}'


def _cell(one: Measure, cell: Cell) -> str:
    if cell.value is None:
        return '<td data-v="">–</td>'
    if cell.interval is None:
        return f'<td data-v="{cell.value:.9g}"><b>{one.text(cell.value)}</b></td>'
    value, low, high = cell.interval
    shown = f"<b>{one.text(value)}</b>"
    ends = f"[{one.text(low)}, {one.text(high)}]".replace("%", "")
    meter = ""
    if one.kind == "share":
        ends_css = f"--v:{100 * value:.1f}%;--lo:{100 * low:.1f}%;--hi:{100 * high:.1f}%"
        meter = f'<span class="meter" style="{ends_css}"></span>'
    return f'<td data-v="{value:.9g}">{shown}<span class="range">{ends}</span>{meter}</td>'


def plot_section(plot: Plot) -> str:
    """A figure with its caption."""
    if plot.small:
        panels = "".join(
            f"<figure><figcaption>{shown_text(panel.title)}</figcaption>{panel.svg}</figure>" for panel in plot.panels
        )
        body = f'<div class="plot panels">{panels}</div>'
    else:
        charts = "".join(
            f"<figure><figcaption>{shown_text(panel.title)}</figcaption>{panel.svg}</figure>"
            if panel.title
            else panel.svg
            for panel in plot.panels
        )
        kind = "one" if len(plot.panels) == 1 else "pair"
        body = f'<div class="plot {kind}">{plot.legend}<div>{charts}</div></div>'
    return f'{_heading(plot.title, plot.split)}{body}<p class="caption">{shown_text(plot.caption)}</p>'


def gallery_section(entries: list[Entry], photos: dict[str, str], note: str, reached: str = "") -> str:
    """The pairs; their pixels go into ``photos``, each once, and come into view by the page's script.

    ``reached`` says what the verdicts mean.
    """
    if not entries and not note:
        return ""
    names: dict[str, str] = {}

    def image(uri: str, classes: str, alt: str) -> str:
        if not uri:
            return ""
        name = names.setdefault(uri, f"p{len(names)}")
        photos[name] = uri
        return f'<img class="{classes}" data-photo="{name}" alt="{escape(visible(alt))}">'

    figures = []
    for entry in entries:
        box = f'viewBox="0 0 {entry.width} {entry.height}" preserveAspectRatio="none" aria-hidden="true"'
        layers = "".join(
            f'<div class="layer {when}">{image(pixels, "photo", f"{entry.photo}, {when}")}'
            f"{image(heat, 'heat', '')}<svg {box}>{overlay}</svg></div>"
            for when, pixels, heat, overlay in (
                ("before", entry.before, entry.heat_before, entry.overlay_before),
                ("after", entry.after, entry.heat_after, entry.overlay_after),
            )
        )
        name = escape(visible(f"Before and after: {entry.photo}"))
        figures.append(
            f'<figure><div class="slider" style="aspect-ratio:{entry.width}/{entry.height}">{layers}'
            f'<svg class="points" {box}>{entry.points}</svg><i class="handle"></i>'
            '<span class="tag left">before</span><span class="tag right">after</span>'
            f'<input type="range" min="0" max="100" value="50" aria-label="{name}"></div><figcaption>'
            f'<span class="name">{shown_text(entry.photo)}</span> {_BADGES[entry.success]}<br>'
            f"{shown_text(entry.caption)}<br>{shown_text(entry.result)}</figcaption></figure>"
        )
    heat = any(entry.heat_before or entry.heat_after for entry in entries)
    boxes = [
        ("hide-windows", "off", "checked", "crop windows and regions"),
        ("hide-points", "off", "checked", "salient point: ring before, dot after"),
    ]
    boxes += [("show-heat", "on", "", "saliency")] if heat else []
    controls = "".join(
        f'<label><input type="checkbox" data-toggle="{toggle}" data-when="{when}" {checked}>{label}</label>'
        for toggle, when, checked, label in boxes
    )
    controls = f'<div class="controls">{controls}</div>' if entries else ""
    notes = "".join(f'<p class="note">{shown_text(text)}</p>' for text in (note, reached if entries else "") if text)
    return f'{notes}{controls}{_colours(entries)}<div class="gallery" id="gallery">{"".join(figures)}</div>'


def _colours(entries: list[Entry]) -> str:
    """Which outline is the crop of which ratio, and what the dashed box is; "" where none is drawn."""
    ratios = max((entry.windows for entry in entries), key=len, default=())
    keys = [(f"c{k}", f"crop {ratio}") for k, ratio in enumerate(ratios)]
    if any('class="region"' in entry.overlay_after for entry in entries):
        keys.append(("region", "wanted region"))
    tall = "<li>crops by height over width:</li>" if ratios else ""
    items = tall + "".join(f'<li><span class="key {kind}"></span>{escape(name)}</li>' for kind, name in keys)
    return f'<ul class="legend outlines" aria-label="Colours of the outlines">{items}</ul>' if items else ""


def results_section(summary: Summary) -> str:
    """The frame of the table of all results, which the page's script fills; "" where there are none."""
    if not summary.results:
        return ""
    return (
        '<div class="controls" id="results-controls">'
        '<input type="search" id="results-search" placeholder="Filter by photo, method, model …" aria-label="Filter">'
        '</div><noscript><p class="notice">This table needs JavaScript; report.json and the run have the same.</p>'
        '</noscript><div class="scroll" id="results-table"></div><div class="pager">'
        '<button type="button" id="results-back">Back</button><button type="button" id="results-on">Next</button>'
        '<span id="results-count" aria-live="polite"></span></div>'
    )


def errors_section(groups: tuple[ErrorGroup, ...], title: str) -> str:
    """Groups of rows that have no number; "" where there are none."""
    if not groups:
        return ""
    lines = "".join(
        f'<tr><td class="text">{shown_text(group.kind)}</td><td data-v="{group.count}">{group.count}</td>'
        f'<td class="text" style="white-space:normal">{shown_text(group.message or "–")}</td>'
        f'<td class="text" style="white-space:normal">{shown_text(", ".join(group.photos))}</td></tr>'
        for group in groups
    )
    titles = (("kind", "text"), ("rows", ""), (title, "text"), ("photos, for example", "text"))
    head = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in titles)
    table = f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="scroll"><table class="sortable">{table}</table></div>'


def about_section(summary: Summary) -> str:
    """What ran, where, and with which weights."""
    info = summary.info
    data = ", ".join(f"{key} {value}" for key, value in info.data.items() if value not in ("", None))
    started = re.sub(r"T(\d\d:\d\d)(:\d\d)?(\+00:00|Z)$", r" \1 UTC", info.started)
    facts = [
        ("Suite", f"{info.suite}"),
        ("Suite hash", info.suite_sha256),
        ("Paper", summary.paper),
        ("Photos", data),
        ("Started", started),
        ("Command", info.command),
        ("Machine", summary.machine),
        ("Versions", summary.versions),
    ]
    shown = "".join(f"<dt>{name}</dt><dd>{shown_text(value)}</dd>" for name, value in facts if value)
    models = "".join(
        f'<tr><td class="text">{shown_text(name)}</td><td class="text">{shown_text(model.get("distribution", ""))} '
        f'{shown_text(model.get("version", ""))}</td><td class="text">{shown_text(model.get("licence", ""))}</td>'
        f'<td class="text"><code>{escape(str(model.get("weights_sha256") or "–")[:16])}</code></td></tr>'
        for name, model in info.models.items()
    )
    head = "".join(
        f'<th scope="col" class="text"><span>{name}</span></th>' for name in ("model", "from", "licence", "weights")
    )
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{models}</tbody></table></div>'
    return f'<dl class="facts">{shown}</dl>{table if models else ""}'
