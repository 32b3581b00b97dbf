"""Carlini and Wagner's attack in L2 on a quality model: ours, all photos at once, beside ART's through its view.

    python benchmarks/perf/carlini.py --kodak DIR --out benchmarks/results/carlini.md

The same photos, the same steps, learning rate and constants, in one run; time per photo, L2, and success before and
after rounding to whole grey levels. Ours stands there twice: unrounded, as ART's is, and in whole levels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from art.attacks.evasion import CarliniL2Method
from peers import stamp
from PIL import Image, ImageOps

import art_crop
from art_crop.attacks import SensitivityCarliniL2
from art_crop.estimators import QualityClassifierView

SIZE = (512, 384)
BOUND = 50.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kodak", type=Path, required=True, help="folder of Kodak's photos")
    parser.add_argument("--n", type=int, default=24, help="photos")
    parser.add_argument("--n-art", type=int, default=24, help="photos that ART's attack is given, the first ones")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write")
    args = parser.parse_args()

    model = art_crop.load_model("quality-lite", device="cpu")
    photos = [
        np.asarray(ImageOps.fit(Image.open(file).convert("RGB"), SIZE)) for file in sorted(args.kodak.glob("*.png"))
    ]
    x = np.stack(photos[: args.n]).transpose(0, 3, 1, 2).astype(np.float32) / 255
    x = x[model.predict(x) > BOUND]
    same = {"max_iter": args.steps, "binary_search_steps": 5, "initial_const": 0.01, "learning_rate": 0.005}
    view = QualityClassifierView(model, [BOUND, 101.0], input_shape=x.shape[1:])

    def ours(batch: Any, quantize: bool) -> Any:
        return SensitivityCarliniL2(model, sensitivity="uniform", quantize=quantize, **same).generate(
            batch, [BOUND] * len(batch)
        )

    def arts(batch: Any) -> Any:
        worse = np.eye(3, dtype=np.float32)[np.zeros(len(batch), int)]
        return CarliniL2Method(view, targeted=True, batch_size=len(batch), verbose=False, **same).generate(batch, worse)

    command = f"python benchmarks/perf/carlini.py --kodak DIR --n {args.n} --n-art {args.n_art} --steps {args.steps}"
    lines = [
        stamp(command),
        "",
        f"{len(x)} of Kodak's photos that score above {BOUND:g}, {SIZE[0]}x{SIZE[1]}; 5 constants.",
        "",
        "| attack | n | s a photo | below the bound | after rounding | median L2 | mean L2 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, attack, batch in (
        ("ours, unrounded", lambda b: ours(b, False), x),
        ("ours, whole levels", lambda b: ours(b, True), x),
        ("ART's CarliniL2Method", arts, x[: args.n_art]),
    ):
        start = time.perf_counter()
        found = attack(batch)
        seconds = (time.perf_counter() - start) / len(batch)
        norms = np.sqrt(np.square((found - batch).astype(np.float64)).sum((1, 2, 3)))
        rounded = (np.rint(found * 255) / 255).astype(np.float32)
        holds, still = (model.predict(photos) <= BOUND for photos in (found, rounded))
        lines.append(
            f"| {name} | {len(batch)} | {seconds:.1f} | {holds.mean():.0%} | {still.mean():.0%} | "
            f"{np.median(norms[holds]):.3f} | {norms[holds].mean():.3f} |"
        )
        print(lines[-1], flush=True)
    if args.out is not None:
        args.out.write_text("# Carlini and Wagner's attack beside ART's\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
