"""What counts as shown, and which ratios can show a region at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from art_crop.errors import InvalidInputError
from art_crop.geometry import Region, crop_window, window_contains
from art_crop.pipeline import ShowRegion, verify_file


@pytest.fixture(scope="module")
def model() -> Any:
    import art_crop

    return art_crop.load_model("gaze-lite")


def output_of(model: Any, width: int, height: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return model.output(rng.random((1, 3, height, width), np.float32))


def points(output: Any) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x in output.x for y in output.y]


def can_show(output: Any, region: Region, ratio: float) -> bool:
    width, height = output.size
    return any(window_contains(crop_window(width, height, p, ratio), region, width, height) for p in points(output))


@pytest.mark.parametrize(
    ("size", "region", "ratio"),
    [
        ((384, 256), Region(0.05, 0.1, 0.95, 0.35), 1.0),
        ((384, 256), Region(0.05, 0.0, 0.3, 1.0), 0.56),
        ((256, 384), Region(0.1, 0.1, 0.9, 0.9), 0.56),
        ((640, 480), Region(0.2, 0.3, 0.9, 0.9), 2.0),
    ],
)
def test_the_ratios_that_the_message_names_can_show_the_region(
    model: Any, size: tuple[int, int], region: Region, ratio: float
) -> None:
    output = output_of(model, *size)
    with pytest.raises(InvalidInputError) as caught:
        ShowRegion(region, (ratio,)).check(output)
    found = re.search(r"no crop of ratio (\S+) .* ratios from (\S+) to (\S+),", str(caught.value))
    assert found is not None, caught.value
    low, high = float(found[2]), float(found[3])
    assert low < 1.002 * size[1] / size[0] < high
    for possible in np.linspace(low, high, 15):
        assert can_show(output, region, float(possible)), possible
    # Nothing much beyond them can: the range is no guess on the safe side.
    assert not can_show(output, region, low / 1.12)
    assert not can_show(output, region, high * 1.12)


def test_default_ratios_that_cannot_contain_the_region_are_left_out(model: Any) -> None:
    output, wide = output_of(model, 384, 256), Region(0.0, 0.8, 1.0, 1.0)
    assert ShowRegion(wide, (0.56, 1.0), flexible=True).fitted(output).ratios == (0.56,)
    assert ShowRegion(Region(0.4, 0.4, 0.6, 0.6), (0.56, 1.0), flexible=True).fitted(output).ratios == (0.56, 1.0)
    with pytest.raises(InvalidInputError, match="no crop of ratio 1 "):
        ShowRegion(wide, (0.56, 1.0)).fitted(output)
    with pytest.raises(InvalidInputError, match=r"no crop of ratio 0\.56, 1 "):
        ShowRegion(Region(0.0, 0.0, 1.0, 1.0), (0.56, 1.0), flexible=True).fitted(output)


def test_ratios_that_can_but_not_together(model: Any) -> None:
    output = output_of(model, 512, 512)
    region = Region(0.0, 0.0, 0.2, 0.2)
    ShowRegion(region, (0.56, 2.0)).check(output)
    # Each window spans one side and moves along the other in steps of the map's cells, so there is slack to find.
    for corner in np.arange(0.0, 0.51, 0.01):
        region = Region(corner, 0.0, corner + 0.49, 0.49)
        alone = [can_show(output, region, ratio) for ratio in (0.5, 2.0)]
        together = any(
            all(window_contains(crop_window(512, 512, p, ratio), region, 512, 512) for ratio in (0.5, 2.0))
            for p in points(output)
        )
        if together:
            ShowRegion(region, (0.5, 2.0)).check(output)
        else:
            with pytest.raises(InvalidInputError, match="not all at once" if all(alone) else "no crop of ratio"):
                ShowRegion(region, (0.5, 2.0)).check(output)


def test_a_symmetric_photo_can_be_shown_by_its_middle_or_by_breaking_the_symmetry(model: Any, tmp_path: Path) -> None:
    half = np.random.default_rng(3).integers(0, 256, (256, 192, 3), dtype=np.uint8)
    pixels = np.concatenate([half, half[:, ::-1]], 1)
    output = model.output(pixels[None].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    assert bool(output.symmetric()[0])
    aside, middle = (ShowRegion(Region(x, 0.2, x + 0.1, 0.5), (1.0,)) for x in (0.0, 0.45))
    aside.check(output)
    assert not aside.view(output).success
    assert not bool(aside.objective()(output).success[0])
    path = tmp_path / "mirror.png"
    Image.fromarray(pixels).save(path)
    verified = verify_file(model, middle.objective(), path)
    view = middle.view(verified.output)
    assert view.symmetric
    assert view.success
    assert verified.success
    assert view.crops[0] == (64, 0, 256, 256)


def test_a_view_is_of_the_windows(model: Any, photo_file: Path) -> None:
    output = model.output_of_file(photo_file)
    wide, square = model.predict_file(photo_file, (0.56, 1.0)).crops
    width = output.size[0]
    inside = Region(square.left / width, 0.3, (square.left + square.width) / width, 0.5)
    view = ShowRegion(inside, (0.56, 1.0)).view(output)
    assert view.crops == (wide, square)
    assert view.shows == (True, True)
    assert view.success
    view = ShowRegion(Region(0.0, 0.3, 1.0, 0.5), (0.56, 1.0)).view(output)
    assert view.shows == (True, False)
    assert not view.success


def test_a_peak_goal_looks_at_the_salient_point_alone(model: Any, photo_file: Path) -> None:
    output = model.output_of_file(photo_file)
    point = model.predict_file(photo_file, (1.0,)).salient_point
    x, y = point[0] / output.size[0], point[1] / output.size[1]
    around = Region(max(0, x - 0.05), max(0, y - 0.05), min(1, x + 0.05), min(1, y + 0.05))
    assert ShowRegion(around, None).view(output).success
    away = Region(0.0, 0.0, 0.2, 0.2) if x > 0.5 else Region(0.8, 0.0, 1.0, 0.2)
    assert not ShowRegion(away, None).view(output).success


def test_a_box_in_which_no_salient_point_can_lie_is_refused_with_the_nearest_that_holds_one(model: Any) -> None:
    output = output_of(model, 768, 512)
    small = ShowRegion(Region(300 / 768, 300 / 512, 308 / 768, 306 / 512), None)
    assert not small.view(output).success
    with pytest.raises(InvalidInputError, match=r"a cell of 38x37 px.*nearest box that holds one is (\S+)$") as caught:
        small.check(output)
    box = str(caught.value).rsplit(" ", 1)[1]
    ShowRegion(Region.parse(box, 768, 512), None).check(output)
