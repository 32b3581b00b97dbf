"""The smallest budget along a direction at which a photo fulfils its wish."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["Bisected", "bisect"]

CLOSE = 0.005
"""How near to the smallest budget the search ends, as a share of it."""


class Bisected(NamedTuple):
    """What a search along a direction found."""

    photo: Tensor | None
    """At the smallest budget that succeeds; None: none does."""
    budget: float
    """That budget; inf: none succeeds."""
    trail: list[float]
    """The smallest budget that had succeeded after each query, inf before the first: as long as queries were asked."""


def bisect(
    at: Callable[[float], Tensor], succeeds: Callable[[Tensor], bool], most: float, reach: float | None
) -> Bisected:
    """Smallest budget to half a percent.

    Args:
        at: The photo at a budget.
        succeeds: Whether a photo fulfils its wish; each call is a query.
        most: Largest budget.
        reach: A budget near which the answer is expected; None: nothing is known, the search begins far below ``most``.
    """
    low, high, found = 0.0, min(most, reach if reach is not None else most / 64), None
    trail: list[float] = []
    while True:
        candidate = at(high)
        if succeeds(candidate):
            found = candidate
        trail.append(high if found is not None else math.inf)
        if found is not None:
            break
        if high >= most:
            return Bisected(None, math.inf, trail)
        low, high = high, min(most, high * (1.15 if reach is not None else 2))
    # A corrected direction ends close to the last one's budget: look there first.
    guess = 0.95 * high if reach is not None and low == 0 else (low + high) / 2
    while high - low > CLOSE * high:
        candidate = at(guess)
        if succeeds(candidate):
            found, high = candidate, guess
        else:
            low = guess
        trail.append(high)
        guess = (low + high) / 2 if low > 0 else (0.5 if reach is None else 0.9) * high
    return Bisected(found, high, trail)
