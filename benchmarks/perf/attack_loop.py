"""Speed of the saliency attack, side by side in one run: a bare torch loop, ART's PGD, the machine's own limit.

    python benchmarks/perf/attack_loop.py --fastgaze fastgaze.vxm --photo photo.jpg

Times of rivals alternate within one process (A B A B …); ratios are taken pair by pair, for machines drift; printed are
medians. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

GFLOP = 9.8
"""Of one forward and backward pass of FastGaze at 320x240, with respect to the photo."""
SIZE = (240, 320)


def alternate(jobs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each job, the jobs taking turns, after one warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(a: list[float], b: list[float]) -> str:
    """Median of a / b, pair by pair, with the smallest and the largest."""
    values = sorted(x / y for x, y in zip(a, b, strict=True))
    return f"{statistics.median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})"


def line(label: str, value: str) -> None:
    """One row of the printed table."""
    print(f"| {label} | {value} |", flush=True)


def photos(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A real photo, cut at different places: float32 (count, 3, H, W) in [0, 1]."""
    from PIL import Image
    from skimage import data

    height, width = size
    image = Image.fromarray(data.coffee()).resize((width + 8 * count, height + 8 * count), Image.Resampling.LANCZOS)
    whole = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
    return np.stack([whole[:, 8 * i : 8 * i + height, 8 * i : 8 * i + width] for i in range(count)])


def bare_loop(estimator: Any, x: torch.Tensor, steps: int, dtype: torch.dtype) -> None:
    """The fewest lines that do the same passes: photo after photo, ``steps`` gradients, one forward pass at the end."""
    network, means = estimator.model.network, estimator.model.means
    rows = torch.zeros(x.shape[-2] // 16, x.shape[-1] // 16, dtype=torch.bool)
    rows[:, -4:] = True
    for photo in x.split(1):
        moved = photo.clone()
        for _ in range(steps):
            moved.requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                saliency = network((moved * 255 - means).contiguous(memory_format=torch.channels_last)).float()
            loss = saliency[:, ~rows].amax() - saliency[:, rows].amax()
            (gradient,) = torch.autograd.grad(loss, moved)
            moved = (moved.detach() - gradient / gradient.norm()).clamp(0, 1)
        with torch.no_grad():
            network((moved * 255 - means).contiguous(memory_format=torch.channels_last))


def loops(weights: Path, repeats: int) -> None:
    """Overhead over a bare loop, and the ratio to ART's PGD."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    import art_crop
    from art_crop import Region
    from art_crop.attacks import SaliencyPeakFGM
    from art_crop.models.cropper import Cropper
    from art_crop.models.fastgaze import load_fastgaze

    x, region = photos(8), Region(0.8, 0, 1, 1)
    tensor = torch.from_numpy(x)
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        estimator = art_crop.load_model("fastgaze", weights=weights, device="cpu", gradient_dtype=name)
        attack = SaliencyPeakFGM(estimator, eps=10, max_iter=10)
        jobs: dict[str, Callable[[], Any]] = {
            "ours": lambda attack=attack: attack.generate(x, region),
            "bare": lambda e=estimator, d=dtype: bare_loop(e, tensor, 10, d),
        }
        times = alternate(jobs, repeats)
        line(f"our loop / bare torch loop, {name}, 8 photos, 10 steps", ratio(times["ours"], times["bare"]))
        per_step = statistics.median(times["ours"]) / 80
        line(f"our loop, {name}: seconds a photo and step; GFLOP/s", f"{per_step:.4f}; {GFLOP / per_step:.0f}")
    # ART as its users have it. Its regressor is for scalars, so the map's 300 cells are a classifier's logits.
    network = torch.nn.Sequential(Cropper(load_fastgaze(weights)), torch.nn.Flatten())
    theirs = PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), (3, *SIZE), 300, clip_values=(0, 1), device_type="cpu", preprocessing=None
    )
    ours = {
        name: art_crop.load_model("fastgaze", weights=weights, device="cpu", gradient_dtype=name)
        for name in ("float32", "bfloat16")
    }
    y = np.zeros((8, 300), np.float32)
    y[:, 158] = 1
    maps = np.zeros((8, SIZE[0] // 16, SIZE[1] // 16), np.float32)
    maps[:, :, -4:] = 8
    common: dict[str, Any] = {
        "norm": 2,
        "eps": 10.0,
        "eps_step": 3.0,
        "max_iter": 10,
        "targeted": True,
        "batch_size": 8,
        "verbose": False,
    }
    jobs = {
        "art": lambda: ProjectedGradientDescent(theirs, **common).generate(x, y),
        "art on ours": lambda: ProjectedGradientDescent(ours["float32"], **common).generate(x, maps),
        "float32": lambda: SaliencyPeakFGM(ours["float32"], eps=10, max_iter=10).generate(x, region),
        "bfloat16": lambda: SaliencyPeakFGM(ours["bfloat16"], eps=10, max_iter=10).generate(x, region),
    }
    times = alternate(jobs, repeats)
    line(
        "ART's PGD on ART's classifier / ours, float32, 10 steps, batch 8",
        ratio(times["art"], times["float32"]),
    )
    line("ART's PGD on ART's classifier / ours, bfloat16 gradients", ratio(times["art"], times["bfloat16"]))
    line("ART's PGD on our estimator / ours, float32", ratio(times["art on ours"], times["float32"]))


def limits(weights: Path, repeats: int) -> None:
    """Forward and backward against the machine's matrix product, and gaze-lite against FastGaze."""
    import art_crop

    x = torch.from_numpy(photos(1))
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)

    def passes(model: Any) -> Callable[[], Any]:
        for parameter in model.parameters():
            parameter.requires_grad_(False)

        def job() -> None:
            moved = x.clone().requires_grad_()
            torch.autograd.grad(model(moved).sum(), moved)

        return job

    jobs: dict[str, Callable[[], Any]] = {
        "product": lambda: a @ b,
        "fastgaze": passes(art_crop.load_model("fastgaze", weights=weights, device="cpu").model),
        "gaze-lite": passes(art_crop.load_model("gaze-lite", device="cpu").model),
    }
    times = alternate(jobs, 4 * repeats)
    product = 2 * 2048**3 / 1e9 / statistics.median(times["product"])
    achieved = GFLOP / statistics.median(times["fastgaze"])
    line("matrix product, float32, GFLOP/s", f"{product:.0f}")
    line("FastGaze forward+backward, GFLOP/s (share of the product's)", f"{achieved:.0f} ({achieved / product:.2f})")
    line("gaze-lite / FastGaze, forward+backward", ratio(times["gaze-lite"], times["fastgaze"]))


def files(weights: Path, photo: Path, repeats: int) -> None:
    """The exact file pipeline: decode, resize, network, crops."""
    import art_crop
    from art_crop.models.cropper import read_as_cropper

    estimator = art_crop.load_model("fastgaze", weights=weights, device="cpu")
    jobs: dict[str, Callable[[], Any]] = {
        "read": lambda: read_as_cropper(photo),
        "all": lambda: estimator.predict_file(photo),
    }
    times = alternate(jobs, 4 * repeats)
    whole, reading = (1000 * statistics.median(times[key]) for key in ("all", "read"))
    line(f"file to crops, {photo.name}: ms (of which decoding and resizing)", f"{whole:.1f} ({reading:.1f})")


def growth(weights: Path) -> None:
    """Time and peak memory with photos, pixels and steps, each in a process of its own."""
    print("\n| photos | size | steps | seconds | s / photo / step | peak memory MiB |\n|---|---|---|---|---|---|")
    cases = [(n, 320, 240, 10) for n in (1, 4, 16)]
    cases += [(2, w, h, 10) for w, h in ((640, 480), (1280, 960), (2560, 1920))]
    cases += [(2, 320, 240, steps) for steps in (5, 20, 40)]
    for n, width, height, steps in cases:
        command = [sys.executable, __file__, "--fastgaze", str(weights), "--case", f"{n},{width},{height},{steps}"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        each = found["seconds"] / n / steps
        print(
            f"| {n} | {width}x{height} | {steps} | {found['seconds']:.2f} | {each:.4f} | {found['mib']:.0f} |",
            flush=True,
        )


def case(weights: Path, text: str) -> None:
    """One row of :func:`growth`, as JSON."""
    import art_crop
    from art_crop.attacks import SaliencyPeakFGM

    n, width, height, steps = map(int, text.split(","))
    estimator = art_crop.load_model("fastgaze", weights=weights, device="cpu")
    x = photos(n, (height, width))
    SaliencyPeakFGM(estimator, eps=10, max_iter=1).generate(x[:1], art_crop.Region(0.8, 0, 1, 1))
    start = time.perf_counter()
    SaliencyPeakFGM(estimator, eps=10, max_iter=steps).generate(x, art_crop.Region(0.8, 0, 1, 1))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "mib": peak_mib()}))


def peak_mib() -> float:
    """Largest memory of this process alone: ``ru_maxrss`` is at least that of the process it was started by."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastgaze", type=Path, required=True, help="fastgaze.vxm")
    parser.add_argument("--photo", type=Path, default=None, help="a photo for the file pipeline")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--library", action="store_true", help="leave the allocator as it is, as in a process that is not our own"
    )
    parser.add_argument("--case", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.library:
        from art_crop.process import prepare_process

        prepare_process()  # for every rival, as the command line and benchmark workers do
    if args.case is not None:
        case(args.fastgaze, args.case)
        return
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    print("| what | median (smallest to largest) |\n|---|---|")
    loops(args.fastgaze, args.repeats)
    limits(args.fastgaze, args.repeats)
    if args.photo is not None:
        files(args.fastgaze, args.photo, args.repeats)
    growth(args.fastgaze)


if __name__ == "__main__":
    main()
