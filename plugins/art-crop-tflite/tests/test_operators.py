"""Each operator against numbers that LiteRT measured (measure_litert.py), its gradient, and its samples apart."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from art_crop_tflite.network import Network, load_tflite
from cases import CASES, wave
from writing import O, T, constant, write

from art_crop.errors import WeightsError

MEASURED = json.loads(Path(__file__).with_name("litert.json").read_text())


def network(name: str, folder: Path) -> Network:
    return load_tflite(write(folder / "case.tflite", *CASES[name]))


def samples(name: str, count: int) -> torch.Tensor:
    """Different samples; the first is the one that was measured."""
    shape = CASES[name][0][0].shape
    return torch.from_numpy(np.concatenate([wave(shape, 1 + k / 7) for k in range(count)]))


@pytest.mark.parametrize("name", CASES)
def test_computes_what_litert_computes(name: str, tmp_path: Path) -> None:
    (result,) = network(name, tmp_path)(samples(name, 1))
    expected = np.array(MEASURED[name], np.float32)
    assert np.abs(result.detach().numpy().ravel() - expected).max() <= 2e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_a_sample_is_the_same_alone_and_in_any_batch(name: str, tmp_path: Path) -> None:
    net, x = network(name, tmp_path), samples(name, 3)
    (together,) = net(x)
    alone = torch.cat([net(x[k : k + 1])[0] for k in range(3)])
    assert together.shape == alone.shape
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradients_match_finite_differences(name: str, tmp_path: Path) -> None:
    net, x = network(name, tmp_path).double(), samples(name, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: net(x)[0], (x,), eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("name", ["conv, two groups", "sub, clipped to -1..1", "strided slice with an axis taken out"])
def test_copies_and_pickles_compute_the_same(name: str, tmp_path: Path) -> None:
    net, x = network(name, tmp_path), samples(name, 2)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x)[0], net(x)[0])


def test_int8_weights_are_dequantised_by_channel(tmp_path: Path) -> None:
    stored = np.arange(-6, 6).reshape(3, 4)
    weight = T((3, 4), stored, "int8", scale=(0.5, 0.25, 2.0), zero_point=(0, 1, -2))
    options = {"FusedActivationFunction": 0, "WeightsFormat": 0, "KeepNumDims": False}
    operators = [O("FULLY_CONNECTED", [0, 1, -1], [2], "FullyConnectedOptions", options)]
    net = load_tflite(write(tmp_path / "a.tflite", [T((1, 4)), weight, T((1, 3))], operators))
    (result,) = net(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
    # By hand: 0.5 (-6 -50 -400 -3000), 0.25 (-3 -20 -100 +0), 2 (4 +50 +600 +7000).
    assert result.tolist() == [[-1728.0, -30.75, 15308.0]]


def test_all_unsupported_operators_are_named_at_once(tmp_path: Path) -> None:
    tensors = [T((1, 3)), T((1, 3), name="first"), T((1, 3), name="second"), T((1, 3))]
    operators = [O("ERF_OF_MINE", [0], [1]), O("CUMSUM", [1], [2], version=7), O("RELU", [2], [3])]
    path = write(tmp_path / "a.tflite", tensors, operators)
    with pytest.raises(WeightsError) as caught:
        load_tflite(path)
    message = str(caught.value)
    for part in (str(path), "CUSTOM ERF_OF_MINE version 1", "CUMSUM version 7", "tensor 1 (first", "tensor 2 (second"):
        assert part in message
    assert "RELU" not in message


def test_operators_behind_the_wanted_tensor_do_not_matter(tmp_path: Path) -> None:
    tensors = [T((1, 3)), T((1, 3)), T((1, 3))]
    path = write(tmp_path / "a.tflite", tensors, [O("RELU", [0], [1]), O("CUMSUM", [1], [2])])
    assert load_tflite(path, outputs=(1,))(torch.tensor([[-1.0, 0.0, 2.0]]))[0].tolist() == [[0.0, 0.0, 2.0]]


def test_computing_in_int8_is_refused(tmp_path: Path) -> None:
    tensors = [T((1, 3)), T((1, 3), type="int8", scale=(0.1,), zero_point=(0,)), T((1, 3))]
    path = write(tmp_path / "a.tflite", tensors, [O("RELU", [0], [1]), O("RELU", [1], [2])])
    with pytest.raises(WeightsError, match=r"RELU version 1.*tensor 1 .*INT8.*not supported"):
        load_tflite(path)


def test_a_shape_that_the_operator_does_not_make_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tflite", [T((1, 3)), T((1, 4))], [O("RELU", [0], [1])])
    with pytest.raises(WeightsError, match=r"operator 0 \(RELU version 1\) makes \[1, 3\].*\[1, 4\]"):
        load_tflite(path)


def test_arguments_that_depend_on_the_photo_are_refused(tmp_path: Path) -> None:
    tensors = [T((1, 3)), T((3,)), T((1, 3))]
    operators = [O("RELU", [0], [1]), O("RESHAPE", [0, 1], [2])]
    with pytest.raises(WeightsError, match=r"RESHAPE.*tensor 1 .* would have to be a constant"):
        load_tflite(write(tmp_path / "a.tflite", tensors, operators))


@pytest.mark.parametrize(
    ("tensors", "operators", "reason"),
    [
        ([T((1, 3)), constant([9]), T((1, 3))], [O("MEAN", [0, 1], [2], "ReducerOptions", {"KeepDims": 0})], "axes"),
        ([T((1, 3)), constant([2, 0]), T((3, 1))], [O("TRANSPOSE", [0, 1], [2])], "no order"),
        ([T((1, 3)), constant([7, 7]), T((7, 7))], [O("RESHAPE", [0, 1], [2])], "cannot make"),
        ([T((1, 3)), constant([[0, 0], [-1, 0]]), T((1, 2))], [O("PAD", [0, 1], [2])], "pads"),
        ([T((1, 3)), T((1, 2), np.ones((1, 2))), T((1, 3))], [O("MINIMUM", [0, 1], [2])], "cannot make"),
        ([T((1, 3)), T((1, 3))], [O("CONV_2D", [0], [1])], "missing"),
        ([T((1, 3)), T((1, 3))], [O("SOFTMAX", [0], [1])], "Beta is missing"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    tensors: list[T], operators: list[O], reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tflite", tensors, operators)
    with pytest.raises(WeightsError, match=reason) as caught:
        load_tflite(path)
    assert str(path) in str(caught.value)
    assert operators[0].name in str(caught.value)
