"""``art-crop attack``: change photos so that a cropper shows a region of choice, and check the written files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_crop.cli.console import BAD_INPUT, FAILED, err, errors_as_sentences, out, tracked
from art_crop.cli.options import DeviceOption, ModelOption, WeightsOption, literal, load_cropper, plain, say_error

if TYPE_CHECKING:
    from art_crop.pipeline import Done

EXAMPLES = """
Examples:

  art-crop attack photo.jpg --show 0.1,0.7,0.5,0.95

  art-crop attack photo.jpg --show 64px,480px,400px,600px --ratio 0.56 --model fastgaze --out shown.png

  art-crop attack photos/ --show 0,0.8,1,1 --ratio 1 --out results/ --jpeg 90

  art-crop attack photo.jpg --show 0.6,0.1,0.9,0.4 --peak --eps 2
"""


def attack(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO_OR_FOLDER")],
    show: Annotated[
        str,
        typer.Option(
            help="What must be shown, x0,y0,x1,y1 of the upright photo: fractions (0.1,0.8,0.6,1) or pixels "
            "(64px,480px,400px,600px).",
            metavar="X0,Y0,X1,Y1",
        ),
    ],
    ratio: Annotated[
        list[float] | None,
        typer.Option(help="Height / width of a crop that must show it; may be repeated.", show_default="0.56 and 1"),
    ] = None,
    peak: Annotated[bool, typer.Option("--peak", help="Only move the salient point into the region.")] = False,
    model: ModelOption = "gaze-lite",
    weights: WeightsOption = None,
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
        Path, typer.Option("--out", help="Folder of the results, or name of the photo to write (.png, .jpg).")
    ] = Path("art-crop-out"),
    jpeg: Annotated[
        int | None, typer.Option(help="Write a JPEG of this quality (1 to 100) instead of a PNG.", metavar="QUALITY")
    ] = None,
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

    Writes NAME.png with the photo's metadata, NAME.json (everything measured) and NAME.figure.png, reads the written
    photo back and reports what the cropper makes of it. A folder goes on where it was stopped. Exit code: 0 all photos
    show the region, 1 some do not, 2 bad input.
    """
    with errors_as_sentences():
        from art_crop.errors import InvalidInputError
        from art_crop.pipeline import SHOWN_RATIOS, Settings, collect, make_folder, names_a_file, show_in_each
        from art_crop.pipeline.run import MAX_PIXELS

        if peak and ratio:
            raise InvalidInputError("peak: it takes the place of crops, so it cannot go with --ratio")
        if minimal and eps is not None:
            raise InvalidInputError("minimal: the smallest change is searched, so it cannot go with --eps")
        ratios = None if peak else tuple(ratio or SHOWN_RATIOS)
        settings = Settings(show, ratios, eps, max_eps, steps, jpeg, seed)
        jobs = collect(photos, out_path, jpeg=jpeg is not None)
        cropper = load_cropper(model, weights, device)
        target = out_path.expanduser()
        make_folder(target.parent if names_a_file(target) else target)
        outcomes = show_in_each(
            jobs,
            settings,
            cropper,
            figure=not no_figure,
            overwrite=overwrite,
            max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
        )
        done = []
        for outcome in tracked(outcomes, len(jobs), "photos") if len(jobs) > 1 else outcomes:
            done.append(outcome)
            _report(outcome, as_json=as_json, alone=len(jobs) == 1)
        if len(jobs) > 1 and not as_json:
            _summary(done)
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
        say_error(outcome.error)
    elif alone and not as_json:
        out.print(literal(f"{name}: {record['message']}"), style="green" if record["success"] else "red")
        if outcome.resumed:
            out.print("The files of an earlier run are there and untouched; --overwrite does it again.")
        before, after = record["before"]["salient_point"], record["after"]["salient_point"]
        out.print(f"salient point  {before[0]}, {before[1]} -> {after[0]}, {after[1]}")
        for label, path in (("photo", outcome.job.outputs.photo), ("record", outcome.job.outputs.record)):
            out.print(literal(f"{label:<13}  {plain(path)}"))
        if outcome.job.outputs.figure.exists():
            out.print(literal(f"{'figure':<13}  {plain(outcome.job.outputs.figure)}"))
    elif not alone and not record["success"]:
        err.print(literal(f"{name}: {record['message']}"))


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
    counts = dict.fromkeys(("shown", "shown already", "not shown", "bad"), 0)
    for outcome in done:
        record, name = outcome.record, literal(outcome.job.source.name)
        kind = _kind(record)
        counts[kind] += 1
        colour = {"shown": "green", "shown already": "green", "not shown": "red", "bad": "red"}[kind]
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
    if not record["success"]:
        return "not shown"
    return "shown already" if record["unchanged"] else "shown"
