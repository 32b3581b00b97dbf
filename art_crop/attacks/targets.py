"""From the ``y`` of ``generate`` to an objective, and where in each photo the peak is and where it should go."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.geometry import Region
from art_crop.objectives import (
    BoxOutput,
    CropContainsRegion,
    LabelOut,
    Objective,
    PeakInRegion,
    SaliencyOutput,
    ScoreBeyond,
    Verdict,
    evidence,
)

__all__ = ["Located", "PeakMove", "is_objective", "objective_of", "peak_moves"]


def is_objective(y: Any) -> bool:
    """Tell an objective from anything else that ``generate`` takes as y."""
    return hasattr(y, "take") and callable(y) and not isinstance(y, np.ndarray)


def objective_of(y: Any, count: int, estimator: Any, *, by: Any = "cell", ratios: Any = None, loss: Any) -> Any:
    """Make the objective that ``y`` means for ``count`` photos of an estimator's task.

    Args:
        y: An objective; else, for saliency, a ``Region``, a list of them, or an array (N, 4) of x0, y0, x1, y1 in
            fractions; for quality, one bound or one a photo, which the score must leave on its worse side; for
            classification, labels (N,) that must no longer be the model's first.
        count: Photos.
        estimator: Its task decides.
        by: What peak must lie in the region; see :class:`~art_crop.objectives.PeakInRegion`.
        ratios: Aspect ratios whose crops must all contain the region; None: the peak must lie in it.
        loss: ``"margin"`` or ``"cross_entropy"``.

    Raises:
        InvalidInputError: Anything else, for another number of photos, or scores that are not on the model's scale.
    """
    if is_objective(y):
        if isinstance(y, Sized) and len(y) != count:
            raise InvalidInputError(f"y: an objective for {count} photos is needed, this one speaks of {len(y)}")
        wanted = getattr(y, "task", "")
        if wanted not in ("", estimator.task):
            raise InvalidInputError(f"y: an objective for {estimator.task} models is needed, not for {wanted}")
        for part in getattr(y, "parts", [y]):
            if isinstance(part, ScoreBeyond):
                part.check_scale(estimator.score_range, "y")
        return y
    if estimator.task == "quality":
        bounds = _numbers(y, count, "the scores to reach are needed: an objective, a bound, or one a photo")
        objective = ScoreBeyond([float(b) for b in bounds], "below" if estimator.higher_is_better else "above")
        objective.check_scale(estimator.score_range, "y")
        return objective
    if estimator.task == "classification":
        labels = _numbers(y, count, "the labels to leave are needed: an objective, or a class a photo")
        return LabelOut([int(label) for label in labels], loss=loss)
    regions = _regions(y, count)
    return PeakInRegion(regions, by=by, loss=loss) if ratios is None else CropContainsRegion(regions, ratios, loss=loss)


def _numbers(y: Any, count: int, needed: str) -> np.ndarray[Any, Any]:
    try:
        numbers = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full((0, 0), np.nan)
    if numbers.ndim == 2 and numbers.shape[0] == count and numbers.shape[1] > 1:  # one-hot, as ART has labels
        numbers = numbers.argmax(1).astype(np.float64)
    if numbers.size not in (1, count) or not np.isfinite(numbers).all():
        raise InvalidInputError(f"y: {needed}, not {y!r}")
    return np.broadcast_to(numbers.ravel(), count)


def _regions(y: Any, count: int) -> list[Region]:
    if isinstance(y, Region):
        return [y] * count
    if isinstance(y, (list, tuple)) and all(isinstance(region, Region) for region in y):
        regions = list(y)
    else:
        try:
            array = np.asarray(y, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.ndim != 2 or array.shape[1] != 4:
            given = f"shape {array.shape}" if array.size else repr(y)
            raise InvalidInputError(
                f"y: the regions to show are needed: a Region, a list of them, or numbers ({count}, 4) "
                f"as x0, y0, x1, y1, not {given}"
            )
        regions = [Region(*map(float, row)) for row in array]
    if len(regions) != count:
        raise InvalidInputError(f"y: {count} regions are needed, one a photo, not {len(regions)}")
    return regions


class PeakMove(NamedTuple):
    """Where the peak should go and where it is, x and y in fractions of width and height."""

    target: tuple[float, float]
    old: tuple[float, float]


def peak_moves(output: SaliencyOutput | BoxOutput, regions: Sequence[Region]) -> list[PeakMove]:
    """Find the most salient cell inside each photo's region, and the most salient one outside of it.

    Where a model gives no map: the region's middle, and its salient point, or the middle of its first window.

    Args:
        output: What a model gives for the photos as they are.
        regions: One for each photo.
    """
    width, height = output.size
    middles = [((region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2) for region in regions]
    if isinstance(output, BoxOutput):
        points = output.points
        if points is None:
            assert output.windows is not None
            points = output.windows[:, 0, :2] + output.windows[:, 0, 2:] / 2
        return [
            PeakMove(middle, (x / width, y / height)) for middle, (x, y) in zip(middles, points.tolist(), strict=True)
        ]
    x, y = output.x / width, output.y / height
    moves = []
    for saliency, region, middle in zip(output.saliency.detach().cpu().numpy(), regions, middles, strict=True):
        columns, rows = (x >= region.x0) & (x <= region.x1), (y >= region.y0) & (y <= region.y1)
        inside = rows[:, None] & columns[None]
        target = _strongest(saliency, inside, x, y) if inside.any() else middle
        moves.append(PeakMove(target, middle if inside.all() else _strongest(saliency, ~inside, x, y)))
    return moves


def _strongest(saliency: Any, where: Any, x: Any, y: Any) -> tuple[float, float]:
    row, column = np.unravel_index(int(np.where(where, saliency, -np.inf).argmax()), saliency.shape)
    return float(x[column]), float(y[row])


class Located(Objective):
    """An objective that also knows where each photo's peak is and should go, for what needs more than a loss."""

    def __init__(self, objective: Any, moves: Sequence[PeakMove]) -> None:
        self.objective, self.moves = objective, list(moves)
        self.task = getattr(objective, "task", "")  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.moves)

    def __call__(self, output: Any) -> Verdict:
        """Give the objective's own verdict."""
        verdict: Verdict = self.objective(output)
        return verdict

    def evidence(self, output: Any) -> Tensor:
        """Give the objective's own evidence."""
        return evidence(self.objective, output)

    def take(self, indices: Sequence[int]) -> Located:
        """Select some of the photos."""
        return Located(self.objective.take(indices), [self.moves[i] for i in indices])

    def spots(self, shape: tuple[int, int], like: Tensor, spread: float) -> tuple[Tensor, Tensor]:
        """Draw Gaussian weights about target and old peak on a grid (h, w), each (n, h, w), the greatest 1.

        Args:
            shape: Height and width of the grid, which spans the photo.
            like: Tensor whose type and device are wanted.
            spread: Standard deviation as a share of the photo's longer side on that grid.
        """
        height, width = shape
        sigma = spread * max(shape)
        rows = torch.arange(height, device=like.device, dtype=like.dtype) + 0.5
        columns = torch.arange(width, device=like.device, dtype=like.dtype) + 0.5

        def spot(x: float, y: float) -> Tensor:
            along_x = torch.exp(-((columns - x * width) ** 2) / (2 * sigma**2))
            along_y = torch.exp(-((rows - y * height) ** 2) / (2 * sigma**2))
            return along_y[:, None] * along_x[None]

        targets = torch.stack([spot(*move.target) for move in self.moves])
        return targets, torch.stack([spot(*move.old) for move in self.moves])
