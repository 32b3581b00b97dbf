"""Pictures for the figure, as plain arrays: small photos, the change enlarged, saliency as a glow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SaliencyMap", "amplified_change", "overlay", "threshold_map", "thumbnail"]

_STRIP_PIXELS = 500_000

Array = NDArray[Any]
Pixels = NDArray[np.uint8]


class SaliencyMap(NamedTuple):
    """A saliency map to draw."""

    density: Array
    """(h, w), not negative, of any scale."""
    reach: tuple[float, float]
    """How many widths and heights of the photo its cells cover, at least 1: the last ones may lie partly outside."""


def thumbnail(pixels: Pixels, side: int) -> Pixels:
    """A photo (H, W, 3) made to fit a square of ``side`` pixels; never enlarged, at least 1 px a side."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def amplified_change(original: Pixels, written: Pixels, side: int) -> tuple[Pixels, int, int]:
    """The difference about middle grey, enlarged so that all but its largest thousandth fits.

    Returns:
        Picture uint8 of at most ``side`` px, the factor (0: no difference), and the block of which each of its pixels
        shows the largest difference: so single changed pixels stay visible in a small picture.
    """
    block = max(1, -(-max(original.shape[:2]) // side))
    rows = max(1, _STRIP_PIXELS // (original.shape[1] * block)) * block
    tops = range(0, original.shape[0], rows)
    difference = np.concatenate(
        [_furthest(original[top : top + rows], written[top : top + rows], block) for top in tops]
    )
    sizes = np.abs(difference[difference != 0])
    if not sizes.size:
        return np.full(difference.shape, 128, np.uint8), 0, block
    scale = max(1, int(127 / np.percentile(sizes, 99.9)))
    return np.clip(128 + difference.astype(np.int32) * scale, 0, 255).astype(np.uint8), scale, block


def threshold_map(bound: NDArray[np.float32], side: int) -> tuple[Pixels, float]:
    """Largest changes allowed (H, W), in grey levels, as colours: dark where they are 0, light where they are most.

    Returns:
        Picture uint8 of at most ``side`` px, and what its lightest colour stands for: all but the largest hundredth
        are told apart.
    """
    from matplotlib import colormaps

    scale = min(1.0, side / max(bound.shape))
    size = (max(1, round(bound.shape[1] * scale)), max(1, round(bound.shape[0] * scale)))
    small = np.asarray(Image.fromarray(bound).resize(size, Image.Resampling.BOX))
    most = float(np.percentile(small, 99)) or float(small.max())
    table = (colormaps["viridis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    picture: Pixels = table[(small * (255 / most if most else 0)).clip(0, 255).astype(np.uint8)]
    return picture, most


def _furthest(original: Pixels, written: Pixels, block: int) -> NDArray[np.int16]:
    """Of each block of the difference the value furthest from 0, signs kept; a rest at the edges counts as a block."""
    height, width = original.shape[:2]
    shape = (-(-height // block), -(-width // block), 3)
    if np.array_equal(original, written):
        return np.zeros(shape, np.int16)
    difference = np.pad(written.astype(np.int16) - original, ((0, -height % block), (0, -width % block), (0, 0)))
    # Rows first: whole rows are compared at once, and little is left for the columns.
    tall = difference.reshape(shape[0], block, -1)
    high, low = (reduce(tall, axis=1).reshape(shape[0], shape[1], block, 3) for reduce in (np.max, np.min))
    high, low = high.max(2), low.min(2)
    furthest: NDArray[np.int16] = np.where(high >= -low, high, low)
    return furthest


def overlay(image: Pixels, saliency: SaliencyMap) -> Pixels:
    """A saliency map as a glow over the darkened grey photo, which ``image`` (h, w, 3) shows at any scale."""
    from matplotlib import colormaps

    rows, columns = saliency.density.shape
    relative = saliency.density.astype(np.float32) / max(float(saliency.density.max()), 1e-30)
    inside = (0.0, 0.0, columns / max(1.0, saliency.reach[0]), rows / max(1.0, saliency.reach[1]))
    size = (image.shape[1], image.shape[0])
    smooth = np.asarray(Image.fromarray(relative).resize(size, Image.Resampling.BICUBIC, box=inside)).clip(0, 1)
    grey = image.mean(2, keepdims=True, dtype=np.float32) * 0.5
    alpha = np.sqrt(smooth)[:, :, None] * 0.9
    table = (colormaps["inferno"](np.arange(256))[:, :3] * 255).astype(np.float32)
    glow = table[((0.15 + 0.85 * smooth) * 256).clip(0, 255).astype(np.uint8)]
    mixed: Pixels = (grey * (1 - alpha) + glow * alpha).round().clip(0, 255).astype(np.uint8)
    return mixed
