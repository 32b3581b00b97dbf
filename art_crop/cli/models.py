"""``art-crop models``: which models there are, where their weights come from, and fetching those that are fetched."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
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
_EMBEDDED = {"gaze-lite": "gaze_lite.safetensors", "gaze-lite-human": "gaze_lite.safetensors"}


@app.command("list", epilog=LIST_EXAMPLES)
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the models: what each is, its licence, and where its weights are. Nothing is loaded or fetched."""
    with errors_as_sentences():
        import json

        from art_crop import list_plugins
        from art_crop.plugins.registry import find

        rows = [
            {
                "name": record.name,
                "summary": record.summary,
                "licence": find("model", record.name).licence,
                "weights": where_weights_are(record.name),
                "status": record.status,
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
    from art_crop.errors import WeightsError
    from art_crop.models.weights import WEIGHT_FILES, cache_folder, locate

    if name in _EMBEDDED:
        path = Path(str(files("art_crop.models") / "data" / _EMBEDDED[name]))
        return "embedded" if path.is_file() else f"missing: {path}; install art-crop again"
    if name not in WEIGHT_FILES:
        return "its own affair"
    wanted = WEIGHT_FILES[name]
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
        from art_crop.errors import InvalidInputError
        from art_crop.models.weights import WEIGHT_FILES, fetch

        if name in _EMBEDDED:
            out.print(f"{name} is embedded: nothing to fetch.")
            return
        if name not in WEIGHT_FILES:
            raise InvalidInputError(f"name: weights can be fetched for {', '.join(sorted(WEIGHT_FILES))}, not {name!r}")
        found = fetch(WEIGHT_FILES[name], url=url, progress=err.is_terminal)
        out.print(f"{name}: {found.path} ({WEIGHT_FILES[name].licence}, SHA-256 {found.sha256})", markup=False)
