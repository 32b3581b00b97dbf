from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import find_peaks

from art_crop.datasets.selection import (
    Excluded,
    SelectedTarget,
    column_profile,
    content_size,
    local_maxima,
    select_target,
)
from art_crop.errors import InvalidInputError

WIDE = (640, 360)


def bumps(*peaks: tuple[int, float], n: int = 40, width: float = 2.0) -> np.ndarray:
    x = np.arange(n)
    return sum((h * np.exp(-((x - c) ** 2) / (2 * width**2)) for c, h in peaks), np.full(n, 1e-6))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ([0, 1, 0, 2, 0], [1, 3]),
        ([3, 1, 2], [0, 2]),  # both ends count
        ([1, 2, 2, 1], [1]),  # the left of two middles
        ([1, 2, 2, 2, 1], [2]),
        ([2, 2, 1, 3, 3], [0, 3]),  # plateaus at the ends
        ([1, 2, 2, 3], [3]),  # a step is no maximum
        ([3, 2, 2, 1], [0]),
        ([5, 5, 5], [1]),
        ([7], [0]),
        ([0, 0, 1, 1, 0, 0, 1, 1, 1, 0], [2, 7]),
    ],
)
def test_local_maxima_by_hand(profile: list[float], expected: list[int]) -> None:
    assert local_maxima(profile).tolist() == expected


def test_local_maxima_are_scipys_with_lower_borders() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        profile = rng.integers(0, 5, rng.integers(2, 30)).astype(float)  # few values: many plateaus
        padded = np.concatenate(([-1.0], profile, [-1.0]))
        np.testing.assert_array_equal(local_maxima(profile), find_peaks(padded)[0] - 1)


def test_peak_and_target_of_two_bumps() -> None:
    assert select_target(bumps((8, 1.0), (30, 0.8)), WIDE) == SelectedTarget(8, 30, pytest.approx(0.8, abs=1e-4))
    # Third and fourth maxima do not matter, nor does the side.
    selected = select_target(bumps((3, 0.3), (12, 0.7), (20, 0.5), (34, 1.0)), WIDE)
    assert selected == SelectedTarget(34, 12, pytest.approx(0.7, abs=1e-3))


def test_a_tie_takes_the_left_one_for_the_peak() -> None:
    assert select_target([0, 4, 0, 0, 0, 0, 4, 0], WIDE) == SelectedTarget(1, 6, 1.0)


@pytest.mark.parametrize(
    ("profile", "size", "rule"),
    [
        (bumps((20, 1.0)), WIDE, "one maximum"),
        (np.zeros(40), WIDE, "one maximum"),
        (bumps((2, 0.9), (10, 1.0), (18, 0.9), (26, 0.9), (36, 0.9)), WIDE, "too many maxima"),
        (bumps((8, 1.0), (30, 0.8)), (480, 640), "too tall"),
        (bumps((8, 1.0), (30, 0.8)), (800, 601), "too tall"),
        (bumps((20, 1.0), (25, 0.9), width=1.0), WIDE, "too near"),  # 5 / 40 = 12.5%
        (bumps((8, 1.0), (30, 0.59)), WIDE, "too low"),
    ],
)
def test_each_rule_excludes(profile: Any, size: tuple[int, int], rule: str) -> None:
    outcome = select_target(profile, size)
    assert isinstance(outcome, Excluded)
    assert outcome.rule == rule


@pytest.mark.parametrize(
    ("profile", "size"),
    [
        (bumps((2, 0.9), (10, 1.0), (20, 0.9), (32, 0.8)), WIDE),  # four maxima
        (bumps((8, 1.0), (30, 0.8)), (800, 600)),  # 4:3
        (bumps((20, 1.0), (26, 0.9), width=1.0), WIDE),  # 6 / 40 = 15%
        (bumps((8, 1.0), (30, 0.61)), WIDE),
        ([0, 10, 0, 0, 6, 0], WIDE),  # exactly 40% below
    ],
)
def test_the_limits_themselves_stay_in(profile: Any, size: tuple[int, int]) -> None:
    assert isinstance(select_target(profile, size), SelectedTarget)


def test_each_rule_is_a_parameter() -> None:
    assert isinstance(select_target(bumps((8, 1), (30, 0.8)), (480, 640), max_height_over_width=2), SelectedTarget)
    assert isinstance(select_target(bumps((8, 1), (30, 0.3)), WIDE, min_ratio=0.2), SelectedTarget)
    near = bumps((20, 1.0), (25, 0.9), width=1.0)
    assert isinstance(select_target(near, WIDE, min_distance=0.1), SelectedTarget)
    assert select_target(near, WIDE, min_distance=0.1, max_maxima=1) == Excluded(
        "too many maxima", "the profile has 2 local maxima, at most 1"
    )


def test_resolution_of_the_profile_does_not_matter() -> None:
    coarse = bumps((8, 1.0), (30, 0.8))
    fine = np.interp(np.arange(640), 16 * np.arange(40) + 8, coarse)
    selected = select_target(fine, WIDE)
    assert isinstance(selected, SelectedTarget)
    assert (selected.peak, selected.target) == (16 * 8 + 8, 16 * 30 + 8)


def test_column_profile_sums_rows() -> None:
    assert column_profile(np.array([[1.0, 2.0], [3.0, 5.0]])).tolist() == [4.0, 7.0]
    with pytest.raises(InvalidInputError, match="density must have shape"):
        column_profile(np.zeros(4))


def test_recorded_maps_of_the_deployed_cropper(fastgaze_golden: Path) -> None:
    """On each recorded map the rules agree with a second reading of the paper, made with scipy."""
    outcomes = []
    for case in json.loads((fastgaze_golden / "expected.json").read_text()).values():
        profile = column_profile(np.exp(np.array(case["saliency_map"], dtype=np.float64)))
        height, width = case["resized_height_width"]
        outcome = select_target(profile, (width, height))
        outcomes.append(outcome)
        peaks = find_peaks(np.concatenate(([0.0], profile, [0.0])))[0] - 1
        order = sorted(peaks, key=lambda column: -profile[column])
        passes = (
            height <= 0.75 * width
            and 2 <= len(peaks) <= 4
            and abs(order[0] - order[1]) >= 0.15 * profile.size
            and profile[order[1]] >= 0.6 * profile[order[0]]
        )
        assert isinstance(outcome, SelectedTarget) == passes
        if isinstance(outcome, SelectedTarget):
            assert outcome.peak == profile.argmax()
            assert outcome.target == order[1]
    assert {type(outcome) for outcome in outcomes} == {SelectedTarget, Excluded}


@pytest.mark.parametrize(
    ("profile", "size", "message"),
    [
        ([-1.0, 2.0], WIDE, r"profile must be >= 0; of a log density"),
        ([], WIDE, "profile must be finite"),
        ([1.0, np.nan], WIDE, "profile must be finite"),
        ([1.0, 2.0], (0, 10), "image_size must be a positive width and height"),
    ],
)
def test_bad_arguments_are_refused_by_name(profile: list[float], size: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        select_target(profile, size)


@pytest.mark.parametrize(
    ("left", "top", "rule"),
    [
        (0, 0, None),
        (240, 0, None),  # 25% filled: 1440 x 1080 is 4:3 and stays
        (241, 0, "too tall"),
        (500, 0, "too tall"),
        (0, 200, None),  # filled above and below: wider than 16:9
    ],
)
def test_filled_margins_count_as_the_paper_counts_them(tmp_path: Path, left: int, top: int, rule: str | None) -> None:
    from PIL import Image
    from skimage import data

    inner = Image.fromarray(data.coffee()).resize((1920 - 2 * left, 1080 - 2 * top))
    canvas = Image.new("RGB", (1920, 1080), (126, 126, 126))
    canvas.paste(inner, (left, top))
    assert content_size(np.asarray(canvas)) == inner.size
    outcome = select_target(bumps((8, 1.0), (30, 0.8)), content_size(np.asarray(canvas)))
    assert (outcome.rule if isinstance(outcome, Excluded) else None) == rule
    canvas.save(tmp_path / "canvas.jpg", quality=80)
    width, height = content_size(np.asarray(Image.open(tmp_path / "canvas.jpg")))
    assert abs(width - inner.width) <= 16
    assert abs(height - inner.height) <= 16


def test_no_margins_are_seen_in_drawings_and_photos(osie_root: Path) -> None:
    from PIL import Image

    drawing = np.full((90, 160, 3), 255, np.uint8)
    drawing[40:50, 70:90] = 0
    assert content_size(drawing) == (160, 90)
    assert content_size(np.full((90, 160, 3), 126, np.uint8)) == (160, 90)
    sizes = {content_size(np.asarray(Image.open(file))) for file in sorted((osie_root / "stimuli").iterdir())[::50]}
    assert sizes == {(800, 600)}
