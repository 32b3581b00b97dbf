"""The objective of a crop: the windows that a cropper cuts for some aspect ratios all contain a region.

The rule for windows is that of the open-sourced cropper (image-crop-analysis, Yee et al. 2021): a window follows from
the salient cell alone, unless the photo is mirror-symmetric to it, which is cropped at its middle column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_choice
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region, Window, check_ratios, crop_window, window_contains
from art_crop.objectives.base import LOSSES, Loss, PerSample, Verdict, check_count
from art_crop.objectives.saliency import (
    Array,
    BoxOutput,
    SaliencyOutput,
    as_mask,
    best_inside,
    check_regions,
    first_maximum_inside,
    margin_or_share,
)

__all__ = ["CropContainsRegion", "windows_of"]

_SLACK = 1e-6  # of a pixel; see geometry.window_contains
_SAFE = 0.5  # how far beyond the threshold a broken symmetry should be, in its own score


class CropContainsRegion(PerSample):
    """The cropper's window contains the region, for every ratio at once.

    For each sample the cells whose windows all contain the region are known beforehand, and the peak must be one of
    them. A mirror-symmetric photo is cropped at its middle column, so that only the peak's row counts: where those
    windows can contain the region too, that is one way to succeed; to break the symmetry and move the peak is the
    other, and the loss is that of the cheaper one.

    Where a model gives windows or points alone, the loss is how far the region reaches out of its windows, in shares of
    the photo's longer side.

    Args:
        regions: One region for each sample.
        ratios: Aspect ratios (height / width) that must all show it.
        loss: As for :class:`PeakInRegion`.

    Raises:
        InvalidInputError: No ratios; when called: a region that no window of one of the ratios can contain, or ratios
            for which the model gives no windows.
    """

    task = "saliency"
    _lists = ("regions",)

    def __init__(self, regions: Sequence[Region], ratios: Sequence[float], *, loss: Loss = "margin") -> None:
        check_choice(loss, "loss", LOSSES)
        self.regions, self.ratios, self.loss = check_regions(regions), check_ratios(ratios), loss

    def __call__(self, output: SaliencyOutput | BoxOutput) -> Verdict:
        """Give loss and success for saliency maps, salient points or crop windows."""
        if isinstance(output, BoxOutput):
            return self._of_boxes(output)
        values, free = self._values(output)
        asymmetry = output.asymmetry()
        centred = asymmetry < 0
        loss, success = margin_or_share(values, free, self.loss), first_maximum_inside(values, free) & ~centred
        if not bool(centred.any()):
            return Verdict(loss, success)
        # Either way: the symmetry broken and the peak in a cell of its own, or the peak in a row of the middle windows.
        broken = torch.where(centred, torch.maximum(loss, _SAFE - asymmetry), loss)
        middle = self._cells(output, values, symmetric=True)
        possible = centred & middle.any(1)
        kept = margin_or_share(values, middle | ~possible[:, None], self.loss)
        loss = torch.where(possible & (kept < broken), kept, broken)
        return Verdict(loss, success | (possible & first_maximum_inside(values, middle)))

    def evidence(self, output: SaliencyOutput) -> Tensor:
        """Give the greatest value among the cells that show the region (N,); see :func:`evidence`."""
        return best_inside(*self._values(output))

    def _values(self, output: SaliencyOutput) -> tuple[Tensor, Tensor]:
        """The map's cells (N, K), and from which of them every window contains the region, were none symmetric."""
        check_count(len(self.regions), len(output.saliency))
        values = output.log().flatten(1)
        free = self._cells(output, values, symmetric=False)
        for region, some in zip(self.regions, free.any(1).tolist(), strict=True):
            if not some:
                raise InvalidInputError(
                    f"region {region}: no crop window can contain it for all of the ratios "
                    f"{', '.join(f'{r:g}' for r in self.ratios)} of a photo of {output.size[0]}x{output.size[1]} px; "
                    "choose a smaller region or fewer ratios"
                )
        return values, free

    def _cells(self, output: SaliencyOutput, like: Tensor, *, symmetric: bool) -> Tensor:
        cells = [self.cells(output, region, symmetric=symmetric).ravel() for region in self.regions]
        return as_mask(np.stack(cells), like)

    def cells(self, output: SaliencyOutput, region: Region, *, symmetric: bool) -> Array:
        """Find the cells (h, w) bool from which every ratio's window contains the region."""
        width, height = output.size
        good = np.ones((len(output.y), len(output.x)), bool)
        for ratio in self.ratios:
            moves_along_x = crop_window(width, height, (0, 0), ratio).width < width
            points = [(int(x), 0) for x in output.x] if moves_along_x else [(0, int(y)) for y in output.y]
            windows = (crop_window(width, height, point, ratio, symmetric=symmetric) for point in points)
            shown = np.array([window_contains(window, region, width, height) for window in windows])
            good &= shown[None, :] if moves_along_x else shown[:, None]
        return good

    def _of_boxes(self, output: BoxOutput) -> Verdict:
        check_count(len(self.regions), len(output))
        windows = self._windows(output)
        box = windows.new_tensor([r.pixels(*output.size) for r in self.regions])[:, None]
        near, far = windows[..., :2], windows[..., :2] + windows[..., 2:]
        beyond = torch.cat([near - box[..., :2], box[..., 2:] - far], -1).amax((1, 2))
        return Verdict(beyond / max(output.size), beyond <= _SLACK)

    def _windows(self, output: BoxOutput) -> Tensor:
        """Windows (N, ratios, 4), float64, in whole pixels."""
        if output.windows is not None:
            if not set(self.ratios) <= set(output.ratios):
                raise InvalidInputError(f"ratios: this model answers for {output.ratios} only, not {self.ratios}")
            return output.windows[:, [output.ratios.index(ratio) for ratio in self.ratios]].double().round()
        assert output.points is not None
        points = [(int(x), int(y)) for x, y in output.points.tolist()]
        rows = [[crop_window(*output.size, point, ratio) for ratio in self.ratios] for point in points]
        return torch.tensor(rows, dtype=torch.float64, device=output.points.device).view(-1, len(self.ratios), 4)


def windows_of(output: SaliencyOutput, ratios: Sequence[float]) -> tuple[list[tuple[int, int]], list[list[Window]]]:
    """Find salient points and crop windows of maps, by the cropper's rule.

    Args:
        output: Maps of N photos.
        ratios: Aspect ratios (height / width).

    Returns:
        Salient point x, y of each photo, and its window for each ratio, in whole pixels.
    """
    symmetric = output.symmetric().tolist()
    points, windows = [], []
    for flat, centred in zip(output.saliency.detach().flatten(1), symmetric, strict=True):
        row, column = divmod(int(flat.argmax()), len(output.x))
        point = (int(output.x[column]), int(output.y[row]))
        points.append(point)
        windows.append([crop_window(*output.size, point, ratio, symmetric=centred) for ratio in ratios])
    return points, windows
