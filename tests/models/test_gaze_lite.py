"""gaze-lite's weight files: what was saved comes back, everything else is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor

from art_crop.errors import InvalidInputError, WeightsError
from art_crop.models.gaze_lite import HEADS, GazeLite, GazeLiteNet, fold_batch_norm, load_gaze_lite, save_gaze_lite


def random_net(seed: int = 0, *, norm: bool = False) -> GazeLiteNet:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net = GazeLiteNet(norm=norm)
        for name, parameter in net.named_parameters():
            if name.endswith("prior"):
                torch.nn.init.normal_(parameter)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.running_mean, module.bias, module.weight):
                    torch.nn.init.normal_(tensor, 0.5, 0.2)  # type: ignore[arg-type]
                torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return net


def levels(count: int = 1, height: int = 75, width: int = 100) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 3, height, width, generator=generator) * 60


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in random_net().state_dict().items()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(data: bytes) -> Path:
        path = tmp_path / "gaze.safetensors"
        path.write_bytes(data)
        return path

    return to_file


@torch.no_grad()
def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    net, path = random_net().eval(), tmp_path / "net.safetensors"
    save_gaze_lite(net, path, {"seed": 3})
    assert path.stat().st_size <= 600_000  # the wheel's allowance for it
    half = GazeLiteNet()
    half.load_state_dict({name: value.half().float() for name, value in net.state_dict().items()})
    expected, exact = half(levels()), net(levels())
    for head in HEADS:
        model = load_gaze_lite(path, head)  # type: ignore[arg-type]
        assert not model.training
        assert torch.equal(model(levels()), expected[head])
        assert (model(levels()) - exact[head]).abs().max() < 0.02  # float16 loses next to nothing
    assert not torch.equal(expected["cropper"], expected["human"])
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert json.loads(header["__metadata__"]["art_crop"]) == {"network": "gaze-lite", "seed": 3}


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(240, 320), (1, 1), (17, 33), (320, 5)])
def test_map_size_is_fastgazes(height: int, width: int) -> None:
    net = random_net().eval()
    assert GazeLite(net)(levels(2, height, width)).shape == (2, -(-height // 16), -(-width // 16))


@torch.no_grad()
def test_folding_keeps_the_function_and_the_net() -> None:
    net = random_net(1, norm=True).train()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batch_norm(net)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    expected, found = net.eval()(levels(2)), folded(levels(2))
    for head in HEADS:
        assert expected[head].std() > 1e-3
        torch.testing.assert_close(found[head], expected[head], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_photo_is_seen_the_same_in_any_batch() -> None:
    model = GazeLite(random_net().eval())
    batch = levels(3)
    together = model(batch)
    for i in range(3):
        torch.testing.assert_close(model(batch[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-5)


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    save_gaze_lite(random_net(), tmp_path / "net.safetensors", {})
    before = torch.random.get_rng_state()
    load_gaze_lite(tmp_path / "net.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_gradients_reach_the_image_of_a_loaded_net(tmp_path: Path) -> None:
    save_gaze_lite(random_net(), tmp_path / "net.safetensors", {})
    x = levels().requires_grad_()
    load_gaze_lite(tmp_path / "net.safetensors")(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_other_heads_are_refused(tmp_path: Path) -> None:
    save_gaze_lite(random_net(), tmp_path / "net.safetensors", {})
    with pytest.raises(InvalidInputError, match="head: one of cropper, human is needed"):
        load_gaze_lite(tmp_path / "net.safetensors", "cat")  # type: ignore[arg-type]


NAME = "heads.cropper.out.bias"
CHANGES: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (lambda t: t.pop(NAME), "missing or unknown tensors heads.cropper.out.bias"),
    "unknown": (lambda t: t.update(extra=torch.zeros(1)), "missing or unknown tensors extra"),
    "shape": (lambda t: t.update({NAME: torch.zeros(2)}), r"torch.float32 \(2,\), expected float \(1,\)"),
    "integers": (lambda t: t.update({NAME: torch.zeros(1, dtype=torch.int32)}), "torch.int32"),
    "booleans": (lambda t: t.update({NAME: torch.zeros(1, dtype=torch.bool)}), "torch.bool"),
    "nan": (lambda t: t.update({NAME: torch.tensor([float("nan")])}), "not finite"),
    "infinity": (lambda t: t.update({NAME: torch.tensor([float("inf")])}), "not finite"),
    "beyond_float32": (lambda t: t.update({NAME: torch.tensor([1e300], dtype=torch.float64)}), "not finite"),
    "float8_nan": (lambda t: t.update({NAME: torch.tensor([float("nan")]).to(torch.float8_e4m3fn)}), "not finite"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_tensors_are_refused(case: str, tensors: dict[str, Tensor], write: Callable[[bytes], Path]) -> None:
    change, sentence = CHANGES[case]
    changed = dict(tensors)
    change(changed)
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_gaze_lite(write(save(changed)))
    assert "gaze.safetensors" in str(caught.value)


def test_unchanged_tensors_are_not_refused(tensors: dict[str, Tensor], write: Callable[[bytes], Path]) -> None:
    assert load_gaze_lite(write(save(tensors))).head.prior.tolist() == tensors["heads.cropper.prior"].tolist()  # type: ignore[operator, union-attr]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 0),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 8) + b"not json",
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     ',
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_other_files_are_refused(data: bytes, write: Callable[[bytes], Path]) -> None:
    with pytest.raises(WeightsError, match=r"not a safetensors file|does not hold gaze-lite weights"):
        load_gaze_lite(write(data))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        load_gaze_lite(tmp_path / "missing")
    with pytest.raises(WeightsError, match="no regular file"):
        load_gaze_lite(tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(16 * 2**20 + 1)
    with pytest.raises(WeightsError, match="longer than"):
        load_gaze_lite(large)


def test_truncated_files_are_refused(tensors: dict[str, Tensor], write: Callable[[bytes], Path]) -> None:
    data = save(tensors)
    for length in (4, 8, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(WeightsError, match="not a safetensors file"):
            load_gaze_lite(write(data[:length]))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_fuzz(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    good = bytearray(save({name: value.half() for name, value in random_net().state_dict().items()}))
    (length,) = struct.unpack("<Q", good[:8])
    # Mostly the header, where the format is.
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, 8 + length))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(good)
    try:
        model = load_gaze_lite(path)
    except WeightsError:
        return
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
