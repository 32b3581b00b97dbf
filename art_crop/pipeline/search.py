"""The changed photos that are worth writing, in the order of trying them; the first that holds as a file wins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from art_crop.attacks.results import AttackResult
from art_crop.attacks.saliency_peak import SaliencyPeakFGM
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.pipeline.goal import Goal
from art_crop.pipeline.measure import l2
from art_crop.pipeline.record import Settings

__all__ = ["Attempt", "as_batch", "attempts", "default_max_eps"]

_JPEG_GROWTH = 1.5
_LEAST_PSNR = 40.0


class Attempt(NamedTuple):
    """A photo to write, and what it took to find it."""

    pixels: NDArray[np.uint8]
    """Upright RGB (H, W, 3)."""
    eps: float
    """L2 budget that it was given, pixels in [0, 1]."""
    success: bool
    """What the model says of the pixels before they are written."""
    gradients: int
    queries: int


def default_max_eps(width: int, height: int) -> float:
    """Largest L2 norm that is tried unless another is asked for: a PSNR of 40 dB, 9.6 for 640 x 480."""
    return math.sqrt(3 * width * height) * 10 ** (-_LEAST_PSNR / 20)


def attempts(
    estimator: PyTorchSaliencyRegressor, pixels: NDArray[np.uint8], goal: Goal, settings: Settings
) -> Iterator[Attempt]:
    """Changed photos for one goal, gentlest first; none where no change could help.

    Args:
        estimator: The cropper; photos in [0, 1].
        pixels: The upright photo, uint8 RGB (H, W, 3).
        goal: What must be shown. The photo itself does not fulfil it.
        settings: Budgets, steps and seed; ``jpeg_quality`` says that the pixels will be encoded with loss.
    """
    if settings.jpeg_quality is not None:
        estimator = estimator.after_jpeg(settings.jpeg_quality)
    height, width = pixels.shape[:2]
    most = settings.max_eps or default_max_eps(width, height)
    if settings.eps is not None:
        yield _attack(estimator, pixels, goal, settings, eps=settings.eps, minimal=False)
        return
    smallest = _attack(estimator, pixels, goal, settings, eps=most, minimal=True)
    yield smallest
    if settings.jpeg_quality is None or not smallest.success:
        return
    # Metadata or another cropper's decoder may make the file differ from what the attack saw: more of the same.
    start = max(l2(pixels, smallest.pixels), most / 64)
    yield from _growing(estimator, pixels, goal, settings, start=start, most=most)


def _growing(
    estimator: PyTorchSaliencyRegressor,
    pixels: NDArray[np.uint8],
    goal: Goal,
    settings: Settings,
    *,
    start: float,
    most: float,
) -> Iterator[Attempt]:
    """Photos with ever larger budgets, for a file format that loses some of the change."""
    eps = start
    while eps < most:
        eps = min(most, eps * _JPEG_GROWTH)
        yield _attack(estimator, pixels, goal, settings, eps=eps, minimal=False)


def _attack(
    estimator: PyTorchSaliencyRegressor,
    pixels: NDArray[np.uint8],
    goal: Goal,
    settings: Settings,
    *,
    eps: float,
    minimal: bool,
) -> Attempt:
    attack = SaliencyPeakFGM(estimator, eps=eps, minimal=minimal, max_iter=settings.steps, seed=settings.seed)
    changed = attack.generate(as_batch(estimator, pixels), goal.objective())
    result: AttackResult = attack.results[0]
    levels = np.rint(changed[0] * 255).astype(np.uint8)
    if estimator.channels_first:
        levels = levels.transpose(1, 2, 0)
    return Attempt(np.ascontiguousarray(levels), eps, result.success, result.gradients, result.queries)


def as_batch(estimator: PyTorchSaliencyRegressor, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """One uint8 photo (H, W, 3) as the estimator takes it: float32 in [0, 1], (1, 3, H, W) or (1, H, W, 3)."""
    x = pixels[None].astype(np.float32) / np.float32(255)
    batch: NDArray[Any] = x.transpose(0, 3, 1, 2) if estimator.channels_first else x
    return batch
