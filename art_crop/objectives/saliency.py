"""Wishes about a saliency map: where its peak lies, what the crop shows, which map it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_choice
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region, check_ratios, crop_window, window_contains
from art_crop.objectives.base import LOSSES, Loss, PerSample, Verdict, check_count

__all__ = ["PEAKS", "CropContainsRegion", "MapDistance", "Peak", "PeakInRegion", "SaliencyOutput"]

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
    symmetric: Callable[[], Tensor]
    """Photos whose crop is centred whatever the map says, bool (N,); computed only for those who ask."""
    log_density: bool = True
    """exp(map) is the density; otherwise the map itself."""


def _best_inside(values: Tensor, inside: Tensor) -> Tensor:
    return values.masked_fill(~inside, torch.finfo(values.dtype).min).amax(1)


def _mask_verdict(values: Tensor, inside: Tensor, loss: Loss) -> Verdict:
    """Verdict on log densities (N, K) whose first strict maximum must fall where ``inside`` (N, K) is true."""
    lowest = torch.finfo(values.dtype).min
    best_in = _best_inside(values, inside)
    best_out = values.masked_fill(inside, lowest).amax(1)
    success = inside.gather(1, values.argmax(1, keepdim=True))[:, 0]
    if loss == "margin":
        return Verdict(best_out - best_in, success)
    share = values.masked_fill(~inside, lowest).logsumexp(1) - values.logsumexp(1)
    return Verdict(-share, success)


class PeakInRegion(PerSample):
    """The saliency peak lies in a region.

    Args:
        regions: One region for each sample.
        by: ``"cell"``: the cell with the greatest saliency, which is the deployed cropper's salient point.
            ``"column"``: the greatest column sum of the density, the peak of paper 001 (only the x range counts).
            ``"map-column"``: the same with sums of the map as the network gives it, without the exponential.
            Where a region is so narrow that it holds no cell, the nearest one counts.
        loss: ``"margin"``: best value outside minus best inside (logarithms), below 0 where the wish is fulfilled.
            ``"cross_entropy"``: minus the logarithm of the region's share of the saliency mass.

    Raises:
        InvalidInputError: No regions, or an unknown ``by`` or ``loss``; when called: not a region for each sample.
    """

    _lists = ("regions",)

    def __init__(self, regions: Sequence[Region], *, by: Peak = "cell", loss: Loss = "margin") -> None:
        check_choice(by, "by", PEAKS)
        check_choice(loss, "loss", LOSSES)
        self.regions, self.by, self.loss = _check_regions(regions), by, loss

    def __call__(self, output: SaliencyOutput) -> Verdict:
        """Judge a batch of saliency maps."""
        return _mask_verdict(*self._values(output), self.loss)

    def evidence(self, output: SaliencyOutput) -> Tensor:
        """The greatest value inside the region (N,), as the network gives it; see :func:`evidence`."""
        return _best_inside(*self._values(output))

    def _values(self, output: SaliencyOutput) -> tuple[Tensor, Tensor]:
        """Values (N, K) whose maximum is the peak, and which of them are in the region."""
        check_count(len(self.regions), len(output.saliency))
        columns = np.stack([_between(output.x, r.x0, r.x1, output.size[0]) for r in self.regions])
        if self.by == "map-column":
            # Means, not sums: the same peak, and a softmax over them that is not all or nothing.
            return output.saliency.mean(1), _tensor(columns, output.saliency)
        log = _log_density(output)
        if self.by == "column":
            return log.logsumexp(1), _tensor(columns, log)
        rows = np.stack([_between(output.y, r.y0, r.y1, output.size[1]) for r in self.regions])
        inside = rows[:, :, None] & columns[:, None, :]
        return log.flatten(1), _tensor(inside, log).flatten(1)


def _between(centres: Array, low: float, high: float, side: int) -> Array:
    """Cells of one axis inside [low, high] (fractions); where a narrow region falls between cells, the nearest cell."""
    inside = (centres >= low * side - 1e-3) & (centres <= high * side + 1e-3)
    if not inside.any():
        inside[np.abs(centres - (low + high) / 2 * side).argmin()] = True
    result: Array = inside
    return result


def _tensor(mask: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(mask).to(like.device)


def _log_density(output: SaliencyOutput) -> Tensor:
    return output.saliency if output.log_density else output.saliency.clamp_min(1e-12).log()


def _check_regions(regions: object) -> list[Region]:
    if not isinstance(regions, (list, tuple)) or not regions or not all(isinstance(r, Region) for r in regions):
        raise InvalidInputError(f"regions: a list with one Region for each sample is needed, not {regions!r}")
    return list(regions)


class CropContainsRegion(PerSample):
    """The cropper's window contains the region, for every ratio at once, by the cropper's own rule for windows.

    A window follows from the salient cell alone, so for each sample the cells whose windows all contain the region are
    known beforehand; the wish is that the peak is one of them. Symmetric photos are cropped at the middle column: there
    only the row counts, and a region that the middle windows miss cannot be shown.

    Args:
        regions: One region for each sample.
        ratios: Aspect ratios (height / width) that must all show it.
        loss: As for :class:`PeakInRegion`.

    Raises:
        InvalidInputError: No ratios; when called: a region that no window of one of the ratios can contain.
    """

    _lists = ("regions",)

    def __init__(self, regions: Sequence[Region], ratios: Sequence[float], *, loss: Loss = "margin") -> None:
        check_choice(loss, "loss", LOSSES)
        self.regions, self.ratios, self.loss = _check_regions(regions), check_ratios(ratios), loss

    def __call__(self, output: SaliencyOutput) -> Verdict:
        """Judge a batch of saliency maps."""
        values, inside = self._values(output)
        verdict = _mask_verdict(values, inside, self.loss)
        possible = inside.any(1)
        # A symmetric photo whose middle windows miss the region: no map can help, and no gradient should pretend so.
        return Verdict(torch.where(possible, verdict.loss, values[:, 0] * 0 + 1e3), verdict.success & possible)

    def evidence(self, output: SaliencyOutput) -> Tensor:
        """The greatest value among the cells that show the region (N,); see :func:`evidence`."""
        return _best_inside(*self._values(output))

    def _values(self, output: SaliencyOutput) -> tuple[Tensor, Tensor]:
        """The map's cells (N, K), and from which of them every window contains the region."""
        check_count(len(self.regions), len(output.saliency))
        log = _log_density(output)
        flags = [bool(flag) for flag in output.symmetric().tolist()]
        cells = [self.cells(output, r, symmetric=s) for r, s in zip(self.regions, flags, strict=True)]
        for region, free, centred in zip(self.regions, cells, flags, strict=True):
            if not free.any() and not centred:
                raise InvalidInputError(
                    f"region {region}: no crop window can contain it for all of the ratios "
                    f"{', '.join(f'{r:g}' for r in self.ratios)} of a photo of {output.size[0]}x{output.size[1]} px; "
                    "choose a smaller region or fewer ratios"
                )
        return log.flatten(1), _tensor(np.stack(cells), log).flatten(1)

    def cells(self, output: SaliencyOutput, region: Region, *, symmetric: bool) -> Array:
        """Cells (h, w) bool from which every ratio's window contains the region."""
        width, height = output.size
        good = np.ones((len(output.y), len(output.x)), bool)
        for ratio in self.ratios:
            window = crop_window(width, height, (0, 0), ratio)
            moves_along_x = window.width < width
            if moves_along_x:
                points = [(int(x), 0) for x in output.x]
            else:
                points = [(0, int(y)) for y in output.y]
            shown = np.array(
                [
                    window_contains(crop_window(width, height, p, ratio, symmetric=symmetric), region, width, height)
                    for p in points
                ]
            )
            good &= shown[None, :] if moves_along_x else shown[:, None]
        return good


class MapDistance(PerSample):
    """Distance of the saliency map to a given one; what ART's ``loss_gradient(x, y)`` means for a map ``y``.

    Args:
        maps: (N, h, w) maps to compare with.
        loss: ``"mse"``: sum of squared differences; ``"kl"``: KL(softmax(y) || softmax(map)) for log densities.
    """

    _lists = ("maps",)

    def __init__(self, maps: Tensor, loss: Literal["mse", "kl"] = "mse") -> None:
        check_choice(loss, "loss", ("mse", "kl"))
        self.maps, self.loss = maps, loss

    def __call__(self, output: SaliencyOutput) -> Verdict:
        """Judge a batch of saliency maps; no distance counts as success."""
        saliency, maps = output.saliency, self.maps.to(output.saliency)
        if saliency.shape != maps.shape:
            raise InvalidInputError(f"y: maps of shape {tuple(saliency.shape)} are needed, not {tuple(maps.shape)}")
        if self.loss == "mse":
            loss = (saliency - maps).square().flatten(1).sum(1)
        else:
            target = maps.flatten(1).log_softmax(1)
            loss = (target.exp() * (target - saliency.flatten(1).log_softmax(1))).sum(1)
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))
