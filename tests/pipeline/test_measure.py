"""Distances measured in strips are the distances."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from art_crop.pipeline import measure
from art_crop.metrics import image


@pytest.mark.parametrize("shape", [(64, 40), (11, 300), (37, 23), (200, 11)])
@pytest.mark.parametrize("strip", [1, 700, 10**6])
def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], strip: int) -> None:
    monkeypatch.setattr(measure, "_STRIP_PIXELS", strip)
    rng = np.random.default_rng(1)
    one = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    other = np.clip(one.astype(int) + rng.integers(-3, 4, one.shape), 0, 255).astype(np.uint8)
    change = measure.measure_change(one, other)
    assert change.l2 == pytest.approx(image.l2(one, other), rel=1e-12)
    assert measure.l2(one, other) == change.l2
    assert change.linf == pytest.approx(image.linf(one, other), rel=1e-12)
    assert change.psnr_db == pytest.approx(peak_signal_noise_ratio(one, other), rel=1e-12)
    assert change.ssim == pytest.approx(image.ssim(one, other), rel=1e-9)
    assert change.ciede2000_mean == pytest.approx(image.ciede2000_mean(one, other), rel=1e-5)
    assert change.ciede2000_p95 == pytest.approx(image.ciede2000_p95(one, other), rel=1e-5)


def test_equal_photos_have_no_finite_psnr_and_small_ones_no_ssim() -> None:
    grey = np.full((10, 40, 3), 100, np.uint8)
    change = measure.measure_change(grey, grey)
    assert (change.l2, change.linf, change.psnr_db, change.ssim) == (0, 0, None, None)
    assert change.ciede2000_p95 == 0
