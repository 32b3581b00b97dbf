"""``art-crop distil``: make a small white-box surrogate of any cropper."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_crop.cli.console import errors_as_sentences, out, tracked, training_bar
from art_crop.cli.options import SeedOption

if TYPE_CHECKING:
    from art_crop.training.distil import Distillation
    from art_crop.training.images import TrainingPhoto

REFINE: dict[str, Any] = {"learning_rate": 6e-4, "human_weight": 0.1, "adversarial": 0.5}
"""Of the second phase: the cropper first, which has to hold where it is attacked."""
EXAMPLES = """
Examples:

  art-crop distil --teacher fastgaze --images photos/ --out surrogate.safetensors

  art-crop distil --teacher my_service:saliency --images photos/ --out surrogate.safetensors --steps 2000

  art-crop attack photo.jpg --model gaze-lite --weights surrogate.safetensors --show 0,0.8,1,1
"""


def distil(
    teacher: Annotated[
        str, typer.Option(help="A model's name, or module:function of photos (N,3,h,w) in [0,1] -> maps (N,h,w).")
    ],
    images: Annotated[list[Path], typer.Option(help="Folder of photos to learn on; may be repeated.")],
    out_path: Annotated[Path, typer.Option("--out", help="Weight file to write (.safetensors).")],
    weights: Annotated[Path | None, typer.Option(help="The teacher's weight file, for a model given by name.")] = None,
    fixations: Annotated[
        Path | None, typer.Option(help="Folder of OSIE: teaches the head 'human' with its training photos.")
    ] = None,
    gives: Annotated[
        str, typer.Option(help="What a teacher given as a function answers: density or log-density.")
    ] = "density",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps from a random start.")] = 5000,
    refine: Annotated[
        int, typer.Option(min=0, help="Steps after that, at a lower rate, half of the photos attacked first.")
    ] = 1800,
    start: Annotated[
        Path | None, typer.Option(help="Weights to refine, made by an earlier run; skips the first steps.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Samples a step.")] = 12,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to go on from and to save to every 200 steps [default: OUT.checkpoint].")
    ] = None,
) -> None:
    """Teach a small network (273,000 parameters) to follow a cropper, and people where fixations are given.

    The same command goes on where it was stopped. The result serves as --weights of the model gaze-lite.
    """
    with errors_as_sentences():
        from art_crop.models.gaze_lite import load_gaze_lite_net, save_gaze_lite
        from art_crop.training.distil import Distillation
        from art_crop.training.distil import distil as run

        kept = checkpoint or out_path.with_name(out_path.name + ".checkpoint")
        # What the first phase made is kept until the second is done, rounded to what a file holds.
        halfway = start or out_path.with_name(out_path.name + ".unrefined")
        for path in (out_path, kept):
            check_writable(path)
        if start is not None:
            load_gaze_lite_net(start)  # a bad file should show before the photos are read
        labels, resolved = _teacher(teacher, weights, gives, device)
        photos = _photos(images, fixations)
        about = {"teacher": teacher, "photos": len(photos), "steps": steps, "batch_size": batch_size, "seed": seed}
        began = time.monotonic()
        if start is None and halfway.exists():
            _check_same_run(halfway, about)
        elif start is None:
            first = Distillation(steps=steps, batch_size=batch_size, seed=seed, teacher=teacher, checkpoint=kept)
            save_gaze_lite(_train(run, labels, photos, first, resolved, None), halfway, about)
            kept.unlink(missing_ok=True)
        net = load_gaze_lite_net(halfway)
        if refine:
            second = Distillation(refine, batch_size, seed=seed + 1, teacher=teacher, checkpoint=kept, **REFINE)
            net = _train(run, labels, photos, second, resolved, net)
        minutes = (time.monotonic() - began) / 60
        save_gaze_lite(net, out_path, {**about, "refine": refine})
        for path in (kept, *([] if start else [halfway])):
            path.unlink(missing_ok=True)
        size = out_path.stat().st_size
        out.print(f"wrote {out_path} ({size} bytes) after {minutes:.1f} min: {shlex.join(sys.argv)}", markup=False)


def check_writable(path: Path) -> None:
    """Better now than after an hour of training."""
    from art_crop.errors import OutputError

    if path.is_dir():
        raise OutputError(f"{path} cannot be written: it is a folder")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path} cannot be written: the folder does not exist")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: no permission to write there")


def _check_same_run(halfway: Path, about: dict[str, Any]) -> None:
    """The first phase's result is taken up only by the run that made it."""
    from safetensors import SafetensorError, safe_open

    from art_crop.errors import InvalidInputError

    try:
        with safe_open(halfway, "np") as file:
            known = json.loads((file.metadata() or {}).get("art_crop", "{}"))
    except (SafetensorError, ValueError, OSError):
        known = {}
    other = ", ".join(name for name, value in about.items() if known.get(name) != value)
    if other:
        raise InvalidInputError(
            f"out: {halfway} is left from a run with another {other}; remove it, or choose another file"
        )


def _teacher(name: str, weights: Path | None, gives: str, device: str) -> tuple[Any, str]:
    from art_crop.checks import check_choice
    from art_crop.estimators.placement import resolve_device
    from art_crop.training.sources import callable_teacher, estimator_teacher, import_callable

    check_choice(gives, "gives", ("density", "log-density"))
    resolved = str(resolve_device(device))
    if ":" in name:
        sys.path.insert(0, "")  # a user's module beside them, as with python -m
        return callable_teacher(import_callable(name), gives), resolved  # type: ignore[arg-type]
    from art_crop import load_model

    options = {} if weights is None else {"weights": weights}
    return estimator_teacher(load_model(name, device=resolved, **options)), resolved


def _photos(images: list[Path], fixations: Path | None) -> list[TrainingPhoto]:
    from art_crop.training.sources import training_photos

    return training_photos(images, fixations, progress=lambda items, count: tracked(items, count, "reading photos"))


def _train(run: Any, labels: Any, photos: Any, settings: Distillation, device: str, start: Any) -> Any:
    def words(figures: dict[str, float]) -> str:
        return f"loss: cropper {figures['cropper']:.3f}, human {figures['human']:.3f}"

    with training_bar(settings.steps, words) as (wrap, report):
        return run(labels, photos, settings, start=start, device=device, progress=wrap, report=report)
