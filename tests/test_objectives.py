"""Objectives: success is what a brute-force judge says, and the loss falls exactly towards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.geometry import Region, cells_to_pixels, crop_window
from art_crop.objectives import (
    And,
    CropContainsRegion,
    LabelDistance,
    LabelIs,
    LabelOut,
    MapDistance,
    Objective,
    PeakInRegion,
    SaliencyOutput,
    ScoreBeyond,
    ScoreDistance,
    Verdict,
    evidence,
)

SIZE = (640, 427)
RESIZED = (320, 214)
SHAPE = (14, 20)
RATIOS = (0.56, 1.0, 2.0)


def output(saliency: Tensor, symmetric: tuple[bool, ...] | None = None, *, log_density: bool = True) -> SaliencyOutput:
    x, y = cells_to_pixels((saliency.shape[1], saliency.shape[2]), RESIZED, SIZE)
    score = torch.tensor([-3.0 if flag else 3.0 for flag in symmetric or [False] * len(saliency)])
    return SaliencyOutput(saliency, x, y, SIZE, lambda: score, log_density)


def maps(seed: int, count: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def peak(saliency: Tensor) -> tuple[int, int]:
    """Salient pixel, by hand."""
    row, column = divmod(int(saliency.flatten().argmax()), saliency.shape[1])
    scale = np.float32(2.0) if SIZE[0] / RESIZED[0] < SIZE[1] / RESIZED[1] else np.float32(SIZE[1] / RESIZED[1])
    x = np.float32(min(16 * column + 8, RESIZED[0] - 1)) * scale
    y = np.float32(min(16 * row + 8, RESIZED[1] - 1)) * scale
    return int(x), int(y)


def shows(point: tuple[int, int], region: Region, *, symmetric: bool = False) -> bool:
    """Whether every crop window shows all pixels of the region, by hand."""
    return shows_with(RATIOS, point, region, symmetric=symmetric)


def shows_with(ratios: tuple[float, ...], point: tuple[int, int], region: Region, *, symmetric: bool = False) -> bool:
    x0, y0, x1, y1 = region.x0 * SIZE[0], region.y0 * SIZE[1], region.x1 * SIZE[0], region.y1 * SIZE[1]
    for ratio in ratios:
        left, top, width, height = crop_window(*SIZE, point, ratio, symmetric=symmetric)
        if x0 < left - 1e-6 or y0 < top - 1e-6 or x1 > left + width + 1e-6 or y1 > top + height + 1e-6:
            return False
    return True


boxes = st.tuples(st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.02, 0.6), st.floats(0.02, 0.6)).map(
    lambda b: Region(b[0], b[1], min(1.0, b[0] + b[2]), min(1.0, b[1] + b[3]))
)
small_boxes = st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)).map(lambda b: Region(b[0], b[1], b[0] + 0.2, b[1] + 0.1))
seeds = st.integers(0, 2**31 - 1)


class TestPeakInRegion:
    @given(seed=seeds, region=boxes)
    def test_success_is_the_salient_cell_inside(self, seed: int, region: Region) -> None:
        saliency = maps(seed)
        x, y = cells_to_pixels(SHAPE, RESIZED, SIZE)
        row, column = divmod(int(saliency[0].argmax()), SHAPE[1])
        x0, y0, x1, y1 = region.pixels(*SIZE)
        columns = [c for c in range(SHAPE[1]) if x0 <= x[c] <= x1]
        rows = [r for r in range(SHAPE[0]) if y0 <= y[r] <= y1]
        if not columns or not rows:
            return  # between cells: a test of its own
        verdict = PeakInRegion([region])(output(saliency))
        assert bool(verdict.success) == (row in rows and column in columns)
        assert (float(verdict.loss) < 0) == bool(verdict.success)

    @given(seed=seeds, region=boxes)
    def test_success_by_column_is_the_greatest_column_sum_inside(self, seed: int, region: Region) -> None:
        saliency = maps(seed)
        x = cells_to_pixels(SHAPE, RESIZED, SIZE)[0]
        inside = [c for c in range(SHAPE[1]) if region.x0 * SIZE[0] <= x[c] <= region.x1 * SIZE[0]]
        if not inside:
            return
        column = int(saliency[0].exp().sum(0).argmax())
        verdict = PeakInRegion([region], by="column")(output(saliency))
        assert bool(verdict.success) == (column in inside)
        assert (float(verdict.loss) < 0) == bool(verdict.success)

    def test_a_region_between_cells_is_led_to_the_nearest_one_and_never_reached(self) -> None:
        """The salient point is in whole pixels; by column, where nothing is cropped, the nearest column will do."""
        saliency = torch.zeros(2, *SHAPE, dtype=torch.float64, requires_grad=True)
        with torch.no_grad():
            saliency[0, 3, 5], saliency[1, 3, 6] = 1, 1  # column 5 stands at x = 88 of 320, row 3 at y = 56 of 214
        x, y = 88.3 / 320, 56.4 / 214
        narrow = [Region(x, y, x + 1e-4, y + 1e-4)] * 2
        loss, success = PeakInRegion(narrow)(output(saliency))
        assert success.tolist() == [False, False]
        assert loss.tolist() == [-1, 1]
        (gradient,) = torch.autograd.grad(loss[1], saliency)
        assert gradient[1].flatten().argmin() == 3 * SHAPE[1] + 5
        by_column = PeakInRegion(narrow, by="column")(output(saliency))
        assert by_column.success.tolist() == [True, False]

    def test_one_pixel_decides(self) -> None:
        """A region whose edge stands on the salient point's own pixel holds it; half a pixel further, it does not."""
        saliency = torch.zeros(1, *SHAPE)
        saliency[0, 3, 5] = 1
        px, py = peak(saliency[0])
        for inwards, held in ((0.0, True), (0.5, False)):
            region = Region((px + inwards) / SIZE[0], 0, 1, 1)
            assert PeakInRegion([region])(output(saliency)).success.tolist() == [held]
            region = Region(0, 0, 1, (py - inwards) / SIZE[1])
            assert PeakInRegion([region])(output(saliency)).success.tolist() == [held]

    def test_cross_entropy_is_minus_the_log_of_the_share(self) -> None:
        saliency = maps(1)
        verdict = PeakInRegion([Region(0, 0, 0.5, 1)], loss="cross_entropy")(output(saliency))
        density = torch.softmax(saliency.flatten(), 0).view(SHAPE)
        assert float(verdict.loss) == pytest.approx(-np.log(float(density[:, :10].sum())))

    def test_a_density_and_its_logarithm_are_judged_alike(self) -> None:
        log = maps(2, 3)
        regions = [Region(0, 0, 0.5, 0.5), Region(0.5, 0.5, 1, 1), Region(0.2, 0, 0.6, 1)]
        objectives: list[Any] = [
            PeakInRegion(regions),
            PeakInRegion(regions, by="column"),
            PeakInRegion(regions, loss="cross_entropy"),
            CropContainsRegion([Region(0.4, 0.4, 0.6, 0.6)] * 3, RATIOS),
            CropContainsRegion([Region(0.4, 0.4, 0.6, 0.6)] * 3, RATIOS, loss="cross_entropy"),
        ]
        for objective in objectives:
            one, other = objective(output(log)), objective(output(log.exp(), log_density=False))
            torch.testing.assert_close(one.loss, other.loss)
            assert torch.equal(one.success, other.success)

    def test_the_whole_photo_is_always_a_success(self) -> None:
        for by in ("cell", "column"):
            saliency = maps(3).requires_grad_()
            verdict = PeakInRegion([Region(0, 0, 1, 1)], by=by)(output(saliency))  # type: ignore[arg-type]
            assert bool(verdict.success)
            assert float(verdict.loss.detach()) < 0
            (gradient,) = torch.autograd.grad(verdict.loss.sum(), saliency)
            assert torch.isfinite(gradient).all()


class TestCropContainsRegion:
    @settings(deadline=None)
    @given(seed=seeds, region=small_boxes)
    def test_success_is_that_all_windows_show_it(self, seed: int, region: Region) -> None:
        saliency = maps(seed, 4)
        objective = CropContainsRegion([region] * 4, RATIOS)
        possible = any(shows(peak(one_hot(r, c)), region) for r in range(SHAPE[0]) for c in range(SHAPE[1]))
        if not possible:
            with pytest.raises(InvalidInputError, match="no crop window can contain it"):
                objective(output(saliency))
            return
        verdict = objective(output(saliency))
        assert verdict.success.tolist() == [shows(peak(one), region) for one in saliency]
        assert torch.equal(verdict.loss < 0, verdict.success)

    def test_every_cell_agrees_with_brute_force(self) -> None:
        region = Region(0.55, 0.3, 0.75, 0.5)
        objective = CropContainsRegion([region], RATIOS)
        found = objective.cells(output(maps(0)), region, symmetric=False)
        expected = [[shows(peak(one_hot(r, c)), region) for c in range(SHAPE[1])] for r in range(SHAPE[0])]
        assert found.tolist() == expected
        assert 0 < found.sum() < found.size

    def test_symmetric_photos_are_cropped_at_the_middle(self) -> None:
        middle, left = Region(0.45, 0.45, 0.55, 0.55), Region(0.05, 0.45, 0.15, 0.55)
        saliency = torch.zeros(4, *SHAPE, dtype=torch.float64)
        saliency[:, 6, 0] = 1  # the peak stands far left
        saliency.requires_grad_()
        objective = CropContainsRegion([middle, middle, left, left], (1.0, 2.0))
        verdict = objective(output(saliency, (True, False, True, False)))
        assert verdict.success.tolist() == [True, False, False, True]
        # No middle window shows the left region: the symmetry has to break, by a score half beyond the threshold.
        assert float(verdict.loss[2].detach()) == 0.5 + 3
        (gradient,) = torch.autograd.grad(verdict.loss.sum(), saliency)
        assert gradient[2].abs().max() == 0
        assert gradient[1].abs().max() > 0

    def test_a_broken_symmetry_has_a_gradient(self) -> None:
        """The greater of the peak's loss and of 0.5 - asymmetry; success only with the symmetry gone."""
        left = Region(0.05, 0.45, 0.15, 0.55)
        saliency = torch.zeros(3, *SHAPE, dtype=torch.float64)
        saliency[:2, 6, 0], saliency[2, 6, 19] = 1, 1
        x, y = cells_to_pixels(SHAPE, RESIZED, SIZE)
        score = torch.tensor([-2.0, 0.1, -0.1], dtype=torch.float64, requires_grad=True)
        seen = SaliencyOutput(saliency.requires_grad_(), x, y, SIZE, lambda: score)
        objective = CropContainsRegion([left] * 3, (1.0, 2.0))
        loss, success = objective(seen)
        assert success.tolist() == [False, True, False]
        free = objective(output(saliency)).loss
        assert loss.tolist() == [2.5, float(free[1]), max(float(free[2]), 0.6)]
        by_score, by_map = torch.autograd.grad(loss.sum(), (score, saliency))
        assert by_score.tolist() == [-1, 0, 0]
        assert [bool(one.any()) for one in by_map] == [False, True, True]

    def test_a_symmetric_photo_takes_the_cheaper_way(self) -> None:
        """Above the middle: a row that the middle windows show is near, while the symmetry is far from breaking."""
        region = Region(0.45, 0.05, 0.55, 0.15)
        saliency = torch.zeros(1, *SHAPE, dtype=torch.float64)
        saliency[0, 12, 10] = 0.2
        ratios = (0.56,)
        assert not shows_with(ratios, peak(saliency[0]), region, symmetric=True)
        loss, success = CropContainsRegion([region], ratios)(output(saliency, (True,)))
        assert (loss.tolist(), success.tolist()) == ([0.2], [False])
        saliency[0, 1, 19] = 0.3  # far right: its own windows do not matter, the middle ones at its row do
        assert shows_with(ratios, peak(saliency[0]), region, symmetric=True)
        loss, success = CropContainsRegion([region], ratios)(output(saliency, (True,)))
        assert success.tolist() == [True]
        assert float(loss) == pytest.approx(-0.1)

    def test_what_no_window_can_hold_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"no crop window can contain it .* 640x427 px"):
            CropContainsRegion([Region(0, 0, 1, 1)], (1.0,))(output(maps(0)))
        with pytest.raises(InvalidInputError, match="no crop window can contain it"):
            CropContainsRegion([Region(0, 0, 1, 1)], (1.0,))(output(maps(0), (True,)))


def one_hot(row: int, column: int) -> Tensor:
    saliency = torch.zeros(SHAPE)
    saliency[row, column] = 1
    return saliency


CASES: dict[str, tuple[Callable[[int], Any], Callable[[Tensor], Any], tuple[int, ...]]] = {
    "cell_margin": (lambda n: PeakInRegion([Region(0.1, 0.2, 0.5, 0.6)] * n), output, SHAPE),
    "cell_entropy": (lambda n: PeakInRegion([Region(0.1, 0.2, 0.5, 0.6)] * n, loss="cross_entropy"), output, SHAPE),
    "column_margin": (lambda n: PeakInRegion([Region(0.6, 0, 0.8, 1)] * n, by="column"), output, SHAPE),
    "column_entropy": (
        lambda n: PeakInRegion([Region(0.6, 0, 0.8, 1)] * n, by="column", loss="cross_entropy"),
        output,
        SHAPE,
    ),
    "crop_margin": (lambda n: CropContainsRegion([Region(0.4, 0.4, 0.6, 0.6)] * n, RATIOS), output, SHAPE),
    "crop_entropy": (
        lambda n: CropContainsRegion([Region(0.4, 0.4, 0.6, 0.6)] * n, RATIOS, loss="cross_entropy"),
        output,
        SHAPE,
    ),
    "map_mse": (lambda n: MapDistance(maps(9, 1).expand(n, *SHAPE)), output, SHAPE),
    "map_kl": (lambda n: MapDistance(maps(9, 1).expand(n, *SHAPE), "kl"), output, SHAPE),
    "score_below": (lambda n: ScoreBeyond([0.3] * n, "below"), lambda scores: scores, ()),
    "score_above": (lambda n: ScoreBeyond([0.3] * n, "above"), lambda scores: scores, ()),
    "score_distance": (lambda n: ScoreDistance(torch.full((n,), 0.7, dtype=torch.float64)), lambda scores: scores, ()),
    "label_is": (lambda n: LabelIs([2] * n), lambda logits: logits, (5,)),
    "label_is_entropy": (lambda n: LabelIs([2] * n, loss="cross_entropy"), lambda logits: logits, (5,)),
    "label_out": (lambda n: LabelOut([2] * n, k=2), lambda logits: logits, (5,)),
    "label_distance": (lambda n: LabelDistance(torch.full((n, 5), 0.2)), lambda logits: logits, (5,)),
}


@pytest.mark.parametrize("case", CASES)
class TestEveryObjective:
    def values(self, case: str, count: int) -> Tensor:
        return torch.randn(count, *CASES[case][2], generator=torch.Generator().manual_seed(count), dtype=torch.float64)

    def test_gradient_against_finite_differences(self, case: str) -> None:
        make, wrap, _ = CASES[case]
        values = self.values(case, 2).requires_grad_()
        assert torch.autograd.gradcheck(lambda v: make(2)(wrap(v)).loss, (values,), eps=1e-6, atol=1e-6)

    def test_a_sample_is_judged_the_same_alone(self, case: str) -> None:
        make, wrap, _ = CASES[case]
        values = self.values(case, 5)
        together = make(5)(wrap(values))
        assert together.loss.shape == together.success.shape == (5,)
        assert together.success.dtype == torch.bool
        for i in range(5):
            alone = make(1)(wrap(values[i : i + 1]))
            torch.testing.assert_close(alone.loss[0], together.loss[i], rtol=1e-12, atol=1e-12)
            assert alone.success[0] == together.success[i]

    def test_a_loss_depends_on_its_own_sample_only(self, case: str) -> None:
        make, wrap, _ = CASES[case]
        values = self.values(case, 3).requires_grad_()
        (gradient,) = torch.autograd.grad(make(3)(wrap(values)).loss[1], values)
        assert gradient[0].abs().sum() == gradient[2].abs().sum() == 0
        assert gradient[1].abs().sum() > 0

    def test_too_many_or_too_few_samples(self, case: str) -> None:
        make, wrap, _ = CASES[case]
        with pytest.raises(InvalidInputError):
            make(2)(wrap(self.values(case, 3)))

    def test_length_is_the_number_of_samples(self, case: str) -> None:
        objective = CASES[case][0](4)
        assert len(objective) == 4
        assert len(objective.take([2, 0])) == 2
        assert len(objective) == 4


def test_take_follows_the_order_asked_for() -> None:
    left, right = Region(0, 0, 0.5, 1), Region(0.5, 0, 1, 1)
    saliency = torch.zeros(2, *SHAPE)
    saliency[0, 4, 3] = saliency[1, 4, 15] = 1  # left, right
    both: Objective = PeakInRegion([left, right])
    assert both(output(saliency)).success.tolist() == [True, True]
    assert both.take([1, 0])(output(saliency)).success.tolist() == [False, False]
    assert both.take([1, 0])(output(saliency.flip(0))).success.tolist() == [True, True]
    assert both.take([1])(output(saliency[1:])).success.tolist() == [True]
    distance = MapDistance(saliency).take([1, 0])
    assert distance(output(saliency.flip(0))).loss.tolist() == [0, 0]
    assert ScoreBeyond([1.0, 5.0], "below").take([1])(torch.tensor([4.0])).success.tolist() == [True]


def test_map_distances_by_hand() -> None:
    saliency, y = maps(4, 2), maps(5, 2)
    mse = MapDistance(y)(output(saliency)).loss
    np.testing.assert_allclose(mse.numpy(), ((saliency - y).numpy() ** 2).sum((1, 2)))
    kl = MapDistance(y, "kl")(output(saliency)).loss
    p, q = (v.flatten(1).softmax(1).numpy() for v in (y, saliency))
    np.testing.assert_allclose(kl.numpy(), (p * np.log(p / q)).sum(1), rtol=1e-9)
    with pytest.raises(InvalidInputError, match="y: maps of shape"):
        MapDistance(y[:, 1:])(output(saliency))


def test_scores_at_the_bound_count() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0])
    below = ScoreBeyond([2.0, 2.0, 2.0], "below")(scores)
    assert (below.loss.tolist(), below.success.tolist()) == ([-1, 0, 1], [True, True, False])
    above = ScoreBeyond([2.0, 2.0, 2.0], "above")(scores)
    assert (above.loss.tolist(), above.success.tolist()) == ([1, 0, -1], [False, True, True])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: PeakInRegion([]), "regions"),
        (lambda: PeakInRegion(Region(0, 0, 1, 1)), "regions"),
        (lambda: PeakInRegion([(0, 0, 1, 1)]), "regions"),
        (lambda: PeakInRegion([Region(0, 0, 1, 1)], by="row"), "by"),
        (lambda: PeakInRegion([Region(0, 0, 1, 1)], loss="hinge"), "loss"),
        (lambda: CropContainsRegion([], RATIOS), "regions"),
        (lambda: CropContainsRegion([Region(0, 0, 1, 1)], ()), "ratios"),
        (lambda: CropContainsRegion([Region(0, 0, 1, 1)], (0,)), "ratios"),
        (lambda: CropContainsRegion([Region(0, 0, 1, 1)], RATIOS, loss="hinge"), "loss"),
        (lambda: MapDistance(torch.zeros(1, 2, 2), "mae"), "loss"),
        (lambda: ScoreBeyond([], "below"), "bounds"),
        (lambda: ScoreBeyond(50.0, "below"), "bounds"),
        (lambda: ScoreBeyond([float("nan")], "below"), "bounds"),
        (lambda: ScoreBeyond([1.0], "under"), "direction"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name}: "):
        make()


def test_labels_are_ranked_as_argsort_ranks_them() -> None:
    logits = torch.randn(200, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits[::3, 2] = logits[::3, 4]  # ties
    labels = np.random.default_rng(0).integers(0, 6, 200)
    order = np.argsort(-logits.numpy(), axis=1, kind="stable")
    rank = np.array([list(row).index(label) for row, label in zip(order, labels, strict=True)])
    for loss in ("margin", "cross_entropy"):
        assert np.array_equal(LabelIs(labels, loss=loss)(logits).success, rank == 0)  # type: ignore[arg-type]
        for k in (1, 2, 5):
            assert np.array_equal(LabelOut(labels, k=k, loss=loss)(logits).success, rank >= k)  # type: ignore[arg-type]
    assert np.array_equal(LabelIs(logits.argmax(1).numpy())(logits).success, np.ones(200, bool))
    for wish in (LabelIs(labels), LabelOut(labels, k=3)):
        loss, success = wish(logits)
        assert (loss[success] <= 0).all()
        assert (loss[~success] >= 0).all()
        part = wish.take([7, 3])(logits[[7, 3]])
        assert torch.equal(part.loss, loss[[7, 3]])


@pytest.mark.parametrize(
    "bad",
    [
        lambda z: LabelIs([]),
        lambda z: LabelIs([1.5]),
        lambda z: LabelIs([-1]),
        lambda z: LabelIs([0], loss="mse"),  # type: ignore[arg-type]
        lambda z: LabelOut([0], k=0),
        lambda z: LabelIs([3])(z),
        lambda z: LabelOut([0], k=3)(z),
        lambda z: LabelIs([0, 1])(z),
        lambda z: LabelDistance(torch.ones(1, 4))(z),
    ],
)
def test_labels_that_make_no_sense(bad: Callable[[Tensor], Any]) -> None:
    with pytest.raises(InvalidInputError):
        bad(torch.zeros(1, 3))


class TestJoined:
    """``&``: success is that of all, the loss the greatest."""

    def parts(self, count: int = 4) -> list[Any]:
        return [
            PeakInRegion([Region(0, 0, 0.6, 1)] * count),
            PeakInRegion([Region(0.3, 0, 1, 1)] * count, by="column"),
            CropContainsRegion([Region(0.4, 0.4, 0.6, 0.6)] * count, (1.0,)),
        ]

    @given(seed=seeds)
    def test_all_succeed_and_the_worst_counts(self, seed: int) -> None:
        seen, parts = output(maps(seed, 4)), self.parts()
        first, second, third = (part(seen) for part in parts)
        for joined in (parts[0] & parts[1] & parts[2], parts[0] & (parts[1] & parts[2]), And(*parts)):
            loss, success = joined(seen)
            rows = zip(first.loss.tolist(), second.loss.tolist(), third.loss.tolist(), strict=True)
            assert loss.tolist() == [max(row) for row in rows]
            flags = zip(first.success.tolist(), second.success.tolist(), third.success.tolist(), strict=True)
            assert success.tolist() == [all(row) for row in flags]
            assert len(joined.parts) == 3
            assert (len(joined), joined.task) == (4, "saliency")

    def test_the_gradient_is_that_of_the_worst(self) -> None:
        values = maps(5, 4).requires_grad_()
        one, other = self.parts()[:2]
        losses = torch.stack([part(output(values)).loss for part in (one, other)])
        (joined,) = torch.autograd.grad((one & other)(output(values)).loss.sum(), values, retain_graph=True)
        for i, worst in enumerate(losses.argmax(0).tolist()):
            (alone,) = torch.autograd.grad(losses[worst, i], values, retain_graph=True)
            assert torch.equal(joined[i], alone[i])
        assert len(set(losses.argmax(0).tolist())) == 2

    def test_take_keeps_samples_together(self) -> None:
        regions = [Region(0, 0, 0.5, 1), Region(0.5, 0, 1, 1), Region(0, 0, 1, 0.5)]
        joined = PeakInRegion(regions) & DarkMap(3)
        values = maps(6, 3)
        whole = joined(output(values))
        part = joined.take([2, 0])(output(values[[2, 0]]))
        assert part.loss.tolist() == whole.loss[[2, 0]].tolist()
        assert part.success.tolist() == whole.success[[2, 0]].tolist()
        assert (joined & joined).task == "saliency"

    def test_labels_and_scores(self) -> None:
        scores = torch.tensor([1.0, 2.0, 3.0])
        band = ScoreBeyond([2.5] * 3, "below") & ScoreBeyond([1.5] * 3, "above")
        assert band(scores).success.tolist() == [False, True, False]
        assert band(scores).loss.tolist() == [0.5, -0.5, 0.5]
        logits = torch.tensor([[3.0, 2.0, 1.0], [2.0, 3.0, 1.0]])
        neither = LabelOut([0, 0]) & LabelOut([1, 1])
        assert neither(logits).success.tolist() == [False, False]
        assert (LabelIs([0, 1]) & LabelOut([2, 2]))(logits).success.tolist() == [True, True]

    def test_what_does_not_go_together(self) -> None:
        peaks = PeakInRegion([Region(0, 0, 1, 1)] * 2)
        for other, said in (
            (ScoreBeyond([1.0, 1.0], "below"), "of one task can be joined by &, not of quality and saliency"),
            (PeakInRegion([Region(0, 0, 1, 1)]), r"as many samples .* not \[1, 2\]"),
            (len, "an objective is needed on both sides of &"),
        ):
            with pytest.raises(InvalidInputError, match=f"^objectives: .*{said}"):
                peaks & other  # type: ignore[operator]
        with pytest.raises(InvalidInputError, match=r"^objectives: at least two"):
            And(peaks)

    def test_evidence_is_the_sum(self) -> None:
        values, parts = maps(7, 4), self.parts()
        expected = sum(evidence(part, output(values)) for part in parts)
        assert torch.equal(evidence(And(*parts), output(values)), torch.as_tensor(expected))


class DarkMap(Objective):
    """An objective of any task, by a stranger: the mean of the map is small."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __call__(self, seen: SaliencyOutput) -> Verdict:
        loss = seen.saliency.mean((1, 2))
        return Verdict(loss, loss < 0)

    def take(self, indices: Any) -> DarkMap:
        return DarkMap(len(indices))
