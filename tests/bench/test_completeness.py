"""How much of a run is there, by the suite that it was to be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from art_crop.bench.comparison import compare_runs
from art_crop.bench.leaderboard import as_markdown, collect
from art_crop.bench.reporting import write_report
from art_crop.bench.results import completeness, load_run
from art_crop.bench.suite import Suite, canonical
from art_crop.bench.suite_file import load_suite
from art_crop.cli.main import app

pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

SUITE = """
name = "mine"
protocol = "second-peak"
seeds = [0, 1]
attacked = ["gaze-lite"]
scored = ["gaze-lite", "strict"]
[models.gaze-lite]
[models.strict]
plugin = "gaze-lite-human"
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
skip = [["gaze-lite", "strict"]]
params = { max_iter = 3 }
grid = { eps = [1.0, 2.0] }
[[attack.special]]
when = { eps = 2.0 }
params = { max_iter = 9 }
[[attack]]
method = "noise"
plugin = "gaussian-noise"
attacked = []
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Two budgets on one model and noise on two, each with two seeds: eight settings."""
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    return load_suite(path)


def rows_of(synthetic: Any, suite: Suite, photos: int) -> list[Any]:
    """A row for every photo and setting, as the runner writes them."""
    return [
        synthetic.row(
            i,
            method=s.method,
            attacked=s.attacked,
            scored=s.scored,
            params=canonical(dict(s.params)),
            seed=s.seed,
            eps=s.params.get("eps"),
        )
        for s in suite.settings()
        for i in range(photos)
    ]


def written(folder: Path, synthetic: Any, suite: Suite, rows: list[Any], photos: int) -> Path:
    content = {"suite_content": suite.resolved(), "data": {"photos": photos}}
    return Path(synthetic.write_run(folder, rows, **content))


def test_a_finished_run_lacks_nothing(tmp_path: Path, synthetic: Any, suite: Suite) -> None:
    rows = rows_of(synthetic, suite, 3)
    assert len(rows) == 24
    rows[0].update(success=None, error="broken", error_kind="photo")  # is a result all the same
    rows[1].update(success=None, error="one maximum", error_kind="excluded")
    found = completeness(*load_run(written(tmp_path / "run", synthetic, suite, rows, 3)))
    assert (found.found, found.expected, found.without, found.sentence()) == (24, 24, (), "")


def test_settings_without_any_result_are_named(tmp_path: Path, synthetic: Any, suite: Suite) -> None:
    rows = rows_of(synthetic, suite, 3)
    kept = [r for r in rows if not (r["eps"] == 2.0 and r["seed"] == 1) and r["scored"] != "strict"][1:]
    run = written(tmp_path / "run", synthetic, suite, kept, 3)
    found = completeness(*load_run(run))
    assert (found.found, found.expected, found.finished) == (14, 24, False)
    assert found.without == (
        "steps from gaze-lite on gaze-lite, max_iter 9, budget 2, seed 1",
        "noise on strict, seed 0",
        "noise on strict, seed 1",
    )
    files = write_report(run)
    for text in (files.html.read_text("utf-8"), files.markdown.read_text("utf-8"), files.json.read_text("utf-8")):
        assert "14 of 24 results: this run is not finished. The same command goes on." in text
        assert "noise on strict, seed 1" in text


def test_a_run_without_rows_names_what_was_to_come(tmp_path: Path, synthetic: Any, suite: Suite) -> None:
    found = completeness(*load_run(written(tmp_path / "run", synthetic, suite, [], 3)))
    assert (found.found, found.expected, len(found.without)) == (0, 24, 8)
    assert found.sentence().endswith("; and 3 more.")


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": ["x"]},
        {"seeds": [10**400]},
        {"attacks.grid": {"eps": [10**400]}},
        {"attacks.grid": {str(k): list(range(100)) for k in range(9)}},
    ],
)
def test_a_suite_that_somebody_made_up_ends_no_report(
    tmp_path: Path, synthetic: Any, suite: Suite, change: dict[str, Any]
) -> None:
    content = suite.resolved()
    for name, value in change.items():
        key, _, inner = name.partition(".")
        content[key] = [{**content[key][0], inner: value}] if inner else value
    run = synthetic.write_run(tmp_path / "run", [synthetic.row(0)], suite_content=content, data={"photos": 1})
    assert completeness(*load_run(run)).finished


@pytest.mark.parametrize("content", [{}, {"attacks": 3}, {"attacks": [{"method": "x"}]}, {"attacks": [], "seeds": [0]}])
def test_a_suite_that_cannot_be_read_is_guessed_from_its_rows(tmp_path: Path, synthetic: Any, content: Any) -> None:
    rows = [synthetic.row(i, eps=eps, params=str(eps)) for eps in (1.0, 2.0) for i in range(int(4 + eps))]
    run = synthetic.write_run(tmp_path / "run", rows, suite_content=content, data={"photos": 6})
    found = completeness(*load_run(run))
    assert (found.found, found.expected, found.without) == (11, 12, ())


@pytest.mark.parametrize("photos", [None, "12", 0, True])
def test_a_run_that_does_not_say_its_photos_counts_as_it_is(tmp_path: Path, synthetic: Any, photos: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", [synthetic.row(0)], data={"photos": photos})
    assert completeness(*load_run(run)).finished


def test_comparisons_and_leaderboards_warn(tmp_path: Path, synthetic: Any, suite: Suite) -> None:
    rows = rows_of(synthetic, suite, 3)
    whole = written(tmp_path / "whole", synthetic, suite, rows, 3)
    part = written(tmp_path / "part", synthetic, suite, rows[:-2], 3)
    assert compare_runs(whole, whole).notices == ()
    assert compare_runs(whole, part).notices == (
        "22 of 24 results: the second run is not finished. The same command goes on.",
    )
    assert "not finished" not in as_markdown(collect([whole]))
    text = as_markdown(collect([part]))
    assert "> strict: 22 of 24 results: its run is not finished. The same command goes on." in text
    shown = CliRunner().invoke(app, ["bench", "leaderboard", str(part)], env={"COLUMNS": "200"})
    assert "note: strict: 22 of 24 results" in shown.output
