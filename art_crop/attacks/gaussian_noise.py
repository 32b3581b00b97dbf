"""Gaussian noise of a given norm: the baseline that an attack has to beat (papers 000 and 001).

Paper 001 lays it in a band about the target, 15.6% of the photo's width (100 of 640 px) and as high as the photo, and, as a second
baseline, multiplies it by the Grad-CAM map of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from torch import Tensor

from art_crop.attacks.saliency_peak import SaliencyPeakFGM, photo_noise
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_regressor import Evaluation
from art_crop.geometry import Region
from art_crop.objectives import Objective

__all__ = ["BAND", "GaussianNoise", "band_mask"]

BAND = 100 / 640
Array = np.ndarray[Any, Any]


def band_mask(regions: Sequence[Region], shape: tuple[int, int], width: float = BAND) -> Array:
    """1 in a band of full height about each region's middle column, 0 elsewhere: float32 (N, 1, H, W)."""
    columns = (np.arange(shape[1], dtype=np.float64) + 0.5) / shape[1]
    middles = np.array([(region.x0 + region.x1) / 2 for region in regions])
    inside = np.abs(columns[None] - middles[:, None]) <= width / 2
    return np.broadcast_to(inside[:, None, None, :], (len(middles), 1, *shape)).astype(np.float32)


class GaussianNoise(SaliencyPeakFGM):
    """White noise scaled to the budget, in a mask, aimed at nothing; with ``minimal`` the smallest that succeeds.

    Args:
        estimator: The model that judges, and whose Grad-CAM map weights the noise where ``mask="grad-cam"``.
        norm: ``2`` or ``"inf"``.
        eps: Budget for each photo.
        minimal: Bisect the budget along one noise pattern.
        mask: ``"grad-cam"`` or None. ``generate`` also takes an array, such as :func:`band_mask`.
        **kwargs: ``layer``, ``by``, ``ratios``, ``loss``, ``quantize``, ``seed``, ``verbose``, ``summary_writer`` as for
            :class:`~art_crop.attacks.saliency_peak.SaliencyPeakFGM`.
    """

    attack_params: ClassVar[list[str]] = [
        *EvasionAttack.attack_params,
        *("norm", "eps", "minimal", "mask", "layer", "by", "ratios", "loss", "quantize", "seed", "verbose"),
    ]

    def __init__(
        self,
        estimator: PyTorchSaliencyRegressor,
        *,
        norm: float | str = 2,
        eps: float | Sequence[float] = 10.0,
        minimal: bool = False,
        mask: Literal["grad-cam"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(estimator, norm=norm, eps=eps, minimal=minimal, mask=mask, max_iter=1, **kwargs)

    def _look(self, photos: Tensor, wish: Objective) -> Evaluation:
        noise = torch.stack([photo_noise(photo, self.seed) for photo in photos])
        return self.estimator.evaluate(photos, wish)._replace(gradient=noise)
