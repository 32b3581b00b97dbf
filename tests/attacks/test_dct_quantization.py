"""The attack on a JPEG's coefficients, on the files that Pillow reads and writes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import art_crop
from art_crop.attacks import DCTQuantizationAttack, SaliencyPeakFGM
from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor
from art_crop.functional.jpeg import encode, quality_tables
from art_crop.objectives import PeakInRegion, ScoreBeyond

PIXELS = np.ascontiguousarray(data.astronaut()[40:141, 150:283])  # no multiple of 8
X = PIXELS.transpose(2, 0, 1)[None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def quality(texture: Any) -> Any:
    return PyTorchQualityRegressor(texture(), device="cpu")


def resaved(pixels: Any, quality: int, subsampling: str) -> Any:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return read(buffer.getvalue())


def read(jpeg: bytes) -> Any:
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))


def score(estimator: Any, pixels: Any) -> float:
    return float(estimator.predict(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)[0])


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_the_written_file_and_its_copies_score_below_the_bound(quality: Any, subsampling: str) -> None:
    bound = score(quality, PIXELS) - 20
    attack = DCTQuantizationAttack(quality, subsampling=subsampling)
    found = attack.generate(X, [bound])
    result, coefficients = attack.results[0], attack.coefficients[0]
    assert result.success
    assert not result.success_before
    assert result.note == ""
    file = read(coefficients.to_bytes())
    np.testing.assert_array_equal(np.rint(found[0].transpose(1, 2, 0) * 255), file)
    margin = 0.5  # of a hundred
    for again in (file, resaved(file, 90, "4:4:4"), resaved(file, 90, "4:2:0")):
        assert score(quality, again) <= bound - margin + 1e-3
    plain = resaved(PIXELS, 90, subsampling)
    assert score(quality, plain) > bound
    loss = np.square(file.astype(float) - PIXELS).mean() / np.square(plain.astype(float) - PIXELS).mean()
    assert 10 * np.log10(loss) < 0.5  # decibels
    assert result.l2 == pytest.approx(np.linalg.norm(file.astype(float) - PIXELS) / 255, rel=1e-5)


def test_a_file_that_need_not_survive_is_nearer_to_the_photo(quality: Any) -> None:
    bound, sizes = score(quality, PIXELS) - 20, []
    for options in ({"resaved": (), "margin": 0.0}, {}, {"resaved": ((75, "4:2:0"),)}):
        attack = DCTQuantizationAttack(quality, **options)
        attack.generate(X, [bound])
        assert attack.results[0].success
        sizes.append(attack.results[0].l2)
    assert sizes == sorted(sizes)


def test_coefficients_stay_within_the_bound(quality: Any) -> None:
    """Of an inner attack that changes nothing, the bound lies about the photo's own coefficients."""

    class Nothing:
        def generate(self, x: Any, y: Any) -> Any:
            return x

    for bound in (1, 2):
        attack = DCTQuantizationAttack(quality, inner=Nothing(), bound=bound, resaved=(), subsampling="4:4:4")
        attack.generate(X, [0.0])  # out of reach, so that all is tried
        assert not attack.results[0].success
        assert "no file" in attack.results[0].note
        own = encode(torch.from_numpy(X * 255), quality_tables(90), "4:4:4", rounded=False)
        for moved, exact in zip(attack.coefficients[0].components, own, strict=True):
            assert np.abs(moved - exact[0].round().numpy()).max() == bound


def test_a_photo_whose_jpeg_is_there_already_becomes_that_jpeg(quality: Any) -> None:
    attack = DCTQuantizationAttack(quality)
    attack.generate(X, [score(quality, PIXELS) + 25])
    result = attack.results[0]
    assert result.success_before
    assert "nothing is changed" in result.note
    assert result.gradients == 0
    file = read(attack.coefficients[0].to_bytes())
    np.testing.assert_array_equal(file, resaved(PIXELS, 90, "4:2:0"))


def test_the_spatial_version_holds_as_a_png_and_is_whole_levels(quality: Any) -> None:
    bound = score(quality, PIXELS) - 20
    attack = DCTQuantizationAttack(quality, domain="spatial", margin=0.0)
    found = attack.generate(X, [bound])
    levels = np.rint(found[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    np.testing.assert_allclose(found[0].transpose(1, 2, 0) * 255, levels, atol=1e-3)
    assert attack.results[0].success
    assert attack.coefficients == [None]
    assert score(quality, levels) <= bound
    assert 10 * np.log10(255**2 / np.square(levels.astype(float) - PIXELS).mean()) > 48


def test_spatial_levels_are_those_of_the_least_lambda(quality: Any) -> None:
    """Against all lambdas of the specification, one by one, for a change that is given."""
    change = torch.randn(X.shape, generator=torch.Generator().manual_seed(0)).numpy() * 0.4

    class Given:
        def generate(self, x: Any, y: Any) -> Any:
            return (x + change / 255).clip(0, 1).astype(np.float32)

    moved = Given().generate(X, None).astype(np.float64) * 255
    up = np.ceil(moved - PIXELS.transpose(2, 0, 1)[None])
    objective = ScoreBeyond([score(quality, PIXELS) - 5.0], "below")
    seen = quality.value_and_gradient(torch.from_numpy(moved / 255).float(), objective)
    gradient = seen.gradient.numpy().astype(np.float64) / 255
    attack = DCTQuantizationAttack(quality, domain="spatial", margin=0.0, inner=Given())
    found = np.rint(attack.generate(X, objective) * 255)
    assert attack.results[0].success

    def at(multiplier: float) -> Any:
        above = 1 - 2 * up > multiplier * gradient
        whole = moved == np.rint(moved)
        return (PIXELS.transpose(2, 0, 1)[None] + np.where(above | whole, up, up - 1)).clip(0, 255)

    multipliers = np.geomspace(1e-2, 1e6, 4000)
    distance = [np.abs(found - at(multiplier)).sum() for multiplier in multipliers]
    assert min(distance) < 30  # of 40,000 pixels: it is one of them, but for those that turn next to it
    less = multipliers[int(np.argmin(distance))] * 0.98
    assert not quality.evaluate(torch.from_numpy(at(less) / 255).float(), objective).success[0]


def test_another_attack_takes_the_place_of_the_first_step(quality: Any) -> None:
    bound = score(quality, PIXELS) - 20
    inner = SaliencyPeakFGM(quality, minimal=True, quantize=False)
    attack = DCTQuantizationAttack(quality, inner=inner)
    attack.generate(X, [bound])
    assert attack.results[0].success
    assert inner.results[0].success


def test_a_peak_moves_in_a_jpeg() -> None:
    estimator = art_crop.load_model("gaze-lite", device="cpu")
    region = art_crop.Region(0.0, 0.6, 0.4, 1.0)
    attack = DCTQuantizationAttack(estimator, quality=85, resaved=(), margin=0.0)
    attack.generate(X, region)
    assert attack.results[0].success
    file = read(attack.coefficients[0].to_bytes()).transpose(2, 0, 1)[None].astype(np.float32) / 255
    assert estimator.evaluate(file, PeakInRegion([region])).success[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain", "pixels"),
        ("quality", 0),
        ("subsampling", "4:1:1"),
        ("resaved", 90),
        ("resaved", [(90,)]),
        ("resaved", [(101, "4:2:0")]),
        ("bound", 0),
        ("margin", -1.0),
        ("max_radius", 0.0),
        ("inner", "pgd"),
    ],
)
def test_parameters_outside_their_range_are_refused(quality: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=name):
        DCTQuantizationAttack(quality, **{name: value})
