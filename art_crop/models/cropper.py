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
from art_crop.geometry import DEFAULT_RATIOS, Window, cells_to_pixels, check_ratios
from art_crop.images import apply_orientation, decode_rgb, exif_orientation, open_image
from art_crop.images.encoding import Jpeg
from art_crop.models.fastgaze import MEANS
from art_crop.models.jpeg_path import draft_scale, through_jpeg
from art_crop.objectives.crops import windows_of
from art_crop.objectives.saliency import SaliencyOutput

__all__ = ["CellPositions", "Cropper", "FilePrediction", "asymmetry", "file_prediction", "read_as_cropper"]

SYMMETRY_THRESHOLD = 25.0
PERCENTILE = 299 * 95 // 100 // 2
"""Index of the 95th percentile among the sorted differences of one half; of both it is twice that."""
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


def asymmetry(levels: Tensor) -> Tensor:
    """Score how far photos are from being mirror-symmetric to the cropper, (N,): below 0 it centres their crops.

    The rule: the 95th percentile of the differences between a 10 x 10 thumbnail and its mirror image, in units of the
    thumbnail's contrast, less the threshold of 25. The score is exact; its gradient is that of the mean over the
    differences that have to grow for it to reach the threshold (a percentile's own gradient knows of one alone).

    Args:
        levels: Network input, whole levels 0..255, (N, 3, h, w); uint8, or floating point where the gradient is wanted.
    """
    small = resize(levels, (10, 10)) if levels.is_floating_point() else resize_levels(levels, (10, 10)).float()
    # One half: the other has the same differences. At a perfect mirror either side may grow; it must not be both.
    apart = (small - small.flip(-1))[..., :5]
    difference = torch.where(apart >= 0, apart, -apart).flatten(1).sort(1).values
    spread = (small.flatten(1).amax(1) - small.flatten(1).amin(1)).detach() + 10
    score = difference[:, PERCENTILE] / spread * 137
    if difference.requires_grad:
        needed = SYMMETRY_THRESHOLD / 137 * spread + 1
        growing = torch.minimum(difference[:, PERCENTILE:], needed[:, None]).mean(1) / spread * 137
        score = score.detach() + (growing - growing.detach())
    return score - SYMMETRY_THRESHOLD


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
        self.register_buffer("means", torch.tensor(MEANS, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Predict raw saliency maps (N, h, w)."""
        return self.saliency(self.levels(x))

    def levels(self, x: Tensor, size: tuple[int, int] | None = None, jpeg_quality: int | Jpeg | None = None) -> Tensor:
        """Make the network's input of photos in [0, 1]: whole levels 0..255, float32 (N, 3, h, w), with a gradient.

        Args:
            x: Photos, or photos after the halvings that begin the cropper's resize.
            size: Width and height of the photos themselves; default: those of ``x``.
            jpeg_quality: Instead of the cropper's own; or another way to encode.
        """
        target = target_size(*(size or (x.shape[-1], x.shape[-2])))
        levels = x.float() * 255
        quality = self.jpeg_quality if jpeg_quality is None else jpeg_quality
        if quality is not None:
            levels = through_jpeg(levels, quality, target)
        return resize(levels, target)

    def saliency(self, levels: Tensor) -> Tensor:
        """Predict raw saliency maps (N, h, w) of the network's input (N, 3, h, w), levels 0..255."""
        result: Tensor = self.network((levels - self.means).contiguous(memory_format=torch.channels_last))
        return result

    def halvings(self, size: tuple[int, int]) -> int:
        """Count the 2x2 halvings that a photo (width, height) goes through before anything else; none after a JPEG."""
        return 0 if self.jpeg_quality is not None else halving_count(*size, target_size(*size))

    def positions(self, shape: tuple[int, int], size: tuple[int, int]) -> CellPositions:
        """Place the cells of a map (h, w) in a photo (width, height)."""
        return CellPositions(*cells_to_pixels(shape, target_size(*size), size, self.stride))

    def output(self, levels: Tensor, size: tuple[int, int]) -> SaliencyOutput:
        """Predict all that objectives ask for, from the network's input.

        Args:
            levels: Network input (N, 3, h, w), levels 0..255, as :meth:`levels` makes it.
            size: Width and height of the photos themselves.
        """
        saliency = self.saliency(levels).float()
        where = self.positions((saliency.shape[1], saliency.shape[2]), size)
        return SaliencyOutput(saliency, where.x, where.y, size, lambda: asymmetry(levels), self.log_density)

    def output_of_file(self, path: str | Path) -> SaliencyOutput:
        """Predict all that objectives ask for, for one file by the deployed program's exact pipeline.

        Raises:
            ImageFileError: Not a readable photo.
        """
        levels, size = read_as_cropper(path)
        with exact_float32(self.means.device), torch.no_grad():
            return self.output(levels.to(self.means.device).float(), size)

    def predict_file(self, path: str | Path, ratios: Sequence[float] | None = None) -> FilePrediction:
        """Predict what the deployed program cuts from a file; errors as for :func:`file_prediction`."""
        return file_prediction(self.output_of_file(path), ratios)


def file_prediction(output: SaliencyOutput, ratios: Sequence[float] | None = None) -> FilePrediction:
    """Say what follows from the output for one photo: its salient point and its crops.

    Args:
        output: Of one photo.
        ratios: Aspect ratios (height / width); default: the reference program's, with the photo's own last.

    Raises:
        InvalidInputError: A ratio is not positive and finite.
    """
    width, height = output.size
    chosen = check_ratios((*DEFAULT_RATIOS, height / width) if ratios is None else ratios)
    points, windows = windows_of(output, chosen)
    saliency: Array = output.saliency[0].float().cpu().numpy()
    return FilePrediction(points[0], tuple(windows[0]), saliency, bool(output.symmetric()[0]), output.size)
