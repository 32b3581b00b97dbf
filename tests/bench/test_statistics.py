"""Intervals and tests against scipy's, and against counting by hand."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy import stats

from art_crop.bench import statistics
from art_crop.errors import InvalidInputError


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 66), (1, 1), (8, 66), (34, 66), (66, 66), (4321, 100_000)])
def test_share_is_scipys_wilson_interval(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert statistics.share_interval(k, n) == pytest.approx((k / n, expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_shares_are_refused(k: int, n: int) -> None:
    with pytest.raises(InvalidInputError, match="0 <= k <= n"):
        statistics.share_interval(k, n)


@pytest.mark.parametrize("n", [5, 40, 333, 4_096])
def test_mean_agrees_with_scipys_bootstrap(n: int) -> None:
    values = np.random.default_rng(n).exponential(2.0, n)
    ours = statistics.mean_interval(values)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=4_000, method="percentile", random_state=1, batch=100)
    width = scipys.confidence_interval.high - scipys.confidence_interval.low
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.low == pytest.approx(scipys.confidence_interval.low, abs=0.06 * width)
    assert ours.high == pytest.approx(scipys.confidence_interval.high, abs=0.06 * width)


def test_many_values_are_grouped_and_keep_their_variance() -> None:
    values = np.random.default_rng(0).exponential(2.0, 100_003)
    ours = statistics.mean_interval(values)
    reach = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert (ours.low, ours.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.08 * reach)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 101, 400])
def test_median_agrees_with_real_resampling(n: int) -> None:
    values = np.random.default_rng(n).normal(10, 3, n)
    ours = statistics.median_interval(values)
    drawn = np.median(values[np.random.default_rng(5).integers(0, n, (20_000, n))], axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    gap = np.diff(np.sort(values)).max() if n > 1 else 0.0
    assert ours.estimate == np.median(values)
    assert abs(ours.low - low) <= 0.5 * gap + 1e-12
    assert abs(ours.high - high) <= 0.5 * gap + 1e-12
    quantiles = np.quantile(drawn, np.linspace(0.05, 0.95, 10))
    assert np.interp(ours.low, np.sort(drawn), np.linspace(0, 1, drawn.size)) < 0.06 or n < 9
    assert quantiles[0] <= ours.estimate <= quantiles[-1]


def test_a_single_value_and_equal_values_have_no_width() -> None:
    for values in ([0.3], [0.3] * 50, [0.3] * 9_999):
        assert statistics.mean_interval(values) == pytest.approx((0.3, 0.3, 0.3), abs=1e-9)
        assert statistics.median_interval(values) == pytest.approx((0.3, 0.3, 0.3), abs=1e-9)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=700)
    first = statistics.mean_interval(values)
    statistics._counts.cache_clear()
    assert statistics.mean_interval(values) == first


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.inf], [[1.0]]])
def test_values_without_a_mean_are_refused(values: list[float]) -> None:
    for interval in (statistics.mean_interval, statistics.median_interval):
        with pytest.raises(InvalidInputError, match="finite"):
            interval(values)


def test_values_of_one_photo_become_their_mean() -> None:
    values, photos = np.array([1.0, 5.0, 2.0, 9.0, 4.0]), np.array([7, 3, 7, 3, 5])
    assert sorted(statistics.per_photo(values, photos)) == [1.5, 4.0, 7.0]
    assert statistics.per_photo(values, np.arange(5)[::-1]) is values


def test_shares_of_photos_are_wilsons_until_a_photo_is_half_in() -> None:
    whole = statistics.share_of_photos(np.array([1.0, 0, 0, 1, 1, 1, 0]))
    expected = stats.binomtest(4, 7).proportion_ci(0.95, method="wilson")
    assert whole == pytest.approx((4 / 7, expected.low, expected.high))
    shares = np.random.default_rng(2).integers(0, 4, 60) / 3
    found = statistics.share_of_photos(shares)
    bootstrap = stats.bootstrap((shares,), np.mean, method="percentile", n_resamples=9_999, random_state=0)
    assert found == pytest.approx((shares.mean(), *bootstrap.confidence_interval), abs=0.01)
    assert statistics.share_of_photos(np.array([0.999] + [1.0] * 30)).high <= 1.0


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10])
def test_quartiles_count_what_is_not_there_yet_as_large(n: int) -> None:
    random = np.random.default_rng(n)
    for missing in range(n + 1):
        column = np.append(random.normal(size=n - missing), [np.inf] * missing)
        found = np.ravel(statistics.mid_quantiles(random.permutation(column)[:, None]))
        for share, value in zip((0.25, 0.5, 0.75), found, strict=True):
            assert np.isfinite(value) == ((n - missing) >= share * n)
            if missing == 0:
                assert value == pytest.approx(np.quantile(column, share))
            elif np.isfinite(value):
                assert (column <= value).mean() >= share - 1 / n


def test_sign_flips_are_counted_exactly() -> None:
    differences = [0.5, -0.2, 0.9, 0.1, 0.0, 0.4]
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = np.mean([value >= sum(differences) - 1e-12 for value in sums])
    assert statistics.sign_flip(differences) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_many_sign_flips_agree_with_scipys_permutation_test(shift: float) -> None:
    differences = np.random.default_rng(8).normal(shift, 1, 120)
    zeros = np.zeros_like(differences)
    expected = stats.permutation_test(
        (differences, zeros), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=9_999, random_state=0
    )
    assert statistics.sign_flip(differences) == pytest.approx(expected.pvalue, abs=0.02)


def test_no_difference_is_no_evidence() -> None:
    assert statistics.sign_flip([0.0] * 40) == 1.0
    assert statistics.sign_flip([]) == 1.0
    assert statistics.sign_flip([1e-200] * 5) == pytest.approx(2 / 32)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 5), (9, 1), (1, 9), (0, 12), (340, 290), (0, 1_500)])
def test_mcnemar_is_the_binomial_test_of_the_pairs_that_differ(gained: int, lost: int) -> None:
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert statistics.mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)
    if 0 < gained + lost <= 12:
        signs = [1.0] * gained + [-1.0] * lost
        assert statistics.sign_flip(signs) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, each at least the one before.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]


def test_two_hundred_cells_of_a_large_run_take_a_moment() -> None:
    cells = np.random.default_rng(0).normal(size=(200, 3_000))
    start = time.process_time()
    for cell in cells:
        statistics.mean_interval(cell)
        statistics.median_interval(cell)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("n", [3, 28, 999, 6_000])
def test_no_end_of_an_interval_is_beyond_the_values(n: int) -> None:
    """Means of resamples lie among the values; those of clipped shifts are no share of less than none."""
    for hits in range(1, 4):
        values = np.r_[np.zeros(n - hits), np.ones(hits)] * 0.999999  # between 0 and 1, and no share
        for some in (values, 1 - values):
            mean, low, high = statistics.mean_interval(some)
            assert some.min() <= low <= mean <= high <= some.max()
