"""Files that are no such files, or lie: always a WeightsError that names the file, and never anything else."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tflite
from art_crop_tflite.network import load_tflite
from art_crop_tflite.reading import read_graph
from cases import CASES, wave
from writing import O, T, constant, tflite_bytes, write

from art_crop.errors import WeightsError

SMALL = tflite_bytes(*CASES["conv, SAME, stride 2, odd size"])


def refused(path: Path, pattern: str = ".") -> str:
    with pytest.raises(WeightsError, match=pattern) as caught:
        load_tflite(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_reads_what_was_written(tmp_path: Path) -> None:
    graph = read_graph(write(tmp_path / "a.tflite", *CASES["conv, SAME, stride 2, odd size"]))
    assert [operator.name for operator in graph.operators] == ["CONV_2D"]
    assert graph.operators[0].options["StrideW"] == 2
    assert graph.tensors[0].shape == (1, 5, 7, 2)
    assert graph.tensors[0].data is None
    assert graph.tensors[1].data is not None
    assert np.array_equal(graph.tensors[1].data, wave((3, 3, 3, 2), 0.7) / 3)


def test_the_published_file_has_the_tensors_that_are_documented(attention_center_file: Path) -> None:
    graph = read_graph(attention_center_file)
    assert graph.tensors[1586].shape == (1, 480, 640)
    assert [graph.tensors[k].shape for k in graph.outputs] == [(1, 2)]


@pytest.mark.parametrize("length", [0, 4, 7, 8, 15, 16, 17, 40])
def test_a_short_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(SMALL[:length])
    refused(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    for length in range(20, len(SMALL) - 1, 13):
        path.write_bytes(SMALL[:length])
        refused(path)


def test_a_truncated_published_file_is_refused(attention_center_file: Path, tmp_path: Path) -> None:
    content, path = attention_center_file.read_bytes(), tmp_path / "cut.tflite"
    for share in (0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        refused(path)


def test_changed_bytes_give_a_network_or_a_clear_error(tmp_path: Path) -> None:
    """Every byte of a small file, each set to values that turn lengths and offsets over."""
    path, refusals = tmp_path / "changed.tflite", 0
    for place in range(8, len(SMALL), 5):
        for value in (0x00, 0x7F, 0xFF):
            content = bytearray(SMALL)
            content[place] = value
            path.write_bytes(content)
            try:
                load_tflite(path)
            except WeightsError as error:
                assert str(path) in str(error)  # noqa: PT017 (both ways are right here)
                refusals += 1
    assert refusals > 100


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "noise.tflite"
    for k in range(200):
        noise = rng.integers(0, 256, 20 + 7 * k, np.uint8).tobytes()
        path.write_bytes(noise[:4] + b"TFL3" + noise[8:])
        refused(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(50), bytes(64)])
def test_another_kind_of_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    refused(path, "not a TensorFlow Lite file")


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.tflite")
    refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe")


def test_a_flatbuffer_with_another_schema_version_is_refused(tmp_path: Path) -> None:
    content = bytearray(SMALL)
    (root,) = struct.unpack_from("<I", content, 0)
    model = tflite.Model.GetRootAs(bytes(content), 0)
    struct.pack_into("<I", content, root + model._tab.Offset(4), 2)
    path = tmp_path / "old.tflite"
    path.write_bytes(content)
    refused(path, "schema version is 2")


RELU = [O("RELU", [0], [1])]


@pytest.mark.parametrize(
    ("tensors", "operators", "reason"),
    [
        ([T((1, 3)), T((1, 3))], [O("RELU", [9], [1])], "reads tensor 9, there are 2"),
        ([T((1, 3)), T((1, 3))], [O("RELU", [-2], [1])], "reads tensor -2"),
        ([T((1, 3)), T((1, 3))], [O("RELU", [0], [5])], "makes tensor 5"),
        ([T((1, 3)), T((1, 3))], [O("RELU", [1], [1])], "nothing before it makes"),
        ([T((1, 3)), T((1, 3)), T((1, 3))], [O("RELU", [2], [1]), O("RELU", [1], [2])], "nothing before it makes"),
        ([T((1, 3)), T((1, 3))], [O("RELU", [0], [1]), O("RELU", [0], [1])], "there already"),
        ([T((1, 3)), T((1, 3))], [O("RELU", [0], [0])], "there already"),
        ([T((1, 3)), T((1, 3), np.ones(2)), T((1, 3))], [O("ADD_N", [0, 1], [2])], r"holds 8 bytes.*needs 12"),
        ([T((1, 3)), T((1, 3), np.full(3, np.nan)), T((1, 3))], [O("ADD_N", [0, 1], [2])], "not finite"),
        ([T((1, -3)), T((1, -3))], RELU, "shape"),
        ([T((1 << 20, 1 << 20)), T((1, 3))], RELU, "at most"),
        ([T((1,) * 9), T((1,) * 9)], RELU, "9 dimensions"),
        ([T((1, 3), scale=(1, 2), zero_point=(0, 0)), T((1, 3))], RELU, "2 scales"),
        ([T((1, 3), scale=(float("inf"),), zero_point=(0,)), T((1, 3))], RELU, "scale"),
        ([T((1, 3)), T((1, 3))], [O("SOFTMAX", [0], [1], "AddOptions")], "comes with AddOptions"),
        ([T((1, 3)), T((1, 3)), T((1, 3))], RELU, "one FLOAT32 input is needed, what is used is none"),
        ([T((1, 3), type="int32"), T((1, 3), type="int32")], RELU, "one FLOAT32 input is needed"),
        ([T((1, 3), np.ones((1, 3))), T((1, 3))], RELU, "is there already|one FLOAT32|not computed"),
        ([T((1, 2)), constant([1 << 20, 1 << 6]), T((1 << 20, 1 << 6))], [O("RESHAPE", [0, 1], [2])], "cannot make"),
    ],
)
def test_graphs_that_contradict_themselves_are_refused(
    tensors: list[T], operators: list[O], reason: str, tmp_path: Path
) -> None:
    refused(write(tmp_path / "a.tflite", tensors, operators), reason)


def test_names_from_the_file_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    tensors = [T((1, 3)), T((1, 3), name="a\x1b[31m\nb" + "c" * 9000)]
    message = refused(write(tmp_path / "a.tflite", tensors, [O("CUMSUM", [0], [1])]))
    assert "\x1b" not in message
    assert "\n" not in message
    assert len(message) < 1000
