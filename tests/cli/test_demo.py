"""``art-crop demo``, as a reader of the README runs it: a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

import art_crop
from art_crop.cli.demo import RATIO, REGION
from art_crop.geometry import Region, window_contains


def demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "art_crop.cli.main", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_the_demonstration_does_the_main_job_and_may_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = demo("--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "astronaut-shown.figure.png",
        "astronaut-shown.json",
        "astronaut-shown.png",
        "astronaut.png",
    ]
    model, region = art_crop.load_model("gaze-lite"), Region.parse(REGION, 512, 512)
    before, after = (model.predict_file(out / name, (RATIO,)) for name in ("astronaut.png", "astronaut-shown.png"))
    assert not window_contains(before.crops[0], region, 512, 512), "the preview hides it at first"
    assert window_contains(after.crops[0], region, 512, 512)
    original = data.astronaut().astype(int)
    changed = np.asarray(Image.open(out / "astronaut-shown.png")).astype(int)
    assert 0 < np.abs(changed - original).max() < 30
    assert json.loads((out / "astronaut-shown.json").read_text())["change"]["psnr_db"] > 45
    for said in ("hidden", "shown", "astronaut-shown.figure.png", "art-crop attack PHOTO"):
        assert said in done.stdout
    assert done.stderr == ""
    assert demo("--out", out).returncode == 0


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "astronaut.png").write_bytes(b"mine")
    done = demo("--out", tmp_path)
    assert done.returncode == 2
    assert "is another file" in done.stderr
    assert (tmp_path / "astronaut.png").read_bytes() == b"mine"
