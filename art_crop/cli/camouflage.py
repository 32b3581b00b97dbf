"""``art-crop camouflage``: change photos so that a quality model rates them low or high, when saved again, too."""

from __future__ import annotations

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

  art-crop camouflage photo.jpg --score-below 30

  art-crop camouflage photos/ --score-below 50 --jpeg 90 --out camouflaged/

  art-crop camouflage photo.png --score-above 80 --png              # whole grey levels, for files without loss

  art-crop camouflage photo.jpg --model nima-technical --score-below 4

  art-crop camouflage photo.jpg --score-below 30 --param bound=2 --param "resaved=[[85, '4:2:0'], [75, '4:2:0']]"
"""

_OPTIONS = {"quality": "--jpeg", "domain": "--png", "max_iter": "--steps", "seed": "--seed"}
"""Parameters of the attack that are options here."""


def camouflage(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO_OR_FOLDER")],
    model: Annotated[
        str, typer.Option(help="The quality model: a name that `art-crop models list` shows.")
    ] = "quality-lite",
    weights: WeightsOption = None,
    score_below: Annotated[
        float | None, typer.Option(help="The score to fall to, on the model's own scale.", metavar="SCORE")
    ] = None,
    score_above: Annotated[float | None, typer.Option(help="Instead: the score to rise to.", metavar="SCORE")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(help="A further parameter of dct-quantization; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradients that are averaged.")] = 8,
    out_path: Annotated[
        Path, typer.Option("--out", help="Folder of the results, or name of the photo to write: .jpg, or .png.")
    ] = Path("art-crop-out"),
    jpeg: Annotated[
        int | None, typer.Option(help="Quality of the JPEG, 1 to 100.", metavar="QUALITY", show_default="90")
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Write a PNG instead: less to change, and a platform's JPEG undoes it.")
    ] = False,
    defence: DefenceOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    no_figure: NoFigureOption = False,
    overwrite: OverwriteOption = False,
    max_pixels: MaxPixelsOption = None,
    as_json: RecordsOption = False,
) -> None:
    """Change photos so little that it is hard to see, and so that a quality model rates them low, or high.

    The coefficients of the JPEG are chosen themselves, so that no encoder can move them, and so that the score also
    holds when a platform decodes the file and encodes it again.

    Writes NAME.jpg (NAME.png with --png) with the photo's metadata, NAME.json (everything measured: the score before,
    of the written file, and of the file saved again) and NAME.figure.png. A photo that fails is called NAME.failed.jpg.
    A folder goes on where it was stopped. Exit code: 0 all photos succeeded, 1 some did not, 2 bad input, 3 a model or
    an attack crashed on one.
    """
    with errors_as_sentences():
        from art_crop.errors import InvalidInputError
        from art_crop.pipeline import Settings, names_a_file
        from art_crop.pipeline.craft import attack_class
        from art_crop.pipeline.run import job_model
        from art_crop.pipeline.target import load_models

        if (score_below is None) == (score_above is None):
            raise InvalidInputError("one of --score-below and --score-above says what is wanted")
        if png and jpeg is not None:
            raise InvalidInputError("--png: it cannot go with the quality of a JPEG (--jpeg)")
        png = png or (jpeg is None and names_a_file(out_path) and out_path.suffix.lower() == ".png")
        params = parameters(param or [])
        for name in params.keys() & _OPTIONS.keys():
            raise InvalidInputError(f"--param: {name} is an option of its own here, {_OPTIONS[name]}")
        settings = Settings(
            steps=steps,
            jpeg_quality=None if png else 90 if jpeg is None else jpeg,
            seed=seed,
            score=score_below if score_above is None else score_above,
            direction="below" if score_above is None else "above",
            attack="dct-quantization",
            params=params,
            defences=tuple(defence or ()),
        )
        attack_class(settings)  # parameters that it does not have
        jobs = announced_jobs(photos, out_path, png=png, jpeg=not png)
        quality, _ = load_models(
            model,
            None,
            task=settings.task,
            attack=settings.attack,
            device=device,
            weights=weights,
            defences=settings.defences,
        )
        quality = job_model(quality, task=settings.task)
        settings.check_scale(quality, "--score-below" if score_above is None else "--score-above")
        go_through(
            jobs,
            out_path,
            settings,
            quality,
            figure=not no_figure,
            overwrite=overwrite,
            max_pixels=max_pixels,
            as_json=as_json,
        )
