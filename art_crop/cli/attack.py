"""``art-crop attack``: change photos so that a cropper shows a region of choice, and check the written files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from art_crop.cli.console import errors_as_sentences
from art_crop.cli.options import (
    DefenceOption,
    DeviceOption,
    MaxPixelsOption,
    NoFigureOption,
    OverwriteOption,
    RecordsOption,
    SeedOption,
    WeightsOption,
)
from art_crop.cli.outcomes import announced_jobs, go_through, parameters

EXAMPLES = """
Examples:

  art-crop attack photo.jpg --show 0.1,0.7,0.5,0.95

  art-crop attack photo.jpg --show 64px,480px,400px,600px --ratio 0.56 --model fastgaze --out shown.png

  art-crop attack photos/ --show bottom --out results/                 # a JPEG of a JPEG, a PNG of all else

  art-crop attack photo.jpg --show bottom --png                        # less to change; --jpeg 90: a JPEG always

  art-crop attack photo.jpg --show 0.6,0.1,0.9,0.4 --peak --eps 2

  art-crop attack photo.jpg --show bottom --target my_service:crop     # gradients of a surrogate

  art-crop attack photo.jpg --show bottom --target "./crop.sh --fast"  # a program that prints x y

  art-crop attack photos/ --show bottom --query-only --target my_service:crop --max-queries 500   # no gradients at all

  art-crop attack photo.jpg --show bottom --query-only --target ./crop.sh --model gaze-lite   # a surrogate's as a start

  art-crop attack photo.jpg --show top-left --attack gaussian-noise --param smooth=4 --eps 20

  art-crop attack photo.jpg --show bottom --attack minimum-color-difference --png    # the change that looks least

  art-crop attack photo.jpg --below 4 --model nima-technical                         # a quality score

  art-crop attack photo.jpg --above 6 --target my_service:score --scale 10,0 --model quality-lite   # 0 is best there

  art-crop attack photo.jpg --label other --model efficientnet-lite0                 # a classifier
"""


_CHECKS = 3
"""Requests for a photo beside the search's own: before it, of the photo as it would be written, and of the file."""


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
    scale: Annotated[
        str | None,
        typer.Option(
            help="The worst and the best score of a --target that is a function or a program: 10,0 where 0 is best.",
            metavar="WORST,BEST",
            show_default="0,100",
        ),
    ] = None,
    defence: DefenceOption = None,
    attack_name: Annotated[
        str, typer.Option("--attack", help="An attack that `art-crop plugins --kind attack` shows.")
    ] = "saliency-peak-fgm",
    query_only: Annotated[
        bool,
        typer.Option(
            "--query-only",
            help="Ask the target alone, by the attack tpe-pixel-search; PNGs, unless --jpeg is given. A --model beside "
            "--target is a surrogate to start from.",
        ),
    ] = False,
    max_queries: Annotated[
        int | None,
        typer.Option(
            min=_CHECKS + 2,
            help="With --query-only: requests to the target for each photo, those that check the file included. All of "
            "them are used to find a small change; with --eps the search ends at its first success.",
            show_default="300",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="With --query-only: database (sqlite:///FILE, postgresql://...) or journal file where answers are "
            "kept, so that a search that was stopped goes on and several workers share it.",
            show_default="queries.log beside the results",
        ),
    ] = None,
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
    steps: Annotated[
        int | None,
        typer.Option(help="Gradient steps, or rounds of the search.", show_default="10; 100 for attacks without --eps"),
    ] = None,
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
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    no_figure: NoFigureOption = False,
    overwrite: OverwriteOption = False,
    max_pixels: MaxPixelsOption = None,
    as_json: RecordsOption = False,
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
        from art_crop.pipeline import SHOWN_RATIOS, Settings, make_folder, names_a_file
        from art_crop.pipeline.craft import attack_class, default_steps
        from art_crop.pipeline.run import model_name
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
        params = parameters(param or [])
        if query_only:
            attack_name, png = _asking_alone(attack_name), png or jpeg is None
            params["max_queries"] = (max_queries or 300) - _CHECKS
            params["storage"] = storage or str(
                (out_path.parent if names_a_file(out_path) else out_path) / "queries.log"
            )
        elif max_queries is not None or storage is not None:
            raise InvalidInputError(
                f"--{'storage' if max_queries is None else 'max-queries'}: it goes with --query-only"
            )
        ratios = None if peak else tuple(ratio or SHOWN_RATIOS)
        settings = Settings(
            show,
            ratios,
            eps,
            max_eps,
            default_steps(attack_name) if steps is None else steps,
            jpeg,
            seed,
            score=above if below is None else below,
            direction="above" if below is None else "below",
            label=label if label in (None, "other") else _class_number(str(label)),
            attack=attack_name,
            params=params,
            defences=tuple(defence or ()),
            flexible=not ratio,
        )
        attack_class(settings)
        jobs = announced_jobs(photos, out_path, png=png, jpeg=jpeg is not None)
        loaded, surrogate = load_models(
            model,
            target,
            task=settings.task,
            attack=attack_name,
            device=device,
            weights=weights,
            defences=settings.defences,
            ratios=ratios,
            scale=None if scale is None else _scale(scale),
        )
        if query_only:
            make_folder(out_path.parent if names_a_file(out_path) else out_path)
        settings.check_scale(loaded, "--below" if above is None else "--above")
        if surrogate is not None:
            settings = replace(settings, surrogate=model_name(surrogate))
        go_through(
            jobs,
            out_path,
            settings,
            loaded,
            surrogate=surrogate,
            figure=not no_figure,
            overwrite=overwrite,
            max_pixels=max_pixels,
            as_json=as_json,
        )


def _asking_alone(attack_name: str) -> str:
    from art_crop.errors import InvalidInputError

    if attack_name not in ("saliency-peak-fgm", "tpe-pixel-search"):
        raise InvalidInputError(f"--query-only: it is the attack tpe-pixel-search; it cannot go with {attack_name}")
    return "tpe-pixel-search"


def _class_number(text: str) -> int:
    from art_crop.errors import InvalidInputError

    if not text.isdecimal() or len(text) > 9:
        raise InvalidInputError(f"--label: a class number, or other, is needed, not {text!r}")
    return int(text)


def _scale(text: str) -> tuple[float, float]:
    from art_crop.errors import InvalidInputError

    try:
        worst, best = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidInputError(f"--scale: the worst and the best score are needed, as in 10,0, not {text!r}") from None
    return worst, best
