"""Carlini and Wagner's search with a sensitivity map: what it weights, what it finds, and what it refuses."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import CarliniL2Method
from skimage import data

import art_crop
from art_crop.attacks import SensitivityCarliniL2
from art_crop.attacks.sensitivity_carlini import sensitivity_l2
from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor, QualityClassifierView

X = np.stack([data.astronaut()[40:136, 150:278], data.astronaut()[40:136, 150:278][::-1]])
X = X.transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.fixture(scope="module")
def quality(texture: Any) -> Any:
    return PyTorchQualityRegressor(texture(), device="cpu")


def left_half(photos: torch.Tensor) -> torch.Tensor:
    """People look at the left half only."""
    maps = torch.zeros(len(photos), 8, 16)
    maps[:, :, :8] = 1
    return maps


def bounds(quality: Any) -> Any:
    return quality.predict(X) - 10


def l2(changed: Any, weight: Any = 1.0) -> Any:
    return np.sqrt(np.square(weight * (changed - X)).sum((1, 2, 3)))


def test_the_change_goes_where_nobody_looks(quality: Any) -> None:
    plain = SensitivityCarliniL2(quality, sensitivity="uniform")
    weighted = SensitivityCarliniL2(quality, sensitivity=left_half)
    found, by_map = (attack.generate(X, bounds(quality)) for attack in (plain, weighted))
    for attack, photos in ((plain, found), (weighted, by_map)):
        assert all(result.success for result in attack.results)
        assert (quality.predict(photos) <= bounds(quality)).all()
        assert np.abs(photos * 255 - np.rint(photos * 255)).max() < 1e-3
    weight = np.where(np.arange(128) < 64, 1.0, 0.1)
    assert (l2(by_map, weight) < 0.75 * l2(found, weight)).all()
    assert (l2(by_map) > l2(found)).all()


def test_without_a_map_it_is_as_small_as_arts(quality: Any) -> None:
    """Both unrounded, with the same steps; ART halves and doubles its own within each of them."""
    same = {"max_iter": 40, "binary_search_steps": 4, "initial_const": 0.01}
    found = SensitivityCarliniL2(quality, sensitivity="uniform", quantize=False, **same).generate(
        X[:1], bounds(quality)[:1]
    )
    bound = float(bounds(quality)[0])
    view = QualityClassifierView(quality, [bound, 101.0], input_shape=X.shape[1:])
    theirs = CarliniL2Method(view, targeted=True, learning_rate=0.005, verbose=False, **same)
    changed = theirs.generate(X[:1], np.eye(3, dtype=np.float32)[:1])
    assert quality.predict(found)[0] <= bound
    assert quality.predict(changed)[0] <= bound
    assert np.linalg.norm(found - X[:1]) <= 1.05 * np.linalg.norm(changed - X[:1])


def test_a_larger_alpha_changes_less_and_fails_more(quality: Any) -> None:
    found = []
    for alpha in (0.1, 1000.0, 1e7):
        attack = SensitivityCarliniL2(quality, sensitivity="uniform", alpha=alpha)
        found.append((float(l2(attack.generate(X, bounds(quality))).sum()), [r.success for r in attack.results]))
    assert found[0][1] == [True, True]
    assert found[2][1] == [False, False]
    assert found[0][0] > found[2][0]


def test_the_default_map_is_that_of_a_saliency_model(quality: Any) -> None:
    people = art_crop.load_model("gaze-lite-human", device="cpu")
    by_name = SensitivityCarliniL2(quality, max_iter=10).generate(X, bounds(quality))
    by_model = SensitivityCarliniL2(quality, sensitivity=people, max_iter=10).generate(X, bounds(quality))
    np.testing.assert_array_equal(by_name, by_model)
    weights = SensitivityCarliniL2(quality, floor=0.2)._weights(torch.from_numpy(X))
    assert weights.shape == (2, 1, 96, 128)
    assert float(weights.min()) == pytest.approx(0.2)
    assert float(weights.amax()) > 0.9


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_the_papers_own_network_by_name_and_as_it_is(
    quality: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.models.sensitivity import FCNVGG16, save_fcn_vgg16

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = FCNVGG16(long_side=64)
    torch.nn.init.constant_(network.out.bias, 0.5)  # random weights; a map about 0.5
    save_fcn_vgg16(network, tmp_path / "net.safetensors", {})
    monkeypatch.setenv("ART_CROP_SENSITIVITY", str(tmp_path / "net.safetensors"))
    model = art_crop.load_model("fcn-vgg16-sensitivity", device="cpu")
    by_name = SensitivityCarliniL2(quality, sensitivity="fcn-vgg16-sensitivity", max_iter=20, initial_const=1.0)
    by_model = SensitivityCarliniL2(quality, sensitivity=model, max_iter=20, initial_const=1.0)
    found = by_name.generate(X, bounds(quality))
    assert all(result.success for result in by_name.results)
    assert (quality.predict(found) <= bounds(quality)).all()
    np.testing.assert_array_equal(found, by_model.generate(X, bounds(quality)))
    maps = model.predict(X)
    assert 0.1 < maps.min() < maps.max() < 0.9
    np.testing.assert_allclose(by_model._weights(torch.from_numpy(X))[:, 0].numpy(), maps, atol=1e-6)


def test_a_photo_that_is_there_already_is_returned_as_it_is(quality: Any) -> None:
    attack = SensitivityCarliniL2(quality, sensitivity="uniform", max_iter=20)
    found = attack.generate(X, [float(quality.predict(X)[0]) + 1, float(quality.predict(X)[1]) - 5])
    np.testing.assert_allclose(found[0], X[0], atol=1e-6)
    assert attack.results[0].success_before
    assert attack.results[0].gradients == 1
    assert np.abs(found[1] - X[1]).max() > 1 / 300


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        (lambda x: torch.ones(len(x) + 1, 4, 4), "maps"),
        (lambda x: 2 * torch.ones(len(x), 4, 4), r"\[0, 1\]"),
        (lambda x: torch.full((len(x), 4, 4), float("nan")), "finite"),
    ],
)
def test_maps_that_make_no_sense_are_refused(quality: Any, maps: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        SensitivityCarliniL2(quality, sensitivity=maps).generate(X, bounds(quality))


def test_limits_are_refused(quality: Any) -> None:
    attack = SensitivityCarliniL2(quality, sensitivity="uniform")
    with pytest.raises(InvalidInputError, match="mask"):
        attack.generate(X, bounds(quality), mask=np.ones((1, 1, 96, 128), np.float32))


def test_the_measure_is_the_weighted_norm() -> None:
    people = art_crop.load_model("gaze-lite-human", device="cpu")
    before, after = data.astronaut(), data.astronaut().copy()
    after[100:140, 60:100, 1] ^= 3
    x = before.transpose(2, 0, 1)[None].astype(np.float32) / 255
    density = np.exp(people.predict(x)[0] - people.predict(x)[0].max())
    fine = torch.nn.functional.interpolate(torch.from_numpy(density)[None, None], (512, 512), mode="bilinear")
    weight = fine[0, 0].clamp(0.1, 1).numpy()[:, :, None]
    expected = np.linalg.norm(weight * (after.astype(float) - before) / 255)
    assert sensitivity_l2(before, after) == pytest.approx(expected, rel=1e-4)
    assert sensitivity_l2(before, before) == 0
