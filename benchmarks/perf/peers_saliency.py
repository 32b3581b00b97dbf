"""The saliency part of ``peers.py``: SaliencyPeakFGM and ART's gradient attacks on one cropper."""

from __future__ import annotations

from typing import Any

import numpy as np
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from race import Array, Batch, Contender, race, rows

from art_crop import Region
from art_crop.attacks import SaliencyPeakFGM
from art_crop.estimators import PyTorchSaliencyRegressor, SaliencyClassifierView, region_grid
from art_crop.objectives import PeakInRegion

STEPS, L2 = 10, 2.0
"""Gradient steps, and the budget over the whole photo: 1.06 grey levels a value."""
SIZE = (320, 240)
"""Width and height of the photos, which the networks need not resize."""
REGIONS = region_grid(3, 3)
HEAD = "| attack | time / ours | passes a photo, forward + backward | peak in the region | L2, median |"


def contenders_on(
    estimator: PyTorchSaliencyRegressor, half: PyTorchSaliencyRegressor, view: SaliencyClassifierView
) -> tuple[list[Contender], list[Contender]]:
    """Those with ten steps and those with one; ``half``: the same model with gradients in bfloat16."""

    def ours(name: str, on: PyTorchSaliencyRegressor, steps: int = STEPS, quantize: bool = False) -> Contender:
        attack = SaliencyPeakFGM(on, eps=L2, max_iter=steps, quantize=quantize)
        return Contender(name, on.model, lambda b: attack.generate(b.x, [REGIONS[k] for k in b.y]), steps)

    def art(kind: Any, on: Any, steps: int = STEPS) -> Contender:
        walk = {} if steps == 1 else {"eps_step": L2 / 4, "max_iter": steps, "verbose": False}
        attack = kind(on, norm=2, eps=L2, targeted=True, batch_size=32, **walk)
        kind = type(getattr(attack, "_attack", attack))  # ART chooses between its torch and its numpy loop
        name = f"ART {kind.__name__}, {'view' if on is view else 'regressor'}"
        return Contender(name, estimator.model, lambda b: attack.generate(b.x, b.y if on is view else b.maps), steps)

    many = [
        ours("SaliencyPeakFGM", estimator),
        ours("SaliencyPeakFGM, result in whole grey levels", estimator, quantize=True),
        ours("SaliencyPeakFGM, gradients in bfloat16", half),
        art(ProjectedGradientDescent, view),
        art(ProjectedGradientDescent, estimator),
    ]
    one = [
        ours("SaliencyPeakFGM, 1 step", estimator, 1),
        art(FastGradientMethod, view, 1),
        art(FastGradientMethod, estimator, 1),
    ]
    return many, one


def batches_for(view: SaliencyClassifierView, estimator: PyTorchSaliencyRegressor, x: Array, n: int) -> list[Batch]:
    """Batches of n photos; the class of each is the region where the map is lowest, its map has the peak there."""
    classes, output = view.predict(x).argmin(1), estimator.output(x)
    maps = output.saliency.numpy().copy()
    for each, k in zip(maps, classes, strict=True):
        columns, lines = (np.abs(c / side - (a + b) / 2) <= (b - a) / 2 for c, side, a, b in _spans(output, REGIONS[k]))
        each[np.ix_(lines, columns)] = each.max() + 3
    return [Batch(x[i : i + n], classes[i : i + n], maps[i : i + n]) for i in range(0, len(x), n)]


def _spans(output: Any, region: Region) -> list[tuple[Array, int, float, float]]:
    return [(output.x, output.size[0], region.x0, region.x1), (output.y, output.size[1], region.y0, region.y1)]


def table(estimator: PyTorchSaliencyRegressor, half: PyTorchSaliencyRegressor, x: Array, n: int) -> list[str]:
    """The tables of one cropper."""
    view = SaliencyClassifierView(estimator, REGIONS)
    batches = batches_for(view, estimator, x, n)

    def achieved(x: Array, y: Array, found: Array) -> list[str]:
        file = (found * 255).round().clip(0, 255) / 255
        wish = PeakInRegion([REGIONS[k] for k in y])
        hits = int(estimator.evaluate(estimator.to_tensor(file), wish).success.sum())
        return [f"{hits} of {len(y)}", f"{np.median(np.linalg.norm((file - x).reshape(len(x), -1), axis=1)):.2f}"]

    lines = [HEAD, "|---|---|---|---|---|"]
    for contenders in contenders_on(estimator, half, view):
        race(contenders, batches)
        lines += rows(contenders, batches, achieved)
    return lines
