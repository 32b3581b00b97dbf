"""What must be shown, whether a file shows it by the cropper's own rules, and whether any crop could."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from art_crop.errors import InvalidInputError
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.geometry import Region, Window, window_contains
from art_crop.models.cropper import FilePrediction
from art_crop.objectives import CropContainsRegion, Objective, PeakInRegion, SaliencyOutput

__all__ = ["SHOWN_RATIOS", "Goal", "View"]

SHOWN_RATIOS = (0.56, 1.0)
"""Ratios (height / width) that are asked for, and drawn, unless others are named: a wide preview and a square."""


@dataclass(frozen=True)
class View:
    """What the cropper makes of a file, and what of that was wanted."""

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
class Goal:
    """A region, and the ratios whose crops must all contain it; None: only the salient point must lie in it."""

    region: Region
    ratios: tuple[float, ...] | None = SHOWN_RATIOS

    @property
    def shown_ratios(self) -> tuple[float, ...]:
        """The ratios to look at."""
        return SHOWN_RATIOS if self.ratios is None else self.ratios

    def objective(self) -> Objective:
        """The wish for one photo, as attacks take it."""
        if self.ratios is None:
            return PeakInRegion([self.region])
        return CropContainsRegion([self.region], self.ratios)

    def view(self, estimator: PyTorchSaliencyRegressor, seen: FilePrediction) -> View:
        """Judge a file by what the cropper said of it."""
        shows = tuple(window_contains(window, self.region, *seen.size) for window in seen.crops)
        success = all(shows) if self.ratios is not None else self._peak_inside(estimator, seen)
        return View(seen.salient_point, seen.crops, shows, success, seen.symmetric)

    def _peak_inside(self, estimator: PyTorchSaliencyRegressor, seen: FilePrediction) -> bool:
        saliency = torch.from_numpy(np.ascontiguousarray(seen.saliency_map))[None]
        height, width = seen.saliency_map.shape
        where = estimator.rule.positions((height, width), seen.size)
        output = SaliencyOutput(
            saliency, where.x, where.y, seen.size, lambda: torch.zeros(1, dtype=torch.bool), estimator.rule.log_density
        )
        return bool(self.objective()(output).success)

    def out_of_reach(self, output: SaliencyOutput) -> bool:
        """Whether the photo counts as symmetric and its centred crops miss the region, so that no map can help.

        Raises:
            InvalidInputError: No map at all could make the crops contain the region; the message says which ratios can.
        """
        if self.ratios is None:
            return False
        free = [_reachable(output, self.region, (ratio,), symmetric=False) for ratio in self.ratios]
        if not _reachable(output, self.region, self.ratios, symmetric=False):
            raise InvalidInputError(self._why_not(output, free))
        symmetric = bool(output.symmetric()[0])
        return symmetric and not _reachable(output, self.region, self.ratios, symmetric=True)

    def _why_not(self, output: SaliencyOutput, possible: Sequence[bool]) -> str:
        assert self.ratios is not None
        width, height = output.size
        bad = [f"{ratio:g}" for ratio, can in zip(self.ratios, possible, strict=True) if not can]
        where = f"region {self.region} of a photo of {width}x{height} px"
        if not bad:
            each = ", ".join(f"{ratio:g}" for ratio in self.ratios)
            return (
                f"{where}: crops of ratio {each} can each contain it, but not all at once; "
                "use a smaller region or fewer ratios"
            )
        own = height / width
        # A window is as wide or as high as the photo, so its ratio says how much of the other side it holds.
        lowest, highest = own * (self.region.y1 - self.region.y0), own / (self.region.x1 - self.region.x0)
        low = next(filter(lambda ratio: self._alone(output, ratio), _between(lowest, own, math.ceil)), own)
        high = next(filter(lambda ratio: self._alone(output, ratio), _between(highest, own, math.floor)), own)
        return (
            f"{where}: no crop of ratio {', '.join(bad)} (height / width) can contain it; "
            f"possible are ratios from {low:.4g} to {high:.4g}, or a smaller region"
        )

    def _alone(self, output: SaliencyOutput, ratio: float) -> bool:
        return _reachable(output, self.region, (ratio,), symmetric=False)


def _between(start: float, end: float, towards: Callable[[float], int]) -> list[float]:
    """Ratios from one to another in even steps, each rounded to three digits."""
    values = [start * (end / start) ** (k / 40) for k in range(41)]
    steps = [10.0 ** (math.floor(math.log10(value)) - 2) for value in values]
    return [towards(value / step) * step for value, step in zip(values, steps, strict=True)]


def _reachable(output: SaliencyOutput, region: Region, ratios: Sequence[float], *, symmetric: bool) -> bool:
    cells = CropContainsRegion([region], ratios).cells(output, region, symmetric=symmetric)
    return bool(cells.any())
