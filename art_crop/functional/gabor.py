"""Gabor patches in opponent colours: what models of where people look answer to most, for its size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["OPPONENT", "add_gabor"]

OPPONENT = ((1 / math.sqrt(2), -1 / math.sqrt(2), 0.0), (-1 / math.sqrt(6), -1 / math.sqrt(6), 2 / math.sqrt(6)))
"""Red against green, and blue against yellow: unit vectors of red, green and blue."""


def add_gabor(
    change: Tensor,
    at: tuple[float, float],
    sigma: float,
    wave: float,
    turn: float,
    phase: float,
    hue: float,
    size: float,
) -> None:
    """Add a Gabor patch of a given norm to a change (3, H, W), where it is not next to nothing.

    Args:
        change: What it is added to, in place.
        at: Its middle, x and y in fractions of width and height.
        sigma: Standard deviation of its Gaussian, in pixels.
        wave: Length of its wave, in pixels.
        turn: Direction of the wave, in radians.
        phase: Of the wave at its middle.
        hue: Angle in the plane of red against green and blue against yellow.
        size: Its L2 norm.
    """
    height, width = change.shape[-2:]
    ranges = []
    for fraction, side in ((at[1], height), (at[0], width)):
        middle = fraction * side - 0.5
        low, high = max(0, math.floor(middle - 3 * sigma)), min(side, math.ceil(middle + 3 * sigma) + 1)
        ranges.append((slice(low, high), torch.arange(low, high, dtype=change.dtype, device=change.device) - middle))
    (rows, y), (columns, x) = ranges
    along = math.cos(turn) * x[None] + math.sin(turn) * y[:, None]
    patch = torch.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * sigma**2)) * torch.cos(
        2 * math.pi / wave * along + phase
    )
    colour = math.cos(hue) * change.new_tensor(OPPONENT[0]) + math.sin(hue) * change.new_tensor(OPPONENT[1])
    change[:, rows, columns] += size / float(patch.norm().clamp_min(1e-12)) * colour.view(3, 1, 1) * patch
