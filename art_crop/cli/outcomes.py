"""What ``attack``, ``protect`` and ``camouflage`` share: the photos that are named, and what became of each of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from art_crop.cli.console import BAD_INPUT, CRASHED, FAILED, err, in_options, out, steps_of, tracked
from art_crop.cli.options import literal, plain, say_error

if TYPE_CHECKING:
    from art_crop.pipeline import Done, Job, Settings

__all__ = ["announced_jobs", "go_through", "parameters"]

_NAMED = 8
_KINDS = (
    *("shown", "shown already", "not shown", "reached", "reached already", "not reached"),
    *("protected", "protected already", "not protected", "skipped", "bad"),
)
"""What may become of a photo, in the order of the summary."""
_WHY = {"skipped": " (another label)"}


def announced_jobs(photos: Sequence[Path], out_path: Path, *, png: bool, jpeg: bool) -> list[Job]:
    """Collect the photos, and say which names are cut and which files are no photos.

    Raises:
        InvalidInputError: As :func:`~art_crop.pipeline.folder.collect`.
    """
    from art_crop.pipeline import collect, names_a_file
    from art_crop.pipeline.folder import passed_over

    jobs = collect(photos, out_path, png=png, jpeg=jpeg)
    for job in jobs:
        if not names_a_file(out_path) and not job.outputs.photo.stem.startswith(job.source.stem):
            long, short = plain(job.source.name), plain(job.outputs.photo.name)
            err.print(literal(f"note: {long} is too long a name; its results are called {short} and so on"))
    if skipped := passed_over(photos):
        names = [plain(path.name) + "/" * path.is_dir() for path in skipped]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        err.print(literal(f"note: passed over, no photos by their names: {', '.join(names[:_NAMED])}{more}"))
    return jobs


def go_through(
    jobs: list[Job],
    out_path: Path,
    settings: Settings,
    model: Any,
    *,
    surrogate: Any = None,
    figure: bool,
    overwrite: bool,
    max_pixels: int | None,
    as_json: bool,
) -> None:
    """Do every photo, say what became of it, and end the command where not all is well.

    Raises:
        typer.Exit: With the code for a crash, for bad input or for a photo that failed; photos that are skipped count
            only where there are no others.
    """
    from art_crop.pipeline import make_folder, names_a_file, show_in_each
    from art_crop.pipeline.run import MAX_PIXELS

    folder = out_path.expanduser()
    make_folder(folder.parent if names_a_file(folder) else folder)
    alone, done = len(jobs) == 1, []
    with steps_of(alone) as progress:
        outcomes = show_in_each(
            jobs,
            settings,
            model,
            surrogate=surrogate,
            figure=figure,
            overwrite=overwrite,
            max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
            progress=progress,
        )
        for outcome in outcomes if alone else tracked(outcomes, len(jobs), "photos"):
            done.append(outcome)
            if not alone:
                _report(outcome, as_json=as_json, alone=False)
    if alone:
        _report(done[0], as_json=as_json, alone=True)
    elif not as_json:
        _summary(done)
    counted = [outcome for outcome in done if not outcome.skipped]
    if any(outcome.crashed for outcome in counted):
        raise typer.Exit(CRASHED)
    if any(outcome.record is None for outcome in counted):
        raise typer.Exit(BAD_INPUT)
    if not counted or not all(outcome.record and outcome.record["success"] for outcome in counted):
        raise typer.Exit(FAILED)


def parameters(given: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE, KEY=VALUE.

    Raises:
        InvalidInputError: One is not of that form.
    """
    from art_crop.errors import InvalidInputError
    from art_crop.pipeline.target import parse_value

    params = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInputError(f"--param: KEY=VALUE is needed, not {text!r}")
        params[name.strip()] = parse_value(value)
    return params


def _report(outcome: Done, *, as_json: bool, alone: bool) -> None:
    """One photo's outcome as soon as it is known: its record or, in a folder, only what needs attention."""
    name, record = plain(outcome.job.source), outcome.record
    if as_json:
        said: dict[str, Any] = {"photo": name}
        if outcome.skipped:
            said["skipped"] = plain(outcome.error)
        elif record is None:
            said["error"] = plain(outcome.error)
        typer.echo(json.dumps(said | (record or {}), allow_nan=False))
    if outcome.skipped:
        err.print(literal(outcome.error))
    elif record is None:
        say_error(in_options(str(outcome.error)))
    elif alone and not as_json:
        sentence = in_options(record["message"])
        out.print(literal(f"{name}: {sentence}"), style="green" if record["success"] else "red")
        if outcome.resumed:
            out.print(
                f"The files of an earlier run{_made_otherwise(record)} are there and untouched; "
                "--overwrite does it again."
            )
        for name, key in (("salient point", "salient_point"), ("score", "score"), ("label", "name")):
            if key in record["before"]:
                out.print(literal(f"{name:<13}  {_short(record['before'][key])} -> {_short(record['after'][key])}"))
        for name, view in (("first before", record["before"]), ("first after", record["after"])):
            if "top" in view:
                ranked = ", ".join(f"{one['name']} {one['probability']:.1%}" for one in view["top"])
                out.print(literal(f"{name:<13}  {ranked}"))
        if record.get("within_threshold") is not None:
            from art_crop.pipeline.message import pixels_in_words

            inside = pixels_in_words(record["within_threshold"])
            colours = f"CIEDE2000 {record['change']['ciede2000_mean']:.3f} in the mean"
            out.print(literal(f"{'threshold':<13}  {inside} within it; {colours}"))
        for view in record.get("resaved", ()):
            said_of_it = f"score {_short(view['score'])} at quality {view['quality']}, {view['subsampling']}"
            out.print(literal(f"{'saved again':<13}  {said_of_it}{'' if view['success'] else ': it does not hold'}"))
        for label, key in (("not kept", "not_kept"), ("note", "notes")):
            if record.get(key):
                out.print(literal(f"{label:<13}  {plain(', '.join(record[key]))}"))
        for label, path in (("photo", outcome.photo), ("record", outcome.job.outputs.record)):
            out.print(literal(f"{label:<13}  {plain(path)}"))
        if outcome.job.outputs.figure.exists():
            out.print(literal(f"{'figure':<13}  {plain(outcome.job.outputs.figure)}"))
    elif not alone and not record["success"]:
        err.print(literal(f"{name}: {in_options(record['message'])}"))


def _made_otherwise(record: dict[str, Any]) -> str:
    """What of an earlier run's machine was not as this one's is: its device, torch."""
    from importlib.metadata import version

    theirs, ours = record["versions"].get("torch"), version("torch")
    return f" (on {record['device']}, with torch {theirs})" if theirs != ours or record["device"] != "cpu" else ""


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _summary(done: list[Done]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, justify in (
        ("photo", "left"),
        ("outcome", "left"),
        ("L2", "right"),
        ("PSNR dB", "right"),
        ("s", "right"),
    ):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    counts = Counter[str]()
    for outcome in done:
        record, name = outcome.record, literal(outcome.job.source.name)
        kind = "skipped" if outcome.skipped else _kind(record)
        counts[kind] += 1
        colour = "red" if kind.startswith("not") or kind == "bad" else "yellow" if outcome.skipped else "green"
        word = f"[{colour}]{kind}[/{colour}]" + (" (earlier run)" if outcome.resumed else "")
        if record is None:
            table.add_row(name, word)
        else:
            psnr = record["change"]["psnr_db"]
            shown = "-" if psnr is None else f"{psnr:.1f}"
            table.add_row(name, word, f"{record['change']['l2']:.3f}", shown, f"{record['seconds']:.1f}")
    out.print(table)
    listed = ", ".join(f"{counts[kind]} {kind}{_WHY.get(kind, '')}" for kind in _KINDS if counts[kind])
    out.print(literal(f"{len(done)} photos: {listed}; results in {plain(done[0].job.outputs.photo.parent)}"))


def _kind(record: dict[str, Any] | None) -> str:
    if record is None:
        return "bad"
    word = "shown" if record.get("task", "saliency") == "saliency" else "reached"
    word = "protected" if record.get("condition") else word
    if not record["success"]:
        return f"not {word}"
    return f"{word} already" if record["unchanged"] else word
