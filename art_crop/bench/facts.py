"""What a cropper made of a photo before and after an attack, as facts that a report draws from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from art_crop.bench.case import Case
    from art_crop.models.cropper import FilePrediction

__all__ = ["facts_of"]

_SIDE = 64


def facts_of(case: Case, before: FilePrediction, after: FilePrediction) -> dict[str, Any]:
    """What the cropper made of the photo before and after; its maps too where the photos are kept, for the report."""
    maps: dict[str, Any] = {}
    if case.place.recipe.keep_images:
        maps = {"saliency_before": _levels(case, before), "saliency_after": _levels(case, after)}
    return {
        **maps,
        "salient_point_before": list(before.salient_point),
        "salient_point_after": list(after.salient_point),
        "crops_before": [list(map(int, window)) for window in before.crops],
        "crops_after": [list(map(int, window)) for window in after.crops],
        "symmetric": before.symmetric,
    }


def _levels(case: Case, seen: FilePrediction) -> list[list[int]]:
    """A map's density in levels from 0 to 255, of at most 64 cells a side: each the mean of what it covers."""
    density = seen.saliency_map.astype(np.float64)
    density = np.exp(density - density.max()) if case.scored.rule.log_density else density - density.min()
    for axis in (0, 1):
        starts = np.unique(
            np.linspace(0, density.shape[axis], min(_SIDE, density.shape[axis]), endpoint=False).astype(int)
        )
        sizes = np.diff(np.append(starts, density.shape[axis]))
        density = np.add.reduceat(density, starts, axis) / (sizes[:, None] if axis == 0 else sizes)
    levels: list[list[int]] = (density * (255 / max(float(density.max()), 1e-300))).round().astype(int).tolist()
    return levels
