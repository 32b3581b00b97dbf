"""Constraints: projections against formulas of their own, and every attack keeps to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from art_crop.attacks import L2, ContrastShift, GaussianNoise, GreyLevels, LInf, Mask, PerPixelBound, SaliencyPeakFGM
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)


@pytest.fixture
def pair() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (3, 3, 8, 10))
    return x, x + rng.normal(0, 0.1, x.shape)


def projected(constraint: Any, x: Array, y: Array) -> Array:
    result: Array = constraint.project(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    return result


def test_projections_by_hand(pair: tuple[Array, Array]) -> None:
    x, y = pair
    delta = y - x
    sizes = np.sqrt((delta**2).sum((1, 2, 3)))
    assert projected(L2(0.5), x, y) == pytest.approx(x + delta * (0.5 / sizes)[:, None, None, None])
    budgets = [0.3, 100.0, 0.7]
    shares = np.minimum(np.array(budgets) / sizes, 1)[:, None, None, None]
    assert projected(L2(budgets), x, y) == pytest.approx(x + delta * shares)
    assert projected(L2(budgets).take([2, 0]), x[[2, 0]], y[[2, 0]]) == pytest.approx((x + delta * shares)[[2, 0]])
    assert projected(LInf(0.05), x, y) == pytest.approx(x + np.clip(delta, -0.05, 0.05))
    bound = np.random.default_rng(1).uniform(0, 0.1, (3, 1, 8, 10)).astype(np.float32)
    assert projected(PerPixelBound(bound), x, y) == pytest.approx(x + np.clip(delta, -bound, bound))
    mask = (bound > 0.05).astype(np.float32)
    assert projected(Mask(mask), x, y) == pytest.approx(np.where(mask > 0, y, x))
    assert projected(GreyLevels(), x, y) == pytest.approx(np.rint(y * 255) / 255)


def test_joined_ones_hold_all_at_once(pair: tuple[Array, Array]) -> None:
    x, y = pair
    x = np.rint(x * 255) / 255
    bound = np.random.default_rng(1).uniform(0, 0.1, (8, 10))
    found = projected(L2(0.6) & PerPixelBound(bound) & LInf(0.07) & GreyLevels(), x, y) - x
    assert (np.abs(found) <= np.minimum(bound, 0.07) + 1e-9).all()
    sizes = np.sqrt((found**2).sum((1, 2, 3)))
    assert (sizes <= 0.6 + 1e-9).all()
    assert (sizes > 0.3).all()
    assert found * 255 == pytest.approx(np.rint(found * 255), abs=1e-6)
    assert (found * (y - x) >= 0).all(), "no pixel goes the other way"


CONSTRAINTS: dict[str, Any] = {
    "norm": lambda: L2([0.4, 0.8]),
    "maximum": lambda: LInf([0.02, 0.05]),
    "bound": lambda: PerPixelBound(np.random.default_rng(2).uniform(0, 0.1, (2, 1, 24, 32))),
    "mask": lambda: Mask(np.arange(32) % 3 == 0),
    "both": lambda: L2(0.6) & LInf(0.03),
}


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("minimal", [True, False])
@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("kind", [SaliencyPeakFGM, GaussianNoise, ContrastShift])
def test_every_attack_keeps_to_them(tiny: Any, kind: Any, name: str, minimal: bool, norm: Any, quantize: bool) -> None:
    x = np.rint(tiny.photos(2) * 255).astype(np.float32) / np.float32(255)
    attack = kind(tiny.saliency_estimator(), eps=0.2 if norm == "inf" else 3.0, norm=norm, minimal=minimal)
    attack.set_params(quantize=quantize)
    change = (attack.generate(x, REGION, constraint=CONSTRAINTS[name]()) - x).astype(np.float64)
    sizes, most = np.sqrt((change**2).sum((1, 2, 3))), np.abs(change).max((1, 2, 3))
    if name in ("norm", "both"):
        assert (sizes <= np.array([0.4, 0.8] if name == "norm" else 0.6) + 1e-5).all()
    if name in ("maximum", "both"):
        assert (most <= np.array([0.02, 0.05] if name == "maximum" else 0.03) + 1e-5).all()
    if name == "bound":
        assert (np.abs(change) <= np.random.default_rng(2).uniform(0, 0.1, (2, 1, 24, 32)) + 1e-5).all()
    if name == "mask":
        assert not change[..., np.arange(32) % 3 != 0].any()
    assert (most > 0).all()
    if quantize:
        assert change * 255 == pytest.approx(np.rint(change * 255), abs=1e-3)


def test_what_does_not_fit_is_refused(tiny: Any) -> None:
    attack, x = GaussianNoise(tiny.saliency_estimator()), tiny.photos(2)
    for bad, said in (
        (L2([1.0, 2.0, 3.0]), "^eps: one number, or 2 of them"),
        (PerPixelBound(np.ones((5, 5))), "^constraint: a bound that broadcasts"),
        (0.5, "^constraint: a Constraint or None"),
    ):
        with pytest.raises(InvalidInputError, match=said):
            attack.generate(x, REGION, constraint=bad)
    for make in (lambda: L2(0), lambda: LInf([]), lambda: L2([0.5, -1]), lambda: LInf(float("nan"))):
        with pytest.raises(InvalidInputError, match=r"^eps: "):
            make()
    for bound in (-1.0, float("inf"), "wide", np.ones((1, 1, 1, 1, 1))):
        with pytest.raises(InvalidInputError, match=r"^bound: "):
            PerPixelBound(bound)
    with pytest.raises(InvalidInputError, match="both sides of &"):
        L2(1.0) & 3  # type: ignore[operator]
