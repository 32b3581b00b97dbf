"""How well quality-lite orders distorted photos that it has not learnt from: Kodak's 24 and BSDS500's last 60.

    python benchmarks/quality_lite.py --kodak DIR --bsds500 DIR

Each photo is distorted in every way at four levels (levels of art_crop.training.distortions), and the score is compared
with the label, which knows the original. SROCC is Spearman's rank correlation; its interval comes from a bootstrap over
the photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

LEVELS = (0.1, 0.35, 0.6, 0.85)
Array = np.ndarray[Any, Any]


def interval(scores: Array, labels: Array, photos: Array, seed: int = 0) -> tuple[float, float]:
    """95% interval of SROCC, by resampling photos with all that was made of them."""
    rng, names = np.random.default_rng(seed), np.unique(photos)
    rows = {name: np.flatnonzero(photos == name) for name in names}
    found = []
    for _ in range(500):
        chosen = np.concatenate([rows[name] for name in rng.choice(names, len(names))])
        found.append(spearmanr(scores[chosen], labels[chosen]).statistic)
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kodak", type=Path, required=True, help="folder of Kodak's photos")
    parser.add_argument("--bsds500", type=Path, required=True, help="folder of BSDS500")
    parser.add_argument("--weights", type=Path, default=None, help="weights other than the embedded ones")
    parser.add_argument("--out", type=Path, default=None, help="Markdown file to write")
    args = parser.parse_args()

    import art_crop
    from art_crop.datasets.bsds500 import BSDS500
    from art_crop.datasets.kodak import Kodak
    from art_crop.training.distortions import DISTORTIONS, label, mixed
    from art_crop.training.quality import HELD_OUT

    options = {} if args.weights is None else {"weights": args.weights}
    model = art_crop.load_model("quality-lite", device="cpu", **options)
    items = {"kodak": list(Kodak(args.kodak)), "bsds500": list(BSDS500(args.bsds500))[-HELD_OUT:]}
    rows, pristine = [], {name: [] for name in items}  # type: ignore[var-annotated]
    for name, photos in items.items():
        for number, item in enumerate(photos):
            pixels = item.load()
            x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
            pristine[name].append(float(model.predict(x.numpy())[0]))
            rng = np.random.default_rng([len(rows), number])
            for kind, distort in {**DISTORTIONS, "mixed": mixed}.items():
                for level in LEVELS:
                    changed = distort(pixels, level, rng)
                    y = torch.from_numpy(changed.copy()).permute(2, 0, 1)[None].float() / 255
                    score = float(model.predict(y.numpy())[0])
                    rows.append((f"{name} {number}", kind, level, score, float(label(x, y)[0])))
    names, kinds, levels, scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    lines = [
        "| distortion | n | SROCC | mean score at levels 0.1, 0.35, 0.6, 0.85 | mean label |",
        "|---|---|---|---|---|",
    ]
    for kind in ["all", *DISTORTIONS, "mixed"]:
        part = np.full(len(rows), True) if kind == "all" else kinds == kind
        value = spearmanr(scores[part], labels[part]).statistic
        low, high = interval(scores[part], labels[part], names[part])
        means = [
            ", ".join(f"{column[part & (levels == level)].mean():.0f}" for level in LEVELS)
            for column in (scores, labels)
        ]
        lines.append(f"| {kind} | {part.sum()} | {value:.3f} [{low:.3f}, {high:.3f}] | {means[0]} | {means[1]} |")
    lines += ["", "Scores of the photos themselves:", ""]
    for name, found in [*pristine.items(), ("all", [*pristine["kodak"], *pristine["bsds500"]])]:
        quarter, half, most = np.quantile(found, [0.25, 0.5, 0.75])
        lines.append(f"- {name}, n = {len(found)}: median {half:.1f}, quartiles {quarter:.1f} and {most:.1f}")
    text = "\n".join(lines)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
