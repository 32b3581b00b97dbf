"""Suites from Python: what ``from art_crop import bench`` offers, as a script or a notebook calls it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")

from typer.testing import CliRunner

from art_crop import bench
from art_crop.bench.store import read_run
from art_crop.bench.suite_file import SuiteError, find_suite, load_suite
from art_crop.cli.main import app
from art_crop.errors import ArtCropError, InvalidInputError

README = Path(__file__).resolve().parents[2] / "README.md"
SETTINGS = 6  # of the suite smoke, on each photo


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_costs_neither_torch_nor_the_libraries_of_results() -> None:
    heavy = "{'torch', 'art', 'numpy', 'polars', 'pyarrow', 'scipy', 'jinja2', 'tqdm'}"
    code = "from art_crop import bench; bench.run, bench.report, bench.compare; dir(bench)"
    assert fresh(f"{code}\nimport sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_reports_and_comparisons_need_neither_torch_nor_art(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", synthetic.results(5))
    code = f"from art_crop import bench; bench.report({str(run)!r}); bench.compare({str(run)!r}, {str(run)!r})"
    assert fresh(f"{code}\nimport sys; print(sorted({{'torch', 'art'}} & set(sys.modules)))") == "[]"


def test_public_names() -> None:
    assert {"run", "report", "compare", "Run", "RunStopped"} <= set(dir(bench))
    assert callable(bench.report), "a function, and no module of that name"
    with pytest.raises(AttributeError, match=r"'art_crop\.bench' has no attribute 'compete'"):
        _ = bench.compete


def test_a_run_goes_on_and_is_what_the_command_makes(tmp_path: Path) -> None:
    first = bench.run("smoke", out=tmp_path / "run", limit=1, device="cpu", progress=False)
    assert (first.summary.rows, first.summary.done, first.summary.kept) == (SETTINGS, SETTINGS, 0)
    more = bench.run("smoke", out=str(tmp_path / "run"), limit=2, device="cpu", progress=False)
    assert (more.summary.rows, more.summary.done, more.summary.kept) == (2 * SETTINGS, SETTINGS, SETTINGS)
    assert more.results.height == 2 * SETTINGS
    assert {"photo", "method", "eps", "success", "l2", "psnr"} <= set(more.results.columns)
    assert not any(name.startswith("_") for name in more.results.columns)
    command = ["bench", "run", "smoke", "--out", str(tmp_path / "other"), "--limit", "2", "--device", "cpu"]
    assert CliRunner().invoke(app, command).exit_code == 0
    same = bench.run("smoke", out=tmp_path / "other", limit=2, device="cpu", progress=False)
    assert same.summary.done == 0
    assert same.results.drop("seconds", "unit").equals(more.results.drop("seconds", "unit"))
    assert read_run(more.folder).command == "art_crop.bench.run('smoke', limit=2)"


def test_ctrl_c_keeps_what_is_done_and_stops_the_caller_too(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def pressed(done: int, total: int, note: str) -> None:
        told.append((done, total))
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        bench.run("smoke", out=tmp_path / "run", limit=2, device="cpu", progress=pressed)
    assert isinstance(stopped.value, bench.RunStopped)
    done = stopped.value.run.summary.done
    assert 0 < done < 2 * SETTINGS
    assert told == [(0, 12), (done, 12)]
    again = bench.run("smoke", out=tmp_path / "run", limit=2, device="cpu", progress=False)
    assert (again.summary.kept, again.summary.done) == (done, 12 - done)


def test_a_bar_is_shown_unless_it_is_not_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.run("smoke", out=tmp_path / "run", limit=1, device="cpu")
    assert re.search(r"smoke: 100%.* 6/6 ", capsys.readouterr().err)
    bench.run("smoke", out=tmp_path / "run", limit=1, device="cpu", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_suite_may_be_read_and_changed_before(tmp_path: Path) -> None:
    import msgspec

    suite = msgspec.structs.replace(load_suite(find_suite("smoke")), metrics=())
    made = bench.run(suite, out=tmp_path / "run", limit=1, device="cpu", progress=False)
    assert "psnr" not in made.results.columns or made.results["psnr"].null_count() == made.results.height
    with pytest.raises(InvalidInputError, match=r"^models: a suite that was read has its models"):
        bench.run(suite, out=tmp_path / "run", models={"gaze-lite": "gaze-lite-human"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"suite": "smok"}, r"^suite: 'smok' is neither a TOML file nor a shipped suite; did you mean smoke\? "),
        ({"limit": 0}, "^limit: a whole number >= 1 is needed, not 0$"),
        ({"every": True}, "^every: a whole number >= 1 is needed, not True$"),
        ({"workers": 1.5}, "^workers: a whole number >= 1 is needed, not 1.5$"),
        ({"executor": "locl"}, "^executor: .*did you mean local"),
        ({"workers": 2}, "^workers: the executor in-process has 1, not 2; choose the executor local$"),
        ({"images": "nowhere"}, "^images: dataset 'scikit-image' cannot be opened: it takes no folder"),
        ({"weights": {"x": "y"}}, "^weights: x: the suite's models are gaze-lite$"),
        ({"models": {"gaze-lit": "gaze-lite-human"}}, r"smoke\.toml: models: 'gaze-lit' is not known here"),
    ],
)
def test_what_cannot_be_used_is_named_as_python_names_it(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtCropError, match=words):
        bench.run(**{"suite": "smoke", "out": tmp_path / "run", "device": "cpu", "progress": False, **options})
    assert not (tmp_path / "run").exists()


def test_shipped_suites_and_files_are_found(tmp_path: Path) -> None:
    assert find_suite("smoke").name == "smoke.toml"
    assert find_suite(tmp_path / "mine.toml") == tmp_path / "mine.toml"
    with pytest.raises(SuiteError, match="shipped: color_threshold_peak, crop_window, "):
        find_suite("nowhere")


@pytest.mark.skipif(not README.is_file(), reason="a checkout has the README")
def test_the_readmes_example_works_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "from art_crop import bench" in block)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(code, names)
    shown = capsys.readouterr().out
    assert "report.html" in shown
    assert "contrast shift 5.0 success " in shown
    assert names["found"].names == ("gaze-lite", "gaze-lite-human")
    assert names["found"].table.height == len(names["found"].differences)
    assert (tmp_path / "runs" / "mine" / "report.html").stat().st_size > 10_000
