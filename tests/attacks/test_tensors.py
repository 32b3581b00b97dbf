"""Torch tensors in, torch tensors out: the same numbers as for arrays, on the caller's device, from every attack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import art_crop
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxSaliencyRegressor
from art_crop.geometry import Region

REGION = Region(0.5, 0.5, 0.75, 1)
ATTACKS = [
    one.name
    for one in art_crop.list_plugins()
    if one.kind == "attack" and one.distribution == "art-crop" and one.task in ("", "saliency")
]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
UNMASKED = "dct-quantization", "sensitivity-carlini-l2"
"""Change whole blocks, or weight pixels otherwise: they refuse a mask."""
every = pytest.mark.parametrize("name", ATTACKS)


def attack_on(estimator: Any, name: str) -> Any:
    kind = art_crop.load_attack(name)
    few = {"eps": 2.0, "max_iter": 2, "learning_rate": 0.02, "l1_weight": 0.0}
    return kind(estimator, **{key: value for key, value in few.items() if key in kind.attack_params})


def test_all_attacks_are_here() -> None:
    assert {"saliency-peak-fgm", "gaussian-noise", "contrast-shift"} <= {*ATTACKS}


@every
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels_first", [True, False], ids=["NCHW", "NHWC"])
def test_a_tensor_gives_a_tensor_of_the_same_numbers(tiny: Any, name: str, device: str, channels_first: bool) -> None:
    """A tensor is (N, 3, H, W) whatever layout the estimator has for arrays."""
    estimator, x = tiny.saliency_estimator(channels_first=channels_first), tiny.photos(3)
    layout = (0, 1, 2, 3) if channels_first else (0, 2, 3, 1)
    expected = attack_on(estimator, name).generate(np.ascontiguousarray(x.transpose(layout)), REGION)
    given = torch.from_numpy(x).to(device)
    before = given.clone()
    attack = attack_on(estimator, name)
    found = attack.generate(given, REGION)
    assert isinstance(found, Tensor)
    assert (found.device, found.dtype, tuple(found.shape)) == (given.device, torch.float32, x.shape)
    assert not found.requires_grad
    assert np.array_equal(found.cpu().numpy().transpose(layout), expected)
    assert not np.array_equal(found.cpu().numpy(), x)
    assert torch.equal(given, before)
    assert len(attack.results) == 3


@every
def test_what_a_caller_may_do_with_tensors(tiny: Any, name: str) -> None:
    """A gradient asked for, inference mode, double precision, strides, and a mask that is a tensor."""
    attack = attack_on(tiny.saliency_estimator(), name)
    x = np.rint(tiny.photos(2) * 255).astype(np.float32) / np.float32(255)
    expected = attack.generate(x, REGION)
    tensor = torch.from_numpy(x)
    asked = tensor.clone().requires_grad_()
    assert np.array_equal(attack.generate(asked, REGION).numpy(), expected)
    assert asked.grad is None
    assert np.array_equal(attack.generate(tensor.double(), REGION).numpy(), expected)
    assert np.array_equal(attack.generate(tensor.to(memory_format=torch.channels_last), REGION).numpy(), expected)
    with torch.inference_mode():
        assert np.array_equal(attack.generate(tensor, REGION).numpy(), expected)
    with torch.no_grad():
        assert np.array_equal(attack.generate(tensor, REGION).numpy(), expected)
    mask = np.zeros((1, 1, *x.shape[2:]), np.float32)
    mask[..., : x.shape[3] // 2] = 1
    if name in UNMASKED:
        with pytest.raises(InvalidInputError, match="mask"):
            attack.generate(tensor, REGION, mask=torch.from_numpy(mask))
        return
    masked = attack.generate(tensor, REGION, mask=torch.from_numpy(mask))
    assert np.array_equal(masked.numpy(), attack.generate(x, REGION, mask=mask))
    assert np.array_equal(masked.numpy()[..., x.shape[3] // 2 :], x[..., x.shape[3] // 2 :])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("query_only", [False, True])
def test_croppers_answer_for_tensors_as_for_arrays(tiny: Any, device: str, query_only: bool) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(3)
    if query_only:
        estimator = BlackBoxSaliencyRegressor(estimator.predict, log_density=True)
    given = torch.from_numpy(x).to(device)
    predicted = estimator.predict(given)
    assert isinstance(predicted, Tensor)
    assert predicted.device == given.device
    assert np.array_equal(predicted.cpu().numpy(), estimator.predict(x))
    crops = estimator.crop(given, ratios=(0.5, 1.0))
    assert crops.shape == (3, 2, 4)
    assert np.array_equal(crops, estimator.crop(x, ratios=(0.5, 1.0)))
