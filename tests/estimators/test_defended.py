"""ART's preprocessors and postprocessors around our estimators, torch and numpy ones, with their gradients."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from art.defences.postprocessor import Rounded
from art.defences.preprocessor import FeatureSqueezing, JpegCompression, SpatialSmoothing
from art.defences.preprocessor.preprocessor import Preprocessor, PreprocessorPyTorch
from torch import Tensor

from art_crop.estimators.defended import apply_step

Array = np.ndarray[Any, Any]


class Scale(PreprocessorPyTorch):
    """x -> factor x, in torch."""

    def __init__(self, factor: float) -> None:
        super().__init__(device_type="cpu", is_fitted=True, apply_fit=False, apply_predict=True)
        self.factor = factor

    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        return x * self.factor, y


class Square(Preprocessor):
    """x -> x squared, in numpy, with its gradient; it works in place, as a careless one would."""

    def __init__(self) -> None:
        super().__init__(is_fitted=True, apply_fit=False, apply_predict=True)

    def __call__(self, x: Array, y: Any = None) -> tuple[Array, Any]:
        x *= x
        return x.astype(np.float64), y

    def estimate_gradient(self, x: Array, grad: Array) -> Array:
        result: Array = 2 * x * grad
        x[:] = 0
        return result


class HardRound(PreprocessorPyTorch):
    """Rounds to two levels; its gradient by its own word is a slope of 3."""

    def __init__(self) -> None:
        super().__init__(device_type="cpu", is_fitted=True, apply_fit=False, apply_predict=True)

    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        return x.round(), y

    def estimate_forward(self, x: Tensor, y: Any = None) -> Tensor:
        return 3 * x


def quality(tiny: Any, **kwargs: Any) -> Any:
    return tiny.quality_estimator(**kwargs)


def by_hand(estimator: Any, x: Tensor) -> Tensor:
    """The plain model's score and gradient."""
    x = x.clone().requires_grad_()
    score = estimator.model(x)[:, 0]
    (gradient,) = torch.autograd.grad(score.sum(), x)
    return gradient


def score_gradient(estimator: Any, x: Array) -> Array:
    """d score / d x from d (score - y)^2 / d x."""
    score = estimator.predict(x)
    gradient: Array = estimator.loss_gradient(x, score - 0.5)
    return gradient


def test_torch_and_numpy_steps_chain_in_any_order(tiny: Any) -> None:
    x = tiny.photos(2)
    tensor = torch.from_numpy(x)
    plain = quality(tiny)
    for steps, defended, slope in (
        ([Scale(0.5), Square()], (tensor * 0.5) ** 2, tensor * 0.5),
        ([Square(), Scale(0.5)], tensor**2 * 0.5, tensor),
        ([Square(), Square(), Scale(0.5)], tensor**4 * 0.5, 2 * tensor**3),
    ):
        estimator = quality(tiny, preprocessing_defences=steps)
        before = x.copy()
        np.testing.assert_allclose(estimator.predict(x), plain.predict(defended.numpy()), rtol=1e-5)
        expected = by_hand(plain, defended) * slope
        np.testing.assert_allclose(score_gradient(estimator, x), expected.numpy(), rtol=1e-3, atol=1e-6)
        assert np.array_equal(x, before)


def test_a_step_that_rounds_is_differentiated_by_its_own_word(tiny: Any) -> None:
    x = tiny.photos(2)
    estimator, plain = quality(tiny, preprocessing_defences=HardRound()), quality(tiny)
    np.testing.assert_allclose(estimator.predict(x), plain.predict(x.round()), rtol=1e-6)
    expected = 3 * by_hand(plain, torch.from_numpy(x.round()))
    np.testing.assert_allclose(score_gradient(estimator, x), expected.numpy(), rtol=1e-4, atol=1e-7)


def test_the_forward_value_stays_exact() -> None:
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    assert torch.equal(apply_step(x, HardRound()), x.round())
    assert torch.equal(apply_step(x, Square()), (x * x).detach())


@pytest.mark.parametrize("channels_first", [True, False])
def test_mean_and_std(tiny: Any, channels_first: bool) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    estimator = quality(tiny, preprocessing=(mean, std), channels_first=channels_first)
    x = tiny.photos(2)
    given = x if channels_first else x.transpose(0, 2, 3, 1)
    m, s = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    normalised = (torch.from_numpy(x) - m) / s
    with torch.no_grad():
        expected = estimator.model(normalised)[:, 0].numpy()
    np.testing.assert_allclose(estimator.predict(given), expected, rtol=1e-5)
    gradient = score_gradient(estimator, given)
    gradient = gradient if channels_first else gradient.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(gradient, (by_hand(quality(tiny), normalised) / s).numpy(), rtol=1e-3, atol=1e-6)
    # Set later, ART makes a numpy step of it: the same function.
    later = quality(tiny, channels_first=channels_first)
    later.set_params(preprocessing=(0.5, 0.25))
    np.testing.assert_allclose(
        later.predict(given), quality(tiny, preprocessing=(0.5, 0.25), channels_first=channels_first).predict(given)
    )


def test_arts_own_numpy_defences_run_and_let_gradients_through(tiny: Any) -> None:
    x = tiny.photos(2)
    plain = quality(tiny)
    # float64 on NumPy 2, which would stop a float32 model.
    squeezed = quality(tiny, preprocessing_defences=FeatureSqueezing(clip_values=(0, 1), bit_depth=2))
    np.testing.assert_allclose(squeezed.predict(x), plain.predict((x * 3).round() / 3), rtol=1e-5)
    assert np.abs(squeezed.loss_gradient(x, squeezed.predict(x) + 1)).max() > 0
    # A chain that ART itself refuses.
    chain = quality(
        tiny,
        preprocessing_defences=[
            SpatialSmoothing(window_size=3, channels_first=True),
            JpegCompression(clip_values=(0, 1), quality=60, channels_first=True),
            FeatureSqueezing(clip_values=(0, 1), bit_depth=4),
        ],
        preprocessing=(0.1, 0.9),
    )
    assert np.isfinite(chain.predict(x)).all()
    assert not np.allclose(chain.predict(x), plain.predict(x))
    gradient = chain.loss_gradient(x, chain.predict(x) + 1)
    assert gradient.shape == x.shape
    assert np.abs(gradient).max() > 0


def test_a_defence_for_training_only_is_left_out(tiny: Any) -> None:
    x = tiny.photos(1)
    defence = FeatureSqueezing(clip_values=(0, 1), bit_depth=1, apply_fit=True, apply_predict=False)
    estimator = quality(tiny, preprocessing_defences=defence)
    assert np.array_equal(estimator.predict(x), quality(tiny).predict(x))


def test_postprocessing_is_for_predictions_only(tiny: Any) -> None:
    x, plain = tiny.photos(3), quality(tiny)
    estimator = quality(tiny, postprocessing_defences=Rounded(decimals=1))
    assert np.array_equal(estimator.predict(x), plain.predict(x).round(1))
    y = np.full(3, 30, np.float32)
    assert np.array_equal(estimator.loss_gradient(x, y), plain.loss_gradient(x, y))


def test_defended_estimators_can_be_pickled_and_set(tiny: Any) -> None:
    x = tiny.photos(2)
    defence = FeatureSqueezing(clip_values=(0, 1), bit_depth=1)
    estimator = quality(tiny, preprocessing_defences=defence, preprocessing=(0.5, 0.5))
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict(x), estimator.predict(x))
    estimator.set_params(preprocessing_defences=None, preprocessing=None)
    assert np.array_equal(estimator.predict(x), quality(tiny).predict(x))
