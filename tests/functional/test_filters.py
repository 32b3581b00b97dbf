"""The Gaussian filter against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from art_crop.functional.filters import gaussian_blur


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.5, 8.0, 40.0])
@pytest.mark.parametrize("shape", [(2, 3, 31, 48), (1, 1, 5, 7), (1, 2, 1, 9)])
def test_it_is_scipys(shape: tuple[int, ...], sigma: float) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    expected = gaussian_filter(x, (0, 0, sigma, sigma), mode="mirror", truncate=4.0)
    assert gaussian_blur(torch.from_numpy(x), sigma).numpy() == pytest.approx(expected, abs=1e-3 if sigma < 1 else 1e-6)


def test_no_filter_at_zero() -> None:
    x = torch.rand(1, 3, 4, 4)
    assert gaussian_blur(x, 0.0) is x


def test_gradient() -> None:
    x = torch.rand(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: gaussian_blur(image, 1.3), x)
    tall = torch.rand(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda image: gaussian_blur(image, 2.0), tall)


def test_a_grey_photo_stays_grey() -> None:
    grey = torch.full((1, 3, 9, 11), 0.3)
    assert gaussian_blur(grey, 3.0).numpy() == pytest.approx(0.3, abs=1e-6)
