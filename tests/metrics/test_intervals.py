from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import bootstrap_interval, wilson_interval


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_newcombes_table(k: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(k, n)
    assert interval.estimate == k / n
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5.1e-5)


def test_wilson_of_all_successes_is_below_one() -> None:
    interval = wilson_interval(20, 20)
    assert interval.high == pytest.approx(1.0)
    assert interval.low == pytest.approx(1 - 0.1611, abs=1e-4)
    assert wilson_interval(20, 20, level=0.99).low < interval.low


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(InvalidInputError, match=f"got k={k}, n={n}"):
        wilson_interval(k, n)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_bootstrap_is_scipys(statistic: str) -> None:
    values = np.random.default_rng(0).gamma(2, 1, 150)
    ours = bootstrap_interval(values, statistic=statistic, seed=1)  # type: ignore[arg-type]
    reduce = getattr(np, statistic)
    theirs = scipy.stats.bootstrap((values,), reduce, method="percentile", n_resamples=10_000, random_state=2)
    assert ours.estimate == pytest.approx(reduce(values), rel=1e-12)
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    intervals = [bootstrap_interval(rng.normal(7, 2, 60), level=0.9, resamples=400, seed=i) for i in range(300)]
    covered = np.mean([low <= 7 <= high for _, low, high in intervals])
    assert 0.84 < covered < 0.95


def test_bootstrap_depends_on_the_seed_alone() -> None:
    values = np.random.default_rng(4).random(40)
    state = np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index] # noqa: NPY002


def test_bootstrap_of_many_values_is_done_in_blocks() -> None:
    """300,000 values times 50 resamples do not fit in one block; the mean's interval is the normal one."""
    values = np.random.default_rng(7).normal(0, 1, 300_000)
    interval = bootstrap_interval(values, resamples=50)
    assert 2 < (interval.high - interval.low) * np.sqrt(values.size) < 6  # 2 * 1.96, estimated from 50


def test_bootstrap_of_one_value_is_that_value() -> None:
    assert bootstrap_interval([0.25], statistic="median") == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        ([], {}, "values must be finite"),
        ([[1.0]], {}, "values must be finite"),
        ([1.0, np.nan], {}, "values must be finite"),
        ([1.0], {"statistic": "mode"}, "statistic must be 'mean' or 'median'"),
        ([1.0], {"level": 95}, "level must be between 0 and 1, got 95"),
        ([1.0], {"resamples": 0}, "resamples must be at least 1"),
    ],
)
def test_bootstrap_refuses_bad_arguments_by_name(values: list[float], settings: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        bootstrap_interval(values, **settings)
