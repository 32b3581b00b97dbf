"""Whole-level moves against exhaustive search: every price, every effect on the halved photo, and the budget."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from art_crop.functional.grey_levels import LevelMoves, block_sum
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


def aimed_at(moves: LevelMoves, rows: slice, columns: slice, sign: int) -> float:
    """Aim at one block alone; what all of its moves cost together."""
    direction = torch.zeros(moves.original.shape)
    direction[:, rows, columns] = sign
    moves.aim(direction)
    return moves.capacity


def squared(a: Tensor, b: Tensor) -> int:
    return int((a.int() - b.int()).square().sum())


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_the_price_of_a_move_is_the_least_there_is(halvings: int, sign: int) -> None:
    pixels = pixels_of("middle", halvings)
    moves = LevelMoves(torch.from_numpy(pixels), halvings, most=1)
    steps = tuple(sign * step for step in range(-1, 5))  # further is never cheaper
    for _, _, rows, columns in blocks_of(pixels.shape, halvings):
        assert aimed_at(moves, rows, columns, sign) == cheapest(pixels[0, rows, columns], sign, steps)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_saturated_and_masked_pixels_are_paid_around(halvings: int, sign: int, masked: bool) -> None:
    """A pixel goes one level at most in a move, so where too few can go the move is not on offer."""
    pixels = pixels_of("extremes", halvings)
    mask = np.random.default_rng(5).random(pixels.shape) < 0.6 if masked else np.ones(pixels.shape, bool)
    moves = LevelMoves(torch.from_numpy(pixels), halvings, movable=torch.from_numpy(mask), most=1)
    offered = 0
    for _, _, rows, columns in blocks_of(pixels.shape, halvings):
        least = cheapest(pixels[0, rows, columns], sign, (0, sign), mask[0, rows, columns])
        assert aimed_at(moves, rows, columns, sign) == (0 if least == math.inf else least)
        offered += least < math.inf
    assert offered


@pytest.mark.parametrize("kind", ["middle", "extremes"])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_a_move_does_to_the_halved_photo_what_it_promises(halvings: int, kind: str) -> None:
    pixels = torch.from_numpy(pixels_of(kind, halvings))
    mask = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(3)) < 0.8
    moves, before = LevelMoves(pixels, halvings, movable=mask), halved(pixels, halvings)
    seen = set()
    for sign in (1, -1):
        for row, column, rows, columns in blocks_of(pixels.shape, halvings):
            price = aimed_at(moves, rows, columns, sign)
            moved = moves.spend(price)
            change = halved(moved, halvings) - before
            assert squared(moved, pixels) == price
            levels = int(change[0, row, column]) * sign
            assert levels in ((0,) if price == 0 else (1, 2))
            change[0, row, column] = 0
            assert not change.any()
            assert torch.equal(moved[~mask], pixels[~mask])
            # One squared level less: the last move is not made.
            fewer = moves.spend(price - 1) if price else moved
            assert int((halved(fewer, halvings) - before)[0, row, column]) * sign == max(levels - 1, 0)
            seen.add(levels)
    assert seen & {1, 2}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_the_budget_is_kept_and_nearly_used_up(halvings: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (3, 37, 50), generator=generator).to(torch.uint8)
    pixels[:, :8] = torch.tensor([0, 255], dtype=torch.uint8)[torch.randint(0, 2, (3, 8, 50), generator=generator)]
    direction = torch.randn(pixels.shape, generator=generator) ** 3
    mask = torch.rand(pixels.shape, generator=generator) < 0.9
    moves = LevelMoves(pixels, halvings, movable=mask)
    moves.aim(direction * mask)
    before, worth = halved(pixels, halvings), block_sum(direction * mask, halvings)
    last, dearest = torch.zeros(before.shape), 3 * 4**halvings
    for budget in (0.0, 0.5, 1.0, 3.3, 20.0, 137.0, moves.capacity / 2, moves.capacity, 2 * moves.capacity):
        moved = moves.spend(budget)
        spent = squared(moved, pixels)
        change = halved(moved, halvings) - before
        assert spent <= budget
        assert spent > min(budget, moves.capacity) - dearest
        assert torch.equal(moved[~mask], pixels[~mask])
        assert ((change == 0) | (change.sign() == worth.sign())).all()
        assert int(change.abs().max()) <= 2
        assert (change.abs() >= last).all(), "a larger budget must not take a move back"
        last = change.abs()


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
    for budget in (1, 10, 50, 200, 468, 800, 1500, 1871):
        levels, left = np.zeros(pixels.numel(), int), budget
        for _, price, i in items:
            if price > left:
                break
            levels[i], left = levels[i] + 1, left - price
        expected = pixels.flatten().numpy() + levels * np.sign(direction.flatten().numpy())
        assert np.array_equal(moves.spend(budget).flatten().numpy(), expected), budget


def test_a_second_level_never_stands_on_an_impossible_first_one() -> None:
    """A block that must rise by 4 with one pixel at 255: the other three bring it to 3 modulo 4, and no further."""
    pixels = torch.tensor([[[255, 10], [10, 13]]], dtype=torch.uint8)  # 288 = 0 modulo 4
    moves = LevelMoves(pixels, 1)
    assert aimed_at(moves, slice(0, 2), slice(0, 2), 1) == 0
    assert torch.equal(moves.spend(1e9), pixels)
    assert aimed_at(moves, slice(0, 2), slice(0, 2), -1) > 0


def test_a_direction_of_zeros_buys_nothing() -> None:
    pixels = torch.from_numpy(pixels_of("middle", 2, channels=3))
    moves = LevelMoves(pixels, 2)
    moves.aim(torch.zeros(pixels.shape))
    assert moves.capacity == 0
    assert torch.equal(moves.spend(1000.0), pixels)


def test_rows_and_columns_that_halving_drops_are_left_alone() -> None:
    pixels = torch.from_numpy(pixels_of("middle", 2))  # 9 x 11: the last row and the last three columns
    moves = LevelMoves(pixels, 2)
    moves.aim(torch.ones(pixels.shape))
    moved = moves.spend(moves.capacity)
    assert torch.equal(moved[:, 8:], pixels[:, 8:])
    assert torch.equal(moved[..., 8:], pixels[..., 8:])
    assert (halved(moved, 2) - halved(pixels, 2) == 2).all()
    assert block_sum(torch.ones(1, 9, 11), 2).tolist() == [[[16.0, 16.0], [16.0, 16.0]]]
