"""Tables of runs against counting the same rows by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from art_crop.bench.frame import Frame, load_run
from art_crop.bench.measures import measure
from art_crop.bench.store import EXCLUDED
from art_crop.bench.suite import Suite
from art_crop.bench.suite_file import load_suite, shipped_suites
from art_crop.bench.tables import parts, ratio_split, suite_tables
from art_crop.bench.toml_section import SuiteError
from art_crop.errors import InvalidInputError


def read(folder: Path, synthetic: Any, rows: list[Any]) -> Frame:
    return load_run(synthetic.write_run(folder, rows))[1]


def test_a_table_is_what_counting_gives(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(40)
    tables, problems = suite_tables(read(tmp_path, synthetic, rows), [synthetic.TABLE])
    assert problems == []
    (table,) = tables
    assert len(table.lines) == 6
    for line in table.lines:
        own = [r for r in rows if r["method"] == line.row and f"{r['eps']:g}" == line.column]
        shifts = np.array([r["metrics"]["shift"] for r in own])
        mean, share, median = line.cells
        assert mean.n == share.n == median.n == 40
        assert mean.interval.estimate == pytest.approx(shifts.mean())
        assert share.interval.estimate == np.mean(np.abs(shifts - 1) <= 0.1)
        assert median.interval.estimate == np.median([r["l2"] for r in own])
        assert mean.interval.low <= mean.interval.estimate <= mean.interval.high
    papers = {(line.row, line.column): line.paper for line in table.lines}
    assert papers["proposed (3 steps, Grad-CAM)", "20"] == (0.658, None, None)
    assert papers["Gaussian noise", "20"] == (None, None, None)
    assert table.has_paper == (True, False, False)


def test_models_are_not_pooled_and_controls_stand_in_each_table(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, attacked=a, scored=s) for i in range(4) for a in ("a", "b") for s in ("x", "y")]
    rows += [synthetic.row(i, attacked="", method="noise", scored=s, success=False) for i in range(4) for s in "xy"]
    frame = read(tmp_path, synthetic, rows)
    assert [dict(part.split) for part in parts(frame)] == [
        {"scored": s, "attacked": a} for s in ("x", "y") for a in ("a", "b")
    ]
    assert [int(part.mask.sum()) for part in parts(frame)] == [8, 8, 8, 8]
    tables, _ = suite_tables(frame, [{"rows": "attacked", "columns": "eps", "values": ["success"]}])
    assert [(table.split["scored"], [line.row for line in table.lines]) for table in tables] == [
        ("x", ["noise", "a", "b"]),
        ("y", ["noise", "a", "b"]),
    ]


def test_excluded_failed_and_already_successful_rows_are_in_no_share(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, success=i < 3) for i in range(4)]
    rows.append(synthetic.row(10, success=None, metrics={}, error="one maximum", error_kind=EXCLUDED))
    rows.append(synthetic.row(11, success=None, metrics={}, error="out of memory", error_kind="RuntimeError"))
    rows.append(synthetic.row(12, success=True, success_before=True))
    frame = read(tmp_path, synthetic, rows)
    assert (frame.excluded.sum(), frame.failed.sum(), frame.measured.sum()) == (1, 1, 5)
    success = measure("success")
    cell = success.cell(success.values(frame), np.ones(len(frame), bool))
    assert (cell.n, cell.interval.estimate) == (4, 0.75)


def test_measures_of_successes_and_clipped_means(tmp_path: Path, synthetic: Any) -> None:
    shifts = [-0.5, 0.2, 1.0, 1.7]
    rows = [
        synthetic.row(i, l2=float(i), success=s > 0.5, metrics={"shift": s, "psnr": np.inf if i == 0 else 30.0 + i})
        for i, s in enumerate(shifts)
    ]
    frame = read(tmp_path, synthetic, rows)
    everything = np.ones(4, bool)

    def value(name: str) -> tuple[int, float]:
        one = measure(name)
        cell = one.cell(one.values(frame), everything)
        return cell.n, cell.interval.estimate

    by_key = {r["l2"]: r for r in rows}
    assert value("clipped mean shift") == (4, pytest.approx((0 + 0.2 + 1 + 1) / 4))
    assert value("median l2 of successes") == (2, 2.5)
    assert value("share-at-target") == (4, 0.25)
    assert value("share-over-90") == (4, 0.5)
    assert value("psnr") == (3, pytest.approx(np.mean([by_key[k]["metrics"]["psnr"] for k in (1.0, 2.0, 3.0)])))


def test_rows_are_parted_at_the_median_ratio_of_photos(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(i, eps=eps, facts=json.dumps({"ratio": ratio}), metrics={"shift": float(ratio > 0.7)})
        for i, ratio in enumerate((0.5, 0.6, 0.7, 0.8, 0.9))
        for eps in (1.0, 2.0)
    ]
    (table,) = ratio_split(read(tmp_path, synthetic, rows))
    assert [line.column for line in table.lines] == ["1", "2"]
    for line in table.lines:
        strong, tie = line.cells
        assert (strong.n, strong.interval.estimate) == (2, 0.0)
        assert (tie.n, tie.interval.estimate) == (3, pytest.approx(2 / 3))
        assert line.n == "2, 3"


@pytest.mark.parametrize("name", ["", "mode l2", "mean", "mean of l2 squared", 3, None])
def test_unknown_measures_say_which_there_are(name: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"share-at-target|mean X"):
        measure(name)


def test_a_table_that_cannot_be_made_leaves_the_others(tmp_path: Path, synthetic: Any) -> None:
    frame = read(tmp_path, synthetic, synthetic.results(3))
    wrong = [{"title": "A", "rows": "colour"}, {"title": "B", "values": []}, {"title": "C", "values": ["mode l2"]}]
    tables, problems = suite_tables(frame, [*wrong, synthetic.TABLE])
    assert len(tables) == 1
    assert [problem[:10] for problem in problems] == ["table 'A':", "table 'B':", "table 'C':"]


def test_a_measure_that_no_row_has_is_named(tmp_path: Path, synthetic: Any) -> None:
    tables, problems = suite_tables(
        read(tmp_path, synthetic, synthetic.results(3)), [{"title": "A", "values": ["success", "mean spnr"]}]
    )
    assert [cell.n for cell in tables[0].lines[0].cells] == [3, 0]
    assert problems == ["table 'A': no result has 'mean spnr'"]


def test_a_run_without_rows_has_no_lines(tmp_path: Path, synthetic: Any) -> None:
    frame = read(tmp_path, synthetic, [])
    tables, problems = suite_tables(frame, [synthetic.TABLE])
    assert [len(table.lines) for table in tables] == [0]
    assert (problems, ratio_split(frame), frame.metrics) == ([], [], {})


def usable(path: Path) -> Suite | None:
    """A suite, unless it names a model of a plugin that is not installed here."""
    try:
        return load_suite(path)
    except SuiteError as error:
        if "there is no model" not in str(error):
            raise
        return None


def test_shipped_suites_ask_for_tables_that_can_be_made(tmp_path: Path, synthetic: Any) -> None:
    suites = [suite for path in shipped_suites().values() if (suite := usable(path)) is not None]
    assert len(suites) >= 4
    for suite in suites:
        methods = [attack.method for attack in suite.attacks]
        rows = [synthetic.row(i, method=method, eps=eps) for i, method in enumerate(methods) for eps in (10.0, 20.0)]
        tables, _ = suite_tables(read(tmp_path / suite.name, synthetic, rows), suite.tables)
        assert len(tables) >= len(suite.tables)
        for spec in suite.tables:
            for label, numbers in spec.get("paper", {}).items():
                assert label in methods
                assert all(abs(n) <= 1 for column in numbers.values() for n in column)  # shares, as ours are


def test_the_papers_numbers_stand_beside_ours(tmp_path: Path, synthetic: Any) -> None:
    suite = load_suite(shipped_suites()["icip2022_table1_2"])
    rows = [synthetic.row(0, method="proposed (3 steps, Grad-CAM)", eps=eps) for eps in (10.0, 20.0, 30.0)]
    first, second = suite_tables(read(tmp_path, synthetic, rows), suite.tables)[0]
    # Paper 001, tables 1 and 2, last row.
    assert [line.paper[0] for line in first.lines] == [0.5, 0.658, 0.744]
    assert [line.paper[0] for line in second.lines] == [0.129, 0.172, 0.19]
