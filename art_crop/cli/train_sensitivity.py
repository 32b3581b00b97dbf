"""``art-crop train-sensitivity``: make weights of fcn-vgg16-sensitivity."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from art_crop.cli.console import errors_as_sentences, out, tracked, training_bar
from art_crop.cli.options import SeedOption

EXAMPLES = """
Examples:

  art-crop train-sensitivity --osie osie/ --out sensitivity.safetensors

  art-crop train-sensitivity --osie osie/ --out sensitivity.safetensors --init vgg16-397923af.pth --long-side 320

  art-crop crop photo.jpg --model fcn-vgg16-sensitivity --weights sensitivity.safetensors
"""


def train_sensitivity(
    osie: Annotated[Path, typer.Option(help="Folder of OSIE: stimuli/ and fixations.mat.")],
    out_path: Annotated[Path, typer.Option("--out", help="Weight file to write (.safetensors).")],
    init: Annotated[
        Path | None,
        typer.Option(
            help="Weights to begin with: torchvision's VGG-16, or a file that this command made.", show_default="random"
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Times that each photo is seen; the best epoch is kept.")] = 30,
    long_side: Annotated[
        int, typer.Option(min=32, max=2048, help="Pixels of a photo's longer side as the network sees it.")
    ] = 160,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos a step.")] = 8,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to go on from and to save to every 50 steps [default: OUT.checkpoint].")
    ] = None,
) -> None:
    """Teach the sensitivity network of paper 004 (VGG-16, 14.7 million parameters) where people look.

    Of OSIE's 700 photos 490 are learnt from, 70 decide which epoch is kept, and every fifth, 140, is held out: the mean
    squared error on those is printed beside that of a constant and that of the mean map. The same command goes on where
    it was stopped. The result serves as --weights of the model fcn-vgg16-sensitivity.
    """
    with errors_as_sentences():
        from art_crop.cli.distil import check_writable
        from art_crop.estimators.placement import resolve_device
        from art_crop.models.sensitivity import load_fcn_vgg16, save_fcn_vgg16
        from art_crop.training.sensitivity import SensitivityTraining, held_out_errors, osie_parts
        from art_crop.training.sensitivity import train_sensitivity as run

        kept = checkpoint or out_path.with_name(out_path.name + ".checkpoint")
        for path in (out_path, kept):
            check_writable(path)
        parts = osie_parts(osie, long_side, progress=lambda items, n: tracked(items, n, "reading photos"))
        settings = SensitivityTraining(epochs, batch_size, long_side=long_side, seed=seed, checkpoint=kept)
        began = time.monotonic()

        def words(figures: dict[str, float]) -> str:
            return (
                f"epoch {figures['epoch']}: squared error {figures['training']:.5f}, "
                f"validation {figures['validation']:.5f} (best: epoch {figures['best']})"
            )

        steps = epochs * -(-len(parts.learnt.levels) // batch_size)
        with training_bar(steps, words) as (wrap, report):
            trained = run(
                parts.learnt,
                parts.validation,
                settings,
                start=init,
                device=str(resolve_device(device)),
                progress=wrap,
                report=report,
            )
        minutes = (time.monotonic() - began) / 60
        about = {"photos": len(parts.learnt.levels), "epochs": epochs, "batch_size": batch_size, "seed": seed}
        save_fcn_vgg16(trained.net, out_path, {**about, "epoch": trained.epoch, "validation": trained.error})
        kept.unlink(missing_ok=True)
        size = out_path.stat().st_size
        out.print(f"wrote {out_path} ({size} bytes) after {minutes:.1f} min: {shlex.join(sys.argv)}", markup=False)
        out.print(f"epoch {trained.epoch} of {epochs}, the best by {len(parts.validation.levels)} validation photos")
        errors = held_out_errors(load_fcn_vgg16(out_path), parts)  # of what the file holds
        out.print(f"mean squared error on {len(parts.held_out.levels)} held-out photos:")
        for name, error in errors.items():
            out.print(f"  {name:<20} {float(error.mean()):.5f}")
