"""The weight reader takes the genuine file and refuses what is not one; the network is the one it describes."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from art_crop.errors import WeightsError
from art_crop.models.fastgaze import load_fastgaze, read_vxm

MAGIC = bytes.fromhex("0174504d")
Entries = dict[str, bytes]


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def floats(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def small() -> Entries:
    """A network of a 1x1 convolution 3 -> 2, a pool, a 3x3 one 2 -> 1 and the blur, all values known."""
    entries = {
        "layerCount": u32(4),
        "0Type": u32(0),
        "0w": floats(1, 2, 3, -1, -2, -3),
        "0b": floats(0.5, 0.25),
        "0Act": u32(1),
        "1Type": u32(2),
        "1Pool": u32(2),
        "2Type": u32(0),
        "2w": floats(*range(18)),
        "2b": floats(-5),
        "2Act": u32(4),
        "2alpha": floats(0.1),
        "3Type": u32(3),
        "3KernelSize": u32(3),
        "3Std": u32(1),
    }
    for layer, shape in (("0", (2, 3, 1, 1)), ("2", (1, 2, 3, 3))):
        entries |= {f"{layer}w.shape[{k}]": u32(n) for k, n in enumerate(shape)}
    return entries


def encode(entries: Entries, *, magic: bytes = MAGIC, count: int | None = None, tail: bytes = b"") -> bytes:
    data = magic + u32(len(entries) if count is None else count)
    for key, value in entries.items():
        data += u32(len(key) + 1) + key.encode() + b"\0" + u32(len(value)) + value
    return data + tail


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(data: bytes) -> Path:
        path = tmp_path / "weights.vxm"
        path.write_bytes(data)
        return path

    return to_file


def test_the_genuine_file(fastgaze_weights: Path) -> None:
    assert len(read_vxm(fastgaze_weights)) == 239
    model = load_fastgaze(fastgaze_weights)
    assert sum(p.numel() for p in model.parameters()) == 121_060
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [43, 44, 49, 56, 44, 38, 31, 20, 18, 10, 7, 7, 2, 1]
    assert [m.kernel_size[0] for m in convolutions] == [3] * 10 + [1] * 4
    slopes = [m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == pytest.approx([0.274686, 0.271277, 0.374106, 0.389365], abs=1e-6)
    assert model.blur is None
    assert not model.training
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 33, 65)).shape == (1, 3, 5)  # ceil(h / 16), ceil(w / 16)


def test_the_blur_is_an_option(fastgaze_weights: Path) -> None:
    from scipy.ndimage import gaussian_filter

    x = torch.randn(1, 3, 200, 320, generator=torch.Generator().manual_seed(0)) * 50
    with torch.no_grad():
        raw = load_fastgaze(fastgaze_weights)(x)[0].double().numpy()
        blurred = load_fastgaze(fastgaze_weights, blur=True)(x)[0].numpy()
    # 19 x 19, sigma 3, edges replicated.
    np.testing.assert_allclose(blurred, gaussian_filter(raw, 3, mode="nearest", radius=9), atol=1e-5)


def test_a_small_file_means_what_it_says(write: Callable[[bytes], Path]) -> None:
    model = load_fastgaze(write(encode(small())))
    x = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * 4 - 1
    first = np.maximum(np.tensordot([[1, 2, 3], [-1, -2, -3]], x[0].numpy(), 1) + np.array([[[0.5]], [[0.25]]]), 0)
    first = np.pad(first, ((0, 0), (0, 0), (0, 1)), constant_values=-np.inf)
    pooled = first.reshape(2, 2, 2, 3, 2).max((2, 4))
    padded = np.pad(pooled, ((0, 0), (1, 1), (1, 1)))
    kernel = np.arange(18).reshape(2, 3, 3)
    expected = np.array([[(padded[:, r : r + 3, c : c + 3] * kernel).sum() - 5 for c in range(3)] for r in range(2)])
    expected = np.where(expected < 0, 0.1 * expected, expected)
    with torch.no_grad():
        np.testing.assert_allclose(model(x)[0].numpy(), expected, rtol=1e-5)


def test_loading_draws_no_random_numbers(write: Callable[[bytes], Path]) -> None:
    path = write(encode(small()))
    before = torch.random.get_rng_state()
    load_fastgaze(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def changed(**values: bytes | None) -> bytes:
    """The small file with entries replaced, or left out where None; ``_`` stands for the brackets of a shape."""
    entries = small()
    for key, value in values.items():
        name = key.lstrip("k").replace("_", ".shape[") + ("]" if "_" in key else "")
        assert name in entries or value is not None
        entries.pop(name, None)
        if value is not None:
            entries[name] = value
    return encode(entries)


REJECTED = {
    "empty": (b"", "does not start with"),
    "magic_only": (MAGIC, "does not start with"),
    "wrong_magic": (encode(small(), magic=b"\x89PNG"), "does not start with 01 74 50 4d"),
    "big_endian_magic": (encode(small(), magic=MAGIC[::-1]), "does not start with"),
    "count_too_small": (encode(small(), count=len(small()) - 1), "bytes after the last of"),
    "count_too_large": (encode(small(), count=len(small()) + 1), "truncated"),
    "count_huge": (encode(small(), count=2**32 - 1), "truncated"),
    "no_entries": (encode({}), "'layerCount' is missing"),
    "trailing_byte": (encode(small(), tail=b"\0"), "1 bytes after the last of"),
    "length_past_the_end": (encode(small())[:-6], "past the end of the file|truncated"),
    "length_of_4_gib": (MAGIC + u32(1) + u32(2**32 - 1) + b"k\0", "past the end of the file"),
    "key_without_nul": (MAGIC + u32(1) + u32(1) + b"k" + u32(0), "ending in NUL"),
    "key_of_no_bytes": (MAGIC + u32(1) + u32(0) + u32(0), "ending in NUL"),
    "key_not_ascii": (MAGIC + u32(1) + u32(2) + b"\xff\0" + u32(0), "printable ASCII"),
    "key_twice": (MAGIC + u32(2) + (u32(2) + b"k\0" + u32(0)) * 2, "stands twice"),
    "no_layers": (changed(layerCount=u32(0)), "'layerCount' is 0"),
    "a_billion_layers": (changed(layerCount=u32(10**9)), "'layerCount' is 1000000000"),
    "one_layer_too_many": (changed(layerCount=u32(5), k3Type=u32(2), k3Pool=u32(2)), "'4Type' is missing"),
    "unknown_activation": (changed(k0Act=u32(2)), "'0Act' is 2; activations are 1"),
    "unknown_layer_type": (changed(k0Type=u32(1)), "'0Type' is 1; layer types are 0"),
    "integer_of_8_bytes": (changed(k0Type=bytes(8)), "'0Type' is missing or not a 4-byte integer"),
    "missing_weights": (changed(k0w=None), "'0w' is missing"),
    "missing_bias": (changed(k0b=None), "'0b' is missing"),
    "missing_slope": (changed(k2alpha=None), "'2alpha' is missing"),
    "missing_shape": (changed(k0w_3=None), r"'0w.shape\[3\]' is missing"),
    "too_few_weights": (changed(k0w=floats(1, 2, 3, 4, 5)), r"'0w' holds 20 bytes, its shape .* needs 24"),
    "too_many_biases": (changed(k0b=floats(1, 2, 3)), "'0b' holds 12 bytes"),
    "shape_of_nothing": (changed(k0w_0=u32(0)), "a size lies in 1..4096"),
    "shape_of_terabytes": (
        changed(k0w_0=u32(4096), k0w_2=u32(4095), k0w_3=u32(4095)),
        "'0w' holds 24 bytes, its shape",
    ),
    "wrong_input_channels": (changed(k0w_0=u32(3), k0w_1=u32(2)), r"expected \(out, 3, k, k\)"),
    "not_square": (changed(k2w_2=u32(1), k2w_3=u32(9)), "with k odd"),
    "even_kernel": (changed(k2w_2=u32(2), k2w_3=u32(2)), "with k odd"),
    "nan": (changed(k0w=floats(1, 2, float("nan"), 4, 5, 6)), "'0w' holds values that are not finite"),
    "infinite_bias": (changed(k0b=floats(1, float("inf"))), "'0b' holds values that are not finite"),
    "infinite_slope": (changed(k2alpha=floats(float("-inf"))), "'2alpha' holds values that are not finite"),
    "other_dtype": (encode(small() | {"0w.dtype": b"float64\0"}), "'0w' is not float32"),
    "pool_of_3": (changed(k1Pool=u32(3)), "'1Pool' is 3"),
    "even_blur": (changed(k3KernelSize=u32(4)), "a blur kernel is odd"),
    "sharp_blur": (changed(k3Std=u32(0)), "a blur's sigma"),
    "two_maps": (changed(layerCount=u32(2)), "the last layer gives 2 channels"),
    "blur_before_the_end": (
        changed(layerCount=u32(5), k4Type=u32(2), k4Pool=u32(2)),
        "layer 4 follows the Gaussian blur",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected(case: str, write: Callable[[bytes], Path]) -> None:
    data, sentence = REJECTED[case]
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_fastgaze(write(data))
    assert "weights.vxm" in str(caught.value)


def test_other_files(tmp_path: Path, photo_file: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        load_fastgaze(tmp_path / "missing.vxm")
    with pytest.raises(WeightsError, match="no regular file"):
        load_fastgaze(tmp_path)
    with pytest.raises(WeightsError, match="cannot read weights"):
        load_fastgaze(tmp_path / "a\0b")
    with pytest.raises(WeightsError, match=r"photo\.png is not a FastGaze weight file"):
        load_fastgaze(photo_file)
    large = tmp_path / "large.vxm"
    with large.open("wb") as file:
        file.write(MAGIC)
        file.truncate(16 * 2**20 + 1)
    with pytest.raises(WeightsError, match="longer than the 16777216 bytes"):
        load_fastgaze(large)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(WeightsError, match="no regular file"):
        load_fastgaze(pipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(write: Callable[[bytes], Path]) -> None:
    path = write(encode(small()))
    path.chmod(0)
    with pytest.raises(WeightsError, match="Permission denied"):
        load_fastgaze(path)


def loads_or_refuses(path: Path) -> None:
    start = time.perf_counter()
    try:
        model = load_fastgaze(path)
    except WeightsError:
        pass
    else:
        assert all(torch.isfinite(p).all() for p in model.parameters())
    assert time.perf_counter() - start < 5


@settings(max_examples=300, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: MAGIC + tail)))
def test_fuzz_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.vxm"
    path.write_bytes(data)
    loads_or_refuses(path)


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 2000),
    extra=st.binary(max_size=4),
)
def test_fuzz_damaged_files(
    changes: list[tuple[int, int]], cut: int, extra: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(encode(small()))
    for position, value in changes:
        data[position % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "damaged.vxm"
    path.write_bytes(bytes(data[: len(data) - cut] if cut < len(data) // 2 else data) + extra)
    loads_or_refuses(path)


@settings(max_examples=200, deadline=None)
@given(
    entries=st.dictionaries(
        st.sampled_from(sorted(small())),
        st.one_of(st.integers(0, 2**32 - 1).map(u32), st.integers(0, 5).map(u32), st.binary(max_size=12)),
        max_size=5,
    )
)
def test_fuzz_entries(entries: Entries, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "entries.vxm"
    path.write_bytes(encode(small() | entries))
    loads_or_refuses(path)


def test_a_file_of_nothing_but_tiny_entries_takes_bounded_time(tmp_path: Path) -> None:
    # As many entries as 16 MiB hold.
    count = (16 * 2**20 - 8) // 16
    body = b"".join(u32(7) + b"%06x\0" % i + u32(0) for i in range(count))
    path = tmp_path / "many.vxm"
    path.write_bytes(MAGIC + u32(count) + body[: 16 * 2**20 - 8])
    start = time.perf_counter()
    with pytest.raises(WeightsError):
        load_fastgaze(path)
    assert time.perf_counter() - start < 20
