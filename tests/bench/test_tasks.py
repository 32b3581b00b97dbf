"""Tasks: what is wanted of a photo, what the written file says of it, and maps for a report's pictures."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import art_crop
from art_crop.bench.tasks import NotMeasured, Sample
from art_crop.bench.tasks.saliency import SecondPeak
from art_crop.errors import InvalidInputError
from art_crop.objectives import LabelIs, LabelOut, SaliencyOutput, ScoreBeyond

PIXELS = np.zeros((48, 64, 3), np.uint8)
CHANGE = {"psnr": 50.0, "l2": 0.1, "linf": 1 / 255}


def saliency(density: Any, *, log_density: bool = True) -> SaliencyOutput:
    values = torch.from_numpy(np.asarray(density, np.float32))[None]
    height, width = values.shape[1:]
    x = (np.arange(width, dtype=np.float32) + 0.5) * 64 / width
    y = (np.arange(height, dtype=np.float32) + 0.5) * 48 / height
    return SaliencyOutput(values.log() if log_density else values, x, y, (64, 48), lambda: torch.ones(1), log_density)


def sample(output: Any, **more: Any) -> Sample:
    return Sample(PIXELS, output, SimpleNamespace(**more.pop("estimator", {})), **more)


def two_peaks(first: float, second: float) -> Any:
    density = np.full((3, 4), 0.1)
    density[1, 0], density[1, 3] = first, second
    return density


def test_the_second_maximum_is_the_target_and_the_file_says_how_far_the_peak_went() -> None:
    task = art_crop.load_task("second-peak")
    before = sample(saliency(two_peaks(1.0, 0.8)))
    target = task.target(before)
    assert (target.known["start"], target.known["target"], target.known["columns"]) == (0, 3, 4)
    assert target.known["ratio"] == pytest.approx(1.0 / 1.2)  # columns of 0.8 + 0.1 + 0.1 and 1.0 + 0.1 + 0.1
    assert not bool(task.objective([target])(before.output).success[0])
    moved, stayed = saliency(two_peaks(0.8, 1.0)), saliency(two_peaks(1.0, 0.9))
    assert bool(task.objective([target])(moved).success[0])
    reached = task.outcome(before, target, moved, CHANGE)
    assert (reached.success, reached.success_before) == (True, False)
    assert reached.metrics == {
        "shift": 1.0,
        "shift-over-width": pytest.approx(0.75),
        "ratio": target.known["ratio"],
        "way": 48.0,
    }
    assert task.outcome(before, target, stayed, CHANGE).metrics["shift"] == 0


def test_maps_are_kept_only_where_photos_are() -> None:
    task = SecondPeak()
    for keep in (False, True):
        one = sample(saliency(two_peaks(1.0, 0.8)), keep_images=keep)
        details = task.outcome(one, task.target(one), one.output, CHANGE).details
        assert ("saliency_before" in details) == keep
        assert details["salient_point_before"] == [8, 24]
        assert len(details["crops_after"]) == len(details["ratios"]) == 4


@pytest.mark.parametrize("log_density", [True, False])
def test_drawn_maps_are_means_of_the_density(log_density: bool) -> None:
    from art_crop.bench.tasks.saliency import _levels

    density = np.random.default_rng(0).uniform(0.1, 1, (30, 64)).astype(np.float32)
    fine = np.kron(density, np.ones((2, 4), np.float32))  # 60 rows stay, 256 columns become 64
    maps = (SimpleNamespace(saliency_map=np.log(m) if log_density else m) for m in (density, fine))
    small, large = (np.array(_levels(one, log_density)) for one in maps)
    wanted = density.astype(float) if log_density else density.astype(float) - density.min()
    assert small.shape == (30, 64)
    assert np.abs(small - 255 * wanted / wanted.max()).max() <= 0.51
    assert large.shape == (60, 64)
    assert np.abs(large[::2] - small).max() <= 1


def test_an_empty_map_has_no_saliency() -> None:
    from art_crop.bench.tasks.saliency import _levels

    assert _levels(SimpleNamespace(saliency_map=np.zeros((2, 2), np.float32)), False) == [[0, 0], [0, 0]]  # type: ignore[arg-type]


def test_a_box_is_shown_at_a_psnr_of_the_written_file() -> None:
    task = art_crop.load_task("crop-window", ratios=(1.0,), box=(0.2, 0.2), min_psnr=45.0)
    before = sample(saliency(two_peaks(1.0, 0.8)))
    target, moved = task.target(before), saliency(two_peaks(0.8, 1.0))
    assert target.y.x1 == pytest.approx(0.975)
    good, poor = (task.outcome(before, target, moved, {**CHANGE, "psnr": psnr}) for psnr in (45.1, 44.9))
    assert (good.success, poor.success, poor.metrics["shown"]) == (True, False, 1.0)
    with pytest.raises(NotMeasured, match="no crop window can contain it") as refused:
        art_crop.load_task("crop-window", ratios=(1.0,), box=(0.9, 0.2)).target(before)
    assert refused.value.kind == "impossible"


class TestScore:
    def test_a_bound(self) -> None:
        task = art_crop.load_task("score", below=4.0)
        before = sample(torch.tensor([5.0]), estimator={"score_range": (1.0, 10.0)})
        target = task.target(before)
        assert isinstance(task.y([target]), ScoreBeyond)
        for score, success in ((3.9, True), (4.1, False)):
            outcome = task.outcome(before, target, torch.tensor([score]), CHANGE)
            assert outcome.success is success
            assert outcome.metrics["score-change"] == pytest.approx(score - 5)
        assert "below 4" in task.reached()

    def test_a_change(self) -> None:
        task = art_crop.load_task("score", change=2.0)
        before = sample(torch.tensor([5.0]), estimator={"score_range": (1.0, 10.0)})
        assert task.target(before).y == 7.0
        high = sample(torch.tensor([9.5]), estimator={"score_range": (1.0, 10.0)})
        with pytest.raises(NotMeasured, match="not on the model's scale"):
            task.target(high)

    @pytest.mark.parametrize(("towards", "higher", "side"), [
        ("better", True, "above"), ("worse", True, "below"), ("better", False, "below"), ("worse", False, "above"),
    ])  # fmt: skip
    def test_as_far_as_it_goes_to_the_end_of_the_models_own_scale(self, towards: str, higher: bool, side: str) -> None:
        task = art_crop.load_task("score", towards=towards)
        before = sample(torch.tensor([5.0]), estimator={"score_range": (1.0, 10.0), "higher_is_better": higher})
        target = task.target(before)
        assert (target.y, task.objective([target]).direction) == ((10.0, side) if side == "above" else (1.0, side))
        outcome = task.outcome(before, target, torch.tensor([9.0]), CHANGE)
        assert not outcome.success
        # By hand, on a scale from 0 to 1 where 1 is best: 4/9 -> 8/9, or where lower is better 5/9 -> 1/9.
        first, gain = (4 / 9, 4 / 9) if higher else (5 / 9, -4 / 9)
        assert outcome.metrics == {
            "score": 9.0,
            "score-before": 5.0,
            "score-change": 4.0,
            "relative-gain": pytest.approx(gain / (first + 1)),
            "robustness-score": pytest.approx(math.log10(max(4 / 9, 5 / 9) / (4 / 9)), abs=1e-5),
        }
        assert ("best" if towards == "better" else "worst") in task.reached()
        endless = sample(torch.tensor([5.0]))
        with pytest.raises(NotMeasured, match="not on the model's scale"):
            task.target(endless)

    def test_scores_off_the_scale_have_no_robustness_score(self) -> None:
        task = art_crop.load_task("score", below=4.0)
        for estimator in ({"score_range": (1.0, 10.0)}, {}):
            before = sample(torch.tensor([10.5]), estimator=estimator)
            metrics = task.outcome(before, task.target(before), torch.tensor([3.0]), CHANGE).metrics
            assert set(metrics) == {"score", "score-before", "score-change"}

    @pytest.mark.parametrize("options", [{}, {"below": 1, "above": 2}, {"below": "low"}, {"change": 0}, {"beneath": 1},
                                         {"towards": "up"}, {"towards": "better", "change": 1}])  # fmt: skip
    def test_bad_options(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError):
            art_crop.load_task("score", **options)


class TestLabel:
    LOGITS = torch.tensor([[3.0, 1.0, 2.0, 0.0]])

    def test_the_decision_changes(self) -> None:
        task = art_crop.load_task("label")
        before = sample(self.LOGITS, estimator={"labels": ("cat", "dog", "owl", "elk")})
        target = task.target(before)
        assert isinstance(task.y([target]), LabelOut)
        outcome = task.outcome(before, target, torch.tensor([[2.0, 1.0, 2.5, 0.0]]), CHANGE)
        assert (outcome.success, outcome.metrics["rank"]) == (True, 2.0)
        assert outcome.details == {"label before": "cat", "label after": "owl"}
        assert outcome.metrics["probability-before"] == pytest.approx(float(self.LOGITS.double().softmax(1)[0, 0]))

    def test_photos_that_the_model_gets_wrong_are_left_out(self) -> None:
        task = art_crop.load_task("label", correct_only=True)
        labels = {"labels": ("n01440764 tench", "n01496331 electric ray", "n01530575 brambling", "n01558993 robin")}
        for name in ("n01440764_tench.JPEG", "val/n01440764.jpg"):
            assert task.target(sample(self.LOGITS, estimator=labels, name=name)).y == 0
        assert task.target(sample(self.LOGITS, name="Places365_val_00000001.jpg", label=0)).y == 0
        for known in ({"estimator": labels, "name": "n01530575_brambling.JPEG"}, {"label": 2}):
            with pytest.raises(NotMeasured, match="number 0, is not the true one, number 2") as refused:
                task.target(sample(self.LOGITS, **known))
            assert refused.value.kind == "excluded"
        for unknown in ({"name": "n01440764_tench.JPEG"}, {"estimator": labels, "name": "photo.jpg"}):
            with pytest.raises(NotMeasured, match="not known"):
                task.target(sample(self.LOGITS, **unknown))

    def test_the_gap_is_relative_to_the_first_class(self) -> None:
        task = art_crop.load_task("label")
        before = sample(self.LOGITS)
        after = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()
        outcome = task.outcome(before, task.target(before), after, CHANGE)
        assert outcome.metrics["confidence-gap"] == pytest.approx(0.75)

    def test_a_wanted_class(self) -> None:
        task = art_crop.load_task("label", target=2)
        target = task.target(sample(self.LOGITS))
        assert isinstance(task.objective([target]), LabelIs)
        with pytest.raises(NotMeasured, match="already"):
            art_crop.load_task("label", target=0).target(sample(self.LOGITS))
        with pytest.raises(InvalidInputError, match="4 classes"):
            art_crop.load_task("label", target=4).target(sample(self.LOGITS))
