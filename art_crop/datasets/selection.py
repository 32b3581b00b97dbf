"""Which photos the paper attacks, and at which column it aims: rules on the column profile of a saliency map.

Yoshida and Okuda, "Adversarial Examples for Image Cropping in Social Media", sections 3.2 and 4.1. With the saliency
density S the profile is s(x) = sum over y of S(y, x); the peak is its maximum and the target its second-highest local
maximum. Where the paper leaves a choice open, it is a parameter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from art_crop.errors import InvalidInputError

Rule = Literal["one maximum", "too many maxima", "too tall", "too near", "too low"]


@dataclass(frozen=True)
class SelectedTarget:
    """A photo that the rules accept.

    Attributes:
        peak: Column of the profile's maximum.
        target: Column of its second-highest local maximum.
        ratio: Profile at the target over profile at the peak, in (0, 1]; 1 is a tie, which is easy to attack.
    """

    peak: int
    target: int
    ratio: float


@dataclass(frozen=True)
class Excluded:
    """A photo that the rules refuse.

    Attributes:
        rule: The first rule that it breaks.
        reason: One sentence with the measured value and the limit.
    """

    rule: Rule
    reason: str


def content_size(pixels: NDArray[np.uint8], *, tolerance: int = 6) -> tuple[int, int]:
    """Width and height of a photo without grey margins, for the paper's rule on shapes.

    CAT2000 brings every photo to 1920 x 1080 with grey at the sides or above and below. The paper leaves out as
    vertical those of which such filling takes more than 25%: 1440 x 1080, which is 4:3, is the last to stay. So the
    size to give :func:`select_target` is that of the content.

    Args:
        pixels: uint8 ``(height, width, 3)``.
        tolerance: How far, in levels, a margin's pixels may be from its colour, as they are after JPEG compression.

    Returns:
        The photo's own width and height where it has no margins of a medium grey (levels 96 to 160).
    """
    height, width = pixels.shape[:2]
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    grey = round(float(np.median(corners)))
    if not 96 <= grey <= 160:
        return width, height
    rows, columns = np.nonzero(((pixels < grey - tolerance) | (pixels > grey + tolerance)).any(axis=2))
    if not rows.size:
        return width, height
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def column_profile(density: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """s(x): sum over the rows of a saliency density ``(height, width)``, float64 ``(width,)``.

    Of a network that returns log densities pass ``exp(map)``: a sum of logarithms is not what the paper means.
    """
    if density.ndim != 2 or density.size == 0:
        raise InvalidInputError(f"density must have shape (height, width), got {density.shape}")
    return np.asarray(density.sum(axis=0, dtype=np.float64))


def local_maxima(profile: ArrayLike) -> NDArray[np.intp]:
    """Columns of the local maxima of a profile ``(n,)``, from left to right.

    A run of equal values is one maximum, at its middle (the left of two), if the profile is lower on both sides. Either
    end counts as lower, so that a maximum may lie at the border; a constant profile has one maximum.
    """
    values = _profile(profile)
    # Starts and ends of the runs of equal values, which turns every plateau into one point.
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    ends = np.concatenate((starts[1:], [values.size])) - 1
    heights = np.concatenate(([-np.inf], values[starts], [-np.inf]))
    is_maximum = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
    return np.asarray(((starts + ends) // 2)[is_maximum], dtype=np.intp)


def select_target(
    profile: ArrayLike,
    image_size: tuple[int, int],
    *,
    max_maxima: int = 4,
    max_height_over_width: float = 3 / 4,
    min_distance: float = 0.15,
    min_ratio: float = 0.6,
) -> SelectedTarget | Excluded:
    """Peak and target of a photo, or why the paper would leave it out.

    Args:
        profile: s(x) of the saliency density, ``(n,)``, >= 0, from the left to the right border of the photo; n may be
            the width of the photo or of a smaller map.
        image_size: Width and height of the photo, in any unit.
        max_maxima: Photos with more local maxima are left out, and so are those with only one.
        max_height_over_width: Photos that are taller are left out; 4:3 itself stays.
        min_distance: Least distance of peak and target, as a share of the width. The paper prints that photos with
            *more* than 15% are left out, which its own tables rule out: their ratio says 26% to 29% on average.
        min_ratio: Least profile at the target over profile at the peak: "more than 40% below" is left out.

    Raises:
        InvalidInputError: the profile is not finite or has a negative value, as a log density does.
    """
    values = _profile(profile)
    if (values < 0).any():
        raise InvalidInputError("profile must be >= 0; of a log density pass the column sums of exp(map)")
    width, height = image_size
    if not (width > 0 and height > 0):
        raise InvalidInputError(f"image_size must be a positive width and height, got {image_size}")

    if height / width > max_height_over_width * (1 + 1e-9):
        return Excluded("too tall", f"height is {height / width:.3f} of the width, at most {max_height_over_width:.3f}")
    maxima = local_maxima(values)
    if len(maxima) < 2:
        return Excluded("one maximum", "the profile has one local maximum, so there is no target")
    if len(maxima) > max_maxima:
        return Excluded("too many maxima", f"the profile has {len(maxima)} local maxima, at most {max_maxima}")
    # A stable sort of the negated heights: of equal maxima the left one is the peak, as arg max has it.
    peak, target = (int(column) for column in maxima[np.argsort(-values[maxima], kind="stable")[:2]])
    distance = abs(target - peak) / values.size
    if distance < min_distance - 1e-9:
        return Excluded("too near", f"the target is {distance:.3f} of the width from the peak, at least {min_distance}")
    ratio = float(values[target] / values[peak])
    if ratio < min_ratio - 1e-9:
        return Excluded("too low", f"the target has {ratio:.3f} of the peak's column sum, at least {min_ratio}")
    return SelectedTarget(peak, target, ratio)


def _profile(profile: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(profile, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise InvalidInputError(f"profile must be finite, of shape (n,) with n >= 1, got shape {values.shape}")
    return values
