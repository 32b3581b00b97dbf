"""The smallest perturbation against a grid of all budgets, and against fixed budgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from art_crop.attacks import GaussianNoise, SaliencyPeakFGM
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)


def successes(estimator: Any, photos: Array) -> Array:
    return PeakInRegion([REGION] * len(photos))(estimator.output(photos)).success.numpy()


def smallest_on_grid(estimator: Any, x: Array, grid: Array, **kwargs: Any) -> Array:
    """Smallest budget of the grid at which one step succeeds, for each photo."""
    found = []
    for photo in x:
        many = np.repeat(photo[None], len(grid), 0)
        attack = SaliencyPeakFGM(estimator, eps=list(grid), max_iter=1, quantize=False, **kwargs)
        moved = attack.generate(many, REGION)
        hits = successes(estimator, moved)
        assert hits.any()
        found.append(grid[hits.argmax()])
    return np.array(found)


def test_along_one_direction_it_is_the_grids_smallest(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(micro_batch=64), tiny.photos(5)
    x = x[~successes(estimator, x)]
    grid = 0.004 * 1.02 ** np.arange(270)
    expected = smallest_on_grid(estimator, x, grid)
    attack = SaliencyPeakFGM(estimator, eps=10.0, max_iter=1, minimal=True, quantize=False)
    found = attack.generate(x, REGION)
    assert successes(estimator, found).all()
    sizes = np.array([result.l2 for result in attack.results])
    assert (sizes <= expected * 1.006).all()  # bisected to half a percent
    assert (sizes >= expected / 1.03).all()  # and not below what the grid found to fail


def test_norm_inf_along_one_direction(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(micro_batch=64), tiny.photos(5)
    x = x[~successes(estimator, x)]
    grid = 0.0003 * 1.02 ** np.arange(300)
    expected = smallest_on_grid(estimator, x, grid, norm="inf")
    attack = SaliencyPeakFGM(estimator, norm="inf", eps=1.0, max_iter=1, minimal=True, quantize=False)
    attack.generate(x, REGION)
    sizes = np.array([result.linf for result in attack.results])
    assert (sizes <= expected * 1.006).all()
    assert (sizes >= expected / 1.03).all()


def test_correcting_the_direction_beats_one_step_and_every_fixed_budget(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(6)
    x = x[~successes(estimator, x)]

    def smallest(steps: int | None) -> Array:
        attack = SaliencyPeakFGM(estimator, eps=10.0, max_iter=steps, minimal=True, quantize=False)
        assert successes(estimator, attack.generate(x, REGION)).all()
        return np.array([result.l2 for result in attack.results])

    one, corrected = smallest(1), smallest(None)
    assert (corrected <= one * 1.005).all()
    assert np.mean(corrected / one) < 0.93  # the larger the perturbation, the more there is to gain
    assert np.min(corrected / one) < 0.7
    for share in (0.3, 0.6, 0.9, 0.97):
        for steps in (1, 3, 10):
            fixed = SaliencyPeakFGM(estimator, eps=list(corrected * share), max_iter=steps, quantize=False)
            reached = successes(estimator, fixed.generate(x, REGION))
            assert not reached.any() if share < 0.95 else reached.sum() <= 1


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("quantize", [True, False, "round"])
def test_the_largest_budget_is_a_limit(tiny: Any, quantize: Any, norm: Any) -> None:
    """Where nothing succeeds up to it, the photo at the limit is returned and says that it failed."""
    estimator, x = tiny.saliency_estimator(), np.rint(tiny.photos(6) * 255).astype(np.float32) / np.float32(255)
    x = x[~successes(estimator, x)]
    limit = 0.2 if norm == 2 else 5 / 255
    attack = SaliencyPeakFGM(estimator, norm=norm, eps=limit, minimal=True, quantize=quantize)
    found = attack.generate(x, REGION)
    outcomes = [result.success for result in attack.results]
    assert outcomes == successes(estimator, found).tolist()
    assert len(set(outcomes)) == 2
    for result in attack.results:
        size = result.l2 if norm == 2 else result.linf
        assert size <= limit * 1.001
        if not result.success:
            assert size == pytest.approx(limit, rel=0.02)


def test_in_whole_levels_it_is_hardly_larger(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), np.rint(tiny.photos(6) * 255).astype(np.float32) / np.float32(255)
    x = x[~successes(estimator, x)]
    sizes = {}
    for quantize in (False, True):
        attack = SaliencyPeakFGM(estimator, eps=10.0, minimal=True, quantize=quantize, max_iter=5)
        found = attack.generate(x, REGION)
        assert successes(estimator, found).all()
        sizes[quantize] = np.array([result.l2 for result in attack.results])
    assert (sizes[True] < sizes[False] * 1.15 + 0.01).all()


def test_budgets_far_from_what_is_needed(tiny: Any) -> None:
    """A limit a million times too large costs some queries and changes little."""
    estimator, x = tiny.saliency_estimator(), tiny.photos(3)
    near, far = (SaliencyPeakFGM(estimator, eps=eps, minimal=True, quantize=False) for eps in (2.0, 2e6))
    near.generate(x, REGION)
    far.generate(x, REGION)
    for a, b in zip(near.results, far.results, strict=True):
        assert b.success
        assert b.l2 == pytest.approx(a.l2, rel=0.02)
        assert b.queries < 120


def test_noise_needs_far_more(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(6)
    x = x[~successes(estimator, x)]
    aimed = SaliencyPeakFGM(estimator, eps=100.0, minimal=True, quantize=False)
    noise = GaussianNoise(estimator, eps=100.0, minimal=True, quantize=False)
    aimed.generate(x, REGION)
    found = noise.generate(x, REGION)
    assert [result.success for result in noise.results] == successes(estimator, found).tolist()
    pairs = list(zip(aimed.results, noise.results, strict=True))
    assert all(a.success for a, _ in pairs)
    # Where noise of norm 100 fails, the smallest that succeeds is larger still.
    shares = [a.l2 / (b.l2 if b.success else 100.0) for a, b in pairs]
    assert len(shares) >= 3
    assert sum(b.success for _, b in pairs) >= 2, "or nothing was compared"
    assert np.median(shares) < 0.375
