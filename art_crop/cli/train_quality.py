"""``art-crop train-quality``: make the weights of quality-lite anew."""

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

  art-crop train-quality --images photos/ --out quality.safetensors

  art-crop train-quality --images photos/ --bsds500 bsds500/ --out quality.safetensors --steps 6000 --seed 1

  art-crop attack photo.jpg --model quality-lite --weights quality.safetensors --below 30
"""


def train_quality(
    images: Annotated[list[Path], typer.Option(help="Folder of photos that nothing distorts; may be repeated.")],
    out_path: Annotated[Path, typer.Option("--out", help="Weight file to write (.safetensors).")],
    bsds500: Annotated[
        Path | None, typer.Option(help="Folder of BSDS500, whose last 60 photos are kept for evaluation.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3000,
    batch_size: Annotated[int, typer.Option(min=2, help="Samples a step.")] = 24,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    checkpoint: Annotated[
        Path | None, typer.Option(help="File to go on from and to save to every 200 steps [default: OUT.checkpoint].")
    ] = None,
) -> None:
    """Teach a small network (about 1,400,000 parameters) to score photos, from photos distorted at known levels.

    Labels are the similarity to the original by two measures (HaarPSI and DSS, which the extra "training" brings),
    mapped to 0 to 100. The same command goes on where it was stopped. The result serves as --weights of the model
    quality-lite.
    """
    with errors_as_sentences():
        from art_crop.cli.distil import check_writable
        from art_crop.estimators.placement import resolve_device
        from art_crop.models.layers import save_weights
        from art_crop.training.quality import QualityTraining, pristine_photos
        from art_crop.training.quality import train_quality as run

        kept = checkpoint or out_path.with_name(out_path.name + ".checkpoint")
        for path in (out_path, kept):
            check_writable(path)
        photos = pristine_photos(images, bsds500, progress=lambda items, n: tracked(items, n, "reading photos"))
        settings = QualityTraining(steps=steps, batch_size=batch_size, seed=seed, checkpoint=kept)
        began = time.monotonic()

        def words(figures: dict[str, float]) -> str:
            return f"off by {figures['difference']:.1f}, correlation {figures['correlation']:.3f}"

        with training_bar(steps, words) as (wrap, report):
            net = run(photos, settings, device=str(resolve_device(device)), progress=wrap, report=report)
        minutes = (time.monotonic() - began) / 60
        about = {"network": "quality-lite", "photos": len(photos), "steps": steps, "batch_size": batch_size}
        save_weights(net, out_path, {**about, "seed": seed})
        kept.unlink(missing_ok=True)
        size = out_path.stat().st_size
        out.print(f"wrote {out_path} ({size} bytes) after {minutes:.1f} min: {shlex.join(sys.argv)}", markup=False)
