"""Comparing two runs, against differences that were put in and against scipy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from art_crop.bench.comparison import compare_runs
from art_crop.cli.main import app
from art_crop.errors import InvalidInputError


def test_the_same_results_have_no_differences(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(20)
    found = compare_runs(synthetic.write_run(tmp_path / "a", rows), synthetic.write_run(tmp_path / "b", rows))
    assert (found.pairs, found.only_a, found.only_b, found.notices) == (120, 0, 0, ())
    assert {(d.difference, d.low, d.high, d.p, d.significant) for d in found.differences} == {
        (0.0, 0.0, 0.0, 1.0, False)
    }


def test_numbers_are_those_of_pairs(tmp_path: Path, synthetic: Any) -> None:
    random = np.random.default_rng(0)
    a = [synthetic.row(i, success=bool(random.random() < 0.3), l2=random.uniform(8, 10)) for i in range(60)]
    b = [
        {**r, "success": bool(r["success"] or random.random() < 0.5), "l2": r["l2"] - 0.1 + random.normal(0, 0.2)}
        for r in a
    ]
    runs = synthetic.write_run(tmp_path / "a", a), synthetic.write_run(tmp_path / "b", b[::-1])
    found = {d.measure: d for d in compare_runs(*runs, measures=["success", "mean l2"]).differences}
    gained = sum(y["success"] and not x["success"] for x, y in zip(a, b, strict=True))
    success = found["success"]
    assert success.difference == pytest.approx(gained / 60)
    assert success.p == pytest.approx(stats.binomtest(gained, gained).pvalue)
    assert success.p_corrected == pytest.approx(min(1, 2 * success.p))
    assert success.significant
    change = np.array([y["l2"] - x["l2"] for x, y in zip(a, b, strict=True)])
    l2 = found["mean l2"]
    assert (l2.n, l2.difference) == (60, pytest.approx(change.mean()))
    assert l2.p == pytest.approx(stats.ttest_1samp(change, 0).pvalue, abs=0.01)
    interval = stats.ttest_1samp(change, 0).confidence_interval()
    assert (l2.low, l2.high) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_a_better_method_is_found_and_the_others_are_not(tmp_path: Path, synthetic: Any) -> None:
    a = synthetic.results(150, seed=1)
    b = [{**r, "metrics": dict(r["metrics"])} for r in a]
    for r in b:
        if r["method"] == "Grad-CAM × FGM" and not r["success"] and int(r["photo"][6:10]) % 3 == 0:
            r["success"], r["metrics"]["shift"] = True, 1.0
    found = compare_runs(synthetic.write_run(tmp_path / "a", a), synthetic.write_run(tmp_path / "b", b))
    significant = {(d.method, d.measure) for d in found.differences if d.significant}
    assert significant == {("Grad-CAM × FGM", "success"), ("Grad-CAM × FGM", "clipped mean shift")}


def test_noise_is_significant_no_more_often_than_promised(tmp_path: Path, synthetic: Any) -> None:
    alarms = 0
    for k in range(12):
        a, b = synthetic.results(25, seed=2 * k), synthetic.results(25, seed=2 * k + 1)
        folders = synthetic.write_run(tmp_path / f"a{k}", a), synthetic.write_run(tmp_path / f"b{k}", b)
        alarms += any(d.significant for d in compare_runs(*folders).differences)
    assert alarms <= 3  # 5% of 12 runs is 0.6; 4 or more have a chance of 0.2%


def test_only_what_both_have_is_compared(tmp_path: Path, synthetic: Any) -> None:
    a = [synthetic.row(i) for i in range(10)]
    b = [synthetic.row(i, success=False) for i in range(4, 12)]
    b.append(synthetic.row(0, photo_sha256="f" * 64))  # a photo of that name, and another content
    b.append(synthetic.row(1, success=None, error="broken", error_kind="ImageFileError"))
    found = compare_runs(synthetic.write_run(tmp_path / "a", a), synthetic.write_run(tmp_path / "b", b))
    assert (found.pairs, found.only_a, found.only_b) == (6, 4, 3)
    assert {d.n for d in found.differences} == {6}


def test_several_values_of_a_parameter_are_told_apart(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, params=json.dumps({"max_iter": k}), l2=float(k)) for i in range(5) for k in (1, 10)]
    found = compare_runs(synthetic.write_run(tmp_path / "a", rows), synthetic.write_run(tmp_path / "b", rows[::-1]))
    assert found.pairs == 10
    assert all(d.difference == 0 for d in found.differences)


def test_seeds_of_a_photo_are_not_pairs_of_their_own(tmp_path: Path, synthetic: Any) -> None:
    """Six photos, each better by the same for ten seeds: what ten seeds show is what one shows."""
    one_a = [synthetic.row(i, success=False, l2=9.0 + i) for i in range(6)]
    one_b = [synthetic.row(i, success=True, l2=8.0 + i / 2) for i in range(6)]
    runs = []
    for name, some in (("a", one_a), ("b", one_b)):
        seeds = [
            synthetic.row(int(r["photo"][6:10]), success=r["success"], l2=r["l2"], seed=s)
            for r in some
            for s in range(10)
        ]
        runs.append((synthetic.write_run(tmp_path / name, some), synthetic.write_run(tmp_path / f"{name}10", seeds)))
    (a, a10), (b, b10) = runs
    alone, repeated = (compare_runs(*pair, measures=["success", "mean l2"]) for pair in ((a, b), (a10, b10)))
    assert (alone.pairs, repeated.pairs) == (6, 60)
    for one, ten in zip(alone.differences, repeated.differences, strict=True):
        assert ten.n == 6
        assert (ten.difference, ten.low, ten.high, ten.p) == pytest.approx((one.difference, one.low, one.high, one.p))
    assert alone.differences[0].p == pytest.approx(2 / 2**6)


def test_photos_that_differ_by_seed_are_tested_by_their_means(tmp_path: Path, synthetic: Any) -> None:
    gains = [(1, 0), (1, 1), (0, 1), (1, 1), (0, 0), (1, 0), (1, 1)]
    a = [synthetic.row(i, seed=s, success=False) for i in range(7) for s in (0, 1)]
    b = [synthetic.row(i, seed=s, success=bool(own[s])) for i, own in enumerate(gains) for s in (0, 1)]
    runs = synthetic.write_run(tmp_path / "a", a), synthetic.write_run(tmp_path / "b", b)
    (found,) = compare_runs(*runs, measures=["success"]).differences
    means = np.array(gains).mean(1)
    test = stats.permutation_test((means,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert (found.n, found.difference, found.p) == (7, pytest.approx(means.mean()), pytest.approx(test.pvalue))


def test_different_suites_are_refused_unless_asked_for(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(5)
    a = synthetic.write_run(tmp_path / "a", rows)
    models = {**synthetic.MODELS, "fastgaze": {**synthetic.MODELS["fastgaze"], "weights_sha256": "e" * 64}}
    b = synthetic.write_run(tmp_path / "b", rows, suite_sha256="d" * 64, art_crop="0.2.0", models=models)
    with pytest.raises(InvalidInputError, match=r"different suites: table \(c{12}\) and table \(d{12}\)"):
        compare_runs(a, b)
    notices = " ".join(compare_runs(a, b, across_suites=True).notices)
    for expected in ("suites differ", "0.1.0 and 0.2.0", "fastgaze has other weights"):
        assert expected in notices


def test_bad_input_is_named(tmp_path: Path, synthetic: Any) -> None:
    a = synthetic.write_run(tmp_path / "a", [synthetic.row(i) for i in range(3)])
    other = synthetic.write_run(tmp_path / "b", [synthetic.row(i) for i in range(5, 8)])
    empty = synthetic.write_run(tmp_path / "c", [])
    for run in (other, empty):
        with pytest.raises(InvalidInputError, match="no result in common"):
            compare_runs(a, run)
    with pytest.raises(InvalidInputError, match="shares and means can"):
        compare_runs(a, a, measures=["median l2"])
    with pytest.raises(InvalidInputError, match="no measure"):
        compare_runs(a, a, measures=["mode l2"])
    with pytest.raises(InvalidInputError, match=r"run\.json"):
        compare_runs(a, tmp_path)


def test_the_command_prints_a_table_and_json(tmp_path: Path, synthetic: Any) -> None:
    a = synthetic.write_run(tmp_path / "a", synthetic.results(40))
    b = synthetic.write_run(tmp_path / "b", synthetic.results(40, better=0.6))
    shown = CliRunner().invoke(app, ["bench", "compare", str(a), str(b)], env={"COLUMNS": "160"})
    assert shown.exit_code == 0
    assert "240 results in both runs" in shown.output
    assert "differences are significant" in shown.output
    printed = CliRunner().invoke(app, ["bench", "compare", str(a), str(b), "--json"])
    data = json.loads(printed.output)
    assert any(d["significant"] and d["measure"] == "success" for d in data["differences"])
    refused = CliRunner().invoke(app, ["bench", "compare", str(a), str(tmp_path / "none")])
    assert refused.exit_code == 2


def test_thousands_of_rows_take_a_moment(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(400)
    a, b = synthetic.write_run(tmp_path / "a", rows), synthetic.write_run(tmp_path / "b", rows)
    start = time.process_time()
    compare_runs(a, b)
    assert time.process_time() - start < 4
