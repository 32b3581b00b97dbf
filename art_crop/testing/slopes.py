"""Gradients against finite differences, along directions of the whole photo rather than pixel by pixel.

A central difference of the loss along a unit direction d is <gradient, d> up to third order. In float64 any direction
will do. In float32 a random direction of single pixels drowns in rounding: there the directions are coarse patterns and
pieces of the gradient itself. Where a model rounds its pixels only the latter stand out. Its photos must then lie
between the grey levels, at random (dither): on average the staircase is the straight line that its gradient claims.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.objectives import SaliencyOutput, Verdict

__all__ = ["Projection", "coarse_patterns", "float64_model", "pieces", "random_directions", "slope_error"]

Array = np.ndarray[Any, Any]
Loss = Callable[[Array], Array]
# A deep network of ReLUs bends often, and on a photo that it enlarges all the more: small steps too.
SMALL_STEPS = (1e-4, 1e-5, 1e-3)
LARGE_STEPS = (0.03, 0.1, 0.01, 0.3, 0.003, 0.001, 1.0, 0.0003, 0.0001)


class Projection:
    """An objective for any kind of model: the sum of its output times fixed weights (N, ...), per photo."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, indices: Sequence[int]) -> Projection:
        """The same for some of the photos."""
        return Projection(self.weights[list(indices)])

    def __call__(self, output: Any) -> Verdict:
        """Loss of each photo; nothing counts as success."""
        values = output.saliency if isinstance(output, SaliencyOutput) else output
        loss = (values * self.weights.to(values)).reshape(len(values), -1).sum(1)
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))


def weights_for(prediction: Array, seed: int = 5) -> Array:
    """Random weights for a :class:`Projection`, shaped like a prediction."""
    noise = np.random.default_rng(seed).standard_normal(prediction.shape)
    return np.asarray(noise / np.sqrt(max(1, prediction[0].size)))


def float64_model(estimator: Any, x: Array) -> Callable[[Tensor], Tensor] | None:
    """The estimator's own network in float64, photos (N, 3, H, W) -> predictions; None where that is not its path.

    It is not where preprocessing stands before the network, or where the network has no float64 form.
    """
    model = getattr(estimator, "model", None)
    if not isinstance(model, nn.Module):
        return None
    prediction = estimator.predict(x if estimator.channels_first else x.transpose(0, 2, 3, 1))
    twin = copy.deepcopy(model).double().eval()

    def run(photos: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = twin(photos.to(estimator.device))
        return result

    try:
        raw = run(torch.from_numpy(x).double())
        if raw.dtype != torch.float64 or raw.numel() != prediction.size:
            return None
    except Exception:  # whatever a network raises about a dtype it was not written for
        return None
    scale = max(float(np.ptp(prediction)), 1e-6)
    agree = np.abs(raw.cpu().numpy().reshape(prediction.shape) - prediction).max() <= 1e-3 * scale
    return (lambda photos: run(photos).reshape(len(photos), *prediction.shape[1:])) if agree else None


def _unit(directions: Array) -> Array:
    norms = np.sqrt(np.square(directions).reshape(len(directions), -1).sum(1))
    result: Array = directions / np.maximum(norms, 1e-30).reshape(-1, *[1] * (directions.ndim - 1))
    return result


def random_directions(shape: tuple[int, ...], count: int, seed: int = 11) -> list[Array]:
    """Unit directions of independent pixels, for losses in float64."""
    rng = np.random.default_rng(seed)
    return [_unit(rng.standard_normal(shape)) for _ in range(count)]


def _grid(shape: tuple[int, ...], low: float, high: float, rng: np.random.Generator) -> Array:
    """4 x 6 tiles of one value each, for every photo and channel."""
    rows, columns = np.arange(shape[2]) * 4 // shape[2], np.arange(shape[3]) * 6 // shape[3]
    cells = rng.uniform(low, high, (*shape[:2], 4, 6))
    result: Array = cells[:, :, rows][:, :, :, columns]
    return result


def coarse_patterns(shape: tuple[int, ...], count: int, seed: int = 11) -> list[Array]:
    """Unit directions (N, C, H, W) of large tiles, which rounding in float32 does not hide."""
    rng = np.random.default_rng(seed)
    return [_unit(_grid(shape, -1, 1, rng)) for _ in range(count)]


def pieces(gradient: Array, count: int, seed: int = 12) -> list[Array]:
    """The gradient (N, C, H, W) as a unit direction, and random tiles of it."""
    rng = np.random.default_rng(seed)
    parts = [gradient * (_grid(gradient.shape, 0, 1, rng) > 0.5) for _ in range(count)]
    return [_unit(part) for part in (gradient, *parts)]


def slope_error(
    loss: Loss,
    x: Array,
    gradient: Array,
    directions: Sequence[Array],
    steps: Sequence[float],
    *,
    extent: float = 1.0,
    held: type[np.floating[Any]] = np.float64,
    enough: float = 0.0,
) -> float:
    """How far central differences of a loss are from its gradient, as a share of the slopes' size; the worst photo's.

    Of several steps the one that agrees best counts, for each photo and direction: a large one crosses kinks, a small
    one sees rounding.

    Args:
        loss: Photos (N, C, H, W) float64 -> losses (N,), each photo's own.
        x: Photos with room of 0.15 of the range about every pixel.
        gradient: What is checked, shaped like x.
        directions: Unit directions, shaped like x.
        steps: Lengths, L2, for a range of 1.
        extent: Size of the range of a pixel.
        held: What the loss takes pixels as; a small move counts as what is left of it there.
        enough: No further step is tried where all agree so well.
    """
    axes = tuple(range(1, x.ndim))
    expected = np.stack([(gradient * direction).sum(axes) for direction in directions])
    error, measured = np.full(expected.shape, np.inf), np.zeros(expected.shape)
    size = np.abs(expected).max(0)
    for step in steps:
        for i, direction in enumerate(directions):
            length = extent * np.minimum(step, 0.15 / np.maximum(np.abs(direction).max(axes), 1e-30))
            move = direction * length.reshape(-1, *[1] * len(axes))
            ahead, behind = ((x + way).astype(held).astype(np.float64) for way in (move, -move))
            slope = (np.asarray(loss(ahead)) - np.asarray(loss(behind))) / (2 * length)
            off = np.abs(slope - (gradient * (ahead - behind)).sum(axes) / (2 * length))
            # A step too small for a network that rounds its pixels sees nothing, which is no agreement.
            better = (off < error[i]) & (slope != 0)
            error[i], measured[i] = np.where(better, off, error[i]), np.where(better, slope, measured[i])
        size = np.maximum(np.abs(expected), np.abs(measured)).max(0)
        worst = float((error.max(0) / np.maximum(size, 1e-30)).max())
        if worst <= enough:
            return worst
    error = np.where(np.isfinite(error), error, np.abs(expected))  # where no step saw anything, the slope is 0
    return float((error.max(0) / np.maximum(size, 1e-30)).max())
