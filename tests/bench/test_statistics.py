"""Intervals and tests against scipy's, and against counting by hand."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from scipy import stats

from art_crop.bench import statistics
from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import mean_interval


def test_values_of_one_photo_become_their_mean() -> None:
    values, photos = np.array([1.0, 5.0, 2.0, 9.0, 4.0]), np.array([7, 3, 7, 3, 5])
    assert sorted(statistics.per_photo(values, photos)) == [1.5, 4.0, 7.0]


def test_shares_of_photos_are_wilsons_until_a_photo_is_half_in() -> None:
    whole = statistics.share_of_photos(np.array([1.0, 0, 0, 1, 1, 1, 0]))
    expected = stats.binomtest(4, 7).proportion_ci(0.95, method="wilson")
    assert whole == pytest.approx((4 / 7, expected.low, expected.high))
    shares = np.random.default_rng(2).integers(0, 4, 60) / 3
    student = stats.ttest_1samp(shares, 0).confidence_interval()
    assert statistics.share_of_photos(shares) == pytest.approx((shares.mean(), student.low, student.high), abs=0.01)
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


def test_thirty_of_thirty_better_are_no_accident_whichever_decides_the_sum() -> None:
    for differences in ([1.0] * 30, [0.001] * 29 + [1.0]):
        assert statistics.sign_flip(differences) == pytest.approx(2 / 2**30)


@pytest.mark.parametrize("n", [33, 60, 120, 900])
@pytest.mark.parametrize("tail", [0.5, 1.5, 5])
def test_many_sign_flips_agree_with_scipys_permutation_test(n: int, tail: float) -> None:
    """Also of differences of which a few decide the sum, where the normal approximation errs."""
    random = np.random.default_rng(n)
    differences = random.standard_t(tail, n) + 2 * stats.t(tail).ppf(0.9) / np.sqrt(n)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=9_999, vectorized=True, random_state=0
    )
    assert statistics.sign_flip(differences) == pytest.approx(expected.pvalue, abs=0.02)


@pytest.mark.parametrize("n", [8, 25, 60, 300])
def test_chance_is_called_a_difference_no_more_often_than_it_says(n: int) -> None:
    """Of 1,500 draws without a difference 5% are called one, within three standard errors of 0.56%."""
    random = np.random.default_rng(n)
    draws = random.laplace(0, 1, (1_500, n)) ** 3
    assert np.mean([statistics.sign_flip(draw) <= 0.05 for draw in draws]) <= 0.06 + 0.007


def test_no_difference_is_no_evidence() -> None:
    assert statistics.sign_flip([0.0] * 40) == 1.0
    assert statistics.sign_flip([]) == 1.0
    assert statistics.sign_flip([1e-200] * 5) == pytest.approx(2 / 32)
    with pytest.raises(InvalidInputError, match="differences must be finite"):
        statistics.sign_flip([1.0, np.nan])


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


def test_six_hundred_comparisons_of_a_large_run_take_a_moment() -> None:
    cells = np.random.default_rng(0).normal(size=(600, 1_400))
    start = time.process_time()
    for cell in cells:
        statistics.sign_flip(cell)
        mean_interval(cell)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("n", [12, 30, 60])
@pytest.mark.parametrize("kind", ["normal", "long tail", "one in five differs"])
def test_equal_models_are_told_apart_no_more_often_than_promised(n: int, kind: str) -> None:
    """5% false alarms are promised; of 1,000 comparisons without a difference their share has an error of 0.7%."""
    rng = np.random.default_rng(n)
    draws = {
        "normal": rng.standard_normal((1000, n)),
        "long tail": rng.standard_t(2, (1000, n)),
        "one in five differs": rng.choice([-1, 0, 0, 0, 0, 0, 0, 0, 0, 1], (1000, n)),
    }[kind]
    alarms = np.mean([statistics.sign_flip(differences) < 0.05 for differences in draws])
    assert alarms < 0.065
    if kind != "one in five differs":  # where few differ, what is left of 5% cannot be used up
        assert alarms > 0.03


def test_thirty_of_thirty_better_is_no_chance() -> None:
    assert statistics.sign_flip(np.ones(30)) == pytest.approx(2.0**-29)
    assert statistics.mcnemar(30, 0) == pytest.approx(2.0**-29)
