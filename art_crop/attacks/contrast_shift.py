"""Move the peak without any network: raise the contrast where people and croppers should look, lower it where they do.

Saliency models agree on differences between a pixel and its surroundings, in lightness and in opponent colours
(:mod:`art_crop.functional.contrast`). This edit adds those differences at the target and takes them away at the old
peak. It is the control that an attack with gradients has to beat, and an attack of its own for models of which nothing
is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from art_crop.attacks.base import DirectionAttack
from art_crop.attacks.targets import Located
from art_crop.checks import check_number
from art_crop.errors import InvalidInputError
from art_crop.functional.contrast import COLOUR, SCALES, opponent_contrast

__all__ = ["ContrastShift"]


class ContrastShift(DirectionAttack):
    """Multi-scale opponent-colour contrast raised at the target and lowered at the old peak; no gradient is taken.

    A saliency model is asked for the map of the photo as it is, for it tells where the old peak is and what in the
    region is the most salient; after that only whether the attack succeeded. For other models, and for objectives
    without a region, contrast is lowered everywhere.

    Args:
        estimator: The model that is asked, of any task, unless there is a ``success_oracle``.
        scales: Standard deviations of the surroundings, as shares of the photo's longer side.
        spread: Standard deviation of the two places that are changed, as a share of the photo's longer side.
        colour: Weight of the two opponent colours beside lightness.
        **kwargs: As for :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
    """

    attack_params: ClassVar[list[str]] = [*DirectionAttack.attack_params, "scales", "spread", "colour"]
    _in_colour = True

    def __init__(
        self,
        estimator: Any,
        *,
        scales: Sequence[float] = SCALES,
        spread: float = 0.06,
        colour: float = COLOUR,
        **kwargs: Any,
    ) -> None:
        super().__init__(estimator, **kwargs)
        self.scales, self.spread, self.colour = scales, spread, colour
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        if not isinstance(self.scales, (list, tuple)) or not self.scales:
            raise InvalidInputError(f"scales: a list of shares of the photo's side is needed, not {self.scales!r}")
        for scale in self.scales:
            check_number(scale, "scales", above=0, at_most=1)
        check_number(self.spread, "spread", above=0, at_most=1)
        check_number(self.colour, "colour", at_least=0)

    def _direction(self, photos: Tensor, objective: Any) -> Tensor:
        contrast = opponent_contrast(photos, self.scales, self.colour)
        if not isinstance(objective, Located):
            return -contrast
        target, old = objective.spots((photos.shape[-2], photos.shape[-1]), photos, self.spread)
        return contrast * (target - old)[:, None]

    def _located(self, x: Tensor, objective: Any, asked: Any = None) -> Any:
        if self.mask is None and not hasattr(objective, "regions"):
            return objective
        return super()._located(x, objective, asked)

    @property
    def _needs_peaks(self) -> bool:
        return True
