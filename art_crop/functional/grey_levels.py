"""Perturbations in whole grey levels, chosen so that a model which halves and rounds feels the most for the least L2.

A written photo has uint8 pixels, and the cropper's first steps are 2x2 box means that round down. An entry of the
halved photo rises by one level when the sum of its four pixels crosses the next multiple of 4: for 1 pixel-level where
the sum is 3 modulo 4, for 4 where it is 0. So each level of each entry has a price, the squared pixel levels that it
takes at least, and the search is a knapsack: the most worth (minus the gradient) for the price, until the budget is
spent. It works at the halved size; full-size pixels are read once, for the prices, and written once.

After its first level an entry rises further only with all four children, so the pixels of a block move in step, some of
them behind the first ones by a level for each halving at most. With c_s pixels that are s levels behind, moving an
entry by m levels costs the sum over s of c_s max(0, m - s)^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from art_crop.errors import InvalidInputError

__all__ = ["LevelMoves"]

STRIP = 2**21
"""Values of the photo that are worked on at once."""
BINS = 8192
"""Bins of worth per price, 512 to a factor of 2."""
FINE = 128
"""Steps to a factor of 2 in the search for the highest price that a unit of worth justifies."""
STEEPEST = 126 * FINE
"""Step at the end of the range of float32."""
SAMPLE = 2**14
"""Entries on which the search begins."""


def _blocks(strip: Tensor, halvings: int) -> Tensor:
    """View a strip (C, H, W) as (2, 2) * halvings + (C, h, w): place in each 2x2 block, the finest halving's first."""
    height, width, k = strip.shape[-2] >> halvings, strip.shape[-1] >> halvings, halvings
    if k == 0:
        return strip
    channels, sides = len(strip), [2] * k
    split = strip[..., : height << k, : width << k].view(channels, height, *sides, width, *sides)
    return split.permute(*(axis for j in range(k) for axis in (1 + k - j, 2 + 2 * k - j)), 0, 1, k + 2)


def _behind(price: Tensor, needed: Tensor) -> Tensor:
    """Tell which of 4 children (4, ...) are not among the ``needed`` cheapest, equal ones in order: uint8 0 or 1."""
    first = {(i, j): (price[i] <= price[j]).view(torch.uint8) for i in range(4) for j in range(i + 1, 4)}
    behind = torch.empty(price.shape, dtype=torch.bool, device=price.device)
    for i in range(4):
        rank = torch.full_like(price[i], 3 - i, dtype=torch.uint8)
        for j in range(4):
            rank = rank - first[i, j] if j > i else rank + first[j, i] if j < i else rank
        torch.ge(rank, needed, out=behind[i])
    return behind.view(torch.uint8)


class _Pyramid:
    """The least that moves each entry of a strip by a level, found from the pixels up to the last halving.

    Selections are products of small whole numbers, which is many times faster than :func:`torch.where`.

    Args:
        pixels: uint8 (4^k, 1, n), each block's pixels as :func:`_blocks` orders them.
        down: uint8 (signs, 1 or n): 255 where entries move down, 0 where up.
        movable: uint8 (4^k, 1, n), 0 where a pixel must not change; None: all may.
        most_behind: Up to how many levels behind pixels are told apart.

    Attributes:
        pixels: As given.
        behind: For each halving, which children stay a level behind, uint8 (4, 4^j, signs, n).
        values: The entries, uint8 (1, 1, n).
        room: Levels that an entry can move, uint8 (1, signs, n).
        counts: For each s, how many of an entry's pixels stay s levels behind it, (1, signs, n).
    """

    def __init__(self, pixels: Tensor, down: Tensor, movable: Tensor | None, halvings: int, most_behind: int) -> None:
        # A child that stays behind adds a level to its parent's room: leave space for that below 256.
        room = (pixels ^ ~down).clamp_max_(255 - halvings)
        room = room if movable is None else room * movable
        counts = [torch.ones_like(room)]
        values, self.pixels, self.behind = pixels, pixels, list[Tensor]()
        for _ in range(halvings):
            values, room, *counts = (t.view(4, len(t) // 4, *t.shape[1:]) for t in (values, room, *counts))
            total = values.sum(0, dtype=torch.int16)
            needed = 4 - ((total & 3).to(torch.uint8) ^ (down & 3))
            kind = torch.uint8 if len(self.behind) < 3 else torch.int32  # of what is up to 4^halvings
            counts = [count.to(kind) for count in counts]
            fixed = (room.clamp_max(1).to(kind) - 1) & torch.iinfo(kind).max  # 0 wraps around to the largest price
            behind = _behind(torch.maximum(counts[0], fixed), needed)
            late = [_sum(count * behind) for count in counts]
            counts = [_sum(count) - lost for count, lost in zip(counts, late, strict=True)] + [late[-1]]
            for s in range(1, len(late)):
                counts[s] += late[s - 1]
            del counts[most_behind + 1 :]
            room = room + behind
            room = torch.minimum(torch.minimum(room[0], room[1]), torch.minimum(room[2], room[3]))
            values = (total >> 2).to(torch.uint8)
            self.behind.append(behind)
        self.values, self.room, self.counts = values, room, counts


def _sum(children: Tensor) -> Tensor:
    """Sum over the first dimension, of 4; faster than a reduction, and in the dtype."""
    return torch.as_tensor(sum(children[1:], children[0]))


class LevelMoves:
    """Moves in whole grey levels of one photo, as a model that begins with halvings feels them.

    "Moves" are int16 (3, h, w): by how many levels each entry of the halved photo goes up or down. Each entry's
    pixels change by the least that has exactly this effect. Norms are L2 norms at full size, of pixels in [0, 1].

    Args:
        pixels: Photo, uint8 (3, H, W); kept, not copied.
        halvings: 2x2 means, rounded down, with which the model begins; without any, an entry is a pixel.
        movable: Pixels that may change, bool, broadcast to (3, H, W); None: all.
        most: Levels that an entry moves at most while the budget is small.

    Attributes:
        reduced: The photo after the halvings, uint8 (3, h, w), h = H >> halvings and w = W >> halvings.
        shape: Shape of ``reduced``, of directions and of moves.

    Raises:
        InvalidInputError: The photo is not uint8 (C, H, W), or ``movable`` does not fit it.
    """

    def __init__(self, pixels: Tensor, halvings: int, *, movable: Tensor | None = None, most: int = 2) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 3:
            raise InvalidInputError(f"pixels: uint8 (3, H, W) is needed, not {pixels.dtype} {tuple(pixels.shape)}")
        self._pixels, self._halvings, self._most = pixels, halvings, most
        # Prices are whole numbers of at most 4^halvings * 255^2.
        self._number = torch.float32 if halvings < 5 else torch.float64
        try:
            self._movable = None if movable is None else movable.expand(pixels.shape)
        except RuntimeError as error:
            raise InvalidInputError(f"movable: a mask that fits {tuple(pixels.shape)} is needed") from error
        channels, height, width = pixels.shape
        self.shape = (channels, height >> halvings, width >> halvings)
        self.reduced = pixels.new_empty(self.shape)
        self._room = pixels.new_empty((2, *self.shape))  # up and down
        self._counts = [
            self._room.new_empty(self._room.shape, dtype=torch.uint8 if halvings < 4 else torch.int32)
            for _ in range(halvings + 1)
        ]
        down = torch.tensor([[0], [255]], dtype=torch.uint8, device=pixels.device)
        for rows, _ in self._strips():
            found = self._pyramid(rows, down, halvings)
            part = self.reduced[:, rows]
            part.copy_(found.values.view(part.shape))
            for whole, strip in zip([self._room, *self._counts], [found.room, *found.counts], strict=True):
                part = whole[:, :, rows]
                part.copy_(strip.view(part.shape))

    def aim(self, direction: Tensor) -> None:
        """Order moves by worth for the price, for a change that is wanted at the halved size.

        Args:
            direction: Wanted change of each entry (3, h, w), as minus the gradient; sign and relative size count.
        """
        largest = float(direction.abs().max()) if direction.numel() else 0.0
        if tuple(direction.shape) != self.shape or not math.isfinite(largest):
            raise InvalidInputError(f"direction: finite numbers of shape {self.shape} are needed")
        direction = direction.contiguous()
        self._sign = direction.sign().to(torch.int16)
        self._worth = direction.abs().to(self._number).flatten() / max(largest, torch.finfo(torch.float32).tiny)
        self._squares = float(self._worth.square().sum(dtype=torch.float64))
        room, self._prices = self._priced(self._sign)
        self._room_along = room.flatten() * self._sign.flatten().abs().to(self._number)
        # Small budgets: all moves are sorted into bins, of which only the last, partly spent one is sorted further.
        price = self._prices[: self._most]
        self._density = (self._worth / price).float()
        for level in range(self._most):
            self._density[level] *= self._room_along > level
        # The leading bits of a float32, as an integer, are in its order.
        bits = self._density.view(torch.int32) >> 14
        top = int(bits.max()) if bits.numel() else 0
        bins = (top - bits).clamp_max_(BINS - 1).masked_fill_(self._density <= 0, BINS)
        spent = torch.bincount(bins.flatten(), price.flatten().double(), minlength=BINS + 1)
        self._bins, self._spent = bins.to(torch.int16), spent[:BINS].cumsum(0)
        self._full = self._total(self._room_along, self._prices)

    @property
    def capacity(self) -> float:
        """L2 norm of the furthest moves along the direction; a larger budget is not used up."""
        return math.sqrt(self._full) / 255

    @property
    def single_levels_capacity(self) -> float:
        """L2 norm of all moves of at most ``most`` levels along the direction."""
        return math.sqrt(int(self._spent[-1])) / 255

    def spend(self, eps: float) -> Tensor:
        """Moves along the direction that are worth most, with an L2 norm of at most ``eps``.

        Below half a level a pixel they are single levels, ``most`` for an entry. Larger budgets, and what these
        cannot use up, go to moves of any number of levels: rounded multiples of the direction, in the main.

        Returns:
            int16 (3, h, w). The norm falls short of ``eps`` by less than the price of one level of one entry, unless
            all entries are at the end of their room.
        """
        # Prices are whole numbers: the largest whose root is inside the budget, whichever way that was rounded.
        budget = int((eps * 255) ** 2)
        budget += math.sqrt(budget + 1) / 255 <= eps
        # The single levels' share ends at half a level a pixel, or where there are no more of them.
        switch = min(self._pixels.numel() // 4, int(self._spent[-1]))
        if budget >= self._full:
            levels = self._room_along
        elif budget <= switch:
            levels = self._single_levels(budget)
        else:
            levels, spent = self._any_levels(budget)
            if spent < switch:  # by less than a move's price: a larger budget must not buy less
                levels = self._single_levels(switch)
        return levels.to(torch.int16).view(self.shape) * self._sign

    def _single_levels(self, budget: int) -> Tensor:
        last = int(torch.searchsorted(self._spent, budget, right=True))
        taken = self._bins < last
        if last < BINS:
            left = budget - (int(self._spent[last - 1]) if last else 0)
            index = (self._bins == last).flatten().nonzero()[:, 0]
            density, price = self._density.view(-1)[index], self._prices.view(-1)[index]
            taken.view(-1)[index[_best(density, price, left)]] = True
        return taken.sum(0, dtype=torch.int16)

    def _any_levels(self, budget: int) -> tuple[Tensor, int]:
        """All levels whose price is at most a multiple of the worth, and some of those that come next; the cost.

        An entry's prices grow by 2 n a level (n pixels in a block), so that this is the direction, scaled and rounded.
        """
        entries = (self._worth, self._room_along, self._prices)
        guess = math.log2(4 * 4**self._halvings * budget / self._squares) / 2 * FINE
        apart = len(self._worth) // SAMPLE
        if apart > 1:
            step, *_ = self._bracket(budget / apart, guess, *(t[..., ::apart].contiguous() for t in entries))
            guess = guess if step == STEEPEST - 1 else step
        _, spent, levels, above = self._bracket(budget, guess, *entries)
        index = (above > levels).nonzero()[:, 0]
        prices, more, fewer = self._prices[:, index], above[index], levels[index]
        price = self._cost(more, prices) - self._cost(fewer, prices)
        chosen = _best(self._worth[index] * (more - fewer) / price, price, budget - spent)
        levels[index[chosen]] = more[chosen]
        return levels, spent + int(price[chosen].sum(dtype=torch.float64))

    def _bracket(self, budget: float, guess: float, *entries: Tensor) -> tuple[int, int, Tensor, Tensor]:
        """Last step of the search that costs at most ``budget``, its cost, its levels, and the next step's levels."""
        low, high, spent, dear = -1, STEEPEST, 0, 0
        below, above = torch.zeros_like(entries[1]), entries[1]
        stride, rounds = FINE / 2, 0
        while high - low > 1:
            step = min(max(round(guess), low + 1), high - 1)
            levels = self._levels_within(step, *entries)
            cost = self._total(levels, entries[-1])
            if cost <= budget:
                low, spent, below = step, cost, levels
            else:
                high, dear, above = step, cost, levels
            rounds += 1
            if spent and dear:
                share = math.log(budget / spent) / math.log(dear / spent)
                guess = low + (high - low) * (share if rounds % 4 else 0.5)
            else:
                guess, stride = step + stride * (math.log2(budget / cost) if cost else 1), 2 * stride
        return low, spent, below, above

    def _levels_within(self, step: int, worth: Tensor, room: Tensor, prices: Tensor) -> Tensor:
        """Levels of each entry whose prices are at most 2 to the power of ``step / FINE``, times its worth."""
        limit = worth * 2 ** (step / FINE)
        levels = ((limit - prices[-1]) / (2 * 4**self._halvings)).floor_().clamp_min_(0)
        reached = torch.empty_like(limit)
        for price in prices:
            levels += torch.le(price, limit, out=reached)
        return torch.minimum(levels, room)

    def seen(self, moves: Tensor) -> Tensor:
        """The halved photo after moves (3, h, w), uint8: exactly what halving :meth:`realise` gives."""
        return (self.reduced + moves).to(torch.uint8)

    def size(self, moves: Tensor) -> float:
        """Exact L2 norm of the photo's change by moves (3, h, w), of pixels in [0, 1]."""
        self._check(moves)
        _, prices = self._priced(moves)
        return math.sqrt(self._total(moves.flatten().abs().to(self._number), prices)) / 255

    def realise(self, moves: Tensor) -> Tensor:
        """The photo, uint8 (3, H, W), after moves (3, h, w)."""
        self._check(moves)
        result = self._pixels.clone()
        for rows, full in self._strips():
            part = moves[:, rows]
            if not part.any():
                continue
            down = (part < 0).reshape(1, -1).to(torch.uint8) * 255
            levels = part.abs().to(torch.uint8).reshape(1, 1, -1)
            pyramid = self._pyramid(rows, down, 0)
            for behind in reversed(pyramid.behind):
                levels = (levels - torch.minimum(levels, behind)).flatten(0, 1)
            target = _blocks(result[:, full], self._halvings)
            moved = (pyramid.pixels + ((levels ^ down) - down)).view(target.shape)
            for place in product((0, 1), repeat=2 * self._halvings):  # in one copy_ the innermost loop is of 2 values
                target[place] = moved[place]
        return result

    # -- the pieces ----------------------------------------------------------------------------------------------------

    def _strips(self) -> Iterator[tuple[slice, slice]]:
        """Rows of the halved photo, and of the photo, that are worked on at once."""
        channels, height, _ = self.shape
        step = max(1, STRIP // max(1, channels * self._pixels.shape[-1] << self._halvings))
        for top in range(0, height, step):
            bottom = min(top + step, height)
            yield slice(top, bottom), slice(top << self._halvings, bottom << self._halvings)

    def _pyramid(self, rows: slice, down: Tensor, most_behind: int) -> _Pyramid:
        full = slice(rows.start << self._halvings, rows.stop << self._halvings)
        planes = (4**self._halvings, 1, -1)
        movable = None
        if self._movable is not None:
            movable = _blocks(self._movable[:, full], self._halvings).reshape(planes).to(torch.uint8)
        pixels = _blocks(self._pixels[:, full], self._halvings).reshape(planes)
        return _Pyramid(pixels, down, movable, self._halvings, most_behind)

    def _priced(self, signed: Tensor) -> tuple[Tensor, Tensor]:
        """Room of each entry along signs (3, h, w), and the prices (levels, 3 h w) of its first levels.

        After the last of these each level costs twice the number of pixels more than the one before.
        """
        down = signed < 0
        levels = max(self._most, self._halvings + 1)
        prices = torch.zeros(levels, down.numel(), dtype=self._number, device=signed.device)
        moved = torch.zeros_like(prices[0])
        for level, price in enumerate(prices):
            price += moved if level == 0 else prices[level - 1] + moved
            if level < len(self._counts):  # pixels that this level moves for the first time
                moved += _select(down, self._counts[level]).flatten()
            price += moved
        return _select(down, self._room), prices

    def _cost(self, levels: Tensor, prices: Tensor) -> Tensor:
        """Squared pixel levels, exact, that moving entries by ``levels`` (n,) takes at ``prices`` (levels, n)."""
        further = (levels - len(prices)).clamp_min_(0)
        total = torch.as_tensor(further * (prices[-1] + 4**self._halvings * (further + 1)))
        reached = torch.empty_like(levels)
        for level, price in enumerate(prices):
            total += torch.gt(levels, level, out=reached).mul_(price)
        return total

    def _total(self, levels: Tensor, prices: Tensor) -> int:
        return int(self._cost(levels, prices).sum(dtype=torch.float64))

    def _check(self, moves: Tensor) -> None:
        fits = tuple(moves.shape) == self.shape
        if not fits or bool((moves.abs() > _select(moves < 0, self._room)).any()):
            raise InvalidInputError(f"moves: levels of shape {self.shape} are needed that pixels have room for")


def _select(down: Tensor, both: Tensor) -> Tensor:
    """The second of two tensors (2, ...) where ``down``, else the first."""
    return torch.as_tensor(both[0] + down.to(both.dtype) * (both[1] - both[0]))


def _best(density: Tensor, price: Tensor, budget: int) -> Tensor:
    """Indices of the moves that come first by density, as many as the budget allows."""
    order = density.argsort(descending=True, stable=True)
    return order[: int((price[order].cumsum(0, dtype=torch.float64) <= budget).sum())]
