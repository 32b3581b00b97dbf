"""The parts of the figure: nothing that changed is invisible, and saliency glows where the cells stand."""

from __future__ import annotations

import numpy as np
import pytest

from art_crop.pipeline.picture import SaliencyMap, amplified_change, overlay, thumbnail


def test_one_changed_pixel_of_a_large_photo_is_seen() -> None:
    original = np.full((1000, 1500, 3), 90, np.uint8)
    written = original.copy()
    written[777, 1234, 1] -= 1
    picture, scale, block = amplified_change(original, written, 500)
    assert picture.shape == (334, 500, 3)
    assert block == 3
    assert scale == 127
    assert picture[777 // 3, 1234 // 3].tolist() == [128, 1, 128]
    assert np.count_nonzero(picture != 128) == 1


def test_strips_of_a_large_photo_join(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    original = rng.integers(0, 250, (2100, 3000, 3), dtype=np.uint8)
    written = original + rng.integers(0, 4, original.shape, dtype=np.uint8)
    picture, scale, block = amplified_change(original, written, 1000)
    blocks = (written - original).reshape(700, 3, 1000, 3, 3).max((1, 3)).astype(int)
    assert block == 3
    assert scale == 127 // 3
    np.testing.assert_array_equal(picture, 128 + blocks * scale)


def test_no_change_is_grey() -> None:
    picture, scale, _ = amplified_change(np.zeros((5, 7, 3), np.uint8), np.zeros((5, 7, 3), np.uint8), 900)
    assert scale == 0
    assert (picture == 128).all()


def test_a_glow_stands_where_its_cell_stands() -> None:
    """A map of 4 x 3 cells of 16 px over a photo of 56 x 40 px: the last column and row lie half outside."""
    density = np.zeros((3, 4), np.float32)
    density[1, 2] = 1
    glow = overlay(np.zeros((40, 56, 3), np.uint8), SaliencyMap(density, (64 / 56, 48 / 40)))
    brightest = np.unravel_index(int(glow.sum(2).argmax()), (40, 56))
    assert abs(brightest[0] - (16 + 8)) <= 1
    assert abs(brightest[1] - (32 + 8)) <= 1


def test_thumbnails_fit_and_keep_their_shape() -> None:
    assert thumbnail(np.zeros((600, 800, 3), np.uint8), 400).shape == (300, 400, 3)
    assert thumbnail(np.zeros((20, 20000, 3), np.uint8), 900).shape == (1, 900, 3)
    small = np.zeros((6, 8, 3), np.uint8)
    assert thumbnail(small, 400) is small


@pytest.mark.parametrize("level", [89, 91])
def test_of_each_block_the_furthest_change_is_shown_with_its_sign(level: int) -> None:
    original = np.full((95, 130, 3), 90, np.uint8)  # neither side is a whole number of blocks
    written = original.copy()
    written[94, 129] = level
    written[0, 0], written[1, 1] = 93, 85
    picture, scale, block = amplified_change(original, written, 33)
    assert (block, picture.shape) == (4, (24, 33, 3))
    assert picture[23, 32].tolist() == [128 + (level - 90) * scale] * 3
    assert picture[0, 0].tolist() == [128 - 5 * scale] * 3


@pytest.mark.parametrize(("strong", "scale"), [(2, 127 // 2), (50, 127 // 4)])
def test_one_change_in_a_thousand_does_not_set_the_scale_and_one_in_a_hundred_does(strong: int, scale: int) -> None:
    """Of 10,000 changed values: most by 2 levels, 2 of them by 100, and some by 4."""
    change = np.full(10_000, 2)
    change[:strong] = 4
    change[-2:] = 100
    original = np.full((10_000 // 3 + 1, 1, 3), 90, np.uint8)
    written = original.copy().reshape(-1)
    written[: len(change)] += change.astype(np.uint8)
    _, found, _ = amplified_change(original, written.reshape(original.shape), 10_000)
    assert found == scale
