"""Norms of perturbations, one number a sample, and perturbations of a given norm inside the range of pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Norm", "add_scaled", "clamp", "norm_of", "unit"]

Norm = Literal["2", "inf"]


def norm_of(delta: Tensor, norm: Norm = "2") -> Tensor:
    """Norm of each sample of (N, ...) over all its pixels and channels, (N,)."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "inf" else flat.norm(dim=1)


def unit(direction: Tensor, norm: Norm = "2") -> Tensor:
    """Steepest step of norm 1: the direction over its L2 norm, or its sign. A direction of zeros stays zeros."""
    if norm == "inf":
        return direction.sign()
    shape = (-1, *[1] * (direction.ndim - 1))
    # By the largest entry first: the squares of a very small gradient are 0 in float32.
    largest = norm_of(direction, "inf").clamp_min(torch.finfo(direction.dtype).tiny)
    direction = direction / largest.view(shape)
    return direction / norm_of(direction).clamp_min(0.5).view(shape)  # at least 1, or all zeros


def add_scaled(
    x: Tensor,
    direction: Tensor,
    eps: Tensor,
    norm: Norm = "2",
    *,
    clip: tuple[Tensor | float, Tensor | float] = (0.0, 1.0),
    rounds: int = 12,
) -> Tensor:
    """X + a * direction, clipped to the range of pixels, with ``a`` such that the change has norm ``eps`` after it.

    Clipping takes from the norm, so the scale is raised until the budget is met (papers 000 and 001 state no clipping).
    Where clipping leaves no room the change stays smaller. Each sample is scaled by itself.

    Args:
        x: Photos in the range ``clip``, (N, ...).
        direction: Same shape.
        eps: Budgets (N,).
        norm: ``"2"`` or ``"inf"``.
        clip: Lowest and highest value of a pixel, or of each pixel.
        rounds: Corrections at most.
    """
    shape = (-1, *[1] * (x.ndim - 1))
    step = unit(direction, norm)
    if norm == "inf":
        return clamp(x + eps.view(shape) * step, clip)
    scale = eps
    moved = clamp(x + scale.view(shape) * step, clip)
    for _ in range(rounds):
        reached = norm_of(moved - x)
        short = reached < eps * (1 - 1e-4)
        if not bool(short.any()):
            break
        scale = torch.where(short, scale * (eps / reached.clamp_min(1e-30)).clamp(1, 4), scale)
        moved = clamp(x + scale.view(shape) * step, clip)
    # The correction may overshoot in the last digit; a budget is a budget.
    excess = (norm_of(moved - x) / eps.clamp_min(1e-30)).clamp_min(1)
    return torch.where(excess.view(shape) > 1, x + (moved - x) / excess.view(shape), moved)


def clamp(x: Tensor, clip: tuple[Tensor | float, Tensor | float]) -> Tensor:
    """Clip x, in place, to a lowest and highest value, of all entries or of each."""
    low, high = clip
    return torch.clamp_(x, low, high)  # type: ignore[arg-type]
