"""Uniform noise within the colour-variance threshold of paper 002: what the threshold allows, aimed at nothing."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from art_crop.attacks.base import Batch
from art_crop.attacks.color_variance import ColorVarianceAttack
from art_crop.attacks.results import AttackResult, photo_stream
from art_crop.attacks.space import Candidate
from art_crop.checks import reject_unknown

__all__ = ["ColorVarianceNoise"]


class ColorVarianceNoise(ColorVarianceAttack):
    """Add uniform noise within the threshold map of the colour-variance attack: the baseline that it has to beat.

    Args:
        estimator: The model that decides success, of any task, with photos in [0, 1].
        threshold: Largest change of a pixel where the photo's colours vary most; m in the paper.
        window: Width in pixels of the window in which colours are compared, odd.
        sigma: Standard deviation of the window's Gaussian weight, in pixels.
        **kwargs: ``condition``, ``constraint``, ``mask``, ``quantize``, ``seed`` and the others of
            :class:`~art_crop.attacks.color_variance.PerceptualAttack`, but for ``max_iter``.

    Raises:
        InvalidInputError: A parameter outside its range; when used: photos smaller than the window.
    """

    attack_params: ClassVar[list[str]] = [
        name
        for name in ColorVarianceAttack.attack_params
        if name not in ("max_iter", "learning_rate", "optimizer", "l1_weight")
    ]

    def __init__(
        self, estimator: Any, *, threshold: float = 50 / 255, window: int = 5, sigma: float = 1.0, **kwargs: Any
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, threshold=threshold, window=window, sigma=sigma, **kwargs)

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        start = batch.start
        first = batch.evaluate(start)
        low, high = (torch.stack([getattr(space, end) for space in batch.spaces]) - start for end in ("low", "high"))
        noise = np.stack([photo_stream(photo, self.seed).uniform(-1, 1, photo.shape) for photo in start])
        change = torch.maximum(-low, high) * torch.from_numpy(noise).to(start)
        change = (change if batch.weight is None else change * batch.weight).clamp(low, high)
        moved = start + change
        seen = (moved * 255).round() / 255 if self.quantize else moved
        none, curves = [0] * len(batch), [[loss] for loss in first.loss.tolist()]
        return self._records(
            batch, [Candidate(photo) for photo in seen], first.success.tolist(), none, [1] * len(batch), curves
        )
