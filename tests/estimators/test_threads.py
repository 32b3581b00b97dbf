"""Threads that share an estimator, or a module in several: right answers, and the model left as it was found."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_crop import Region
from art_crop.attacks import SaliencyPeakFGM
from art_crop.errors import QueryLimitError
from art_crop.estimators import (
    BlackBoxQualityRegressor,
    PyTorchQualityRegressor,
    PyTorchSaliencyRegressor,
    SaliencyClassifierView,
    placement,
)
from art_crop.estimators.placement import frozen
from art_crop.functional.precision import exact_float32
from art_crop.objectives import PeakInRegion

CUDA = torch.device("cuda")


class Meeting(nn.Module):
    """Thread B comes in while A is inside; A leaves first, then B computes."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))
        self.inside, self.done = threading.Event(), threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        name = threading.current_thread().name
        if name == "A":
            assert self.inside.wait(20)
        if name == "B":
            self.inside.set()
            assert self.done.wait(20)
        maps: Tensor = self.net(x)
        return maps[:, 0]

    def meet(self, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
        """What the calls give, made by A and B as said above."""
        found: dict[str, Any] = {}

        def work(name: str, call: Callable[[], Any]) -> None:
            try:
                found[name] = call()
            except Exception as error:
                found[name] = error
            finally:
                if name == "A":
                    self.done.set()

        self.inside.clear()
        self.done.clear()
        threads = [threading.Thread(target=work, args=("A", first), name="A")]
        threads.append(threading.Thread(target=work, args=("B", second), name="B"))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(40)
        for one in found.values():
            if isinstance(one, Exception):
                raise one
        return found["A"], found["B"]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 16, 24)).astype(np.float32)


def calls(estimator: Any, x: np.ndarray) -> dict[str, Callable[[], Any]]:
    y, tensor, peak = np.zeros((1, 16, 24), np.float32), torch.from_numpy(x), PeakInRegion([Region(0, 0, 0.3, 1)])
    return {
        "predict": lambda: estimator.predict(x),
        "loss_gradient": lambda: estimator.loss_gradient(x, y),
        "grad_cam": lambda: estimator.grad_cam(tensor, peak, "net.2").numpy(),
        "get_activations": lambda: estimator.get_activations(x, "net.1"),
    }


def state(model: nn.Module) -> list[Any]:
    return [
        [module.training for module in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [len(module._forward_hooks) for module in model.modules()],
        [(name, value.double().sum().item()) for name, value in model.state_dict().items()],
    ]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("second", ["predict", "loss_gradient", "grad_cam", "get_activations"])
@pytest.mark.parametrize("first", ["predict", "loss_gradient", "grad_cam", "get_activations"])
def test_two_calls_that_overlap(first: str, second: str, train: bool, x: np.ndarray) -> None:
    model = Meeting().train(train)
    model.net[0].bias.requires_grad_(False)
    estimator = PyTorchSaliencyRegressor(model, log_density=True, device="cpu")
    expected = {name: call() for name, call in calls(estimator, x).items()}
    before = state(model)
    found = model.meet(calls(estimator, x)[first], calls(estimator, x)[second])
    assert state(model) == before
    np.testing.assert_allclose(found[0], expected[first], atol=1e-6)
    np.testing.assert_allclose(found[1], expected[second], atol=1e-6)
    assert not placement._counts


class Mean(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).mean((1, 2))  # type: ignore[no-any-return]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("other", ["the same module", "a module around it", "a view", "a part of it"])
def test_two_estimators_of_one_module(other: str, swap: bool, x: np.ndarray) -> None:
    model = Meeting().train()
    one = PyTorchSaliencyRegressor(model, log_density=True, device="cpu")
    another: Any = {
        "the same module": lambda: PyTorchSaliencyRegressor(model, device="cpu"),
        "a module around it": lambda: PyTorchQualityRegressor(Mean(model), device="cpu"),
        "a view": lambda: SaliencyClassifierView(one),
        "a part of it": lambda: PyTorchSaliencyRegressor(model.net, device="cpu"),
    }[other]()
    x32 = np.concatenate([x, x[:, :, ::-1]])
    expected = one.predict(x32), another.predict(x32)
    before = state(model)
    pair = [lambda: one.predict(x32), lambda: another.predict(x32)]
    if other == "a part of it":  # it does not wait inside, so that is done for it
        with ThreadPoolExecutor(2) as pool:
            found: Any = [future.result() for future in [pool.submit(call) for call in pair * 20]][:2]
    elif swap:
        found = model.meet(pair[1], pair[0])[::-1]
    else:
        found = model.meet(*pair)
    for one_found, one_expected in zip(found, expected, strict=True):
        np.testing.assert_allclose(one_found, one_expected, atol=1e-6)
    assert state(model) == before


def test_many_threads_attack_with_one_attack_and_get_what_one_gets(tiny: Any) -> None:
    estimator = tiny.saliency_estimator()
    estimator.model.train()
    before = state(estimator.model)
    batches = [tiny.photos(2, seed=seed) for seed in range(6)]
    attack = SaliencyPeakFGM(estimator, eps=2.0, mask="grad-cam", layer="act", features=["first"])
    region = Region(0.6, 0, 1, 1)
    expected = [attack.generate(batch, region) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: attack.generate(batch, region), batches))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(attack.results) == 2
    assert state(estimator.model) == before


def test_an_error_in_one_thread_leaves_the_other_frozen_and_the_model_as_it_was(x: np.ndarray) -> None:
    model = Meeting().train()
    estimator, before = PyTorchSaliencyRegressor(model, device="cpu"), state(model)

    def divide() -> None:
        with frozen(model):
            model.inside.wait(20)
            1 / 0  # noqa: B018

    def fail() -> None:
        with pytest.raises(ZeroDivisionError):
            divide()

    expected = estimator.predict(x)
    _, found = model.meet(fail, lambda: estimator.predict(x))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert state(model) == before


def test_nothing_is_kept_of_a_model() -> None:
    model = Meeting()
    with frozen(model):
        pass
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


@pytest.fixture
def switches() -> Iterator[None]:
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


@pytest.mark.usefixtures("switches")
def test_the_tensorfloat_switches_are_the_last_ones_to_turn_back() -> None:
    def exact() -> bool:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        if hasattr(cudnn, "conv"):  # torch >= 2.9
            return bool(cudnn.conv.fp32_precision == matmul.fp32_precision == "ieee")
        return not (cudnn.allow_tf32 or matmul.allow_tf32)

    inside, left, seen = threading.Event(), threading.Event(), []

    def other() -> None:
        with exact_float32(CUDA):
            inside.set()
            left.wait(20)
            seen.append(exact())

    thread = threading.Thread(target=other)
    with exact_float32(CUDA):
        thread.start()
        inside.wait(20)
    left.set()
    thread.join(20)
    assert seen == [True]
    assert torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32


def test_black_boxes_count_every_query_and_keep_to_the_limit() -> None:
    asked, gate = [], threading.Barrier(8)

    def ask(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        answer: np.ndarray = x.mean((1, 2, 3))
        return answer

    estimator = BlackBoxQualityRegressor(ask, max_queries=20)
    photos = np.zeros((5, 3, 4, 4), np.float32)

    def work(_: int) -> bool:
        gate.wait(20)
        try:
            estimator.predict(photos, batch_size=2)
        except QueryLimitError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(work, range(8)))
    assert (done, sum(asked), estimator.query_count, estimator._promised) == (4, 20, 20, 0)


def test_a_query_that_fails_gives_back_what_it_did_not_use() -> None:
    def ask(x: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    estimator = BlackBoxQualityRegressor(ask, max_queries=10)
    for count in (2, 4, 6, 8, 10):
        with pytest.raises(ZeroDivisionError):
            estimator.predict(np.zeros((2, 3, 4, 4), np.float32), batch_size=2)
        assert estimator.query_count == count


def test_refitting_in_threads_draws_the_seeds_weights_and_leaves_the_generator(tiny: Any) -> None:
    estimator = tiny.classifier()
    expected = [estimator.clone_for_refitting(seed).model[0].weight for seed in range(4)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: estimator.clone_for_refitting(seed).model[0].weight, list(range(4)) * 3))
    assert all(torch.equal(one, expected[i % 4]) for i, one in enumerate(found))
    assert torch.equal(torch.get_rng_state(), before)
