"""Distortions of photos at known levels, and how much of a photo each leaves: what a quality model learns from.

Every distortion takes a photo uint8 (H, W, 3) and a level in [0, 1], the higher the worse, and gives another photo. The
levels are spread so that the labels are: 0 is hardly seen, 1 is as bad as it gets on the internet.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torch import Tensor

from art_crop.errors import MissingDependencyError
from art_crop.models.torchvision_import import import_torchvision

__all__ = ["DISTORTIONS", "label", "mixed", "similarities"]

Pixels = NDArray[np.uint8]
Distortion = Callable[[Pixels, float, np.random.Generator], Pixels]
WORST = 0.45
"""Similarity at which the scale of 100 ends; equal photos have 1."""


def label(photos: Tensor, distorted: Tensor) -> Tensor:
    """Give the score of distorted photos, 0 to 100, from their similarity to the originals.

    score = 100 (1 - sqrt((1 - s) / 0.55)), clipped to the scale, where s is the mean of the Haar wavelet-based
    perceptual similarity (Reisenhofer et al. 2018), which sees edges and colour, and of the DCT subband similarity
    (Balanov et al. 2015), which looks at the worst places. Each orders the opinions of the public databases better
    than MS-SSIM does or about as well; beside them, and MDSI and VIF, their mean depends most on how much a photo was
    distorted, and least on what it shows. On average 84 for JPEG at quality 75, 50 for a Gaussian blur of 1.4 pixels
    or noise of 14 grey levels, 30 for a blur of 2.2 pixels.

    Args:
        photos: Originals (N, 3, H, W) in [0, 1], sides of at least 24 pixels.
        distorted: Of the same shape.

    Raises:
        MissingDependencyError: piq or torchvision is not installed.
    """
    mean = torch.stack([measure(distorted, photos, reduction="none") for measure in similarities()]).mean(0)
    return (100 * (1 - ((1 - mean).clamp_min(0) / (1 - WORST)).sqrt())).clamp(0, 100)


def similarities() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Import the two measures of :func:`label`.

    Raises:
        MissingDependencyError: piq or torchvision is not installed.
    """
    import_torchvision()  # piq imports it, and here it may need help
    try:
        from piq import dss, haarpsi
    except ModuleNotFoundError as error:
        raise MissingDependencyError("piq is needed to label photos: pip install 'art-crop[training]'") from error
    return haarpsi, dss


def _between(low: float, high: float, level: float) -> float:
    """From one end to the other in equal ratios."""
    return float(low * (high / low) ** level)


def jpeg(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """JPEG at qualities from 95 to 4, 4:2:0 or, one time in three, 4:4:4."""
    buffer = io.BytesIO()
    quality, subsampling = round(_between(115, 24, level)) - 20, "4:4:4" if rng.random() < 1 / 3 else "4:2:0"
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return _read(buffer)


def jpeg2000(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """JPEG2000 at compression ratios from 4 to 200."""
    buffer = io.BytesIO()
    rate = _between(4, 200, level)
    Image.fromarray(pixels).save(buffer, "JPEG2000", quality_mode="rates", quality_layers=[rate], irreversible=True)
    return _read(buffer)


def blur(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Gaussian blur of standard deviation 0.35 to 4 pixels."""
    from scipy.ndimage import gaussian_filter

    sigma = _between(0.35, 4.0, level)
    return _whole(gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="reflect", truncate=3.0))


def motion_blur(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """A line of 1.5 to 18 pixels in any direction."""
    from scipy.ndimage import convolve

    length, angle = _between(1.5, 18.0, level), rng.uniform(0, np.pi)
    points = np.linspace(-length / 2, length / 2, 8 * int(np.ceil(length)) + 1)
    half = int(np.ceil(length / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    x, y = points * np.cos(angle) + half, points * np.sin(angle) + half
    for row, column, weight in _corners(y, x):
        np.add.at(kernel, (row, column), weight)
    kernel /= kernel.sum()
    planes = [convolve(plane.astype(np.float32), kernel, mode="reflect") for plane in pixels.transpose(2, 0, 1)]
    return _whole(np.stack(planes, -1))


def _corners(y: NDArray[Any], x: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """The four cells about each point, with what a bilinear filter gives each of them."""
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - row, x - column
    return [
        (row, column, (1 - down) * (1 - right)),
        (row + 1, column, down * (1 - right)),
        (row, column + 1, (1 - down) * right),
        (row + 1, column + 1, down * right),
    ]


def noise(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of standard deviation 1.5 to 60 grey levels, of the same for all channels one time in four."""
    sigma = _between(1.5, 60.0, level)
    shape = (*pixels.shape[:2], 1 if rng.random() < 1 / 4 else 3)
    return _whole(pixels + sigma * rng.standard_normal(shape, dtype=np.float32))


def downscaling(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Reduction to 1/1.2 to 1/6 of the size and back, by one of three filters."""
    factor, (height, width) = _between(1.2, 6.0, level), pixels.shape[:2]
    up = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[rng.integers(3)]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    reduced = Image.fromarray(pixels).resize(small, Image.Resampling.BICUBIC)
    return np.asarray(reduced.resize((width, height), up))


def contrast(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Contrast about the mean level, times 0.9 to 0.3 or 1.1 to 2.6."""
    factor = _between(0.9, 0.3, level) if rng.random() < 0.5 else _between(1.1, 2.6, level)
    mean = float(pixels.mean())
    return _whole((pixels.astype(np.float32) - mean) * factor + mean)


def colour_quantisation(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """A palette of 160 to 4 colours, without dithering."""
    colours = round(_between(160, 4, level))
    reduced = Image.fromarray(pixels).quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.asarray(reduced.convert("RGB"))


DISTORTIONS: dict[str, Distortion] = {
    "jpeg": jpeg,
    "blur": blur,
    "motion-blur": motion_blur,
    "noise": noise,
    "downscaling": downscaling,
    "contrast": contrast,
    "colour-quantisation": colour_quantisation,
}
if features.check("jpg_2000"):
    DISTORTIONS["jpeg2000"] = jpeg2000


def mixed(pixels: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    """Two different ones of the above one after the other, each at about two thirds of the level."""
    names = sorted(DISTORTIONS)
    for index in rng.choice(len(names), 2, replace=False):
        pixels = DISTORTIONS[names[index]](pixels, float(np.clip(level * rng.uniform(0.3, 1.0), 0, 1)), rng)
    return pixels


def _read(buffer: io.BytesIO) -> Pixels:
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def _whole(levels: NDArray[Any]) -> Pixels:
    result: Pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return result
