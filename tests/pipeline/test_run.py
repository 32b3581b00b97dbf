"""Runs over real photos: what one photo does to the others, what is resumed, and what a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import art_crop
from art_crop.errors import OutputError
from art_crop.models.cropper import Cropper
from art_crop.pipeline import Done, Settings, collect, show_in_each, show_region

REGION = "0.6,0.6,1,1"
PEAK = Settings(REGION, ratios=None, steps=2)


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    (tmp_path / "in").mkdir()
    for k in range(3):
        Image.fromarray(np.roll(photo, 9 * k, 1)).save(tmp_path / "in" / f"{k}.png")
    return tmp_path / "in"


def run(folder: Path, model: Any, settings: Settings = PEAK, **options: Any) -> list[Done]:
    jobs = collect([folder], folder.parent / "out")
    (folder.parent / "out").mkdir(exist_ok=True)
    return list(show_in_each(jobs, settings, model, figure=False, **options))


class TextlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [RuntimeError("it broke"), SystemExit(0), TextlessError(), AssertionError()])
def test_what_a_model_raises_is_that_photos_outcome(
    folder: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, real = art_crop.load_model("gaze-lite"), Cropper.output_of_file

    def broken(self: Cropper, path: str | Path) -> Any:
        if Path(path).name == "1.png":
            raise error
        return real(self, path)

    monkeypatch.setattr(Cropper, "output_of_file", broken)
    outcomes = run(folder, model)
    assert [outcome.crashed for outcome in outcomes] == [False, True, False]
    assert [outcome.record is None for outcome in outcomes] == [False, True, False]
    assert type(error).__name__ in str(outcomes[1].error)
    assert "1.png" in str(outcomes[1].error)


def test_ctrl_c_still_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = art_crop.load_model("gaze-lite")

    def interrupted(self: Cropper, path: str | Path) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cropper, "output_of_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, model)


def test_another_models_result_is_not_handed_out(folder: Path, tiny: Any) -> None:
    one = art_crop.load_model("gaze-lite")
    one.weights_sha256 = None  # as a model of one's own: it is known by its parameters
    first = run(folder, one)
    assert all(outcome.resumed for outcome in run(folder, one))
    other = art_crop.load_model("gaze-lite")
    other.weights_sha256 = None
    next(iter(other.model.network.parameters())).data.add_(0.01)
    again = run(folder, other)
    assert not any(outcome.resumed for outcome in again)
    assert all("weights_sha256" in str(outcome.error) for outcome in again)
    assert [outcome.record for outcome in first] != [None] * 3


def test_a_failed_photo_has_a_name_of_its_own_and_may_be_tried_again(photo_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    model = art_crop.load_model("gaze-lite")

    def attempt(max_eps: float) -> Done:
        settings = Settings("0,0,0.2,0.2", ratios=None, max_eps=max_eps)
        return next(iter(show_in_each(collect([photo_file], out), settings, model)))

    failed = attempt(0.005)
    assert failed.record is not None
    assert not failed.record["success"]
    assert failed.photo.name == failed.record["output_name"] == "photo.failed.png"
    assert sorted(path.name for path in out.iterdir()) == ["photo.failed.png", "photo.figure.png", "photo.json"]
    assert attempt(0.005).resumed
    done = attempt(9.0)
    assert done.record is not None, done.error
    assert done.record["success"]
    assert sorted(path.name for path in out.iterdir()) == ["photo.figure.png", "photo.json", "photo.png"]
    with_success = attempt(8.0)
    assert "exists already" in str(with_success.error)
    assert "max_eps" in str(with_success.error)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("form", ["png", "webp"])
def test_the_frame_of_before_is_that_of_the_record(
    photo: NDArray[np.uint8], tmp_path: Path, orientation: int, form: str
) -> None:
    """A turned photo says of before and after what the same photo says that was saved upright."""
    upright = np.ascontiguousarray(photo)
    turn: Callable[[Image.Image], Image.Image] = {
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "webp" else {}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    turn(Image.fromarray(upright)).save(tmp_path / "a" / f"photo.{form}", exif=exif, **options)
    Image.fromarray(upright).save(tmp_path / "b" / f"photo.{form}", **options)
    records = [
        show_region(tmp_path / name / f"photo.{form}", REGION, ratios=None, steps=2, out=tmp_path / name / "out")
        for name in "ab"
    ]
    assert (records[0].width, records[0].height) == upright.shape[1::-1]
    assert records[0].before == records[1].before
    assert records[0].after == records[1].after
    assert records[0].change == records[1].change


KILLED = """
import os, signal, sys
import art_crop.pipeline.outputs as outputs
real, left = outputs.write_atomic, [int(sys.argv.pop(1))]
def write(path, data):
    real(path, data)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
outputs.write_atomic = write
from art_crop.cli.main import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_kill_between_two_files_is_made_good_by_the_same_command(
    photo_file: Path, tmp_path: Path, written: int
) -> None:
    temporary, out = tmp_path / "temporary", tmp_path / "out"
    temporary.mkdir()
    arguments = ["attack", str(photo_file), "--show", REGION, "--peak", "--steps", "2", "--out", str(out)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(written), *arguments], env=environment, check=False)
    assert killed.returncode == -9
    assert len(list(out.iterdir())) == written
    assert list(temporary.iterdir()), "the folder of the dead"
    again = subprocess.run(
        [sys.executable, "-m", "art_crop.cli.main", *arguments], env=environment, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in out.iterdir()) == ["photo.figure.png", "photo.json", "photo.png"]
    assert json.loads((out / "photo.json").read_text())["success"]
    assert list(temporary.iterdir()) == []


def test_a_pipe_instead_of_a_record_is_refused(photo_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    os.mkfifo(out / "photo.json")
    with pytest.raises(OutputError, match="exists already"):
        show_region(photo_file, REGION, ratios=None, steps=1, out=out)
    (outcome,) = show_in_each(collect([photo_file], out), PEAK, art_crop.load_model("gaze-lite"))
    assert "exists already" in str(outcome.error)


def test_what_is_transparent_stays_as_it_was_and_the_photo_stays_transparent(
    photo: NDArray[np.uint8], tmp_path: Path
) -> None:
    """A hidden half: its pixels, which nobody sees, are not where the change is."""
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, :150] = 0
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "photo.png")
    record = show_region(tmp_path / "photo.png", "0.7,0.6,1,1", ratios=None, steps=3, out=tmp_path / "out")
    written = np.asarray(Image.open(tmp_path / "out" / record.output_name))
    assert written.shape[2] == 4
    np.testing.assert_array_equal(written[..., 3], alpha)
    np.testing.assert_array_equal(written[:, :150, :3], photo[:, :150])
    assert record.success
    assert (written[:, 150:, :3] != photo[:, 150:]).any()


def test_what_a_file_cannot_hold_is_named(photo: NDArray[np.uint8], tmp_path: Path) -> None:
    alpha = np.full(photo.shape[:2], 128, np.uint8)
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "photo.png")
    record = show_region(
        tmp_path / "photo.png", "0.7,0.6,1,1", ratios=None, steps=1, jpeg_quality=90, out=tmp_path / "out"
    )
    assert "transparency" in record.not_kept
