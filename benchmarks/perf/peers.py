"""Speed beside other libraries, in one run: ratios to this project's time, and what each attack achieved.

    pip install ./plugins/art-crop-efficientnet foolbox && pip install --no-deps torchattacks
    python benchmarks/perf/peers.py --fastgaze fastgaze.vxm --photos photos/ --out benchmarks/results/peers.md

Two parts. Saliency: SaliencyPeakFGM, and ART's gradient attacks on the same estimator, through its view as a classifier
and on the regressor itself. Classifier: PGD on EfficientNet-Lite0 by this project's gradient path, ART, torchattacks
and foolbox, whichever are installed. How they are timed: ``race.py``. (torchattacks asks for a release of requests from
2021, which PGD does not use: hence ``--no-deps``.)
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import peers_classifier
import peers_saliency
import torch
from race import photos

import art_crop

SHARED = Path(os.environ.get("ART_CROP_SHARED") or Path(__file__).resolve().parents[3] / "shared")
TEXT = """Time / ours: an attack's time over that of SaliencyPeakFGM with as many steps, or of this project's loop, in
the same turn, below 1 where it is faster; median and quartiles of turns. In a turn everybody attacks the same photos,
in an order that changes; each turn has new photos. Passes: photos through the network and gradients back, for one
photo, counted by hooks before anything is timed; who takes another number of gradients than the rest ends the run.

Saliency: photos of 320x240 px, L2 budget 2 (1.06 grey levels a value), 10 steps or 1. The target is that one of nine
regions where the map is lowest. Peak and L2 as a file would hold the photo: rounded to whole grey levels. ART steps by
a quarter of the budget. *View*: `SaliencyClassifierView`, cross-entropy; *regressor*: the estimator itself, with a map
to come near to. (ART's BasicIterativeMethod and MomentumIterativeMethod run there too, by the same loop.)
SaliencyPeakFGM ends with a pass that judges its result; FastGradientMethod does not look at its own.

Classifier: PGD, Linf 4/255, 10 steps of 1/255, no random start, float32, photos of 256x256 px, against the label that
the network gives the photo. Each library has its own copy of the network, parameters as torch leaves them; the last
rows show what freezing them by hand changes (torchattacks asks for no gradients of parameters anyway). On a CPU this
project sends one photo at a time through a network, so that a photo's result does not depend on its batch; the other
libraries send the whole batch."""


def versions(names: Sequence[str]) -> str:
    """Installed versions of distributions."""
    listed = {name: [d.version for d in metadata.distributions(name=name)][:1] for name in names}
    return ", ".join(f"{name} {found[0]}" if found else f"{name} missing" for name, found in listed.items())


def stamp(command: str) -> str:
    """Say how a page was made: the command, the machine, the libraries and how busy it was."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    load = f"load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "load unknown"
    peers = versions(("adversarial-robustness-toolbox", "torchattacks", "foolbox"))
    return f"`{command}`; {machine}, torch {torch.__version__}, {peers}; {load}."


def page(args: argparse.Namespace) -> list[str]:
    """Everything, as Markdown."""
    torch.set_num_threads(args.threads[0])
    command = f"python benchmarks/perf/peers.py{' --fastgaze fastgaze.vxm' if args.fastgaze else ''}"
    lines = ["# Speed beside other libraries", "", stamp(f"{command} --repeats {args.repeats}"), "", TEXT]
    models = {"FastGaze": ("fastgaze", {"weights": args.fastgaze}, 1)} if args.fastgaze else {}
    for title, (name, options, n) in {**models, "gaze-lite": ("gaze-lite", {}, 2)}.items():
        load = {"device": "cpu", **options}
        estimator = art_crop.load_model(name, **load)
        half = art_crop.load_model(name, gradient_dtype="bfloat16", **load)
        lines += ["", f"## Saliency: {title}, batch {n}, {_threads(args.threads[0])}", ""]
        lines += peers_saliency.table(
            estimator, half, photos(args.photos, 2 * n * args.repeats, peers_saliency.SIZE), n
        )
        print("\n".join(lines[-14:]), file=sys.stderr, flush=True)
    try:
        network = importlib.import_module("art_crop_efficientnet.network")
        model = importlib.import_module("art_crop_efficientnet.model")
    except ImportError:
        return [*lines, "", "## Classifier: not installed: `pip install ./plugins/art-crop-efficientnet`"]
    for threads in args.threads:
        torch.set_num_threads(threads)
        for n, turns in ((1, 2 * args.repeats), (8, args.repeats)):
            estimator = art_crop.load_model("efficientnet-lite0", device="cpu")
            lines += ["", f"## Classifier: EfficientNet-Lite0, batch {n}, {_threads(threads)}", ""]
            lines += peers_classifier.table(
                estimator,
                lambda: network.PhotoClassifier(model.load_network(model.published_weights())).eval(),
                photos(args.photos, n * turns, peers_classifier.SIZE),
                n,
            )
            print("\n".join(lines[-13:]), file=sys.stderr, flush=True)
    return lines


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastgaze", type=Path, help="fastgaze.vxm; without it only gaze-lite is attacked")
    parser.add_argument("--photos", type=Path, default=SHARED / "images" / "imagenet_sample", help="folder of photos")
    parser.add_argument("--repeats", type=int, default=3, help="turns of batch 8; twice as many of the others")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="the saliency part takes the first")
    parser.add_argument("--out", type=Path, help="Markdown file to write; default: print only")
    args = parser.parse_args()
    text = "\n".join(page(args)) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
