"""ART's own attacks and checks on our regressors.

The checks of types, masks and unchanged inputs follow ART's test-suite (MIT), which cannot be imported from outside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from art.attacks.evasion import (
    BasicIterativeMethod,
    FastGradientMethod,
    FeatureAdversariesPyTorch,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
    SquareAttack,
)
from art.estimators.estimator import BaseEstimator, LossGradientsMixin, NeuralNetworkMixin
from art.estimators.pytorch import PyTorchEstimator
from art.estimators.regression.regressor import RegressorMixin
from art.exceptions import EstimatorError
from numpy.typing import NDArray

from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.estimators.builtin import fastgaze

EPS = 0.03
GRADIENT_ATTACKS = {
    "fgm": lambda est, **kw: FastGradientMethod(est, eps=EPS, **kw),
    "fgm_l2": lambda est, **kw: FastGradientMethod(est, eps=0.5, norm=2, **kw),
    "bim": lambda est, **kw: BasicIterativeMethod(est, eps=EPS, eps_step=0.01, max_iter=5, verbose=False, **kw),
    "pgd": lambda est, **kw: ProjectedGradientDescent(est, eps=EPS, eps_step=0.01, max_iter=5, verbose=False, **kw),
    "mim": lambda est, **kw: MomentumIterativeMethod(est, eps=EPS, eps_step=0.01, max_iter=5, verbose=False, **kw),
}


def estimator_of(tiny: Any, kind: str, **kwargs: Any) -> Any:
    return (tiny.saliency_estimator if kind == "saliency" else tiny.quality_estimator)(**kwargs)


def target_of(kind: str, count: int) -> NDArray[np.float32]:
    if kind == "saliency":
        y = np.zeros((count, 6, 8), np.float32)
        y[:, 2, 3] = 3
        return y
    return np.resize(np.array([10, 90], np.float32), count)  # far on either side, so that no step goes past it


@pytest.mark.parametrize("kind", ["saliency", "quality"])
class TestGradientAttacks:
    @pytest.mark.parametrize("name", GRADIENT_ATTACKS)
    @pytest.mark.parametrize("channels_first", [True, False])
    def test_targeted_comes_closer_and_untargeted_gets_away(
        self, tiny: Any, kind: str, name: str, channels_first: bool
    ) -> None:
        estimator = estimator_of(tiny, kind, channels_first=channels_first)
        x, y = tiny.photos(3), target_of(kind, 3)
        x = x if channels_first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        kept = x.copy()
        before = estimator.compute_loss(x, y)
        for targeted in (True, False):
            found = GRADIENT_ATTACKS[name](estimator, targeted=targeted).generate(x, y)
            after = estimator.compute_loss(found, y)
            assert found.shape == x.shape
            assert found.dtype == np.float32
            assert (after < before).all() if targeted else (after > before).all()
            distance = found - x
            if name == "fgm_l2":
                assert np.sqrt((distance**2).sum((1, 2, 3))) == pytest.approx(0.5, rel=0.05)
            else:
                assert np.abs(distance).max() <= EPS + 1e-6
            assert found.min() >= 0
            assert found.max() <= 1
        assert np.array_equal(x, kept)

    def test_a_photos_result_does_not_depend_on_the_batch(self, tiny: Any, kind: str) -> None:
        estimator, x, y = estimator_of(tiny, kind), tiny.photos(4), target_of(kind, 4)
        attack = GRADIENT_ATTACKS["pgd"](estimator, targeted=True, batch_size=3)
        together = attack.generate(x, y)
        for i in range(4):
            assert np.array_equal(attack.generate(x[i : i + 1], y[i : i + 1])[0], together[i])

    def test_pgd_keeps_to_its_mask(self, tiny: Any, kind: str) -> None:
        estimator, x, y = estimator_of(tiny, kind), tiny.photos(2), target_of(kind, 2)
        mask = np.zeros((1, 24, 32), np.float32)
        mask[:, :12] = 1
        found = GRADIENT_ATTACKS["pgd"](estimator, targeted=True).generate(x, y, mask=mask)
        assert np.array_equal(found[..., 12:, :], x[..., 12:, :])
        assert not np.array_equal(found[..., :12, :], x[..., :12, :])

    def test_an_attack_without_y_does_not_stand_still_in_silence(self, tiny: Any, kind: str) -> None:
        with pytest.warns(UserWarning, match="an attack stands still"):
            found = GRADIENT_ATTACKS["fgm"](estimator_of(tiny, kind)).generate(tiny.photos(2))
        assert np.array_equal(found, tiny.photos(2))

    def test_other_pixel_ranges(self, tiny: Any, kind: str) -> None:
        """Standardising by the range gives the same model, so the same attack in its units."""
        plain, wide = (
            estimator_of(tiny, kind),
            estimator_of(tiny, kind, clip_values=(0, 255), preprocessing=(0.0, 255.0)),
        )
        x, y = tiny.photos(2), target_of(kind, 2)
        one = FastGradientMethod(plain, eps=0.02, targeted=True).generate(x, y)
        other = FastGradientMethod(wide, eps=0.02 * 255, targeted=True).generate(x * 255, y)
        assert np.mean(np.abs(other / 255 - one) > 1e-4) < 1e-3  # signs of next to no gradient may differ


def test_scores_as_a_column_or_a_row_are_attacked_alike(tiny: Any) -> None:
    estimator, x, y = tiny.quality_estimator(), tiny.photos(4), target_of("quality", 4)
    for make in GRADIENT_ATTACKS.values():
        row, column = (make(estimator, targeted=True).generate(x, target) for target in (y, y[:, None]))
        assert np.array_equal(row, column)


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("black_box", [False, True])
def test_square_attack_lowers_a_score(tiny: Any, channels_first: bool, norm: float, black_box: bool) -> None:
    # Square, for ART's first tile would not fit into a wide photo.
    shape = (3, 32, 32) if channels_first else (32, 32, 3)
    white = tiny.quality_estimator(channels_first=channels_first, input_shape=shape)
    estimator = (
        BlackBoxQualityRegressor(white.predict, channels_first=channels_first, input_shape=shape)
        if black_box
        else white
    )
    x = tiny.photos(3, 32, 32)
    x = x if channels_first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    before, kept = white.predict(x), x.copy()
    np.random.seed(0)  # noqa: NPY002  ART draws from the global state
    found = SquareAttack(
        estimator,
        norm=norm,
        eps=0.1 if norm == np.inf else 2.0,
        max_iter=30,
        adv_criterion=lambda prediction, y: prediction < 0,
        loss=lambda x, y: estimator.predict(x),
        verbose=False,
    ).generate(x.copy(), before)
    assert (white.predict(found) < before).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(x, kept)
    if black_box:
        assert estimator.query_count > 30 * 3
    if norm == np.inf:
        assert np.abs(found - x).max() <= 0.1 + 1e-6


def test_square_attack_moves_a_black_box_cropper(tiny: Any) -> None:
    white = tiny.saliency_estimator()
    estimator = BlackBoxSaliencyRegressor(white.predict, log_density=True, input_shape=(3, 32, 32))
    x = tiny.photos(2, 32, 32)
    start = estimator.predict(x).reshape(2, -1).argmax(1)

    def margin(x: Any, y: Any) -> Any:
        maps = estimator.predict(x).reshape(len(x), -1)
        chosen = maps[:, 11].copy()
        maps[:, 11] = -np.inf
        return maps.max(1) - chosen

    assert (start != 11).all()
    np.random.seed(0)  # noqa: NPY002
    found = SquareAttack(
        estimator,
        eps=0.3,
        max_iter=60,
        adv_criterion=lambda prediction, y: prediction.reshape(len(prediction), -1).argmax(1) == 11,
        loss=margin,
        verbose=False,
    ).generate(x.copy(), start)
    assert (margin(found, None) < margin(x, None)).all()


def test_feature_adversaries(tiny: Any) -> None:
    estimator = tiny.saliency_estimator(input_shape=(3, 24, 32))
    source, guide = tiny.photos(2), tiny.photos(2, seed=5)
    layer = "first"
    found = FeatureAdversariesPyTorch(
        estimator, delta=0.3, layer=layer, max_iter=20, batch_size=2, step_size=0.05, verbose=False
    ).generate(source, guide)

    def apart(x: Any) -> Any:
        difference = estimator.get_activations(x, layer) - estimator.get_activations(guide, layer)
        return (difference**2).sum((1, 2, 3))

    assert (apart(found) < 0.7 * apart(source)).all()
    assert np.abs(found - source).max() <= 0.3 + 1e-6


def test_the_classes_that_arts_attacks_ask_for(tiny: Any) -> None:
    white = {BaseEstimator, LossGradientsMixin, NeuralNetworkMixin, PyTorchEstimator, RegressorMixin}
    for estimator in (tiny.saliency_estimator(), tiny.quality_estimator()):
        assert white <= set(type(estimator).__mro__)
    black = BlackBoxQualityRegressor(lambda x: x.mean((1, 2, 3)))
    assert {BaseEstimator, NeuralNetworkMixin, RegressorMixin} <= set(type(black).__mro__)
    assert not isinstance(black, LossGradientsMixin)
    with pytest.raises(EstimatorError, match="LossGradientsMixin"):
        FastGradientMethod(black)


def test_every_estimator_prints(tiny: Any) -> None:
    black = BlackBoxSaliencyRegressor(lambda x: x.mean(1), max_queries=3)
    for estimator in (tiny.saliency_estimator(), tiny.quality_estimator(), black):
        assert type(estimator).__name__ in repr(estimator)
        assert set(estimator.estimator_params) == set(estimator.get_params())


def test_art_attacks_fastgaze_through_its_whole_pipeline(fastgaze_weights: Path, photo: NDArray[np.uint8]) -> None:
    estimator = fastgaze(weights=fastgaze_weights, device="cpu", loss="kl")
    x = photo.transpose(2, 0, 1)[None].astype(np.float32) / 255
    shape = estimator.predict(x).shape
    y = np.zeros(shape, np.float32)
    y[:, shape[1] // 2, 2] = 6  # nearly all of the density in one cell on the left
    attack = ProjectedGradientDescent(
        estimator, eps=8 / 255, eps_step=3 / 255, max_iter=4, targeted=True, verbose=False
    )
    found = attack.generate(x, y)
    assert estimator.compute_loss(found, y)[0] < 0.9 * estimator.compute_loss(x, y)[0]
    before, after = estimator.salient_points(x)[0], estimator.salient_points(found)[0]
    aim = np.array([(16 * 2 + 8) * 384 / 320, photo.shape[0] / 2])
    assert np.abs(after - aim).sum() < np.abs(before - aim).sum()
