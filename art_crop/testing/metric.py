"""Conformance of metrics: the record tells the truth about the number."""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from art_crop.testing import doubles
from art_crop.testing.checks import global_state_kept, same, unchanged

__all__ = ["MetricConformance"]

Array = np.ndarray[Any, Any]
Arguments = tuple[Any, ...]


class MetricConformance:
    """Subclass it, and give it the record as the fixture ``metric``.

    A metric of two photos needs nothing more. For a metric of a saliency map set ``of = "fixations"`` or ``"density"``;
    for one of anything else override the fixture ``examples``, and ``bad_examples`` if arguments are not arrays.
    """

    of: ClassVar[Literal["photos", "fixations", "density"]] = "photos"
    """What it is called with: two photos uint8 (H, W, 3); a map (H, W) and fixations (n, 2); a map and a density."""
    symmetric: ClassVar[bool] = False
    """Whether the order of the two arguments is stated not to matter."""

    @pytest.fixture
    def metric(self) -> Any:
        """The record."""
        pytest.fail(f"{type(self).__name__}: define a pytest fixture `metric` that returns your record", pytrace=False)

    @pytest.fixture
    def examples(self) -> list[Arguments]:
        """Arguments in order of quality: the first are the best, each after them worse or equal."""
        rng = np.random.default_rng(0)
        if self.of == "photos":
            original = np.rint(doubles.photos(1, 40, 56)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
            noise = rng.normal(0, 1, original.shape)
            noisy = [np.clip(np.rint(original + size * noise), 0, 255).astype(np.uint8) for size in (2, 8, 32)]
            return [(original, original.copy()), *((original, one) for one in noisy)]
        rows, columns = np.mgrid[:40, :56]

        def blob(x: float, y: float, width: float) -> Array:
            values: Array = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2)) + 1e-6
            return values

        truth = blob(20, 15, 5)
        maps = [truth.copy(), blob(24, 17, 6), blob(32, 22, 6), blob(50, 35, 5)]
        if self.of == "density":
            return [(one, truth) for one in maps]
        fixations = np.clip(rng.normal([20, 15], 3, (30, 2)), 0, 39)
        return [(one, fixations) for one in maps]

    @pytest.fixture
    def bad_examples(self, examples: list[Arguments]) -> dict[str, Arguments]:
        """Arguments that must be refused, by what is wrong with them."""
        first, second = examples[0][:2]
        rest = examples[0][2:]
        if not isinstance(first, np.ndarray) or first.ndim < 2:
            return {"a NaN": (np.full(np.shape(first), np.nan), second, *rest), "text": ("a", second, *rest)}
        poisoned = np.asarray(first, np.float64) / max(1.0, float(np.max(first)))
        poisoned[0, 0] = np.nan
        cases: dict[str, Arguments] = {
            "a NaN": (poisoned, second, *rest),
            "an array of another rank": (first[None], second, *rest),
            "text": ("photo.png", second, *rest),
            "None": (None, second, *rest),
            "an empty array": (first[:0], second, *rest),
        }
        if np.shape(second) == np.shape(first):
            cases["two arrays of different size"] = (first[:-3], second, *rest)
        return cases

    def value(self, result: Any) -> float:
        """One number of what the metric returned: the mean of an array, the estimate of an interval."""
        return float(np.mean(getattr(result, "estimate", result)))

    def test_the_record_says_what_the_number_means(self, metric: Any) -> None:
        """Name, unit, direction, range, and a function with a docstring."""
        assert isinstance(metric.name, str), "name must be a text"
        assert metric.name == metric.name.lower().strip(), f"name must be lower case, not {metric.name!r}"
        assert metric.name, "name must not be empty"
        assert isinstance(metric.unit, str), 'unit must be a text; "" for a pure number'
        assert metric.direction in ("higher", "lower"), (
            f'direction must be "higher" or "lower", not {metric.direction!r}'
        )
        low, high = metric.range
        assert low < high, f"range must be (smallest, largest), infinite where there is no bound, not {metric.range}"
        assert not math.isnan(low + high) or (low, high) == (-math.inf, math.inf), "range must not hold NaN"
        assert callable(metric), "the record must be callable, as its function is"
        assert (metric.function.__doc__ or "").strip(), "the function needs a docstring: what is measured, which source"

    def test_values_are_numbers_in_the_stated_range(self, metric: Any, examples: list[Arguments]) -> None:
        """None of them NaN."""
        low, high = metric.range
        for arguments in examples:
            value = self.value(metric(*arguments))
            assert not math.isnan(value), "the metric is NaN for ordinary arguments"
            assert low - 1e-9 <= value <= high + 1e-9, f"the value {value} lies outside the stated range {(low, high)}"

    def test_the_direction_is_true(self, metric: Any, examples: list[Arguments]) -> None:
        """What is worse is not called better, and the best is told from the worst."""
        values = [self.value(metric(*arguments)) for arguments in examples]
        sign = 1 if metric.direction == "higher" else -1
        pairs = itertools.pairwise(values)
        assert all(sign * (better - worse) >= -1e-9 for better, worse in pairs), (
            f"direction is {metric.direction!r}, but from best to worst the values are {values}"
        )
        assert sign * (values[0] - values[-1]) > 0, f"the best and the worst example get the same value {values[0]}"

    def test_the_same_again(self, metric: Any, examples: list[Arguments]) -> None:
        """No randomness, global random state neither read nor written."""
        with global_state_kept("the metric"):
            first, second = (metric(*examples[-1]) for _ in range(2))
        assert same(first, second), f"two calls give {first} and {second}: a metric must not be random"

    def test_the_callers_arrays_are_not_written_into(self, metric: Any, examples: list[Arguments]) -> None:
        """Read-only and strided arrays must do."""
        arguments = examples[-1]
        with unchanged("the metric", *arguments):
            expected = metric(*arguments)
        moved = tuple(_otherwise_stored(argument) for argument in arguments)
        assert np.allclose(self.value(metric(*moved)), self.value(expected), rtol=1e-9), (
            "read-only arrays with other strides give another value"
        )

    def test_bad_arguments_are_refused(self, metric: Any, bad_examples: dict[str, Arguments]) -> None:
        """With ValueError or TypeError, and a sentence."""
        for case, arguments in bad_examples.items():
            try:
                value = metric(*arguments)
            except (ValueError, TypeError) as error:
                assert len(str(error)) > 10, f"{case}: the message must name the argument and what is allowed"
            except Exception as error:
                raise AssertionError(f"{case}: raise InvalidInputError, not {type(error).__name__}: {error}") from error
            else:
                raise AssertionError(f"{case}: accepted, with the value {value}; raise InvalidInputError")

    def test_unknown_keywords_are_refused(self, metric: Any, examples: list[Arguments]) -> None:
        """A misspelt keyword must not be swallowed."""
        with pytest.raises((TypeError, ValueError), match="no_such_keyword"):
            metric(*examples[0], no_such_keyword=1)

    def test_the_order_of_arguments_does_not_matter_where_that_is_stated(
        self, metric: Any, examples: list[Arguments]
    ) -> None:
        """For metrics with ``symmetric = True``."""
        if not self.symmetric:
            pytest.skip("not stated to be symmetric")
        for first, second, *rest in examples:
            values = [self.value(metric(*pair, *rest)) for pair in ((first, second), (second, first))]
            assert values[0] == values[1] or math.isclose(*values, rel_tol=1e-9), f"symmetric, yet {values} both ways"


def _otherwise_stored(argument: Any) -> Any:
    if not isinstance(argument, np.ndarray):
        return argument
    stored = np.asfortranarray(argument)
    stored.flags.writeable = False
    return stored
