"""Tables of runs against counting the same rows by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from art_crop.bench.measures import measure
from art_crop.bench.reporting.figures import plots
from art_crop.bench.results import Frame, completeness, load_run
from art_crop.bench.store import EXCLUDED
from art_crop.bench.suite import Suite
from art_crop.bench.suite_file import load_suite, shipped_suites
from art_crop.bench.table_spec import check_table
from art_crop.bench.tables import grouped, parts, ratio_split, suite_tables
from art_crop.bench.toml_section import SuiteError
from art_crop.errors import InvalidInputError


def read(folder: Path, synthetic: Any, rows: list[Any]) -> Frame:
    return load_run(synthetic.write_run(folder, rows))[1]


def cell_of(frame: Frame, name: str) -> Any:
    """The measure over all rows."""
    data, one = frame.data.with_columns(all=1), measure(name)
    (group,) = grouped(data, ["all"], [(one, one.of(data))])
    return group.cells[0]


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
    there = {"shift": 1.0, "way": 200.0}
    rows = [synthetic.row(i, success=i < 3, metrics=there) for i in range(4)]
    rows.append(synthetic.row(10, success=None, metrics={}, error="one maximum", error_kind=EXCLUDED))
    rows.append(synthetic.row(11, success=None, metrics={}, error="out of memory", error_kind="RuntimeError"))
    rows.append(synthetic.row(12, success=True, success_before=True, metrics=there))
    frame = read(tmp_path, synthetic, rows)
    assert (frame.excluded.sum(), frame.failed.sum(), frame.measured.sum()) == (1, 1, 5)
    for name, share in (("success", 0.75), ("share-at-target", 1.0), ("share-within-16px", 1.0)):
        cell = cell_of(frame, name)
        assert (name, cell.n, cell.interval.estimate) == (name, 4, share)


def test_measures_of_successes_and_clipped_means(tmp_path: Path, synthetic: Any) -> None:
    shifts = [-0.5, 0.2, 1.0, 1.7]
    rows = [
        synthetic.row(i, l2=float(i), success=s > 0.5, metrics={"shift": s, "psnr": np.inf if i == 0 else 30.0 + i})
        for i, s in enumerate(shifts)
    ]
    frame = read(tmp_path, synthetic, rows)

    def value(name: str) -> tuple[int, float]:
        cell = cell_of(frame, name)
        return cell.n, cell.interval.estimate

    by_key = {r["l2"]: r for r in rows}
    assert value("clipped mean shift") == (4, pytest.approx((0 + 0.2 + 1 + 1) / 4))
    assert value("median l2 of successes") == (2, 2.5)
    assert value("share-at-target") == (4, 0.25)
    assert value("share-over-90") == (4, 0.5)
    assert value("psnr") == (3, pytest.approx(np.mean([by_key[k]["metrics"]["psnr"] for k in (1.0, 2.0, 3.0)])))


def test_within_16_pixels_counts_where_a_tenth_of_the_way_is_less(tmp_path: Path, synthetic: Any) -> None:
    # A miss of 15, 17 and 24 pixels; of a way of 300 pixels, 24 are less than a tenth.
    metrics = [(1 + 15 / 80, 80), (1 - 17 / 80, 80), (1 + 24 / 300, 300), (1 - 16 / 100, 100), (1.0, 0), (0.2, 100)]
    rows = [synthetic.row(i, metrics={"shift": s, "way": float(w)}) for i, (s, w) in enumerate(metrics)]
    rows.append(synthetic.row(9, metrics={"shift": 1.0}))  # an older run's row, whose way is not known
    cell = cell_of(read(tmp_path, synthetic, rows), "share-within-16px")
    assert (cell.n, cell.interval.estimate) == (6, pytest.approx(4 / 6))
    assert measure("share-within-16px").label == "at the target, or within 16 px"


def test_successes_within_a_number_of_queries_are_counted(tmp_path: Path, synthetic: Any) -> None:
    asked = [(True, 20), (True, 100), (True, 101), (False, 40), (False, 300), (True, 300)]
    rows = [synthetic.row(i, success=good, queries=queries) for i, (good, queries) in enumerate(asked)]
    rows.append(synthetic.row(9, success=True, success_before=True, queries=1))
    frame = read(tmp_path, synthetic, rows)
    for within, share in ((19, 0), (20, 1 / 6), (100, 2 / 6), (101, 3 / 6), (300, 4 / 6)):
        cell = cell_of(frame, f"success-within-{within}")
        assert (cell.n, cell.interval.estimate) == (6, pytest.approx(share))
    assert measure("success-within-100").label == "success within 100 queries"
    (plot,) = [plot for plot in plots(frame) if plot.title == "Success against queries"]
    assert [name for name, _ in plot.legend] == ["proposed (3 steps, Grad-CAM)"]
    for wrong in ("success-within-", "success-within-0", "success-within-1.5", "success-within-ten"):
        with pytest.raises(InvalidInputError, match="success-within-N"):
            measure(wrong)


def test_the_largest_change_shows_that_budgets_hold(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, seed=seed, l2=l2) for i, pair in enumerate([(9.9, 9.99961), (9.5, 1.0)])
            for seed, l2 in enumerate(pair)]  # fmt: skip
    cell = cell_of(read(tmp_path, synthetic, rows), "largest l2")
    assert (cell.n, cell.value, cell.interval) == (2, 9.99961, None)
    assert measure("largest l2").text(cell.value) == "9.9996"
    assert measure("largest l2").text(10.004) == "10.004"


def test_distances_of_scores_before_and_after_are_scipys(tmp_path: Path, synthetic: Any) -> None:
    """A photo counts once, with the mean over its seeds; one that failed on neither side."""
    random = np.random.default_rng(0)
    before, after = random.uniform(0, 100, 12), random.uniform(0, 100, (12, 2))
    rows = [
        synthetic.row(i, seed=seed, metrics={"score-before": before[i], "score": after[i, seed]})
        for i in range(12)
        for seed in (0, 1)
    ]
    rows += [synthetic.row(12, error="no memory", error_kind="attack")]
    frame = read(tmp_path, synthetic, rows)
    for name, expected in (("wasserstein", stats.wasserstein_distance), ("energy", stats.energy_distance)):
        cell = cell_of(frame, f"{name} score")
        assert (cell.n, cell.interval) == (12, None)
        assert cell.value == pytest.approx(expected(before, after.mean(1)))
    assert cell_of(frame, "wasserstein psnr").value is None, "no row has psnr-before"
    assert measure("energy score").label == "energy distance of scores"
    check_table({"values": ["wasserstein score"]}, ["score", "score-before"])
    with pytest.raises(InvalidInputError, match="'score-before' is not known here"):
        check_table({"values": ["wasserstein score"]}, ["score"])


def test_a_mean_of_one_photo_claims_no_interval(tmp_path: Path, synthetic: Any) -> None:
    frame = read(tmp_path, synthetic, [synthetic.row(0, seed=s, l2=4.0 + s, success=s == 0) for s in (0, 1)])
    for name in ("mean l2", "median l2"):
        assert cell_of(frame, name).as_json() == {"n": 1, "estimate": 4.5}
    assert cell_of(frame, "success").as_json() == {"n": 1, "estimate": 0.5}
    assert cell_of(frame, "mean way").as_json() == {"n": 0}


def test_several_seeds_of_a_photo_are_one_photo(tmp_path: Path, synthetic: Any) -> None:
    """Twenty photos, each with the same result for five seeds, know no more than twenty photos do."""
    random = np.random.default_rng(4)
    once = [synthetic.row(i, l2=random.uniform(1, 9), success=bool(random.random() < 0.4)) for i in range(20)]
    often = [
        synthetic.row(int(r["photo"][6:10]), l2=r["l2"], success=r["success"], seed=s) for r in once for s in range(5)
    ]
    alone, repeated = (read(tmp_path / str(k), synthetic, rows) for k, rows in enumerate((once, often)))
    for name in ("success", "mean l2", "median l2"):
        assert cell_of(repeated, name).n == 20
        assert cell_of(repeated, name).interval == pytest.approx(cell_of(alone, name).interval)


def test_a_photos_share_is_the_mean_over_its_seeds(tmp_path: Path, synthetic: Any) -> None:
    successes = {0: [1, 1, 0], 1: [0, 0, 0], 2: [1, 1, 1], 3: [1, 0, 0]}
    rows = [
        synthetic.row(i, seed=k, success=bool(s), l2=1.0 + k) for i, own in successes.items() for k, s in enumerate(own)
    ]
    frame = read(tmp_path, synthetic, rows)
    shares = np.array([2 / 3, 0, 1, 1 / 3])
    cell = cell_of(frame, "success")
    assert (cell.n, cell.interval.estimate) == (4, pytest.approx(0.5))
    assert (cell.interval.low, cell.interval.high) == (0, 1), "four photos say nothing of a share that is half"
    assert stats.ttest_1samp(shares, 0).confidence_interval().low < 0
    # L2 of successes: of photo 0 the mean of 1 and 2, of photo 2 that of 1, 2 and 3, of photo 3 it is 1.
    assert cell_of(frame, "mean l2 of successes").interval.estimate == pytest.approx((1.5 + 2 + 1) / 3)
    (table,) = suite_tables(frame, [{"rows": "method", "columns": "seed", "values": ["success"]}])[0]
    assert [(line.column, line.n) for line in table.lines] == [("0", "4"), ("1", "4"), ("2", "4")]


def test_photos_are_told_apart_by_data_name_and_content(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(0),
        synthetic.row(0, seed=1),
        synthetic.row(0, group="kodak"),
        synthetic.row(0, photo="copy.jpg"),
        synthetic.row(0, photo_sha256="f" * 64),
    ]
    frame = read(tmp_path, synthetic, rows)
    by_row = dict(zip(frame.table.column("key").to_pylist(), frame.photos.tolist(), strict=True))
    codes = [by_row[r["key"]] for r in rows]
    assert codes[0] == codes[1]
    assert len(set(codes)) == 4


def test_rows_are_parted_at_the_median_ratio_of_photos(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(i, eps=eps, facts=json.dumps({"ratio": ratio}), metrics={"shift": float(ratio > 0.7)})
        for i, ratio in enumerate((0.5, 0.6, 0.7, 0.8, 0.9) * 3)
        for eps in (1.0, 2.0)
    ]
    (table,) = ratio_split(read(tmp_path, synthetic, rows))
    assert [line.column for line in table.lines] == ["1", "2"]
    for line in table.lines:
        strong, tie = line.cells
        assert (strong.n, strong.interval.estimate) == (6, 0.0)
        assert (tie.n, tie.interval.estimate) == (9, pytest.approx(2 / 3))
        assert line.n == "6, 9"


@pytest.mark.parametrize(("photos", "found"), [(9, 0), (10, 1)])
def test_few_photos_are_not_parted(tmp_path: Path, synthetic: Any, photos: int, found: int) -> None:
    rows = [synthetic.row(i, seed=k, facts=json.dumps({"ratio": i / 10})) for i in range(photos) for k in range(3)]
    assert len(ratio_split(read(tmp_path, synthetic, rows))) == found


def test_what_failed_has_its_line_and_its_count(tmp_path: Path, synthetic: Any) -> None:
    wrong = {"success": None, "metrics": {}, "l2": None, "error": "boom", "error_kind": "RuntimeError"}
    rows = [synthetic.row(i, method="whole", eps=e) for i in range(4) for e in (1.0, 2.0)]
    rows += [synthetic.row(i, method="half", eps=2.0, **(wrong if i < 3 else {})) for i in range(4)]
    rows += [synthetic.row(i, method="none", eps=e, seed=k, **wrong)
             for i in range(4) for e in (1.0, 2.0) for k in (0, 1)]  # fmt: skip
    frame = read(tmp_path, synthetic, rows)
    spec = {"rows": "method", "columns": "eps", "values": ["success", "median l2"]}
    (table,), problems = suite_tables(frame, [spec])
    lines = sorted((line.row, line.column, line.n, line.cells[0].value) for line in table.lines)
    assert lines == [
        ("half", "2", "1 (3 failed)", 1.0),
        ("none", "1", "0 (4 failed)", None),
        ("none", "2", "0 (4 failed)", None),
        ("whole", "1", "4", 1.0),
        ("whole", "2", "4", 1.0),
    ]
    assert problems == []
    assert [len(plot.panels) for plot in plots(frame)[:1]] == [3], "there is nothing to draw of what failed"


@pytest.mark.parametrize("name", ["", "mode l2", "mean", "mean of l2 squared", "share-at-targt", "largest", 3, None])
def test_unknown_measures_say_which_there_are(name: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"share-within-16px.*largest X"):
        measure(name)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"row": "method"}, ["row: ", "did you mean 'rows'"]),
        ({"rows": "methd"}, ["rows: ", "did you mean 'method'", "attacked"]),
        ({"columns": "epsilon"}, ["columns: ", "'epsilon'", "eps"]),
        ({"values": "success"}, ["values: ", "list"]),
        ({"values": ["share-at-targt"]}, ["values: ", "did you mean 'share-at-target'"]),
        ({"values": ["median spnr"]}, ["values: ", "'median spnr'", "did you mean 'psnr'", "queries"]),
        ({"values": ["success", "mean ssim"]}, ["values: ", "no result will have it"]),
        ({"paper": {"proposd": [0.1]}}, ["paper.proposd: ", "did you mean 'proposed'"]),
        ({"paper": {"proposed": [0.1, 0.2]}}, ["paper.proposed: ", "at most 1 numbers"]),
        ({"paper": {"proposed": "0.1"}}, ["paper.proposed: ", "numbers are needed"]),
        ({"columns": "eps", "paper": {"proposed": {"10.0": [0.1]}}}, ["paper.proposed.10.0: ", "written '10'"]),
        ({"columns": "eps", "paper": {"proposed": {"ten": [0.1]}}}, ["paper.proposed.ten: ", "numbers"]),
        ({"paper": [1]}, ["paper: ", "table of rows"]),
    ],
)
def test_tables_that_cannot_be_made_are_named_by_key(spec: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_table(spec, ["shift", "psnr"], ["noise", "proposed"])
    assert str(caught.value).startswith(words[0])
    for word in words:
        assert word in str(caught.value)


def test_tables_that_can_be_made_pass() -> None:
    check_table({"title": "t", "note": "n", "rows": "attacked", "paper": {"whoever": 0.5}}, ["shift"], ["noise"])
    values = ["mean shift", "largest l2 of successes", "share-within-16px", "linf"]
    check_table({"columns": "eps", "values": values, "paper": {"noise": {"0.5": [0.5, 0.2]}}}, ["shift"], ["noise"])
    check_table({"values": ["mean anything"]})


def test_runs_of_other_tasks_have_tables_of_what_they_measure(tmp_path: Path, synthetic: Any) -> None:
    """Quality and labels: no shift anywhere; means of the run's own numbers in the table that nobody has asked for."""
    rows = [
        synthetic.row(
            i, success=i > 3, success_before=i == 5, l2=2.0 + i, metrics={"score-before": 0.5, "score-after": i / 9}
        )
        for i in range(10)
    ]
    frame = read(tmp_path, synthetic, rows)
    (own,), problems = suite_tables(frame, [])
    names = ["success", "mean score-before", "mean score-after", "median l2", "median seconds"]
    assert [one.name for one in own.measures] == names
    values = ["success", "success-before", "median l2", "mean score-after", "score-after of successes"]
    (table,), more = suite_tables(frame, [{"values": values}])
    assert problems == more == []
    assert [cell.value for cell in table.lines[0].cells] == pytest.approx(
        [5 / 9, 0.1, 6.5, 0.5, (4 + 6 + 7 + 8 + 9) / 5 / 9]
    )
    assert [cell.n for cell in table.lines[0].cells] == [9, 10, 10, 10, 5]
    assert ratio_split(frame) == []


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
    assert (problems, ratio_split(frame), frame.metrics) == ([], [], ())


def usable(path: Path) -> Suite | None:
    """A suite, unless it needs a plugin that is not installed here."""
    try:
        return load_suite(path)
    except SuiteError as error:
        if not any(words in str(error) for words in ("there is no model", "this suite needs")):
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
                if isinstance(numbers, list):  # one of each column
                    assert len(numbers) == len(spec["values"])
                else:
                    assert all(abs(n) <= 1 for column in numbers.values() for n in column)  # shares, as ours are


def test_the_papers_numbers_stand_beside_ours(tmp_path: Path, synthetic: Any) -> None:
    suite = load_suite(shipped_suites()["icip2022_table1_2"])
    rows = [synthetic.row(0, method="proposed (3 steps, Grad-CAM)", eps=eps) for eps in (10.0, 20.0, 30.0)]
    first, second = suite_tables(read(tmp_path, synthetic, rows), suite.tables)[0]
    # Paper 001, tables 1 and 2, last row.
    assert [line.paper[0] for line in first.lines] == [0.5, 0.658, 0.744]
    assert [line.paper[0] for line in second.lines] == [0.129, 0.172, 0.19]


def test_values_of_a_parameter_are_rows_of_their_own_and_never_averaged(tmp_path: Path, synthetic: Any) -> None:
    steps = (2, 10, 1)
    rows = [
        synthetic.row(
            i, method="x", eps=eps, success=i < k, params=json.dumps({"eps": eps, "loss": "margin", "max_iter": k})
        )
        for i in range(10)
        for k in steps
        for eps in (1.0, 2.0)
    ]
    rows += [synthetic.row(i, method="y", eps=1.0, success=False, params='{"max_iter": 3}') for i in range(10)]
    attacks = {"attacks": [{"method": "y"}, {"method": "x"}]}
    info, frame = load_run(synthetic.write_run(tmp_path, rows, suite_content=attacks))
    (table,), _ = suite_tables(frame, [{"rows": "method", "columns": "eps", "values": ["success"]}])
    found = [(line.row, line.column, line.cells[0].value) for line in table.lines]
    assert found == [
        ("y", "1", 0.0),
        *((f"x, max_iter {k}", eps, k / 10) for k in sorted(steps) for eps in ("1", "2")),
    ]
    assert len(plots(frame)[0].panels) == 7
    assert completeness(info, frame).finished


def test_parameters_that_go_with_the_budget_are_no_part_of_a_name(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(i, eps=eps, params=json.dumps({"eps": eps, "loss": loss}))
        for i in range(4)
        for eps, loss in ((1.0, "margin"), (20.0, "cross_entropy"))
    ]
    assert read(tmp_path, synthetic, rows).text("method").categories == ("proposed (3 steps, Grad-CAM)",)


@pytest.mark.parametrize("text", ["{", "3", "[1]", "[" * 5000, '{"a": {"b": [1]}}'])
def test_parameters_that_are_no_table_still_tell_settings_apart(tmp_path: Path, synthetic: Any, text: str) -> None:
    rows = [synthetic.row(i, params=params) for i in range(4) for params in (text, '{"max_iter": 3}')]
    assert len(read(tmp_path, synthetic, rows).text("method").categories) == 2
