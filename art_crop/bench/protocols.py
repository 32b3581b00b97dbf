"""What a suite measures for a photo: a small table of protocols, each a function from a case to what it found.

"second-peak" is paper 001's: the peak of the saliency map should go to the second-highest maximum. "crop-window" asks
that the crops of some aspect ratios show a box about that place. Results are scored from the file that was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from art_crop.bench.facts import facts_of
from art_crop.bench.protocol import NotMeasured, Outcome, Protocol, check_options
from art_crop.bench.store import EXCLUDED
from art_crop.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from art_crop.bench.case import Case
    from art_crop.datasets.selection import SelectedTarget
    from art_crop.geometry import Region
    from art_crop.models.cropper import FilePrediction

    Array = np.ndarray[Any, Any]

__all__ = ["PROTOCOLS", "NotMeasured", "Outcome", "Protocol", "check_options", "protocol_called"]

CELL = 16
"""Columns of other models' maps are summed where finer than this many pixels: a peak is then as wide as a cropper's."""
REACHED = 0.1
"""A peak within this share of the way counts as at the target."""


def protocol_called(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        InvalidInputError: There is none; the message names those that there are.
    """
    if name not in PROTOCOLS:
        raise InvalidInputError(f"there is no protocol {name!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


# -- second-peak -----------------------------------------------------------------------------------------------------


def _second_peak(case: Case) -> Outcome:
    from art_crop.geometry import Region
    from art_crop.metrics.saliency import peak_shift, shift_over_width

    before = case.before
    profile = _profile(case, before)
    chosen = _target(case, profile)
    start, columns = _peak(case, before, profile), len(profile)
    centre, reach = (chosen.target + 0.5) / columns, REACHED * abs(chosen.target - start) / columns
    region = Region(max(0.0, centre - reach), 0.0, min(1.0, centre + reach), 1.0)
    written = case.attack(region)
    after = case.seen(written)
    end = _peak(case, after, _profile(case, after))
    if start == chosen.target:  # the salient point's column may be the target's already
        shift, over_width = 1.0, 0.0
    else:
        shift = float(peak_shift([start], [end], [chosen.target])[0]) + 0.0  # no -0
        over_width = shift * float(shift_over_width([start], [chosen.target], [chosen.target], [columns])[0])
    facts = {
        "columns": columns,
        "peak": start,
        "target": chosen.target,
        "peak_after": end,
        "ratio": chosen.ratio,
        "region": _plain(region),
        **facts_of(case, before, after),
    }
    return Outcome(
        success=abs(shift - 1) <= REACHED + 1e-9,
        success_before=start == chosen.target,
        metrics={
            "shift": shift,
            "shift-over-width": over_width,
            "ratio": chosen.ratio,
            "way": abs(chosen.target - start) * case.pixels.shape[1] / columns,  # pixels
        },
        facts=facts,
    )


def _second_peak_reached(options: Mapping[str, Any]) -> str:
    if options["peak"] == "cell":
        return (
            "“Reached” means that the map’s highest cell came to the target’s columns, within 10% of its way: the "
            "salient point and the crops that the pictures show follow the same cell."
        )
    return (
        "“Reached” means that the peak of the map’s column profile, the sum of each of its columns, came to the "
        "target’s columns, within 10% of its way. The salient point and the crops that the pictures show follow the "
        "map’s single highest cell, and may do otherwise."
    )


def _profile(case: Case, seen: FilePrediction) -> Array:
    """Column profile of a map's density; raw sums below 0 are no peaks. A cropper's columns are its own."""
    import numpy as np

    from art_crop.datasets.selection import column_profile
    from art_crop.models.cropper import Cropper

    saliency = seen.saliency_map.astype(np.float64)
    if case.option("peak") == "map-column" or not case.scored.rule.log_density:
        columns = np.maximum(column_profile(saliency), 0)
    else:
        columns = column_profile(np.exp(saliency))
    return columns if isinstance(case.scored.rule, Cropper) else _tiled(columns, round(seen.size[0] / CELL))


def _tiled(columns: Array, tiles: int) -> Array:
    import numpy as np

    if len(columns) <= max(tiles, 1):
        return columns
    place = ((np.arange(len(columns)) + 0.5) * tiles / len(columns)).astype(np.intp)
    return np.bincount(place, weights=columns, minlength=tiles)


def _peak(case: Case, seen: FilePrediction, profile: Array) -> int:
    if case.option("peak") == "cell":
        column = int(seen.saliency_map.argmax()) % seen.saliency_map.shape[1]
        return int((column + 0.5) * len(profile) / seen.saliency_map.shape[1])
    return int(profile.argmax())


def _target(case: Case, profile: Array) -> SelectedTarget:
    """The photo's target, by the suite's selection rule."""
    from art_crop.datasets.selection import Excluded, content_size, select_target

    data = case.suite.data
    loose = {"max_maxima": 10**6, "max_height_over_width": 1e9, "min_distance": 0.0, "min_ratio": 0.0}
    limits: dict[str, Any] = {**(loose if data.selection == "all" else {}), **data.selection_options}
    target = select_target(profile, content_size(case.pixels), **limits)
    if isinstance(target, Excluded):
        raise NotMeasured(EXCLUDED, target.reason)
    return target


def _plain(region: Region) -> list[float]:
    return [region.x0, region.y0, region.x1, region.y1]


def _check_second_peak(options: Mapping[str, Any]) -> None:
    if options["peak"] not in ("column", "map-column", "cell"):
        raise InvalidInputError(f"peak: column, map-column or cell is needed, not {options['peak']!r}")
    _check_quality(options)


def _check_quality(options: Mapping[str, Any]) -> None:
    quality = options["jpeg_quality"]
    if isinstance(quality, bool) or not isinstance(quality, int) or not 0 <= quality <= 100:
        raise InvalidInputError(f"jpeg_quality: 0 (a PNG is written) to 100 is needed, not {quality!r}")


# -- crop-window -----------------------------------------------------------------------------------------------------


def _crop_window(case: Case) -> Outcome:
    """The crops of all ratios contain a box about the second maximum, and the photo keeps its quality."""
    from art_crop.geometry import Region, window_contains
    from art_crop.metrics.image import psnr

    before = case.before
    profile = _profile(case, before)
    chosen = _target(case, profile)
    saliency = before.saliency_map
    column = int((chosen.target + 0.5) * saliency.shape[1] / len(profile))
    row = int(saliency[:, column].argmax())
    (wide, high), (height, width) = case.option("box"), case.pixels.shape[:2]
    x = min(max((chosen.target + 0.5) / len(profile), wide / 2), 1 - wide / 2)
    y = min(max((row + 0.5) / saliency.shape[0], high / 2), 1 - high / 2)
    region = Region(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    try:
        written = case.attack(region)
    except InvalidInputError as error:  # no window of a ratio can hold the box
        raise NotMeasured("impossible", str(error)) from error
    after = case.seen(written)
    shown = [all(window_contains(w, region, width, height) for w in seen.crops) for seen in (before, after)]
    quality = psnr(case.pixels, written)
    return Outcome(
        success=shown[1] and quality >= case.option("min_psnr"),
        success_before=shown[0],
        metrics={"psnr": quality, "shown": float(shown[1]), "symmetric": float(before.symmetric)},
        facts={"region": _plain(region), "ratio": chosen.ratio, **facts_of(case, before, after)},
    )


def _crop_window_reached(options: Mapping[str, Any]) -> str:
    return (
        "“Reached” means that the crops of all aspect ratios contain the dashed box, and that the photo keeps a PSNR "
        f"of at least {options['min_psnr']} dB."
    )


def _check_crop_window(options: Mapping[str, Any]) -> None:
    from art_crop.geometry import check_ratios

    _check_quality(options)
    check_ratios(options["ratios"])
    box = options["box"]
    if (
        not isinstance(box, (list, tuple))
        or len(box) != 2
        or not all(isinstance(side, (int, float)) and not isinstance(side, bool) and 0 < side <= 1 for side in box)
    ):
        raise InvalidInputError(f"box: its width and height as shares of the photo's, in (0, 1], not {box!r}")
    if isinstance(options["min_psnr"], bool) or not isinstance(options["min_psnr"], (int, float)):
        raise InvalidInputError(f"min_psnr: a number of dB is needed, not {options['min_psnr']!r}")


PROTOCOLS: dict[str, Protocol] = {
    "second-peak": Protocol(
        "second-peak",
        "saliency",
        _second_peak,
        MappingProxyType({"peak": "column", "ratios": (0.56, 1.0, 1.14, 2.0), "jpeg_quality": 0}),
        _check_second_peak,
        ("shift", "shift-over-width", "ratio", "way"),
        MappingProxyType({"peak": "by"}),
        _second_peak_reached,
    ),
    "crop-window": Protocol(
        "crop-window",
        "saliency",
        _crop_window,
        MappingProxyType(
            {
                "peak": "column",
                "ratios": (0.56, 1.0, 2.0),
                "box": (0.3, 0.15),
                "min_psnr": 40.0,
                "jpeg_quality": 0,
            }
        ),
        _check_crop_window,
        ("psnr", "shown", "symmetric"),
        MappingProxyType({"ratios": "ratios"}),
        _crop_window_reached,
    ),
}
"""What a suite's ``protocol`` can name; one for quality models and one for classifiers come with their attacks."""
