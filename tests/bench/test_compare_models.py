"""Two models, or two methods, on the same photos: against joins of the Parquet files and scipy's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from typer.testing import CliRunner

from art_crop import bench
from art_crop.bench.comparison import Difference
from art_crop.cli.main import app
from art_crop.errors import InvalidInputError

METHODS = ("steps", "noise")
BUDGETS = (1.0, 2.0)


def rows_of(
    synthetic: Any, random: Any, photos: range, attacked: str, scored: str, share: float, **more: Any
) -> list[Any]:
    """Every method and budget on every photo; noise knows no network."""
    return [
        synthetic.row(
            i,
            method=method,
            eps=eps,
            attacked="" if method == "noise" else attacked,
            scored=scored,
            success=bool(random.random() < share * eps / 2),
            success_before=bool(i % 11 == 0),
            l2=eps * float(random.uniform(0.9, 1)),
            key=f"{method} {eps} {attacked} {scored} {i} {more}",
            **more,
        )
        for method in METHODS
        for eps in BUDGETS
        for i in photos
    ]


def read(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "results" / "*.parquet")


def check(found: Difference, a: pl.DataFrame, b: pl.DataFrame) -> None:
    """Compare numbers with those of a join by photo and of scipy; one result a photo on each side."""
    columns = {"success": pl.col("success").cast(pl.Float64), "mean l2": pl.col("l2")}
    a, b = (one.with_columns(v=pl.when(pl.lit(found.measure != "success") | ~pl.col("success_before"))
                             .then(columns[found.measure])) for one in (a, b))  # fmt: skip
    both = a.join(b, on="photo_sha256").drop_nulls(["v", "v_right"])
    assert both["photo_sha256"].is_unique().all()
    x, y = both["v"].to_numpy(), both["v_right"].to_numpy()
    assert (found.n, found.a, found.b) == (len(x), pytest.approx(x.mean()), pytest.approx(y.mean()))
    assert found.difference == pytest.approx((y - x).mean())
    if found.measure == "success":
        gained, lost = int((y > x).sum()), int((y < x).sum())
        assert found.p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1)
    else:
        test = stats.permutation_test((y - x,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0)
        assert found.p == pytest.approx(test.pvalue, abs=0.02)


def of(table: pl.DataFrame, **values: Any) -> pl.DataFrame:
    return table.filter(*(pl.col(name) == value for name, value in values.items()))


@pytest.fixture
def one_run(tmp_path: Path, synthetic: Any) -> Path:
    """Each of two models attacked from itself and from the other, and noise; gaze-lite has fewer photos."""
    random = np.random.default_rng(0)
    rows = []
    for scored, photos, share in (("gaze-lite", range(30), 0.3), ("fastgaze", range(36), 0.8)):
        rows += rows_of(synthetic, random, photos, scored, scored, share)
        other = "fastgaze" if scored == "gaze-lite" else "gaze-lite"
        rows += [one for one in rows_of(synthetic, random, photos, other, scored, share / 2) if one["attacked"]]
    return Path(synthetic.write_run(tmp_path / "run", rows))


def test_two_models_of_one_run(one_run: Path) -> None:
    found = bench.compare(one_run, models=("gaze-lite", "fastgaze"), measures=["success", "mean l2"])
    table, roles = read(one_run), {"gaze-lite": "fastgaze", "fastgaze": "gaze-lite"}
    assert (found.compared, found.names) == ("models", ("gaze-lite", "fastgaze"))
    assert (found.pairs, found.only_a, found.only_b) == (180, 0, 36)
    # Attacked itself is paired with attacked itself, and from the other with from the other.
    cells = {(one.method, one.attacked, one.attacked_b, one.eps) for one in found.differences}
    assert cells == {
        (m, a, b, eps) for m, a, b in [("noise", "", ""), *(("steps", *p) for p in roles.items())] for eps in BUDGETS
    }
    assert all((one.scored, one.scored_b, one.eps_b) == (*roles, one.eps) for one in found.differences)
    for one in found.differences:
        sides = (("gaze-lite", one.attacked), ("fastgaze", one.attacked_b))
        check(one, *(of(table, method=one.method, eps=one.eps, scored=s, attacked=a) for s, a in sides))
    assert [text for text in found.notices if "not finished" not in text] == []
    swapped = bench.compare(one_run, models=("fastgaze", "gaze-lite"), measures=["success"])
    key = {(one.method, one.attacked_b, one.eps): one.difference for one in swapped.differences}
    for one in (one for one in found.differences if one.measure == "success"):
        assert key[one.method, one.attacked, one.eps] == pytest.approx(-one.difference)


def test_two_models_that_were_attacked(one_run: Path) -> None:
    found = bench.compare(one_run, models=("gaze-lite", "fastgaze"), role="attacked", measures=["success", "mean l2"])
    assert {(one.attacked, one.attacked_b) for one in found.differences} == {("gaze-lite", "fastgaze")}
    assert {(one.method, one.scored, one.scored_b) for one in found.differences} == {
        ("steps", name, name) for name in ("gaze-lite", "fastgaze")
    }
    table = read(one_run)
    for one in found.differences:
        same = {"method": one.method, "eps": one.eps, "scored": one.scored}
        check(one, *(of(table, attacked=name, **same) for name in found.names))
    assert any("an attack on the scored model itself" in text for text in found.notices)


def test_two_models_of_two_runs(tmp_path: Path, synthetic: Any) -> None:
    random = np.random.default_rng(2)
    runs = [
        Path(synthetic.write_run(tmp_path / name, rows_of(synthetic, random, photos, name, name, share)))
        for name, photos, share in (("gaze-lite", range(20), 0.2), ("fastgaze", range(5, 40), 0.9))
    ]
    found = bench.compare(*runs, models=["gaze-lite", "fastgaze"], measures=["success", "mean l2"])
    assert (found.pairs, found.only_a, found.only_b) == (60, 20, 80)
    tables = [read(run) for run in runs]
    for one in found.differences:
        check(one, *(of(table, method=one.method, eps=one.eps) for table in tables))
    assert any(one.significant for one in found.differences)
    assert bench.compare(*runs, measures=["success", "mean l2"]) == found, "each run scored one model"
    with pytest.raises(InvalidInputError, match=r"^models: 'fastgaze' was not scored in the run; scored: gaze-lite"):
        bench.compare(*runs, models=["fastgaze", "gaze-lite"])


def test_from_one_surrogate_models_are_paired_by_it(tmp_path: Path, synthetic: Any) -> None:
    """One of the two is the surrogate: photos made by attacking it, and what the other says of them."""
    random = np.random.default_rng(3)
    rows = [
        one
        for scored in ("gaze-lite", "fastgaze")
        for one in rows_of(synthetic, random, range(12), "gaze-lite", scored, 0.5)
    ]
    found = bench.compare(synthetic.write_run(tmp_path / "run", rows), models=("gaze-lite", "fastgaze"))
    assert found.pairs == 48
    assert {(one.attacked, one.attacked_b) for one in found.differences} == {("", ""), ("gaze-lite", "gaze-lite")}
    assert found.notices == (
        "in some pairs gaze-lite stands for an attack on the scored model itself, fastgaze for one that is not",
    )


def test_two_methods_of_one_run(one_run: Path) -> None:
    """Noise knows no network, and stands beside the attack from each."""
    found = bench.compare(one_run, methods=METHODS, measures=["success", "mean l2"])
    assert (found.compared, found.names, found.only_a, found.only_b) == ("methods", METHODS, 0, 0)
    assert {(one.attacked, one.attacked_b, one.scored) for one in found.differences} == {
        (attacked, "", scored) for attacked in ("gaze-lite", "fastgaze") for scored in ("gaze-lite", "fastgaze")
    }
    table = read(one_run)
    for one in found.differences:
        same = {"eps": one.eps, "scored": one.scored}
        steps = of(table, method="steps", attacked=one.attacked, **same)
        check(one, steps, of(table, method="noise", **same))


def test_methods_with_a_budget_of_their_own_are_paired(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, method="smallest", eps=None, l2=1.0 + i / 100) for i in range(8)]
    rows += [synthetic.row(i, method="noise", attacked="", eps=120.0, l2=9.0, success=i < 2) for i in range(8)]
    run = synthetic.write_run(tmp_path / "run", rows)
    (l2,) = bench.compare(run, methods=("smallest", "noise"), measures=["mean l2"]).differences
    assert (l2.n, l2.eps, l2.eps_b, l2.difference) == (8, None, 120.0, pytest.approx(9 - 1.035))


def test_values_of_a_parameter_are_methods_to_compare(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, params=json.dumps({"max_iter": k}), l2=float(k)) for i in range(5) for k in (1, 10)]
    run = synthetic.write_run(tmp_path / "run", rows)
    name = "proposed (3 steps, Grad-CAM)"
    (l2,) = bench.compare(
        run, methods=(f"{name}, max_iter 1", f"{name}, max_iter 10"), measures=["mean l2"]
    ).differences
    assert (l2.n, l2.a, l2.b) == (5, 1.0, 10.0)
    with pytest.raises(InvalidInputError, match=rf"methods: '.*' is no method .*{'max_iter 1, .*max_iter 10'}$"):
        bench.compare(run, methods=(name, "noise"))


def test_seeds_are_paired_and_count_once(tmp_path: Path, synthetic: Any) -> None:
    random = np.random.default_rng(4)
    rows = []
    for scored, share in (("gaze-lite", 0.2), ("fastgaze", 0.7)):
        for seed in (0, 1, 2):
            rows += rows_of(synthetic, random, range(10), "third", scored, share, seed=seed)
    run = synthetic.write_run(tmp_path / "run", rows)
    found = bench.compare(run, models=("gaze-lite", "fastgaze"), measures=["mean l2"])
    means = read(run).group_by("method", "eps", "scored", "photo_sha256").agg(pl.col("l2").mean())
    assert found.pairs == 120
    for one in found.differences:
        a, b = (of(means, method=one.method, eps=one.eps, scored=name) for name in found.names)
        change = a.join(b, on="photo_sha256").select(pl.col("l2_right") - pl.col("l2")).to_series().to_numpy()
        assert (one.n, one.difference) == (10, pytest.approx(change.mean()))
        test = stats.permutation_test((change,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert one.p == pytest.approx(test.pvalue)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {},
            r"^models: with one run two of its models .* second run\. Scored in this one: gaze-lite, fastgaze; m",
        ),
        (
            {"models": ("gaze-lite", "gaze-lite")},
            "^models: two different names are needed, not 'gaze-lite', 'gaze-lite'$",
        ),
        ({"models": ("gaze-lite",)}, "^models: two different names"),
        (
            {"models": ("gaze-lite", "x")},
            "^models: 'x' was not scored in the run; scored: gaze-lite, fastgaze; attacked: ga",
        ),
        (
            {"models": ("gaze-lite", "only"), "role": "attacked"},
            "^models: 'only' was not attacked in the run; attacked: ga",
        ),
        ({"models": ("gaze-lite", "fastgaze"), "methods": METHODS}, "^methods: give models or methods, not both"),
        ({"methods": ("steps", "x")}, "^methods: 'x' is no method with results in the run; methods: noise, steps"),
        ({"models": ("gaze-lite", "fastgaze"), "role": "judge"}, "^role: scored or attacked is needed, not 'judge'"),
    ],
)
def test_what_does_not_say_two_sides_is_refused(one_run: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        bench.compare(one_run, **options)


def test_a_model_that_was_only_attacked_is_named_as_such(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", [synthetic.row(i) for i in range(3)])
    with pytest.raises(InvalidInputError, match=r"'gaze-lite' was not scored .*for the latter ask for role attacked$"):
        bench.compare(run, models=("fastgaze", "gaze-lite"))


def test_methods_that_share_no_photo_have_nothing_in_common(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, method="a" if i < 3 else "b") for i in range(6)]
    with pytest.raises(InvalidInputError, match="the methods have no result in common"):
        bench.compare(synthetic.write_run(tmp_path / "run", rows), methods=("a", "b"))


def test_the_command_compares_models_and_methods(one_run: Path) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["bench", "compare", str(one_run), *arguments], env={"COLUMNS": "200"})
        return done.exit_code, done.output

    code, shown = said("--models", "gaze-lite", "fastgaze", "--measure", "success")
    assert code == 0
    assert (
        "gaze-lite (first) and fastgaze (second): 180 results in both; only in the first 0, only in the second 36"
        in shown
    )
    assert "the model itself" in shown
    assert "the other model" in shown
    code, shown = said("--methods", "steps", "noise", "--json")
    assert code == 0
    data = json.loads(shown)
    assert (data["compared"], data["names"]) == ("methods", ["steps", "noise"])
    assert {one["method_b"] for one in data["differences"]} == {"noise"}
    code, shown = said()
    assert code == 2
    assert "error: --models: with one run two of its models are needed" in shown
    code, shown = said("--models", "gaze-lite", "x")
    assert (code, "--models: 'x' was not scored" in shown) == (2, True)
