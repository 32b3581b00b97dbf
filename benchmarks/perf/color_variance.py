"""Time of the colour-variance map beside scikit-image, and the attack's own share of time, side by side in one run.

    pip install ./plugins/art-crop-efficientnet
    python benchmarks/perf/color_variance.py --out benchmarks/results/color-variance.md

The obvious way to the map with scikit-image: ``deltaE_ciede2000`` of the photo against itself shifted, once for each of
the 24 other places of a 5x5 window. The attack's own share: N of its steps against N plain forward and backward passes
of torch through the same network. Rivals alternate, one thread, CPU time of the process; a ratio compares one turn's.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import SHARED, stamp
from race import Array, photos
from skimage.color import deltaE_ciede2000, rgb2lab
from torch.nn import functional as F

import art_crop
from art_crop.attacks import ColorVarianceAttack, MinimumColorDifference
from art_crop.estimators.placement import frozen
from art_crop.functional.color import color_variance
from art_crop.objectives import LabelOut, Verdict

WINDOW, SIGMA = 5, 1.0


class Never(LabelOut):
    """The label's loss, and no success, so that every step is taken."""

    def __call__(self, output: torch.Tensor) -> Verdict:
        """Give the loss alone."""
        verdict = super().__call__(output)
        return Verdict(verdict.loss, torch.zeros_like(verdict.success))


def by_skimage(photo: Array) -> Array:
    """The map (H, W) of a photo (H, W, 3), offset by offset over shifted arrays; uint8 is computed in float64."""
    lab = rgb2lab(photo)
    height, width = lab.shape[:2]
    total, count, reach = np.zeros((height, width)), np.zeros((height, width)), WINDOW // 2
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if (dy, dx) == (0, 0):
                continue
            here = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
            there = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
            weight = math.exp(-(dx**2 + dy**2) / (2 * SIGMA**2)) / (2 * math.pi * SIGMA**2)
            total[here] += (deltaE_ciede2000(lab[here], lab[there]) * weight) ** 2
            count[here] += 1
    variance: Array = np.sqrt(total / count)
    return variance / variance.max()


def turns(rivals: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each, taking turns, another first each time, after one round that does not count."""
    names, seconds = list(rivals), {name: [] for name in rivals}  # type: list[str], dict[str, list[float]]
    for turn in range(repeats + 1):
        for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
            start = time.process_time()
            rivals[name]()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


def ratio(a: list[float], b: list[float]) -> str:
    """Median of a / b, turn by turn, with the quartiles."""
    low, middle, high = np.percentile([x / y for x, y in zip(a, b, strict=True)], (25, 50, 75))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def the_map(photo: Array, repeats: int) -> list[str]:
    """Rows on the map."""
    x, plain = torch.from_numpy(photo)[None], photo.transpose(1, 2, 0)
    levels = (plain * 255).round().astype(np.uint8)
    difference = float(np.abs(color_variance(x, window=WINDOW, sigma=SIGMA)[0, 0].numpy() - by_skimage(levels)).max())
    ours, wide, narrow = "ours (float32)", "scikit-image (of uint8: float64)", "scikit-image (of float32)"
    rivals: dict[str, Callable[[], Any]] = {
        ours: lambda: color_variance(x, window=WINDOW, sigma=SIGMA),
        wide: lambda: by_skimage(levels),
        narrow: lambda: by_skimage(plain),
    }
    seconds = turns(rivals, repeats)
    return [
        *(f"| map, {name} / ours | {ratio(seconds[name], seconds[ours])} |" for name in (wide, narrow)),
        *(f"| map, {name}, ms | {1000 * statistics.median(some):.0f} |" for name, some in seconds.items()),
        f"| map, largest difference from scikit-image's (its range is 1) | {difference:.1e} |",
    ]


def the_attack(photo: Array, steps: int, repeats: int) -> list[str]:
    """Rows on the attacks: CPU time over that of as many bare passes."""
    estimator = art_crop.load_model("efficientnet-lite0", device="cpu")
    network, label = estimator.model, int(estimator.predict(photo[None]).argmax())
    start, wanted = torch.from_numpy(photo)[None], torch.tensor([label])
    own = {
        "ColorVarianceAttack": ColorVarianceAttack(estimator, max_iter=steps),
        "MinimumColorDifference": MinimumColorDifference(estimator, max_iter=steps, loss="cross_entropy"),
    }

    def bare() -> None:
        with frozen(network):
            for _ in range(steps):
                x = start.clone().requires_grad_()
                torch.autograd.grad(F.cross_entropy(network(x), wanted), x)

    def run(attack: Any) -> Callable[[], Any]:
        return lambda: attack.generate(photo[None], Never([label], loss="cross_entropy"))

    seconds = turns({"bare": bare, **{name: run(attack) for name, attack in own.items()}}, repeats)
    lines = [f"| {name}, {steps} steps / bare passes | {ratio(seconds[name], seconds['bare'])} |" for name in own]
    return [*lines, f"| a bare pass, ms | {1000 * statistics.median(seconds['bare']) / steps:.1f} |"]


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "images" / "imagenet_sample", help="folder of photos")
    parser.add_argument("--size", type=int, default=256, help="side of the photo in pixels")
    parser.add_argument("--steps", type=int, default=100, help="of the attack")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--out", type=Path, help="Markdown file to write; default: print only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    photo = (photos(args.photos, 1, (args.size, args.size))[0] * 255).round() / np.float32(255)
    command = f"python benchmarks/perf/color_variance.py --steps {args.steps} --repeats {args.repeats}"
    lines = ["# Time of colour variance", "", stamp(command), ""]
    lines += [
        f"One photo of {args.size}x{args.size} px, one thread, CPU time; median and quartiles of turns. The attack's"
    ]
    lines += ["row includes its map and the pass that judges its result; no step is spared by early success.", ""]
    lines += ["| what | value |", "|---|---|", *the_map(photo, args.repeats)]
    lines += the_attack(photo, args.steps, args.repeats)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
