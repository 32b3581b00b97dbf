"""The two objects by their names, as a user gets them after `pip install`."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from skimage.metrics import mean_squared_error

import art_crop


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return data.astronaut()[:384, 60:444]


def batch(*photos: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / 255


def test_all_are_listed_with_this_distribution_and_can_be_loaded() -> None:
    found = {(r.kind, r.name) for r in art_crop.list_plugins() if r.distribution == "art-crop-template"}
    assert found == {("model", "contrast-saliency"), ("metric", "rmse"), ("task", "peak-in-box")}
    assert art_crop.load_model("contrast-saliency").name == "contrast-saliency"
    assert art_crop.load_metric("rmse").unit == "grey levels"


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_salient_point_is_on_what_differs_in_colour(channel: int) -> None:
    photo = np.full((160, 240, 3), 120, np.uint8)
    photo[96:128, 176:208, channel] = 180
    x, y = art_crop.load_model("contrast-saliency").salient_points(batch(photo))[0]
    assert 176 <= x < 208
    assert 96 <= y < 128


def test_a_photo_of_one_colour_has_no_contrast() -> None:
    maps = art_crop.load_model("contrast-saliency").predict(batch(np.full((100, 70, 3), 90, np.uint8)))
    assert maps.shape == (1, 7, 5)
    np.testing.assert_allclose(maps, 1e-3, atol=1e-6)  # the root's small number, everywhere the same


def test_an_attack_moves_its_peak_to_a_region_of_choice(astronaut: NDArray[np.uint8]) -> None:
    estimator, region = art_crop.load_model("contrast-saliency"), art_crop.Region(0.05, 0.05, 0.3, 0.3)
    x = batch(astronaut)
    before = estimator.salient_points(x)[0] / 384
    assert not (0.05 <= before[0] < 0.3 and 0.05 <= before[1] < 0.3)
    attack = art_crop.load_attack("saliency-peak-fgm")(estimator, eps=10.0, max_iter=10)
    changed = attack.generate(x, region)
    after = estimator.salient_points(changed)[0] / 384
    assert 0.05 <= after[0] < 0.3
    assert 0.05 <= after[1] < 0.3
    assert np.linalg.norm(changed - x) <= 10.0 + 1e-3


def test_rmse_is_the_root_of_scikit_images_mse(astronaut: NDArray[np.uint8]) -> None:
    rmse = art_crop.load_metric("rmse")
    changed = np.clip(astronaut.astype(int) + 7, 0, 255).astype(np.uint8)
    expected = mean_squared_error(astronaut, changed) ** 0.5
    assert rmse(astronaut, changed) == pytest.approx(expected, rel=1e-12)
    assert rmse(astronaut / 255, changed / 255) == pytest.approx(expected, rel=1e-9)
    black, white = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 255, np.uint8)
    assert rmse(black, white) == rmse.range[1] == 255
    assert rmse(black, black) == 0


@pytest.mark.parametrize(
    ("original", "changed", "named"),
    [
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8), "original"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 6, 3), np.uint8), "changed"),
        (np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), np.nan), "changed"),
        (np.zeros((4, 5, 3), np.int64), np.zeros((4, 5, 3), np.uint8), "original"),
    ],
)
def test_rmse_names_what_is_wrong(original: NDArray[np.generic], changed: NDArray[np.generic], named: str) -> None:
    with pytest.raises(art_crop.errors.InvalidInputError, match=named):
        art_crop.load_metric("rmse")(original, changed)
