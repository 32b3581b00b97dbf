"""``art-crop crop`` prints what the estimator says of a file."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app


def test_json_is_the_estimators_own_word(photo_file: Path) -> None:
    result = CliRunner().invoke(app, ["crop", str(photo_file), "--json", "--ratio", "0.5", "--ratio", "1"])
    assert result.exit_code == 0, result.output
    seen = art_crop.load_model("gaze-lite").predict_file(photo_file, (0.5, 1))
    said = json.loads(result.stdout)
    assert said["salient_point"] == list(seen.salient_point)
    assert said["crops"] == [{"ratio": r, **w._asdict()} for r, w in zip((0.5, 1.0), seen.crops, strict=True)]
    assert (said["width"], said["height"], said["symmetric"]) == (384, 256, False)


def test_a_table_and_a_picture(photo_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["crop", str(photo_file), "--figure", str(tmp_path / "drawn")])
    assert result.exit_code == 0, result.output
    assert "384x256 px, salient point" in result.stdout
    seen = art_crop.load_model("gaze-lite").predict_file(photo_file, (0.56,))
    row = next(line for line in result.stdout.splitlines() if line.split()[:1] == ["0.56"])
    assert [int(v) for v in row.split()[1:]] == list(seen.crops[0])
    assert Image.open(tmp_path / "drawn" / "photo.crops.png").size[0] == 1100


def test_bad_photos_and_ratios(photo_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no")
    result = CliRunner().invoke(app, ["crop", str(tmp_path / "bad.png"), str(photo_file), "--json"])
    assert result.exit_code == 2
    assert "bad.png is not an image" in result.stderr
    assert len(result.stdout.splitlines()) == 1, "the other photo is done"
    result = CliRunner().invoke(app, ["crop", str(photo_file), "--ratio", "-1"])
    assert result.exit_code == 2
    assert "--ratio: one or more positive" in result.stderr
