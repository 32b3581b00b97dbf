"""From a direction and a budget to whole levels: inside the budget, nearly all of it, only where the mask allows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from art_crop.attacks.space import PhotoSpace


def photo(seed: int = 0, *, whole: bool = True, shape: tuple[int, ...] = (3, 40, 52)) -> Tensor:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return (x * 255).round() / 255 if whole else x


def direction(kind: str, shape: tuple[int, ...] = (3, 40, 52)) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(shape, generator=generator)
    if kind == "heavy":  # most of it rounds to nothing
        return noise**3 * torch.rand(shape, generator=generator) ** 4
    if kind == "flat":  # all of it crosses half a level at once
        return noise.sign()
    return noise


def budget(levels: float, shape: tuple[int, ...] = (3, 40, 52)) -> float:
    """L2 budget of so many grey levels a pixel."""
    return levels / 255 * math.sqrt(math.prod(shape))


def size(y: Tensor, x: Tensor) -> float:
    return float((y.double() - x.double()).norm())


@pytest.mark.parametrize("single_levels", [True, False])
@pytest.mark.parametrize("halvings", [0, 1, 2])
@pytest.mark.parametrize("kind", ["noise", "heavy"])
@pytest.mark.parametrize("levels", [0.1, 0.3, 0.49, 0.51, 1.0, 2.0, 7.0, 30.0])
def test_rounded_budgets_are_kept_and_nearly_used_up(
    levels: float, kind: str, halvings: int, single_levels: bool
) -> None:
    x, way, eps = photo(), direction(kind), budget(levels)
    space = PhotoSpace(x, "2", quantize=True, halvings=halvings, single_levels=single_levels)
    y = space.at(way, eps).seen
    whole = (y * 255).round()
    assert torch.equal(y, whole / 255)
    assert 0 <= int(whole.min()) <= int(whole.max()) <= 255
    assert size(y, x) <= eps * (1 + 1e-5)
    unspent = eps**2 - size(y, x) ** 2
    # One more move, or one more level where a pixel has gone furthest, would have been too much.
    next_level = 2 * float((y - x).abs().max()) / 255 + 1 / 255**2
    assert unspent < max(0.01 * eps**2, 3 * 4**halvings / 255**2, next_level)
    assert float(((y - x) * way).sum()) > 0


def test_a_direction_whose_rounding_jumps_stays_inside() -> None:
    """Equal entries round up together: between nothing and one level everywhere there is no scale."""
    x, way = photo().clamp(0.2, 0.8), direction("flat")
    x = (x * 255).round() / 255
    space = PhotoSpace(x, "2", quantize=True)
    for levels in (0.6, 0.99, 1.0, 1.01, 1.4, 2.3):
        y = space.at(way, budget(levels)).seen
        assert size(y, x) <= budget(levels) * (1 + 1e-5)
        assert size(y, x) == pytest.approx(budget(math.floor(levels + 1e-6)), rel=1e-5)


@pytest.mark.parametrize("single_levels", [True, False])
@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
@pytest.mark.parametrize("levels", [0.05, 0.3, 1.0, 5.0])
def test_where_the_mask_is_0_nothing_changes(levels: float, halvings: int, single_levels: bool) -> None:
    """The mask cuts through 2x2 blocks: rows from an odd one, columns to an odd one, and single pixels."""
    x, eps = photo(), budget(levels)
    mask = torch.zeros(1, 40, 52)
    mask[:, 7:31, 5:33] = 1
    mask *= torch.rand(mask.shape, generator=torch.Generator().manual_seed(2)) < 0.8
    way = direction("noise") * mask
    y = PhotoSpace(x, "2", quantize=True, single_levels=single_levels, halvings=halvings, weight=mask).at(way, eps).seen
    outside = (mask == 0).expand_as(x)
    assert torch.equal(y[outside], x[outside])
    assert not torch.equal(y, x)
    assert size(y, x) <= eps * (1 + 1e-5)


def test_at_the_ends_of_the_range() -> None:
    x = torch.zeros(3, 16, 16)
    x[1] = 1
    for eps in (0.02, 0.3, 5.0):
        for quantize in (True, False):
            y = PhotoSpace(x, "2", quantize=quantize).at(direction("noise", (3, 16, 16)).abs(), eps).seen
            assert torch.equal(y[1], x[1])
            assert size(y, x) <= eps * (1 + 1e-5)
            assert size(y, x) == pytest.approx(eps, rel=0.02, abs=1 / 255)
            assert float(y.max()) <= 1
    y = PhotoSpace(x, "2", quantize=True).at(-torch.ones_like(x), 1e6).seen
    assert not y.any()


def test_norm_inf_in_whole_levels() -> None:
    x = photo()
    way = direction("noise")
    for levels in (0.5, 1, 1.5, 2, 3, 8, 16):  # 3 / 255 comes back as 2.9999 levels in float32
        y = PhotoSpace(x, "inf", quantize=True).at(way, levels / 255).seen
        change = ((y - x) * 255).round()
        expected = math.floor(levels + 1e-6) * way.sign()
        free = ((x * 255).round() + expected >= 0) & ((x * 255).round() + expected <= 255)
        assert torch.equal(change[free], expected[free])
        assert torch.equal(y, (y * 255).round() / 255)


def test_photos_that_are_not_whole_are_rounded_first() -> None:
    x = photo(whole=False)
    y = PhotoSpace(x, "2", quantize=True).at(direction("noise"), budget(2)).seen
    grid = (x * 255).round() / 255
    assert size(y, grid) == pytest.approx(budget(2), rel=5e-3)


def test_without_rounding_the_norm_is_exact_in_any_range() -> None:
    x, way = photo(whole=False), direction("noise")
    plain = PhotoSpace(x, "2", quantize=False).at(way, 3.0).seen
    assert size(plain, x) == pytest.approx(3.0, rel=2e-4)
    wide = PhotoSpace(x * 255, "2", quantize=False, clip=(0.0, 255.0)).at(way, 3.0 * 255).seen
    assert (wide / 255).numpy() == pytest.approx(plain.numpy(), abs=1e-5)


def test_a_budget_beyond_all_single_levels_is_spent_all_the_same() -> None:
    """A direction on a few pixels holds eight levels each; the rest of the budget goes where rounding takes it."""
    x, way = photo().clamp(0.4, 0.6), torch.zeros(3, 40, 52)
    x = (x * 255).round() / 255
    way[:, 3:5, 4:6] = 1
    y = PhotoSpace(x, "2", quantize=True, halvings=1).at(way, 0.15).seen  # 12 pixels of 11.04 levels
    assert size(y, x) == pytest.approx(11 / 255 * math.sqrt(12), rel=1e-4)


def test_one_direction_after_another() -> None:
    """What was prepared for one direction must not serve another."""
    x, a, b = photo(), direction("noise"), direction("heavy")
    space, eps = PhotoSpace(x, "2", quantize=True, halvings=1), budget(0.2)
    first, second, again = space.at(a, eps).seen, space.at(b, eps).seen, space.at(a, eps).seen
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(second, PhotoSpace(x, "2", quantize=True, halvings=1).at(b, eps).seen)


@pytest.mark.parametrize("levels", [0.1, 0.3, 0.49, 0.51, 1.0])
def test_single_levels_are_chosen_below_half_a_level_a_pixel(levels: float) -> None:
    """There a model that begins with 2x2 means, rounded down, feels more of them than of rounding; above, it rounds."""
    x, way = photo().clamp(0.1, 0.9), direction("noise")
    single, rounded = (
        PhotoSpace(x, "2", quantize=True, halvings=1, single_levels=chosen).at(way, budget(levels)).seen
        for chosen in (True, False)
    )
    if levels > 0.5:
        assert torch.equal(single, rounded)
        return

    def felt(y: Tensor) -> float:
        halved = ((y * 255).round().view(3, 20, 2, 26, 2).sum((2, 4)) / 4).floor()
        return float((halved * way.view(3, 20, 2, 26, 2).mean((2, 4))).sum())

    start = PhotoSpace(x, "2", quantize=True).grid
    assert felt(single) - felt(start) > 1.5 * (felt(rounded) - felt(start))
