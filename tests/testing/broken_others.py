"""Attacks, metrics and datasets that each break one rule, and which checks of the kit must say so."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from art_crop.attacks import SaliencyPeakFGM
from art_crop.metrics import PSNR, MetricRecord
from art_crop.testing import AttackConformance, DatasetConformance, MetricConformance


class BrokenAttack(AttackConformance):
    kind: ClassVar[Any]
    caught_by: ClassVar[set[str]] = set()
    and_more: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = {"eps": 1.0, "quantize": False}

    @pytest.fixture
    def make_attack(self) -> Any:
        return lambda estimator, **kwargs: self.kind(estimator, **{**self.options, **kwargs})


class Changed(SaliencyPeakFGM):
    """An attack whose results are true, whatever became of the photos afterwards."""

    def change(self, x: Any, found: Any) -> Any:
        raise NotImplementedError

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        changed = self.change(x, super().generate(x, y, **kwargs))
        flat = (changed.astype(np.float64) - x).reshape(len(x), -1)
        sizes = zip(self.results, np.linalg.norm(flat, axis=1), np.abs(flat).max(1), strict=True)
        self.results = [replace(result, l2=float(l2), linf=float(linf)) for result, l2, linf in sizes]
        return changed


class Exceeds(Changed):
    def change(self, x: Any, found: Any) -> Any:
        return np.clip(x + 1.5 * (found - x), 0, 1).astype(np.float32)


class RoundsUp(Changed):
    def change(self, x: Any, found: Any) -> Any:
        return (found + np.sign(found - x) / 255).clip(0, 1).astype(np.float32)


class Overwrites(Changed):
    def change(self, x: Any, found: Any) -> Any:
        if x.flags.writeable:
            x[:] = x / 2
        return found


class DoublePrecision(Changed):
    def change(self, x: Any, found: Any) -> Any:
        return found.astype(np.float64)


class OutOfRange(Changed):
    def change(self, x: Any, found: Any) -> Any:
        found.reshape(len(found), -1)[:, 0] = 1.2
        return found


class GloballyRandom(Changed):
    def change(self, x: Any, found: Any) -> Any:
        return (x + (found - x) * random.uniform(0.5, 1.0)).astype(np.float32)


class DependsOnThePlace(Changed):
    def change(self, x: Any, found: Any) -> Any:
        shares = np.random.default_rng(self.seed).uniform(0.5, 1, len(x)).reshape(-1, 1, 1, 1)
        return (x + (found - x) * shares).astype(np.float32)


class SwallowsKeywords(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, *, mask: Any = None, **kwargs: Any) -> Any:
        return super().generate(x, y, mask=mask)


class IgnoresTheMask(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, *, mask: Any = None, **kwargs: Any) -> Any:
        super().generate(x, y, mask=mask)
        return super().generate(x, y, **kwargs)


class Hasty(SaliencyPeakFGM):
    def set_params(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            if name in self.attack_params:
                setattr(self, name, value)
        super().set_params(**kwargs)


class Tolerant(SaliencyPeakFGM):
    def _check_params(self) -> None:
        kept, self.max_iter = self.max_iter, 1
        try:
            super()._check_params()
        finally:
            self.max_iter = kept


class LeavesTraining(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        self.estimator.model.train()
        return super().generate(x, y, **kwargs)


class Talks(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        print("attacking")
        return super().generate(x, y, **kwargs)


class Boasts(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        found = super().generate(x, y, **kwargs)
        self.results = [replace(result, l2=result.l2 / 2) for result in self.results]
        return found


class TakesAnyPhoto(SaliencyPeakFGM):
    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        return super().generate(np.nan_to_num(x, nan=0.5, posinf=1.0), y, **kwargs)


class TakesAnyEstimator(SaliencyPeakFGM):
    @staticmethod
    def is_estimator_valid(estimator: Any, estimator_requirements: Any) -> bool:
        return True


class TestTakesAnyEstimator(BrokenAttack):
    kind = TakesAnyEstimator
    caught_by = {"test_estimators_of_another_kind_are_refused"}


class TestExceeds(BrokenAttack):
    kind = Exceeds
    caught_by = {"test_the_budget_holds"}
    says: ClassVar[str] = "the budget is exceeded"


class TestRoundsUp(BrokenAttack):
    kind = RoundsUp
    options = {"eps": 1.0}
    caught_by = {"test_the_budget_holds"}


class TestOverwrites(BrokenAttack):
    kind = Overwrites
    and_more = True
    caught_by = {"test_the_callers_arrays_are_not_written_into"}


class TestDoublePrecision(BrokenAttack):
    kind = DoublePrecision
    caught_by = {"test_generate_returns_photos", "test_strided_and_float64_photos_give_the_same"}


class TestOutOfRange(BrokenAttack):
    kind = OutOfRange
    caught_by = {"test_generate_returns_photos", "test_the_budget_holds", "test_masked_pixels_do_not_change"}


class TestGloballyRandom(BrokenAttack):
    kind = GloballyRandom
    caught_by = {
        "test_the_same_again_whatever_the_global_seeds",
        "test_the_model_and_global_state_are_left_alone",
        "test_a_photo_gets_the_same_alone_and_in_any_batch",
        "test_strided_and_float64_photos_give_the_same",
        "test_channels_last_photos_give_the_same",
    }


class TestDependsOnThePlace(BrokenAttack):
    kind = DependsOnThePlace
    caught_by = {"test_a_photo_gets_the_same_alone_and_in_any_batch"}


class TestSwallowsKeywords(BrokenAttack):
    kind = SwallowsKeywords
    caught_by = {"test_unknown_keywords_are_refused"}
    says: ClassVar[str] = "generate with an unknown keyword: accepted without a word"


class TestIgnoresTheMask(BrokenAttack):
    kind = IgnoresTheMask
    caught_by = {"test_masked_pixels_do_not_change"}


class TestHastyAttack(BrokenAttack):
    kind = Hasty
    caught_by = {"test_bad_parameters_are_refused_and_do_not_stay"}
    says: ClassVar[str] = "was refused, yet"


class TestTolerant(BrokenAttack):
    kind = Tolerant
    caught_by = {"test_bad_parameters_are_refused_and_do_not_stay"}
    says: ClassVar[str] = "max_iter=-1: accepted without a word"


class TestAttackLeavesTraining(BrokenAttack):
    kind = LeavesTraining
    caught_by = {"test_the_model_and_global_state_are_left_alone"}


class TestTalks(BrokenAttack):
    kind = Talks
    caught_by = {"test_nothing_is_printed_unless_asked_for"}


class TestBoasts(BrokenAttack):
    kind = Boasts
    caught_by = {"test_results_tell_the_truth"}


class TestTakesAnyPhoto(BrokenAttack):
    kind = TakesAnyPhoto
    caught_by = {f"test_bad_photos_are_refused[photos with {what}]" for what in ("a NaN", "an infinity")}


class BrokenMetric(MetricConformance):
    record: ClassVar[MetricRecord] = PSNR
    caught_by: ClassVar[set[str]] = set()

    @pytest.fixture
    def metric(self) -> Any:
        return self.record


def jittery(original: Any, changed: Any) -> float:
    """PSNR and some noise."""
    return PSNR(original, changed) + random.random()


def negative(original: Any, changed: Any) -> float:
    """Minus the distance."""
    return -float(np.abs(np.float64(unit(original)) - unit(changed)).mean())


def unit(photo: Any) -> Any:
    PSNR(photo, photo)  # for its checks
    return photo / 255 if photo.dtype == np.uint8 else photo


def painting(original: Any, changed: Any) -> float:
    """PSNR, after which the photo is black."""
    value = PSNR(original, changed)
    if changed.flags.writeable:
        changed[:] = 0
    return value


def tolerant(original: Any, changed: Any, **kwargs: Any) -> float:
    """PSNR that swallows keywords."""
    return PSNR(original, changed)


def careless(original: Any, changed: Any) -> float:
    """Distance of whatever is given."""
    try:
        return float(np.nan_to_num(np.abs(np.float64(original) - np.float64(changed)).mean()))
    except (TypeError, ValueError):
        return 0.0


class TestWrongDirection(BrokenMetric):
    record = replace(PSNR, direction="lower")
    caught_by = {"test_the_direction_is_true"}


class TestWrongRange(BrokenMetric):
    record = replace(PSNR, function=negative)
    caught_by = {"test_values_are_numbers_in_the_stated_range"}


class TestNoUnit(BrokenMetric):
    record = replace(PSNR, unit=None)  # type: ignore[arg-type]
    caught_by = {"test_the_record_says_what_the_number_means"}


class TestJittery(BrokenMetric):
    record = replace(PSNR, function=jittery)
    caught_by = {"test_the_same_again", "test_the_callers_arrays_are_not_written_into"}


class TestPainting(BrokenMetric):
    record = replace(PSNR, function=painting)
    caught_by = {"test_the_callers_arrays_are_not_written_into", "test_the_same_again"}


class TestTolerantMetric(BrokenMetric):
    record = replace(PSNR, function=tolerant)
    caught_by = {"test_unknown_keywords_are_refused"}


class TestCareless(BrokenMetric):
    record = replace(PSNR, direction="lower", function=careless)
    caught_by = {"test_bad_arguments_are_refused"}


class TestStatedSymmetricButNot(BrokenMetric):
    symmetric = True
    record = replace(PSNR, function=lambda original, changed: PSNR(original, changed) + original[0, 0, 0] / 1e3)
    caught_by = {
        "test_the_order_of_arguments_does_not_matter_where_that_is_stated",
        "test_the_record_says_what_the_number_means",
    }


@dataclass
class Item:
    name: str
    pixels: Any

    def load(self) -> Any:
        return self.pixels.copy()


class Shared(Item):
    def load(self) -> Any:
        return self.pixels


class Photos(Sequence[Item]):
    """An honest dataset in memory."""

    item = Item
    dtype: Any = np.uint8

    def __init__(self) -> None:
        self.items = [self.item(f"{i}.png", np.full((8, 9, 3), i, self.dtype)) for i in range(5)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


class Shuffled(Photos):
    def __iter__(self) -> Any:
        start = random.randrange(1, len(self.items))  # never the order of the indices, not even by chance
        return iter(self.items[start:] + self.items[:start])


class Floats(Photos):
    dtype = np.float32


class KeepsWhatItGave(Photos):
    item = Shared


class Endless(Photos):
    def __getitem__(self, index: Any) -> Any:
        return self.items[index % len(self.items)] if isinstance(index, int) else self.items[index]

    def __iter__(self) -> Any:
        return iter(self.items)


class SameNames(Photos):
    def __init__(self) -> None:
        super().__init__()
        for item in self.items:
            item.name = "photo.png"


class AnyFolder(Photos):
    def __init__(self, root: Any = ".") -> None:
        super().__init__()
        self.root = Path(root)


class BrokenDataset(DatasetConformance):
    kind: ClassVar[Any] = Photos
    caught_by: ClassVar[set[str]] = set()

    @pytest.fixture
    def dataset(self) -> Any:
        return self.kind()


class TestHonest(BrokenDataset):
    pass


class TestShuffled(BrokenDataset):
    kind = Shuffled
    caught_by = {
        "test_the_order_is_always_the_same",
        "test_indices_follow_pythons_rules",
        "test_reading_leaves_global_state_alone",
    }


class TestFloats(BrokenDataset):
    kind = Floats
    caught_by = {"test_photos_are_uint8_rgb"}


class TestKeepsWhatItGave(BrokenDataset):
    kind = KeepsWhatItGave
    caught_by = {"test_a_photo_is_read_afresh_each_time"}


class TestEndless(BrokenDataset):
    kind = Endless
    caught_by = {"test_indices_follow_pythons_rules"}


class TestSameNames(BrokenDataset):
    kind = SameNames
    caught_by = {"test_items_have_names_of_their_own"}


class TestAnyFolder(BrokenDataset):
    kind = AnyFolder
    caught_by = {"test_a_wrong_folder_is_named"}
