"""``art-crop models``: which models there are, where their weights come from, and fetching those that are fetched."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from art_crop.cli.console import err, errors_as_sentences, out

LIST_EXAMPLES = """
Examples:

  art-crop models list

  art-crop models list --json
"""
FETCH_EXAMPLES = """
Examples:

  art-crop models fetch fastgaze

  art-crop models fetch fastgaze --url https://mirror.example.org/fastgaze.vxm
"""

app = typer.Typer(no_args_is_help=True, help="List the models and fetch their weights.")


@app.command("list", epilog=LIST_EXAMPLES)
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the models: what each is, its licence, and where its weights are. Nothing is loaded or fetched."""
    with errors_as_sentences():
        import json

        from art_crop import list_plugins

        rows = [
            {
                "name": record.name,
                "summary": record.summary,
                "licence": record.licence,
                "weights": where_weights_are(record.ask_for),
                "status": record.status,
                "distribution": record.distribution,
            }
            for record in list_plugins()
            if record.kind == "model"
        ]
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            _table(rows)


def where_weights_are(name: str) -> str:
    """``embedded``, ``fetched`` or given by a variable, with the path; ``missing`` with the cure."""
    from art_crop.errors import PluginError, WeightsError
    from art_crop.models.weights import WeightFile, cache_folder, locate
    from art_crop.plugins.registry import model_weights

    try:
        wanted = model_weights(name)
    except PluginError as error:
        return f"cannot be told: {error}"
    if not isinstance(wanted, WeightFile):
        return wanted if wanted == "embedded" else "its own affair"
    try:
        found = locate(wanted)
    except WeightsError as error:
        given = os.environ.get(wanted.environment_variable) or (cache_folder() / wanted.file_name).exists()
        return f"missing: {error if given else f'run `art-crop models fetch {name}`'}"
    how = "fetched" if found.source == "cache" else f"from {wanted.environment_variable}"
    return f"{how}: {found.path}{'' if found.official else ' (not the published file)'}"


def _table(rows: list[dict[str, str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "what", "licence", "weights"):
        table.add_column(title, overflow="fold", no_wrap=title == "name")
    for row in rows:
        what = row["summary"] if row["status"] == "available" else f"{row['summary']} ({row['status']})"
        table.add_row(*(Text(text) for text in (row["name"], what, row["licence"], row["weights"])))
    out.print(table)


@app.command("fetch", epilog=FETCH_EXAMPLES)
def fetch_weights(
    name: Annotated[str, typer.Argument(help="The model.")],
    url: Annotated[str | None, typer.Option(help="Another place that has the same file, such as a mirror.")] = None,
) -> None:
    """Download a model's weights, check their SHA-256, and keep them in the cache folder (variable ART_CROP_CACHE)."""
    with errors_as_sentences():
        from art_crop import list_plugins
        from art_crop.errors import InvalidInputError, PluginError
        from art_crop.models.weights import WeightFile, fetch
        from art_crop.plugins.lookup import find
        from art_crop.plugins.registry import model_weights

        wanted = model_weights(name)
        if wanted == "embedded":
            out.print(f"{name} is embedded: nothing to fetch.")
            return
        if not wanted:
            known = [record.ask_for for record in list_plugins() if record.kind == "model" and record.fetched]
            raise InvalidInputError(f"name: weights can be fetched for {', '.join(known)}, not {name!r}")
        if not isinstance(wanted, WeightFile):
            raise PluginError(
                f"{find('model', name)}: the weights of {name!r} are a {type(wanted).__name__}, not a WeightFile"
            )
        found = fetch(wanted, url=url, progress=err.is_terminal)
        out.print(f"{name}: {found.path} ({wanted.licence}, SHA-256 {found.sha256})", markup=False)
