"""How well the embedded heads follow the cropper and people, on OSIE's held-out photos (index % 5 == 0).

    python benchmarks/gaze_lite.py --osie DIR --fastgaze fastgaze.vxm

CC compares the densities exp(map) of gaze-lite and FastGaze cell by cell. NSS and AUC-Judd compare a map, as a density
resampled to the photo's 800x600, with its fixations. FastGaze and the centre bias are measured the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

Array = np.ndarray[Any, Any]


def density_at(saliency: Array, size: tuple[int, int]) -> Array:
    """exp(map) at a photo's size (width, height), cubic between the cells."""
    density = np.exp(saliency.astype(np.float64) - saliency.max())
    fine = torch.nn.functional.interpolate(
        torch.from_numpy(density)[None, None], (size[1], size[0]), mode="bicubic", align_corners=False
    )
    return fine[0, 0].clamp_min(0).numpy()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osie", type=Path, required=True, help="OSIE's folder: stimuli/ and fixations.mat")
    parser.add_argument("--fastgaze", type=Path, default=None, help="fastgaze.vxm; default: as load_model finds it")
    parser.add_argument("--weights", type=Path, default=None, help="gaze-lite weights other than the embedded ones")
    args = parser.parse_args()

    import art_crop
    from art_crop.datasets.osie import OSIE, fixation_density
    from art_crop.metrics.saliency import auc_judd, cc, mean_interval, nss

    photos = OSIE(args.osie)
    options = {} if args.weights is None else {"weights": args.weights}
    models = {
        "FastGaze": art_crop.load_model("fastgaze", weights=args.fastgaze, device="cpu"),
        "gaze-lite": art_crop.load_model("gaze-lite", device="cpu", **options),
        "gaze-lite-human": art_crop.load_model("gaze-lite-human", device="cpu", **options),
    }
    centre = np.mean([fixation_density(item, size=(200, 150)) for item in photos.train], axis=0)
    centre = ndimage.zoom(centre, 4, order=1)
    scores: dict[str, dict[str, list[float]]] = {name: {"nss": [], "auc": [], "cc": []} for name in [*models, "centre"]}
    for item in photos.held_out:
        x = item.load().transpose(2, 0, 1)[None].astype(np.float32) / 255
        maps = {name: model.predict(x)[0] for name, model in models.items()}
        teacher = np.exp(maps["FastGaze"].astype(np.float64))
        for name in scores:
            fine = centre if name == "centre" else density_at(maps[name], item.size)
            scores[name]["nss"].append(nss(fine, item.fixations))
            scores[name]["auc"].append(auc_judd(fine, item.fixations))
            if name != "centre":
                scores[name]["cc"].append(cc(np.exp(maps[name].astype(np.float64)), teacher))

    def cell(values: list[float]) -> str:
        interval = mean_interval(values)
        return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"

    columns: dict[str, Callable[[dict[str, list[float]]], str]] = {
        "CC with FastGaze's exp(map)": lambda s: cell(s["cc"]) if s["cc"] else "-",
        "NSS": lambda s: cell(s["nss"]),
        "AUC-Judd": lambda s: cell(s["auc"]),
    }
    print(f"OSIE, {len(photos.held_out)} held-out photos; means with 95% intervals\n")
    print(f"| model | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    for name, found in scores.items():
        title = "centre bias (mean fixation density of the training photos)" if name == "centre" else name
        print(f"| {title} | {' | '.join(column(found) for column in columns.values())} |")


if __name__ == "__main__":
    main()
