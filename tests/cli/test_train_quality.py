"""``art-crop train-quality``: what it writes serves the model, and bad input is said before an hour is gone."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(data.coffee()[:220, :260]).save(folder / "coffee.png")
    return folder


def test_the_weights_serve_the_model(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    arguments = ["--images", images, "--out", out, "--steps", 3, "--batch-size", 2, "--seed", 5, "--device", "cpu"]
    result = CliRunner().invoke(app, ["train-quality", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "step 3/3" in result.output
    assert "wrote" in result.output
    model = art_crop.load_model("quality-lite", weights=out, device="cpu")
    score = model.predict(data.coffee()[:64, :64].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    assert 0 <= float(score[0]) <= 100
    (length,) = struct.unpack("<Q", out.read_bytes()[:8])
    about = json.loads(json.loads(out.read_bytes()[8 : 8 + length])["__metadata__"]["art_crop"])
    assert about == {"network": "quality-lite", "photos": 1, "steps": 3, "batch_size": 2, "seed": 5}
    assert not out.with_name(out.name + ".checkpoint").exists()


def test_bad_input_is_a_sentence(images: Path, tmp_path: Path) -> None:
    for arguments, said in (
        (["--images", images, "--out", tmp_path / "nowhere" / "net.safetensors"], "does not exist"),
        (["--images", tmp_path / "nothing", "--out", tmp_path / "net.safetensors"], "nothing"),
        (["--images", images, "--bsds500", images, "--out", tmp_path / "net.safetensors"], "500 photos"),
    ):
        result = CliRunner().invoke(app, ["train-quality", *map(str, arguments)])
        assert result.exit_code == 2, result.output
        assert said in " ".join(result.output.split())
