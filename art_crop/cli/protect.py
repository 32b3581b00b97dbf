"""``art-crop protect``: change photos below a perceptual threshold so that a classifier gives them another label."""

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

  art-crop protect photo.jpg

  art-crop protect photos/ --condition top5 --out protected/

  art-crop protect photo.jpg --condition top1-50 --jpeg 90             # a JPEG, and proven on the JPEG

  art-crop protect photo.jpg --attack minimum-color-difference         # the change that looks least

  art-crop protect photo.jpg --threshold 20 --steps 300 --param window=9
"""

_DEFAULT_MODEL = "efficientnet-lite0"
_OPTIONS = {"condition": "--condition", "threshold": "--threshold", "max_iter": "--steps", "seed": "--seed"}
"""Parameters of the attacks that are options here."""


def protect(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.", metavar="PHOTO_OR_FOLDER")],
    model: Annotated[
        str, typer.Option(help="The classifier: a name that `art-crop models list` shows.")
    ] = _DEFAULT_MODEL,
    weights: WeightsOption = None,
    condition: Annotated[
        str,
        typer.Option(
            help="What must become of the label: top1: it is not the first any more; top1-50: and has at most half of "
            "the first one's probability; top5: it is none of the first five.",
            metavar="top1|top1-50|top5",
        ),
    ] = "top1",
    label: Annotated[
        int | None,
        typer.Option(
            help="The class that the photos show, a number; those that the classifier takes for another are skipped.",
            show_default="what the classifier says",
        ),
    ] = None,
    attack_name: Annotated[
        str, typer.Option("--attack", help="color-variance, or minimum-color-difference.", metavar="NAME")
    ] = "color-variance",
    param: Annotated[
        list[str] | None,
        typer.Option(help="A further parameter of the attack; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option(help="Largest change of a pixel where the colours about it vary most, in grey levels (to 255)."),
    ] = 50.0,
    steps: Annotated[int, typer.Option(help="Gradient steps at most.")] = 100,
    out_path: Annotated[
        Path,
        typer.Option("--out", help="Folder of the results, or name of the photo to write: .png, or .jpg with --jpeg."),
    ] = Path("art-crop-out"),
    jpeg: Annotated[
        int | None,
        typer.Option(
            help="Write a JPEG of this quality (1 to 100), and search with the encoder before the classifier.",
            metavar="QUALITY",
            show_default="a PNG",
        ),
    ] = None,
    defence: DefenceOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    no_figure: NoFigureOption = False,
    overwrite: OverwriteOption = False,
    max_pixels: MaxPixelsOption = None,
    as_json: RecordsOption = False,
) -> None:
    """Change photos so little that it is hard to see, and so that a classifier no longer gives them their label.

    Each pixel may change by a threshold of its own: more where the colours about it vary much, less where they are
    smooth.

    Writes NAME.png (NAME.jpg with --jpeg) with the photo's metadata, NAME.json (everything measured) and
    NAME.figure.png (the threshold map, the change enlarged, the first five labels before and after), and reports what
    the classifier makes of the written file. A photo that fails is called NAME.failed.png. A folder goes on where it
    was stopped. Exit code: 0 all photos are protected but those that were skipped, 1 some are not, or all were skipped,
    2 bad input, 3 a model or an attack crashed on one.

    A JPEG's encoder changes pixels as well: of its file the report says how many of them are within the threshold.
    """
    with errors_as_sentences():
        from art_crop.attacks.color_variance import CONDITIONS, PerceptualAttack
        from art_crop.checks import check_choice, check_int, check_number
        from art_crop.errors import InvalidInputError
        from art_crop.pipeline import Settings, names_a_file
        from art_crop.pipeline.craft import attack_class
        from art_crop.pipeline.goals import check_classes
        from art_crop.pipeline.run import job_model
        from art_crop.pipeline.target import load_models

        check_choice(condition, "--condition", tuple(CONDITIONS))
        check_number(threshold, "--threshold", above=0, at_most=255)
        if jpeg is None and names_a_file(out_path) and out_path.suffix.lower() != ".png":
            raise InvalidInputError(f"out: {out_path} is the name of a JPEG, for which a quality is needed (--jpeg)")
        params = parameters(param or [])
        for name in params.keys() & _OPTIONS.keys():
            raise InvalidInputError(f"--param: {name} is an option of its own here, {_OPTIONS[name]}")
        settings = Settings(
            steps=steps,
            jpeg_quality=jpeg,
            seed=seed,
            label="other" if label is None else label,
            condition=condition,
            threshold=threshold,
            attack=attack_name,
            params=params,
            defences=tuple(defence or ()),
        )
        if not issubclass(attack_class(settings), PerceptualAttack):
            raise InvalidInputError(
                f"--attack: color-variance or minimum-color-difference is needed, not {attack_name}; others keep to no "
                "threshold"
            )
        jobs = announced_jobs(photos, out_path, png=jpeg is None, jpeg=jpeg is not None)
        _check_installed(model)
        classifier, _ = load_models(
            model,
            None,
            task=settings.task,
            attack=attack_name,
            device=device,
            weights=weights,
            defences=settings.defences,
        )
        classifier = job_model(classifier, task=settings.task)
        check_classes(condition, classifier.nb_classes)
        if label is not None:
            check_int(label, "--label", at_least=0, at_most=classifier.nb_classes - 1)
        go_through(
            jobs,
            out_path,
            settings,
            classifier,
            figure=not no_figure,
            overwrite=overwrite,
            max_pixels=max_pixels,
            as_json=as_json,
        )


def _check_installed(model: str) -> None:
    """Raise MissingDependencyError where the default model's package is not there."""
    from art_crop.errors import MissingDependencyError
    from art_crop.plugins.registry import list_plugins

    if model == _DEFAULT_MODEL and not any(one.kind == "model" and one.name == model for one in list_plugins()):
        raise MissingDependencyError(
            f"--model: {model} is in the package art-crop-efficientnet, which is not installed or not read: "
            "pip install -c .ci/constraints.txt ./plugins/art-crop-efficientnet in the project's folder, or name "
            "another classifier of `art-crop plugins --kind model`"
        )
