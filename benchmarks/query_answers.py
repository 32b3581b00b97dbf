"""How many queries a cropper takes that answers with a map, with its salient point, or with its crops alone.

    python benchmarks/query_answers.py --osie DIR --fastgaze fastgaze.vxm --out benchmarks/results/query-answers.md

Photos that paper 001's rules accept, 640 pixels wide. Map and point: the salient point must come to the columns about
the second maximum, within 10% of the way. Crops: those of 0.56, 1 and 2 must all show a box of 0.3 x 0.15 about it.
Success is decided by the deployed rule on the uint8 photo that was asked about, inside the budget.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import art_crop
from art_crop.attacks import TPEPixelSearch
from art_crop.datasets.folder import Folder
from art_crop.datasets.selection import SelectedTarget, column_profile, select_target
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxSaliencyRegressor
from art_crop.metrics.intervals import wilson_interval
from art_crop.objectives import CropContainsRegion, PeakInRegion

sys.path.insert(0, str(Path(__file__).parent / "perf"))
from peers import stamp

Array = np.ndarray[Any, Any]
RATIOS = (0.56, 1.0, 2.0)
BOX = (0.3, 0.15)


def chosen(model: Any, folder: Path, every: int, count: int) -> list[tuple[Array, art_crop.Region, art_crop.Region]]:
    """Photos (3, H, W), the band about each target, and the box about its highest cell."""
    found = []
    for item in list(Folder(folder))[::every]:
        image = Image.fromarray(item.load())
        image = image.resize((640, round(640 * image.height / image.width)), Image.Resampling.LANCZOS)
        x = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
        saliency = model.output(x[None]).saliency[0].double().numpy()
        target = select_target(column_profile(np.exp(saliency)), image.size)
        if not isinstance(target, SelectedTarget):
            continue
        columns = saliency.shape[1]
        centre, reach = (target.target + 0.5) / columns, 0.1 * abs(target.target - target.peak) / columns
        band = art_crop.Region(max(0.0, centre - reach), 0.0, min(1.0, centre + reach), 1.0)
        row = (int(saliency[:, target.target].argmax()) + 0.5) / saliency.shape[0]
        left, top = (min(max(at - side / 2, 0.0), 1 - side) for at, side in zip((centre, row), BOX, strict=True))
        found.append((x, band, art_crop.Region(left, top, left + BOX[0], top + BOX[1])))
        if len(found) == count:
            break
    return found


def asked_for(model: Any, answer: str) -> BlackBoxSaliencyRegressor:
    """The cropper as a service that gives this much and no more."""

    def points(x: Array) -> Array:
        output = model.output(x)
        places = [divmod(int(flat.argmax()), len(output.x)) for flat in output.saliency.flatten(1)]
        return np.array([[int(output.x[column]), int(output.y[row])] for row, column in places], np.float32)

    functions = {"map": model.predict, "point": points, "crops": lambda x: model.crop(x, RATIOS)}
    return BlackBoxSaliencyRegressor(functions[answer], returns=answer, ratios=RATIOS, log_density=True)  # type: ignore[arg-type]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osie", type=Path, required=True, help="folder of photos")
    parser.add_argument("--fastgaze", type=Path, required=True, help="its weights")
    parser.add_argument("--every", type=int, default=7)
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--eps", type=float, default=10.0)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--answers", default="map,point,crops")
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = art_crop.load_model("fastgaze", device="cpu", weights=args.fastgaze)
    photos = chosen(model, args.osie, args.every, args.n)
    command = f"python benchmarks/query_answers.py --osie DIR --fastgaze FILE --every {args.every} --n {args.n}"
    lines = [
        stamp(f"{command} --eps {args.eps:g} --queries {args.queries} --seed {args.seed} --answers {args.answers}"),
        "",
        f"FastGaze, L2 {args.eps:g} in whole levels, at most {args.queries} queries; 95% intervals.",
        "",
        "| answer | n | already | success | within 100 | within 300 | median queries of successes | s a photo |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for answer in args.answers.split(","):
        asked, taken, seconds, already, impossible = asked_for(model, answer), [], 0.0, 0, 0
        for x, band, box in photos:
            objective: Any = PeakInRegion([band], by="cell")
            if answer == "crops":
                objective = CropContainsRegion([box], RATIOS)
                try:
                    objective(model.output(x[None]))
                except InvalidInputError:  # no window of a ratio can hold the box
                    impossible += 1
                    continue
            attack = TPEPixelSearch(asked, eps=args.eps, max_queries=args.queries, seed=args.seed)
            started = time.perf_counter()
            changed = attack.generate(x[None], objective)
            seconds += time.perf_counter() - started
            result = attack.results[0]
            if result.success_before:
                already += 1
                continue
            assert float(np.linalg.norm(changed[0].astype(np.float64) - x)) <= args.eps * (1 + 1e-6)
            good = result.success and bool(asked.evaluate(changed, objective).success[0])
            taken.append(result.queries if good else math.inf)
        cells = [wilson_interval(sum(q <= most for q in taken), len(taken)) for most in (args.queries, 100, 300)]
        shares = " | ".join(f"{100 * c.estimate:.0f}% [{100 * c.low:.0f}, {100 * c.high:.0f}]" for c in cells)
        middle = np.median([q for q in taken if q < math.inf]) if min(taken, default=math.inf) < math.inf else math.nan
        left = f"{already}" + (f" ({impossible} impossible)" if impossible else "")
        lines.append(f"| {answer} | {len(taken)} | {left} | {shares} | {middle:.0f} | {seconds / len(photos):.1f} |")
        print(lines[-1], flush=True)
    if args.out is not None:
        args.out.write_text("# Asking a cropper that says little\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
