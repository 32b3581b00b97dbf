"""Search spaces: from a direction and a budget to a candidate, at the size at which the model sees the photo.

A candidate holds the photo as the model is asked about it, and what the photo itself follows from. :class:`PhotoSpace`
keeps photos at their own size, under any constraint. :class:`ReducedSpace` keeps them at the size to which a cropper's
first step halves them, exactly: full-resolution pixels are read once, and written once. :class:`CoefficientSpace` does
the same for a JPEG's coefficients.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.attacks.constraints import Constraint
from art_crop.functional.grey_levels import LevelMoves
from art_crop.functional.jpeg_moves import CoefficientMoves
from art_crop.functional.norms import Norm, add_scaled, clamp
from art_crop.images.coefficients import JpegCoefficients, decode_reduced

__all__ = ["Candidate", "CoefficientSpace", "PhotoSpace", "ReducedSpace", "Space"]

ROUNDS = 12
SPARSE = 0.6
"""Where a direction moves less than this share of the pixels, the others are not looked at."""
CLOSE = 2e-3
"""A rounded perturbation is as large as its budget when it falls short by no more than this share."""


class Candidate(NamedTuple):
    """A photo (3, h, w) as the model is asked about it, and the moves from which the photo itself follows."""

    seen: Tensor
    moves: Any = None


class Space(Protocol):
    """Where the changed photos of one photo are searched."""

    start: Candidate
    """The unchanged photo."""

    def at(self, direction: Tensor, eps: float, *, exact: bool = True) -> Candidate:
        """Move along a direction (3, h, w) as far as the budget ``eps`` allows."""

    def photo(self, candidate: Candidate) -> Tensor:
        """Make the photo itself (3, H, W)."""


class PhotoSpace:
    """One photo at its own size, and where a perturbation of it may lie.

    Rounding a scaled direction is right while the budget is more than about half a grey level per pixel. Below, most of
    it would round to nothing, so the budget buys whole levels where the model's gradient says they are worth most.

    Args:
        x: Photo (3, H, W) in the range ``clip``.
        norm: Norm of the budgets.
        quantize: Whether the result must be a uint8 photo; ``x`` is then rounded first, and the range must be (0, 1).
        single_levels: Choose single levels where the budget is too small for rounding.
        halvings: 2x2 halvings with which the model begins (0 for models that take the photo as it is).
        weight: Mask that directions were multiplied with, broadcast to (3, H, W); where it is 0 no pixel changes.
        clip: Lowest and highest value of a pixel.
        constraint: Further limits, for one sample.
    """

    def __init__(
        self,
        x: Tensor,
        norm: Norm,
        *,
        quantize: bool,
        single_levels: bool = True,
        halvings: int = 0,
        weight: Tensor | None = None,
        clip: tuple[float, float] = (0.0, 1.0),
        constraint: Constraint | None = None,
    ) -> None:
        self.norm, self.quantize, self.clip, self.constraint = norm, quantize, clip, constraint
        self.single_levels, self.halvings = single_levels and constraint is None, halvings
        self.grid = (x * 255).round() / 255 if quantize else x
        self.start = Candidate(self.grid)
        self.movable = None if weight is None else (weight > 0).expand_as(x)
        self.low, self.high = self._limits()
        self._moves: LevelMoves | None = None
        self._aimed: Tensor | None = None

    def _limits(self) -> tuple[Tensor | float, Tensor | float]:
        interval = None if self.constraint is None else self.constraint.interval(self.grid[None])
        if interval is None:
            return self.clip
        low, high = (limit.expand_as(self.grid[None])[0].clamp(*self.clip) for limit in interval)
        if self.quantize:  # whole levels inside the interval; a hair for what float32 makes of k / 255
            low, high = (low * 255 - 1e-4).ceil() / 255, (high * 255 + 1e-4).floor() / 255
        return torch.minimum(low, self.grid), torch.maximum(high, self.grid)

    def photo(self, candidate: Candidate) -> Tensor:
        """Give the candidate's photo (3, H, W): itself."""
        return candidate.seen

    def at(self, direction: Tensor, eps: float, *, exact: bool = True) -> Candidate:
        """Move the photo (3, H, W) along ``direction`` with norm ``eps`` (uint8 levels / 255 where quantised).

        After rounding, the norm is at most ``eps``. It falls short of it by no more than a few thousandths, or one
        move's price where single levels are chosen; by more only where the limits of pixels leave no room, or where the
        norm is a maximum, which has whole levels. With ``exact=False`` the photo is a step on the way, where neither
        rounding (the model does that) nor the last percent of the budget matter.
        """
        if self._single_levels_at(eps):
            moves = self._aimed_at(direction)
            if eps <= moves.single_levels_capacity or moves.capacity == 0:
                return Candidate(moves.realise(moves.spend(eps)).to(self.grid) / 255)
        if self.norm == "2" and self.constraint is None and exact:
            where = direction.abs().amax(0).flatten().nonzero()[:, 0]
            if 0 < len(where) < SPARSE * direction[0].numel():  # patches: the rest of the photo is not looked at
                moved = self.grid.clone()
                part = PhotoSpace(self._columns(self.grid, where), "2", quantize=self.quantize, single_levels=False)
                part.low, part.high = self.low, self.high
                along = part._along(self._columns(direction, where), eps)
                return Candidate(moved.flatten(1).index_copy_(1, where, along[:, 0]).view_as(moved))
        if not exact and self.norm == "2" and self.constraint is None:
            size = eps / float(direction.norm().clamp_min(1e-30))
            return Candidate(torch.add(self.grid, direction, alpha=size).clamp_(*self.clip))
        return Candidate(self._along(direction, eps))

    @staticmethod
    def _columns(x: Tensor, where: Tensor) -> Tensor:
        """Some pixels (3, 1, K) of a photo (3, H, W)."""
        return x.flatten(1).index_select(1, where)[:, None]

    def _along(self, direction: Tensor, eps: float) -> Tensor:
        budgets = self.grid.new_tensor([eps])
        moved = add_scaled(self.grid[None], direction[None], budgets, self.norm, clip=(self.low, self.high))[0]
        moved = self._rounded(moved, eps) if self.quantize else moved
        if self.constraint is not None:
            moved = self.constraint.project(self.grid[None], moved[None])[0]
        return moved

    def inside(self, change: Tensor) -> Tensor:
        """Clip a change (3, H, W) to the limits of pixels, and to those that may change."""
        change = torch.clamp(self.grid + change, self.low, self.high) - self.grid  # type: ignore[arg-type]
        return change if self.movable is None else change * self.movable

    def nearest(self, photo: Tensor, eps: float) -> Candidate:
        """Give the photo nearest to a changed one (3, H, W) that keeps to norm, limits, whole levels and constraint.

        Where whole levels are wanted under an L2 norm, the change keeps its own size as :meth:`at` does.
        """
        change = self.inside(photo - self.grid)
        if self.norm == "2":
            size = min(eps, float(change.norm()))
            return self.at(change, size) if size > 0 else self.start
        if self.quantize:
            most = math.floor(eps * 255 + 1e-3)  # 2 levels may come as 1.9999
            moved = (self.grid * 255).round() + (change * 255).round().clamp(-most, most)
            moved = clamp(moved / 255, (self.low, self.high))
        else:
            moved = self.grid + change.clamp(-eps, eps)
        if self.constraint is not None:
            moved = self.constraint.project(self.grid[None], moved[None])[0]
        return Candidate(moved)

    def _single_levels_at(self, eps: float) -> bool:
        """Whether the budget is so small that single levels have to be chosen: below half a level a pixel."""
        few = eps * 255 < 0.5 * self.grid.numel() ** 0.5
        return self.quantize and self.single_levels and self.norm == "2" and few

    def _aimed_at(self, direction: Tensor) -> LevelMoves:
        if self._moves is None:
            levels = (self.grid * 255).round().to(torch.uint8)
            self._moves = LevelMoves(levels, self.halvings, movable=self.movable, most=8)
        if self._aimed is not direction:
            self._moves.aim(F.avg_pool2d(direction, 1 << self.halvings) if self.halvings else direction)
            self._aimed = direction
        return self._moves

    def _rounded(self, moved: Tensor, eps: float) -> Tensor:
        """Round to uint8 inside the budget: rounding adds its noise to an L2 norm, or takes what is below half a level.

        The norm after rounding grows with the scale before it, so the scale is searched between one that is too small
        and one that is too large.
        """
        base = (self.grid * 255).round()
        levels = moved * 255 - base
        if self.norm == "inf":
            whole = (levels.abs() + 1e-3).floor() * levels.sign()  # 2 levels may come as 1.9999
            return (base + whole) / 255
        low_level, high_level = (limit * 255 for limit in (self.low, self.high))
        best, low, high, scale = self.grid, 0.0, math.inf, 1.0
        for _ in range(ROUNDS):
            rounded = clamp((base + scale * levels).round_(), (low_level, high_level))
            size = float((rounded - base).norm()) / 255
            if size <= eps * (1 + 1e-6):
                best, low = rounded.round() / 255, scale
                if size >= eps * (1 - CLOSE):
                    break
            else:
                high = scale
            # The next guess is where proportion says; the middle where that leaves the bracket.
            guess = scale * (1 - CLOSE / 4) * eps / size if size else math.inf
            middle = (low + high) / 2 if high < math.inf else 2 * scale
            scale = guess if low < guess < min(high, 2 * scale) else middle
        return best


class ReducedSpace:
    """One photo at the size after a cropper's halvings, in whole grey levels of the photo itself, under an L2 budget.

    Args:
        pixels: Photo uint8 (3, H, W).
        halvings: 2x2 halvings with which the model begins, at least 1.
        movable: Pixels that may change, bool, broadcast to (3, H, W); None: all.
    """

    def __init__(self, pixels: Tensor, halvings: int, *, movable: Tensor | None = None) -> None:
        self.moves = LevelMoves(pixels, halvings, movable=movable)
        self.start = Candidate(self.moves.reduced.float() / 255)
        self._aimed: Tensor | None = None

    def at(self, direction: Tensor, eps: float, *, exact: bool = True) -> Candidate:
        """Choose whole levels along ``direction`` (3, h, w) with a norm of at most ``eps`` at the photo's own size."""
        if self._aimed is not direction:
            self.moves.aim(direction)
            self._aimed = direction
        moves = self.moves.spend(eps)
        return Candidate(self.moves.seen(moves).float() / 255, moves)

    def photo(self, candidate: Candidate) -> Tensor:
        """Make the photo itself, float32 (3, H, W)."""
        return self.levels(candidate).float() / 255

    def levels(self, candidate: Candidate) -> Tensor:
        """Make the photo itself, uint8 (3, H, W)."""
        return self.moves.realise(self._moves_of(candidate))

    def _moves_of(self, candidate: Candidate) -> Tensor:
        if candidate.moves is None:
            return torch.zeros(self.moves.reduced.shape, dtype=torch.int16)
        moves: Tensor = candidate.moves
        return moves


class CoefficientSpace:
    """One photo as a JPEG's quantised coefficients, at the size at which a cropper decodes it, under an L2 budget.

    What the model is asked about is a simulation of the decoder that differs from it by single levels here and there;
    the budget is explained at :class:`~art_crop.functional.jpeg_moves.CoefficientMoves`.

    Args:
        pixels: Photo uint8 (3, H, W); None: the file is the photo.
        jpeg: The file that an encoder makes of it.
        scale: n of the decoder, which makes 1/n of the photo's size.
    """

    def __init__(self, pixels: Tensor | None, jpeg: bytes, scale: int) -> None:
        self.base = JpegCoefficients.from_bytes(jpeg)
        self.moves = CoefficientMoves(
            pixels,
            scale,
            components=[torch.from_numpy(component) for component in self.base.components],
            tables=[torch.from_numpy(table.astype("int32")) for table in self.base.tables],
            reduced=torch.from_numpy(decode_reduced(jpeg, scale)).permute(2, 0, 1).contiguous(),
            subsampling=self.base.subsampling,
        )
        self.start = Candidate(self.moves.reduced.float() / 255)
        self._aimed: Tensor | None = None

    def at(self, direction: Tensor, eps: float, *, exact: bool = True) -> Candidate:
        """Choose whole steps of coefficients along ``direction`` (3, h, w) of the decoded photo."""
        if self._aimed is not direction:
            self.moves.aim(direction.contiguous())
            self._aimed = direction
        moves = self.moves.spend(eps)
        return Candidate(self.moves.seen(moves).float() / 255, moves)

    def photo(self, candidate: Candidate) -> Tensor:
        """Make the decoded photo at that size, float32 (3, h, w)."""
        return candidate.seen

    def size(self, candidate: Candidate) -> float:
        """L2 norm by which the moves make the file differ more from the photo, pixels in [0, 1]."""
        return 0.0 if candidate.moves is None else self.moves.size(candidate.moves)

    def coefficients(self, candidate: Candidate) -> JpegCoefficients:
        """Make the file's coefficients."""
        if candidate.moves is None:
            return self.base
        return self.base.with_components([plane.numpy() for plane in self.moves.realise(candidate.moves)])
