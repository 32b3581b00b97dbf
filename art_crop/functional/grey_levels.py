"""Perturbations in whole grey levels, chosen so that a cropper which rounds feels the most for the least change.

A written photo has uint8 pixels, and the cropper's first step is a 2x2 box mean that rounds down. At budgets below half
a grey level per pixel a rounded gradient step is mostly zeros, while one single level in the right pixel lifts the mean
of its block across the next integer: a block whose sum is 3 modulo 4 rises for 1 pixel-level, one whose sum is 0 modulo
4 needs 4. So the moves on offer are "block entry up or down by one", each with its price in squared pixel levels and
its worth, the gradient. Taking the best worth for the price until the budget is spent solves the linearised problem (a
knapsack by density). Without halvings an entry is a pixel and a move costs 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LevelMoves", "block_sum"]

IMPOSSIBLE = 1e12
BINS = 4096


def block_sum(x: Tensor, halvings: int) -> Tensor:
    """Sum of each 2^k x 2^k block of (..., H, W), leaving out the rows and columns that halving drops."""
    for _ in range(halvings):
        height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
        x = x[..., :height, :width]
        x = x[..., 0::2, 0::2] + x[..., 0::2, 1::2] + x[..., 1::2, 0::2] + x[..., 1::2, 1::2]
    return x


def _spread(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Each entry over its 2x2 block; zeros where halving drops a row or column of the finer ``shape``."""
    wide = x.repeat_interleave(2, -2).repeat_interleave(2, -1)
    return F.pad(wide, (0, shape[1] - wide.shape[-1], 0, shape[0] - wide.shape[-2]))


@dataclass(frozen=True)
class _Moved:
    """All entries of one halving level moved by one: their values now, pixels after the move, and prices."""

    values: Tensor
    pixels: Tensor
    price: Tensor


def _move(pixels: Tensor, original: Tensor, movable: Tensor | None, sign: int, halvings: int) -> _Moved:
    """Move every entry after ``halvings`` halvings by one level up or down, at the least price for each.

    A pixel goes by one level at most in a move; pixels at 0 or 255 cannot go further, and those not ``movable`` cannot
    go at all. Price is the growth of the squared distance to ``original``; the pixels of impossible moves mean nothing.
    """
    if halvings == 0:
        moved = pixels + sign
        possible = (moved >= 0) & (moved <= 255)
        if movable is not None:
            possible &= movable
        price = (moved - original).int().square() - (pixels - original).int().square()
        return _Moved(pixels, torch.where(possible, moved, pixels), torch.where(possible, price.float(), IMPOSSIBLE))
    child = _move(pixels, original, movable, sign, halvings - 1)
    height, width = child.values.shape[-2] // 2 * 2, child.values.shape[-1] // 2 * 2
    blocks = F.pixel_unshuffle(child.values[..., :height, :width], 2)
    prices = F.pixel_unshuffle(child.price[..., :height, :width], 2)
    channels = child.values.shape[-3]
    blocks, prices = (t.view(*t.shape[:-3], channels, 4, *t.shape[-2:]) for t in (blocks, prices))
    total = blocks.sum(-3)
    needed = 4 - (total & 3) if sign > 0 else (total & 3) + 1
    chosen = _rank(prices) < needed.unsqueeze(-3)
    price = torch.where(chosen, prices, 0.0).sum(-3)
    chosen = chosen.flatten(-4, -3)
    mask = F.pixel_shuffle(chosen.byte(), 2)
    mask = F.pad(mask, (0, child.values.shape[-1] - width, 0, child.values.shape[-2] - height))
    for shape in _finer_shapes(pixels, halvings - 1):
        mask = _spread(mask, shape)
    return _Moved(total >> 2, torch.where(mask > 0, child.pixels, pixels), price)


def _rank(prices: Tensor) -> Tensor:
    """Place of each of 4 entries (..., 4, h, w) when sorted, equal ones in their order; far faster than sorting."""
    p = prices.unbind(-3)
    rank = [sum(((p[j] <= p[i]) if j < i else (p[j] < p[i])).byte() for j in range(4) if j != i) for i in range(4)]
    return torch.stack([torch.as_tensor(r) for r in rank], -3)


def _finer_shapes(pixels: Tensor, halvings: int) -> list[tuple[int, int]]:
    """Shapes from one level finer than ``halvings`` up to the pixels."""
    height, width = pixels.shape[-2:]
    return [(height >> k, width >> k) for k in reversed(range(halvings))]


class LevelMoves:
    """Moves of a photo's entries in whole levels, with their prices, for one photo.

    Args:
        pixels: uint8 levels (3, H, W).
        halvings: 2x2 box halvings of the cropper's resize.
        movable: Pixels that may change, bool (3, H, W); None: all.
        most: Levels that an entry may move at most.
    """

    def __init__(self, pixels: Tensor, halvings: int, *, movable: Tensor | None = None, most: int = 2) -> None:
        self.original, self.halvings, self.most = pixels.to(torch.int16), halvings, most
        self._images: dict[int, list[Tensor]] = {}
        self._prices: dict[int, list[Tensor]] = {}
        for sign in (1, -1):
            images, prices = [self.original], list[Tensor]()
            for _ in range(most):
                moved = _move(images[-1], self.original, movable, sign, halvings)
                # A second level stands on the first; where that is impossible, so is this.
                price = torch.maximum(moved.price, prices[-1]) if prices else moved.price
                images.append(moved.pixels)
                prices.append(torch.where(price >= IMPOSSIBLE, IMPOSSIBLE, moved.price))
            self._images[sign], self._prices[sign] = images, prices

    def aim(self, direction: Tensor) -> None:
        """Order all moves by worth for the price, for a direction of change (3, H, W) (minus the gradient).

        The order is kept as a histogram over the logarithm of worth per price: only the last, partly spent bin is
        sorted.
        """
        worth = block_sum(direction, self.halvings)
        up = worth > 0
        price = torch.stack([torch.where(up, a, b) for a, b in zip(self._prices[1], self._prices[-1], strict=True)])
        density = worth.abs() / price
        for level in range(1, self.most):  # a second level only after the first
            density[level] = torch.minimum(density[level], density[level - 1])
        usable = (density > 0) & (price < IMPOSSIBLE)
        logarithm = density.clamp_min(1e-38).log()
        top = logarithm.max()
        # Bins of 1/512 over the upper e^8 of the range: cheaper moves than that are never reached by a small budget.
        bins = ((top - logarithm) * 512).clamp(0, BINS - 1).to(torch.int64)
        self._bins = torch.where(usable, bins, BINS)
        weight = torch.where(usable, price, 0.0).double().flatten()
        self._spent = torch.bincount(self._bins.flatten(), weight, minlength=BINS + 1)[:BINS].cumsum(0)
        self._up, self._price, self._density = up, price, density

    def spend(self, budget: float) -> Tensor:
        """The photo, uint8 (3, H, W), after the best moves whose prices add up to ``budget`` squared levels at most."""
        last = int(torch.searchsorted(self._spent, budget, right=True))
        taken = self._bins < last
        if last < BINS:
            left = budget - (float(self._spent[last - 1]) if last else 0.0)
            index = (self._bins == last).flatten().nonzero()[:, 0]
            index = index[self._density.flatten()[index].argsort(descending=True, stable=True)]
            count = int((self._price.flatten()[index].double().cumsum(0) <= left * (1 + 1e-9)).sum())
            taken.view(-1)[index[:count]] = True
        for level in range(1, self.most):  # the logarithm of equal numbers may differ in its last digit
            taken[level] &= taken[level - 1]
        levels = taken.to(torch.int8).sum(0, dtype=torch.int8)
        signed = torch.where(self._up, levels, -levels)
        for shape in _finer_shapes(self.original, self.halvings):
            signed = _spread(signed, shape)
        result = self.original
        for sign in (1, -1):
            for level in range(1, self.most + 1):
                result = torch.where(signed == sign * level, self._images[sign][level], result)
        return result.to(torch.uint8)

    @property
    def capacity(self) -> float:
        """Squared levels that all worthwhile moves together cost; a larger budget cannot be spent."""
        return float(self._spent[-1])
