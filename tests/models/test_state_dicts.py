"""Weight files that users bring: what is read, and what is said of what does not fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from art_crop.errors import WeightsError
from art_crop.models.state_dicts import check_state_dict, read_state_dict


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_plain_and_wrapped_state_dicts_are_the_same(tmp_path: Path) -> None:
    state = network().state_dict()
    parallel = {f"module.{key}": value for key, value in state.items()}
    for i, content in enumerate((state, parallel, {"state_dict": parallel, "epoch": 3}, {"model": state})):
        torch.save(content, tmp_path / f"{i}.pth")
        assert same(read_state_dict(tmp_path / f"{i}.pth"), state)
    save_file(parallel, tmp_path / "w.safetensors")
    assert same(read_state_dict(tmp_path / "w.safetensors"), state)


def test_every_tensor_that_does_not_fit_is_named() -> None:
    wanted, state = network().state_dict(), network().state_dict()
    del state["0.weight"], state["1.bias"]
    state |= {"2.weight": torch.zeros(1), "0.bias": torch.zeros(5), "1.weight": torch.zeros(4, dtype=torch.int32)}
    state["1.running_var"] = torch.tensor([1, 1, float("nan"), 1])
    with pytest.raises(WeightsError) as caught:
        check_state_dict(state, wanted, "w.pth", "the network")
    assert str(caught.value) == (
        "weights: w.pth does not hold the network (7 tensors): 2 missing: 0.weight, 1.bias; 1 unknown: 2.weight; "
        "1 of another shape: 0.bias (5,) instead of (4,); 1 of another kind of number: 1.weight int32; "
        "1 not finite: 1.running_var"
    )


def test_a_network_on_the_meta_device_is_filled_in_its_own_types() -> None:
    with torch.device("meta"):
        empty = network()
    state = {key: value.half() for key, value in network().state_dict().items() if "num_batches" not in key}
    checked = check_state_dict(state, empty.state_dict(), "w.pth", "the network")
    assert {key: value.dtype for key, value in checked.items()} == {
        key: value.dtype for key, value in network().state_dict().items()
    }
    assert int(checked["1.num_batches_tracked"]) == 0
    empty.load_state_dict(checked, assign=True)
    assert torch.equal(empty.get_parameter("0.weight"), state["0.weight"].float())


def test_nothing_but_tensors_is_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth is no plain weight file.*nothing of it was run"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
    for name, content in {"list.pth": [torch.zeros(1)], "text.pth": {"a": "b"}, "empty.pth": {}}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(WeightsError, match="holds no state dict"):
            read_state_dict(tmp_path / name)
    for name in ("half.pth", "half.safetensors", "missing.pth"):
        if "half" in name:
            (tmp_path / name).write_bytes(b"PK\x03\x04 half a zip")
        with pytest.raises(WeightsError, match=f"{name} cannot be read"):
            read_state_dict(tmp_path / name)
