"""Tasks of croppers: the peak goes to the second maximum (paper 001), or a box is shown in the crops of some ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from art_crop.bench.measures import AT_TARGET
from art_crop.bench.store import EXCLUDED
from art_crop.bench.tasks.base import NotMeasured, Outcome, Sample, Target, Task
from art_crop.errors import InvalidInputError

if TYPE_CHECKING:
    from art_crop.bench.tasks.base import Array
    from art_crop.datasets.selection import SelectedTarget
    from art_crop.geometry import Region
    from art_crop.models.cropper import FilePrediction

__all__ = ["CropWindow", "SecondPeak"]

CELL = 16
"""Columns of other models' maps are summed where finer than this many pixels: a peak is then as wide as a cropper's."""
_SIDE = 64
"""Cells a side, at most, of the maps that reports draw."""


class SecondPeak(Task):
    """The peak of the map's column profile should go to the profile's second maximum (paper 001).

    Options: ``peak`` (``"column"``, ``"map-column"`` for the raw map, ``"cell"`` for the salient point), ``ratios`` of
    the crops that are drawn, ``jpeg_quality``.
    """

    name = "second-peak"
    models = "saliency"
    defaults: ClassVar[Mapping[str, Any]] = {"peak": "column", "ratios": (0.56, 1.0, 1.14, 2.0), "jpeg_quality": 0}
    measures = ("shift", "shift-over-width", "ratio", "way")
    params: ClassVar[Mapping[str, str]] = {"peak": "by"}

    def check(self) -> None:
        """Raise InvalidInputError where an option cannot be used."""
        if self.options["peak"] not in ("column", "map-column", "cell"):
            raise InvalidInputError(f"peak: column, map-column or cell is needed, not {self.options['peak']!r}")

    def reached(self) -> str:
        """Say what "reached" means."""
        if self.options["peak"] == "cell":
            return (
                "“Reached” means that the map’s highest cell came to the target’s columns, within 10% of its way: the "
                "salient point and the crops that the pictures show follow the same cell."
            )
        return (
            "“Reached” means that the peak of the map’s column profile, the sum of each of its columns, came to the "
            "target’s columns, within 10% of its way. The salient point and the crops that the pictures show follow "
            "the map’s single highest cell, and may do otherwise."
        )

    def target(self, sample: Sample) -> Target:
        """Choose the second maximum of the column profile."""
        from art_crop.geometry import Region

        profile = _profile(self, sample, sample.output)
        chosen = _second_maximum(sample, profile)
        start, columns = _peak(self, sample.output, profile), len(profile)
        centre, reach = (chosen.target + 0.5) / columns, AT_TARGET * abs(chosen.target - start) / columns
        region = Region(max(0.0, centre - reach), 0.0, min(1.0, centre + reach), 1.0)
        known = {"start": start, "columns": columns, "target": chosen.target, "ratio": chosen.ratio}
        return Target(region, region, known)

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective: the peak lies within 10% of its way of the target."""
        from art_crop.objectives import PeakInRegion

        return PeakInRegion([target.y for target in targets], by=self.options["peak"])

    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say how far the peak went."""
        from art_crop.metrics.saliency import peak_shift, shift_over_width

        start, goal, columns = (target.known[name] for name in ("start", "target", "columns"))
        end = _peak(self, output, _profile(self, sample, output))
        if start == goal:  # the salient point's column may be the target's already
            shift, over_width = 1.0, 0.0
        else:
            shift = float(peak_shift([start], [end], [goal])[0]) + 0.0  # no -0
            over_width = shift * float(shift_over_width([start], [goal], [goal], [columns])[0])
        return Outcome(
            success=abs(shift - 1) <= AT_TARGET + 1e-9,
            success_before=start == goal,
            metrics={
                "shift": shift,
                "shift-over-width": over_width,
                "ratio": target.known["ratio"],
                "way": abs(goal - start) * sample.pixels.shape[1] / columns,  # pixels
            },
            details={
                "columns": columns,
                "peak": start,
                "target": goal,
                "peak_after": end,
                **_details(self, sample, target, output),
            },
        )


class CropWindow(Task):
    """The crops of all ratios should show a box about the second maximum, and the photo keep its quality.

    Options: ``ratios``, ``box`` (its width and height as shares of the photo's), ``min_psnr`` in dB of the written
    file, ``peak`` as for ``second-peak``, ``jpeg_quality``.
    """

    name = "crop-window"
    models = "saliency"
    defaults: ClassVar[Mapping[str, Any]] = {
        "peak": "column",
        "ratios": (0.56, 1.0, 2.0),
        "box": (0.3, 0.15),
        "min_psnr": 40.0,
        "jpeg_quality": 0,
    }
    measures = ("psnr", "shown", "symmetric")
    params: ClassVar[Mapping[str, str]] = {"ratios": "ratios"}

    def check(self) -> None:
        """Raise InvalidInputError where an option cannot be used."""
        from art_crop.geometry import check_ratios

        check_ratios(self.options["ratios"])
        box, psnr = self.options["box"], self.options["min_psnr"]
        sides = box if isinstance(box, (list, tuple)) and len(box) == 2 else (0, 0)
        if not all(isinstance(side, (int, float)) and not isinstance(side, bool) and 0 < side <= 1 for side in sides):
            raise InvalidInputError(f"box: its width and height as shares of the photo's, in (0, 1], not {box!r}")
        if isinstance(psnr, bool) or not isinstance(psnr, (int, float)):
            raise InvalidInputError(f"min_psnr: a number of dB is needed, not {psnr!r}")

    def reached(self) -> str:
        """Say what "reached" means."""
        return (
            "“Reached” means that the crops of all aspect ratios contain the dashed box, and that the photo keeps a "
            f"PSNR of at least {self.options['min_psnr']} dB."
        )

    def target(self, sample: Sample) -> Target:
        """Choose a box about the highest cell of the second maximum's column."""
        from art_crop.geometry import Region
        from art_crop.objectives import CropContainsRegion

        output, profile = sample.output, _profile(self, sample, sample.output)
        chosen = _second_maximum(sample, profile)
        saliency = output.saliency[0]
        column = int((chosen.target + 0.5) * saliency.shape[1] / len(profile))
        row = int(saliency[:, column].argmax())
        wide, high = self.options["box"]
        x = min(max((chosen.target + 0.5) / len(profile), wide / 2), 1 - wide / 2)
        y = min(max((row + 0.5) / saliency.shape[0], high / 2), 1 - high / 2)
        region = Region(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        try:  # no window of a ratio may be able to hold the box
            CropContainsRegion([region], self.options["ratios"])(output)
        except InvalidInputError as error:
            raise NotMeasured("impossible", str(error)) from error
        return Target(region, region, {"ratio": chosen.ratio})

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective: the crops of all ratios contain the box."""
        from art_crop.objectives import CropContainsRegion

        return CropContainsRegion([target.y for target in targets], self.options["ratios"])

    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say whether the box is shown, at which PSNR of the written file."""
        objective = self.objective([target])
        before, shown = (bool(objective(one).success[0]) for one in (sample.output, output))
        return Outcome(
            success=shown and change["psnr"] >= self.options["min_psnr"],
            success_before=before,
            metrics={
                "psnr": change["psnr"],
                "shown": float(shown),
                "symmetric": float(sample.output.symmetric()[0]),
            },
            details=_details(self, sample, target, output),
        )


# -- what both look at -------------------------------------------------------------------------------------------------


def _profile(task: Task, sample: Sample, output: Any) -> Array:
    """Column profile of a map's density; raw sums below 0 are no peaks. A cropper's columns are its own."""
    import numpy as np

    from art_crop.datasets.selection import column_profile
    from art_crop.models.cropper import Cropper
    from art_crop.objectives import SaliencyOutput

    if not isinstance(output, SaliencyOutput):
        raise InvalidInputError(f"task: {task.name} needs models that give saliency maps")
    saliency = output.saliency[0].cpu().numpy().astype(np.float64)
    if task.options["peak"] == "map-column" or not output.log_density:
        columns = np.maximum(column_profile(saliency), 0)
    else:
        columns = column_profile(np.exp(saliency))
    deployed = isinstance(getattr(sample.estimator, "rule", None), Cropper)
    tiles = round(output.size[0] / CELL)
    if deployed or len(columns) <= max(tiles, 1):
        return columns
    place = ((np.arange(len(columns)) + 0.5) * tiles / len(columns)).astype(np.intp)
    return np.bincount(place, weights=columns, minlength=tiles)


def _peak(task: Task, output: Any, profile: Array) -> int:
    if task.options["peak"] == "cell":
        columns = output.saliency.shape[2]
        column = int(output.saliency[0].argmax()) % columns
        return int((column + 0.5) * len(profile) / columns)
    return int(profile.argmax())


def _second_maximum(sample: Sample, profile: Array) -> SelectedTarget:
    """The photo's target, by the suite's selection rule."""
    from art_crop.datasets.selection import Excluded, content_size, select_target

    loose = {"max_maxima": 10**6, "max_height_over_width": 1e9, "min_distance": 0.0, "min_ratio": 0.0}
    limits: dict[str, Any] = {**(loose if sample.selection == "all" else {}), **sample.limits}
    target = select_target(profile, content_size(sample.pixels), **limits)
    if isinstance(target, Excluded):
        raise NotMeasured(EXCLUDED, target.reason)
    return target


def _details(task: Task, sample: Sample, target: Target, output: Any) -> dict[str, Any]:
    """What the cropper made of the photo before and after; its maps too where the photos are kept, for the report."""
    from art_crop.models.cropper import file_prediction

    ratios = tuple(task.options["ratios"])
    before, after = (file_prediction(one, ratios) for one in (sample.output, output))
    maps: dict[str, Any] = {}
    if sample.keep_images:
        log = sample.output.log_density
        maps = {"saliency_before": _levels(before, log), "saliency_after": _levels(after, log)}
    return {
        "ratio": target.known["ratio"],
        "region": _plain(target.y),
        "ratios": list(ratios),
        **maps,
        "salient_point_before": list(before.salient_point),
        "salient_point_after": list(after.salient_point),
        "crops_before": [list(map(int, window)) for window in before.crops],
        "crops_after": [list(map(int, window)) for window in after.crops],
        "symmetric": before.symmetric,
    }


def _plain(region: Region) -> list[float]:
    return [region.x0, region.y0, region.x1, region.y1]


def _levels(seen: FilePrediction, log_density: bool) -> list[list[int]]:
    """A map's density in levels from 0 to 255, of at most 64 cells a side: each the mean of what it covers."""
    import numpy as np

    density = seen.saliency_map.astype(np.float64)
    density = np.exp(density - density.max()) if log_density else density - density.min()
    for axis in (0, 1):
        starts = np.unique(
            np.linspace(0, density.shape[axis], min(_SIDE, density.shape[axis]), endpoint=False).astype(int)
        )
        sizes = np.diff(np.append(starts, density.shape[axis]))
        density = np.add.reduceat(density, starts, axis) / (sizes[:, None] if axis == 0 else sizes)
    levels: list[list[int]] = (density * (255 / max(float(density.max()), 1e-300))).round().astype(int).tolist()
    return levels
