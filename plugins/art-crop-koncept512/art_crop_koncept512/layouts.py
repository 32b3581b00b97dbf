"""The names that weight files of KonCept512 give its tensors.

InceptionResNetV2 has the same children in the same order, with the same names inside, in timm and in the older
pretrainedmodels, from which the network was ported: ``conv2d_1a``, ``conv2d_2a``, ``conv2d_2b``, ``maxpool_3a`` and so
on. A file that numbers them, because they were put into an ``nn.Sequential``, therefore means by N the Nth child.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from art_crop_koncept512.network import Pooling

__all__ = ["LAYOUTS", "Layout", "layout_of"]

CHILDREN = (
    "conv2d_1a",
    "conv2d_2a",
    "conv2d_2b",
    "maxpool_3a",
    "conv2d_3b",
    "conv2d_4a",
    "maxpool_5a",
    "mixed_5b",
    "repeat",
    "mixed_6a",
    "repeat_1",
    "mixed_7a",
    "repeat_2",
    "block8",
    "conv2d_7b",
)
"""Of InceptionResNetV2, without what follows the features."""


class Layout(NamedTuple):
    """How a file names the tensors of ``features.CHILD.…`` and ``head.N.…``."""

    features: str
    """What stands before a child of InceptionResNetV2."""
    head: str
    """What stands before the number of a layer of the head."""
    numbered: bool = False
    """Children are called by their numbers."""
    pooling: Pooling = "global"
    """How the program that such files come from averages the features."""

    def name(self, key: str) -> str:
        """The file's name of a tensor of the network."""
        part, _, rest = key.partition(".")
        if part == "head":
            return self.head + rest
        child, _, rest = rest.partition(".")
        return f"{self.features}{CHILDREN.index(child) if self.numbered else child}.{rest}"


LAYOUTS = (
    Layout("features.", "head."),  # of this network
    # The PyTorch re-implementation: an nn.Sequential of the children of pretrainedmodels' network. Its nn.AvgPool2d(8)
    # is one of them, and gives one cell, the first, wherever the features have 8 to 15 rows and columns.
    Layout("base.", "fc.", numbered=True, pooling="corner"),
    Layout("base.", "fc."),
    Layout("", "last_linear.", pooling="corner"),  # pretrainedmodels' network whose last layer became the head
    Layout("", "classif."),  # timm's
)


def layout_of(names: Iterable[str], wanted: Mapping[str, Tensor]) -> Layout:
    """The layout in which most of a file's names are the network's."""
    given = set(names)
    return max(LAYOUTS, key=lambda layout: len(given & {layout.name(key) for key in wanted}))
