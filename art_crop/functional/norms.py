"""Norms of perturbations, one number a sample, and perturbations of a given norm inside the range of pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Norm", "add_scaled", "norm_of", "unit"]

Norm = Literal["2", "inf"]


def norm_of(delta: Tensor, norm: Norm = "2") -> Tensor:
    """Norm of each sample of (N, ...) over all its pixels and channels, (N,)."""
    flat = delta.flatten(1)
    return flat.abs().amax(1) if norm == "inf" else flat.norm(dim=1)


def unit(direction: Tensor, norm: Norm = "2") -> Tensor:
    """Steepest step of norm 1: the direction over its L2 norm, or its sign. A direction of zeros stays zeros."""
    if norm == "inf":
        return direction.sign()
    return direction / norm_of(direction).clamp_min(1e-30).view(-1, *[1] * (direction.ndim - 1))


def add_scaled(x: Tensor, direction: Tensor, eps: Tensor, norm: Norm = "2", *, rounds: int = 12) -> Tensor:
    """X + a * direction, clipped to [0, 1], with ``a`` such that the change has norm ``eps`` after the clipping.

    Clipping takes from the norm, so the scale is raised until the budget is met (papers 000 and 001 state no clipping). Where
    clipping leaves no room the change stays smaller.

    Args:
        x: Photos in [0, 1], (N, ...).
        direction: Same shape.
        eps: Budgets (N,).
        norm: ``"2"`` or ``"inf"``.
        rounds: Corrections at most.
    """
    shape = (-1, *[1] * (x.ndim - 1))
    if norm == "inf":
        return (x + eps.view(shape) * direction.sign()).clamp(0, 1)
    scale = eps / norm_of(direction).clamp_min(1e-30)
    moved = (x + scale.view(shape) * direction).clamp_(0, 1)
    for _ in range(rounds):
        reached = norm_of(moved - x)
        if bool((reached >= eps * (1 - 1e-4)).all()):
            break
        scale = scale * (eps / reached.clamp_min(1e-30)).clamp(1, 4)
        moved = (x + scale.view(shape) * direction).clamp_(0, 1)
    # The correction may overshoot in the last digit; a budget is a budget.
    excess = (norm_of(moved - x) / eps.clamp_min(1e-30)).clamp_min(1)
    return torch.where(excess.view(shape) > 1, x + (moved - x) / excess.view(shape), moved)
