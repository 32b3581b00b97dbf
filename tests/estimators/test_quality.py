"""The quality estimator: scores (N,) whatever the model's and the targets' shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor
from art_crop.objectives import ScoreBeyond


class Bins(nn.Module):
    """A distribution over five opinion bins, from the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 5)
        nn.init.normal_(self.out.weight, generator=torch.Generator().manual_seed(0))
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x.mean((2, 3))).softmax(1)  # type: ignore[no-any-return]


class Flat(nn.Module):
    """Scores (N,), not (N, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3)) * 10


def test_targets_of_n_and_n_by_1_mean_the_same(tiny: Any) -> None:
    estimator, x = tiny.quality_estimator(), tiny.photos(4)
    y = np.array([10, 40, 60, 90], np.float32)
    column = y[:, None]
    assert estimator.predict(x).shape == (4,)
    gradient = estimator.loss_gradient(x, y)
    assert np.array_equal(gradient, estimator.loss_gradient(x, column))
    assert np.array_equal(estimator.compute_loss(x, y), estimator.compute_loss(x, column))
    assert estimator.compute_loss(x, column).shape == (4,)
    prediction = estimator.predict(x)
    losses = [
        estimator.compute_loss_from_predictions(p, t) for p in (prediction, prediction[:, None]) for t in (y, column)
    ]
    for loss in losses:
        np.testing.assert_allclose(loss, (prediction - y) ** 2, rtol=1e-5)
    # A target below the score and one above pull in opposite directions; averaged N x N differences would not.
    for i in range(4):
        up = x[i : i + 1] + 1e-3 * np.sign(gradient[i : i + 1])
        assert estimator.compute_loss(np.clip(up, 0, 1), y[i : i + 1]) > estimator.compute_loss(
            x[i : i + 1], y[i : i + 1]
        )


def test_models_of_n_and_n_by_1_mean_the_same(tiny: Any) -> None:
    class Column(Flat):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, None]

    x = tiny.photos(3)
    flat, column = (PyTorchQualityRegressor(model, device="cpu", micro_batch=3) for model in (Flat(), Column()))
    assert np.array_equal(flat.predict(x), column.predict(x))
    np.testing.assert_allclose(flat.predict(x), x.mean((1, 2, 3)) * 10, rtol=1e-5)
    y = np.array([1, 5, 9], np.float32)
    expected = 2 * (x.mean((1, 2, 3)) * 10 - y)[:, None, None, None] * 10 / x[0].size
    for estimator in (flat, column):
        np.testing.assert_allclose(estimator.loss_gradient(x, y), np.broadcast_to(expected, x.shape), rtol=1e-3)


def test_a_distributions_mean_is_the_score(tiny: Any) -> None:
    x, values = tiny.photos(3), (1.0, 2.0, 3.0, 4.0, 5.0)
    model = Bins()
    estimator = PyTorchQualityRegressor(model, device="cpu", bin_values=values, score_range=(1, 5))
    with torch.no_grad():
        probabilities = model(torch.from_numpy(x)).double().numpy()
    np.testing.assert_allclose(estimator.predict(x), probabilities @ np.array(values), rtol=1e-5)
    # In bfloat16 the mean of the bins itself stays exact to more than 8 bits.
    half = PyTorchQualityRegressor(model, device="cpu", bin_values=values, gradient_dtype="bfloat16")
    objective = ScoreBeyond([0.0] * 3, "below")
    approximate = half.value_and_gradient(torch.from_numpy(x), objective).loss
    np.testing.assert_allclose(approximate, estimator.predict(x), atol=0.02)
    with pytest.raises(
        InvalidInputError, match=r"model: an output \(N, 4\) is needed for these bin_values, not \(1, 5\)"
    ):
        PyTorchQualityRegressor(model, device="cpu", bin_values=values[:4]).predict(x)


def test_a_model_of_several_scores_needs_bin_values(tiny: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"model: output: shape \(N,\) or \(N, 1\) is needed, not \(1, 5\)"):
        PyTorchQualityRegressor(Bins(), device="cpu").predict(tiny.photos(2))


@pytest.mark.parametrize(
    ("kwargs", "name"),
    [
        ({"score_range": (5, 5)}, "score_range"),
        ({"score_range": (5, 1)}, "score_range"),
        ({"score_range": (0, float("inf"))}, "score_range"),
        ({"score_range": 5}, "score_range"),
        ({"bin_values": ()}, "bin_values"),
        ({"bin_values": 3}, "bin_values"),
        ({"bin_values": (1, float("nan"))}, "bin_values"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name}: "):
        PyTorchQualityRegressor(Flat(), device="cpu", **kwargs)


def test_the_scale_is_stated_and_can_be_changed_safely(tiny: Any) -> None:
    estimator = tiny.quality_estimator(score_range=(0, 10), higher_is_better=False)
    assert estimator.get_params()["score_range"] == (0, 10)
    assert estimator.higher_is_better is False
    with pytest.raises(InvalidInputError, match="score_range"):
        estimator.set_params(score_range=(3, 3), higher_is_better=True)
    assert (estimator.score_range, estimator.higher_is_better) == ((0, 10), False)


def test_objective_success_is_the_score_beyond_the_bound(tiny: Any) -> None:
    estimator, x = tiny.quality_estimator(), tiny.photos(6)
    scores = estimator.predict(x)
    bounds = [float(np.median(scores))] * 6
    for direction, expected in (("below", scores <= bounds[0]), ("above", scores >= bounds[0])):
        found = estimator.evaluate(torch.from_numpy(x), ScoreBeyond(bounds, direction)).success  # type: ignore[arg-type]
        assert found.tolist() == expected.tolist()
        assert 0 < found.sum() < 6
