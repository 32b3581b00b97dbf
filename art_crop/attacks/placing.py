"""From a direction and a budget to the photo that is written: scaled, clipped, in whole grey levels."""

from __future__ import annotations

import torch
from torch import Tensor

from art_crop.functional.grey_levels import LevelMoves
from art_crop.functional.norms import Norm, add_scaled

__all__ = ["Placing"]


class Placing:
    """One photo and where a perturbation of it may lie.

    Rounding a scaled direction is right while the budget is more than about half a grey level per pixel. Below, most of it
    would round to nothing, so the budget buys whole levels where the model's gradient says they are worth most.

    Args:
        x: Photo in [0, 1], (3, H, W).
        norm: Norm of the budgets.
        quantize: Whether the result must be a uint8 photo.
        halvings: 2x2 halvings with which the model begins (0 for models that take the photo as it is).
    """

    def __init__(self, x: Tensor, norm: Norm, *, quantize: bool, halvings: int) -> None:
        self.x, self.norm, self.quantize, self.halvings = x, norm, quantize, halvings
        self.grid = (x * 255).round() / 255 if quantize else x
        self._moves: LevelMoves | None = None
        self._aimed: Tensor | None = None

    def sparse(self, eps: float) -> bool:
        """Whether the budget is so small that single levels have to be chosen: below half a level a pixel."""
        return self.quantize and self.norm == "2" and eps * 255 < 0.5 * self.x.numel() ** 0.5

    def at(self, direction: Tensor, eps: float) -> Tensor:
        """The photo (3, H, W) moved along ``direction`` with norm ``eps`` (uint8 levels / 255 where quantised).

        After rounding, the norm is at most ``eps``, and within a few thousandths of it.
        """
        if self.sparse(eps):
            if self._moves is None:
                self._moves = LevelMoves((self.grid * 255).round().to(torch.uint8), self.halvings)
            if self._aimed is not direction:
                self._moves.aim(direction)
                self._aimed = direction
            budget = (eps * 255) ** 2
            if budget <= self._moves.capacity or self._moves.capacity == 0:
                return self._moves.spend(budget).float() / 255
        budgets = torch.tensor([eps], device=self.x.device)
        moved = add_scaled(self.grid[None], direction[None], budgets, self.norm)[0]
        return self._rounded(moved, direction, eps) if self.quantize else moved

    def _rounded(self, moved: Tensor, direction: Tensor, eps: float) -> Tensor:
        """Round to uint8 and stay inside the budget: rounding adds to an L2 norm about what its noise is."""
        if self.norm == "inf":
            levels = (moved - self.grid) * 255
            return ((self.grid * 255).round() + levels.trunc()) / 255
        scale = 1.0
        for _ in range(20):
            rounded = (self.grid + scale * (moved - self.grid)).mul(255).round().clamp(0, 255) / 255
            size = float((rounded - self.grid).norm())
            if size <= eps * (1 + 1e-6):
                return rounded
            scale *= min(0.9995, eps / size)
        return rounded
