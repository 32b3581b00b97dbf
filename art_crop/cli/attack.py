"""``art-crop attack``: change photos so that a cropper shows a region of choice, and check the written files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_crop.cli.console import (
    BAD_INPUT,
    CRASHED,
    FAILED,
    err,
    errors_as_sentences,
    in_options,
    out,
    steps_of,
    tracked,
)
from art_crop.cli.options import DeviceOption, WeightsOption, literal, plain, say_error

if TYPE_CHECKING:
    from art_crop.pipeline import Done

EXAMPLES = """
Examples:

  art-crop attack photo.jpg --show 0.1,0.7,0.5,0.95

  art-crop attack photo.jpg --show 64px,480px,400px,600px --ratio 0.56 --model fastgaze --out shown.png

  art-crop attack photos/ --show bottom --out results/                 # a JPEG of a JPEG, a PNG of all else

  art-crop attack photo.jpg --show bottom --png                        # less to change; --jpeg 90: a JPEG always

  art-crop attack photo.jpg --show 0.6,0.1,0.9,0.4 --peak --eps 2

  art-crop attack photo.jpg --show bottom --target my_service:crop     # gradients of a surrogate

  art-crop attack photo.jpg --show bottom --target "./crop.sh --fast"  # a program that prints x y

  art-crop attack photo.jpg --show top-left --attack gaussian-noise --param smooth=4 --eps 20

  art-crop attack photo.jpg --below 4 --model nima-technical                         # a quality score

  art-crop attack photo.jpg --label other --model efficientnet-lite0                 # a classifier
"""

_NAMED = 8


def attack(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO_OR_FOLDER")],
    show: Annotated[
        str | None,
        typer.Option(
            help="What must be shown, x0,y0,x1,y1 of the upright photo: fractions (0.1,0.8,0.6,1), percentages "
            "(10%,80%,60%,100%) or pixels (64px,480px,400px,600px); or a part of it: bottom, top-left, centre, ...",
            metavar="X0,Y0,X1,Y1",
        ),
    ] = None,
    below: Annotated[float | None, typer.Option(help="Instead: a quality score to fall to, on its own scale.")] = None,
    above: Annotated[float | None, typer.Option(help="Instead: a quality score to rise to.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Instead: the class that must become a classifier's first, a number, or 'other'."),
    ] = None,
    ratio: Annotated[
        list[float] | None,
        typer.Option(
            help="Height / width of a crop that must show it; may be repeated.",
            show_default="0.56 and 1, as far as they can",
        ),
    ] = None,
    peak: Annotated[bool, typer.Option("--peak", help="Only move the salient point into the region.")] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="A name that `art-crop models list` shows; with --target the surrogate that gives gradients.",
            show_default="gaze-lite",
        ),
    ] = None,
    weights: WeightsOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Who must be convinced, if not --model: a model, module:function, or a program with arguments."
        ),
    ] = None,
    defence: Annotated[
        list[str] | None,
        typer.Option(help="A defence before it, NAME or NAME:key=value,key=value; may be repeated.", metavar="NAME"),
    ] = None,
    attack_name: Annotated[
        str, typer.Option("--attack", help="An attack that `art-crop plugins --kind attack` shows.")
    ] = "saliency-peak-fgm",
    param: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the attack; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    eps: Annotated[
        float | None,
        typer.Option(help="L2 norm of the change, pixels in [0, 1], instead of the smallest that succeeds."),
    ] = None,
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Search the smallest change that succeeds (the default).")
    ] = False,
    max_eps: Annotated[
        float | None, typer.Option(help="Largest L2 norm that --minimal tries.", show_default="a PSNR of 40 dB")
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradient steps, or rounds of the search.")] = 10,
    out_path: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder of the results, or name of the photo to write: .png, or .jpg for a JPEG or with --jpeg.",
        ),
    ] = Path("art-crop-out"),
    jpeg: Annotated[
        int | None,
        typer.Option(
            help="Write a JPEG of this quality (1 to 100), whatever the photo is.",
            metavar="QUALITY",
            show_default="a JPEG's own tables and subsampling",
        ),
    ] = None,
    png: Annotated[
        bool,
        typer.Option("--png", help="Write a PNG, also of a JPEG: about 0.6 of the L2 norm is enough."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Start of every random stream.")] = 0,
    device: DeviceOption = "auto",
    no_figure: Annotated[bool, typer.Option("--no-figure", help="Do not draw NAME.figure.png.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    max_pixels: Annotated[
        int | None, typer.Option(help="Largest photo accepted, in pixels.", show_default="50 million")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records, one JSON object a line.")] = False,
) -> None:
    """Change photos as little as possible so that an automatic cropper shows a region of your choice.

    Or so that a quality model's score passes a bound, or a classifier's label changes: --below, --above, --label.

    Writes NAME.jpg for a JPEG, by steps of its own coefficients, and NAME.png for any other photo, with its metadata,
    NAME.json (everything measured) and NAME.figure.png, and reports what the target makes of the written photo, read by
    its own pipeline. A photo that fails is called NAME.failed.jpg or .png. A folder goes on where it was stopped. Exit
    code: 0 all photos succeeded, 1 some did not, 2 bad input, 3 a model or an attack crashed on one.

    A JPEG needs a larger change than a PNG: 1.6 to 1.9 times the L2 norm where it keeps its own tables (medians of ten
    photos each), and several times where --jpeg encodes it anew, most of that being the encoder's own loss.
    """
    with errors_as_sentences():
        from art_crop.errors import InvalidInputError
        from art_crop.pipeline import SHOWN_RATIOS, Settings, collect, make_folder, names_a_file, show_in_each
        from art_crop.pipeline.craft import attack_class
        from art_crop.pipeline.folder import passed_over
        from art_crop.pipeline.run import MAX_PIXELS, model_name
        from art_crop.pipeline.target import load_models

        goals = {"--show": show, "--below": below, "--above": above, "--label": label}
        given = [name for name, value in goals.items() if value is not None]
        if len(given) != 1:
            said = f"not {' and '.join(given)} together" if given else "none is given"
            raise InvalidInputError(f"one of {', '.join(goals)} says what is wanted; {said}")
        if show is None and (peak or ratio):
            raise InvalidInputError("--peak and --ratio are about a region: they go with --show")
        if peak and ratio:
            raise InvalidInputError("peak: it takes the place of crops, so it cannot go with --ratio")
        if minimal and eps is not None:
            raise InvalidInputError("minimal: the smallest change is searched, so it cannot go with --eps")
        ratios = None if peak else tuple(ratio or SHOWN_RATIOS)
        settings = Settings(
            show,
            ratios,
            eps,
            max_eps,
            steps,
            jpeg,
            seed,
            score=above if below is None else below,
            direction="above" if below is None else "below",
            label=label if label in (None, "other") else _class_number(str(label)),
            attack=attack_name,
            params=_parameters(param or []),
            defences=tuple(defence or ()),
            flexible=not ratio,
        )
        attack_class(settings)
        jobs = collect(photos, out_path, png=png, jpeg=jpeg is not None)
        for job in jobs:
            if not names_a_file(out_path) and not job.outputs.photo.stem.startswith(job.source.stem):
                long, short = plain(job.source.name), plain(job.outputs.photo.name)
                err.print(literal(f"note: {long} is too long a name; its results are called {short} and so on"))
        if skipped := passed_over(photos):
            names = [plain(path.name) + "/" * path.is_dir() for path in skipped]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            err.print(literal(f"note: passed over, no photos by their names: {', '.join(names[:_NAMED])}{more}"))
        loaded, surrogate = load_models(
            model,
            target,
            task=settings.task,
            attack=attack_name,
            device=device,
            weights=weights,
            defences=settings.defences,
            ratios=ratios,
        )
        if surrogate is not None:
            settings = replace(settings, surrogate=model_name(surrogate))
        folder = out_path.expanduser()
        make_folder(folder.parent if names_a_file(folder) else folder)
        with steps_of(len(jobs) == 1) as progress:
            outcomes = show_in_each(
                jobs,
                settings,
                loaded,
                surrogate=surrogate,
                figure=not no_figure,
                overwrite=overwrite,
                max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
                progress=progress,
            )
            done = []
            for outcome in tracked(outcomes, len(jobs), "photos") if len(jobs) > 1 else outcomes:
                done.append(outcome)
                if len(jobs) > 1:
                    _report(outcome, as_json=as_json, alone=False)
        if len(jobs) == 1:
            _report(done[0], as_json=as_json, alone=True)
        if len(jobs) > 1 and not as_json:
            _summary(done)
        if any(outcome.crashed for outcome in done):
            raise typer.Exit(CRASHED)
        if any(outcome.record is None for outcome in done):
            raise typer.Exit(BAD_INPUT)
        if not all(outcome.record and outcome.record["success"] for outcome in done):
            raise typer.Exit(FAILED)


def _report(outcome: Done, *, as_json: bool, alone: bool) -> None:
    """One photo's outcome as soon as it is known: its record or, in a folder, only what needs attention."""
    name, record = plain(outcome.job.source), outcome.record
    if as_json:
        said: dict[str, Any] = {"photo": name, "error": plain(outcome.error)} if record is None else {"photo": name}
        typer.echo(json.dumps(said | (record or {}), allow_nan=False))
    if record is None:
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


def _class_number(text: str) -> int:
    from art_crop.errors import InvalidInputError

    if not text.isdecimal() or len(text) > 9:
        raise InvalidInputError(f"--label: a class number, or other, is needed, not {text!r}")
    return int(text)


def _parameters(given: list[str]) -> dict[str, Any]:
    from art_crop.errors import InvalidInputError
    from art_crop.pipeline.target import parse_value

    params = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInputError(f"--param: KEY=VALUE is needed, not {text!r}")
        params[name.strip()] = parse_value(value)
    return params


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
    counts = dict.fromkeys(
        ("shown", "shown already", "not shown", "reached", "reached already", "not reached", "bad"), 0
    )
    for outcome in done:
        record, name = outcome.record, literal(outcome.job.source.name)
        kind = _kind(record)
        counts[kind] += 1
        colour = "red" if kind.startswith("not") or kind == "bad" else "green"
        word = f"[{colour}]{kind}[/{colour}]" + (" (earlier run)" if outcome.resumed else "")
        if record is None:
            table.add_row(name, word)
        else:
            psnr = record["change"]["psnr_db"]
            shown = "-" if psnr is None else f"{psnr:.1f}"
            table.add_row(name, word, f"{record['change']['l2']:.3f}", shown, f"{record['seconds']:.1f}")
    out.print(table)
    listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    out.print(literal(f"{len(done)} photos: {listed}; results in {plain(done[0].job.outputs.photo.parent)}"))


def _kind(record: dict[str, Any] | None) -> str:
    if record is None:
        return "bad"
    word = "shown" if record.get("task", "saliency") == "saliency" else "reached"
    if not record["success"]:
        return f"not {word}"
    return f"{word} already" if record["unchanged"] else word
