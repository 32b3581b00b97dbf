"""What `art-crop attack` costs by the size of the photo, as whole processes: wall and processor seconds, peak memory.

    python benchmarks/perf/big_photos.py --images IMAGES --weights fastgaze.vxm

IMAGES holds the Kodak photos (`kodak/*.png`) and those of OSIE (`osie/stimuli/*.jpg`). Five of them are cut to 4:3,
enlarged by Lanczos, given a sensor's noise (variance 1 + 0.03 x level) and written as JPEGs of quality 95. What is
asked for is a corner away from where the cropper looks, so that every photo has to be changed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

SIZES = {"0.3": (640, 480), "2": (1632, 1224), "12": (4032, 3024), "48": (8064, 6048)}
SOURCES = ("kodak/05.png", "osie/stimuli/1010.jpg", "kodak/23.png", "osie/stimuli/1050.jpg", "kodak/15.png")
FORMATS = {"png": ("PNG", ["--png"]), "own": ("JPEG as it was", []), "jpeg": ("JPEG 90", ["--jpeg", "90"])}
RESULTS = Path(__file__).resolve().parents[1] / "results" / "big-photos.md"


class Cost(NamedTuple):
    """Of one process."""

    wall: float
    busy: float
    memory: float
    """MiB."""


def make_photo(source: Path, target: Path, size: tuple[int, int], seed: int) -> None:
    """Enlarge a photo, add a sensor's noise, write a JPEG of quality 95."""
    import numpy as np
    from PIL import Image

    with Image.open(source) as opened:
        photo = opened.convert("RGB")
    height = min(photo.height, photo.width * 3 // 4)
    width = height * 4 // 3
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    photo = photo.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
    random, levels = np.random.default_rng(seed), np.array(photo)
    for row in range(0, size[1], 256):
        strip = levels[row : row + 256].astype(np.float32)
        noisy = strip + random.standard_normal(strip.shape, np.float32) * np.sqrt(1 + 0.03 * strip)
        levels[row : row + 256] = noisy.round().clip(0, 255)
    Image.fromarray(levels).save(target, quality=95)


def far_corner(photo: Path, model: str, weights: Path | None) -> str:
    """The corner that is furthest from the cropper's salient point, as --show takes it."""
    import art_crop

    seen = art_crop.load_model(model, **({} if weights is None else {"weights": weights})).predict_file(photo)
    x, y = (point / side for point, side in zip(seen.salient_point, seen.size, strict=True))
    left, top = 0.7 if x < 0.5 else 0.1, 0.75 if y < 0.5 else 0.1
    return f"{left},{top},{left + 0.2:.2f},{top + 0.15:.2f}"


def attack(photo: Path, out: Path, *options: str) -> tuple[Cost, bool]:
    """One photo in a process of its own; its cost and whether the file shows the region."""
    command = [sys.executable, "-m", "art_crop.cli.main", "attack", str(photo), "--out", str(out), "--json", *options]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode not in (0, 1):
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        said.seek(0)
        record = json.loads(said.read())
    # Linux counts KiB, macOS bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / unit), record["success"]


def main() -> None:
    """Make the photos, attack each in every way, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with kodak/ and osie/")
    parser.add_argument("--weights", type=Path, help="fastgaze.vxm; without it gaze-lite alone is measured")
    parser.add_argument("--megapixels", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--photos", type=int, default=len(SOURCES), choices=range(1, len(SOURCES) + 1))
    parser.add_argument("--models", nargs="+", choices=("gaze-lite", "fastgaze"))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="Markdown file of the results")
    options = parser.parse_args()
    models = options.models or ["gaze-lite", *(["fastgaze"] if options.weights else [])]
    plan = [
        (size, model, kind, number)
        for size in options.megapixels
        for model in models
        for kind in options.formats
        for number in range(options.photos)
    ]
    load, started = os.getloadavg()[0], time.perf_counter()
    costs: dict[tuple[str, str, str], list[tuple[Cost, bool]]] = {}
    # Photos are made in another process: what this one holds would count as its children's memory.
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as helper,
    ):
        for done, (size, model, kind, number) in enumerate(plan):
            left = (time.perf_counter() - started) / done * (len(plan) - done) if done else 0
            progress = f"{done + 1} of {len(plan)}: {size} MP, {model}, {kind}" + (
                f", {left / 60:.0f} min left" * (done > 0)
            )
            print(progress, file=sys.stderr, flush=True)
            photo = Path(name, f"{size}-{number}.jpg")
            if not photo.exists():
                helper.submit(make_photo, options.images / SOURCES[number], photo, SIZES[size], number).result()
            weights = options.weights if model == "fastgaze" else None
            asked = ["--model", model, "--show", helper.submit(far_corner, photo, model, weights).result()]
            asked += [] if weights is None else ["--weights", str(weights)]
            asked += FORMATS[kind][1]
            with tempfile.TemporaryDirectory() as results:
                cost, shown = attack(photo, Path(results), *asked)
            costs.setdefault((size, model, kind), []).append((cost, shown))
            print(f"  {cost.wall:.1f} s, {cost.busy:.1f} s of processor, {cost.memory:.0f} MiB", file=sys.stderr)
    options.out.write_text(page(costs, load))
    print(options.out.read_text())


def page(costs: dict[tuple[str, str, str], list[tuple[Cost, bool]]], load: float) -> str:
    """The results as Markdown."""
    lines = [
        "# What a photo costs by its size\n",
        "`python benchmarks/perf/big_photos.py --images IMAGES --weights fastgaze.vxm`. Whole processes of "
        "`art-crop attack`, from start to end, imports included; median (smallest to largest) over the photos.\n",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow")),
        f"\nProcesses that wanted a core (load average): {load:.1f} before, {os.getloadavg()[0]:.1f} after.\n",
        "| megapixels | model | written as | photos | shown | seconds | processor seconds | peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (size, model, kind), found in costs.items():
        shown = sum(success for _, success in found)
        cells = []
        for k, digits in enumerate((1, 1, 0)):
            values = [cost[k] for cost, _ in found]
            middle = statistics.median(values)
            cells.append(f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})")
        lines.append(f"| {size} | {model} | {FORMATS[kind][0]} | {len(found)} | {shown} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
