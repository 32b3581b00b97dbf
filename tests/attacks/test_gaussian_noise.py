"""The noise baselines: Gaussian, white, of the norm asked for, in the band and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from art_crop.attacks import GaussianNoise
from art_crop.attacks.gaussian_noise import band_mask
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)


def grey(count: int = 2, height: int = 96, width: int = 128) -> Array:
    """Photos around mid-grey, in whole levels: nothing is clipped."""
    return np.random.default_rng(0).integers(100, 156, (count, 3, height, width)).astype(np.float32) / np.float32(255)


def test_the_band_is_100_of_640_pixels() -> None:
    band = band_mask([Region(0.4, 0.1, 0.6, 0.3), Region(0.0, 0, 0.1, 1)], (360, 640))
    assert band.shape == (2, 1, 360, 640)
    assert np.array_equal(np.unique(band), [0, 1])
    columns = [np.flatnonzero(one[0].all(0)) for one in band]
    assert (columns[0][0], columns[0][-1], len(columns[0])) == (270, 369, 100)
    assert (columns[1][0], columns[1][-1]) == (0, 81)  # the middle is at 32, the rest lies outside the photo
    assert (band == band[:, :, :1]).all(), "full height"
    last = band_mask([Region(0.4, 0.1, 0.6, 0.3)], (360, 640), channels_first=False)
    assert last.shape == (1, 360, 640, 1)
    assert np.array_equal(last[0, :, :, 0], band[0, 0])


def test_a_narrow_photo_has_a_band_all_the_same() -> None:
    assert band_mask([Region(0.5, 0, 1, 1)], (4, 3))[0, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("eps", [1.0, 10.0])
def test_the_noise_is_gaussian_white_and_of_that_norm(tiny: Any, eps: float) -> None:
    x = grey()
    attack = GaussianNoise(tiny.saliency_estimator(), eps=eps, quantize=False)
    noise = (attack.generate(x, REGION) - x).astype(np.float64)
    assert [result.l2 for result in attack.results] == pytest.approx([eps, eps], rel=1e-3)
    for one in noise:
        flat = one.ravel()
        assert np.linalg.norm(flat) == pytest.approx(eps, rel=1e-3)
        assert abs(flat.mean()) < 4 * flat.std() / np.sqrt(flat.size)
        assert stats.kstest(flat / flat.std(), "norm").pvalue > 0.001
        for a, b in ((one[:, 1:], one[:, :-1]), (one[..., 1:], one[..., :-1]), (one[1:], one[:-1])):
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03, "each photo has its own"


@pytest.mark.parametrize("quantize", [True, False, "round"])
@pytest.mark.parametrize("eps", [0.1, 2.0, 6.0])
def test_only_the_band_is_touched(tiny: Any, eps: float, quantize: Any) -> None:
    x = grey()
    regions = [REGION, Region(0.1, 0.2, 0.3, 0.4)]
    band = band_mask(regions, (96, 128))
    attack = GaussianNoise(tiny.saliency_estimator(), eps=eps, quantize=quantize)
    change = attack.generate(x, regions, mask=band) - x
    outside = np.broadcast_to(band == 0, change.shape)
    assert not change[outside].any()
    assert [result.l2 for result in attack.results] == pytest.approx([eps, eps], rel=0.03)
    if eps > 1:
        assert (change[~outside] != 0).mean() > 0.5


def test_weighted_by_grad_cam(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), grey()
    plain = GaussianNoise(estimator, eps=1.0, quantize=False).generate(x, REGION) - x
    masked = GaussianNoise(estimator, eps=1.0, quantize=False, mask="grad-cam", layer="act")
    change = masked.generate(x, REGION) - x
    cam = estimator.grad_cam(torch.from_numpy(x), PeakInRegion([REGION] * 2), "act").numpy()
    expected = plain * cam
    expected *= (1.0 / np.sqrt((expected**2).sum((1, 2, 3))))[:, None, None, None]
    assert change == pytest.approx(expected, abs=1e-5)
    assert [(result.gradients, result.queries) for result in masked.results] == [(1, 2)] * 2


def test_seeds(tiny: Any) -> None:
    x = grey()
    attack = GaussianNoise(tiny.saliency_estimator(), eps=1.0, quantize=False)
    first = attack.generate(x, REGION)
    assert np.array_equal(attack.generate(x, REGION), first)
    assert np.array_equal(attack.generate(x[::-1], REGION)[::-1], first)
    assert np.array_equal(attack.generate(x[1:], REGION)[0], first[1])
    for seed in (1, 2**31, 2**40):
        attack.set_params(seed=seed)
        other = attack.generate(x, REGION)
        assert abs(np.corrcoef((other - x).ravel(), (first - x).ravel())[0, 1]) < 0.03


def test_a_judgement_costs_queries_and_no_gradients(tiny: Any) -> None:
    attack = GaussianNoise(tiny.saliency_estimator(), eps=1.0)
    attack.generate(grey(), REGION)
    assert [(result.gradients, result.queries) for result in attack.results] == [(0, 2)] * 2


def test_in_other_units(tiny: Any) -> None:
    x = grey()
    plain = GaussianNoise(tiny.saliency_estimator(), eps=1.0, quantize=False).generate(x, REGION)
    wide = tiny.saliency_estimator(clip_values=(0, 255), preprocessing=(0.0, 255.0))
    other = GaussianNoise(wide, eps=255.0, quantize=False).generate(x * 255, REGION)
    assert other / 255 == pytest.approx(plain, abs=1e-5)


@pytest.mark.parametrize("name", ["max_iter", "momentum", "early_stop", "random_init", "epsilon"])
def test_what_noise_does_not_know_is_refused(tiny: Any, name: str) -> None:
    with pytest.raises(InvalidInputError, match=name):
        GaussianNoise(tiny.saliency_estimator(), **{name: 1})
    attack = GaussianNoise(tiny.saliency_estimator())
    with pytest.raises(InvalidInputError, match=name):
        attack.set_params(**{name: 1})
