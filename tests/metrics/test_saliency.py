from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from art_crop.errors import InvalidInputError
from art_crop.metrics import saliency as metrics

Array = NDArray[np.float64]


def judd_step_by_step(values: Array, fixated: NDArray[np.bool_]) -> float:
    """The benchmark's AUC-Judd as published: one threshold after the other, for a map without ties."""
    at_fixations = np.sort(values[fixated])[::-1]
    true_rate, false_rate = [0.0], [0.0]
    for i, threshold in enumerate(at_fixations, start=1):
        above = int((values >= threshold).sum())
        true_rate.append(i / at_fixations.size)
        false_rate.append((above - i) / (values.size - at_fixations.size))
    true_rate.append(1.0)
    false_rate.append(1.0)
    return sum(
        (false_rate[i + 1] - false_rate[i]) * (true_rate[i + 1] + true_rate[i]) / 2 for i in range(len(true_rate) - 1)
    )


def scene(seed: int, *, shape: tuple[int, int] = (60, 80), n: int = 50) -> tuple[Array, Array, NDArray[np.bool_]]:
    """A smooth map without ties, fixations drawn from it, and their binary map."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), 5)
    density = np.exp(4 * smooth / smooth.std())
    chosen = rng.choice(density.size, n, p=(density / density.sum()).ravel())
    rows, columns = np.unravel_index(chosen, shape)
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return density, np.stack([columns, rows], axis=1).astype(float), mask


# ---- NSS and AUC-Judd ---------------------------------------------------------------------------------------------


def test_hand_computed_nss() -> None:
    values = np.array([[0.0, 1.0], [2.0, 5.0]])  # mean 2, sample variance (4 + 1 + 0 + 9) / 3
    assert metrics.nss(values, [(1, 1)]) == pytest.approx(3 / np.sqrt(14 / 3))
    assert metrics.nss(values, [(1, 0)]) == pytest.approx(-1 / np.sqrt(14 / 3))  # x = 1, y = 0
    assert metrics.nss(values, [(0, 0), (1, 1)]) == pytest.approx(0.5 / np.sqrt(14 / 3))


def test_hand_computed_auc() -> None:
    values = np.array([[4.0, 3.0], [2.0, 1.0]])
    # Fixated: 4 and 2; others: 3 and 1. Curve (0, 0), (0, 1/2), (1/2, 1), (1, 1).
    assert metrics.auc_judd(values, [(0, 0), (0, 1)]) == pytest.approx(0.375 + 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_published_procedure(seed: int) -> None:
    _, fixations, mask = scene(seed)
    other = np.random.default_rng(seed + 100).permutation(mask.size).reshape(mask.shape).astype(float)
    for values in (scene(seed)[0], scene(seed + 50)[0], other):
        assert metrics.auc_judd(values, fixations) == pytest.approx(judd_step_by_step(values, mask), abs=1e-12)


def test_auc_is_close_to_scikit_learns_full_curve() -> None:
    """Judd's curve has a point per fixation, scikit-learn's one per pixel: at most 1 / (2n) apart."""
    density, fixations, mask = scene(1)
    exact = roc_auc_score(mask.ravel(), density.ravel())
    assert 0 <= metrics.auc_judd(density, fixations) - exact <= 1 / (2 * mask.sum())


def test_auc_with_ties_is_the_mean_over_jitter() -> None:
    density, fixations, mask = scene(2)
    coarse = np.floor(3 * density / density.max())  # three levels
    rng = np.random.default_rng(0)
    jittered = [judd_step_by_step(coarse + rng.random(coarse.shape) * 1e-7, mask) for _ in range(60)]
    assert metrics.auc_judd(coarse, fixations) == pytest.approx(np.mean(jittered), abs=0.01)


def test_a_constant_map_is_chance() -> None:
    _, fixations, _ = scene(3)
    constant = np.full((60, 80), 0.1)
    assert metrics.auc_judd(constant, fixations) == 0.5
    assert metrics.nss(constant, fixations) == 0.0
    assert metrics.cc(constant, scene(3)[0]) == 0.0


def test_rank_and_scale_invariance() -> None:
    density, fixations, _ = scene(4)
    assert metrics.auc_judd(np.log(density), fixations) == pytest.approx(metrics.auc_judd(density, fixations))
    assert metrics.nss(3 * density + 7, fixations) == pytest.approx(metrics.nss(density, fixations))
    assert metrics.auc_judd(-density, fixations) < 0.4


def test_a_fixated_pixel_counts_once_and_positions_round_to_the_nearest_pixel() -> None:
    density, _, _ = scene(5)
    exact = [(10.0, 20.0), (30.0, 5.0)]
    spread = [(10.4, 19.6), (9.5, 20.49), (10.0, 20.0), (30.2, 4.8)]
    for function in (metrics.nss, metrics.auc_judd):
        assert function(density, spread) == function(density, exact)
    # The outer half pixel belongs to the border pixels.
    assert metrics.nss(density, [(-0.5, 59.5)]) == metrics.nss(density, [(0, 59)])


def test_auc_of_a_photo_is_fast() -> None:
    values = np.random.default_rng(0).random((600, 800)).astype(np.float32)
    fixations = np.random.default_rng(1).random((140, 2)) * (799, 599)
    start = time.perf_counter()
    for _ in range(3):
        metrics.auc_judd(values, fixations)
    # 20-60 ms each where measured; counting pixels once per threshold takes several times as long.
    assert (time.perf_counter() - start) / 3 < 0.5


@pytest.mark.parametrize("function", [metrics.nss, metrics.auc_judd])
@pytest.mark.parametrize(
    ("values", "fixations", "message"),
    [
        (np.zeros((2, 3, 4)), [(0, 0)], r"saliency must be an array of shape \(height, width\)"),
        (np.full((3, 4), np.nan), [(0, 0)], "saliency must be finite"),
        (np.eye(3, 4), np.zeros((0, 2)), r"fixations must have shape \(n, 2\)"),
        (np.eye(3, 4), [(0, 0, 0)], r"fixations must have shape \(n, 2\)"),
        (np.eye(3, 4), [(4, 0)], "fixations must lie on the 4 x 3 map"),
        (np.eye(3, 4), [(0, np.nan)], "fixations must lie on the 4 x 3 map"),
    ],
)
def test_bad_input_is_refused_by_name(function, values, fixations, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match=message):
        function(values, fixations)


def test_auc_needs_a_pixel_without_fixation() -> None:
    with pytest.raises(InvalidInputError, match="at least one pixel"):
        metrics.auc_judd(np.array([[1.0, 2.0]]), [(0, 0), (1, 0)])


# ---- maps against densities ---------------------------------------------------------------------------------------


def test_cc_is_numpys_correlation() -> None:
    a, b = scene(6)[0], scene(7)[0]
    assert metrics.cc(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-12)
    assert metrics.cc(a, 5 - 2 * a) == pytest.approx(-1)


def test_kld_is_scipys_entropy() -> None:
    from scipy.stats import entropy

    a, b = scene(8)[0] + 1e-3, scene(9)[0]
    assert metrics.kld(a, b) == pytest.approx(entropy(b.ravel(), a.ravel()), abs=1e-8)
    assert metrics.kld(a, 7 * a) == pytest.approx(0, abs=1e-9)


def test_hand_computed_kld_and_sim() -> None:
    a, b = np.array([[0.0, 1.0, 3.0]]), np.array([[0.0, 2.0, 2.0]])
    assert metrics.kld(a, b) == pytest.approx(0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))
    assert metrics.sim(a, b) == pytest.approx(0.25 + 0.5)
    assert metrics.sim(a, b) == metrics.sim(b, a)
    # A floor under every pixel earns nothing: the minimum is taken off first.
    assert metrics.sim(a + 10, b) == pytest.approx(0.75)
    # No mass where people looked: finite, and as bad as it gets (-ln eps is 36).
    assert 30 < metrics.kld(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) < 40
    assert metrics.sim(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == 0


def test_kld_refuses_a_log_density() -> None:
    with pytest.raises(InvalidInputError, match=r"saliency must be >= 0 .* pass exp\(map\)"):
        metrics.kld(np.array([[-1.0, 2.0]]), np.array([[1.0, 2.0]]))


@pytest.mark.parametrize("function", [metrics.cc, metrics.kld, metrics.sim])
def test_maps_of_two_shapes_are_refused(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError, match="density must have the shape of saliency"):
        function(np.ones((3, 4)), np.ones((4, 3)))


# ---- the shift of the peak ----------------------------------------------------------------------------------------


def test_peak_shift_in_both_directions() -> None:
    before, target = [100, 500, 100, 100, 100], [300, 300, 300, 300, 300]
    after = [300, 300, 100, 50, 400]
    np.testing.assert_allclose(metrics.peak_shift(before, after, target), [1, 1, 0, -0.25, 1.5])
    np.testing.assert_allclose(
        metrics.shift_over_width(before, after, target, 640),
        np.array([200, 200, 0, -50, 300]) / 640,
    )
    # Clipped: (1 + 1 + 0 + 0 + 1) / 5.
    assert metrics.mean_clipped_shift(metrics.peak_shift(before, after, target)) == pytest.approx(0.6)


def test_tables_1_and_2_are_tied_by_the_distance() -> None:
    """The paper's two tables have the ratio of the mean distance to the width when every peak behaves alike."""
    before, target = np.array([100.0, 100, 100]), np.array([260.0, 260, 260])
    after = np.array([100.0, 180, 260])
    table_1 = metrics.peak_shift(before, after, target).mean()
    table_2 = metrics.shift_over_width(before, after, target, 640).mean()
    assert table_2 / table_1 == pytest.approx(160 / 640)


def test_share_at_target_counts_both_sides_of_the_target() -> None:
    shift = [0.9, 1.1, 1.0, 0.89, 1.11, 0.0, -1.0, 5.0]
    share = metrics.share_at_target(shift)
    assert share.estimate == 3 / 8
    assert (share.low, share.high) == pytest.approx((0.1368, 0.6943), abs=5e-4)  # Wilson for 3 of 8
    assert metrics.share_at_target(shift, tolerance=0.2).estimate == 5 / 8


def test_a_target_at_the_peak_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="target must differ from before"):
        metrics.peak_shift([1, 2], [3, 3], [5, 2])
    with pytest.raises(InvalidInputError, match="after must be finite"):
        metrics.peak_shift(1, np.nan, 5)
    with pytest.raises(InvalidInputError, match="width must be positive"):
        metrics.shift_over_width(1, 2, 3, 0)
    with pytest.raises(InvalidInputError, match="shift must be finite"):
        metrics.share_at_target([])
