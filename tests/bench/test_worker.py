"""What happens to a run while its weights are replaced, and with attacks that give something odd for a result."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")

import art_crop
from art_crop import bench
from art_crop.attacks import GaussianNoise
from art_crop.bench import runner
from art_crop.bench.store import read_rows
from art_crop.bench.worker import OtherWeightsError

PACKAGED = Path(bench.__file__).parents[1] / "models" / "data" / "gaze_lite.safetensors"
TEXT = """
name = "small"
protocol = "second-peak"
attacked = ["gaze-lite"]
scored = ["gaze-lite"]
[data]
dataset = "scikit-image"
width = 160
selection = "all"
[limits]
batch = 2
[models.gaze-lite]
[[attack]]
method = "noise"
plugin = "gaussian-noise"
params = { eps = 2.0 }
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
params = { eps = 2.0, max_iter = 1 }
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    return path


def rows(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["photo"], row["method"]): row for row in read_rows(out).to_pylist()}


def test_weights_that_are_replaced_meanwhile_end_the_run(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check and the first work item: results of both would stand in one folder under one hash."""
    from safetensors.numpy import load_file, save_file

    weights, out = tmp_path / "own.safetensors", tmp_path / "run"
    shutil.copy(PACKAGED, weights)

    def replaced(*args: Any) -> Any:
        tensors = load_file(weights)
        first = min(name for name, value in tensors.items() if value.dtype.kind == "f")
        save_file({**tensors, first: (tensors[first] * 1.5).astype(tensors[first].dtype)}, weights)
        return real(*args)

    real, options = runner.work_items, {"out": out, "weights": {"gaze-lite": weights}, "limit": 2, "progress": False}
    with monkeypatch.context() as patch:
        patch.setattr(runner, "work_items", replaced)
        with pytest.raises(OtherWeightsError, match=r"^the weights of gaze-lite were replaced while the run went on"):
            bench.run(suite, device="cpu", **options)
    assert rows(out) == {}
    with pytest.raises(Exception, match="holds results of another models"):
        bench.run(suite, device="cpu", **options)
    shutil.copy(PACKAGED, weights)
    done = bench.run(suite, device="cpu", **options)
    assert (done.summary.done, done.summary.failed) == (4, 0)


class Odd:
    """A number that is none."""

    def __int__(self) -> int:
        raise OverflowError("no number")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"gradients": "many"}, "ValueError: invalid literal for int"),
        ({"queries": None}, "TypeError: "),
        ({"queries": Odd()}, "OverflowError: no number"),
        ({"gradients": float("nan")}, "ValueError: cannot convert float NaN"),
        ({"curve": [1.0, "two"]}, "ValueError: could not convert string to float"),
        ({"curve": 3}, "TypeError: "),
        ({"curve": [[1.0], [2.0]]}, "TypeError: "),
    ],
)
def test_results_of_wrong_types_fail_their_photo_and_no_other(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: dict[str, Any], words: str
) -> None:
    answer(monkeypatch, lambda x: [SimpleNamespace(**result) for _ in x])
    done = bench.run(suite, out=tmp_path / "run", limit=1, device="cpu", progress=False)
    assert (done.summary.done, done.summary.failed) == (2, 1)
    for (_, method), row in rows(tmp_path / "run").items():
        assert row["error_kind"] == ("attack" if method == "noise" else "")
        assert row["error"].startswith(words if method == "noise" else "")
        assert row["success"] is None or method == "steps"


def answer(monkeypatch: pytest.MonkeyPatch, results: Any) -> None:
    """Let noise be made as ever, and what it says of it be something else."""
    real = GaussianNoise.generate

    def generate(self: Any, x: Any, y: Any = None, **kwargs: Any) -> Any:
        found = real(self, x, y, **kwargs)
        self.results = results(x)
        return found

    monkeypatch.setattr(GaussianNoise, "generate", generate)


def test_numbers_of_any_kind_are_kept_as_numbers(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"gradients": np.int64(3), "queries": 7.0, "curve": np.float32([2, 0.5]), "curve_of": 5}
    answer(monkeypatch, lambda x: [SimpleNamespace(**own) for _ in x])
    bench.run(suite, out=tmp_path / "run", limit=1, device="cpu", progress=False)
    (row,) = [row for (_, method), row in rows(tmp_path / "run").items() if method == "noise"]
    assert (row["gradients"], row["queries"], row["curve"], row["curve_of"]) == (3, 7, [2.0, 0.5], "5")


def test_an_attack_that_says_nothing_has_a_result(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, lambda x: None)
    bench.run(suite, out=tmp_path / "run", limit=1, device="cpu", progress=False)
    (row,) = [row for (_, method), row in rows(tmp_path / "run").items() if method == "noise"]
    assert (row["error"], row["gradients"], row["curve"]) == ("", 0, [])
    assert row["l2"] == pytest.approx(2, rel=0.1)


def test_results_of_fewer_photos_than_were_given_fail(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, lambda x: [SimpleNamespace()] * (len(x) + 1))
    done = bench.run(suite, out=tmp_path / "run", limit=2, device="cpu", progress=False)
    assert done.summary.failed == 2
    assert all(row["success"] is None for (_, method), row in rows(tmp_path / "run").items() if method == "noise")


def test_a_smaller_limit_is_told_wherever_results_are_read(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert bench.run(suite, out=out, limit=3, device="cpu", progress=False).summary.others == 0
    again = bench.run(suite, out=out, limit=1, device="cpu", progress=False)
    assert (again.summary.rows, again.summary.kept, again.summary.done, again.summary.others) == (2, 2, 0, 4)
    files = bench.report(again)
    for path in (files.html, files.markdown, files.json):
        text = path.read_text("utf-8").replace("&#39;", "'")
        assert "2 more photos have results in the run's folder, which are in no number here" in text
    assert again.results.height == 2
    whole = bench.run(suite, out=out, limit=3, device="cpu", progress=False)
    assert (whole.summary.done, whole.results.height) == (0, 6)
    assert "in no number here" not in bench.report(whole).markdown.read_text("utf-8")


def test_photos_are_cut_measured_after_jpeg_and_by_what_is_there(tmp_path: Path) -> None:
    """A height cuts the middle; what outlives JPEG is what a file saved again shows; absent metrics are left out."""
    text = TEXT.replace("width = 160", "width = 160\nheight = 96")
    text = text.replace(
        'scored = ["gaze-lite"]',
        """scored = ["gaze-lite"]
metrics = ["psnr"]
optional_metrics = ["ciede2000-l2", "no-such-metric"]
task_options = { survives_jpeg = [95, 5] }""",
    ).replace("eps = 2.0, max", "eps = 20.0, max")
    text = text.replace(
        "[models.gaze-lite]", '[models.gaze-lite]\n[models.behind]\nplugin = "gaze-lite"\nafter_jpeg = 5'
    )
    path, out = tmp_path / "small.toml", tmp_path / "run"
    path.write_text(text + 'attacked = ["behind"]\n')
    done = bench.run(path, out=out, limit=2, device="cpu", progress=False)
    assert (done.summary.done, done.summary.failed) == (4, 0)
    for (_, method), row in rows(out).items():
        assert (row["width"], row["height"]) == (160, 96)
        metrics = dict(row["metrics"])
        assert set(metrics) >= {"psnr", "ciede2000-l2", "after-jpeg-95", "after-jpeg-5"}
        assert "no-such-metric" not in metrics
        if method == "steps":
            assert row["attacked"] == "behind"


def test_scores_go_up_and_down_in_one_suite(tmp_path: Path) -> None:
    """Attacks with options of the task of their own; what the rows say is what the model says of the written files."""
    text = """
name = "both"
task = "score"
metrics = ["psnr"]
attacked = ["quality-lite"]
scored = ["quality-lite"]
task_options = { towards = "better" }
[data]
dataset = "scikit-image"
width = 96
selection = "all"
[models.quality-lite]
[[attack]]
method = "up"
plugin = "mi-fgsm"
params = { norm = "inf", eps = 0.0157, max_iter = 3 }
[[attack]]
method = "down"
plugin = "mi-fgsm"
task_options = { towards = "worse" }
params = { norm = "inf", eps = 0.0157, max_iter = 3 }
[[attack]]
method = "sharpened"
plugin = "unsharp-mask"
attacked = []
[[table]]
values = ["mean score-change", "mean robustness-score", "wasserstein score"]
"""
    path, out = tmp_path / "both.toml", tmp_path / "run"
    path.write_text(text)
    done = bench.run(path, out=out, limit=2, device="cpu", progress=False, keep_images=True)
    assert (done.summary.done, done.summary.failed) == (6, 0)
    quality = art_crop.load_model("quality-lite", device="cpu")
    for (_, method), row in rows(out).items():
        metrics = dict(row["metrics"])
        before, after = (quality.predict_file(out / row[name]) for name in ("original", "image"))
        assert metrics["score-change"] == pytest.approx(after - before, abs=0.01)
        sign = {"up": 1, "down": -1}.get(method, 0)
        assert sign * metrics["score-change"] >= 0
        assert sign * metrics["relative-gain"] >= 0
        assert sign == 0 or row["linf"] == pytest.approx(4 / 255)
    report = bench.report(done)
    page = report.html.read_text("utf-8")
    assert (
        "is the best that there is. For down: “Reached” means that the score of the written file is the worst" in page
    )
    assert "Wasserstein distance of scores" in report.markdown.read_text("utf-8")


def test_files_whose_coefficients_an_attack_chooses_are_written_as_they_are(tmp_path: Path) -> None:
    """What the row says is of that file, decoded by Pillow; encoders may have a subsampling of their own."""
    import io

    from PIL import Image

    text = """
name = "files"
task = "score"
metrics = ["psnr"]
attacked = ["quality-lite"]
scored = ["quality-lite"]
task_options = { change = -10, jpeg_quality = 90, survives_jpeg = [90, "90 4:4:4"] }
[data]
dataset = "scikit-image"
width = 160
selection = "all"
[models.quality-lite]
[[attack]]
method = "coefficients"
plugin = "dct-quantization"
params = { resaved = [[90, "4:4:4"]], max_iter = 2 }
[[attack]]
method = "JPEG alone"
plugin = "gaussian-noise"
params = { eps = 1e-6, quantize = "round" }
"""
    path, out = tmp_path / "files.toml", tmp_path / "run"
    path.write_text(text)
    done = bench.run(path, out=out, limit=2, device="cpu", progress=False, keep_images=True)
    assert (done.summary.done, done.summary.failed) == (4, 0)
    quality = art_crop.load_model("quality-lite", device="cpu")
    for (_, method), row in rows(out).items():
        metrics = dict(row["metrics"])
        with Image.open(out / row["image"]) as image:
            assert image.format == "JPEG"
            pixels = np.asarray(image.convert("RGB"))
        scores = {}
        for name, subsampling in (("", ""), ("after-jpeg-90", "4:2:0"), ("after-jpeg-90-444", "4:4:4")):
            buffer = io.BytesIO()
            if name:
                Image.fromarray(pixels).save(buffer, "JPEG", quality=90, subsampling=subsampling)
                pixels_again = np.asarray(Image.open(buffer))
            else:
                pixels_again = pixels
            x = pixels_again.transpose(2, 0, 1)[None].astype(np.float32) / 255
            scores[name] = float(quality.predict(x)[0])
        assert metrics["score"] == pytest.approx(scores[""], abs=1e-3)
        bound = metrics["score-before"] - 10
        for name in ("after-jpeg-90", "after-jpeg-90-444"):
            assert metrics[name] == (scores[name] <= bound)
        if method == "coefficients":
            assert row["success"]
            assert metrics["after-jpeg-90-444"] == 1
            assert row["gradients"] > 0


def test_models_that_are_attacked_for_another_rate_on_its_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any
) -> None:
    """Or the bound would be another score there, or the pull go to the better side."""
    from art_crop.bench import worker
    from art_crop.bench.suite_file import load_suite

    source, scored = tiny.quality_estimator(), tiny.quality_estimator(score_range=(0, 10), higher_is_better=False)
    turned = "higher_is_better"
    monkeypatch.setattr(worker, "load_model", lambda name, **options: scored if turned in options else source)
    (tmp_path / "two.toml").write_text(
        """
name = "two"
task = "score"
metrics = ["psnr"]
attacked = ["quality-lite"]
scored = ["distortion"]
task_options = { above = 7 }
[data]
dataset = "scikit-image"
selection = "all"
[models.quality-lite]
[models.distortion]
plugin = "quality-lite"
options = { higher_is_better = false }
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
success_oracle = true
ensemble = ["quality-lite"]
params = { eps = 2.0, max_iter = 1 }
"""
    )
    suite = load_suite(tmp_path / "two.toml")
    ready = worker.SuiteWorker(worker.Recipe(suite, {}, "cpu", False))
    (setting,) = suite.settings()
    attack, x = ready.attack(setting), tiny.photos(2)
    for model in (attack.estimator, *attack.ensemble):
        np.testing.assert_allclose(model.predict(x), 10 - source.predict(x) / 10, rtol=1e-5)
    assert attack.success_oracle is scored
    ready.close()
