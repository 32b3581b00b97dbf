"""How far an attack on one saliency model holds on another: three models attacked, three scored, and three controls.

Photos: OSIE at 640 px, every fifth one by default (none of them was used to train gaze-lite or to choose the options
here), those that paper 001's rules select on the scored model. Target: the second maximum of its column profile. A
result is rounded to uint8, written as PNG, and scored from the file by the scored model's own pipeline. The attacker
has the attacked model's gradients, and of the scored model one answer: its map of the clean photo. "At target" is
within 10% of the way; of a short way that is less than a cell of FastGaze (32 px), so the share within one tile (16
px) is given as well.

    python benchmarks/transfer.py --osie OSIE --fastgaze fastgaze.vxm --attention-center attention_center.tflite

needs the plugin art-crop-tflite. Rows are kept in --out, one line a photo and scored model, and not computed twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Row = dict[str, Any]
MODELS = ("gaze-lite", "fastgaze", "attention-center")
BUDGETS = (5.0, 10.0, 20.0)
CELL = 16  # columns of finer maps are summed to tiles of this many pixels
BASE: Row = {"max_iter": 10, "loss": "cross_entropy"}
LATE = [f"network.layers.{i}" for i in (12, 15, 20, 22)]
"""FastGaze's deeper half; its ten convolutions count what other networks count early."""
EARLY = [f"network.layers.{name}.operation" for name in ("2_conv_2d", "171_conv_2d", "329_conv_2d")]
"""attention-center's first stages, from 1/2 to 1/8 of the photo's size."""
CENTER: Row = {**BASE, "smoothing": 8.0, "features": EARLY, "feature_weight": 5.0}
OPTIONS: dict[str, Row] = {
    "gaze-lite": BASE,
    "fastgaze": {**BASE, "smoothing": 6.0, "features": LATE, "feature_weight": 3.0},
    "attention-center": CENTER,
    "fastgaze + gaze-lite": {**BASE, "ensemble": ["gaze-lite"]},
    "attention-center + contrast": {
        **BASE,
        "smoothing": 8.0,
        "features": EARLY,
        "feature_weight": 5.0,
        "contrast": 0.5,
    },
}
"""Options for each row, chosen on photos that are not among those measured. After a plus: FastGaze's own surrogate
attacked with it, or the network-free edit beside the gradient."""
LARGE: dict[str, Row] = {
    "fastgaze": {"loss": "margin", "smoothing": 4.0, "feature_weight": 1.0},
    "fastgaze + gaze-lite": {"smoothing": 4.0, "features": "auto", "feature_weight": 3.0},
}
"""What is different from L2 20 on: there cross-entropy is 0 after two steps, and what is left of its gradient leads
nowhere in particular."""
CONTROLS = ("white noise", "smooth noise", "contrast shift")


class Bench:
    """Models and photos of one worker process."""

    def __init__(self, osie: Path, weights: dict[str, Path | None], threads: int) -> None:
        import torch

        import art_crop
        from art_crop.datasets.osie import OSIE

        torch.set_num_threads(threads)
        self.models = {name: art_crop.load_model(name, device="cpu", weights=weights.get(name)) for name in MODELS}
        self.photos = OSIE(osie)
        self.folder = Path(tempfile.mkdtemp())

    def photo(self, index: int) -> np.ndarray:
        """OSIE's photo at 640 px, the width of the paper's."""
        image = Image.fromarray(self.photos[index].load())
        height = round(image.height * 640 / image.width)
        return np.asarray(image.resize((640, height), Image.Resampling.LANCZOS))

    def profile(self, name: str, pixels: np.ndarray) -> np.ndarray:
        """Column profile of a model's density for the written photo."""
        path = self.folder / "photo.png"
        Image.fromarray(pixels).save(path, compress_level=1)
        model = self.models[name]
        saliency = model.predict_file(path).saliency_map.astype(np.float64)
        columns = (np.exp(saliency) if model.rule.log_density else saliency).sum(0)
        tiles = round(pixels.shape[1] / CELL)
        return columns.reshape(tiles, -1).sum(1) if len(columns) > tiles else columns


def attacks(bench: Bench, attacked: str, scored: str, eps: float, options: Row) -> Any:
    """The attack of a row of the table."""
    from art_crop.attacks import ContrastShift, GaussianNoise, SaliencyPeakFGM

    judge = bench.models[scored]
    common: Row = {"by": "column", "eps": eps, "judge": judge}
    if attacked == "contrast shift":
        return ContrastShift(judge, **common)
    if attacked in CONTROLS:
        return GaussianNoise(judge, smooth=8.0 if attacked == "smooth noise" else 0.0, **common)
    chosen = {**OPTIONS[attacked], **(LARGE.get(attacked, {}) if eps >= 20 else {}), **options}
    chosen["ensemble"] = [bench.models[name] for name in chosen.get("ensemble", ())]
    return SaliencyPeakFGM(bench.models[attacked.split(" ")[0]], **common, **chosen)


def rows(bench: Bench, index: int, scored: str, options: dict[str, Row], budgets: tuple[float, ...]) -> Iterator[Row]:
    """Every row of the table for one photo and scored model; none where the rules refuse the photo."""
    from art_crop import Region
    from art_crop.attacks.gaussian_noise import band_mask
    from art_crop.datasets.selection import SelectedTarget, select_target

    pixels = bench.photo(index)
    profile = bench.profile(scored, pixels)
    target = select_target(profile, (pixels.shape[1], pixels.shape[0]))
    if not isinstance(target, SelectedTarget):
        return
    centre, reach = (target.target + 0.5) / len(profile), 0.1 * abs(target.target - target.peak) / len(profile)
    region = Region(max(0.0, centre - reach), 0.0, min(1.0, centre + reach), 1.0)
    photo = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    band = band_mask([region], pixels.shape[:2])
    for attacked in options:
        if "+" in attacked and scored in ("gaze-lite", attacked.split(" ")[0]):
            continue  # where the gradient alone does it
        for eps in budgets:
            attack = attacks(bench, attacked, scored, eps, options[attacked])
            found = attack.generate(photo, region, mask=band if attacked == "smooth noise" else None)
            written = (found[0] * 255).round().astype(np.uint8).transpose(1, 2, 0)
            end = int(bench.profile(scored, written).argmax())
            yield {
                "attacked": attacked,
                "eps": eps,
                "l2": float(np.linalg.norm((written.astype(np.float64) - pixels) / 255)),
                "way": abs(target.target - target.peak) * pixels.shape[1] / len(profile),
                "shift": (end - target.peak) / (target.target - target.peak),
                "ratio": target.ratio,
            }


# -- the table -------------------------------------------------------------------------------------------------------


def share(found: list[Row], slack: float = 0) -> str:
    """Share of results within 10% of the way, or ``slack`` pixels, of the target, with its Wilson 95% interval."""
    from art_crop.metrics.saliency import wilson_interval

    if not found:
        return "-"
    hits = [abs(row["shift"] - 1) <= max(0.1, slack / row["way"]) + 1e-9 for row in found]
    interval = wilson_interval(sum(hits), len(found))
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def report(found: list[Row]) -> list[str]:
    """The table as Markdown lines."""
    lines = []
    for scored in MODELS:
        mine = [row for row in found if row["scored"] == scored]
        if not mine:
            continue
        median = float(np.median([row["ratio"] for row in {row["index"]: row for row in mine}.values()]))
        lines += [
            f"### {scored} scored",
            "",
            f"n = {len({row['index'] for row in mine})} photos; median ratio of second to first peak {median:.3f}.",
            "",
            f"| attacked | L2 (largest written) | clipped mean shift | at target | or within {CELL} px "
            "| strong first peak | near tie |",
            "|---|---|---|---|---|---|---|",
        ]
        for attacked in (*OPTIONS, *CONTROLS):
            for eps in sorted({row["eps"] for row in mine}):
                cell = [row for row in mine if row["attacked"] == attacked and row["eps"] == eps]
                if not cell:
                    continue
                halves = [row["ratio"] >= median for row in cell]
                strong = [row for row, near in zip(cell, halves, strict=True) if not near]
                ties = [row for row, near in zip(cell, halves, strict=True) if near]
                white = " (white box)" if attacked == scored else ""
                mean = np.mean([min(max(row["shift"], 0), 1) for row in cell])
                largest = max(row["l2"] for row in cell)
                lines.append(
                    f"| {attacked}{white} | {eps:g} ({largest:.3f}) | {mean:.3f} "
                    f"| {share(cell)} | {share(cell, CELL)} | {share(strong)} | {share(ties)} |"
                )
        lines.append("")
    return lines


# -- running ---------------------------------------------------------------------------------------------------------

_bench: Bench | None = None


def _start(osie: Path, weights: dict[str, Path | None], threads: int) -> None:
    global _bench
    _bench = Bench(osie, weights, threads)


def _work(index: int, scored: str, options: dict[str, Row], budgets: tuple[float, ...]) -> list[Row]:
    assert _bench is not None
    key = {"index": index, "scored": scored}
    return [{**key, **row} for row in rows(_bench, index, scored, options, budgets)] or [{**key, "refused": True}]


def main() -> None:
    """Compute what is missing and print the table."""
    from tqdm.auto import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osie", type=Path, required=True, help="OSIE's folder: stimuli/ and fixations.mat")
    parser.add_argument("--fastgaze", type=Path, default=None, help="fastgaze.vxm; default: as load_model finds it")
    parser.add_argument("--attention-center", type=Path, default=None, help="attention_center.tflite")
    parser.add_argument("--scored", choices=MODELS, nargs="+", default=list(MODELS))
    parser.add_argument("--first", type=int, default=0, help="first photo")
    parser.add_argument("--every", type=int, default=5, help="only every n-th photo from there on")
    parser.add_argument(
        "--options", type=json.loads, default=None, help="JSON: attacked model -> options; to try others"
    )
    parser.add_argument("--budgets", type=float, nargs="+", default=list(BUDGETS), help="L2 budgets")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--out", type=Path, default=Path("transfer-results"), help="folder of raw rows")
    args = parser.parse_args()
    options = args.options or {name: {} for name in (*OPTIONS, *CONTROLS)}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "transfer.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["index"], row["scored"]) for row in found}
    jobs = [(i, s) for i in range(args.first, 700, args.every) for s in args.scored if (i, s) not in done]
    weights = {"fastgaze": args.fastgaze, "attention-center": args.attention_center}
    threads = max(1, (os.cpu_count() or 2) // args.workers)
    context = multiprocessing.get_context("spawn")
    with (
        path.open("a") as file,
        ProcessPoolExecutor(args.workers, context, _start, (args.osie, weights, threads)) as pool,
    ):
        futures = [pool.submit(_work, *job, options, tuple(args.budgets)) for job in jobs]
        for future in tqdm(as_completed(futures), total=len(jobs), desc="photos x scored models", disable=not jobs):
            for row in future.result():
                file.write(json.dumps(row) + "\n")
                found.append(row)
            file.flush()
    lines = report([row for row in found if "refused" not in row])
    print(" ".join(["python", *sys.argv]))
    print("\n".join(lines))
    (args.out / "transfer.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
