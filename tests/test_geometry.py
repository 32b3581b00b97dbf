"""Regions and crop windows: the reference program's windows, and what must hold for any photo."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from art_crop.errors import InvalidInputError
from art_crop.geometry import (
    PARTS,
    Region,
    Window,
    cells_to_pixels,
    check_ratios,
    crop_window,
    salient_pixel,
    window_contains,
)

sides = st.integers(1, 5000)
ratios = st.floats(0.01, 100)


def test_windows_of_the_reference_program(fastgaze_golden: Path) -> None:
    cases = json.loads((fastgaze_golden / "expected.json").read_text())
    checked = 0
    for name, case in cases.items():
        if name == "retina.jpg":  # symmetric, checked with the pipeline
            continue
        full = case["crops"][-1]  # the photo's own ratio shows the whole photo, or nearly
        height = max(crop[1] + crop[3] for crop in case["crops"])
        width = max(crop[0] + crop[2] for crop in case["crops"])
        assert (full[2], full[3]) == (width, height)
        point = (case["salient_point"][0], case["salient_point"][1])
        for ratio, crop in zip((0.56, 1.0, 1.14, 2.0, height / width), case["crops"], strict=True):
            assert list(crop_window(width, height, point, ratio)) == crop, (name, ratio)
            checked += 1
    assert checked == 75


def test_salient_pixels_of_the_reference_program(fastgaze_golden: Path) -> None:
    for name, case in json.loads((fastgaze_golden / "expected.json").read_text()).items():
        saliency = np.array(case["saliency_map"], np.float32)
        h, w = case["resized_height_width"]
        size = (case["crops"][-1][2], case["crops"][-1][3])
        assert list(salient_pixel(saliency, (w, h), size)) == case["salient_point"], name
        xs, ys = cells_to_pixels(saliency.shape, (w, h), size)
        for x, y, value in case["first_points"]:
            row, column = int(np.abs(ys - y).argmin()), int(np.abs(xs - x).argmin())
            assert (xs[column], ys[row]) == (pytest.approx(x, rel=1e-4), pytest.approx(y, rel=1e-4))
            assert saliency[row, column] == pytest.approx(value, abs=1e-4)


def test_the_first_of_equal_maxima_wins() -> None:
    saliency = np.zeros((2, 3), np.float32)
    saliency[0, 2] = saliency[1, 0] = 1
    assert salient_pixel(saliency, (48, 32), (48, 32)) == (40, 8)


@given(width=sides, height=sides, ratio=ratios, where=st.tuples(st.floats(0, 1), st.floats(0, 1)), mirror=st.booleans())
def test_any_window(width: int, height: int, ratio: float, where: tuple[float, float], mirror: bool) -> None:
    point = (min(int(where[0] * width), width - 1), min(int(where[1] * height), height - 1))
    window = crop_window(width, height, point, ratio, symmetric=mirror)
    # Inside the photo, and as large as it can be.
    assert window.left >= 0
    assert window.top >= 0
    assert 1 <= window.width <= width
    assert 1 <= window.height <= height
    assert window.left + window.width <= width
    assert window.top + window.height <= height
    assert window.width == width or window.height == height
    # The right aspect, to half a pixel of the side that was chosen (float32 arithmetic), or one pixel at least.
    if window.width == width and window.height < height:
        assert abs(window.height - width * ratio) <= 0.5 + 1e-6 * width * ratio or window.height == 1
    if window.height == height and window.width < width:
        assert abs(window.width - height / ratio) <= 0.5 + 1e-6 * height / ratio or window.width == 1
    # It shows the point, or what a symmetric photo is centred on.
    x = width // 2 if mirror else point[0]
    assert window.left <= x < window.left + window.width
    assert window.top <= point[1] < window.top + window.height
    # Centred on it unless an edge is in the way.
    if window.width < width and 0 < window.left < width - window.width:
        assert window.left + window.width // 2 == x
    if window.height < height and 0 < window.top < height - window.height:
        assert window.top + window.height // 2 == point[1]


def test_halves_round_up() -> None:
    assert crop_window(5, 100, (2, 50), 0.5) == Window(0, 49, 5, 3)  # 2.5 rows -> 3
    assert crop_window(100, 5, (50, 2), 2.0) == Window(49, 0, 3, 5)


@given(
    corners=st.tuples(*[st.integers(0, 400)] * 4).filter(lambda c: c[0] < c[2] and c[1] < c[3]),
    window=st.builds(Window, st.integers(0, 400), st.integers(0, 300), st.integers(1, 400), st.integers(1, 300)),
)
def test_a_window_contains_what_every_pixel_of_says(corners: tuple[int, int, int, int], window: Window) -> None:
    width, height = 400, 400
    region = Region(*(c / 400 for c in corners))
    pixels = {(x, y) for x in (corners[0], corners[2] - 1) for y in (corners[1], corners[3] - 1)}
    shown = all(
        window.left <= x < window.left + window.width and window.top <= y < window.top + window.height
        for x, y in pixels
    )
    assert window_contains(window, region, width, height) == shown


def test_a_pixel_that_the_region_only_touches_must_be_shown() -> None:
    region = Region(0.0, 0.0, 0.101, 1.0)  # 10.1 of 100 px
    assert not window_contains(Window(0, 0, 10, 50), region, 100, 50)
    assert window_contains(Window(0, 0, 11, 50), region, 100, 50)


class TestRegion:
    def test_fractions_and_pixels_mean_the_same(self) -> None:
        assert Region.parse("0.25,0.5,1,1", 640, 480) == Region.parse("160px, 240px,640px,480 px", 640, 480)
        assert Region.parse(".25,5e-1,1.,100px", 10, 100) == Region(0.25, 0.5, 1, 1)

    def test_its_text_reads_back(self) -> None:
        region = Region(0.1, 0.25, 0.5, 1)
        assert Region.parse(str(region), 7, 9) == region

    @given(size=st.tuples(sides, sides), data=st.data())
    def test_whole_pixels_survive(self, size: tuple[int, int], data: st.DataObject) -> None:
        width, height = size
        x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
        region = Region.parse(f"{x0}px,{y0}px,{x1}px,{y1}px", width, height)
        assert region.pixels(width, height) == pytest.approx((x0, y0, x1, y1))
        assert window_contains(Window(x0, y0, x1 - x0, y1 - y0), region, width, height)
        if x1 - x0 > 1:
            assert not window_contains(Window(x0, y0, x1 - x0 - 1, y1 - y0), region, width, height)

    def test_percentages_and_parts_of_a_photo(self) -> None:
        assert Region.parse("10%,20%, 50 %,100%", 300, 200) == Region(0.1, 0.2, 0.5, 1.0)
        assert Region.parse("bottom", 300, 200) == Region(0.35, 0.7, 0.65, 1.0)
        assert Region.parse("Top Left", 300, 200) == Region.parse("top-left", 7, 9) == Region(0, 0, 0.3, 0.3)
        assert Region.parse("center", 300, 200) == Region.parse("centre", 300, 200) == Region(0.35, 0.35, 0.65, 0.65)

    @pytest.mark.parametrize("size", [(640, 480), (480, 640), (1920, 1080), (1080, 1920), (500, 500)])
    @pytest.mark.parametrize("part", list(PARTS))
    def test_every_part_fits_into_the_crops_that_are_asked_for_by_default(
        self, part: str, size: tuple[int, int]
    ) -> None:
        region = Region.parse(part, *size)
        middle = (int(size[0] * (region.x0 + region.x1) / 2), int(size[1] * (region.y0 + region.y1) / 2))
        for ratio in (0.56, 1.0):
            assert window_contains(crop_window(*size, middle, ratio), region, *size)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0.1,0.2,0.3",
            "0.1,0.2,0.3,0.4,0.5",
            "a,b,c,d",
            "nan,0,1,1",
            "0,0,inf,1",
            "0,0,1e999,1",
            "0.5,0,0.5,1",  # empty
            "0.6,0,0.5,1",  # inverted
            "0,0.6,1,0.5",
            "-0.1,0,1,1",
            "0,0,1.01,1",
            "0,0,641px,1",
            "0,0,101%,1",
            "0,0,1%px,1",
            "botom",
            "top left right",
            "0 0 1 1",
        ],
    )
    def test_what_is_no_region_of_the_photo_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInputError, match="region"):
            Region.parse(text, 640, 480)

    @pytest.mark.parametrize(
        "values", [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (0, 0, 1, 1.5), (-1, 0, 1, 1), (math.nan, 0, 1, 1), ("0", 0, 1, 1)]
    )
    def test_constructor_refuses_too(self, values: tuple[float, float, float, float]) -> None:
        with pytest.raises(InvalidInputError, match="region"):
            Region(*values)


@pytest.mark.parametrize("values", [(), (0.0,), (-1.0,), (math.nan,), (math.inf,), (1.0, 0.0)])
def test_ratios_that_are_none(values: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="ratios"):
        check_ratios(values)
