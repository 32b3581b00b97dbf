"""``art-crop bench``: run a benchmark suite, and read what became of it."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_crop.cli.console import BAD_INPUT, FAILED, err, errors_as_sentences, out, progress, terminated_like_interrupted
from art_crop.cli.options import literal, plain, say_error

if TYPE_CHECKING:
    from art_crop.bench.runner import Summary

__all__ = ["EXAMPLES", "SUITES_EXAMPLES", "run", "suites"]

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
    with errors_as_sentences():
        from art_crop.bench.runner import run_suite
        from art_crop.bench.suite_file import load_suite

        instead = dict(_pair(text, "--model", "OLD=NEW, such as fastgaze=my-model") for text in model or ())
        chosen = load_suite(suite_path(suite), instead=instead)
        options: dict[str, Any] = {"workers": workers, "address": address}
        with terminated_like_interrupted(), progress(chosen.name, "loading models") as tell:
            summary = run_suite(
                chosen,
                images=images,
                out=out_path,
                weights=dict(_pair(text, "--weights", _WEIGHTS) for text in weights or ()),
                executor=executor,
                executor_options={name: value for name, value in options.items() if value is not None},
                keep_images=keep_images,
                every=every,
                limit=limit,
                device=device,
                retry=retry_failed,
                command=command_line(sys.argv),
                progress=tell,
            )
        _tell(summary, out_path)
        if keep_images and summary.kept and not (out_path.expanduser() / "images").is_dir():
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
    with errors_as_sentences():
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
    from art_crop.bench.suite_file import SuiteError, load_suite

    try:
        suite = load_suite(suite_path(name))
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


def suite_path(name: str) -> Path:
    """The file that an argument names: a path, or a suite that comes with the package or lies in its checkout.

    Raises:
        SuiteError: There is neither; the message gives the shipped ones.
    """
    from art_crop.bench.suite_file import SuiteError, shipped_suites

    path = Path(name).expanduser()
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = shipped_suites()
    if name not in shipped:
        near = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(shipped) or "none"
        raise SuiteError(f"SUITE: {name!r} is neither a TOML file nor a shipped suite; {hint}shipped: {known}")
    return shipped[name]


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


def _tell(summary: Summary, folder: Path) -> None:
    for damaged in summary.damaged:
        err.print(literal(f"set aside, and computed again: {damaged}"))
    parts = [f"{summary.rows} results in all", f"{summary.done} computed now", f"{summary.kept} kept from before"]
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
    out.print(literal(f"results: {folder}"))
