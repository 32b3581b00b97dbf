from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import mean_interval, median_interval, wilson_interval


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


DRAWN = {
    "normal": (lambda random, size: random.normal(7, 2, size), 7.0, 7.0),
    "exponential": (lambda random, size: random.exponential(1.0, size), 1.0, np.log(2)),
    "gamma": (lambda random, size: random.gamma(2.0, 1.0, size), 2.0, scipy.stats.gamma(2).median()),
    "to the left": (lambda random, size: 5 - random.exponential(1.0, size), 4.0, 5 - np.log(2)),
}
"""How values are drawn, their mean and their median."""


@pytest.mark.parametrize("n", [5, 10, 30])
@pytest.mark.parametrize("name", DRAWN)
def test_intervals_cover_as_often_as_they_say(name: str, n: int) -> None:
    """95% are promised; of 3,000 draws the share that cover has a standard error of 0.4%."""
    draw, mean, median = DRAWN[name]
    samples = draw(np.random.default_rng(n), (3_000, n))
    for interval, truth in ((mean_interval, mean), (median_interval, median)):
        found = [interval(sample) for sample in samples]
        covered = np.mean([low <= truth <= high for _, low, high in found])
        assert covered > 0.925, interval
        assert all(low <= estimate <= high for estimate, low, high in found)


def test_a_mean_has_students_interval_where_nothing_is_skewed() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    for level in (0.9, 0.95):
        expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(level)
        assert mean_interval(values, level=level) == pytest.approx((4.0, expected.low, expected.high))


def test_a_long_tail_pulls_its_end_of_the_interval() -> None:
    """Hall's interval by solving his transformation for the mean, which is where Student's quantiles come to stand."""
    values = np.random.default_rng(0).exponential(1.0, 12)
    n, mean, spread = 12, values.mean(), values.std(ddof=1)
    skewness = scipy.stats.skew(values, bias=False)

    def transformed(mu: float) -> float:
        w = (mean - mu) / spread
        return float(np.sqrt(n) * (w + skewness * w**2 / 3 + skewness**2 * w**3 / 27 + skewness / (6 * n)))

    quantile = scipy.stats.t.ppf(0.975, n - 1)
    solved = scipy.optimize.brentq(lambda mu: transformed(mu) + quantile, mean, mean + 20)
    student = mean + quantile * spread / np.sqrt(n)
    assert mean_interval(values).high == pytest.approx(max(solved, student), rel=1e-6)
    assert solved > student


def test_many_values_have_the_normal_interval() -> None:
    values = np.random.default_rng(0).exponential(2.0, 100_003)
    reach = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert mean_interval(values)[1:] == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.02 * reach)


@pytest.mark.parametrize("n", [6, 7, 30, 101])
def test_a_median_has_the_interval_of_the_sign_test(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    expected = scipy.stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    assert median_interval(values) == pytest.approx((np.median(values), expected.low, expected.high))


@pytest.mark.parametrize("values", [[0.3], [0.3] * 50])
def test_equal_values_have_no_width(values: list[float]) -> None:
    assert mean_interval(values) == median_interval(values) == (0.3, 0.3, 0.3)


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, np.nan], [np.inf]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    for interval in (mean_interval, median_interval):
        with pytest.raises(InvalidInputError, match="values must be finite"):
            interval(values)


def test_a_level_in_percent_is_refused() -> None:
    for call in (lambda: mean_interval([1, 2], level=95), lambda: wilson_interval(1, 2, level=95)):
        with pytest.raises(InvalidInputError, match="level must be between 0 and 1, got 95"):
            call()
