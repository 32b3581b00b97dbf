from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.metrics
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab

from art_crop.errors import InvalidInputError
from art_crop.metrics import image as metrics

ALL = [
    *(metrics.l2, metrics.linf, metrics.rms, metrics.psnr, metrics.ssim, metrics.ms_ssim),
    *(metrics.ciede2000_mean, metrics.ciede2000_p95),
]


@pytest.fixture
def pair(photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    noise = np.random.default_rng(0).normal(0, 4, photo.shape)
    return photo, np.clip(np.rint(photo + noise), 0, 255).astype(np.uint8)


def test_hand_computed_case() -> None:
    original = np.zeros((20, 30, 3), np.uint8)
    changed = original.copy()
    changed[3, 4] = (51, 0, 0)
    changed[5, 6, 2] = 204
    # 51 / 255 = 0.2 and 204 / 255 = 0.8.
    assert metrics.l2(original, changed) == pytest.approx(math.sqrt(0.2**2 + 0.8**2), rel=1e-12)
    assert metrics.linf(original, changed) == pytest.approx(0.8, rel=1e-12)
    assert metrics.psnr(original, changed) == pytest.approx(10 * math.log10(1800 / 0.68), rel=1e-12)


def test_psnr_of_the_papers_budget() -> None:
    """The specification: at 640 x 360, L2 10 / 20 / 30 is 38.4 / 32.4 / 28.9 dB."""
    shape = (360, 640, 3)
    grey = np.full(shape, 0.5)
    for budget, decibels in ((10, 38.4), (20, 32.4), (30, 28.9)):
        changed = grey + budget / math.sqrt(grey.size)
        assert metrics.l2(grey, changed) == pytest.approx(budget)
        assert metrics.psnr(grey, changed) == pytest.approx(decibels, abs=0.05)


def test_psnr_is_scikit_images(pair: Any) -> None:
    assert metrics.psnr(*pair) == pytest.approx(skimage.metrics.peak_signal_noise_ratio(*pair), rel=1e-12)


def test_l2_is_the_mean_square_error_summed(pair: Any) -> None:
    mean_square = skimage.metrics.mean_squared_error(*pair)
    assert metrics.l2(*pair) == pytest.approx(math.sqrt(mean_square * pair[0].size) / 255, rel=1e-12)


def test_rms_is_the_l2_norm_over_the_root_of_how_many(pair: Any) -> None:
    assert metrics.rms(*pair) == pytest.approx(metrics.l2(*pair) / math.sqrt(pair[0].size), rel=1e-12)


def test_ms_ssim_is_the_five_scales_where_they_fit_and_fewer_in_small_photos(pair: Any) -> None:
    import torch

    from art_crop.functional.ssim import WEIGHTS, ms_ssim

    def expected(pixels: Any, weights: Any) -> float:
        photos = [torch.from_numpy(one.transpose(2, 0, 1).copy())[None].double() / 255 for one in pixels]
        return float(ms_ssim(photos[0], photos[1], weights)[0])

    assert min(pair[0].shape[:2]) >= 176
    assert metrics.ms_ssim(*pair) == pytest.approx(expected(pair, WEIGHTS), rel=1e-12)
    small = tuple(one[:50, :60] for one in pair)  # 50 / 11 is above 4 and below 8
    three = tuple(weight / sum(WEIGHTS[:3]) for weight in WEIGHTS[:3])
    assert metrics.ms_ssim(*small) == pytest.approx(expected(small, three), rel=1e-12)
    tiny = tuple(one[:15, :20] for one in pair)
    assert metrics.ms_ssim(*tiny) == pytest.approx(metrics.ssim(*tiny), rel=1e-9)


def test_ssim_is_that_of_wang_et_al(photo: NDArray[np.uint8]) -> None:
    """Written out from the paper's equations 13-16, with scipy's Gaussian as the window."""
    from scipy.ndimage import gaussian_filter

    a = photo[:64, :64].astype(np.float64) / 255
    b = np.clip(a + np.random.default_rng(1).normal(0, 0.05, a.shape), 0, 1)
    scores = []
    for channel in range(3):
        x, y = a[..., channel], b[..., channel]

        def blur(z: NDArray[np.float64]) -> NDArray[np.float64]:
            return gaussian_filter(z, 1.5, truncate=3.5)[5:-5, 5:-5]

        mx, my = blur(x), blur(y)
        vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        scores.append(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    assert metrics.ssim(a, b) == pytest.approx(np.mean(scores), abs=1e-9)


def test_ciede2000_of_known_colours() -> None:
    """Sharma's definition through Lab values that are published for the sRGB primaries (Lindbloom, D65)."""
    from skimage.color import deltaE_ciede2000

    red, blue = np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    expected = deltaE_ciede2000(np.array([53.2408, 80.0925, 67.2032]), np.array([32.2970, 79.1875, -107.8602]))
    assert metrics.ciede2000_mean(red, blue) == pytest.approx(float(expected), abs=0.02)


def test_ciede2000_mean_and_percentile_differ_on_a_local_change(photo: NDArray[np.uint8]) -> None:
    changed = photo.copy()
    patch = changed[:64]  # a quarter of the rows
    patch[:] = np.clip(patch.astype(int) + 30, 0, 255)
    differences = metrics.ciede2000_map(photo, changed)
    assert (differences[64:] == 0).all()
    assert metrics.ciede2000_mean(photo, changed) == pytest.approx(differences[:64].mean() / 4)
    assert metrics.ciede2000_p95(photo, changed) > 2 * metrics.ciede2000_mean(photo, changed)


def test_ciede2000_is_the_one_that_attacks_differentiate(pair: Any) -> None:
    torch = pytest.importorskip("torch")
    from art_crop.functional import color

    labs = [color.srgb_to_lab(torch.from_numpy(photo / 255).permute(2, 0, 1)) for photo in pair]
    np.testing.assert_allclose(metrics.ciede2000_map(*pair), color.ciede2000(*labs).numpy(), atol=5e-4)


def test_equal_photos(photo: NDArray[np.uint8]) -> None:
    expected = [0.0, 0.0, 0.0, math.inf, pytest.approx(1.0), pytest.approx(1.0), 0.0, 0.0]
    assert [function(photo, photo.copy()) for function in ALL] == expected


@pytest.mark.parametrize("function", ALL)
def test_uint8_and_float_photos_measure_the_same(function: Any, pair: Any) -> None:
    original, changed = pair
    exact = function(original, changed)
    assert function(original / 255, changed / 255) == pytest.approx(exact, rel=1e-12)
    assert function(original, (changed / 255).astype(np.float32)) == pytest.approx(exact, rel=1e-4)


def test_a_real_photo_through_jpeg(kodak_root: Path, tmp_path: Path) -> None:
    """More compression is worse on every measure, and none of them is out of its range."""
    original = np.asarray(Image.open(sorted(kodak_root.glob("*.png"))[4]).convert("RGB"))[:256, :256]
    rows = []
    for quality in (95, 75, 30):
        Image.fromarray(original).save(tmp_path / "q.jpg", quality=quality)
        rows.append([function(original, np.asarray(Image.open(tmp_path / "q.jpg"))) for function in ALL])
    table = np.array(rows)
    assert (np.diff(table, axis=0) * np.array([1, 1, 1, -1, -1, -1, 1, 1]) > 0).all()
    assert 0.5 < table[:, 4:6].min() < table[:, 4:6].max() < 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 20, 20), np.uint8), r"changed must be an array of shape \(height, width, 3\), got \(3, 20, 20\)"),
        (np.zeros((20, 20), np.uint8), "changed must be an array of shape"),
        (np.zeros((20, 21, 3), np.uint8), r"changed must have the shape of original, \(20, 20, 3\)"),
        (np.zeros((0, 20, 3), np.uint8), "changed must be an array of shape"),
        (np.zeros((20, 20, 3), np.int64), "changed must be uint8 or float in .0, 1., got int64"),
        (np.full((20, 20, 3), np.nan), "changed must be finite and in .0, 1."),
        (np.full((20, 20, 3), 255.0), "changed must be finite and in .0, 1. when it is float, got 255 to 255"),
        ([[1, 2, 3]], "changed must be an array of shape"),
    ],
)
@pytest.mark.parametrize("function", ALL)
def test_bad_photos_are_refused_by_name(function: Any, bad: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        function(np.zeros((20, 20, 3), np.uint8), bad)


def test_ssim_needs_its_window() -> None:
    small = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(InvalidInputError, match="at least 11 x 11 pixels for SSIM"):
        metrics.ssim(small, small)


def test_pixels_within_the_colour_threshold_are_counted() -> None:
    """Paper 002's map, written out with scikit-image: a change of the threshold is within it, one more level is not."""
    original = data.astronaut()[100:112, 200:214]
    lab = rgb2lab(original)
    height, width = original.shape[:2]
    variance = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        squares = []
        for dy, dx in itertools.product(range(-2, 3), repeat=2):
            if (dy, dx) != (0, 0) and 0 <= y + dy < height and 0 <= x + dx < width:
                gaussian = math.exp(-(dy**2 + dx**2) / 2) / (2 * math.pi)
                squares.append((deltaE_ciede2000(lab[y, x], lab[y + dy, x + dx]) * gaussian) ** 2)
        variance[y, x] = math.sqrt(np.mean(squares))
    levels = np.floor(50 * variance / variance.max() + 1e-4).astype(np.uint8)
    changed = original.copy()
    changed[..., 1] = np.where(original[..., 1] < 128, original[..., 1] + levels, original[..., 1] - levels)
    assert metrics.within_color_threshold(original, changed) == 1
    changed[3:5, 4, 1] = np.where(original[3:5, 4, 1] < 128, changed[3:5, 4, 1] + 1, changed[3:5, 4, 1] - 1)
    assert metrics.within_color_threshold(original, changed) == pytest.approx(1 - 2 / (height * width))
