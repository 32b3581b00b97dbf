"""``art-crop attack``: what is written, what is said, what is refused, and with which exit code."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app
from art_crop.geometry import Region, window_contains

SHOW = ["--ratio", "1", "--steps", "2", "--no-figure"]


def attack(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(scope="module")
def cropper() -> Any:
    return art_crop.load_model("gaze-lite")


@pytest.fixture
def hidden(cropper: Any, photo_file: Path) -> str:
    """A strip at one side that the square crop hides."""
    seen = cropper.predict_file(photo_file, (1.0,))
    for text in ("0.86,0.2,1,0.8", "0,0.2,0.14,0.8"):
        region = Region.parse(text, *seen.size)
        if not window_contains(seen.crops[0], region, *seen.size):
            return text
    pytest.fail("the square crop cannot show both sides")


def test_a_photo_becomes_one_that_shows_the_region(
    cropper: Any, photo_file: Path, photo: NDArray[np.uint8], hidden: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = attack(photo_file, "--show", hidden, "--ratio", "1", "--steps", "3", "--out", out)
    assert result.exit_code == 0, result.output
    assert names(out) == ["photo.figure.png", "photo.json", "photo.png"]
    seen = cropper.predict_file(out / "photo.png", (1.0,))
    assert window_contains(seen.crops[0], Region.parse(hidden, *seen.size), *seen.size)
    record = json.loads((out / "photo.json").read_text())
    changed = np.asarray(Image.open(out / "photo.png"))
    difference = changed.astype(float) / 255 - photo.astype(float) / 255
    assert record["change"]["l2"] == pytest.approx(np.linalg.norm(difference), rel=1e-9)
    assert record["change"]["psnr_db"] > 40
    assert 0 < record["change"]["linf"] == pytest.approx(np.abs(difference).max())
    assert (record["success_before"], record["success_before_writing"], record["success_after_writing"]) == (
        False,
        True,
        True,
    )
    assert record["after"]["crops"][0] == seen.crops[0]._asdict()
    assert record["input_sha256"] == hashlib.sha256(photo_file.read_bytes()).hexdigest()
    assert record["output_sha256"] == hashlib.sha256((out / "photo.png").read_bytes()).hexdigest()
    assert record["weights_sha256"] == cropper.weights_sha256
    assert record["gradients"] == 3
    assert record["queries"] > 3
    assert Image.open(out / "photo.figure.png").size[0] > 1000
    for said in ("Done: the crop of ratio 1 shows the region now", "photo.png", "photo.json", "photo.figure.png"):
        assert said in result.output


def test_pixels_say_the_same_as_fractions(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    width, height = Image.open(photo_file).size
    sides = [float(v) * side for v, side in zip(hidden.split(","), (width, height, width, height), strict=True)]
    in_pixels = ",".join(f"{side:.6f}px" for side in sides)
    for name, region in (("a", hidden), ("b", in_pixels)):
        assert attack(photo_file, "--show", region, *SHOW, "--out", tmp_path / name).exit_code == 0
    assert (tmp_path / "a" / "photo.png").read_bytes() == (tmp_path / "b" / "photo.png").read_bytes()


def test_a_fixed_budget_is_kept(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    result = attack(photo_file, "--show", hidden, *SHOW, "--eps", "3", "--out", tmp_path / "o", "--json")
    record = json.loads(result.output)
    assert result.exit_code == (0 if record["success"] else 1)
    assert 2.9 < record["change"]["l2"] <= 3 + 1e-6
    assert record["eps"] == record["budget"] == 3


def test_too_small_a_budget_fails_and_says_so(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    out = tmp_path / "o"
    result = attack(photo_file, "--show", hidden, *SHOW, "--eps", "0.004", "--out", out)
    assert result.exit_code == 1
    assert "Failed: the crop of ratio 1 hides the region" in result.output
    assert "larger --eps" in result.output
    assert json.loads((out / "photo.json").read_text())["success_after_writing"] is False


def test_what_is_shown_already_stays_as_it_is(photo_file: Path, photo: NDArray[np.uint8], tmp_path: Path) -> None:
    result = attack(photo_file, "--show", "0.45,0.45,0.55,0.55", "--ratio", "1", "--out", tmp_path / "o", "--eps", "5")
    assert result.exit_code == 0
    assert "Nothing to do" in result.output
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "o" / "photo.png")), photo)
    record = json.loads((tmp_path / "o" / "photo.json").read_text())
    assert record["unchanged"] is True
    assert record["change"]["psnr_db"] is None
    assert record["success_before"] is True


def test_the_salient_point_alone(cropper: Any, photo_file: Path, tmp_path: Path) -> None:
    x = cropper.predict_file(photo_file).salient_point[0]
    region = "0,0,0.25,0.5" if x > 192 else "0.75,0,1,0.5"
    result = attack(photo_file, "--show", region, "--peak", "--steps", "3", "--no-figure", "--out", tmp_path / "o.png")
    assert result.exit_code == 0, result.output
    point = cropper.predict_file(tmp_path / "o.png").salient_point
    x0, y0, x1, y1 = Region.parse(region, 384, 256).pixels(384, 256)
    assert x0 - 1 <= point[0] <= x1
    assert y0 - 1 <= point[1] <= y1


def test_a_symmetric_photo_says_that_it_needs_more(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    left = photo[:, :192]
    Image.fromarray(np.concatenate([left, left[:, ::-1]], 1)).save(tmp_path / "mirror.png")
    arguments = ("--show", "0,0.2,0.1,0.8", *SHOW, "--out", tmp_path / "o")
    result = attack(tmp_path / "mirror.png", *arguments, "--max-eps", 0.5)
    assert result.exit_code == 1
    assert "mirror-symmetric" in result.output
    assert "larger --max-eps" in result.output
    record = json.loads((tmp_path / "o" / "mirror.json").read_text())
    assert record["after"]["symmetric"] is True
    result = attack(tmp_path / "mirror.png", *arguments, "--max-eps", 60, "--overwrite")
    assert result.exit_code == 0
    assert "no longer does" in result.output
    assert json.loads((tmp_path / "o" / "mirror.json").read_text())["after"]["symmetric"] is False


@pytest.mark.parametrize("quality", [75, 95])
def test_a_jpeg_is_judged_as_a_jpeg(
    cropper: Any, photo_file: Path, photo: NDArray[np.uint8], hidden: str, tmp_path: Path, quality: int
) -> None:
    out = tmp_path / "o.jpg"
    result = attack(photo_file, "--show", hidden, *SHOW, "--jpeg", quality, "--out", out)
    assert result.exit_code == 0, result.output
    with Image.open(out) as image:
        assert image.format == "JPEG"
        assert image.layer[0][1:3] == (2, 2), "4:2:0, as Pillow writes by default"
        decoded = np.asarray(image).astype(float) / 255
    seen = cropper.predict_file(out, (1.0,))
    assert window_contains(seen.crops[0], Region.parse(hidden, *seen.size), *seen.size)
    record = json.loads((tmp_path / "o.json").read_text())
    assert record["change"]["l2"] == pytest.approx(np.linalg.norm(decoded - photo.astype(float) / 255), rel=1e-9)
    assert 0 < record["l2_before_encoding"] < record["change"]["l2"]
    assert record["success_after_writing"] is True


@pytest.mark.parametrize(
    ("arguments", "written", "form"),
    [
        ([], "out/photo.jpg", "JPEG"),
        (["--png"], "out/photo.png", "PNG"),
        (["--jpeg", "60"], "out/photo.jpg", "JPEG"),
        (["--out", "named.png"], "named.png", "PNG"),
        (["--out", "named.JPG"], "named.JPG", "JPEG"),
    ],
)
def test_a_jpeg_becomes_a_jpeg_unless_a_png_is_asked_for(
    photo: NDArray[np.uint8],
    hidden: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    written: str,
    form: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo).save("photo.jpg", quality=85, subsampling="4:4:4")
    result = attack("photo.jpg", "--show", hidden, *SHOW, "--out", "out", *arguments)
    assert result.exit_code == 0, result.output
    with Image.open("photo.jpg") as before, Image.open(written) as after:
        assert after.format == form
        own = "--jpeg" not in arguments and form == "JPEG"
        assert (getattr(after, "quantization", None) == before.quantization) is own
    assert ("photo's own tables" in result.output) is own


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--png", "--jpeg", "90"], "--png: it cannot go with"),
        (["--out", "o.jpg"], "--out: o.jpg is the name of a JPEG, for which a quality is needed (--jpeg)"),
        (["--out", "o.jpg", "--png"], "--out: o.jpg is the name of a JPEG, and a PNG is asked for"),
        (["--out", "o.png", "--jpeg", "90"], "--out: o.png is the name of a PNG, and a JPEG is asked for"),
    ],
)
def test_formats_that_contradict_each_other(
    photo_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = attack(photo_file, "--show", "0,0,.1,.1", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert names(tmp_path) == ["photo.png"]


def test_a_jpeg_that_cannot_be_changed_enough_says_what_would_help(
    photo: NDArray[np.uint8], hidden: str, tmp_path: Path
) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.jpg", quality=5)
    arguments = (tmp_path / "photo.jpg", "--show", hidden, *SHOW, "--max-eps", 0.02, "--out", tmp_path / "o")
    result = attack(*arguments)
    assert result.exit_code == 1
    assert "Try a larger --max-eps, more steps, or a PNG, for which a smaller change is enough: --png" in result.output
    assert names(tmp_path / "o") == ["photo.failed.jpg", "photo.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--show", "0.1,0.2,0.3"], "is not x0,y0,x1,y1"),
        (["--show", "a,b,c,d"], "is not x0,y0,x1,y1"),
        (["--show", "0.5,0.1,0.2,0.3"], "empty, inverted or outside"),
        (["--show", "0.1,0.1,0.1,0.3"], "empty, inverted or outside"),
        (["--show", "0.1,0.1,1.2,0.3"], "empty, inverted or outside"),
        (["--show", "-1,0,1,1"], "empty, inverted or outside"),
        (["--show", "10px,10px,900px,20px"], "outside the photo of 384x256 px"),
        (["--show", "nan,0,1,1"], "is not x0,y0,x1,y1"),
        (["--show", "0,0,1,1"], "possible are ratios from"),
        (["--show", "0,0,.1,.1", "--eps", "0"], "eps: a finite number > 0"),
        (["--show", "0,0,.1,.1", "--eps", "nan"], "eps: a finite number > 0"),
        (["--show", "0,0,.1,.1", "--eps", "-2"], "eps: a finite number > 0"),
        (["--show", "0,0,.1,.1", "--max-eps", "inf"], "--max-eps: a finite number > 0"),
        (["--show", "0,0,.1,.1", "--steps", "0"], "steps: a whole number >= 1"),
        (["--show", "0,0,.1,.1", "--jpeg", "101"], "--jpeg: a whole number >= 1 and <= 100"),
        (["--show", "0,0,.1,.1", "--ratio", "0"], "--ratio: one or more positive"),
        (["--show", "0,0,.1,.1", "--seed", "-1"], "seed: a whole number >= 0"),
        (["--show", "0,0,.1,.1", "--peak", "--ratio", "1"], "cannot go with --ratio"),
        (["--show", "0,0,.1,.1", "--eps", "1", "--minimal"], "cannot go with --eps"),
        (["--show", "0,0,.1,.1", "--model", "gaze-light"], "did you mean gaze-lite"),
        (["--show", "0,0,.1,.1", "--weights", "none.safetensors"], "none.safetensors"),
        (["--show", "0,0,.1,.1", "--device", "abacus"], "device: 'abacus' is not usable here"),
        (["--show", "0,0,.1,.1", "--max-pixels", "1000"], "allowed: at most 1,000"),
        (["--show", "0,0,.1,.1", "--max-pixels", "0"], "max_pixels must be a positive integer"),
    ],
)
def test_bad_arguments_are_one_sentence(photo_file: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    result = attack(photo_file, *arguments, "--out", tmp_path / "o")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert names(tmp_path / "o") == []


def test_where_nothing_can_be_written(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path / ("x" * 300)):
        result = attack(photo_file, "--show", hidden, *SHOW, "--out", out)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("error: cannot ")
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir(mode=0o555)
    result = attack(photo_file, "--show", hidden, *SHOW, "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert "no permission" in result.stderr


def test_results_of_others_are_left_alone(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    out = tmp_path / "o"
    out.mkdir()
    (out / "photo.png").write_bytes(b"mine")
    result = attack(photo_file, "--show", hidden, *SHOW, "--out", out)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert (out / "photo.png").read_bytes() == b"mine"
    assert attack(photo_file, "--show", hidden, *SHOW, "--out", out, "--overwrite").exit_code == 0
    assert names(out) == ["photo.json", "photo.png"]
    other = attack(photo_file, "--show", hidden, *SHOW, "--seed", "1", "--out", out)
    assert other.exit_code == 2, "another seed is another result"


def test_the_photo_is_never_its_own_result(photo_file: Path, hidden: str) -> None:
    before = photo_file.read_bytes()
    result = attack(photo_file, "--show", hidden, *SHOW, "--out", photo_file.parent, "--overwrite")
    assert result.exit_code == 2
    assert "is the photo itself" in result.stderr
    assert photo_file.read_bytes() == before


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "art_crop.cli.main", "attack", *map(str, arguments)]


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_takes_no_more_leaves_nothing(photo_file: Path, hidden: str, tmp_path: Path) -> None:
    """The kernel refuses files beyond 20 kB, as a full disk does: the photo itself has about 200 kB."""
    out = tmp_path / "o"
    done = subprocess.run(
        command(photo_file, "--show", hidden, *SHOW, "--out", out),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write")
    assert "Traceback" not in done.stderr
    assert names(out) == []


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_an_interruption_leaves_whole_photos_and_goes_on_later(
    photo: NDArray[np.uint8], hidden: str, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "o"
    folder.mkdir()
    for k in range(10):
        Image.fromarray(np.roll(photo, 2 * k, 0)).save(folder / f"{k:02}.png")
    arguments = (folder, "--show", hidden, *SHOW, "--out", out)
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while len(list(out.glob("*.png"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    done = {path.stem: path.read_bytes() for path in out.glob("*.png")}
    assert 1 <= len(done) < 10, "the one that was being written is taken back"
    assert {path.stem for path in out.glob("*.json")} == set(done)
    assert not list(out.glob(".art-crop*"))
    result = attack(*arguments)
    assert result.exit_code in (0, 1), result.output
    assert result.output.count("(earlier run)") == len(done)
    assert len(list(out.glob("*.png"))) == 10
    assert {name: (out / f"{name}.png").read_bytes() for name in done} == done
