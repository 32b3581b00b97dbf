"""Moves of a JPEG's quantised DCT coefficients by whole steps, chosen so that a reduced decode changes the most.

A decoder at 1/n of the size (n = 1, 2, 4, 8) feels mostly the lowest 8/n x 8/n luma coefficients of a block, and of
4:2:0 chroma the lowest 16/n x 16/n. Those may move, each by a few steps; what moves is written as it is, and no second
quantisation rounds it away. A move's price is the growth of the squared distance between the file and the photo that
it was made from: next to nothing where rounding left a coefficient almost half a step from the photo, on that side; a
whole step's square where the photo is a JPEG and the coefficients are its own. Its worth is the gradient. The best
worth for the price is taken until the budget is spent (a knapsack by density).

Decoding follows libjpeg-turbo's ``jidctint.c`` and ``jidctred.c`` (a reduced block is the mean of 8/size x 8/size
pixels of the full one), ``jdsample.c`` and ``jdcolor.c`` with their intermediate roundings, in floating point where
they have 13-bit constants: at least 99.7% of the levels of Kodak's photos come out the same (at 1/8 99.97%), and the
others lie within 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.functional.jpeg import (
    CB_TO_BLUE,
    CB_TO_GREEN,
    CR_TO_GREEN,
    CR_TO_RED,
    RGB_TO_YCC,
    SHRINKS,
    YCC_TO_RGB,
    chroma_size,
    dct_matrix,
    enlarged_twice,
    widened_twice,
)

__all__ = ["CoefficientMoves"]

CHEAPEST = 1e-3  # price of a step, as a share of a step's square
LARGEST = 1023  # of a coefficient in 8-bit baseline coding
STRIP_ROWS = 256
BINS = 1 << 13
# Between the passes of its transform libjpeg keeps two bits after the point, of values sqrt(8) times ours.
PASS_PRECISION = 4 * math.sqrt(8)
HALF = 0.5001  # libjpeg rounds halves up, and a mean of 64 pixels often is one


def _low_coefficients(pixels: Tensor, side: int, shrink: tuple[int, int]) -> Tensor:
    """Lowest ``side`` x ``side`` DCT coefficients of R, G, B (3, H, W), of means over ``shrink`` pixels (down, across).

    Edges are repeated to whole blocks of 16 pixels. Float32 (3, rows, columns, side, side), not shifted by 128.
    """
    transform, width = dct_matrix(8)[:side].to(pixels.device), pixels.shape[2]
    down, across = (transform.repeat_interleave(n, 1) / n for n in shrink)
    parts = []
    for top in range(0, pixels.shape[1], STRIP_ROWS):  # never the whole photo in floating point
        strip = pixels[:, top : top + STRIP_ROWS].float()
        strip = F.pad(strip, (0, -width % 16, 0, -strip.shape[1] % 16), mode="replicate")
        rows, columns = strip.shape[1] // down.shape[1], strip.shape[2] // across.shape[1]
        low = strip.view(-1, across.shape[1]) @ across.T
        low = down @ low.view(3 * rows, down.shape[1], columns * side)
        parts.append(low.view(3, rows, side, columns, side).transpose(2, 3))
    return torch.cat(parts, 1)


def _upsample_transposed(gradient: Tensor, enlarged: tuple[int, int], smooth: bool) -> Tensor:
    """Gradient with respect to the plane that was ``enlarged``, down and across, and then cropped, from (H, W)."""
    down, across = enlarged
    padded = F.pad(gradient, (0, gradient.shape[1] % across, 0, gradient.shape[0] % down))[None, None]
    if smooth:
        padded = F.pad(padded, (across - 1, across - 1, down - 1, down - 1), mode="replicate")
    triangle, pair = gradient.new_tensor([1, 3, 3, 1]) / 4, gradient.new_ones(2)
    rows, columns = ((triangle if smooth else pair) if n == 2 else pair[:1] for n in enlarged)
    return F.conv2d(padded, torch.outer(rows, columns)[None, None], stride=enlarged)[0, 0]


def _histogram(density: Tensor, price: Tensor) -> tuple[Tensor, Tensor]:
    """Bin of each move, the best worth for the price first (BINS: worth nothing), and what bins up to each one cost."""
    # Positive floating-point numbers are ordered as their bits are: bins of 1/128 over each power of 2.
    bits = density.view(torch.int32)
    top = bits.max() if len(bits) else 0
    bins = ((top - bits) >> 16).clamp_(max=BINS - 1).masked_fill_(density <= 0, BINS)
    return bins, torch.bincount(bins, price.double(), minlength=BINS + 1)[:BINS].cumsum(0)


@dataclass(frozen=True)
class _Component:
    """One of Y, Cb, Cr: how its blocks are decoded, and where they stand without any move.

    Attributes:
        inverse: What one axis of a block of (size) pixels is of those of its 8 coefficients that it feels, (size, f).
        step: Quantisation steps of the coefficients that may move, (side, side).
        half: Blocks (rows, columns, size, f) after the vertical pass, without moves, not rounded.
    """

    inverse: Tensor
    step: Tensor
    half: Tensor

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the coefficients that may move."""
        return (self.half.shape[0], self.half.shape[1], self.step.shape[0], self.step.shape[1])

    @property
    def low(self) -> Tensor:
        """The inverse of the coefficients that may move, (size, side)."""
        return self.inverse[:, : self.step.shape[0]]

    def decode(self, moves: Tensor) -> Tensor:
        """Whole levels 0..255 of the plane, blocks side by side."""
        half = self.half.clone()
        half[..., : self.step.shape[0]] += self.low @ (moves.view(self.shape) * self.step)
        half.mul_(PASS_PRECISION).round_().div_(PASS_PRECISION)
        blocks = (half @ self.inverse.T).add_(128 + HALF).floor_().clamp_(0, 255)
        return blocks.transpose(1, 2).flatten(2).flatten(0, 1)

    def pull(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to a step of each coefficient, from that with respect to the plane (cropped)."""
        rows, columns, size = self.half.shape[:3]
        padded = F.pad(gradient, (0, columns * size - gradient.shape[1], 0, rows * size - gradient.shape[0]))
        blocks = padded.view(rows, size, columns, size).transpose(1, 2)
        return (self.low.T @ (blocks @ self.low) * self.step).flatten()


class CoefficientMoves:
    """Moves of a JPEG's coefficients in whole steps, with their prices, for one photo.

    Budgets and sizes are L2 norms of the *growth*, with pixels in [0, 1]: sqrt(|moved file - photo|² - |unmoved file -
    photo|²). It is computed from the coefficients, where the transform is orthonormal: a level of Y counts 3, of Cb
    3.26 and of Cr 2.48 squared levels of RGB, and chroma of 4:2:0 four times that (a sample covers 2x2 pixels). A step
    never counts less than nothing, although some bring the file nearer to the photo. Products of moves in two
    components of one block, the decoder's rounding and clipping, and its smooth chroma are left out. Of Kodak's photos
    the growth measured on decoded files is 0.84 to 1.11 times this, at qualities from 50 to 98; of photos that were
    JPEGs themselves and are encoded anew it may be 1.8 times this, since rounding has hit their pixels exactly.

    Args:
        pixels: The photo, uint8 levels (3, H, W), wider than 4; None: the photo is the file without moves.
        scale: Which part of its size the decoder makes of it: n = 1, 2, 4 or 8 for 1/n.
        components: Quantised Y, Cb and Cr, or Y alone, of the file without moves, int16 (rows, columns, 8, 8), as an
            encoder makes them of ``pixels``.
        tables: Quantisation steps of luma and of chroma, (8, 8); one for all, or three.
        reduced: What the decoder makes of that file at 1/n, uint8 (3, ceil(H/n), ceil(W/n)).
        subsampling: "4:4:4", "4:2:2" or "4:2:0"; "4:0:0" where there is Y alone.
        most: Steps that a coefficient may move at most.
    """

    def __init__(
        self,
        pixels: Tensor | None,
        scale: int,
        *,
        components: Sequence[Tensor],
        tables: Sequence[Tensor],
        reduced: Tensor,
        subsampling: str = "4:2:0",
        most: int = 4,
    ) -> None:
        device = reduced.device if pixels is None else pixels.device
        self.reduced, self.most, self._base = reduced.to(device), most, tuple(components)
        shrink = SHRINKS[subsampling]
        sizes = (8 // scale, chroma_size(subsampling, scale))
        # What is left to enlarge after the transform; libjpeg smooths it unless a block or the photo is too small.
        self._enlarged = (shrink[0] * sizes[0] // sizes[1], shrink[1] * sizes[0] // sizes[1])
        self._smooth = scale < 8 and reduced.shape[-1] > 4
        self._colours = torch.tensor(YCC_TO_RGB, dtype=torch.float32, device=device)[:, : len(self._base)]
        to_ycc = torch.tensor(RGB_TO_YCC, dtype=torch.float32, device=device)
        low = [] if pixels is None else [_low_coefficients(pixels, sizes[0], (1, 1))]
        if pixels is not None and len(self._base) > 1:
            low.append(_low_coefficients(pixels, sizes[1], shrink))
        self._components, costs, leanings, levels = list[_Component](), [], [], []
        for index, quantised in enumerate(self._base):
            size, table = sizes[min(index, 1)], tables[min(index, len(tables) - 1)].to(device, torch.float32)
            step = table[:size, :size]
            inverse = dct_matrix(8).T.reshape(size, 8 // size, 8).mean(1).to(device)
            level = quantised[..., :size, :size].to(device, torch.int16)
            felt = (inverse.abs().amax(0) > 1e-6).nonzero()[:, 0]  # frequencies that the means do not cancel
            inverse, table = inverse[:, felt], table[felt][:, felt]
            needed = quantised[..., felt.to(quantised.device), :][..., felt.to(quantised.device)]
            half = inverse @ (needed.to(device, torch.float32) * table)
            self._components.append(_Component(inverse, step, half))
            cost = step.square() * self._colours[:, index].square().sum() * (math.prod(shrink) if index else 1)
            costs.append(cost.expand(level.shape).flatten())
            levels.append(level.flatten())
            if pixels is None:
                leanings.append(torch.zeros(level.numel(), device=device))
                continue
            original = torch.einsum("c,crkij->rkij", to_ycc[index], low[min(index, 1)])
            original = original[: quantised.shape[0], : quantised.shape[1]]
            if index == 0:
                original[..., 0, 0] -= 8 * 128  # the level shift of 128 in every pixel
            leanings.append(((original - level * step) / step).flatten())
        self._counts = [len(level) for level in levels]
        # Squared levels of a whole step, and the photo's distance from the file in steps, within ±1/2 but for rounding.
        self._cost, self._leaning, self._level = torch.cat(costs), torch.cat(leanings), torch.cat(levels)

    def aim(self, direction: Tensor) -> None:
        """Order all moves by worth for the price, for a direction of change (3, h, w) of the reduced decode."""
        stuck = ((self.reduced == 255) & (direction > 0)) | ((self.reduced == 0) & (direction < 0))
        planes = torch.einsum("ck,chw->khw", self._colours, direction.float().masked_fill(stuck, 0.0))
        pulled = []
        for index, component in enumerate(self._components):
            plane = planes[index]
            if index and self._enlarged != (1, 1):
                plane = _upsample_transposed(plane, self._enlarged, self._smooth)
            pulled.append(component.pull(plane))
        worth = torch.cat(pulled)
        self._sign = worth.sign().to(torch.int8)
        self._worth = worth.abs()
        price = self._price(1, slice(None))
        self._bins, self._spent = _histogram(self._worth / price, price)

    def spend(self, eps: float) -> Tensor:
        """The best moves whose growth is ``eps`` at most: steps of each coefficient that may move, int8 (K,)."""
        budget = (255 * eps) ** 2
        # First steps alone would reach this bin. Further steps, dearer than the first, do not let them get further.
        last = int(torch.searchsorted(self._spent, budget, right=True))
        reached = (self._bins <= min(last, BINS - 1)).nonzero()[:, 0]
        prices = torch.stack([self._price(step, reached) for step in range(1, self.most + 1)])
        density = self._worth[reached] / prices
        least = density[0].min() if last < BINS and len(reached) else 0.0
        kept = ((density > 0) & (density >= least)).flatten().nonzero()[:, 0]
        prices, density = prices.flatten()[kept], density.flatten()[kept]
        bins, spent = _histogram(density, prices)
        last = int(torch.searchsorted(spent, budget, right=True))
        taken = bins < last
        left = budget - (float(spent[last - 1]) if last else 0.0)
        inside = (bins == last).nonzero()[:, 0]
        inside = inside[density[inside].argsort(descending=True, stable=True)]
        count = int((prices[inside].double().cumsum(0) <= left * (1 + 1e-9)).sum())
        taken[inside[:count]] = last < BINS
        chosen = reached.repeat(self.most)[kept[taken]]
        steps = torch.zeros(len(self._worth), dtype=torch.int8, device=chosen.device)
        return steps.index_add_(0, chosen, steps.new_ones(len(chosen))) * self._sign

    def _price(self, step: int, which: Tensor | slice) -> Tensor:
        """Growth by the ``step``-th step of some coefficients in the direction aimed at, in squared levels of RGB."""
        sign = self._sign[which]
        price = self._leaning[which] * sign
        # The encoder's own arithmetic may leave a step that costs nothing, or less.
        price.mul_(-2).add_(2 * step - 1).clamp_min_(CHEAPEST).mul_(self._cost[which])
        return price.masked_fill_(self._level[which] * sign > LARGEST - step, math.inf)

    def seen(self, moves: Tensor) -> Tensor:
        """What the decoder makes of the moved file at 1/n, uint8 (3, h, w): a simulation, for each step of a search."""
        height, width = self.reduced.shape[-2:]
        planes = []
        for index, (component, part) in enumerate(zip(self._components, torch.split(moves, self._counts), strict=True)):
            plane = component.decode(part)
            if index and self._enlarged != (1, 1):
                down, across = self._enlarged
                plane = plane[: -(-height // down), : -(-width // across)]
                plane = enlarged_twice(plane) if down == 2 else widened_twice(plane, self._smooth)
            planes.append(plane[:height, :width])
        if len(planes) == 1:
            return planes[0].to(torch.uint8).expand(3, -1, -1)
        y, cb, cr = (plane.to(torch.int32) for plane in planes)
        cb, cr = cb - 128, cr - 128
        half = 1 << 15
        red = y + ((CR_TO_RED * cr + half) >> 16)
        green = y + ((CB_TO_GREEN * cb + CR_TO_GREEN * cr + half) >> 16)
        blue = y + ((CB_TO_BLUE * cb + half) >> 16)
        return torch.stack([red, green, blue]).clamp_(0, 255).to(torch.uint8)

    def size(self, moves: Tensor) -> float:
        """Growth that the moves cause, as an L2 norm with pixels in [0, 1]."""
        moved = moves.nonzero()[:, 0]
        steps, leaning = moves[moved].abs(), self._leaning[moved] * moves[moved].sign()
        growth = sum(
            (2 * step - 1 - 2 * leaning)
            .clamp_min_(CHEAPEST)
            .mul_(steps >= step)
            .mul_(self._cost[moved])
            .sum(dtype=torch.float64)
            for step in range(1, self.most + 1)
        )
        return math.sqrt(float(growth)) / 255

    def realise(self, moves: Tensor) -> tuple[Tensor, ...]:
        """Quantised components of the moved file, int16 of the shapes and on the device of those it began with."""
        moved = []
        for base, component, part in zip(self._base, self._components, torch.split(moves, self._counts), strict=True):
            side, result = component.step.shape[0], base.clone()
            result[..., :side, :side] += part.view(component.shape).to(result)
            moved.append(result)
        return tuple(moved)
