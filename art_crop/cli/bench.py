"""``art-crop bench``: run a benchmark suite, and read what became of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_crop.cli.console import BAD_INPUT, FAILED, err, errors_as_sentences, out, progress, terminated_like_interrupted
from art_crop.cli.options import literal, plain, say_error
from art_crop.errors import ArtCropError

if TYPE_CHECKING:
    from art_crop.bench import Run

__all__ = ["EXAMPLES", "SUITES_EXAMPLES", "bench_errors", "command_line", "run", "suites"]

_OPTIONS = {
    **{name: f"--{name.replace('_', '-')}" for name in ("images", "weights", "out", "executor", "workers", "limit")},
    **{name: f"--{name.replace('_', '-')}" for name in ("models", "methods", "role", "across_suites", "by_suite")},
    "suite": "SUITE",
    "measures": "--measure",
}
_WEIGHTS = "NAME=PATH, such as fastgaze=fastgaze.vxm,"
EXAMPLES = """
Examples:

  art-crop bench run smoke --out smoke-run

  art-crop bench run icip2022_table1_2 --images photos/ --out run --weights fastgaze=fastgaze.vxm

  art-crop bench run icip2022_table1_2 --images photos/ --out mine --model fastgaze=my-model

  art-crop bench run my-suite.toml --images photos/ --out run --executor local --workers 4 --keep-images

  art-crop bench run my-suite.toml --images photos/ --out run --executor ray --address auto
"""
SUITES_EXAMPLES = """
Examples:

  art-crop bench suites

  art-crop bench suites my-suite.toml --json
"""


def run(
    suite: Annotated[str, typer.Argument(help="A TOML file, or the name of a suite that is shipped.", metavar="SUITE")],
    out_path: Annotated[Path, typer.Option("--out", help="Folder of the results; the same one goes on.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos, or of the dataset that the suite names.", metavar="DIR")
    ] = None,
    weights: Annotated[
        list[str] | None, typer.Option(help="Weight file of a model; may be repeated.", metavar="NAME=PATH")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Put another model in the place of one of the suite's; may be repeated.", metavar="OLD=NEW"),
    ] = None,
    executor: Annotated[str, typer.Option(help="in-process, local, ray, or a plugin's.")] = "in-process",
    workers: Annotated[int | None, typer.Option(min=1, help="Workers of the executor.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    keep_images: Annotated[
        bool, typer.Option("--keep-images", help="Keep the changed photos, for the report.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Only every n-th of the suite's photos.", metavar="N")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many photos.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute photos that ended with an error anew.")
    ] = False,
) -> None:
    """Run a benchmark suite; whatever stopped it, the same command goes on with what is missing.

    Every result is kept as soon as it is there. A photo that fails is recorded with its error, and the run continues.
    With --executor ray the photos and weights must have the same paths on every machine of the cluster.

    Exit code: 0; 1 where photos failed, now or before; 2 where something given cannot be used; 130 after Ctrl-C.
    """
    with bench_errors():
        from art_crop import bench

        with terminated_like_interrupted(), progress(Path(suite).stem, "loading models") as tell:
            try:
                done = bench.run(
                    suite,
                    out=out_path,
                    images=images,
                    models=dict(_pair(text, "--model", "OLD=NEW, such as fastgaze=my-model") for text in model or ()),
                    weights=dict(_pair(text, "--weights", _WEIGHTS) for text in weights or ()),
                    limit=limit,
                    every=every,
                    executor=executor,
                    workers=workers,
                    address=address,
                    device=device,
                    keep_images=keep_images,
                    retry_failed=retry_failed,
                    progress=tell,
                    command=command_line(sys.argv),
                )
            except bench.RunStopped as stopped:
                done = stopped.run
        _tell(done)
        summary = done.summary
        if keep_images and summary.kept and not (done.folder / "images").is_dir():
            out.print("photos are kept of results that are computed now; for those from before give another --out")
        if summary.stopped:
            raise typer.Exit(130)
        if summary.failed or summary.failed_before or summary.unavailable:
            raise typer.Exit(FAILED)


def suites(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="TOML files, or names; without any: all that are shipped.", metavar="SUITE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Check suites, and say what each measures. Nothing is loaded or run.

    Exit code: 0; 2 where a suite that was named cannot be used as it is.
    """
    with bench_errors():
        import json

        from art_crop.bench.suite_file import shipped_suites

        rows = [_about(name) for name in files or shipped_suites()]
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            _say_suites(rows)
        if files and any(row["error"] for row in rows):
            raise typer.Exit(BAD_INPUT)


def _about(name: str) -> dict[str, Any]:
    from art_crop.bench.suite_file import SuiteError, find_suite, load_suite

    try:
        suite = load_suite(find_suite(name))
    except SuiteError as error:
        return {"name": plain(name), "error": plain(error)}
    settings = list(suite.settings())
    return {
        "name": suite.name,
        "title": suite.title,
        "protocol": suite.protocol,
        "attacked": list(dict.fromkeys(setting.attacked for setting in settings if setting.attacked)),
        "scored": list(dict.fromkeys(setting.scored for setting in settings)),
        "dataset": suite.data.dataset,
        "settings": len(settings),
        "sha256": suite.sha256,
        "error": "",
    }


def _say_suites(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        out.print(literal(row["name"]), style="bold")
        lines = [row["error"]]
        if not row["error"]:
            count = f"{row['settings']} setting{'s' if row['settings'] != 1 else ''}"
            attacked = f"{', '.join(row['attacked'])} attacked, " if row["attacked"] else ""
            lines = [row["title"], f"{attacked}{', '.join(row['scored'])} scored; photos: {row['dataset']}; {count}"]
        for line in lines:
            out.print(literal(f"  {line}"))


@contextmanager
def bench_errors() -> Iterator[None]:
    """As :func:`errors_as_sentences`; what begins with the name of an argument of Python's begins with the option."""
    with errors_as_sentences():
        try:
            yield
        except ArtCropError as error:
            name, colon, rest = str(error).partition(": ")
            if colon and name in _OPTIONS:
                error.args = (f"{_OPTIONS[name]}: {rest}",)
            raise


def command_line(arguments: list[str]) -> str:
    """What the user typed, without where it lies on this machine: only the last part of every path stays."""
    shown = []
    for argument in ["art-crop", *arguments[1:]]:
        # From the first sign of a path on, at the beginning or after an equals sign, and it may hold more of those.
        match = re.fullmatch(r"((?:.*?=)?)((?:[/\\~.]|[A-Za-z]:[/\\]).*)", argument, re.DOTALL)
        shown.append(f"{match[1]}{PureWindowsPath(match[2]).name or match[2]}" if match else argument)
    return plain(" ".join(shown))


def _pair(text: str, option: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        say_error(f"{option} {text}: {wanted} is needed")
        raise typer.Exit(BAD_INPUT)
    return name, value


def _tell(done: Run) -> None:
    summary = done.summary
    for damaged in summary.damaged:
        err.print(literal(f"set aside, and computed again: {damaged}"))
    parts = [f"{summary.rows} results in all", f"{summary.done} computed now", f"{summary.kept} kept from before"]
    if summary.others:
        parts.append(
            f"{summary.others} more in the folder are of photos that were not asked for: reports leave them out"
        )
    if summary.excluded:
        parts.append(f"{summary.excluded} left out by the suite's rule")
    if summary.failed:
        parts.append(f"{summary.failed} failed, such as {summary.first_error}")
    if summary.failed_before:
        parts.append(f"{summary.failed_before} of those kept had failed: --retry-failed computes them anew")
    if summary.unavailable:
        parts.append(
            f"{summary.unavailable} could not be computed here and now, such as {summary.first_reason}: "
            "the same command computes them"
        )
    if summary.stopped:
        parts.append("stopped: the same command goes on")
    out.print(literal("; ".join(parts)))
    out.print(literal(f"results: {done.folder}"))
