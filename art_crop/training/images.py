"""Training samples for a saliency network: crops, mosaics and blends of photos, at the size at which a cropper looks.

The teacher labels what the student sees, after flipping: croppers are not mirror-symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["Batch", "Sampler", "TrainingPhoto"]

SHAPES = ((240, 320), (213, 320), (320, 240), (180, 320), (320, 320))
SHAPE_SHARE = (0.52, 0.18, 0.14, 0.10, 0.06)
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TrainingPhoto:
    """A photo kept small, and where people looked at it: (n, 2) fractions of width and height, or None."""

    image: Image.Image
    fixations: Array | None = None


class Batch(NamedTuple):
    """levels uint8 (N, 3, h, w); density float32 (N, h/16, w/16), rows summing to 1 where ``has_fixations``."""

    levels: Tensor
    density: Tensor
    has_fixations: Tensor


def cell_density(fixations: Array, shape: tuple[int, int], sigma: float, stride: int = 16) -> Array:
    """Density of fixations (n, 2) in pixels x, y on cells: a Gaussian of ``sigma`` px about each, summing to 1."""
    rows = np.minimum(stride * np.arange(-(-shape[0] // stride)) + stride / 2, shape[0] - 1)
    columns = np.minimum(stride * np.arange(-(-shape[1] // stride)) + stride / 2, shape[1] - 1)
    x = np.exp(-((columns[None] - fixations[:, :1]) ** 2) / (2 * sigma**2))
    y = np.exp(-((rows[None] - fixations[:, 1:]) ** 2) / (2 * sigma**2))
    density = y.T @ x
    normalised: Array = (density / max(density.sum(), 1e-12)).astype(np.float32)
    return normalised


class Sampler(torch.utils.data.Dataset[Batch]):
    """Batch number -> :class:`Batch`; the same number gives the same batch, whoever asks and in whatever order.

    Args:
        photos: Photos to draw from; those with fixations fill ``fixation_share`` of each batch, uncropped or nearly so.
        batch_size: Samples a batch.
        batches: How many batches there are.
        seed: Start of every random stream.
    """

    def __init__(
        self, photos: Sequence[TrainingPhoto], *, batch_size: int, batches: int, seed: int, fixation_share: float = 0.5
    ) -> None:
        self.photos = photos
        self.seen = [photo for photo in photos if photo.fixations is not None]
        self.batch_size, self.batches, self.seed = batch_size, batches, seed
        self.fixation_share = fixation_share if self.seen else 0.0

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self.seed, number])
        shape = SHAPES[rng.choice(len(SHAPES), p=SHAPE_SHARE)]
        levels = np.empty((self.batch_size, *shape, 3), np.uint8)
        cells = (-(-shape[0] // 16), -(-shape[1] // 16))
        density = np.zeros((self.batch_size, *cells), np.float32)
        looked = np.zeros(self.batch_size, bool)
        for k in range(self.batch_size):
            if k < self.fixation_share * self.batch_size:
                photo = self.seen[int(rng.integers(len(self.seen)))]
                levels[k], fixations = _view(photo, shape, rng, smallest=0.65)
                if fixations is not None and len(fixations) >= 20:
                    density[k] = cell_density(fixations, shape, sigma=10.0)
                    looked[k] = True
            else:
                levels[k] = self._mixture(shape, rng)
            levels[k] = _jitter(levels[k], rng)
        return Batch(torch.from_numpy(levels).permute(0, 3, 1, 2), torch.from_numpy(density), torch.from_numpy(looked))

    def _mixture(self, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        def crop(size: tuple[int, int], smallest: float = 0.3) -> Array:
            return _view(self.photos[int(rng.integers(len(self.photos)))], size, rng, smallest=smallest)[0]

        kind = rng.random()
        if kind < 0.15:
            y, x = (int(side * rng.uniform(0.3, 0.7)) for side in shape)
            top = np.concatenate([crop((y, x)), crop((y, shape[1] - x))], 1)
            bottom = np.concatenate([crop((shape[0] - y, x)), crop((shape[0] - y, shape[1] - x))], 1)
            return np.concatenate([top, bottom])
        if kind < 0.25:
            share = rng.uniform(0.25, 0.75)
            return (share * crop(shape) + (1 - share) * crop(shape) + 0.5).astype(np.uint8)
        return crop(shape)


def _view(
    photo: TrainingPhoto, shape: tuple[int, int], rng: np.random.Generator, smallest: float
) -> tuple[Array, Array | None]:
    """A crop, sides at least ``smallest`` of the photo's, mirrored or not, resized to ``shape``, with its fixations."""
    width, height = photo.image.size
    side = 1.0 if rng.random() < 0.35 else rng.uniform(smallest, 1)
    stretch = np.sqrt(np.clip(shape[1] / shape[0] * height / width, 0.6, 1.6)) * rng.uniform(0.92, 1.08)
    w, h = min(1.0, side * stretch) * width, min(1.0, side / stretch) * height
    left, top = rng.uniform(0, width - w + 1e-6), rng.uniform(0, height - h + 1e-6)
    box = (left, top, min(left + w, width), min(top + h, height))
    resample = FILTERS[rng.integers(len(FILTERS))]
    pixels = np.asarray(photo.image.resize((shape[1], shape[0]), resample, box=box, reducing_gap=2.0))
    fixations = photo.fixations
    if fixations is not None:
        fixations = (fixations * (width, height) - (left, top)) / (w, h)
        fixations = fixations[((fixations >= 0) & (fixations < 1)).all(1)]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        if fixations is not None:
            fixations = np.stack([1 - fixations[:, 0], fixations[:, 1]], 1)
    return pixels, None if fixations is None else fixations * (shape[1], shape[0])


def _jitter(pixels: Array, rng: np.random.Generator) -> Array:
    """Light, contrast and colour of half the samples; a little sensor-like noise on some."""
    if rng.random() < 0.5:
        curve = np.arange(256, dtype=np.float32)[:, None] / 255
        gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3)
        curve = np.clip((curve ** rng.uniform(0.75, 1.35) - 0.5) * gain + 0.5 + rng.uniform(-0.08, 0.08), 0, 1)
        table = (255 * curve + 0.5).astype(np.uint8)
        pixels = np.stack([table[pixels[..., c], c] for c in range(3)], -1)
    if rng.random() < 0.04:
        pixels = np.repeat(pixels.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    if rng.random() < 0.2:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(1, 6)
        pixels = np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8)
    return pixels
