"""Constraints: what a change of a photo may be, as objects that project, each with a budget or bound per sample.

``L2(0.5) & PerPixelBound(bound)`` is both. Every attack takes one as ``constraint=`` beside its norm's budget, and
keeps to it: pixels stay in the interval that it allows, and what it projects onto otherwise is projected onto.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_number
from art_crop.errors import InvalidInputError
from art_crop.functional.norms import norm_of

__all__ = ["Constraint", "GreyLevels", "Intersection", "L2", "LInf", "Mask", "PerPixelBound"]

Self = TypeVar("Self", bound="Constraint")
_ROUNDS = 8


class Constraint(ABC):
    """A set of allowed photos about each photo; a subclass says how to project onto it."""

    @abstractmethod
    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Give the nearest allowed photos.

        Args:
            x: Photos as they were, (n, C, H, W).
            changed: Changed ones, of the same shape.
        """

    def interval(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Give the lowest and highest value that each pixel of (n, C, H, W) may have; None where it is no interval."""
        return None

    def take(self: Self, indices: Sequence[int]) -> Self:
        """Select the samples' own budgets or bounds; the same object where all samples share one."""
        return self

    def check(self, shape: Sequence[int]) -> None:
        """Raise InvalidInputError unless it fits photos (N, C, H, W)."""
        return

    def __and__(self, other: Constraint) -> Intersection:
        """Join two constraints."""
        return Intersection(self, other)


class _Ball(Constraint):
    """Common to norms: one budget, or one for each sample."""

    def __init__(self, eps: float | Sequence[float]) -> None:
        budgets = list(np.atleast_1d(np.asarray(eps, dtype=object)))
        if not budgets:
            raise InvalidInputError("eps: one number, or one a photo, is needed, not an empty list")
        self.eps = [check_number(budget, "eps", above=0) for budget in budgets]

    def take(self: Any, indices: Sequence[int]) -> Any:
        """Select the samples' own budgets."""
        return self if len(self.eps) == 1 else type(self)([self.eps[i] for i in indices])

    def check(self, shape: Sequence[int]) -> None:
        """Raise InvalidInputError unless there is one budget, or one for each photo."""
        if len(self.eps) not in (1, shape[0]):
            raise InvalidInputError(f"eps: one number, or {shape[0]} of them (one a photo), is needed")

    def _budgets(self, x: Tensor) -> Tensor:
        return torch.tensor(self.eps, dtype=x.dtype, device=x.device).expand(len(x)).view(-1, 1, 1, 1)


class L2(_Ball):
    """The L2 norm of the whole change is at most ``eps``, in units of ``clip_values``; one number, or one a photo."""

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Shrink changes that are too large."""
        delta = changed - x
        size = norm_of(delta).clamp_min(1e-30).view(-1, 1, 1, 1)
        return x + delta * (self._budgets(x) / size).clamp_max(1)


class LInf(_Ball):
    """No pixel changes by more than ``eps``, in units of ``clip_values``; one number, or one a photo."""

    def interval(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the photo less and plus the budget."""
        return x - self._budgets(x), x + self._budgets(x)

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Clip each pixel's change."""
        return changed.clamp(*self.interval(x))


class PerPixelBound(Constraint):
    """Each pixel changes by at most a bound of its own.

    Args:
        bound: >= 0, in units of ``clip_values``; broadcast to photos (N, C, H, W), such as (N, 1, H, W),
            (C, H, W) or (H, W); array or tensor.

    Raises:
        InvalidInputError: Not numbers, negative or not finite; when used, of a shape that does not fit the photos.
    """

    def __init__(self, bound: Any) -> None:
        try:
            self.bound = torch.as_tensor(bound, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidInputError(f"bound: an array of numbers is needed ({error})") from error
        if self.bound.ndim > 4 or not bool(torch.isfinite(self.bound).all()) or bool((self.bound < 0).any()):
            raise InvalidInputError("bound: finite numbers >= 0 are needed, of at most four dimensions (N, C, H, W)")

    def take(self: Any, indices: Sequence[int]) -> Any:
        """Select the samples' own bounds."""
        if self.bound.ndim < 4 or len(self.bound) == 1:
            return self
        return PerPixelBound(self.bound[list(indices)])

    def check(self, shape: Sequence[int]) -> None:
        """Raise InvalidInputError unless the bound broadcasts to photos of that shape."""
        try:
            fits = self.bound.expand(tuple(shape)) is not None
        except RuntimeError:
            fits = False
        if not fits:
            raise InvalidInputError(
                f"constraint: a bound that broadcasts to {tuple(shape)} is needed, not one of {tuple(self.bound.shape)}"
            )

    def interval(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the photo less and plus the bound."""
        bound = self.bound.to(x)
        return x - bound, x + bound

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Clip each pixel's change."""
        return changed.clamp(*self.interval(x))


class Mask(PerPixelBound):
    """Pixels change only where a mask is above 0: a bound of 0 elsewhere; shapes as for :class:`PerPixelBound`."""

    def __init__(self, mask: Any) -> None:
        super().__init__(mask)
        self.bound = (self.bound > 0).float() * 1e6


class GreyLevels(Constraint):
    """Pixels are whole grey levels, k / 255: what a file of 8 bits holds; for photos in [0, 1]."""

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Round to the nearest level."""
        return (changed * 255).round() / 255


class Intersection(Constraint):
    """All of some constraints at once; projected onto one after the other until all hold, whole levels last.

    Args:
        *parts: Constraints; joined ones are taken apart.
    """

    def __init__(self, *parts: Constraint) -> None:
        self.parts: list[Constraint] = []
        for part in parts:
            if not isinstance(part, Constraint):
                raise InvalidInputError(f"constraint: constraints are needed on both sides of &, not {part!r}")
            self.parts += part.parts if isinstance(part, Intersection) else [part]

    def take(self: Any, indices: Sequence[int]) -> Any:
        """Select the samples' own budgets and bounds."""
        return Intersection(*(part.take(indices) for part in self.parts))

    def check(self, shape: Sequence[int]) -> None:
        """Raise InvalidInputError unless all parts fit."""
        for part in self.parts:
            part.check(shape)

    def interval(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Give the interval that all parts allow; None where none of them is an interval."""
        found = [pair for part in self.parts if (pair := part.interval(x)) is not None]
        if not found:
            return None
        lows, highs = zip(*found, strict=True)
        return torch.stack(lows).amax(0), torch.stack(highs).amin(0)

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        """Project onto each in turn; where whole levels are wanted, rounded towards the photo at the end."""
        for _ in range(_ROUNDS):
            before = changed
            for part in self.parts:
                if not isinstance(part, GreyLevels):
                    changed = part.project(x, changed)
            if torch.equal(before, changed):
                break
        if any(isinstance(part, GreyLevels) for part in self.parts):
            base = (x * 255).round()
            # Towards the photo: nothing that held before can be broken by a smaller change.
            changed = (base + ((changed * 255 - base).abs() + 1e-4).floor() * (changed * 255 - base).sign()) / 255
        return changed
