"""Objectives for a saliency map, and for a cropper's salient point: where the peak lies, or which map it is.

Sources: papers 000 and 001 (peak in a region; J of equation 1, left open there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_choice
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region
from art_crop.objectives.base import LOSSES, Loss, PerSample, Verdict, check_count

__all__ = ["PEAKS", "BoxOutput", "MapDistance", "Peak", "PeakInRegion", "SaliencyOutput", "check_regions"]

Array = np.ndarray[Any, Any]
Peak = Literal["cell", "column", "map-column"]
PEAKS = ("cell", "column", "map-column")


@dataclass(frozen=True)
class SaliencyOutput:
    """What a saliency regressor gives for a batch of photos of one size."""

    saliency: Tensor
    """Raw map (N, h, w)."""
    x: Array
    """Where the map's columns stand, photo pixels (w,)."""
    y: Array
    """Where its rows stand, photo pixels (h,)."""
    size: tuple[int, int]
    """Width and height of the photos."""
    asymmetry: Callable[[], Tensor]
    """How far each photo is from being cropped at its middle whatever the map says, (N,): below 0 it is. Computed, with
    its gradient, only for those who ask."""
    log_density: bool = True
    """exp(map) is the density; otherwise the map itself."""

    def symmetric(self) -> Tensor:
        """Tell which photos are cropped at their middle whatever the map says, bool (N,)."""
        return self.asymmetry() < 0

    def log(self) -> Tensor:
        """Give the map as a log density (N, h, w)."""
        return self.saliency if self.log_density else self.saliency.clamp_min(1e-12).log()


@dataclass(frozen=True)
class BoxOutput:
    """What a cropper gives that answers with salient points or crop windows alone, for photos of one size."""

    size: tuple[int, int]
    """Width and height of the photos."""
    points: Tensor | None = None
    """Salient points x, y in photo pixels (N, 2), or None."""
    windows: Tensor | None = None
    """Crop windows left, top, width, height in photo pixels (N, R, 4), or None: they follow from the points."""
    ratios: tuple[float, ...] = ()
    """Height / width of each window."""

    def __len__(self) -> int:
        answers = self.windows if self.points is None else self.points
        return 0 if answers is None else len(answers)


def margin_or_share(values: Tensor, inside: Tensor, loss: Loss) -> Tensor:
    """Compute the loss (N,) of log densities (N, K) whose maximum should fall where ``inside`` (N, K) is true."""
    lowest = torch.finfo(values.dtype).min
    if loss == "margin":
        return values.masked_fill(inside, lowest).amax(1) - best_inside(values, inside)
    return values.logsumexp(1) - values.masked_fill(~inside, lowest).logsumexp(1)


def best_inside(values: Tensor, inside: Tensor) -> Tensor:
    """Give the greatest of values (N, K) where ``inside`` (N, K) is true, (N,)."""
    return values.masked_fill(~inside, torch.finfo(values.dtype).min).amax(1)


def first_maximum_inside(values: Tensor, inside: Tensor) -> Tensor:
    """Tell whether the first strict maximum of values (N, K) falls where ``inside`` (N, K) is true, bool (N,)."""
    return inside.gather(1, values.argmax(1, keepdim=True))[:, 0]


class PeakInRegion(PerSample):
    """The saliency peak lies in a region.

    Where a model gives only salient points, the loss is how far a point is outside of its region, in shares of the
    photo's longer side.

    Args:
        regions: One region for each sample.
        by: ``"cell"``: the cell with the greatest saliency, which is the deployed cropper's salient point.
            ``"column"``: the greatest column sum of the density, the peak of paper 001 (only the x range counts).
            ``"map-column"``: the same with sums of the map as the network gives it, without the exponential.
            Where a region is so narrow that it holds no column, the nearest one counts. The salient point itself is
            in whole pixels: where a region holds none, the loss leads to the nearest cell, and there is no success.
        loss: ``"margin"``: best value outside minus best inside (logarithms), below 0 where the peak is inside.
            ``"cross_entropy"``: minus the logarithm of the region's share of the saliency mass.

    Raises:
        InvalidInputError: No regions, or an unknown ``by`` or ``loss``; when called: not a region for each sample, or
            an output that has no such peak.
    """

    task = "saliency"
    _lists = ("regions",)

    def __init__(self, regions: Sequence[Region], *, by: Peak = "cell", loss: Loss = "margin") -> None:
        check_choice(by, "by", PEAKS)
        check_choice(loss, "loss", LOSSES)
        self.regions, self.by, self.loss = check_regions(regions), by, loss

    def __call__(self, output: SaliencyOutput | BoxOutput) -> Verdict:
        """Give loss and success for saliency maps or salient points."""
        if isinstance(output, BoxOutput):
            return self._of_points(output)
        values, inside = self._values(output)
        loss = margin_or_share(values, inside, self.loss)
        if self.by == "cell":
            inside = as_mask(self.cells(output, nearest=False), values).flatten(1)
        return Verdict(loss, first_maximum_inside(values, inside))

    def evidence(self, output: SaliencyOutput) -> Tensor:
        """Give the greatest value inside the region (N,), as the network has it; see :func:`evidence`."""
        return best_inside(*self._values(output))

    def _values(self, output: SaliencyOutput) -> tuple[Tensor, Tensor]:
        """Values (N, K) whose maximum is the peak, and which of them are in the region."""
        check_count(len(self.regions), len(output.saliency))
        if self.by == "cell":
            log = output.log().flatten(1)
            return log, as_mask(self.cells(output, nearest=True), log).flatten(1)
        columns = np.stack([_between(output.x, r.x0, r.x1, output.size[0]) for r in self.regions])
        if self.by == "map-column":
            # Means, not sums: the same peak, and a softmax over them that is not all or nothing.
            return output.saliency.mean(1), as_mask(columns, output.saliency)
        log = output.log().logsumexp(1)
        return log, as_mask(columns, log)

    def cells(self, output: SaliencyOutput, *, nearest: bool) -> Array:
        """Find the cells (N, h, w) bool whose salient point, in whole pixels, lies in each sample's region."""
        (x, y), (width, height) = (np.trunc(output.x), np.trunc(output.y)), output.size
        columns = np.stack([_between(x, r.x0, r.x1, width, nearest=nearest) for r in self.regions])
        rows = np.stack([_between(y, r.y0, r.y1, height, nearest=nearest) for r in self.regions])
        inside: Array = rows[:, :, None] & columns[:, None, :]
        return inside

    def _of_points(self, output: BoxOutput) -> Verdict:
        if output.points is None or self.by != "cell":
            raise InvalidInputError(
                "objective: a model that returns no saliency map cannot tell where its map has a peak"
                + ("" if self.by == "cell" else f" by {self.by}")
            )
        check_count(len(self.regions), len(output.points))
        box = torch.tensor([r.pixels(*output.size) for r in self.regions]).to(output.points)
        beyond = torch.cat([box[:, :2] - output.points, output.points - box[:, 2:]], 1).amax(1)
        return Verdict(beyond / max(output.size), beyond <= 0)


def _between(centres: Array, low: float, high: float, side: int, *, nearest: bool = True) -> Array:
    """Cells of one axis inside [low, high] (fractions); where a narrow region falls between cells, the nearest cell."""
    inside = (centres >= low * side - 1e-3) & (centres <= high * side + 1e-3)
    if nearest and not inside.any():
        inside[np.abs(centres - (low + high) / 2 * side).argmin()] = True
    result: Array = inside
    return result


def as_mask(mask: Array, like: Tensor) -> Tensor:
    """Bring a bool array to the device of a tensor."""
    return torch.from_numpy(mask).to(like.device)


def check_regions(regions: object) -> list[Region]:
    """Check that there is a region for each sample.

    Raises:
        InvalidInputError: Not a list of at least one ``Region``.
    """
    if not isinstance(regions, (list, tuple)) or not regions or not all(isinstance(r, Region) for r in regions):
        raise InvalidInputError(f"regions: a list with one Region for each sample is needed, not {regions!r}")
    return list(regions)


class MapDistance(PerSample):
    """Distance of the saliency map to a given one; what ART's ``loss_gradient(x, y)`` means for a map ``y``.

    Args:
        maps: (N, h, w) maps to compare with.
        loss: ``"mse"``: sum of squared differences; ``"kl"``: KL(softmax(y) || softmax(map)) for log densities.
    """

    task = "saliency"
    _lists = ("maps",)

    def __init__(self, maps: Tensor, loss: Literal["mse", "kl"] = "mse") -> None:
        check_choice(loss, "loss", ("mse", "kl"))
        self.maps, self.loss = maps, loss

    def __call__(self, output: SaliencyOutput) -> Verdict:
        """Give the distance of saliency maps; none counts as success."""
        saliency, maps = output.saliency, self.maps.to(output.saliency)
        if saliency.shape != maps.shape:
            raise InvalidInputError(f"y: maps of shape {tuple(saliency.shape)} are needed, not {tuple(maps.shape)}")
        if self.loss == "mse":
            loss = (saliency - maps).square().flatten(1).sum(1)
        else:
            target = maps.flatten(1).log_softmax(1)
            loss = (target.exp() * (target - saliency.flatten(1).log_softmax(1))).sum(1)
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))
