"""Distances measured only where photos differ are the distances of :mod:`art_crop.metrics` and of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from art_crop.metrics import image
from art_crop.pipeline import measure

Pixels = NDArray[np.uint8]


def photo(shape: tuple[int, int], kind: str) -> Pixels:
    """Noise, or a smooth scene with flat bright areas, where SSIM's variances cancel."""
    rng = np.random.default_rng(1)
    if kind == "noise":
        return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]] / 40
    waves = np.stack((np.sin(x), np.cos(y), np.sin(x + y)), 2)
    return np.asarray(np.clip(170 + 100 * waves + rng.normal(0, 1, waves.shape), 0, 255), np.uint8)


def assert_same(one: Pixels, other: Pixels) -> None:
    change = measure.measure_change(one, other)
    assert change.l2 == pytest.approx(image.l2(one, other), rel=1e-12)
    assert measure.l2(one, other) == change.l2
    assert change.linf == pytest.approx(image.linf(one, other), rel=1e-12)
    assert change.psnr_db == pytest.approx(peak_signal_noise_ratio(one, other), rel=1e-12)
    assert change.ssim == pytest.approx(image.ssim(one, other), abs=1e-7)
    assert change.ciede2000_mean == pytest.approx(image.ciede2000_mean(one, other), rel=1e-5, abs=1e-7)
    assert change.ciede2000_p95 == pytest.approx(image.ciede2000_p95(one, other), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("kind", ["noise", "smooth"])
@pytest.mark.parametrize("shape", [(64, 40), (11, 300), (37, 23), (200, 11), (139, 201)])
@pytest.mark.parametrize("most", [1, 3, 255])
def test_everywhere_changed(shape: tuple[int, int], kind: str, most: int) -> None:
    one = photo(shape, kind)
    step = np.random.default_rng(2).integers(-most, most + 1, one.shape)
    assert_same(one, np.clip(one.astype(int) + step, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["noise", "smooth"])
@pytest.mark.parametrize("share", [0.0004, 0.04, 0.049, 0.051, 0.3])
def test_changed_here_and_there(kind: str, share: float) -> None:
    """The 95th percentile is 0 until one pixel of twenty has changed."""
    one = photo((150, 210), kind)
    rng = np.random.default_rng(3)
    changed = rng.random(one.shape[:2]) < share
    other = one.copy()
    other[changed] ^= rng.integers(1, 8, (int(changed.sum()), 3), dtype=np.uint8)
    assert_same(one, other)


@pytest.mark.parametrize(
    ("row", "column"),
    [(0, 0), (5, 5), (4, 100), (58, 59), (63, 64), (64, 63), (69, 70), (68, 122), (139, 199), (134, 7)],
)
def test_one_pixel_near_an_edge_or_between_tiles(row: int, column: int) -> None:
    one = photo((140, 200), "smooth")
    other = one.copy()
    other[row, column] ^= 63
    assert_same(one, other)


def test_colours_that_ciede2000_is_known_to_be_hard_for() -> None:
    """Greys, opposite hues, blues where the rotation term acts, black and white: all pairs of a set of colours."""
    some = [
        (0, 0, 0), (1, 1, 1), (128, 128, 128), (255, 255, 255), (255, 0, 0), (0, 255, 255), (0, 0, 255), (0, 4, 251),
        (90, 60, 255), (127, 128, 128), (128, 127, 128), (10, 0, 0), (0, 10, 10), (255, 255, 0), (2, 0, 3),
    ]  # fmt: skip
    pairs = np.array([(a, b) for a in some for b in some if a != b], np.uint8)
    found = np.concatenate(measure._colour_differences(pairs[:, 0], pairs[:, 1]))
    expected = image.ciede2000_map(pairs[None, :, 0], pairs[None, :, 1])[0]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=5e-4)


def test_equal_photos_have_no_finite_psnr_and_small_ones_no_ssim() -> None:
    grey = np.full((10, 40, 3), 100, np.uint8)
    change = measure.measure_change(grey, grey)
    assert (change.l2, change.linf, change.psnr_db, change.ssim) == (0, 0, None, None)
    assert change.ciede2000_p95 == 0
    assert measure.measure_change(np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40, 3), np.uint8)).ssim == 1
