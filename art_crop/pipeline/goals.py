"""What is wanted of one photo, as a person says it: a region shown, a score passed, a label left or reached.

A goal makes the objective that attacks and verification work with, and reads from the target's output the numbers that
the record prints; success is decided on these numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from art_crop.attacks.color_variance import CONDITIONS
from art_crop.errors import InvalidInputError, WrongLabelError
from art_crop.geometry import Region, Window, crop_window, window_contains
from art_crop.objectives import (
    BoxOutput,
    CropContainsRegion,
    LabelIs,
    LabelOut,
    Objective,
    PeakInRegion,
    SaliencyOutput,
    ScoreBeyond,
)
from art_crop.objectives.crops import windows_of

__all__ = [
    "SHOWN_RATIOS",
    "CropView",
    "Goal",
    "Label",
    "LabelView",
    "RankedLabel",
    "ResavedView",
    "Score",
    "ScoreView",
    "ShowRegion",
    "View",
    "check_classes",
]

SHOWN_RATIOS = (0.56, 1.0)
"""Ratios (height / width) that are asked for, and drawn, unless others are named: a wide preview and a square."""


@dataclass(frozen=True)
class CropView:
    """What a cropper makes of a file, and what of that was wanted."""

    salient_point: tuple[int, int]
    """x, y in pixels of the upright photo."""
    crops: tuple[Window, ...]
    """One window for each ratio that is looked at."""
    shows: tuple[bool, ...]
    """Whether each window contains the region."""
    success: bool
    """The goal is reached: every window contains the region or, where only the peak counts, it lies in the region."""
    symmetric: bool
    """The cropper takes the photo for mirror-symmetric and centres its crops whatever the map says."""


@dataclass(frozen=True)
class ScoreView:
    """What a quality model makes of a file."""

    score: float
    success: bool


@dataclass(frozen=True)
class ResavedView:
    """What a quality model makes of a file after a platform has decoded it and encoded it again."""

    quality: int
    subsampling: str
    score: float
    success: bool


@dataclass(frozen=True)
class RankedLabel:
    """One of a classifier's first classes."""

    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class LabelView:
    """What a classifier makes of a file: its first classes, how sure it is, and where the class in question stands."""

    label: int
    name: str
    probability: float
    rank: int
    """Of the class that the goal speaks of; 1 is the first."""
    success: bool
    goal_label: int
    """The class that the goal speaks of."""
    goal_name: str
    goal_probability: float
    top: tuple[RankedLabel, ...]
    """The first five, or as many as there are."""


View = CropView | ScoreView | LabelView


class Goal(ABC):
    """What is wanted of one photo."""

    task: ClassVar[str]

    @abstractmethod
    def objective(self) -> Objective:
        """Make the objective for one photo."""

    @abstractmethod
    def view(self, output: Any) -> View:
        """Read from the target's output for one photo what the record prints."""

    def check(self, output: Any) -> None:
        """Raise InvalidInputError where no change of this photo could reach the goal; by default none is known."""
        return

    def fitted(self, output: Any) -> Goal:
        """Leave out of the goal what nobody has asked for and no change of this photo could reach; then :meth:`check`.

        Args:
            output: What the target makes of the original.
        """
        self.check(output)
        return self

    @abstractmethod
    def words(self, view: Any) -> tuple[str, str]:
        """Say what holds where it is reached, and what where it is not."""


@dataclass(frozen=True)
class ShowRegion(Goal):
    """A region, and the ratios whose crops must all contain it; None: only the salient point must lie in it.

    Where the ratios are no more than a default, ``flexible``, those whose crops cannot contain the region are left out.
    """

    region: Region
    ratios: tuple[float, ...] | None = SHOWN_RATIOS
    flexible: bool = False
    task: ClassVar[str] = "saliency"

    @property
    def shown_ratios(self) -> tuple[float, ...]:
        """The ratios to look at."""
        return SHOWN_RATIOS if self.ratios is None else self.ratios

    def objective(self) -> Objective:
        """Make the objective for one photo."""
        if self.ratios is None:
            return PeakInRegion([self.region])
        return CropContainsRegion([self.region], self.ratios)

    def view(self, output: SaliencyOutput | BoxOutput) -> CropView:
        """Read salient point and windows from a cropper's output."""
        point, windows = _point_and_windows(output, self.shown_ratios)
        shows = tuple(window_contains(window, self.region, *output.size) for window in windows)
        if self.ratios is None:
            x0, y0, x1, y1 = self.region.pixels(*output.size)
            slack = 1e-3  # a region given in pixels may come back as 99.9999; see objectives.saliency
            success = x0 - slack <= point[0] <= x1 + slack and y0 - slack <= point[1] <= y1 + slack
        else:
            success = all(shows)
        symmetric = isinstance(output, SaliencyOutput) and bool(output.symmetric()[0])
        return CropView(point, windows, shows, success, symmetric)

    def check(self, output: SaliencyOutput | BoxOutput) -> None:
        """Raise InvalidInputError where no map could make the crops contain the region, saying which ratios can.

        And where the region is so small that the salient point, which stands in the middle of a cell, cannot lie in it.
        """
        if not isinstance(output, SaliencyOutput):
            return
        if self.ratios is None:
            self._check_cells(output)
        elif not self._reachable(output, self.ratios):
            raise InvalidInputError(self._why_not(output, self.ratios))

    def fitted(self, output: SaliencyOutput | BoxOutput) -> ShowRegion:
        """Leave out default ratios whose crops cannot contain the region, alone or beside those before; then check."""
        kept: tuple[float, ...] = ()
        if self.flexible and self.ratios is not None and isinstance(output, SaliencyOutput):
            for ratio in self.ratios:
                kept += (ratio,) * self._reachable(output, (*kept, ratio))
        fitted = replace(self, ratios=kept) if kept else self
        fitted.check(output)
        return fitted

    def words(self, view: CropView) -> tuple[str, str]:
        """Say which crops show the region, and which hide it."""
        if self.ratios is None:
            return "the salient point lies in the region", "the salient point lies outside the region"
        missing = [ratio for ratio, shows in zip(self.ratios, view.shows, strict=True) if not shows]
        hidden = _crops(missing or self.ratios, "hides", "hide")
        return _crops(self.ratios, "shows", "show"), hidden

    def _check_cells(self, output: SaliencyOutput) -> None:
        width, height = output.size
        x0, y0, x1, y1 = self.region.pixels(width, height)
        columns, rows = np.trunc(output.x), np.trunc(output.y)
        if bool(PeakInRegion([self.region]).cells(output, nearest=False).any()):
            return
        x = columns[np.abs(columns - (x0 + x1) / 2).argmin()]
        y = rows[np.abs(rows - (y0 + y1) / 2).argmin()]
        near = (min(x0, x), min(y0, y), max(x1, x + 1), max(y1, y + 1))
        box = ",".join(f"{value:.0f}px" for value in (*map(math.floor, near[:2]), *map(math.ceil, near[2:])))
        raise InvalidInputError(
            f"region {self.region} of a photo of {width}x{height} px: the salient point stands in the middle of a cell "
            f"of {width / len(columns):.0f}x{height / len(rows):.0f} px, and none lies in this region; the nearest box "
            f"that holds one is {box}"
        )

    def _reachable(self, output: SaliencyOutput, ratios: Sequence[float]) -> bool:
        return bool(CropContainsRegion([self.region], ratios).cells(output, self.region, symmetric=False).any())

    def _why_not(self, output: SaliencyOutput, ratios: Sequence[float]) -> str:
        width, height = output.size
        bad = [f"{ratio:g}" for ratio in ratios if not self._reachable(output, (ratio,))]
        where = f"region {self.region} of a photo of {width}x{height} px"
        if not bad:
            each = ", ".join(f"{ratio:g}" for ratio in ratios)
            return (
                f"{where}: crops of ratio {each} can each contain it, but not all at once; "
                "use a smaller region or fewer ratios"
            )
        own = height / width
        # A window is as wide or as high as the photo, so its ratio says how much of the other side it holds.
        lowest, highest = own * (self.region.y1 - self.region.y0), own / (self.region.x1 - self.region.x0)
        low = next(filter(lambda r: self._reachable(output, (r,)), _between(lowest, own, math.ceil)), own)
        high = next(filter(lambda r: self._reachable(output, (r,)), _between(highest, own, math.floor)), own)
        return (
            f"{where}: no crop of ratio {', '.join(bad)} (height / width) can contain it; "
            f"possible are ratios from {low:.4g} to {high:.4g}, or a smaller region"
        )


@dataclass(frozen=True)
class Score(Goal):
    """A quality score at or below a bound, or at or above it, on the model's own scale."""

    bound: float
    direction: Literal["below", "above"]
    task: ClassVar[str] = "quality"

    def objective(self) -> Objective:
        """Make the objective for one photo."""
        return ScoreBeyond([self.bound], self.direction)

    def view(self, output: Any) -> ScoreView:
        """Read the score."""
        return ScoreView(float(output[0]), bool(self.objective()(output).success[0]))

    def words(self, view: ScoreView) -> tuple[str, str]:
        """Say where the score is."""
        other = "above" if self.direction == "below" else "below"
        return (
            f"the score is {view.score:.4g}, {self.direction} {self.bound:g}",
            f"the score is {view.score:.4g}, still {other} {self.bound:g}",
        )


@dataclass(frozen=True)
class Label(Goal):
    """A class that must be the first (``wanted``), or must no longer be, under one of the attacks' conditions."""

    label: int
    wanted: bool
    names: tuple[str, ...] = ()
    condition: str | None = None
    task: ClassVar[str] = "classification"

    def objective(self) -> Objective:
        """Make the objective for one photo."""
        if self.wanted:
            return LabelIs([self.label])
        return LabelOut([self.label], **CONDITIONS[self.condition or "top1"])

    def view(self, output: Any) -> LabelView:
        """Read the first classes, and the rank of the one in question."""
        logits = output[0].double()
        order = logits.sort(descending=True, stable=True).indices.tolist()
        shares = logits.softmax(0).tolist()
        top = tuple(RankedLabel(label, self._name(label), shares[label]) for label in order[:5])
        return LabelView(
            top[0].label,
            top[0].name,
            top[0].probability,
            order.index(self.label) + 1,
            bool(self.objective()(output).success[0]),
            self.label,
            self._name(self.label),
            shares[self.label],
            top,
        )

    def check(self, output: Any) -> None:
        """Raise WrongLabelError where a condition is about a label that the model does not give in the first place.

        And InvalidInputError where the condition needs more classes than the model has.
        """
        if self.condition is None:
            return
        check_classes(self.condition, output.shape[1])
        view = self.view(output)
        if view.rank != 1:
            raise WrongLabelError(
                f"skipped: the model says {view.name} ({view.probability:.0%}) and not {view.goal_name} "
                f"({_percent(view.goal_probability)}), so there is no label to take from it"
            )

    def words(self, view: LabelView) -> tuple[str, str]:
        """Say what the label is."""
        now, name = f"the label is {view.name}", view.goal_name
        if self.wanted:
            return now, now
        if view.rank == 1:
            return now, f"the label is still {view.name}"
        if self.condition == "top5":
            return f"{now}, and {name} is none of the first five", f"{now}, but {name} is still number {view.rank}"
        if self.condition == "top1-50":
            shares = f"{now} with {_percent(view.probability)}"
            own = f"{name} has {_percent(view.goal_probability)}"
            return f"{shares}, and {own}", f"{shares}, but {own}, more than half of it"
        return now, now

    def _name(self, label: int) -> str:
        return self.names[label] if label < len(self.names) else str(label)


def check_classes(condition: str, classes: int) -> None:
    """Raise InvalidInputError where a model has so few classes that the condition cannot be met."""
    places = CONDITIONS[condition].get("k", 1)
    if places >= classes:
        raise InvalidInputError(
            f"condition: {condition} needs a model of more than {places} classes, and this one has {classes}"
        )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{share:.2%}" if share >= 1e-4 else "below 0.01%"


def _point_and_windows(
    output: SaliencyOutput | BoxOutput, ratios: Sequence[float]
) -> tuple[tuple[int, int], tuple[Window, ...]]:
    if isinstance(output, SaliencyOutput):
        points, windows = windows_of(output, ratios)
        return points[0], tuple(windows[0])
    if output.points is not None:
        point = (int(output.points[0, 0]), int(output.points[0, 1]))
        return point, tuple(crop_window(*output.size, point, ratio) for ratio in ratios)
    assert output.windows is not None
    lacking = [ratio for ratio in ratios if ratio not in output.ratios]
    if lacking:
        raise InvalidInputError(f"ratios: this model answers for {output.ratios} only, not {tuple(ratios)}")
    rows = output.windows[0].round().int().tolist()
    chosen = tuple(Window(*rows[output.ratios.index(ratio)]) for ratio in ratios)
    return (chosen[0].left + chosen[0].width // 2, chosen[0].top + chosen[0].height // 2), chosen


def _between(start: float, end: float, towards: Callable[[float], int]) -> list[float]:
    """Ratios from one to another in even steps, each rounded to three digits."""
    values = [start * (end / start) ** (k / 40) for k in range(41)]
    steps = [10.0 ** (math.floor(math.log10(value)) - 2) for value in values]
    return [towards(value / step) * step for value, step in zip(values, steps, strict=True)]


def _crops(ratios: Sequence[float], one: str, many: str) -> str:
    """'the crop of ratio 1 shows the region', 'the crops of ratios 0.56, 1 show the region'."""
    listed = ", ".join(f"{ratio:g}" for ratio in ratios)
    if len(ratios) == 1:
        return f"the crop of ratio {listed} {one} the region"
    return f"the crops of ratios {listed} {many} the region"
