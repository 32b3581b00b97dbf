"""From the ``y`` of ``generate`` to an objective, and where in each photo the peak is and where it should go."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.geometry import Region
from art_crop.objectives import Objective, SaliencyOutput, Verdict, evidence

__all__ = ["Located", "Places", "find_places", "wishes"]


def wishes(y: Any, count: int, objective_of: Callable[[list[Region]], Objective]) -> Objective:
    """The objective that ``y`` means for ``count`` photos.

    Args:
        y: A ``Region``, a list of them, an array (N, 4) of x0, y0, x1, y1 in fractions, or an objective.
        count: Photos.
        objective_of: Makes the objective of a list of regions.

    Raises:
        InvalidInputError: Anything else, or regions for another number of photos.
    """
    if hasattr(y, "take") and callable(y) and not isinstance(y, np.ndarray):
        if isinstance(y, Sized) and len(y) != count:
            raise InvalidInputError(f"y: an objective for {count} photos is needed, this one speaks of {len(y)}")
        return y  # type: ignore[no-any-return]
    if isinstance(y, Region):
        regions = [y] * count
    elif isinstance(y, (list, tuple)) and all(isinstance(region, Region) for region in y):
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
    return objective_of(regions)


class Places(NamedTuple):
    """Where the peak should go and where it is, x and y in fractions of width and height."""

    target: tuple[float, float]
    old: tuple[float, float]


def find_places(output: SaliencyOutput, regions: Sequence[Region]) -> list[Places]:
    """The most salient cell inside each photo's region, and the most salient one outside of it.

    Args:
        output: What a model gives for the photos as they are.
        regions: One for each photo.
    """
    width, height = output.size
    x, y = output.x / width, output.y / height
    places = []
    for saliency, region in zip(output.saliency.detach().cpu().numpy(), regions, strict=True):
        columns, rows = (x >= region.x0) & (x <= region.x1), (y >= region.y0) & (y <= region.y1)
        inside = rows[:, None] & columns[None]
        middle = ((region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2)
        target = _strongest(saliency, inside, x, y) if inside.any() else middle
        places.append(Places(target, middle if inside.all() else _strongest(saliency, ~inside, x, y)))
    return places


def _strongest(saliency: Any, where: Any, x: Any, y: Any) -> tuple[float, float]:
    row, column = np.unravel_index(int(np.where(where, saliency, -np.inf).argmax()), saliency.shape)
    return float(x[column]), float(y[row])


class Located:
    """An objective that also knows the places of each photo, for what needs more than a loss."""

    def __init__(self, wish: Objective, places: Sequence[Places]) -> None:
        self.wish, self.places = wish, list(places)

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, output: Any) -> Verdict:
        """The objective's own verdict."""
        return self.wish(output)

    def evidence(self, output: Any) -> Tensor:
        """The objective's own evidence."""
        return evidence(self.wish, output)

    def take(self, indices: Sequence[int]) -> Located:
        """The same for some of the photos."""
        return Located(self.wish.take(indices), [self.places[i] for i in indices])

    def spots(self, shape: tuple[int, int], like: Tensor, spread: float) -> tuple[Tensor, Tensor]:
        """Gaussian weights about target and old peak on a grid (h, w), each (n, h, w), the greatest 1.

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

        targets = torch.stack([spot(*place.target) for place in self.places])
        return targets, torch.stack([spot(*place.old) for place in self.places])
