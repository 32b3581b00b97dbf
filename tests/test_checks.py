"""User input is checked in one place; every sentence names the argument and what is allowed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from art_crop import checks
from art_crop.errors import InvalidInputError


def good() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((2, 3, 4, 5), np.float32)


def with_value(value: float) -> np.ndarray[Any, Any]:
    x = good()
    x[1, 2, 3, 4] = value
    return x


def test_good_images_pass_unchanged_and_are_copied() -> None:
    x = good()
    checked = checks.check_images(x, (0, 1))
    assert np.array_equal(checked, x)
    assert checked.dtype == np.float32
    assert not np.shares_memory(checked, x)


def test_other_float_types_become_float32() -> None:
    for dtype in (np.float16, np.float64):
        checked = checks.check_images(good().astype(dtype), (0, 1))
        assert checked.dtype == np.float32
        np.testing.assert_allclose(checked, good(), atol=1e-3)


def test_values_a_rounding_error_outside_are_clipped() -> None:
    checked = checks.check_images(with_value(1 + 5e-6), (0, 1))
    assert checked.max() == 1
    assert checks.check_images(with_value(-5e-6), (0, 1)).min() == 0


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (good().tolist(), "numpy array"),
        ((good() * 255).astype(np.uint8), "divide uint8 images by 255"),
        (good() > 0.5, "floating point"),
        (good().astype(object), "floating point"),
        (good()[0], r"shape \(N, 3, H, W\)"),
        (good().transpose(0, 2, 3, 1), r"shape \(N, 3, H, W\)"),
        (good()[:0], "at least one image"),
        (np.zeros((1, 3, 0, 4), np.float32), "at least one image"),
        (with_value(math.nan), "finite"),
        (with_value(math.inf), "finite"),
        (with_value(-math.inf), "finite"),
        (with_value(1.01), r"allowed is \[0, 1\]"),
        (with_value(-0.01), r"allowed is \[0, 1\]"),
        (good() * 255, r"allowed is \[0, 1\]"),
    ],
)
def test_bad_images(x: Any, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^photos: .*{sentence}"):
        checks.check_images(x, (0, 1), name="photos")


def test_layout_and_range_are_the_estimators() -> None:
    x = good().transpose(0, 2, 3, 1) * 255
    assert checks.check_images(x, (0, 255), channels_first=False).shape == (2, 4, 5, 3)
    with pytest.raises(InvalidInputError, match=r"\(N, H, W, 3\)"):
        checks.check_images(good() * 255, (0, 255), channels_first=False)


@pytest.mark.parametrize("value", [None, 3, (0,), (0, 1, 2), (1, 1), (1, 0), (0, math.inf), (math.nan, 1), ("a", "b")])
def test_clip_values(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="clip_values: two finite numbers"):
        checks.check_clip_values(value)
    assert checks.check_clip_values(np.array([0.0, 255.0], np.float32)) == (0.0, 255.0)


@pytest.mark.parametrize("value", [None, 3, (3, 4), (0, 4, 4), (-1, 4, 4), (3, 0, 4), (3, 4, -2), (3, 4.0, 4)])
def test_input_shape(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"input_shape: \(channels, height, width\)"):
        checks.check_input_shape(value, channels_first=True)


def test_input_shape_follows_the_layout() -> None:
    assert checks.check_input_shape([3, -1, 5], channels_first=True) == (3, -1, 5)
    assert checks.check_input_shape((-1, -1, 3), channels_first=False) == (-1, -1, 3)
    with pytest.raises(InvalidInputError, match=r"\(height, width, channels\)"):
        checks.check_input_shape((3, -1, -1), channels_first=False)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "1", None, True, [1]])
def test_number(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^eps: a finite number > 0 and <= 5 is needed"):
        checks.check_number(value, "eps", above=0, at_most=5)
    assert checks.check_number(np.float32(0.5), "eps", above=0) == 0.5


def test_number_bounds_include_what_they_say() -> None:
    assert checks.check_number(5, "eps", above=0, at_most=5) == 5
    assert checks.check_number(0, "eps", at_least=0) == 0
    with pytest.raises(InvalidInputError, match="<= 5"):
        checks.check_number(5.001, "eps", at_most=5)


@pytest.mark.parametrize("value", [0, 11, 2.0, "2", None, True])
def test_int(value: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^steps: a whole number >= 1 and <= 10 is needed"):
        checks.check_int(value, "steps", at_least=1, at_most=10)
    assert checks.check_int(np.int64(10), "steps", at_least=1, at_most=10) == 10


def test_choice() -> None:
    checks.check_choice("a", "loss", ("a", "b"))
    checks.check_choice(2, "norm", (2, np.inf))
    for value in ("c", ["a"], None, np.zeros(3)):
        with pytest.raises(InvalidInputError, match=r"^loss: one of a, b is needed"):
            checks.check_choice(value, "loss", ("a", "b"))


def test_mask() -> None:
    full = checks.check_mask([[0.0, 1.0]], (1, 3, 4, 2))
    assert full.shape == (1, 3, 4, 2)
    assert full[0, 1, 2].tolist() == [0, 1]
    for mask in (
        np.full((4, 2), 1.5),
        np.full((4, 2), -0.1),
        np.full((4, 2), math.nan),
        np.zeros((3, 7)),
        "mask",
        None,
    ):
        with pytest.raises(InvalidInputError, match=r"^mask: "):
            checks.check_mask(mask, (1, 3, 4, 2))


def test_unknown_keywords() -> None:
    checks.reject_unknown({"mask": 1}, ("mask",), "generate")
    with pytest.raises(InvalidInputError, match="generate: unknown keyword eps, msk; allowed: mask"):
        checks.reject_unknown({"msk": 1, "eps": 2}, ("mask",), "generate")
