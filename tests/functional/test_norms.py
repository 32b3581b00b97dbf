"""Norms and scaled perturbations against numpy and a root finder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from art_crop.functional.norms import add_scaled, norm_of, unit


def pair(seed: int = 0, count: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 8, 9, generator=generator), torch.randn(count, 3, 8, 9, generator=generator)


def test_norms_are_over_the_whole_photo() -> None:
    _, delta = pair()
    flat = delta.double().flatten(1).numpy()
    assert norm_of(delta).numpy() == pytest.approx(np.linalg.norm(flat, axis=1), rel=1e-6)
    assert norm_of(delta, "inf").numpy() == pytest.approx(np.abs(flat).max(1))


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_unit_steps_of_gradients_of_any_size(scale: float) -> None:
    """At 1e-25 the squares are 0 in float32, at 1e25 they are infinite."""
    _, delta = pair()
    exact = delta.double().numpy()
    exact /= np.sqrt((exact**2).sum((1, 2, 3), keepdims=True))
    assert unit(delta * scale).numpy() == pytest.approx(exact, abs=1e-6)
    assert torch.equal(unit(delta * scale, "inf"), delta.sign())


def test_a_direction_of_zeros_stays_zeros() -> None:
    x, delta = pair()
    delta[1] = 0
    assert not unit(delta)[1].any()
    moved = add_scaled(x, delta, torch.tensor([0.5, 1e4, 0.5]))
    assert torch.equal(moved[1], x[1])
    assert norm_of(moved - x)[[0, 2]].tolist() == pytest.approx([0.5, 0.5], rel=1e-3)


@pytest.mark.parametrize("eps", [0.01, 1.0, 3.0, 6.0])
def test_the_norm_is_met_after_clipping(eps: float) -> None:
    x, direction = pair()
    moved = add_scaled(x, direction, torch.full((3,), eps))
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    reached = norm_of(moved.double() - x.double()).numpy()
    assert (reached <= eps + 1e-6).all()  # as near as float32 pixels come
    assert reached == pytest.approx(eps, rel=1e-3)
    for photo, way, result in zip(x.double().numpy(), direction.double().numpy(), moved.numpy(), strict=True):

        def excess(scale: float, photo: np.ndarray = photo, way: np.ndarray = way) -> float:
            return float(np.linalg.norm(np.clip(photo + scale * way, 0, 1) - photo)) - eps

        scale = brentq(excess, 0, 1000)
        assert result == pytest.approx(np.clip(photo + scale * way, 0, 1), abs=2e-3 * eps)


def test_where_there_is_no_room_the_change_stays_smaller() -> None:
    x = torch.ones(1, 3, 4, 4)
    assert torch.equal(add_scaled(x, torch.ones_like(x), torch.tensor([2.0])), x)
    down = add_scaled(x, -torch.ones_like(x), torch.tensor([1000.0]))
    assert torch.equal(down, torch.zeros_like(x))


def test_every_photo_is_scaled_by_itself() -> None:
    x, direction = pair()
    eps = torch.tensor([0.1, 7.0, 3.0])  # the second takes many corrections, the first none
    together = add_scaled(x, direction, eps)
    for i in range(3):
        assert torch.equal(add_scaled(x[i : i + 1], direction[i : i + 1], eps[i : i + 1])[0], together[i])


def test_the_largest_change_is_the_norm_inf() -> None:
    x, direction = pair()
    moved = add_scaled(x, direction, torch.tensor([0.05, 0.1, 0.2]), "inf")
    expected = np.clip(x.numpy() + np.array([0.05, 0.1, 0.2])[:, None, None, None] * np.sign(direction.numpy()), 0, 1)
    assert moved.numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("norm", ["2", "inf"])
def test_another_range_of_pixels_is_the_same_in_its_units(norm: str) -> None:
    x, direction = pair()
    eps = torch.tensor([0.3, 1.0, 2.0])
    plain = add_scaled(x, direction, eps, norm)  # type: ignore[arg-type]
    wide = add_scaled(x * 4 - 1, direction, eps * 4, norm, clip=(-1.0, 3.0))  # type: ignore[arg-type]
    assert ((wide + 1) / 4).numpy() == pytest.approx(plain.numpy(), abs=1e-5)
