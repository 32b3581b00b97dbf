"""What every objective is: the verdict it gives, and how a batch's wishes are told apart."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor

from art_crop.errors import InvalidInputError

__all__ = ["LOSSES", "Loss", "Objective", "PerSample", "Verdict", "check_count", "evidence"]

Loss = Literal["margin", "cross_entropy"]
LOSSES = ("margin", "cross_entropy")
Self = TypeVar("Self", bound="Objective")


class Verdict(NamedTuple):
    """loss (N,), smaller is better; success (N,) bool."""

    loss: Tensor
    success: Tensor


class Objective(Protocol):
    """Loss and success per sample."""

    def __call__(self, output: Any) -> Verdict:
        """Judge a batch."""
        ...

    def take(self: Self, indices: Sequence[int]) -> Self:
        """The same objective for some of the samples, in that order."""
        ...


def evidence(objective: Objective, output: Any) -> Tensor:
    """What speaks for the wish, (N,), before it is compared with what speaks against it: the score for Grad-CAM.

    Minus the loss where an objective has no ``evidence`` of its own. A margin or a share will not do: its gradient sums
    to 0 over the map, and so do Grad-CAM's weights wherever the rest of the network treats all cells alike.
    """
    own = getattr(objective, "evidence", None)
    score: Tensor = -objective(output).loss if own is None else own(output)
    return score


class PerSample:
    """Objectives whose wishes are lists with one entry per sample."""

    _lists: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(getattr(self, self._lists[0]))

    def take(self: Any, indices: Sequence[int]) -> Any:
        """The same objective for some of the samples, in that order."""
        part = copy.copy(self)
        for name in self._lists:
            values = getattr(self, name)
            setattr(part, name, values[list(indices)] if isinstance(values, Tensor) else [values[i] for i in indices])
        return part


def check_count(wishes: int, samples: int) -> None:
    """Raises InvalidInputError unless there is a wish for each sample."""
    if wishes != samples:
        raise InvalidInputError(f"objective: it speaks of {wishes} samples, the batch has {samples}")
