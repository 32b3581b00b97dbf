"""Gaussian noise of a given norm: the baseline that an attack has to beat (papers 000 and 001).

Paper 001 lays it in a band about the target, 15.6% of the photo's width (100 of 640 px) and as high as the photo, and,
as a second baseline, multiplies it by the Grad-CAM map of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from art_crop.attacks.base import DirectionAttack
from art_crop.attacks.results import photo_noise
from art_crop.checks import check_number
from art_crop.functional.filters import gaussian_blur
from art_crop.geometry import Region

__all__ = ["BAND", "GaussianNoise", "band_mask"]

BAND = 100 / 640
Array = np.ndarray[Any, Any]


def band_mask(
    regions: Sequence[Region], shape: tuple[int, int], width: float = BAND, *, channels_first: bool = True
) -> Array:
    """Draw 1 in a band of full height about each region's middle column, 0 elsewhere.

    Args:
        regions: One for each photo.
        shape: Height and width of the photos.
        width: Of the band, as a share of the photo's; the nearest column is always part of it.
        channels_first: The layout in which it is needed.

    Returns:
        float32 (N, 1, H, W), or (N, H, W, 1).
    """
    columns = (np.arange(shape[1], dtype=np.float64) + 0.5) / shape[1]
    middles = np.array([(region.x0 + region.x1) / 2 for region in regions])
    distance = np.abs(columns[None] - middles[:, None])
    inside = (distance <= width / 2) | (distance == distance.min(1, keepdims=True))
    band = np.broadcast_to(inside[:, None, None, :], (len(middles), 1, *shape)).astype(np.float32)
    return band if channels_first else band.transpose(0, 2, 3, 1)


class GaussianNoise(DirectionAttack):
    """White noise scaled to the budget, in a mask, aimed at nothing; with ``minimal`` the smallest that succeeds.

    At budgets below half a grey level a pixel, ``quantize=True`` keeps the noise's largest entries as whole levels, as
    it does for every attack; the statistics are then no longer Gaussian.

    Args:
        estimator: The model that decides success, of any task; its Grad-CAM map weights the noise where
            ``mask="grad-cam"``.
        smooth: Standard deviation, in pixels, of a Gaussian filter on the noise; 0: white noise.
        **kwargs: As for :class:`~art_crop.attacks.base.PhotoAttack`. ``generate`` also takes a mask, such as
            :func:`band_mask`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
    """

    attack_params: ClassVar[list[str]] = [*DirectionAttack.attack_params, "smooth"]

    def __init__(self, estimator: Any, *, smooth: float = 0.0, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.smooth = smooth
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.smooth, "smooth", at_least=0)

    def _direction(self, photos: Tensor, objective: Any) -> Tensor:
        noise = torch.stack([photo_noise(photo, self.seed, self._clip) for photo in photos])
        return gaussian_blur(noise, self.smooth)
