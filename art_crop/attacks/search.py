"""Batched search between a failure and a success: per sample the smallest budget along a direction that succeeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Found", "crossing", "smallest_budgets"]

CLOSE = 0.005
"""How near to the smallest budget the search ends, as a share of it."""
Candidate = TypeVar("Candidate")


class Found(NamedTuple, Generic[Candidate]):
    """What the search along one sample's direction found."""

    candidate: Candidate | None
    """At the smallest budget that succeeds; None: none does."""
    budget: float
    """That budget; inf: none succeeds."""
    trail: list[float]
    """The smallest budget that had succeeded after each query, inf before the first: as long as queries were asked."""


def bracketing(most: float, expected: float | None, loss: float) -> Generator[float, tuple[bool, float], None]:
    """Yield the budgets to ask about, and take success and loss; ends within half a percent of the smallest success.

    A margin crosses 0 where success begins, so the next budget is where the line through the losses at both ends does,
    a little to one side of it; the middle where the losses say nothing.

    Args:
        most: Largest budget.
        expected: A budget near which the answer is expected; None: nothing is known, it begins far below ``most``.
        loss: Of the unchanged sample.
    """
    low, high, loss_low = 0.0, min(most, expected if expected is not None else most / 64), loss
    while True:
        success, loss = yield high
        if success or high >= most:
            break
        further = crossing(low, high, loss_low, loss) * (1 + CLOSE) if loss > 0 else 2 * high
        low, loss_low, high = high, loss, min(most, max(further, 1.03 * high), 2 * high)
    if not success:
        return
    loss_high, above = loss, False
    while high - low > CLOSE * high:
        middle, above = crossing(low, high, loss_low, loss_high), not above
        guess = middle + (CLOSE / 3 if above else -CLOSE / 3) * high
        if not (loss_low > 0 > loss_high) or not low + 0.02 * (high - low) < guess < high - 0.02 * (high - low):
            guess = (low + high) / 2 if low > 0 or expected is None else 0.95 * high
        success, loss = yield guess
        if success:
            high, loss_high = guess, loss
        else:
            low, loss_low = guess, loss


def crossing(low: float, high: float, loss_low: float, loss_high: float) -> float:
    """Where the line through two losses is 0; infinite where it falls too slowly to tell."""
    fall = loss_low - loss_high
    return low + (high - low) * loss_low / fall if fall > 1e-12 else math.inf


def smallest_budgets(
    at: Callable[[int, float], Candidate],
    evaluate: Callable[[list[int], list[Candidate]], Sequence[tuple[bool, float]]],
    most: Sequence[float],
    expected: Sequence[float | None],
    losses: Sequence[float],
) -> list[Found[Candidate]]:
    """Search the smallest budget of each sample; all that are still searched are asked about in one batch.

    What a sample is asked about depends on its own answers alone, so its result is the same in any batch.

    Args:
        at: Sample and budget -> candidate.
        evaluate: Samples and their candidates -> success and loss of each.
        most: Largest budget of each sample.
        expected: Where each sample's answer is expected; see :func:`bracketing`.
        losses: Of the unchanged samples.
    """
    found: list[Found[Candidate]] = [Found(None, math.inf, []) for _ in most]
    searches = {i: bracketing(*limits) for i, limits in enumerate(zip(most, expected, losses, strict=True))}
    budgets = {i: next(search) for i, search in searches.items()}
    while budgets:
        samples = list(budgets)
        candidates = [at(i, budgets[i]) for i in samples]
        for i, candidate, (success, loss) in zip(samples, candidates, evaluate(samples, candidates), strict=True):
            budget = budgets.pop(i)
            before = found[i]
            best, smallest = (candidate, budget) if success else (before.candidate, before.budget)
            found[i] = Found(best, smallest, [*before.trail, smallest])
            try:
                budgets[i] = searches[i].send((success, loss))
            except StopIteration:
                continue
    return found
