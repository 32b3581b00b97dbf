"""A deployed cropper around a saliency network: from a photo, or a file, to the map that decides the crop.

Everything that the reference program does between a file and its crops, next to the network itself: DCT-scaled decoding
of JPEGs, the integer resize, EXIF orientation after the resize, channel means, and the symmetry rule.
Source: the open-sourced image-crop-analysis (Yee et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from art_crop.checks import check_int
from art_crop.errors import ImageFileError
from art_crop.functional.precision import exact_float32
from art_crop.functional.resize import halving_count, resize, resize_levels, target_size
from art_crop.geometry import DEFAULT_RATIOS, Window, cells_to_pixels, check_ratios, crop_window, salient_pixel
from art_crop.models.fastgaze import MEANS
from art_crop.models.jpeg_path import draft_scale, through_jpeg
from art_crop.images import apply_orientation, decode_rgb, exif_orientation, open_image

__all__ = ["Cropper", "FilePrediction", "is_symmetric", "read_as_cropper"]

SYMMETRY_THRESHOLD = 25.0
Array = np.ndarray[Any, Any]


class FilePrediction(NamedTuple):
    """What the deployed cropper makes of a file."""

    salient_point: tuple[int, int]
    """x, y in photo pixels."""
    crops: tuple[Window, ...]
    """One window per ratio."""
    saliency_map: Array
    """Raw map, float32 (h, w)."""
    symmetric: bool
    """The photo is mirror-symmetric to the cropper: crops are centred."""
    size: tuple[int, int]
    """Width and height of the photo, upright."""


@dataclass(frozen=True)
class CellPositions:
    """Where the columns (x) and rows (y) of a map stand, in photo pixels (float32)."""

    x: Array
    y: Array


def is_symmetric(levels: Tensor) -> Tensor:
    """The cropper's symmetry rule on its network input, uint8 (N, 3, h, w) -> bool (N,)."""
    small = resize_levels(levels, (10, 10)).flatten(1).to(torch.int32)
    pixels = small.view(-1, 3, 10, 10)
    difference = (pixels - pixels.flip(-1)).abs().flatten(1).sort(1).values[:, 299 * 95 // 100]
    spread = small.amax(1) - small.amin(1) + 10
    score = difference.float() / spread.float() * 137
    return score < SYMMETRY_THRESHOLD


def read_as_cropper(path: str | Path) -> tuple[Tensor, tuple[int, int]]:
    """Network input of a file, exactly as the deployed cropper makes it.

    Returns:
        Levels uint8 (1, 3, h, w), and the photo's (width, height), upright.

    Raises:
        ImageFileError: Not a readable photo.
    """
    with open_image(path) as image:
        width, height = image.size
        target = target_size(width, height)
        if image.format in ("JPEG", "MPO"):
            _draft(image, target)
        orientation = exif_orientation(image) if image.format in ("JPEG", "MPO") else 1
        pixels = decode_rgb(image)
    levels = resize_levels(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None], target)
    if orientation != 1:
        upright = apply_orientation(levels[0].permute(1, 2, 0).numpy(), orientation)
        levels = torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1)[None]
        if orientation >= 5:
            width, height = height, width
    return levels, (width, height)


def _draft(image: Image.Image, target: tuple[int, int]) -> None:
    """Ask the JPEG decoder for 1/n of the size, n = 1, 2, 4, 8 as the cropper chooses it."""
    (width, height), n = image.size, draft_scale(image.size, target)
    w, h = -(-width // n), -(-height // n)
    # Pillow divides the size by this one, whole numbers in mind; a side below n px needs the fraction, which is exact.
    image.draft(None, (width / n, height / n))  # type: ignore[arg-type]
    if image.size != (w, h):
        raise ImageFileError(f"{getattr(image, 'filename', 'photo')}: the JPEG decoder gave {image.size}, not {(w, h)}")


class Cropper(nn.Module):
    """A saliency network with the deployed cropper's pipeline before it: (N, 3, H, W) in [0, 1] -> raw map (N, h, w).

    Pixels are rounded to uint8 and resized in integers, as the cropper would on a lossless file; the gradient passes
    straight through the roundings. The map is a log density.

    Args:
        network: (N, 3, h, w) float32 mean-subtracted levels -> (N, ceil(h/16), ceil(w/16)).
        stride: Side of a map's cell in pixels of the network's input.
        jpeg_quality: See photos as the cropper would after they were saved as a JPEG of this quality; None: lossless.
    """

    log_density = True
    means: Tensor

    def __init__(self, network: nn.Module, stride: int = 16, jpeg_quality: int | None = None) -> None:
        super().__init__()
        if jpeg_quality is not None:
            check_int(jpeg_quality, "jpeg_quality", at_least=1, at_most=100)
        self.network, self.stride, self.jpeg_quality = network, stride, jpeg_quality
        self.register_buffer("means", torch.tensor(MEANS).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Raw saliency map (N, h, w)."""
        target = target_size(x.shape[-1], x.shape[-2])
        levels = x.float() * 255
        if self.jpeg_quality is not None:
            levels = through_jpeg(levels, self.jpeg_quality, target)
        levels = resize(levels, target)
        result: Tensor = self.network((levels - self.means).contiguous(memory_format=torch.channels_last))
        return result

    def levels(self, x: Tensor) -> Tensor:
        """The network's input for photos in [0, 1]: uint8 (N, 3, h, w)."""
        target = target_size(x.shape[-1], x.shape[-2])
        levels = (x.detach().float() * 255).round().clamp(0, 255)
        if self.jpeg_quality is not None:
            levels = through_jpeg(levels, self.jpeg_quality, target)
        return resize_levels(levels.to(torch.uint8), target)

    def symmetric(self, x: Tensor) -> Tensor:
        """Which photos are mirror-symmetric to the cropper, bool (N,)."""
        return is_symmetric(self.levels(x))

    def halvings(self, size: tuple[int, int]) -> int:
        """How many 2x2 halvings a photo (width, height) goes through before anything else; none after a JPEG."""
        return 0 if self.jpeg_quality is not None else halving_count(*size, target_size(*size))

    def positions(self, shape: tuple[int, int], size: tuple[int, int]) -> CellPositions:
        """Where the cells of a map (h, w) stand in a photo (width, height)."""
        return CellPositions(*cells_to_pixels(shape, target_size(*size), size, self.stride))

    @torch.no_grad()
    def predict_file(self, path: str | Path, ratios: Sequence[float] | None = None) -> FilePrediction:
        """The exact pipeline on a file; ratios default to the reference's, with the photo's own last.

        Raises:
            ImageFileError: Not a readable photo.
            InvalidInputError: A ratio is not positive and finite.
        """
        levels, size = read_as_cropper(path)
        chosen = check_ratios((*DEFAULT_RATIOS, size[1] / size[0]) if ratios is None else ratios)
        x = levels.to(self.means.device).float() - self.means
        with exact_float32(x.device):
            saliency: Array = self.network(x.contiguous(memory_format=torch.channels_last))[0].float().cpu().numpy()
        symmetric = bool(is_symmetric(levels)[0])
        point = salient_pixel(saliency, (levels.shape[3], levels.shape[2]), size, self.stride)
        crops = tuple(crop_window(*size, point, ratio, symmetric=symmetric) for ratio in chosen)
        return FilePrediction(point, crops, saliency, symmetric, size)
