"""The base of all objectives: a loss and a success per sample, from whatever a model gives for a batch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from art_crop.errors import InvalidInputError

__all__ = ["LOSSES", "And", "Loss", "Objective", "PerSample", "Verdict", "check_count", "evidence"]

Loss = Literal["margin", "cross_entropy"]
LOSSES = ("margin", "cross_entropy")
Self = TypeVar("Self", bound="Objective")


class Verdict(NamedTuple):
    """loss (N,), smaller is better; success (N,) bool."""

    loss: Tensor
    success: Tensor


class Objective(ABC):
    """Loss and success per sample for the outputs of a model; ``first & second`` wants both.

    A subclass says for which :attr:`task` its outputs are: ``"saliency"``, ``"quality"`` or ``"classification"``;
    empty: any. Anything that can be called and has ``take`` does as an objective too; only ``&`` needs this class.
    """

    task: ClassVar[str] = ""

    @abstractmethod
    def __call__(self, output: Any) -> Verdict:
        """Give loss and success for a batch's output."""

    @abstractmethod
    def take(self: Self, indices: Sequence[int]) -> Self:
        """Select some of the samples, in that order."""

    @abstractmethod
    def __len__(self) -> int:
        """Count the samples."""

    def evidence(self, output: Any) -> Tensor:
        """Score what speaks for success (N,), for Grad-CAM; see :func:`evidence`."""
        return -self(output).loss

    def __and__(self, other: Objective) -> And:
        """Join two objectives of the same samples: success is both, the loss the greater one."""
        return And(self, other)


def evidence(objective: Any, output: Any) -> Tensor:
    """Score what speaks for an objective (N,), before it is compared with what speaks against it.

    Minus the loss where an objective has no ``evidence`` of its own. A margin or a share will not do for Grad-CAM: its
    gradient sums to 0 over the map, and so do Grad-CAM's weights where the rest of the network treats all cells alike.
    """
    own = getattr(objective, "evidence", None)
    score: Tensor = -objective(output).loss if own is None else own(output)
    return score


class PerSample(Objective):
    """Objectives whose arguments are lists with one entry per sample; a subclass names them in ``_lists``."""

    _lists: ClassVar[tuple[str, ...]] = ()

    def __len__(self) -> int:
        return len(getattr(self, self._lists[0]))

    def take(self: Self, indices: Sequence[int]) -> Self:
        """Select some of the samples, in that order."""
        part = copy.copy(self)
        for name in self._lists:  # type: ignore[attr-defined]
            values = getattr(self, name)
            setattr(part, name, values[list(indices)] if isinstance(values, Tensor) else [values[i] for i in indices])
        return part


class And(Objective):
    """Wants several objectives at once: the loss is the greatest of theirs, success is that of all.

    Args:
        *objectives: Two or more for the same samples and for one task; joined ones are taken apart.

    Raises:
        InvalidInputError: Fewer than two, objectives of different tasks, or of different numbers of samples.
    """

    def __init__(self, *objectives: Objective) -> None:
        self.parts: list[Objective] = []
        for objective in objectives:
            if not isinstance(objective, Objective):
                raise InvalidInputError(f"objectives: an objective is needed on both sides of &, not {objective!r}")
            self.parts += objective.parts if isinstance(objective, And) else [objective]
        if len(self.parts) < 2:
            raise InvalidInputError("objectives: at least two are needed")
        tasks = sorted({part.task for part in self.parts} - {""})
        if len(tasks) > 1:
            raise InvalidInputError(
                f"objectives: only those of one task can be joined by &, not of {' and '.join(tasks)}"
            )
        counts = sorted({len(part) for part in self.parts})
        if len(counts) > 1:
            raise InvalidInputError(f"objectives: as many samples are needed on both sides of &, not {counts}")
        self.task = tasks[0] if tasks else ""  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __call__(self, output: Any) -> Verdict:
        """Give the greatest loss, and whether all succeed."""
        verdicts = [part(output) for part in self.parts]
        loss = torch.stack([verdict.loss for verdict in verdicts]).amax(0)
        return Verdict(loss, torch.stack([verdict.success for verdict in verdicts]).all(0))

    def evidence(self, output: Any) -> Tensor:
        """Score what speaks for all of them together."""
        return torch.stack([evidence(part, output) for part in self.parts]).sum(0)

    def take(self, indices: Sequence[int]) -> And:
        """Select some of the samples, in that order."""
        return And(*(part.take(indices) for part in self.parts))


def check_count(wanted: int, samples: int) -> None:
    """Raise InvalidInputError unless an objective has an entry for each sample."""
    if wanted != samples:
        raise InvalidInputError(f"objective: it speaks of {wanted} samples, the batch has {samples}")
