"""Top-1 accuracy of a classifier on photos whose file names begin with the WordNet id of what they show.

    pip install ./plugins/art-crop-efficientnet ./plugins/art-crop-torchvision
    python benchmarks/imagenet_sample.py --model efficientnet-lite0 --out benchmarks/results/imagenet-sample.md
    python benchmarks/imagenet_sample.py --model torchvision-classifier --architecture convnext_tiny

Any model with ImageNet's 1000 classes in their usual order will do. The photos: one a class of 200 classes, from
github.com/EliSchwartz/imagenet-sample-images (every fifth in the order of names).
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from art_crop_efficientnet.classes import imagenet_classes

import art_crop
from art_crop.images import load_photo
from art_crop.metrics.intervals import wilson_interval

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ART_CROP_SHARED") or ROOT.parent / "shared")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficientnet-lite0")
    parser.add_argument("--architecture", help="of torchvision-classifier")
    parser.add_argument("--weights", help="path of a weight file, where the model takes one")
    parser.add_argument("--photos", type=Path, default=SHARED / "images" / "imagenet_sample")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="Markdown file to write; default: print only")
    args = parser.parse_args()

    options = {key: value for key in ("architecture", "weights") if (value := getattr(args, key)) is not None}
    estimator = art_crop.load_model(args.model, device=args.device, **options)
    classes = imagenet_classes()
    index = {name.split()[0]: i for i, name in enumerate(classes)}
    paths = sorted(path for path in args.photos.iterdir() if path.name.split("_")[0] in index)
    if not paths:
        parser.error(f"--photos: no file in {args.photos} begins with a WordNet id of ImageNet")

    ranks, start = [], time.perf_counter()
    for path in paths:
        photo = load_photo(path).pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
        logits = estimator.predict(photo)[0]
        ranks.append(int((logits > logits[index[path.name.split("_")[0]]]).sum()))
    seconds = time.perf_counter() - start

    rows = ["| | right | share | 95% interval (Wilson) |", "|---|---|---|---|"]
    for k in (1, 5):
        right = sum(rank < k for rank in ranks)
        share = wilson_interval(right, len(paths))
        rows.append(
            f"| top-{k} | {right} of {len(paths)} | {share.estimate:.1%} | {share.low:.1%} to {share.high:.1%} |"
        )
    missed = [f"{p.stem.split('_', 1)[1]} ({rank + 1})" for p, rank in zip(paths, ranks, strict=True) if rank]
    pace = f"{1000 * seconds / len(paths):.0f} ms a photo, decoding included"
    command = " ".join(
        ["python benchmarks/imagenet_sample.py", f"--model {args.model}", *(f"--{k} {v}" for k, v in options.items())]
    )
    lines = [
        f"# ImageNet sample: {estimator.name}",
        "",
        f"`{command}`: {len(paths)} photos, one a class of {len(paths)} classes.",
        "",
        *rows,
        "",
        f"Weights SHA-256 `{estimator.weights_sha256}`. {pace}.",
        "",
        f"Not first ({len(missed)}): {', '.join(missed)}. In brackets: the place of the right class.",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
