"""Uniform noise within the colour-variance threshold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

import art_crop
from art_crop.attacks.color_variance import color_threshold
from art_crop.errors import InvalidInputError


def test_noise_fills_the_threshold_and_stays_inside() -> None:
    estimator = art_crop.load_model("gaze-lite", device="cpu")
    x = data.coffee()[:96, :128][None].transpose(0, 3, 1, 2).astype(np.float32) / 255
    region = art_crop.Region(0.0, 0.0, 0.1, 0.1)
    kind = art_crop.load_attack("color-variance-noise")
    attack = kind(estimator, threshold=0.2)
    found = attack.generate(x, region)
    change = np.abs(found - x)
    bound = color_threshold(torch.from_numpy(x), 0.2).bound.numpy()
    assert (change <= bound + 5e-6).all()
    wide = np.broadcast_to(bound, change.shape) > 10 / 255
    # Of uniform noise the mean size is half the bound; rounding to whole levels hardly moves that.
    assert np.mean((change / bound)[wide]) == pytest.approx(0.5, abs=0.03)
    assert np.abs(found * 255 - (found * 255).round()).max() < 1e-4
    assert np.array_equal(found, attack.generate(x, region)), "the same seed, the same noise"
    assert not np.array_equal(found, kind(estimator, threshold=0.2, seed=1).generate(x, region))
    assert attack.results[0].gradients == 0


def test_it_has_no_steps() -> None:
    estimator = art_crop.load_model("gaze-lite", device="cpu")
    with pytest.raises(InvalidInputError, match="learning_rate"):
        art_crop.load_attack("color-variance-noise")(estimator, learning_rate=0.1)
