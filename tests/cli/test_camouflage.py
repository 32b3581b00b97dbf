"""``art-crop camouflage``: a score that falls in the written JPEG, and in what platforms make of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app


def camouflage(*arguments: object, figure: bool = False) -> Result:
    return CliRunner().invoke(app, ["camouflage", *map(str, arguments), *([] if figure else ["--no-figure"])])


def record_of(folder: Path, name: str = "photo") -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return value


def score(model: Any, image: Any) -> float:
    pixels = np.asarray(image.convert("RGB"))
    return float(model.predict(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)[0])


@pytest.fixture(scope="module")
def quality() -> Any:
    return art_crop.load_model("quality-lite", device="cpu")


def test_the_file_and_its_copies_score_below(quality: Any, photo_file: Path, tmp_path: Path) -> None:
    with Image.open(photo_file) as image:
        before = score(quality, image)
    bound = round(before - 15, 2)
    result = camouflage(photo_file, "--score-below", bound, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    record = record_of(tmp_path / "o")
    assert record["success"]
    assert record["before"]["score"] == pytest.approx(before, abs=1e-3)
    assert record["score_range"] == [0, 100]
    with Image.open(tmp_path / "o" / "photo.jpg") as file:
        assert file.format == "JPEG"
        assert score(quality, file) == pytest.approx(record["after"]["score"], abs=1e-3)
        assert record["after"]["score"] <= bound
        again = {}
        for subsampling in ("4:4:4", "4:2:0"):
            buffer = io.BytesIO()
            file.convert("RGB").save(buffer, "JPEG", quality=90, subsampling=subsampling)
            with Image.open(buffer) as copy:
                again[subsampling] = score(quality, copy)
    assert [view["subsampling"] for view in record["resaved"]] == ["4:4:4", "4:2:0"]
    for view in record["resaved"]:
        assert view["score"] == pytest.approx(again[view["subsampling"]], abs=1e-3)
        assert view["success"]
        assert view["score"] <= bound
    assert "saved again" in result.output
    assert "earlier run" in camouflage(photo_file, "--score-below", bound, "--out", tmp_path / "o").output


def test_a_png_holds_whole_levels(quality: Any, photo_file: Path, tmp_path: Path) -> None:
    with Image.open(photo_file) as image:
        bound = round(score(quality, image) - 15, 2)
    result = camouflage(photo_file, "--score-below", bound, "--png", "--out", tmp_path / "o", figure=True)
    assert result.exit_code == 0, result.output
    record = record_of(tmp_path / "o")
    assert record["encoding"]["format"] == "PNG"
    assert record["resaved"] == []
    with Image.open(tmp_path / "o" / "photo.figure.png") as figure:  # the scores are drawn below both photos
        below = np.asarray(figure.convert("RGB"))[int(0.6 * figure.height) :, : figure.width // 2]
    assert (np.abs(below.astype(int) - (230, 244, 234)).max(-1) <= 2).sum() > 1000
    assert record["change"]["psnr_db"] > 45
    with Image.open(tmp_path / "o" / "photo.png") as file:
        assert score(quality, file) <= bound


def test_a_score_that_is_there_already_changes_nothing(quality: Any, photo_file: Path, tmp_path: Path) -> None:
    result = camouflage(photo_file, "--score-below", 100, "--out", tmp_path / "o")
    assert result.exit_code == 0, result.output
    assert "Nothing to do" in result.output
    assert record_of(tmp_path / "o")["unchanged"]


def test_what_cannot_be_reached_is_said_and_kept_as_failed(quality: Any, photo_file: Path, tmp_path: Path) -> None:
    result = camouflage(photo_file, "--score-below", 0, "--steps", 1, "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert "Failed" in result.output
    assert (tmp_path / "o" / "photo.failed.jpg").exists()
    assert not record_of(tmp_path / "o")["success"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of --score-below and --score-above"),
        (["--score-below", 30, "--score-above", 60], "one of --score-below and --score-above"),
        (["--score-below", 130], "from 0 to 100"),
        (["--score-below", 30, "--jpeg", 0], "--jpeg"),
        (["--score-below", 30, "--png", "--jpeg", 90], "--png"),
        (["--score-below", 30, "--param", "quality=80"], "--jpeg"),
        (["--score-below", 30, "--param", "bounds=2"], "did you mean 'bound'"),
        (["--score-below", 30, "--param", "bound=0"], "bound"),
        (["--score-below", 30, "--model", "gaze-lite"], "quality model"),
    ],
)
def test_bad_input_is_a_sentence(photo_file: Path, tmp_path: Path, arguments: list[Any], said: str) -> None:
    result = camouflage(photo_file, *arguments, "--out", tmp_path / "o")
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split())
