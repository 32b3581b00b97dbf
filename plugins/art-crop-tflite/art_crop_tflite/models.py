"""A file's graph together with what turns a photo into its input, and its output into a map or a score."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.checks import check_choice, check_int, check_range
from art_crop.errors import WeightsError
from art_crop_tflite.network import Network
from art_crop_tflite.resizing import RESAMPLINGS, Frame, Resampling, fit, into_frame

__all__ = ["Fit", "QualityModel", "SaliencyModel"]

Fit = Literal["pad", "stretch"]


class PhotoModel(nn.Module):
    """Photos (N, 3, H, W) in ``clip_values`` -> the network's input: levels, resized as Pillow does, in its range.

    Args:
        network: With one image input (1, h, w, 3).
        value_range: What the network wants in place of the levels 0 and 255.
        resampling: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``.
        fit: ``"pad"``: the photo keeps its proportions, with black around it; ``"stretch"``.
        clip_values: Lowest and highest value of the photos' pixels.
    """

    def __init__(
        self,
        network: Network,
        *,
        value_range: tuple[float, float] = (0.0, 255.0),
        resampling: Resampling = "bicubic",
        fit: Fit = "stretch",
        clip_values: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        check_choice(resampling, "resampling", RESAMPLINGS)
        check_choice(fit, "fit", ("pad", "stretch"))
        shape = network.input_shape
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
            raise WeightsError(f"{network.path}: an image input [1, height, width, 3] is needed, not {list(shape)}")
        self.network, self.resampling, self.fit = network, resampling, fit
        self.size = (shape[2], shape[1])
        self.value_range = check_range(value_range, "value_range")
        self.clip_values = check_range(clip_values, "clip_values")

    def frame(self, x: Tensor) -> Frame:
        """Where photos (N, 3, H, W) lie in the network's input."""
        return fit((x.shape[-1], x.shape[-2]), self.size, self.fit)

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """The network's outputs for photos."""
        low, high = self.clip_values
        if not x.is_floating_point():
            x = x.float()
        levels = x * 255 if (low, high) == (0, 1) else (x - low) * (255 / (high - low))
        image = into_frame(levels, self.frame(x), self.size, self.resampling)
        bottom, top = self.value_range
        if (bottom, top) != (0, 255):
            image = image * ((top - bottom) / 255) + bottom
        return self.network(image.permute(0, 2, 3, 1).contiguous())  # type: ignore[no-any-return]


class SaliencyModel(PhotoModel):
    """Photos -> saliency maps (N, h, w) that cover the photo exactly: what lies over the padding is cut off.

    Args:
        network: Its first output is the map, (1, h, w), (1, h, w, 1) or (1, 1, h, w) in the file.
        pool: Mean over squares of this many of the map's cells; 1: the map as it is.
        **kwargs: As for :class:`PhotoModel`.
    """

    def __init__(self, network: Network, *, pool: int = 1, **kwargs: object) -> None:
        super().__init__(network, **kwargs)  # type: ignore[arg-type]
        self.pool = check_int(pool, "pool", at_least=1, at_most=min(self.size))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, h, w)."""
        saliency = self.outputs(x)[0]
        if saliency.ndim == 4:
            saliency = saliency.squeeze(1) if saliency.shape[1] == 1 else saliency.squeeze(-1)
        if saliency.ndim != 3:
            raise WeightsError(f"{self.network.path}: a map [1, h, w] is needed, not {list(saliency.shape[1:])}")
        frame, (width, height) = self.frame(x), self.size
        sides = []
        for start, length, whole, cells in (
            (frame.top, frame.height, height, saliency.shape[1]),
            (frame.left, frame.width, width, saliency.shape[2]),
        ):
            first = min(start * cells // whole, cells - 1)
            sides.append(slice(first, max(first + 1, round((start + length) * cells / whole))))
        saliency = saliency[:, sides[0], sides[1]]
        if self.pool > 1:
            cells_ = (-(-saliency.shape[1] // self.pool), -(-saliency.shape[2] // self.pool))
            saliency = F.adaptive_avg_pool2d(saliency, cells_)
        return saliency

    def center(self, x: Tensor) -> Tensor:
        """The network's second output, the map's centroid (x, y) in pixels of its input, (N, 2)."""
        return self.outputs(x)[1]


class QualityModel(PhotoModel):
    """Photos -> the network's first output: scores (N, 1) or a distribution over opinion bins (N, K)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, K)."""
        return self.outputs(x)[0].flatten(1)


@torch.no_grad()
def in_photo(center: Tensor, frame: Frame, size: tuple[int, int]) -> Tensor:
    """Points (N, 2) in a network's input -> pixels of the photos, which have ``size`` = (width, height)."""
    start = center.new_tensor([frame.left, frame.top])
    scale = center.new_tensor([size[0] / frame.width, size[1] / frame.height])
    return (center - start) * scale
