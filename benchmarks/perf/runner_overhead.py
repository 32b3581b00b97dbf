"""What the runner costs beside the attack, how its memory grows with the photos, and what a second worker brings.

    python benchmarks/perf/runner_overhead.py overhead --images photos/ --photos 200
    python benchmarks/perf/runner_overhead.py memory
    python benchmarks/perf/runner_overhead.py workers --images photos/ --photos 40 --executor ray

overhead: one suite through the runner, and the same rows by a plain loop over the same functions without runner, store
or executor; processor time and wall time of both, taken in turns. memory: a run over 100 and one over 1,000 random
photos of 160 x 120 with a one-convolution model, each in a process of its own, and the peak of its memory. workers: one
worker against two, each with the threads that the suite fixes.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SUITE = """
name = "overhead"
protocol = "second-peak"
attacked = ["gaze-lite"]
scored = ["gaze-lite"]
[data]
width = 640
selection = "all"
[models.gaze-lite]
[[attack]]
method = "proposed (3 steps, Grad-CAM)"
plugin = "saliency-peak-fgm"
params = { max_iter = 3, mask = "grad-cam", quantize = "round" }
grid = { eps = [10.0] }
"""


def suite(folder: Path, **data: Any) -> Any:
    from art_crop.bench.suite_file import load_suite

    path = folder / "overhead.toml"
    path.write_text(SUITE)
    made = load_suite(path)
    return dataclasses.replace(made, data=dataclasses.replace(made.data, **data))


def overhead(args: argparse.Namespace) -> None:
    from art_crop.bench.units import choose_photos, setting_keys, units_of
    from art_crop.bench.worker import Recipe, SuiteWorker

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = suite(folder)
        place = SuiteWorker(Recipe(made, {}, "cpu", False))
        hashes = place.check()
        photos = choose_photos(made, args.images, limit=args.photos)
        parts = [photos[i : i + 100] for i in range(0, len(photos), 100)]
        plain, attack, through = np.zeros(2), 0.0, np.zeros(2)
        for part in parts:  # in turns, so that whatever else the machine does slows both
            start = np.array([time.perf_counter(), time.process_time()])
            for unit in units_of(setting_keys(made, hashes, "x"), part, 8):
                attack += sum(row["seconds"] for row in place.work(unit).rows)
            middle = np.array([time.perf_counter(), time.process_time()])
            _through_runner(made, place, part, hashes, folder / f"run-{len(list(folder.iterdir()))}")
            plain += middle - start
            through += np.array([time.perf_counter(), time.process_time()]) - middle
    cost = 100 * (through - plain) / attack
    print(f"{len(photos)} photos; attack {attack:.1f} s; wall and processor seconds:")
    print(f"plain loop {plain[0]:.1f}, {plain[1]:.1f}; runner {through[0]:.1f}, {through[1]:.1f}")
    print(f"overhead of the attack's time: {cost[0]:.2f}% wall, {cost[1]:.2f}% processor")


def _through_runner(made: Any, place: Any, photos: list[Any], hashes: dict[str, str], out: Path) -> None:
    """What the runner does once models are loaded: units, executor, writer, Parquet, run.json."""
    from art_crop.bench.executors import InProcess
    from art_crop.bench.part_store import PartStore
    from art_crop.bench.runner import _info, execute
    from art_crop.bench.units import setting_keys, units_of

    units = units_of(setting_keys(made, hashes, "x"), photos, made.limits.batch)
    execute(units, PartStore(out, _info(made, hashes, "", {})), InProcess(), lambda: place)


def memory(args: argparse.Namespace) -> None:
    peaks = {}
    for count in (100, 1000):
        command = [sys.executable, __file__, "memory-of", "--photos", str(count)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        peaks[count] = float(said[-1])
        print(f"{count} photos: peak memory {peaks[count]:.0f} MiB")
    print(f"growth from 100 to 1,000 photos: {100 * (peaks[1000] / peaks[100] - 1):.1f}%")


def memory_of(args: argparse.Namespace) -> None:
    from art_crop.bench import worker
    from art_crop.bench.runner import run_suite

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        stream = np.random.default_rng(0)
        for i in range(args.photos):
            small = stream.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC).save(photos / f"{i:04}.png")
        made = suite(folder, width=160)
        worker.load_model = _cheap_model
        run_suite(made, images=photos, out=folder / "run", device="cpu")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _cheap_model(name: str, **kwargs: Any) -> Any:
    import torch
    from torch import nn

    from art_crop.estimators import PyTorchSaliencyRegressor

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 9, stride=8), nn.Softplus(), nn.Conv2d(8, 1, 1), nn.Softplus())
    return PyTorchSaliencyRegressor(network, device="cpu")


def workers(args: argparse.Namespace) -> None:
    from art_crop.bench.runner import run_suite

    times = {}
    with tempfile.TemporaryDirectory() as name:
        made = suite(Path(name))
        for count in (1, 2):
            start: list[float] = []

            def progress(kept: int, rows: int, note: str, start: list[float] = start) -> None:
                start.append(time.perf_counter())

            run_suite(
                made,
                images=args.images,
                out=Path(name) / str(count),
                executor=args.executor,
                executor_options={"workers": count},
                limit=args.photos,
                device="cpu",
                progress=progress,
            )
            times[count] = start[-1] - start[1]  # from the first finished unit, when workers are at work
            print(f"{count} workers: {times[count]:.1f} s from the first finished unit to the last")
    print(f"2 workers are {times[1] / times[2]:.2f} times as fast as 1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "memory", "memory-of", "workers"])
    parser.add_argument("--images", type=Path, default=None)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--executor", default="local")
    args = parser.parse_args()
    {"overhead": overhead, "memory": memory, "memory-of": memory_of, "workers": workers}[args.what](args)


if __name__ == "__main__":
    main()
