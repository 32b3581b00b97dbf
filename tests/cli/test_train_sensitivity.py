"""``art-crop train-sensitivity``: what it writes serves the model and the attack, and bad input is a sentence."""

from __future__ import annotations

import json
import re
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from skimage import data
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


@pytest.fixture
def osie(tmp_path: Path) -> Path:
    root = tmp_path / "osie"
    (root / "stimuli").mkdir(parents=True)
    photos = []
    for k in range(10):
        Image.fromarray(data.coffee()[10 * k : 10 * k + 60, 100:180]).save(root / "stimuli" / f"{k}.png")
        subjects = np.array([{"fix_x": 90.0 + 60 * k, "fix_y": 300.0}, {"fix_x": 400.0, "fix_y": 200.0}], dtype=object)
        photos.append({"img": f"{k}.png", "subjects": subjects})
    savemat(root / "fixations.mat", {"fixations": np.array(photos, dtype=object)})
    return root


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["train-sensitivity", *map(str, arguments)])


def test_the_weights_serve_the_model(osie: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    few = ("--epochs", 2, "--long-side", 32, "--batch-size", 4, "--device", "cpu")
    result = run("--osie", osie, "--out", out, *few, "--seed", 5)
    assert result.exit_code == 0, result.output
    assert "epoch 2: squared error" in result.output
    assert "squared error on 2 held-out photos" in result.output
    rows = dict(re.findall(r"^  (network|constant predictor|mean training map) +(0\.\d+)$", result.output, re.M))
    assert len(rows) == 3
    assert all(0 < float(value) < 1 for value in rows.values())
    (length,) = struct.unpack("<Q", out.read_bytes()[:8])
    about = json.loads(json.loads(out.read_bytes()[8 : 8 + length])["__metadata__"]["art_crop"])
    assert (about["network"], about["long_side"], about["photos"]) == ("fcn-vgg16-sensitivity", 32, 7)
    assert not out.with_name(out.name + ".checkpoint").exists()
    model = art_crop.load_model("fcn-vgg16-sensitivity", weights=out, device="cpu")
    maps = model.predict(data.coffee()[:64, :80].transpose(2, 0, 1)[None].astype(np.float32) / 255)
    assert maps.shape == (1, 64, 80)
    assert 0 <= maps.min() <= maps.max() <= 1


def test_bad_input_is_a_sentence(osie: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    (tmp_path / "noise.pth").write_bytes(b"no weights")
    for arguments, said in (
        (["--osie", osie, "--out", tmp_path / "nowhere" / "net.safetensors"], "does not exist"),
        (["--osie", tmp_path, "--out", out], "fixations.mat"),
        (["--osie", osie, "--out", out, "--init", tmp_path / "noise.pth", "--long-side", 32], "noise.pth"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert said in " ".join(result.output.split())
