"""Whole-level moves against exhaustive search and a slow knapsack: prices, effects on the halved photo, budgets."""

from __future__ import annotations

import itertools
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.functional import grey_levels
from art_crop.functional.grey_levels import LevelMoves
from art_crop.functional.resize import halve

Array = np.ndarray[Any, Any]
SIZES = {0: (2, 3), 1: (5, 6), 2: (9, 11), 3: (19, 17)}


def pixels_of(kind: str, halvings: int, *, channels: int = 1, seed: int = 0) -> Array:
    rng = np.random.default_rng([seed, halvings])
    shape = (channels, *SIZES[halvings])
    if kind == "middle":
        return rng.integers(10, 245, shape).astype(np.uint8)
    extremes = rng.choice(np.array([0, 1, 254, 255], np.uint8), shape)
    return np.where(rng.random(shape) < 0.3, extremes, rng.integers(0, 256, shape).astype(np.uint8))


def cheapest(block: Array, change: int, steps: tuple[int, ...], movable: Array | None = None) -> float:
    """Least sum of squared pixel changes that moves the block's entry by ``change``, by trying all combinations.

    ``steps``: by how much a pixel, or an entry on the way, may change.
    """

    def entry(top: int, left: int, side: int) -> int:
        if side == 1:
            return int(block[top, left])
        return sum(entry(*corner, side // 2) for corner in corners(top, left, side)) // 4

    def corners(top: int, left: int, side: int) -> list[tuple[int, int]]:
        return [(top + a, left + b) for a in (0, side // 2) for b in (0, side // 2)]

    @cache
    def costs(top: int, left: int, side: int) -> dict[int, float]:
        if side == 1:
            free = movable is None or bool(movable[top, left])
            return {s: s * s for s in steps if s == 0 or (free and 0 <= int(block[top, left]) + s <= 255)}
        total = sum(entry(*corner, side // 2) for corner in corners(top, left, side))
        best: dict[int, float] = {}
        for parts in itertools.product(*(costs(*c, side // 2).items() for c in corners(top, left, side))):
            moved = (total + sum(step for step, _ in parts)) // 4 - total // 4
            price = sum(price for _, price in parts)
            if moved in steps and price < best.get(moved, math.inf):
                best[moved] = price
        return best

    return costs(0, 0, len(block)).get(change, math.inf)


def blocks_of(shape: tuple[int, ...], halvings: int) -> list[tuple[int, int, slice, slice]]:
    side = 2**halvings
    return [
        (r, c, slice(r * side, r * side + side), slice(c * side, c * side + side))
        for r in range(shape[-2] >> halvings)
        for c in range(shape[-1] >> halvings)
    ]


def halved(pixels: Tensor, halvings: int) -> Tensor:
    for _ in range(halvings):
        pixels = halve(pixels)
    return pixels.to(torch.int16)


def only(moves: LevelMoves, row: int, column: int, levels: int) -> Tensor:
    """Moves of one entry alone."""
    chosen = torch.zeros(moves.shape, dtype=torch.int16)
    chosen[:, row, column] = levels
    return chosen


def price_of(moves: LevelMoves, row: int, column: int, levels: int) -> float:
    """Squared pixel levels of one entry's move; infinite where pixels have no room for it."""
    try:
        price = (moves.size(only(moves, row, column, levels)) * 255) ** 2
    except InvalidInputError:
        return math.inf
    assert price == pytest.approx(round(price), rel=1e-9)
    return round(price)


def squared(a: Tensor, b: Tensor) -> int:
    return int((a.int() - b.int()).square().sum())


def budget(levels: float, pixels: Tensor) -> float:
    """L2 norm of a change by so many grey levels a pixel."""
    return levels / 255 * math.sqrt(pixels.numel())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_the_price_of_a_move_is_the_least_there_is(halvings: int, sign: int) -> None:
    pixels = pixels_of("middle", halvings)
    moves = LevelMoves(torch.from_numpy(pixels), halvings)
    steps = tuple(sign * step for step in range(-1, 5))  # further is never cheaper
    for row, column, rows, columns in blocks_of(pixels.shape, halvings):
        assert price_of(moves, row, column, sign) == cheapest(pixels[0, rows, columns], sign, steps)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_saturated_and_masked_pixels_are_paid_around(halvings: int, sign: int, masked: bool) -> None:
    """A pixel goes one level at most for an entry's first, so where too few can go there is no move."""
    pixels = pixels_of("extremes", halvings)
    mask = np.random.default_rng(5).random(pixels.shape) < 0.6 if masked else np.ones(pixels.shape, bool)
    moves = LevelMoves(torch.from_numpy(pixels), halvings, movable=torch.from_numpy(mask))
    offered = 0
    for row, column, rows, columns in blocks_of(pixels.shape, halvings):
        least = cheapest(pixels[0, rows, columns], sign, (0, sign), mask[0, rows, columns])
        assert price_of(moves, row, column, sign) == least
        offered += least < math.inf
    assert offered


@pytest.mark.parametrize("kind", ["middle", "extremes"])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_a_move_does_to_the_halved_photo_what_it_promises(halvings: int, kind: str) -> None:
    pixels = torch.from_numpy(pixels_of(kind, halvings))
    mask = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(3)) < (0.8 if kind == "extremes" else 2)
    moves, before = LevelMoves(pixels, halvings, movable=mask), halved(pixels, halvings)
    made = set()
    for row, column, _, _ in blocks_of(pixels.shape, halvings):
        for levels in (1, -1, 2, -2, 3, -8, 255, -255):
            price = price_of(moves, row, column, levels)
            if price == math.inf:
                continue
            chosen = only(moves, row, column, levels)
            moved = moves.realise(chosen)
            assert torch.equal(halved(moved, halvings) - before, chosen)
            assert torch.equal(moves.seen(chosen), halved(moved, halvings).to(torch.uint8))
            assert squared(moved, pixels) == price
            assert torch.equal(moved[~mask], pixels[~mask])
            made.add(levels)
            if abs(levels) == 2:  # bought as soon as it can be paid
                moves.aim(chosen.float())
                eps = math.sqrt(price) / 255
                assert torch.equal(moves.spend(eps), chosen)
                assert torch.equal(moves.spend(eps * (1 - 1e-9)), chosen // 2)
    assert made >= ({1, -1, 2, -2, 3, -8} if kind == "middle" else {1, -1})


@pytest.mark.parametrize("halvings", [0, 1, 2, 3, 4, 5])
def test_no_move_takes_a_pixel_out_of_its_range(halvings: int) -> None:
    """The furthest moves are realised exactly; a level further is refused."""
    pixels = torch.randint(100, 140, (3, 1 << halvings, 3 << halvings), generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(torch.uint8)
    pixels[0, 0, 0], pixels[1, -1, -1] = 255, 0
    moves = LevelMoves(pixels, halvings)
    for sign in (1, -1):
        moves.aim(sign * torch.ones(moves.shape))
        furthest = moves.spend(1e9)
        assert moves.size(furthest) == moves.capacity
        moved = moves.realise(furthest)
        assert squared(moved, pixels) == pytest.approx((moves.capacity * 255) ** 2)
        assert torch.equal(halved(moved, halvings).to(torch.uint8), moves.seen(furthest))
        for row, column, _, _ in blocks_of(pixels.shape, halvings):
            further = furthest * (only(moves, row, column, 1) != 0)
            further[:, row, column] += sign
            with pytest.raises(InvalidInputError, match="moves"):
                moves.realise(further)


# -- the knapsack against a slow one -----------------------------------------------------------------------------------


def moved_by_one(block: Array, original: Array, free: Array, sign: int) -> tuple[int, Array, float]:
    """An entry's value, its pixels one level on, and the price, by the rule of the cheapest children, one at a time."""
    if block.size == 1:
        step = block + sign
        possible = bool(free.all()) and 0 <= step.item() <= 255
        price = float((step - original).item() ** 2 - (block - original).item() ** 2)
        return block.item(), step if possible else block, price if possible else math.inf
    half = len(block) // 2
    parts = [(slice(a, a + half), slice(b, b + half)) for a in (0, half) for b in (0, half)]
    children = [moved_by_one(block[p], original[p], free[p], sign) for p in parts]
    total = sum(value for value, _, _ in children)
    needed = 4 - total % 4 if sign > 0 else total % 4 + 1
    chosen = sorted(range(4), key=lambda i: children[i][2])[:needed]
    result = block.copy()
    for i in chosen:
        result[parts[i]] = children[i][1]
    return total // 4, result, sum(children[i][2] for i in chosen)


def slow_knapsack(pixels: Array, halvings: int, free: Array, direction: Array, budgets: list[int]) -> list[Array]:
    """The photo after the best single levels, two an entry at most, sorted as a whole, for each budget."""
    items = []
    for channel, one in enumerate(pixels.astype(int)):
        for place, (row, column, rows, columns) in enumerate(blocks_of(pixels.shape, halvings)):
            worth = direction[channel, row, column]
            block = original = one[rows, columns]
            for level in range(2):
                _, block, price = moved_by_one(block, original, free[channel, rows, columns], int(np.sign(worth)))
                if price == math.inf or worth == 0:
                    break
                density = np.float32(abs(worth)) / np.float32(price)
                items.append((-density, level, channel, place, price, (rows, columns), block))
    items.sort(key=lambda item: item[:4])
    results = []
    for left in budgets:
        result = pixels.copy()
        for _, _, channel, _, price, place, block in items:
            left -= price
            if left < 0:
                break
            result[(channel, *place)] = block
        results.append(result)
    return results


def agrees(pixels: Tensor, halvings: int, mask: Tensor, seed: int) -> None:
    moves = LevelMoves(pixels, halvings, movable=mask)
    direction = torch.randn(moves.shape, generator=torch.Generator().manual_seed(seed)) ** 3
    moves.aim(direction)
    most = min(pixels.numel() / 4, (moves.single_levels_capacity * 255) ** 2)  # what single levels are for
    budgets = [int(share * most) for share in (0.002, 0.04, 0.3, 0.6, 0.96)]
    slow = slow_knapsack(pixels.numpy(), halvings, mask.expand_as(pixels).numpy(), direction.numpy(), budgets)
    for squares, expected in zip(budgets, slow, strict=True):
        found = moves.realise(moves.spend(math.sqrt(squares) / 255))
        assert np.array_equal(found.numpy(), expected), squares
    assert not np.array_equal(slow[-1], slow[-2])


@pytest.mark.parametrize("halvings", [1, 2, 3, 4])
def test_small_budgets_are_spent_as_a_slow_knapsack_does(halvings: int) -> None:
    generator = torch.Generator().manual_seed(halvings)
    pixels = torch.randint(0, 256, (3, 61, 70), generator=generator).to(torch.uint8)
    agrees(pixels, halvings, torch.rand(1, 61, 70, generator=generator) < 0.99, 1)


@pytest.mark.parametrize("halvings", [1, 2, 3])
def test_small_budgets_on_a_photo(osie_root: Path, halvings: int) -> None:
    with Image.open(osie_root / "stimuli" / "1005.jpg") as photo:  # has clipped highlights
        pixels = torch.from_numpy(np.array(photo.convert("RGB").crop((300, 200, 407, 291)))).permute(2, 0, 1)
    agrees(pixels, halvings, torch.ones(1, 1, 1, dtype=torch.bool), 2)


def test_without_halvings_the_steepest_pixels_are_chosen() -> None:
    """The knapsack is then solved by sorting: first levels cost 1, second ones 3."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(20, 230, (3, 12, 13), generator=generator).to(torch.uint8)
    direction = torch.randn(pixels.shape, generator=generator) * torch.exp(
        -12 * torch.rand(pixels.shape, generator=generator)  # far beyond what the histogram resolves
    )
    moves = LevelMoves(pixels, 0)
    moves.aim(direction)
    slope = direction.flatten().abs().double().numpy()
    items = sorted(
        [(w, 1, i) for i, w in enumerate(slope)] + [(w / 3, 3, i) for i, w in enumerate(slope)], reverse=True
    )
    for squares in (1, 10, 50, 80, 117):  # a quarter a pixel
        levels, left = np.zeros(pixels.numel(), int), squares
        for _, price, i in items:
            if price > left:
                break
            levels[i], left = levels[i] + 1, left - price
        expected = levels * np.sign(direction.flatten().numpy())
        assert np.array_equal(moves.spend(math.sqrt(squares) / 255).flatten().numpy(), expected), squares


# -- budgets of any size -----------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    halvings=st.integers(0, 4),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    share=st.sampled_from([1.0, 0.95, 0.4, 0.0]),
    kind=st.sampled_from(["middle", "any", "extremes"]),
    levels=st.floats(0, 60),
    strip=st.sampled_from([1, 300, 2**20]),
)
def test_sizes_and_effects_are_exact(
    halvings: int, height: int, width: int, seed: int, share: float, kind: str, levels: float, strip: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(*((60, 200) if kind == "middle" else (0, 256)), (3, height, width), generator=generator)
    if kind == "extremes":
        pixels = torch.where(torch.rand(pixels.shape, generator=generator) < 0.3, pixels // 128 * 255, pixels)
    pixels = pixels.to(torch.uint8)
    mask = torch.rand(1, height, width, generator=generator) < share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grey_levels, "STRIP", strip)
        moves = LevelMoves(pixels, halvings, movable=mask)
        assert torch.equal(moves.reduced.to(torch.int16), halved(pixels, halvings))
        moves.aim(torch.randn(moves.shape, generator=generator) ** 3)
        eps = budget(levels, pixels)
        chosen = moves.spend(eps)
        moved = moves.realise(chosen)
    assert chosen.dtype == torch.int16
    assert moved.dtype == torch.uint8
    assert moves.size(chosen) <= eps
    assert moves.size(chosen) == pytest.approx(math.sqrt(squared(moved, pixels)) / 255, rel=1e-9)
    assert torch.equal(halved(moved, halvings), moves.seen(chosen).to(torch.int16))
    assert not (moved != pixels)[~mask.expand_as(pixels)].any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["noise", "heavy", "flat", "few"])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_budgets_are_nearly_used_up_and_larger_ones_buy_more(halvings: int, kind: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(110, 140, (3, 64, 72), generator=generator).to(torch.uint8)
    moves = LevelMoves(pixels, halvings)
    noise = torch.randn(moves.shape, generator=generator)
    few = torch.zeros(moves.shape)
    few[:, 3:6, 2:7] = noise[:, 3:6, 2:7]
    direction = {"noise": noise, "heavy": noise**5, "flat": noise.sign(), "few": few}[kind]
    moves.aim(direction)
    last = -1.0
    for levels in (0, 0.01, 0.1, 0.3, 0.45, 0.499, 0.5, 0.501, 0.51, 0.55, 0.7, 1, 1.3, 2, 3.5, 7, 20, 60, 200):
        eps = budget(levels, pixels)
        chosen = moves.spend(eps)
        size = moves.size(chosen)
        assert last <= size <= eps, levels
        last = size
        assert ((chosen == 0) | (chosen.sign() == direction.sign())).all()
        unspent = min(eps, moves.capacity) ** 2 - size**2
        # One more move, a level further than the furthest, would have been too much.
        furthest = max(int(chosen.abs().max()), int(moves.spend(1.2 * eps).abs().max()))
        dearest = 4**halvings * (2 * furthest + 3) / 255**2
        assert unspent < max(dearest, 0.002 * eps**2), levels
    assert last == moves.capacity


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_large_budgets_buy_the_direction_rounded(halvings: int) -> None:
    """Far above rounding, what an entry moves by is proportional to what is wanted of it."""
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(126, 130, (3, 64, 64), generator=generator).to(torch.uint8)
    moves = LevelMoves(pixels, halvings)
    direction = torch.randn(moves.shape, generator=generator)
    moves.aim(direction)
    chosen = moves.spend(budget(25, pixels)).float()
    scale = float((chosen * direction).sum() / direction.square().sum())
    assert scale == pytest.approx(25, rel=0.05)
    # Pixels that stay behind their entry, by half a level a halving, make the first level cheaper.
    assert float((chosen - scale * direction).abs().max()) < 1.5 + halvings / 2


def test_the_result_of_a_budget_does_not_depend_on_those_before() -> None:
    pixels = torch.from_numpy(pixels_of("middle", 2, channels=3))
    one, two = LevelMoves(pixels, 2), LevelMoves(pixels, 2)
    directions = [torch.randn(one.shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for eps in (0.03, 0.2, 0.01):
        one.aim(directions[0])
        one.spend(eps)
        one.aim(directions[1])
        two.aim(1e-6 * directions[1])  # its length does not matter
        assert torch.equal(one.spend(eps), two.spend(eps))


def test_layouts_in_memory_do_not_matter() -> None:
    """Photos come as (H, W, 3), gradients in channels_last, and moves may be cut out of others."""
    generator = torch.Generator().manual_seed(6)
    pixels = torch.randint(0, 256, (45, 38, 3), generator=generator).to(torch.uint8).permute(2, 0, 1)
    mask = (torch.rand(45, 38, 3, generator=generator) < 0.99).permute(2, 0, 1)
    odd, even = (LevelMoves(x, 1, movable=m) for x, m in ((pixels, mask), (pixels.contiguous(), mask.contiguous())))
    direction = torch.randn(22, 19, 3, generator=generator).permute(2, 0, 1)
    odd.aim(direction)
    even.aim(direction.contiguous())
    for levels in (0.2, 3.0):
        chosen = odd.spend(budget(levels, pixels))
        assert torch.equal(chosen, even.spend(budget(levels, pixels)))
        laid_out = chosen.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        assert torch.equal(odd.realise(laid_out), even.realise(chosen))
        assert odd.size(laid_out) == even.size(chosen)
        assert torch.equal(halved(odd.realise(laid_out), 1), odd.seen(laid_out).to(torch.int16))


# -- the ends ----------------------------------------------------------------------------------------------------------


def test_a_second_level_never_stands_on_an_impossible_first_one() -> None:
    """A block that must rise by 4 with one pixel at 255: the other three bring it to 3 modulo 4, and no further."""
    pixels = torch.tensor([[[255, 10], [10, 13]]], dtype=torch.uint8)  # 288 = 0 modulo 4
    moves = LevelMoves(pixels, 1)
    moves.aim(torch.ones(1, 1, 1))
    assert moves.capacity == 0
    assert not moves.spend(1e9).any()
    moves.aim(-torch.ones(1, 1, 1))
    assert moves.capacity > 0


def test_a_direction_of_zeros_buys_nothing() -> None:
    pixels = torch.from_numpy(pixels_of("middle", 2, channels=3))
    moves = LevelMoves(pixels, 2)
    moves.aim(torch.zeros(moves.shape))
    assert moves.capacity == 0
    for eps in (0.0, 0.1, 1000.0):
        assert torch.equal(moves.realise(moves.spend(eps)), pixels)


def test_rows_and_columns_that_halving_drops_are_left_alone() -> None:
    pixels = torch.from_numpy(pixels_of("middle", 2))  # 9 x 11: the last row and the last three columns
    moves = LevelMoves(pixels, 2)
    moves.aim(torch.ones(moves.shape))
    moved = moves.realise(moves.spend(0.2))
    assert torch.equal(moved[:, 8:], pixels[:, 8:])
    assert torch.equal(moved[..., 8:], pixels[..., 8:])
    assert (halved(moved, 2) > halved(pixels, 2)).all()


def test_photos_that_halving_leaves_nothing_of() -> None:
    pixels = torch.full((3, 1, 9), 7, dtype=torch.uint8)
    moves = LevelMoves(pixels, 1)
    assert moves.shape == (3, 0, 4)
    moves.aim(torch.zeros(moves.shape))
    assert torch.equal(moves.realise(moves.spend(1.0)), pixels)


def test_what_does_not_fit_is_refused() -> None:
    pixels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(InvalidInputError, match="pixels"):
        LevelMoves(pixels.float(), 1)
    with pytest.raises(InvalidInputError, match="movable"):
        LevelMoves(pixels, 1, movable=torch.ones(8, 9, dtype=torch.bool))
    moves = LevelMoves(pixels, 1)
    for direction in (torch.ones(3, 8, 8), torch.full((3, 4, 4), math.nan)):
        with pytest.raises(InvalidInputError, match="direction"):
            moves.aim(direction)
    with pytest.raises(InvalidInputError, match="moves"):
        moves.realise(-torch.ones(3, 4, 4, dtype=torch.int16))  # the pixels are at 0
    with pytest.raises(InvalidInputError, match="moves"):
        moves.size(torch.zeros(3, 8, 8, dtype=torch.int16))
