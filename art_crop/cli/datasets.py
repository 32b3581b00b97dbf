"""``art-crop datasets``: which datasets there are, under which terms, where they are, and fetching them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from art_crop.cli.console import err, errors_as_sentences, out
from art_crop.cli.options import literal

LIST_EXAMPLES = """
Examples:

  art-crop datasets

  art-crop datasets --json

  art-crop datasets fetch kodak
"""
FETCH_EXAMPLES = """
Examples:

  art-crop datasets fetch kodak

  art-crop datasets fetch osie --to ~/photos/osie

  art-crop datasets fetch bsds500 --accept-terms

  art-crop datasets fetch cat2000 --from ~/Downloads/trainSet.zip
"""

_ANY_FOLDER = "any folder of yours"

app = typer.Typer()
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]


@app.callback(invoke_without_command=True, epilog=LIST_EXAMPLES)
def datasets(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the datasets: how many photos, their licence or terms, and where they are or how to get them."""
    if context.invoked_subcommand is None:
        _list(as_json)


@app.command("list", epilog=LIST_EXAMPLES.replace("art-crop datasets\n", "art-crop datasets list\n"))
def list_datasets(as_json: JsonOption = False) -> None:
    """The same list."""
    _list(as_json)


def _list(as_json: bool) -> None:
    with errors_as_sentences():
        import json

        from art_crop import list_plugins
        from art_crop.plugins.lookup import find
        from art_crop.plugins.specs import DatasetSpec

        rows = []
        for record in list_plugins():
            if record.kind == "dataset":
                spec = find("dataset", record.ask_for).spec
                rows.append(
                    {
                        "name": record.name,
                        "photos": spec.photos if isinstance(spec, DatasetSpec) and spec.photos else None,
                        "summary": record.summary,
                        "licence": record.licence,
                        **_source(record.ask_for),
                        "status": record.status,
                        "distribution": record.distribution,
                        "version": record.version,
                    }
                )
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            _table(rows)


def _source(name: str) -> dict[str, str]:
    """Where its photos are, or how to get them; the page of its publishers; their terms."""
    from art_crop.datasets.fetching import located
    from art_crop.datasets.sources import DatasetSource
    from art_crop.errors import ArtCropError
    from art_crop.plugins.registry import dataset_source

    try:
        source = dataset_source(name)
    except ArtCropError as error:
        return {"where": f"cannot be told: {error}", "page": "", "terms": ""}
    if not isinstance(source, DatasetSource):
        said = {"installed": "comes with its package", "path": _ANY_FOLDER}
        return {"where": said.get(source, "its own affair"), "page": "", "terms": ""}
    found = located(source.name)
    where = f"fetched: {found}" if found is not None else source.how
    return {"where": where, "page": source.page, "terms": source.terms}


def _table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "photos", "what", "licence or terms", "where, or how to get it", "from"):
        table.add_column(title, overflow="fold", no_wrap=title in ("name", "photos"))
    for row in rows:
        what = row["summary"] if row["status"] == "available" else f"{row['summary']} ({row['status']})"
        photos = "" if row["photos"] is None else f"{row['photos']:,}"
        licence = row["licence"] or ("that of your photos" if row["where"] == _ANY_FOLDER else "not stated")
        cells = (row["name"], photos, what, licence, row["where"], row["distribution"])
        table.add_row(*map(literal, cells))
    out.print(table)
    out.print("What was fetched opens by its name; a folder of yours is named by root=DIR, for suites by --images DIR.")


@app.command("fetch", epilog=FETCH_EXAMPLES)
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    to: Annotated[
        Path | None, typer.Option(help="A new or empty folder for it; default: one in the cache folder.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option("--from", help="Where its files are instead: a folder or file here, or a mirror's address."),
    ] = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You accept its publishers' terms, where there are some.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Get it though it is here.")] = False,
) -> None:
    """Download a dataset, check it, and unpack it; then it is opened by its name alone.

    The same command goes on with a broken download. The cache folder is that of the variable ART_CROP_CACHE.
    """
    with errors_as_sentences():
        from art_crop import list_plugins
        from art_crop.datasets.fetching import fetch, located
        from art_crop.datasets.sources import DatasetSource
        from art_crop.errors import InvalidInputError, PluginError
        from art_crop.plugins.lookup import find
        from art_crop.plugins.registry import dataset_source

        source = dataset_source(name)
        entry = find("dataset", name)
        if source == "installed":
            out.print(literal(f"{name} comes with its package: nothing to fetch."))
            return
        if source in ("", "path"):
            records = [record.ask_for for record in list_plugins() if record.kind == "dataset"]
            known = [other for other in records if getattr(dataset_source(other), "parts", ())]
            raise InvalidInputError(f"name: datasets that can be fetched are {', '.join(known)}, not {name!r}")
        if not isinstance(source, DatasetSource) or source.name != entry.spec.name:
            raise PluginError(f"{entry}: the source of dataset {name!r} is no DatasetSource of that name")
        before = located(source.name)
        folder = fetch(source, to=to, origin=origin, accept_terms=accept_terms, again=again, progress=err.is_terminal)
        here = " was here already (--again gets it anew)" if folder == before and not again else ""
        out.print(literal(f"{name}: {folder} ({entry.spec.licence or 'licence not stated'}){here}"))
