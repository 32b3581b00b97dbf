"""Settings that make no sense are refused; records that are none are no records."""

from __future__ import annotations

import copy
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchSaliencyRegressor
from art_crop.geometry import Region
from art_crop.pipeline import Settings, read_record
from art_crop.pipeline.record import differences, model_sha256, printable

REGION = Region(0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eps", 0.0),
        ("eps", -1.0),
        ("eps", math.nan),
        ("eps", math.inf),
        ("eps", "2"),
        ("max_eps", 0.0),
        ("max_eps", math.nan),
        ("steps", 0),
        ("steps", 2.5),
        ("jpeg_quality", 0),
        ("jpeg_quality", 101),
        ("jpeg_quality", True),
        ("seed", -1),
        ("seed", 2**32),
        ("ratios", ()),
        ("ratios", (0.0,)),
        ("ratios", (1.0, math.nan)),
        ("region", (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_bad_settings_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name}: "):
        Settings(**{"region": REGION, name: value})


@pytest.mark.parametrize("goals", [{}, {"region": REGION, "score": 3.0}, {"score": 3.0, "label": 2}])
def test_one_goal_is_needed(goals: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"^goal: one of"):
        Settings(**goals)


def test_a_search_and_a_fixed_budget_exclude_each_other() -> None:
    with pytest.raises(InvalidInputError, match="max_eps"):
        Settings(REGION, eps=1.0, max_eps=2.0)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"format": 1}', '{"format": 2, "output_sha256": ""}', "\x00"]
)
def test_a_file_that_is_no_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    assert read_record(path) is None
    path.write_text(text)
    assert read_record(path) is None
    assert read_record(tmp_path) is None


def record(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "success": True,
        "message": "Done.",
        "unchanged": False,
        "seconds": 1.0,
        "output_name": "a.png",
        "output_sha256": "o",
        "device": "cpu",
        "versions": {"art_crop": "0.1.0", "torch": "2.13.0", "numpy": "2.2", "pillow": "12"},
        "before": {},
        "after": {},
        "change": {"l2": 0.1, "psnr_db": None},
        "model": "gaze-lite",
        "weights_sha256": "w",
        "input_sha256": "i",
        "width": 200,
        "height": 100,
        "region": [0.1, 0.2, 0.5, 0.4],
        "ratios": [0.56, 1.0],
        "eps": None,
        "max_eps": None,
        "steps": 10,
        "jpeg_quality": None,
        "seed": 0,
    } | changes


def same(value: dict[str, Any], **asked: Any) -> bool:
    settings = Settings(**({"region": "20px,20px,100px,40px"} | asked))
    versions = {"art_crop": "0.1.0", "torch": "2.14.0", "numpy": "2.2", "pillow": "12"}
    made_by = {"model": "gaze-lite", "weights_sha256": "w", "surrogate_sha256": None, "versions": versions}
    return not differences(value, settings, {**made_by, "input_sha256": "i"})


def test_a_record_is_of_the_same_goal_however_it_is_said() -> None:
    assert same(record())
    assert same(record(), region="0.1,0.2,0.5,0.4")
    assert same(record(), region=Region(0.1, 0.2, 0.5, 0.4), ratios=[0.56, 1])
    assert same(record(ratios=None), ratios=None)


@pytest.mark.parametrize(
    "asked",
    [
        {"region": "20px,20px,100px,41px"},
        {"region": "0,0,400px,50px"},
        {"ratios": (0.56,)},
        {"ratios": None},
        {"eps": 1.0},
        {"max_eps": 1.0},
        {"steps": 9},
        {"jpeg_quality": 75},
        {"seed": 1},
    ],
)
def test_another_goal_differs(asked: dict[str, Any]) -> None:
    assert not same(record(), **asked)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "fastgaze"},
        {"weights_sha256": "x"},
        {"weights_sha256": None},
        {"surrogate_sha256": "x"},
        {"input_sha256": "x"},
        {"width": "?"},
        {"versions": {"art_crop": "0.0.9"}},
        {"versions": {"art_crop": "0.1.0", "art-crop-extra": "1.0"}},
    ],
)
def test_another_model_version_or_photo_differs(change: dict[str, Any]) -> None:
    assert not same(record(**change))
    short = record()
    del short["seed"]
    assert not same(short)


def test_a_model_that_cannot_be_hashed_is_never_the_same() -> None:
    made_by = {"model": "gaze-lite", "weights_sha256": None, "surrogate_sha256": None, "input_sha256": "i"}
    found = differences(
        record(weights_sha256=None), Settings("20px,20px,100px,40px"), {**made_by, "versions": {"art_crop": "0.1.0"}}
    )
    assert found == ["weights_sha256"]


def test_two_checkpoints_of_one_class_are_two_models() -> None:
    one, other = nn.Conv2d(3, 1, 3), nn.Conv2d(3, 1, 3)
    hashes = {model_sha256(PyTorchSaliencyRegressor(net)) for net in (one, other, copy.deepcopy(one))}
    assert len(hashes) == 2
    half = model_sha256(PyTorchSaliencyRegressor(copy.deepcopy(one).double()))
    assert half not in hashes


def test_a_whole_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record()))
    assert read_record(path) == record()


NEEDED = """
    after before change device format height message output_name output_sha256 seconds success unchanged versions width
"""


@pytest.mark.parametrize("field", NEEDED.split())
def test_an_incomplete_record_is_none(tmp_path: Path, field: str) -> None:
    path, value = tmp_path / "a.json", record()
    del value[field]
    path.write_text(json.dumps(value))
    assert read_record(path) is None
    path.write_text(json.dumps(value | {field: [[]]}))
    assert read_record(path) is None


def test_a_record_that_would_hang_or_break_the_reader_is_none(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000 + "]" * 100_000)
    assert read_record(deep) is None
    deep.write_text(json.dumps(record())[:-1] + ', "more": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert read_record(deep) is None
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    assert read_record(pipe) is None


def test_names_that_are_no_utf8_can_be_recorded() -> None:
    assert printable("a\udcff.png") == "a?.png"
    assert printable("größer.png") == "größer.png"
