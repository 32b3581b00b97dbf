"""``art-crop plugins``: what is installed, who provides it, and which plugins are broken and why."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from art_crop.cli.console import BAD_INPUT, FAILED, errors_as_sentences, out
from art_crop.cli.options import literal, plain, say_error

if TYPE_CHECKING:
    from art_crop.plugins.catalogue import PluginStatus
    from art_crop.plugins.registry import PluginRecord

EXAMPLES = """
Examples:

  art-crop plugins

  art-crop plugins --kind model --json

  art-crop plugins --strict

  ART_CROP_PLUGINS=art-crop-template,art-crop-tflite art-crop plugins
"""


def plugins(
    kind: Annotated[
        str | None, typer.Option(help="Only model, attack, metric, dataset, defence or executor.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: plugins and objects.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a plugin is broken (or set ART_CROP_PLUGINS_STRICT=1).")
    ] = False,
) -> None:
    """List every model, attack, metric and dataset with the package that provides it, then the plugins with problems.

    The variable ART_CROP_PLUGINS names the packages whose plugins may be read, with commas between them; of any other
    plugin nothing is run. A name that two packages give is written package/name.

    Exit code: 0, or 1 in strict mode where a plugin is broken.
    """
    with errors_as_sentences():
        from art_crop.errors import PluginError
        from art_crop.plugins.catalogue import catalogue
        from art_crop.plugins.discovery import strict_by_default
        from art_crop.plugins.registry import list_plugins, plugin_statuses
        from art_crop.plugins.specs import KINDS

        if kind is not None and kind not in KINDS:
            say_error(f"--kind must be one of {', '.join(KINDS)}, not {kind!r}")
            raise typer.Exit(BAD_INPUT)
        statuses = plugin_statuses(strict=False, warn=False)
        records = [record for record in list_plugins(strict=False) if kind in (None, record.kind)]
        if as_json:
            listing = {
                "plugins": [dataclasses.asdict(status) for status in statuses],
                "objects": [dataclasses.asdict(record) for record in records],
            }
            typer.echo(json.dumps(listing, indent=2))
        else:
            _print_objects(records)
            _print_plugins(statuses)
        if strict or strict_by_default():
            try:
                catalogue(strict=True)
            except PluginError as error:
                say_error(error)
                raise typer.Exit(FAILED) from None


def _print_objects(records: list[PluginRecord]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("kind", "name", "what", "from"):
        table.add_column(title, overflow="fold", no_wrap=title in ("kind", "name"))
    last = ""
    for record in records:
        if last and record.kind != last:
            table.add_section()
        what = record.summary if record.status == "available" else f"{record.summary} ({record.status})"
        source = f"{record.distribution} {record.version}"
        shown = record.kind if record.kind != last else ""
        table.add_row(*(literal(text) for text in (shown, record.name, what, source)))
        last = record.kind
    out.print(table)


def _print_plugins(statuses: list[PluginStatus]) -> None:
    """A line for each plugin; below it, what is wrong with it."""
    for status in statuses:
        colour = "red" if status.broken else "yellow" if status.status in ("slow", "disabled") else "green"
        out.print(f"[{colour}]{status.status:8}[/{colour}]", literal(_line(status)))
        for text in (*status.reasons, *status.notes):
            out.print(literal(f"         - {text}"))


def _line(status: PluginStatus) -> str:
    counted = (
        ""
        if status.status in ("missing", "disabled")
        else f": {status.records} object{'' if status.records == 1 else 's'}"
    )
    return plain(f"{status}{f' ({status.entry_point})' if status.entry_point else ''}{counted}")
