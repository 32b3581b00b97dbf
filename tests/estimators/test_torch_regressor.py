"""What both white-box estimators promise: one gradient path, per sample, checked input, the model left as it was."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor, PyTorchSaliencyRegressor
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion, SaliencyOutput, ScoreBeyond, Verdict

KINDS = ("saliency", "quality")


def make(tiny: Any, kind: str, **kwargs: Any) -> Any:
    return (tiny.saliency_estimator if kind == "saliency" else tiny.quality_estimator)(**kwargs)


def wish(kind: str, count: int) -> Any:
    if kind == "saliency":
        return PeakInRegion([Region(0.0, 0.0, 0.4, 0.5)] * count, loss="cross_entropy")
    return ScoreBeyond([40.0] * count, "below")


def targets(kind: str, count: int, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    shape = (count, 6, 8) if kind == "saliency" else (count,)
    return rng.normal(0 if kind == "saliency" else 50, 1, shape).astype(np.float32)


def snapshot(model: nn.Module) -> list[Any]:
    return [
        [(name, module.training) for name, module in model.named_modules()],
        [(name, p.requires_grad, p.grad, p.clone()) for name, p in model.named_parameters()],
        [(name, b.clone()) for name, b in model.named_buffers()],
        [(len(m._forward_hooks), len(m._backward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
    ]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize("kind", KINDS)
class TestValueAndGradient:
    def test_gradient_against_float64_finite_differences(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        x = torch.from_numpy(tiny.photos(2))
        found = estimator.value_and_gradient(x, wish(kind, 2))
        # The same network and loss in float64, and central differences of it.
        double = copy.deepcopy(estimator.model).double().eval()

        def loss(photos: Tensor) -> Tensor:
            with torch.no_grad():
                out = double(photos)
            if kind == "quality":
                return out[:, 0] - 40
            log = out[:, 0].flatten(1)
            columns, rows = (np.arange(8) + 0.5) / 8 <= 0.4, (np.arange(6) + 0.5) / 6 <= 0.5
            inside = torch.from_numpy(rows[:, None] & columns[None]).flatten()
            return log.logsumexp(1) - log[:, inside].logsumexp(1)

        torch.testing.assert_close(found.loss.double(), loss(x.double()), rtol=1e-4, atol=1e-5)
        assert found.gradient.shape == x.shape
        rng = np.random.default_rng(3)
        for sample, channel, row, column in zip(
            rng.integers(0, 2, 12),
            rng.integers(0, 3, 12),
            rng.integers(0, 24, 12),
            rng.integers(0, 32, 12),
            strict=True,
        ):
            step = torch.zeros_like(x, dtype=torch.float64)
            step[sample, channel, row, column] = 1e-4
            difference = (loss(x.double() + step) - loss(x.double() - step))[sample] / 2e-4
            entry = float(found.gradient[sample, channel, row, column])
            assert entry == pytest.approx(float(difference), rel=2e-3, abs=2e-5)

    def test_a_photo_gets_the_same_alone_and_in_a_batch_to_the_last_bit(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        x = torch.from_numpy(tiny.photos(5))
        together = estimator.value_and_gradient(x, wish(kind, 5))
        order = [3, 1]
        part = estimator.value_and_gradient(x[order], wish(kind, 5).take(order))
        for batch, alone in ((together.loss, part.loss), (together.gradient, part.gradient)):
            assert torch.equal(batch[order], alone)
        assert torch.equal(together.success[order], part.success)

    @pytest.mark.parametrize("size", [1, 2, 3, 64])
    def test_micro_batches_do_not_matter(self, tiny: Any, kind: str, size: int) -> None:
        x = torch.from_numpy(tiny.photos(5))
        one = make(tiny, kind).value_and_gradient(x, wish(kind, 5))
        other = make(tiny, kind, micro_batch=size).value_and_gradient(x, wish(kind, 5))
        torch.testing.assert_close(other.loss, one.loss, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other.gradient, one.gradient, rtol=1e-4, atol=1e-6)
        assert torch.equal(other.success, one.success)

    def test_at_most_a_micro_batch_goes_through_the_model(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind, micro_batch=2)
        seen: list[int] = []
        estimator.model.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
        x = tiny.photos(5)
        estimator.value_and_gradient(torch.from_numpy(x), wish(kind, 5))
        assert seen == [2, 2, 1]
        seen.clear()
        estimator.predict(x)
        estimator.predict(x, batch_size=1)
        assert seen == [2, 2, 1, 1, 1, 1, 1, 1]

    def test_nothing_of_the_model_or_the_input_changes(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        model = estimator.model.train()
        parameters = list(model.parameters())
        parameters[0].requires_grad_(False)
        parameters[1].grad = torch.ones_like(parameters[1])
        model.register_forward_hook(lambda module, inputs, output: None)
        before, x = snapshot(model), tiny.photos(2)
        tensor, y = torch.from_numpy(x.copy()), targets(kind, 2)
        kept, kept_y = x.copy(), y.copy()
        first = estimator.value_and_gradient(tensor, wish(kind, 2))
        estimator.predict(x)
        estimator.loss_gradient(x, y)
        estimator.compute_loss(x, y)
        estimator.get_activations(x, 0)
        assert same(snapshot(model), before)
        assert np.array_equal(x, kept)
        assert np.array_equal(y, kept_y)
        assert np.array_equal(tensor.numpy(), kept)
        assert not tensor.requires_grad
        # In training mode the dropout would answer differently each time.
        assert torch.equal(estimator.value_and_gradient(tensor, wish(kind, 2)).gradient, first.gradient)

    def test_nor_when_something_fails(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        model, x = estimator.model.train(), tiny.photos(2)
        before = snapshot(model)

        class Failing:
            def take(self, indices: Any) -> Failing:
                return self

            def __call__(self, output: Any) -> Verdict:
                raise RuntimeError("judge is ill")

        for call in (estimator.value_and_gradient, estimator.evaluate):
            with pytest.raises(RuntimeError, match=r"judge is ill"):
                call(torch.from_numpy(x), Failing())
        handle = model.register_forward_pre_hook(lambda module, inputs: 1 / 0)
        for call in (
            lambda: estimator.predict(x),
            lambda: estimator.loss_gradient(x, targets(kind, 2)),
            lambda: estimator.get_activations(x, 0),
        ):
            with pytest.raises(ZeroDivisionError):
                call()
        handle.remove()
        assert same(snapshot(model), before)
        assert torch.is_grad_enabled()

    def test_bfloat16_gradients_point_the_same_way_and_success_is_float32s(self, tiny: Any, kind: str) -> None:
        x = torch.from_numpy(tiny.photos(4))
        full = make(tiny, kind).value_and_gradient(x, wish(kind, 4))
        half = make(tiny, kind, gradient_dtype="bfloat16").value_and_gradient(x, wish(kind, 4))
        assert half.gradient.dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(half.gradient.flatten(1), full.gradient.flatten(1))
        assert cosine.min() > 0.98
        assert not torch.equal(half.gradient, full.gradient)  # it was really used

    def test_without_a_gradient(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        x = torch.from_numpy(tiny.photos(3))
        evaluation, full = estimator.evaluate(x, wish(kind, 3)), estimator.value_and_gradient(x, wish(kind, 3))
        assert evaluation.gradient is None
        torch.testing.assert_close(evaluation.loss, full.loss)
        assert torch.equal(evaluation.success, full.success)
        with torch.no_grad():  # a caller's switch does not reach inside
            assert torch.equal(estimator.value_and_gradient(x, wish(kind, 3)).gradient, full.gradient)

    def test_a_callers_autocast_does_not_reach_inside(self, tiny: Any, kind: str) -> None:
        estimator, x = make(tiny, kind), tiny.photos(2)
        expected = estimator.predict(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert np.array_equal(estimator.predict(x), expected)

    @pytest.mark.parametrize(
        "x",
        [
            torch.zeros(0, 3, 24, 32),
            torch.zeros(3, 24, 32),
            torch.zeros(1, 24, 32, 3),
            torch.zeros(1, 3, 24, 32, dtype=torch.uint8),
        ],
        ids=["empty", "no_batch", "channels_last", "uint8"],
    )
    def test_bad_tensors(self, tiny: Any, kind: str, x: Tensor) -> None:
        for call in (make(tiny, kind).value_and_gradient, make(tiny, kind).evaluate):
            with pytest.raises(InvalidInputError, match=r"^x: a floating point tensor \(N, 3, H, W\)"):
                call(x, wish(kind, max(1, len(x))))

    def test_an_objective_for_other_photos(self, tiny: Any, kind: str) -> None:
        for count in (1, 3):
            with pytest.raises(InvalidInputError, match=f"objective: it speaks of {count} photos, x holds 2"):
                make(tiny, kind).value_and_gradient(torch.from_numpy(tiny.photos(2)), wish(kind, count))

    def test_a_model_without_a_gradient_is_named(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        estimator.model.register_forward_hook(lambda module, inputs, output: output.detach())
        with pytest.raises(InvalidInputError, match=r"model: its output has no gradient"):
            estimator.value_and_gradient(torch.from_numpy(tiny.photos(1)), wish(kind, 1))


def test_a_success_that_only_bfloat16_sees_is_none() -> None:
    """Half of the photos fall on the wrong side when rounded to bfloat16 (8 bits)."""

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sum = nn.Linear(3 * 16, 1, bias=False)
            nn.init.constant_(self.sum.weight, 100 / 48)

        def forward(self, x: Tensor) -> Tensor:
            return self.sum(x.flatten(1))  # type: ignore[no-any-return]

    scores = torch.linspace(49.0, 51.0, 41)
    x = (scores / 100).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    objective = ScoreBeyond([50.0] * len(x), "below")
    exact = PyTorchQualityRegressor(Mean(), device="cpu").value_and_gradient(x, objective)
    half = PyTorchQualityRegressor(Mean(), device="cpu", gradient_dtype="bfloat16").value_and_gradient(x, objective)
    seen_by_half = half.loss <= 0
    assert (seen_by_half & ~exact.success).any()  # bfloat16 alone would be wrong
    assert not (half.success & ~exact.success).any()
    assert torch.equal(half.success, seen_by_half & exact.success)


@pytest.mark.parametrize("kind", KINDS)
class TestArtContract:
    def test_loss_gradient_is_each_photos_own(self, tiny: Any, kind: str) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(3), targets(kind, 3)
        together = estimator.loss_gradient(x, y)
        assert together.shape == x.shape
        assert together.dtype == np.float32
        for i in range(3):
            assert np.array_equal(estimator.loss_gradient(x[i : i + 1], y[i : i + 1])[0], together[i])
        # A sum of squared differences: its gradient along a direction, by differences of compute_loss.
        direction = np.random.default_rng(5).normal(size=x.shape).astype(np.float32) * 1e-3
        ahead, behind = (estimator.compute_loss(x + sign * direction, y) for sign in (1, -1))
        expected = (together * direction).sum((1, 2, 3))
        np.testing.assert_allclose((ahead - behind) / 2, expected, rtol=0.02, atol=2e-4 * np.abs(ahead).max())

    def test_tensor_in_tensor_out(self, tiny: Any, kind: str) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(2), targets(kind, 2)
        gradient = estimator.loss_gradient(torch.from_numpy(x), torch.from_numpy(y))
        assert isinstance(gradient, Tensor)
        assert np.array_equal(gradient.numpy(), estimator.loss_gradient(x, y))
        loss = estimator.compute_loss(torch.from_numpy(x), torch.from_numpy(y))
        assert isinstance(loss, Tensor)
        assert np.array_equal(loss.numpy(), estimator.compute_loss(x, y))

    def test_losses_by_hand(self, tiny: Any, kind: str) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(3), targets(kind, 3)
        prediction = estimator.predict(x)
        expected = ((prediction - y).reshape(3, -1) ** 2).sum(1)
        np.testing.assert_allclose(estimator.compute_loss(x, y), expected, rtol=1e-4)
        np.testing.assert_allclose(estimator.compute_loss(x, y, reduction="sum"), expected.sum(), rtol=1e-4)
        np.testing.assert_allclose(estimator.compute_loss(x, y, reduction="mean"), expected.mean(), rtol=1e-4)
        np.testing.assert_allclose(estimator.compute_losses(x, y)["loss"], expected, rtol=1e-4)
        np.testing.assert_allclose(estimator.compute_loss_from_predictions(prediction, y), expected, rtol=1e-4)
        with pytest.raises(InvalidInputError, match=r"reduction: one of none, mean, sum"):
            estimator.compute_loss(x, y, reduction="max")

    def test_reversed_and_read_only_arrays(self, tiny: Any, kind: str) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(3), targets(kind, 3)
        expected = estimator.loss_gradient(x, y)
        assert np.array_equal(estimator.loss_gradient(x[::-1], y[::-1])[::-1], expected)
        x.flags.writeable = y.flags.writeable = False
        assert np.array_equal(estimator.loss_gradient(x, y), expected)

    def test_the_models_own_prediction_as_y_is_pointed_out(self, tiny: Any, kind: str) -> None:
        estimator, x = make(tiny, kind), tiny.photos(2)
        with pytest.warns(UserWarning, match=r"own prediction"):
            gradient = estimator.loss_gradient(x, estimator.predict(x))
        assert np.abs(gradient).max() == 0
        with pytest.raises(InvalidInputError, match=r"y: what to compare the prediction with"):
            estimator.loss_gradient(x, None)

    @pytest.mark.parametrize(
        ("spoil", "sentence"),
        [
            (lambda x: (x * 255).astype(np.uint8), "divide uint8 images by 255"),
            (lambda x: x.transpose(0, 2, 3, 1), "shape"),
            (lambda x: x[0], "shape"),
            (lambda x: x[:0], "at least one image"),
            (lambda x: np.where(x > 0.5, np.nan, x), "finite"),
            (lambda x: np.where(x > 0.5, np.inf, x), "finite"),
            (lambda x: x * 255, r"allowed is \[0, 1\]"),
            (lambda x: -x, r"allowed is \[0, 1\]"),
            (lambda x: x.tolist(), "numpy array"),
        ],
    )
    def test_bad_photos(self, tiny: Any, kind: str, spoil: Callable[[Any], Any], sentence: str) -> None:
        estimator, x, y = make(tiny, kind), spoil(tiny.photos(2)), targets(kind, 2)
        for call in (
            lambda: estimator.predict(x),
            lambda: estimator.loss_gradient(x, y),
            lambda: estimator.compute_loss(x, y),
            lambda: estimator.get_activations(x, 0),
        ):
            with pytest.raises(InvalidInputError, match=f"^x: .*{sentence}"):
                call()

    def test_bad_photos_as_tensors(self, tiny: Any, kind: str) -> None:
        estimator, y = make(tiny, kind), targets(kind, 2)
        x = torch.from_numpy(tiny.photos(2))
        spoilt = x.clone()
        spoilt[0, 0, 0, 0] = float("nan")
        for bad in (spoilt, x * 255, -x, x[0], (x * 255).byte()):
            for call in (estimator.loss_gradient, estimator.compute_loss):
                with pytest.raises(InvalidInputError, match=r"^x: "):
                    call(bad, y)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda y: y[:1],
            lambda y: np.concatenate([y, y]),
            lambda y: y * np.nan,
            lambda y: np.float32(3),
            lambda y: ["a", "b"],
            lambda y: np.stack([y, y], -1),
        ],
        ids=["short", "long", "nan", "scalar", "text", "shape"],
    )
    def test_bad_targets(self, tiny: Any, kind: str, spoil: Callable[[Any], Any]) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(2), spoil(targets(kind, 2))
        for call in (estimator.loss_gradient, estimator.compute_loss):
            with pytest.raises(InvalidInputError, match=r"^y: "):
                call(x, y)

    def test_unknown_keywords(self, tiny: Any, kind: str) -> None:
        estimator, x, y = make(tiny, kind), tiny.photos(1), targets(kind, 1)
        estimator.predict(x, training_mode=False)
        for call in (
            lambda: estimator.predict(x, batchsize=3),
            lambda: estimator.predict(x, training_mode=True),
            lambda: estimator.predict(x, batch_size=0),
            lambda: estimator.loss_gradient(x, y, msk=1),
            lambda: estimator.compute_loss(x, y, msk=1),
        ):
            with pytest.raises(InvalidInputError):
                call()

    def test_activations(self, tiny: Any, kind: str) -> None:
        estimator, x = make(tiny, kind), tiny.photos(3)
        names = estimator.layer_names
        assert names == (["first", "norm", "act", "drop", "second"] if kind == "saliency" else ["conv", "act", "out"])
        last = estimator.get_activations(x, -1)
        prediction = estimator.predict(x)
        np.testing.assert_array_equal(
            last[:, 0] if kind == "saliency" else 50 + 20 * last[:, 0], prediction.reshape(last[:, 0].shape)
        )
        first = estimator.get_activations(x, names[0], batch_size=2)
        layer = estimator.model.get_submodule(names[0])
        with torch.no_grad():
            np.testing.assert_allclose(first, layer(torch.from_numpy(x)).numpy(), atol=1e-5)
        tensor = torch.from_numpy(x).requires_grad_()
        graph = estimator.get_activations(tensor, names[0], framework=True)
        assert torch.autograd.grad(graph.sum(), tensor)[0].abs().sum() > 0
        for layer_name in (len(names), "third", None, [1]):
            with pytest.raises(InvalidInputError, match=r"^layer: a name or an index from 0 to"):
                estimator.get_activations(x, layer_name)

    def test_pickling(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind, micro_batch=2, clip_values=(0, 2), gradient_dtype="bfloat16")
        estimator.name = "mine"
        x = tiny.photos(2)
        estimator.value_and_gradient(torch.from_numpy(x), wish(kind, 2))
        again = pickle.loads(pickle.dumps(estimator))
        assert np.array_equal(again.predict(x), estimator.predict(x))
        assert (again.name, again.device, again.micro_batch) == ("mine", estimator.device, 2)
        assert again.gradient_dtype == "bfloat16"
        assert tuple(again.clip_values) == (0, 2)
        parameters = again.get_params()
        assert parameters.keys() == estimator.get_params().keys()

    def test_a_pickle_from_a_device_that_is_not_here_opens_on_the_cpu(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        state = estimator.__getstate__() | {"_device": "cuda:63", "_device_type": "gpu"}
        again = estimator.__class__.__new__(estimator.__class__)
        again.__setstate__(state)
        assert (again.device, again.device_type) == (torch.device("cpu"), "cpu")
        again.set_params(micro_batch=3)

    def test_clone_for_refitting(self, tiny: Any, kind: str) -> None:
        estimator, x = make(tiny, kind, micro_batch=2), tiny.photos(2)
        estimator.name = "mine"
        before, random_state = estimator.predict(x), torch.random.get_rng_state()
        clone, other = estimator.clone_for_refitting(), estimator.clone_for_refitting(seed=1)
        assert torch.equal(torch.random.get_rng_state(), random_state)
        assert np.array_equal(estimator.predict(x), before)
        assert np.array_equal(clone.predict(x), estimator.clone_for_refitting().predict(x))
        assert not np.allclose(clone.predict(x), before)
        assert not np.allclose(clone.predict(x), other.predict(x))
        assert clone.micro_batch == 2
        assert clone.name is None  # these are no longer that model's weights
        with pytest.raises(NotImplementedError, match=r"art_crop\.training"):
            clone.fit(x, before)


@pytest.mark.parametrize("kind", KINDS)
class TestParameters:
    def test_every_parameter_is_an_attribute_and_can_be_set_to_itself(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind)
        parameters = estimator.get_params()
        assert {"model", "clip_values", "channels_first", "micro_batch", "gradient_dtype"} <= parameters.keys()
        before = estimator.predict(tiny.photos(1))
        estimator.set_params(**parameters)
        assert np.array_equal(estimator.predict(tiny.photos(1)), before)

    @pytest.mark.parametrize(
        "bad",
        [
            {"micro_batch": 0},
            {"gradient_dtype": "float16"},
            {"clip_values": (1, 0)},
            {"clip_values": None},
            {"clip_values": (np.zeros(3), np.ones(3))},
            {"input_shape": (3, 0, 0)},
            {"channels_first": False},  # alone it contradicts the input shape
            {"device_type": "gpu"},
            {"model": "a path"},
            {"preprocessing_defences": ["blur"]},
            {"postprocessing_defences": ["round"]},
            {"nonsense": 1},
        ],
        ids=lambda bad: next(iter(bad)),
    )
    def test_a_refused_value_changes_nothing(self, tiny: Any, kind: str, bad: dict[str, Any]) -> None:
        from art.defences.preprocessor import FeatureSqueezing

        estimator = make(tiny, kind, preprocessing=(0.5, 0.25))
        x, before = tiny.photos(2), estimator.predict(tiny.photos(2))
        parameters = {k: v for k, v in estimator.get_params().items() if k != "clip_values"}
        accepted = {
            "micro_batch": 2,
            "preprocessing_defences": FeatureSqueezing(clip_values=(0, 1), bit_depth=1),
        }
        with pytest.raises(InvalidInputError):
            estimator.set_params(**{**accepted, **bad})
        assert {k: v for k, v in estimator.get_params().items() if k != "clip_values"} == parameters
        assert tuple(estimator.clip_values) == (0, 1)
        assert np.array_equal(estimator.predict(x), before)

    def test_a_new_model_is_used(self, tiny: Any, kind: str) -> None:
        estimator, x = make(tiny, kind), tiny.photos(1)
        estimator.name, estimator.weights_sha256 = "old", "old"
        other = tiny.seeded(type(estimator.model), seed=9)
        estimator.set_params(model=other)
        expected = type(estimator)(other, device="cpu").predict(x)
        assert np.array_equal(estimator.predict(x), expected)
        assert estimator.name is estimator.weights_sha256 is None

    def test_layouts_give_the_same(self, tiny: Any, kind: str) -> None:
        first, last = make(tiny, kind), make(tiny, kind, channels_first=False)
        x, y = tiny.photos(2), targets(kind, 2)
        flipped = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        assert (first.input_shape, last.input_shape) == ((3, -1, -1), (-1, -1, 3))
        assert np.array_equal(last.predict(flipped), first.predict(x))
        assert np.array_equal(last.loss_gradient(flipped, y).transpose(0, 3, 1, 2), first.loss_gradient(x, y))
        with pytest.raises(InvalidInputError, match=r"\(N, H, W, 3\)"):
            last.predict(x)

    def test_a_stated_size_is_required(self, tiny: Any, kind: str) -> None:
        estimator = make(tiny, kind, input_shape=(3, 24, 32))
        estimator.predict(tiny.photos(1))
        with pytest.raises(InvalidInputError, match=r"^x: photos of shape \(3, 24, 32\) are needed"):
            estimator.predict(tiny.photos(1, 32, 24))

    @pytest.mark.parametrize(
        ("bad", "name"),
        [
            ({"device": "abacus"}, "device"),
            ({"device": "cuda:63"}, "device"),
            ({"device": None}, "device"),
            ({"micro_batch": 1.5}, "micro_batch"),
            ({"gradient_dtype": None}, "gradient_dtype"),
            ({"clip_values": (0, float("inf"))}, "clip_values"),
            ({"input_shape": (24, 32, 3)}, None),
            ({"input_shape": (3, 24)}, "input_shape"),
        ],
    )
    def test_bad_constructor_arguments(self, tiny: Any, kind: str, bad: dict[str, Any], name: str | None) -> None:
        if name is None:  # 24 channels are odd, and allowed: the photos then are not
            with pytest.raises(InvalidInputError, match=r"^x: shape"):
                make(tiny, kind, **bad).predict(tiny.photos(1))
            return
        with pytest.raises(InvalidInputError, match=f"^{name}: "):
            make(tiny, kind, **bad)

    def test_only_a_module_is_a_model(self, kind: str) -> None:
        estimator = PyTorchSaliencyRegressor if kind == "saliency" else PyTorchQualityRegressor
        with pytest.raises(InvalidInputError, match=r"model: a torch\.nn\.Module is needed, not function"):
            estimator(lambda x: x)  # type: ignore[arg-type]


def test_activations_of_layers_used_twice_in_place_or_never() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice = nn.Conv2d(3, 3, 1)
            self.in_place = nn.ReLU(inplace=True)
            self.never = nn.Conv2d(3, 3, 1)
            self.pair = nn.AdaptiveMaxPool2d(2, return_indices=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.in_place(self.twice(self.twice(x)))
            self.pair(x)
            return x.mean(1)

    torch.manual_seed(0)
    model = Odd()
    estimator = PyTorchSaliencyRegressor(model, device="cpu")
    x = np.random.default_rng(0).random((2, 3, 4, 4), np.float32)
    with torch.no_grad():
        expected = model.twice(model.twice(torch.from_numpy(x))).numpy()
    assert expected.min() < 0  # what the ReLU, working in place, would have changed
    np.testing.assert_allclose(estimator.get_activations(x, "twice"), expected, atol=1e-6)
    for name in ("never", "pair"):
        with pytest.raises(InvalidInputError, match=f"layer: '{name}' is not used by the model, or gives no tensor"):
            estimator.get_activations(x, name)
    assert not any(module._forward_hooks for module in model.modules())


def test_saliency_output_is_what_objectives_get(tiny: Any) -> None:
    estimator = tiny.saliency_estimator()
    output = estimator.output(tiny.photos(2))
    assert isinstance(output, SaliencyOutput)
    assert output.size == (32, 24)
    np.testing.assert_allclose(output.x, (np.arange(8) + 0.5) * 4)
    np.testing.assert_allclose(output.y, (np.arange(6) + 0.5) * 4)
    assert output.symmetric().tolist() == [False, False]
    assert np.array_equal(output.saliency.numpy(), estimator.predict(tiny.photos(2)))
