"""The deployed cropper against 16 files that its reference program was run on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_crop.estimators.builtin import fastgaze
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.models.cropper import read_as_cropper

CASES = (
    "astronaut.png",
    "astronaut_portrait.jpg",
    "chelsea.png",
    "chelsea_150x100.png",
    "cmyk.jpg",
    "coffee_1777x1183.jpg",
    "dummy.jpeg",
    "e641.png",
    "exif6.jpg",
    "gray16.png",
    "pal.png",
    "prog444.jpg",
    "retina.jpg",
    "rgba.png",
    "rocket.jpg",
    "tiny.png",
)
SYMMETRIC = ("retina.jpg",)


@pytest.fixture(scope="module")
def estimator(fastgaze_weights: Path) -> PyTorchSaliencyRegressor:
    return fastgaze(weights=fastgaze_weights, device="cpu")


@pytest.fixture(scope="module")
def expected(fastgaze_golden: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((fastgaze_golden / "expected.json").read_text())
    return loaded


def test_no_case_is_left_out(expected: dict[str, Any]) -> None:
    assert sorted(expected) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_resized_pixels_are_equal(name: str, fastgaze_golden: Path, expected: dict[str, Any]) -> None:
    with np.load(fastgaze_golden / f"{name}.npz") as archive:
        (pixels,) = (archive[key] for key in archive.files)
    levels, _ = read_as_cropper(fastgaze_golden / "inputs" / name)
    assert list(levels.shape[2:]) == expected[name]["resized_height_width"]
    assert np.array_equal(levels[0].permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("name", CASES)
def test_map_point_and_crops(
    name: str, estimator: PyTorchSaliencyRegressor, fastgaze_golden: Path, expected: dict[str, Any]
) -> None:
    case = expected[name]
    found = estimator.predict_file(fastgaze_golden / "inputs" / name)
    reference = np.array(case["saliency_map"], np.float32)
    assert found.saliency_map.shape == reference.shape
    np.testing.assert_allclose(found.saliency_map, reference, rtol=0, atol=2e-5)
    assert list(found.salient_point) == case["salient_point"]
    # The last of the five is the photo's own ratio.
    assert case["ratios"] == "0.56 1.0 1.14 2.0 H/W"
    assert [list(crop) for crop in found.crops] == case["crops"]
    assert found.symmetric == (name in SYMMETRIC)


def test_ratios_asked_for_come_in_their_order(estimator: PyTorchSaliencyRegressor, fastgaze_golden: Path) -> None:
    path = fastgaze_golden / "inputs" / "rocket.jpg"
    default = estimator.predict_file(path)
    chosen = estimator.predict_file(path, ratios=(2.0, 0.56))
    assert chosen.crops == (default.crops[3], default.crops[0])


def test_the_numbers_of_the_specification(estimator: PyTorchSaliencyRegressor, fastgaze_golden: Path) -> None:
    found = estimator.predict_file(fastgaze_golden / "inputs" / "dummy.jpeg")
    assert found.salient_point == (129, 336)
    assert found.saliency_map.shape == (17, 20)
    assert found.saliency_map.min() == pytest.approx(-0.947685, abs=2e-5)
    assert found.saliency_map.max() == pytest.approx(1.318551, abs=2e-5)
    assert found.saliency_map[0, 0] == pytest.approx(0.440154, abs=2e-5)
    assert found.crops[0] == (0, 47, 1034, 579)


def test_a_symmetric_photo_is_cropped_at_its_middle(estimator: PyTorchSaliencyRegressor, fastgaze_golden: Path) -> None:
    found = estimator.predict_file(fastgaze_golden / "inputs" / "retina.jpg", ratios=(2.0,))
    (window,) = found.crops
    assert window.left + window.width // 2 == found.size[0] // 2
    assert found.salient_point[0] != found.size[0] // 2  # the reported point does not change


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "e641.png", "tiny.png", "chelsea_150x100.png"])
def test_a_lossless_photo_as_an_array_gives_the_same(
    name: str, estimator: PyTorchSaliencyRegressor, fastgaze_golden: Path, expected: dict[str, Any]
) -> None:
    from art_crop.images import load_photo

    pixels = load_photo(fastgaze_golden / "inputs" / name).pixels
    x = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    from_file = estimator.predict_file(fastgaze_golden / "inputs" / name)
    assert np.array_equal(estimator.predict(x)[0], from_file.saliency_map)
    assert estimator.salient_points(x)[0].tolist() == expected[name]["salient_point"]
    ratios = (0.56, 1.0, 1.14, 2.0, pixels.shape[0] / pixels.shape[1])
    assert estimator.crop(x, ratios)[0].tolist() == expected[name]["crops"]
