"""From a direction and a budget to the photo that is written: scaled, clipped, in whole grey levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from art_crop.functional.grey_levels import LevelMoves
from art_crop.functional.norms import Norm, add_scaled

__all__ = ["Placing"]

ROUNDS = 12
CLOSE = 2e-3
"""A rounded perturbation is as large as its budget when it falls short by no more than this share."""


class Placing:
    """One photo and where a perturbation of it may lie.

    Rounding a scaled direction is right while the budget is more than about half a grey level per pixel. Below, most of
    it would round to nothing, so the budget buys whole levels where the model's gradient says they are worth most.

    Args:
        x: Photo (3, H, W) in the range ``clip``.
        norm: Norm of the budgets.
        quantize: Whether the result must be a uint8 photo; ``x`` is then rounded first, and the range must be (0, 1).
        single_levels: Choose single levels where the budget is too small for rounding.
        halvings: 2x2 halvings with which the model begins (0 for models that take the photo as it is).
        weight: Mask that directions were multiplied with, broadcast to (3, H, W); where it is 0 no pixel changes.
        clip: Lowest and highest value of a pixel.
    """

    def __init__(
        self,
        x: Tensor,
        norm: Norm,
        *,
        quantize: bool,
        single_levels: bool = True,
        halvings: int = 0,
        weight: Tensor | None = None,
        clip: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.norm, self.quantize, self.clip = norm, quantize, clip
        self.single_levels, self.halvings = single_levels, halvings
        self.grid = (x * 255).round() / 255 if quantize else x
        self.movable = None if weight is None else (weight > 0).expand_as(x)
        self._moves: LevelMoves | None = None
        self._aimed: Tensor | None = None

    def sparse(self, eps: float) -> bool:
        """Whether the budget is so small that single levels have to be chosen: below half a level a pixel."""
        few = eps * 255 < 0.5 * self.grid.numel() ** 0.5
        return self.quantize and self.single_levels and self.norm == "2" and few

    def at(self, direction: Tensor, eps: float, *, exact: bool = True) -> Tensor:
        """The photo (3, H, W) moved along ``direction`` with norm ``eps`` (uint8 levels / 255 where quantised).

        After rounding, the norm is at most ``eps``. It falls short of it by no more than a few thousandths, or one
        move's price where single levels are chosen; by more only where the range of pixels leaves no room, or where the
        norm is a maximum, which has whole levels. With ``exact=False`` the photo is a step on the way, where neither
        rounding (the model does that) nor the last percent of the budget matter.
        """
        if self.sparse(eps):
            moves = self._aimed_at(direction)
            budget = (eps * 255) ** 2
            if budget <= moves.capacity or moves.capacity == 0:
                return moves.spend(budget).float() / 255
        if not exact and self.norm == "2":
            size = eps / float(direction.norm().clamp_min(1e-30))
            return torch.add(self.grid, direction, alpha=size).clamp_(*self.clip)
        budgets = torch.tensor([eps], device=self.grid.device)
        moved = add_scaled(self.grid[None], direction[None], budgets, self.norm, clip=self.clip)[0]
        return self._rounded(moved, eps) if self.quantize else moved

    def _aimed_at(self, direction: Tensor) -> LevelMoves:
        if self._moves is None:
            levels = (self.grid * 255).round().to(torch.uint8)
            self._moves = LevelMoves(levels, self.halvings, movable=self.movable)
        if self._aimed is not direction:
            self._moves.aim(direction)
            self._aimed = direction
        return self._moves

    def _rounded(self, moved: Tensor, eps: float) -> Tensor:
        """Round to uint8 inside the budget: rounding adds its noise to an L2 norm, or takes what is below half a level.

        The norm after rounding grows with the scale before it, so the scale is searched between one that is too small
        and one that is too large.
        """
        base = (self.grid * 255).round()
        levels = moved * 255 - base
        if self.norm == "inf":
            whole = (levels.abs() + 1e-3).floor() * levels.sign()  # 2 levels may come as 1.9999
            return (base + whole) / 255
        best, low, high, scale = self.grid, 0.0, math.inf, 1.0
        for _ in range(ROUNDS):
            rounded = (base + scale * levels).round_().clamp_(0, 255)
            size = float((rounded - base).norm()) / 255
            if size <= eps * (1 + 1e-6):
                best, low = rounded / 255, scale
                if size >= eps * (1 - CLOSE):
                    break
            else:
                high = scale
            # The next guess is where proportion says; the middle where that leaves the bracket.
            guess = scale * (1 - CLOSE / 4) * eps / size if size else math.inf
            middle = (low + high) / 2 if high < math.inf else 2 * scale
            scale = guess if low < guess < min(high, 2 * scale) else middle
        return best
