"""The smallest budget along a direction at which a photo fulfils its wish."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

__all__ = ["bisect"]

CLOSE = 0.005
"""How near to the smallest budget the search ends, as a share of it."""


def bisect(
    at: Callable[[float], Tensor], succeeds: Callable[[Tensor], bool], most: float, reach: float | None
) -> tuple[Tensor | None, float, int]:
    """Smallest budget to half a percent.

    Args:
        at: The photo at a budget.
        succeeds: Whether a photo fulfils its wish; each call is a query.
        most: Largest budget.
        reach: A budget near which the answer is expected; None: nothing is known, the search begins far below ``most``.

    Returns:
        The photo (None: none succeeds), its budget (inf: none), and the queries asked.
    """
    asked, low, high, found = 0, 0.0, min(most, reach if reach is not None else most / 64), None
    while found is None:
        candidate = at(high)
        asked += 1
        if succeeds(candidate):
            found = candidate
        elif high >= most:
            return None, math.inf, asked
        else:
            low, high = high, min(most, high * (1.15 if reach is not None else 2))
    # A corrected direction ends close to the last one's budget: look there first.
    guess = 0.95 * high if reach is not None and low == 0 else (low + high) / 2
    while high - low > CLOSE * high:
        candidate = at(guess)
        asked += 1
        if succeeds(candidate):
            found, high = candidate, guess
        else:
            low = guess
        guess = (low + high) / 2 if low > 0 else (0.5 if reach is None else 0.9) * high
    return found, high, asked
