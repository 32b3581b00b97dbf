"""MS-SSIM against scikit-image at one scale and scipy at five."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from skimage.metrics import structural_similarity

from art_crop.errors import InvalidInputError
from art_crop.functional.ssim import WEIGHTS, ms_ssim

PHOTO = data.coffee()[:200, :260].astype(np.float64) / 255
NOISY = np.clip(PHOTO + np.random.default_rng(0).normal(0, 0.08, PHOTO.shape), 0, 1)


def tensor(*photos: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)


def test_one_scale_is_scikit_images_ssim() -> None:
    expected = structural_similarity(
        PHOTO, NOISY, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert float(ms_ssim(tensor(PHOTO), tensor(NOISY), (1.0,))[0]) == pytest.approx(expected, abs=1e-9)


def test_five_scales_are_the_papers_product() -> None:
    def blurred(plane: np.ndarray) -> np.ndarray:
        # A Gaussian cut off at 11 pixels; only where it fits into the photo.
        return ndimage.gaussian_filter(plane, 1.5, truncate=3.34)[5:-5, 5:-5]

    values = []
    for channel in range(3):
        x, y, product = PHOTO[..., channel], NOISY[..., channel], 1.0
        for scale, weight in enumerate(WEIGHTS):
            if scale:
                height, width = (side // 2 * 2 for side in x.shape)
                x, y = (plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in (x, y))
            mx, my = blurred(x), blurred(y)
            vx, vy, cov = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
            term = (2 * cov + 0.0009) / (vx + vy + 0.0009)
            if scale == 4:
                term = term * (2 * mx * my + 0.0001) / (mx**2 + my**2 + 0.0001)
            product *= term.mean() ** weight
        values.append(product)
    assert float(ms_ssim(tensor(PHOTO), tensor(NOISY))[0]) == pytest.approx(np.mean(values), abs=1e-9)


def test_equal_photos_are_1_and_batches_do_not_mix() -> None:
    both = ms_ssim(tensor(PHOTO, PHOTO), tensor(PHOTO, NOISY))
    assert float(both[0]) == pytest.approx(1.0)
    assert float(both[1]) == pytest.approx(float(ms_ssim(tensor(PHOTO), tensor(NOISY))[0]))
    assert float(both[1]) < 0.95


def test_gradients_are_finite_differences() -> None:
    x, y = tensor(PHOTO), tensor(NOISY).requires_grad_()
    (gradient,) = torch.autograd.grad(ms_ssim(x, y).sum(), y)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        slope = float(ms_ssim(x, y + 1e-5 * direction) - ms_ssim(x, y - 1e-5 * direction)) / 2e-5
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_small_photos_and_other_shapes_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="176"):
        ms_ssim(torch.rand(1, 3, 175, 300), torch.rand(1, 3, 175, 300))
    with pytest.raises(InvalidInputError, match="shape"):
        ms_ssim(torch.rand(1, 3, 200, 200), torch.rand(1, 3, 200, 201))
