"""From photos of any size to what a torchvision network takes: its evaluation transform, differentiable."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "PhotoClassifier"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PhotoClassifier(nn.Module):
    """Photos (N, 3, H, W) in [0, 1] -> logits of the network inside.

    The steps and their roundings are those of ``torchvision.transforms._presets.ImageClassification`` on float tensors:
    resize with antialiasing, crop the middle, normalise.

    Args:
        network: Normalised photos (N, 3, crop, crop) -> logits (N, K).
        resize: Length of the shorter side after resizing, or (height, width).
        crop: Side of the square in the middle.
        mode: ``"bilinear"`` or ``"bicubic"``.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        resize: int | tuple[int, int] = 256,
        crop: int = 224,
        mode: str = "bilinear",
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network, self.resize, self.crop, self.mode = network, resize, crop, mode
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)

    def prepare(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> normalised (N, 3, crop, crop)."""
        size = self._size(x.shape[-2], x.shape[-1])
        if size != tuple(x.shape[-2:]):
            x = F.interpolate(x, size, mode=self.mode, align_corners=False, antialias=True)
        top, left = (round((n - self.crop) / 2) for n in size)
        return (x[..., top : top + self.crop, left : left + self.crop] - self.mean) / self.std

    def _size(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, K)."""
        logits: Tensor = self.network(self.prepare(x))
        return logits
