"""Mean deviation similarity beside the paper's equations, written out with scipy, complex roots included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from skimage import data

from art_crop.errors import InvalidInputError
from art_crop.functional.mdsi import mdsi

PHOTO = data.coffee()[100:220, 150:310]
NOISY = np.clip(PHOTO + np.random.default_rng(0).normal(0, 25, PHOTO.shape), 0, 255).round().astype(np.uint8)


def tensor(*photos: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).to(dtype) / 255


def expected(reference: Any, distorted: Any) -> float:
    """Equations 5 to 13 for uint8 photos with even sides."""
    half = [photo.astype(float).reshape(60, 2, 80, 2, 3).mean((1, 3)) for photo in (reference, distorted)]
    red, green, blue = ([photo[..., k] for photo in half] for k in range(3))
    light = [0.2989 * r + 0.5870 * g + 0.1140 * b for r, g, b in zip(red, green, blue, strict=True)]
    h = [0.30 * r + 0.04 * g - 0.35 * b for r, g, b in zip(red, green, blue, strict=True)]
    m = [0.34 * r - 0.60 * g + 0.17 * b for r, g, b in zip(red, green, blue, strict=True)]
    prewitt = np.array([[1, 0, -1]] * 3) / 3

    def slope(plane: Any) -> Any:
        return np.hypot(convolve(plane, prewitt, mode="constant"), convolve(plane, prewitt.T, mode="constant"))

    def similarity(a: Any, b: Any, c: float) -> Any:
        return (2 * a * b + c) / (a**2 + b**2 + c)

    of_r, of_d, of_f = slope(light[0]), slope(light[1]), slope((light[0] + light[1]) / 2)
    gradient = similarity(of_r, of_d, 140) + similarity(of_d, of_f, 55) - similarity(of_r, of_f, 55)
    chroma = (2 * (h[0] * h[1] + m[0] * m[1]) + 550) / (h[0] ** 2 + h[1] ** 2 + m[0] ** 2 + m[1] ** 2 + 550)
    roots = (0.6 * gradient + 0.4 * chroma).astype(complex) ** 0.25
    return float(np.abs(roots - roots.mean()).mean() ** 0.25)


def test_it_is_what_the_equations_say() -> None:
    # Half of the photo inverted: sums below 0 and their complex roots.
    inverted = np.where(np.arange(160)[None, :, None] < 80, 255 - PHOTO, PHOTO)
    found = mdsi(tensor(PHOTO, PHOTO), tensor(NOISY, inverted)).tolist()
    assert found == pytest.approx([expected(PHOTO, NOISY), expected(PHOTO, inverted)], abs=1e-6)
    single = mdsi(tensor(PHOTO, dtype=torch.float32), tensor(NOISY, dtype=torch.float32))
    assert float(single[0]) == pytest.approx(found[0], abs=1e-5)


def test_equal_photos_are_0_and_more_noise_is_more() -> None:
    noise = np.random.default_rng(1).normal(0, 1, PHOTO.shape)
    levels = [np.clip(PHOTO + strength * noise, 0, 255).round().astype(np.uint8) for strength in (0, 2, 8, 32)]
    found = mdsi(tensor(*[PHOTO] * 4), tensor(*levels)).tolist()
    assert found[0] == 0
    assert found == sorted(found)


def test_gradients_are_finite_differences() -> None:
    x, y = tensor(PHOTO[:32, :40]), tensor(NOISY[:32, :40]).requires_grad_()
    (gradient,) = torch.autograd.grad(mdsi(x, y).sum(), y)
    rng = np.random.default_rng(2)
    for _ in range(3):
        step = torch.from_numpy(rng.standard_normal(y.shape))
        slope = float((mdsi(x, y + 1e-6 * step) - mdsi(x, y - 1e-6 * step)).detach()) / 2e-6
        assert slope == pytest.approx(float((gradient * step).sum()), rel=1e-3)
    same = x.clone().requires_grad_()
    assert torch.isfinite(torch.autograd.grad(mdsi(x, same).sum(), same)[0]).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="shape"):
        mdsi(torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 21))
    with pytest.raises(InvalidInputError, match="6 x 6"):
        mdsi(torch.rand(1, 3, 5, 20), torch.rand(1, 3, 5, 20))
