"""Whole runs of small suites with the embedded model: what a row says, and what goes wrong with photos."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import art_crop
from art_crop.errors import ArtCropError, InvalidInputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")

from art_crop.bench.runner import Summary, run_suite
from art_crop.bench.store import read_rows, read_run
from art_crop.bench.suite import Suite
from art_crop.bench.suite_file import load_suite

TEXT = """
name = "small"
protocol = "second-peak"
metrics = ["psnr", "ssim"]
attacked = ["gaze-lite"]
scored = ["gaze-lite"]
[data]
width = 160
selection = "all"
[models.gaze-lite]
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
params = { max_iter = 2 }
grid = { eps = [2.0] }
[[attack]]
method = "noise"
plugin = "gaussian-noise"
mask = "band"
attacked = []
params = { eps = 2.0, quantize = "round" }
"""


def suite(folder: Path, text: str = TEXT) -> Suite:
    path = folder / "small.toml"
    path.write_text(text)
    return load_suite(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, a file that is none, and one with a name that wants to be HTML."""
    from skimage import data

    photos = tmp_path / "photos"
    photos.mkdir()
    for name, pixels in (("coffee.png", data.coffee()), ("<b>cat.png", data.chelsea())):
        Image.fromarray(pixels[::2, ::2]).save(photos / name)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    return photos


def run(made: Suite, folder: Path | None, out: Path, **kwargs: Any) -> Summary:
    return run_suite(made, images=folder, out=out, device="cpu", **kwargs)


def table(out: Path) -> list[dict[str, Any]]:
    return read_rows(out).to_pylist()  # type: ignore[no-any-return]


def test_a_row_says_what_can_be_measured_again_from_the_kept_file(folder: Path, tmp_path: Path) -> None:
    from art_crop.metrics.image import l2, psnr, ssim

    out = tmp_path / "run"
    summary = run(suite(tmp_path), folder, out, keep_images=True, command="art-crop bench run small")
    assert (summary.rows, summary.done, summary.failed, summary.stopped) == (6, 6, 2, False)
    rows = {(row["photo"], row["method"]): row for row in table(out)}
    model = art_crop.load_model("gaze-lite", device="cpu")
    for method in ("steps", "noise"):
        row = rows["coffee.png", method]
        before, after = (np.asarray(Image.open(out / row[name])) for name in ("original", "image"))
        assert before.shape == after.shape == (row["height"], 160, 3)
        measured = dict(row["metrics"])
        assert row["l2"] == pytest.approx(l2(before, after), rel=1e-12)
        assert row["linf"] == pytest.approx(np.abs(after / 255 - before / 255).max(), rel=1e-12)
        assert measured["psnr"] == pytest.approx(psnr(before, after), rel=1e-12)
        assert measured["ssim"] == pytest.approx(ssim(before, after), rel=1e-12)
        # The peak of the file, by the model's own pipeline.
        facts = json.loads(row["facts"])
        profiles = [
            np.exp(model.predict_file(out / row[name]).saliency_map.astype(np.float64)).sum(0)
            for name in ("original", "image")
        ]
        assert [int(profile.argmax()) for profile in profiles] == [facts["peak"], facts["peak_after"]]
        shift = (facts["peak_after"] - facts["peak"]) / (facts["target"] - facts["peak"])
        assert measured["shift"] == pytest.approx(shift)
        assert measured["way"] == pytest.approx(abs(facts["target"] - facts["peak"]) * 160 / len(profiles[0]))
        assert row["success"] == (abs(shift - 1) <= 0.1)
        assert facts["crops_after"] == [list(w) for w in model.predict_file(out / row["image"], facts["ratios"]).crops]
    assert rows["coffee.png", "steps"]["success"]
    assert rows["coffee.png", "steps"]["gradients"] == 2
    assert rows["coffee.png", "noise"]["attacked"] == ""
    broken = rows["broken.jpg", "steps"]
    assert (broken["error_kind"], broken["success"], broken["image"]) == ("photo", None, "")
    assert "broken.jpg" in broken["error"]
    assert str(folder) not in broken["error"]


def test_run_json_tells_what_ran_and_not_where(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    made = suite(tmp_path)
    run(made, folder, out, limit=1)
    info = read_run(out)
    assert (info.suite, info.suite_sha256) == ("small", made.sha256)
    assert info.suite_content["attacks"][0]["method"] == "steps"
    assert len(info.models["gaze-lite"]["weights_sha256"]) == 64
    assert info.data["photos"] == 1
    assert info.data["licence"] == "", "nobody knows that of the user's own photos"
    text = (out / "run.json").read_text()
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


def test_a_folder_of_another_suite_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(suite(tmp_path), folder, out, limit=1)
    with pytest.raises(InvalidInputError, match="results of another suite"):
        run(suite(tmp_path, TEXT.replace("width = 160", "width = 170")), folder, out, limit=1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "max_iter = 2",
            "max_itr = 2",
            "params.max_itr: saliency-peak-fgm has no such parameter; did you mean 'max_iter'",
        ),
        ("max_iter = 2", "max_iter = 0", r"small: attack\[0\] \(steps\): max_iter"),
        ("max_iter = 2", "by = 'cell'", "by is an option of the task"),
        ("[models.gaze-lite]", "[models.gaze-lite]\noptions = { blurr = 1 }", "gaze-lite"),
    ],
)
def test_what_cannot_be_done_is_found_before_anything_runs(
    folder: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(ArtCropError, match=words):
        run(suite(tmp_path, TEXT.replace(old, new, 1)), folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^images: must be an existing folder; .*nowhere does not exist"):
        run(suite(tmp_path), tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "above" / "photos").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match=r"^images: must hold photos .* folders inside it are searched only"):
        run(suite(tmp_path), tmp_path / "above", tmp_path / "run")
    with pytest.raises(InvalidInputError, match=r"^images: dataset 'folder' is a folder of yours, which is needed$"):
        run(suite(tmp_path), None, tmp_path / "run")
    late = suite(tmp_path, TEXT.replace("width = 160", 'width = 160\ndataset = "scikit-image"\nfirst = 99'))
    with pytest.raises(InvalidInputError, match="has 7 photos, and the suite begins at number 99"):
        run(late, None, tmp_path / "run")


def test_the_photos_licence_goes_into_the_run(tmp_path: Path) -> None:
    run(suite(tmp_path, TEXT.replace("[data]", '[data]\ndataset = "scikit-image"')), None, tmp_path / "run", limit=1)
    assert read_run(tmp_path / "run").data["licence"].startswith("CC0 to CC BY")


def test_several_first_photos_and_every_nth(tmp_path: Path) -> None:
    from art_crop.bench.units import choose_photos

    text = TEXT.replace("[data]", '[data]\ndataset = "scikit-image"')
    whole = [photo.name for photo in choose_photos(suite(tmp_path, text), None)]
    some = suite(tmp_path, text.replace("width = 160", "first = [4, 1]\nevery = 5"))
    assert [photo.name for photo in choose_photos(some, None)] == [whole[i] for i in (1, 4, 6)]
    assert [photo.name for photo in choose_photos(some, None, every=2)] == [whole[i] for i in (1, 6)]


def test_rows_tell_how_the_search_went(folder: Path, tmp_path: Path) -> None:
    run(suite(tmp_path), folder, tmp_path / "run")
    good = {row["method"]: row for row in table(tmp_path / "run") if row["photo"] == "coffee.png"}
    assert [len(good[method]["curve"]) for method in ("steps", "noise")] == [3, 2]
    assert {row["curve_of"] for row in good.values()} == {"loss"}
    assert good["steps"]["curve"][-1] < good["steps"]["curve"][0]


def test_a_photo_that_takes_too_long_is_recorded(folder: Path, tmp_path: Path) -> None:
    slow = TEXT.replace("max_iter = 2", "max_iter = 2000") + "[limits]\nphoto_seconds = 0.5\n"
    out = tmp_path / "run"
    run(suite(tmp_path, slow), folder, out)
    (row,) = [row for row in table(out) if (row["photo"], row["method"]) == ("coffee.png", "steps")]
    assert (row["error_kind"], row["success"]) == ("time", None)
    assert "0.5 s" in row["error"]


def test_loading_models_is_no_photos_time(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from art_crop.bench import worker

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(2.5)
        return art_crop.load_model(*args, **kwargs)

    monkeypatch.setattr(worker, "load_model", slow)
    run(suite(tmp_path, TEXT + "[limits]\nphoto_seconds = 2.0\n"), folder, tmp_path / "run", limit=1)
    assert "time" not in {row["error_kind"] for row in table(tmp_path / "run")}


def test_a_photo_of_another_size_is_the_attacks_failure_and_not_the_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.attacks.gaussian_noise import GaussianNoise

    generate = GaussianNoise.generate
    monkeypatch.setattr(GaussianNoise, "generate", lambda *a, **k: generate(*a, **k)[:, :, ::2, ::2])
    run(suite(tmp_path, TEXT.replace('metrics = ["psnr", "ssim"]', "")), folder, tmp_path / "run")
    rows = {(row["photo"], row["method"]): row for row in table(tmp_path / "run")}
    failed = rows["coffee.png", "noise"]
    assert (failed["error_kind"], failed["success"], failed["l2"]) == ("attack", None, None)
    assert "the attack gave photos of shape" in failed["error"]
    assert rows["coffee.png", "steps"]["error"] == ""


def test_crop_window_judges_the_crops_of_the_file(folder: Path, tmp_path: Path) -> None:
    from art_crop.geometry import Region, Window, window_contains

    text = TEXT.replace("second-peak", "crop-window").replace("max_iter = 2", "max_iter = 4, minimal = true")
    out = tmp_path / "run"
    text = text.replace("eps = [2.0]", "eps = [6.0]")
    run(suite(tmp_path, text), folder, out, keep_images=True)
    model = art_crop.load_model("gaze-lite", device="cpu")
    (row,) = [row for row in table(out) if (row["photo"], row["method"]) == ("coffee.png", "steps")]
    facts = json.loads(row["facts"])
    windows = model.predict_file(out / row["image"], facts["ratios"]).crops
    region = Region(*facts["region"])
    assert (region.x1 - region.x0, region.y1 - region.y0) == (pytest.approx(0.3), pytest.approx(0.15))
    shown = all(window_contains(Window(*w), region, row["width"], row["height"]) for w in windows)
    assert dict(row["metrics"])["shown"] == shown
    assert row["success"] == (shown and dict(row["metrics"])["psnr"] >= 40)


def test_an_ensemble_is_of_models_that_the_suite_names(folder: Path, tmp_path: Path) -> None:
    human = '[models.human]\nplugin = "gaze-lite-human"\n[[attack]]\nensemble = ["human"]\n'
    text = TEXT.replace("[[attack]]\n", human, 1)
    made = suite(tmp_path, text)
    run(made, folder, tmp_path / "with", limit=3)
    run(suite(tmp_path), folder, tmp_path / "without", limit=3)
    key = ("coffee.png", "steps")
    rows = [
        next(row for row in table(tmp_path / name) if (row["photo"], row["method"]) == key)
        for name in ("with", "without")
    ]
    assert rows[0]["gradients"] == 2 * rows[1]["gradients"]
    assert rows[0]["key"] != rows[1]["key"]
    with pytest.raises(InvalidInputError, match="gaussian-noise has no such parameter"):
        run(
            suite(tmp_path, text.replace("saliency-peak-fgm", "gaussian-noise").replace("max_iter = 2", "smooth = 1")),
            folder,
            tmp_path / "bad",
        )


def test_torch_keeps_its_threads(folder: Path, tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    run(suite(tmp_path), folder, tmp_path / "run", limit=1)
    assert torch.get_num_threads() == before


def misbehave(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Let something happen at every attack on a photo."""
    from art_crop.attacks import SaliencyPeakFGM

    monkeypatch.setattr(SaliencyPeakFGM, "generate", lambda self, x, y=None, **kwargs: act())


class TextlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [SystemExit(0), TextlessError(), BaseException("odd"), ValueError("a\x1b[31mb\nc")])
def test_whatever_a_model_raises_ends_in_the_photos_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def act() -> None:
        raise error

    misbehave(monkeypatch, act)
    summary = run(suite(tmp_path), folder, tmp_path / "out")
    assert summary.rows == summary.done == 6
    errors = [row["error"] for row in table(tmp_path / "out") if row["error_kind"] == "attack"]
    assert len(errors) == 2
    assert all(text.startswith(type(error).__name__) and text.isprintable() for text in errors)


def test_a_model_cannot_swallow_the_time_limit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            with contextlib.suppress(BaseException):
                time.sleep(0.05)

    misbehave(monkeypatch, act)
    run(suite(tmp_path, TEXT + "[limits]\nphoto_seconds = 1.0\n"), folder, tmp_path / "out")
    kinds = [row["error_kind"] for row in table(tmp_path / "out") if row["method"] == "steps"]
    assert sorted(kinds) == ["photo", "time", "time"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), RuntimeError("out of memory")]
)
def test_want_of_disk_or_memory_is_no_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def act() -> None:
        raise ValueError("in a wrapper") from error

    with monkeypatch.context() as patch:
        misbehave(patch, act)
        summary = run(suite(tmp_path), folder, tmp_path / "out")
    assert (summary.done, summary.unavailable) == (4, 2)
    assert {row["method"] for row in table(tmp_path / "out") if not row["error_kind"]} == {"noise"}
    summary = run(suite(tmp_path), folder, tmp_path / "out")
    assert (summary.kept, summary.done, summary.unavailable) == (4, 2, 0)


def test_a_photo_that_is_replaced_meanwhile_has_no_result(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.bench import runner

    def choose(*args: Any) -> Any:
        found = real(*args)
        Image.new("RGB", (200, 100), "white").save(folder / "coffee.png")
        return found

    real = runner.choose_photos
    with monkeypatch.context() as patch:
        patch.setattr(runner, "choose_photos", choose)
        summary = run(suite(tmp_path), folder, tmp_path / "out")
    assert summary.unavailable == 2
    assert "replaced while the run went on" in summary.first_reason
    assert "coffee.png" not in {row["photo"] for row in table(tmp_path / "out")}


def test_photos_replaced_or_removed_between_runs_are_no_part_of_the_results(folder: Path, tmp_path: Path) -> None:
    from art_crop.bench.results import completeness, load_run

    out = tmp_path / "out"
    run(suite(tmp_path), folder, out)
    Image.new("RGB", (200, 100), "white").save(folder / "coffee.png")
    (folder / "<b>cat.png").unlink()
    run(suite(tmp_path), folder, out)
    assert {row["photo"] for row in table(out)} == {"coffee.png", "broken.jpg"}
    assert len(table(out)) == 4
    assert completeness(*load_run(out)).finished


def test_one_changed_letter_of_run_json_is_found(folder: Path, tmp_path: Path) -> None:
    run(suite(tmp_path), folder, tmp_path / "out", limit=1)
    path = tmp_path / "out" / "run.json"
    path.write_text(path.read_text().replace("second-peak", "second-pear"))
    with pytest.raises(InvalidInputError, match="is damaged, or was changed by hand"):
        read_run(tmp_path / "out")


def test_nothing_of_a_killed_run_stays(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from art_crop.bench.scratch import Scratch, at_work

    scratch, out = tmp_path / "scratch", (tmp_path / "out").absolute()
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    living, dead = Scratch(str(out)), Scratch(str(out))
    assert dead._lock is not None
    dead._lock.close()  # as the system does when a process is killed
    run(suite(tmp_path), folder, out, limit=1)
    assert [*scratch.iterdir()] == [living.path], "the folder of a living process stays"
    half = out / "results" / ".art-crop-99999999-0123.tmp"  # no system has processes of such numbers
    ours = out / f".art-crop-{os.getpid()}-0123.tmp"
    half.touch()
    ours.touch()
    with at_work(out):
        assert not half.exists()
        assert ours.exists(), "a process that lives may be writing it"
        half.touch()
        with at_work(out) as alone:
            assert not alone
        assert half.exists(), "it may be the other runner's"
