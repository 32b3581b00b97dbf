"""Quality models of every kind: scales that run either way, grey photos, odd sizes, scores that are no numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from art_crop.attacks import GaussianNoise, SaliencyPeakFGM
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxQualityRegressor, PyTorchQualityRegressor
from art_crop.estimators.quality import on_scale_of
from art_crop.objectives import ScoreBeyond
from art_crop.plugins.registry import load_attack

Array = np.ndarray[Any, Any]


class Distortion(nn.Module):
    """Photos (N, channels, H, W) -> (N,): 0 (flat, the best) to 10, by how far apart neighbours are."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.blur = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate", groups=channels, bias=False)
        nn.init.constant_(self.blur.weight, 1 / 9)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * torch.tanh(4 * (x - self.blur(x)).square().mean((1, 2, 3)).add(1e-6).sqrt())


def white(channels: int = 3, **kwargs: Any) -> PyTorchQualityRegressor:
    shape = {} if channels == 3 else {"input_shape": (channels, -1, -1)}
    scale = {"score_range": (0, 10), "higher_is_better": False}
    return PyTorchQualityRegressor(Distortion(channels), device="cpu", **(scale | shape | kwargs))


def asked(channels: int = 3, **kwargs: Any) -> BlackBoxQualityRegressor:
    shape = {} if channels == 3 else {"input_shape": (channels, -1, -1)}
    scale = {"score_range": (0, 10), "higher_is_better": False}
    return BlackBoxQualityRegressor(white(channels).predict, **(scale | shape | kwargs))


def photos(channels: int = 3, height: int = 33, width: int = 47, count: int = 3) -> Array:
    rng = np.random.default_rng(0)
    strength = np.array([0.05, 0.15, 0.3])[:count, None, None, None]
    x = np.clip(0.5 + strength * rng.uniform(-1, 1, (count, channels, height, width)), 0, 1)
    levels: Array = np.rint(x * 255).astype(np.float32) / np.float32(255)
    return levels


@pytest.mark.parametrize("kind", [white, asked])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(33, 47), (1, 1), (2, 61)])
def test_a_photo_gets_its_score_in_any_batch_of_any_size(
    kind: Callable[..., Any], channels: int, size: tuple[int, int]
) -> None:
    estimator, x = kind(channels), photos(channels, *size)
    expected = Distortion(channels)(torch.from_numpy(x).double().float()).detach().numpy()
    for batch_size in (1, 2, 128):
        scores = estimator.predict(x, batch_size=batch_size)
        assert scores.shape == (3,)
        np.testing.assert_allclose(scores, expected, rtol=1e-4)
    np.testing.assert_allclose(estimator.predict(x[1:]), expected[1:], rtol=1e-4)
    objective = ScoreBeyond([float(expected[1])] * 3, "above")
    success = estimator.evaluate(x, objective).success.tolist()
    assert success[0] == (expected[0] >= expected[1])
    assert success[2] == (expected[2] >= expected[1])


@pytest.mark.parametrize("kind", [white, asked])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_files_in_grey_and_in_colour(kind: Callable[..., Any], suffix: str, tmp_path: Path) -> None:
    levels = np.rint(photos(1, count=1)[0, 0] * 255).astype(np.uint8)
    grey, colour = tmp_path / f"grey{suffix}", tmp_path / f"colour{suffix}"
    Image.fromarray(levels).save(grey, **({"quality": 95} if suffix == ".jpg" else {}))
    stored = np.asarray(Image.open(grey)).astype(np.float32)[None, None] / 255
    # A model of one channel sees the grey levels, one of three sees them three times.
    assert kind(1).predict_file(grey) == pytest.approx(float(kind(1).predict(stored)[0]), abs=1e-4)
    assert kind(3).predict_file(grey) == pytest.approx(float(kind(3).predict(stored.repeat(3, 1))[0]), abs=1e-4)
    Image.fromarray(np.stack([levels, levels // 2, 255 - levels], 2)).save(colour)
    opened = Image.open(colour)
    luma = np.asarray(opened, np.float64) @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    expected = float(kind(1).predict((luma / 255).astype(np.float32)[None, None])[0])
    assert kind(1).predict_file(colour) == pytest.approx(expected, abs=1e-4)
    bound = ScoreBeyond([expected + 0.01], "below")
    assert bool(kind(1).evaluate_file(colour, bound).success[0])


def test_files_for_other_channels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInputError, match="input_shape: a photo's file has 1 or 3 channels, not 4"):
        white(4).predict_file(tmp_path / "a.png")


@pytest.mark.parametrize("kind", [white, asked])
def test_the_scale_is_checked_kept_and_changed_all_or_not(kind: Callable[..., Any]) -> None:
    for bad in ("no", None, 1, 0.0):
        with pytest.raises(InvalidInputError, match="higher_is_better: one of True, False is needed"):
            kind(higher_is_better=bad)
    estimator = kind()
    with pytest.raises(InvalidInputError, match="score_range: two finite numbers"):
        estimator.set_params(higher_is_better=True, score_range=(3, float("nan")))
    scale = {name: estimator.get_params()[name] for name in ("score_range", "higher_is_better")}
    assert scale == {"score_range": (0, 10), "higher_is_better": False}
    estimator.set_params(score_range=(0, 5), higher_is_better=True)
    assert (estimator.score_range, estimator.higher_is_better) == ((0, 5), True)


def test_a_number_means_the_worse_side_for_every_model() -> None:
    x = photos()
    for estimator, sign in ((white(), 1), (white(score_range=(0, 20), higher_is_better=True), -1)):
        scores = estimator.predict(x)
        wanted = scores + sign * 0.05
        attack = SaliencyPeakFGM(estimator, eps=2, max_iter=3)
        found = estimator.predict(attack.generate(x, wanted))
        assert (sign * (found - wanted) >= 0).all()
        assert [result.success for result in attack.results] == [True] * 3
        # An objective says the side itself, here the better one.
        better = ScoreBeyond((scores - sign * 0.05).tolist(), "below" if sign > 0 else "above")
        found = estimator.predict(attack.generate(x, better))
        assert (sign * (scores - sign * 0.05 - found) >= 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_attacks_without_gradients_ask_of_grey_photos_too(channels: int) -> None:
    estimator, x = asked(channels), photos(channels)
    wanted = estimator.predict(x) + 0.05
    attack = GaussianNoise(estimator, eps=3)
    found = attack.generate(x, wanted)
    np.testing.assert_array_equal(
        [result.success for result in attack.results], estimator.predict(found) >= wanted.astype(np.float32)
    )
    assert all(result.success for result in attack.results)  # noise can only be a distortion


@pytest.mark.parametrize(
    "name",
    [
        "color-variance",
        "color-variance-noise",
        "contrast-shift",
        "dct-quantization",
        "minimum-color-difference",
        "sensitivity-carlini-l2",
    ],
)
def test_attacks_on_colours_refuse_grey_models_in_a_sentence(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"estimator: \w+ needs photos of 3 channels, not of 1 \(input_shape\)"):
        load_attack(name)(white(1))


@pytest.mark.parametrize("kind", [white, asked])
def test_bounds_that_are_not_on_the_scale_are_refused(kind: Callable[..., Any]) -> None:
    attack, x = GaussianNoise(kind()), photos()
    for y in (200, [1, 2, 10.5], ScoreBeyond([1, 2, 10.5], "above"), ScoreBeyond([-1e-3, 1, 2], "below")):
        with pytest.raises(InvalidInputError, match=r"^y: the model's scale goes from 0 to 10, not "):
            attack.generate(x, y)
    both = ScoreBeyond([1.0, 2, 3], "above") & ScoreBeyond([4.0, 5, 11], "below")
    with pytest.raises(InvalidInputError, match=r"not 11$"):
        attack.generate(x, both)
    attack.generate(x, 10)  # its end is on it


class _NotANumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((1, 2, 3))
        return torch.where(means < 0.2, means / 0 * 0, means)


def test_scores_that_are_not_numbers_are_refused_with_the_photo(tmp_path: Path) -> None:
    x = photos()
    x[1] = 0.1
    model = PyTorchQualityRegressor(_NotANumber(), device="cpu")
    models = (model, BlackBoxQualityRegressor(lambda x: _NotANumber()(torch.from_numpy(x)).numpy()))
    Image.fromarray(np.full((9, 9, 3), 20, np.uint8)).save(tmp_path / "dark.png")
    for estimator in models:
        asks: list[Callable[[], Any]] = [
            lambda estimator=estimator: estimator.predict(x),
            lambda estimator=estimator: estimator.evaluate(x, ScoreBeyond([0.5] * 3, "below")),
            lambda estimator=estimator: GaussianNoise(estimator, eps=1).generate(x, [0.3, 0.3, 0.3]),
        ]
        for ask in asks:
            with pytest.raises(InvalidInputError, match=r"NaN.* for photo 1 of the batch"):
                ask()
        with pytest.raises(InvalidInputError, match="NaN"):
            estimator.predict_file(tmp_path / "dark.png")


class TestOnScale:
    @pytest.mark.parametrize(
        ("score_range", "higher", "expected"),
        [
            ((0, 100), False, lambda s: 10 * s),
            ((0, 100), True, lambda s: 100 - 10 * s),
            ((1, 5), True, lambda s: 5 - 0.4 * s),
            ((-8, -3), False, lambda s: -8 + 0.5 * s),
        ],
    )
    def test_best_on_best_and_worst_on_worst(self, score_range: Any, higher: bool, expected: Any) -> None:
        x, model = photos(), white()
        moved = model.on_scale(score_range, higher_is_better=higher)
        scores = model.predict(x)
        np.testing.assert_allclose(moved.predict(x), expected(scores), rtol=1e-5)
        assert (moved.score_range, moved.higher_is_better) == (score_range, higher)
        assert moved.model is model.model
        np.testing.assert_array_equal(model.predict(x), scores)  # the model itself stays as it is
        back = moved.on_scale((0, 10), higher_is_better=False)
        np.testing.assert_allclose(back.predict(x), scores, rtol=1e-4)
        slope = (expected(1.0) - expected(0.0)) * model.loss_gradient(x, scores + 1)
        np.testing.assert_allclose(moved.loss_gradient(x, moved.predict(x) + 1), slope, rtol=1e-3, atol=1e-6)

    def test_only_models_of_another_scale_are_moved(self) -> None:
        model = white()
        assert on_scale_of(model, asked()) is model
        assert on_scale_of(model, asked(score_range=(0, 100))).score_range == (0, 100)
        with pytest.raises(InvalidInputError, match="score_range"):
            model.on_scale((3, 3))

    def test_one_that_decides_on_another_scale_is_refused_until_the_source_is_moved(self) -> None:
        x, source = photos(), white()
        judge = BlackBoxQualityRegressor(lambda x: 100 - 10 * white().predict(x))  # 0 to 100, higher is better
        with pytest.raises(
            InvalidInputError,
            match="success_oracle: its scores go from 0 to 100, higher is better, the estimator's from 0 to 10, lower",
        ):
            SaliencyPeakFGM(source, success_oracle=judge)
        with pytest.raises(InvalidInputError, match="ensemble: its scores go from 0 to 100"):
            SaliencyPeakFGM(source, ensemble=[white(score_range=(0, 100))])
        attack = SaliencyPeakFGM(on_scale_of(source, judge), success_oracle=judge, eps=3, max_iter=2)
        wanted = judge.predict(x) - 1
        found = attack.generate(x, wanted)
        assert (judge.predict(found) <= wanted).all()
