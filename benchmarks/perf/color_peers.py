"""Smallest changes beside those of other libraries: how large, how visible, and for how many passes, in one run.

    pip install ./plugins/art-crop-efficientnet foolbox && pip install --no-deps torchattacks
    python benchmarks/perf/color_peers.py --fastgaze fastgaze.vxm --osie osie/ --out benchmarks/results/color-peers.md

What is compared is the file: photos in whole grey levels. The classifier is EfficientNet-Lite0; the cropper, by way of
its view as a classifier, FastGaze. Libraries that are not installed have a row that says so.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peers_saliency
import torch
from art.attacks.evasion import CarliniL2Method
from peers import SHARED, stamp
from race import Array, Passes, photos
from torch import nn

import art_crop
from art_crop.attacks import ColorVarianceAttack, MinimumColorDifference, SaliencyPeakFGM
from art_crop.estimators import SaliencyClassifierView
from art_crop.estimators.placement import frozen
from art_crop.metrics.image import ciede2000_map, l2, ssim
from art_crop.objectives import LabelOut, PeakInRegion

SIZE = (256, 256)
FEW = 20
"""Steps of the second rows of attacks whose result depends on how many they take."""
ROUNDS = 5
"""Constants that Carlini and Wagner's attack tries in foolbox and ART; torchattacks has one, 1."""
TEXT = """Everybody attacks the same photos, one at a time, and each result is rounded to whole grey levels, as a file
holds it. *Fooled*: photos with success, before rounding and after. *Passes*: photos through the network, and gradients
back, for one photo, counted by hooks; mean. The other columns are medians over all photos that succeed after rounding,
of the rounded photo against the original: L2 (pixels in [0, 1]), L2 norm and mean of the CIEDE2000 map, SSIM.

Rounding takes back changes of less than half a grey level, and with them many successes of attacks that know nothing
of it. So each row of another library stands there twice: as it is, and *scaled*: where the rounded photo fails, the
change is multiplied by the smallest factor with which it succeeds (bisection; what that costs is not in the passes).
In foolbox 3.3.4 the projection of FMN onto the L2 ball divides a norm by itself, so that it projects nothing and more
steps gain nothing; it stands here with a projection that works."""
HEAD = "| attack | fooled, before → after rounding | passes, forward + backward | L2 | L2 of ΔE | mean ΔE | SSIM |"
Attack = Callable[[Array, int], Array]
Judge = Callable[[Array, int], bool]


@dataclass
class Contender:
    """One row: what it is called, how it attacks a photo (1, 3, H, W) with a class, whether its result is rounded."""

    name: str
    attack: Attack | None
    whole: bool = False
    found: list[Array] = field(default_factory=list)
    forward: int = 0
    backward: int = 0


def rounded(x: Array) -> Array:
    """Photos as a file holds them."""
    return (np.clip(x, 0, 1) * 255).round().astype(np.float32) / 255


def scaled(x: Array, found: Array, wanted: Callable[[Array], bool]) -> Array:
    """The change made so much larger that the rounded photo succeeds; as it is where nothing up to 64 times does."""
    if wanted(rounded(found)):
        return rounded(found)
    low, high = 1.0, 1.125
    while not wanted(rounded(x + high * (found - x))):
        low, high = high, high * 1.25
        if high > 64:
            return rounded(found)
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if wanted(rounded(x + middle * (found - x))) else (middle, high)
    return rounded(x + high * (found - x))


def foolbox_attacks(network: nn.Module, steps: int, carlini: int, *, targeted: bool) -> dict[str, Attack | None]:
    """DDN, FMN and Carlini-Wagner of foolbox.

    The L2 projection of FMN in foolbox 3.3.4 divides a norm by itself and so projects nothing; here it is repaired.
    """
    counts = FEW, steps
    kinds = "DDN", "FMN with a projection"
    names = [f"foolbox {kind}, {count} steps" for kind in kinds for count in counts]
    names.append(f"foolbox C&W, {ROUNDS} x {carlini} steps")
    library = _library("foolbox")
    if library is None:
        return dict.fromkeys(names)

    class FMN(library.attacks.L2FMNAttack):  # type: ignore[misc]
        def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
            norms = (x - x0).flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
            factor = (epsilon / norms).minimum(1).reshape((-1,) + (1,) * (x.ndim - 1))
            return x0 + (x - x0) * factor

    model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
    kind = library.criteria.TargetedMisclassification if targeted else library.criteria.Misclassification
    attacks = (
        *(library.attacks.DDNAttack(steps=count) for count in counts),
        *(FMN(steps=count) for count in counts),
        library.attacks.L2CarliniWagnerAttack(binary_search_steps=ROUNDS, steps=carlini),
    )

    def one(attack: Any) -> Attack:
        def run(x: Array, y: int) -> Array:
            raw, clipped, _ = attack(model, torch.from_numpy(x), kind(torch.tensor([y])), epsilons=None)
            return (raw if clipped is None else clipped).detach().numpy()

        return run

    return {name: one(attack) for name, attack in zip(names, attacks, strict=True)}


def smallest(estimator: Any, steps: int) -> dict[str, SaliencyPeakFGM]:
    """Our smallest L2, with few steps and with as many as the others."""
    return {
        f"SaliencyPeakFGM, minimal, {count} steps": SaliencyPeakFGM(estimator, minimal=True, max_iter=count)
        for count in (FEW, steps)
    }


def torchattacks_carlini(network: nn.Module, steps: int) -> Attack | None:
    """Carlini-Wagner of torchattacks, with its one constant."""
    library = _library("torchattacks")
    if library is None:
        return None
    attack = library.CW(network, c=1, steps=steps)
    return lambda x, y: attack(torch.from_numpy(x), torch.tensor([y])).detach().numpy()


def art_carlini(estimator: Any, carlini: int, *, targeted: bool) -> Attack:
    """Carlini-Wagner of ART."""
    attack = CarliniL2Method(
        estimator, targeted=targeted, binary_search_steps=ROUNDS, max_iter=carlini, batch_size=1, verbose=False
    )
    return lambda x, y: attack.generate(x, np.array([y]))


def measured(contenders: Sequence[Contender], network: nn.Module, x: Array, y: Sequence[int]) -> None:
    """Let everybody attack each photo, and count the passes."""
    for i, label in enumerate(y):
        for contender in contenders:
            if contender.attack is None:
                continue
            with Passes(network) as passes:
                contender.found.append(contender.attack(x[i : i + 1].copy(), label))
            contender.forward += passes.forward
            contender.backward += passes.backward
        print(f"photo {i + 1} of {len(y)}", file=sys.stderr, flush=True)


def table(contenders: Sequence[Contender], x: Array, y: Sequence[int], judge: Judge) -> list[str]:
    """Markdown rows; those of other libraries twice."""
    lines = [HEAD, "|---|---|---|---|---|---|---|"]
    for c in contenders:
        if c.attack is None:
            lines.append(f"| {c.name} | not installed: `pip install {c.name.split()[0]}` |")
            continue
        raw = sum(judge(found, label) for found, label in zip(c.found, y, strict=True))
        for by_scale in (False,) if c.whole else (False, True):
            files = [
                scaled(x[i : i + 1], found, lambda one, i=i: judge(one, y[i])) if by_scale else rounded(found)
                for i, found in enumerate(c.found)
            ]
            hits = [i for i, file in enumerate(files) if judge(file, y[i])]
            pairs = [_pixels(x[i], files[i][0]) for i in hits]
            maps = [ciede2000_map(*pair) for pair in pairs]
            numbers = (
                [l2(*pair) for pair in pairs],
                [float(np.linalg.norm(one)) for one in maps],
                [float(one.mean()) for one in maps],
                [ssim(*pair) for pair in pairs],
            )
            cells = [f"{np.median(some):.4g}" if some else "—" for some in numbers]
            cells[3] = f"{np.median(numbers[3]):.5f}" if hits else "—"
            name = c.name + (", scaled" if by_scale else "")
            passes = f"{c.forward / len(y):.0f} + {c.backward / len(y):.0f}"
            lines.append(f"| {name} | {raw} → {len(hits)} of {len(y)} | {passes} | {' | '.join(cells)} |")
    return lines


def classifier(x: Array, steps: int, carlini: int) -> list[str]:
    """The table of EfficientNet-Lite0: the label that it gives a photo must go."""
    estimator = art_crop.load_model("efficientnet-lite0", device="cpu")
    y = estimator.predict(x).argmax(1).tolist()

    def judge(photo: Array, label: int) -> bool:
        return int(estimator.predict(photo.astype(np.float32)).argmax()) != label

    def ours(attack: Any) -> Attack:
        return lambda x, y: attack.generate(x, LabelOut([y], loss=attack.loss))

    own = {
        f"MinimumColorDifference, {steps - 1} steps": MinimumColorDifference(estimator, max_iter=steps - 1),
        **smallest(estimator, steps),
        "ColorVarianceAttack": ColorVarianceAttack(estimator, max_iter=steps),
    }
    contenders = [Contender(name, ours(attack), whole=True) for name, attack in own.items()]
    network = estimator.model
    with frozen(network):
        others = foolbox_attacks(network, steps, carlini, targeted=False)
        others[f"torchattacks CW, {steps} steps"] = torchattacks_carlini(network, steps)
        others[f"ART CarliniL2Method, {ROUNDS} x {carlini} steps"] = art_carlini(estimator, carlini, targeted=False)
        contenders += [Contender(name, attack) for name, attack in others.items()]
        measured(contenders, network, x, y)
    return table(contenders, x, y, judge)


def cropper(weights: Path, x: Array, steps: int, carlini: int) -> list[str]:
    """The table of FastGaze: the peak must go to that one of nine regions where the map is lowest."""
    estimator = art_crop.load_model("fastgaze", weights=weights, device="cpu")
    view = SaliencyClassifierView(estimator, peers_saliency.REGIONS)
    y = view.predict(x).argmin(1).tolist()

    def judge(photo: Array, label: int) -> bool:
        seen = estimator.evaluate(
            estimator.to_tensor(photo.astype(np.float32)), PeakInRegion([peers_saliency.REGIONS[label]])
        )
        return bool(seen.success[0])

    def ours(attack: Any) -> Attack:
        return lambda x, y: attack.generate(x, peers_saliency.REGIONS[y])

    own = {
        **smallest(estimator, steps),
        f"MinimumColorDifference, {steps - 1} steps": MinimumColorDifference(estimator, max_iter=steps - 1),
    }
    contenders = [Contender(name, ours(attack), whole=True) for name, attack in own.items()]
    with frozen(estimator.model):
        others = foolbox_attacks(view.model.eval(), steps, carlini, targeted=True)
        others[f"ART CarliniL2Method, {ROUNDS} x {carlini} steps"] = art_carlini(view, carlini, targeted=True)
        contenders += [Contender(name, attack) for name, attack in others.items()]
        measured(contenders, estimator.model.network, x, y)  # whose forward every way to the map goes through
    return table(contenders, x, y, judge)


def _pixels(*photos: Array) -> tuple[Array, ...]:
    return tuple(photo.transpose(1, 2, 0) for photo in photos)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "images" / "imagenet_sample", help="folder of photos")
    parser.add_argument("--n", type=int, default=20, help="photos for the classifier")
    parser.add_argument("--fastgaze", type=Path, help="fastgaze.vxm; without it there is no cropper's table")
    parser.add_argument("--osie", type=Path, default=SHARED / "images" / "osie", help="folder of the cropper's photos")
    parser.add_argument("--n-crops", type=int, default=20, help="photos for the cropper")
    parser.add_argument("--steps", type=int, default=100, help="of DDN, FMN and those here that take a number")
    parser.add_argument("--carlini-steps", type=int, default=100, help=f"for each of {ROUNDS} constants")
    parser.add_argument("--out", type=Path, help="Markdown file to write; default: print only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    given = f"{' --fastgaze fastgaze.vxm' if args.fastgaze else ''} --n {args.n} --n-crops {args.n_crops}"
    command = f"python benchmarks/perf/color_peers.py{given} --steps {args.steps} --carlini-steps {args.carlini_steps}"
    lines = ["# Smallest changes beside other libraries", "", stamp(command), "", TEXT]
    lines += ["", f"## EfficientNet-Lite0: the label changes; {args.n} photos of 256x256 px", ""]
    lines += classifier(rounded(photos(args.photos, args.n, SIZE)), args.steps, args.carlini_steps)
    _write(lines, args.out)
    if args.fastgaze:
        width, height = peers_saliency.SIZE
        lines += ["", f"## FastGaze: the peak goes to a region; {args.n_crops} photos of {width}x{height} px", ""]
        x = rounded(photos(args.osie, args.n_crops, peers_saliency.SIZE))
        lines += cropper(args.fastgaze, x, args.steps, args.carlini_steps)
        _write(lines, args.out)
    print("\n".join(lines))


def _write(lines: Sequence[str], out: Path | None) -> None:
    """What there is so far: the second table takes long."""
    if out:
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
