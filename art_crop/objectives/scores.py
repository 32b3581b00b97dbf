"""Objectives for a quality score: beyond a bound, or a given value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_choice, check_number
from art_crop.errors import InvalidInputError
from art_crop.objectives.base import PerSample, Verdict, check_count

__all__ = ["ScoreBeyond", "ScoreDistance"]


class ScoreBeyond(PerSample):
    """A quality score lies at or beyond a bound.

    Args:
        bounds: One bound for each sample, on the model's scale.
        direction: ``"below"`` or ``"above"``.
    """

    task = "quality"
    _lists = ("bounds",)

    def __init__(self, bounds: Sequence[float], direction: Literal["below", "above"]) -> None:
        check_choice(direction, "direction", ("below", "above"))
        if not isinstance(bounds, (list, tuple, np.ndarray)) or len(bounds) == 0:
            raise InvalidInputError(f"bounds: a list with one number for each sample is needed, not {bounds!r}")
        self.bounds = [check_number(bound, "bounds") for bound in bounds]
        self.direction = direction

    def __call__(self, output: Tensor) -> Verdict:
        """Give loss and success for scores (N,)."""
        check_count(len(self.bounds), len(output))
        bounds = torch.tensor(self.bounds, dtype=output.dtype, device=output.device)
        loss = output - bounds if self.direction == "below" else bounds - output
        return Verdict(loss, loss <= 0)

    def check_scale(self, score_range: tuple[float, float], name: str = "bounds") -> None:
        """Refuse bounds that are not on a model's scale, which every photo has met already or none ever will.

        Args:
            score_range: Lowest and highest score of the scale.
            name: What messages call the bounds.

        Raises:
            InvalidInputError: One of them lies outside.
        """
        low, high = score_range
        for bound in self.bounds:
            if not low <= bound <= high:
                raise InvalidInputError(f"{name}: the model's scale goes from {low:g} to {high:g}, not {bound:g}")


class ScoreDistance(PerSample):
    """Squared difference of a score to a given one; what ``loss_gradient(x, y)`` means for scores ``y`` (N,)."""

    task = "quality"
    _lists = ("scores",)

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores

    def __call__(self, output: Tensor) -> Verdict:
        """Give the distance of scores (N,); none counts as success."""
        if self.scores.shape != output.shape:  # (N, 1) against (N,) would make N x N differences
            raise InvalidInputError(
                f"y: scores of shape {tuple(output.shape)} are needed, not {tuple(self.scores.shape)}"
            )
        loss = (output - self.scores.to(output)).square()
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))
