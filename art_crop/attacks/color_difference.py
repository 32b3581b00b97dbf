"""Find the change of a photo that looks smallest: the least L2 norm of its CIEDE2000 map that meets the objective.

The idea of minimising a perceptual colour distance is that of PerC-AL (Zhao, Liu and Larson, "Towards Large yet
Imperceptible Adversarial Image Perturbations with Perceptual Color Distance", CVPR 2020), the adaptive size of the
change that of DDN (Rony et al., "Decoupling Direction and Norm", CVPR 2019, algorithm 1). Here both happen in the
geometry of the distance itself, and in whole grey levels:

- For small changes d of a pixel the squared difference is d' M d (:func:`art_crop.functional.color.color_metric`). The
  steepest direction under that norm is M^-1 g instead of the gradient g.
- At the smallest change that succeeds, the change is parallel to M^-1 g *there*; so gradients along the way, each of
  dual norm 1, are averaged into the direction.
- Each candidate is a photo that a file can hold: of the whole levels about s M^-1 g those are taken that maximise
  g'd - d'Md / 2s, so that a pixel moves only where that is worth what a level costs to the eye.
- s grows while the objective is missed and shrinks while it is met; the smallest success is kept.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch
from art_crop.attacks.color_variance import PerceptualAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate
from art_crop.checks import check_number
from art_crop.functional.color import color_metric

__all__ = ["MinimumColorDifference"]

MEMORY = 0.1
"""Weight of the newest gradient in the direction, once ten are averaged."""
GROWTH = 1.25
"""Of the size while nothing has succeeded yet."""
SHRINK = 0.1, 0.005
"""By what share the size changes after a success or failure, at the first step and at the last."""
CORNERS = tuple(itertools.product((0.0, 1.0), repeat=3))
NEIGHBOURS = tuple(level for level in itertools.product((-1.0, 0.0, 1.0), repeat=3) if level > (0.0, 0.0, 0.0))


class MinimumColorDifference(PerceptualAttack):
    """Meet the objective with the change that looks smallest, as CIEDE2000 measures it.

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> attack = art_crop.load_attack("minimum-color-difference")(estimator, max_iter=30)
        >>> x_adv = attack.generate(x, art_crop.Region(0.3, 0.75, 0.7, 1.0))
        >>> attack.results[0].success
        True

    A photo that meets its objective already is returned as it is; where no step meets it, the last one's photo is
    returned, and its result says that it failed.

    Args:
        estimator: The source model, a white box of any task, with photos in [0, 1].
        max_difference: Largest root mean square of the CIEDE2000 map that is tried.
        **kwargs: As for :class:`~art_crop.attacks.color_variance.PerceptualAttack`.

    Raises:
        InvalidInputError: A parameter outside its range.
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [*PerceptualAttack.attack_params, "max_difference"]

    def __init__(self, estimator: Any, *, max_difference: float = 5.0, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.max_difference = max_difference
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.max_difference, "max_difference", above=0)

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        source, photos, n = (
            gradients.plain(batch.estimator),
            [_PhotoSearch(space) for space in batch.spaces],
            len(batch),
        )
        active, before, most = list(range(n)), [False] * n, self.max_difference * math.sqrt(batch.start[0, 0].numel())
        taken, asked, curves = [0] * n, [0] * n, [[] for _ in range(n)]  # type: list[int], list[int], list[list[float]]
        for step in range(self.max_iter):
            candidates = torch.stack([photos[i].candidate() for i in active])
            gradient, success, loss, apart = gradients.gradient_at(batch, source, candidates, active)
            share = SHRINK[0] + (SHRINK[1] - SHRINK[0]) * step / self.max_iter
            for k, (i, reached, value) in enumerate(zip(tuple(active), success, loss, strict=True)):
                curves[i].append(value)
                taken[i], asked[i], before[i] = step + 1, asked[i] + apart, before[i] or (step == 0 and reached)
                if before[i]:
                    active.remove(i)
                else:
                    photos[i].learn(gradient[k] / 255, reached, value, share, most)
            self.on_step(step + 1, self.max_iter)
            if not active:
                break
        return self._records(batch, [photo.best() for photo in photos], before, taken, asked, curves)


class _PhotoSearch:
    """The search on one photo: its metric, the averaged direction, the size of the change, and the best so far.

    Changes are in grey levels, (3, H, W).
    """

    def __init__(self, space: Any) -> None:
        self.grid, self.quantize = space.grid, space.quantize
        movable = 1.0 if space.movable is None else space.movable.to(self.grid)
        low, high = (torch.as_tensor(end).to(self.grid) for end in (space.low, space.high))
        self.low, self.high = ((end - self.grid) * 255 * movable for end in (low, high))
        self.metric = color_metric(self.grid[None])[0]
        self.inverse = _inverse(self.metric)
        self.least = torch.stack([_square(self.metric, self.grid.new_tensor(d)) for d in NEIGHBOURS]).amin(0)
        self.direction, self.steps = torch.zeros_like(self.grid), 0
        self.change, self.size = torch.zeros_like(self.grid), 0.0
        self.smallest: Tensor | None = None
        self.least_distance = math.inf

    def candidate(self) -> Tensor:
        """Give the photo to ask about (3, H, W)."""
        return self._photo(self.change)

    def best(self) -> Candidate:
        """Give the photo with the smallest change that succeeded, or the last one."""
        return Candidate(self._photo(self.change if self.smallest is None else self.smallest))

    def _photo(self, change: Tensor) -> Tensor:
        moved: Tensor = self.grid * 255 + change
        return (moved.round() if self.quantize else moved) / 255

    def learn(self, gradient: Tensor, reached: bool, loss: float, share: float, most: float) -> None:
        """Take in what the model said of the candidate, and choose the next one.

        Args:
            gradient: Of the loss there, (3, H, W).
            reached: Whether it met the objective.
            loss: There.
            share: By which the size changes.
            most: Largest size.
        """
        if reached:
            distance = float(_square(self.metric, self.change).sum().clamp_min(0).sqrt())
            if distance < self.least_distance:
                self.smallest, self.least_distance = self.change, distance
        dual = float((gradient * _times(self.inverse, gradient)).sum().sqrt())
        if self.steps == 0:
            self.size = loss / dual if loss > 0 and dual > 0 else 1.0  # where the loss's tangent is 0
        elif self.smallest is None:
            self.size *= GROWTH
        else:
            self.size *= 1 - share if reached else 1 + share
        self.size = min(self.size, most)
        self.steps += 1
        newest = max(1 / self.steps, MEMORY)
        self.direction = self.direction * (1 - newest) - gradient * (newest / max(dual, 1e-30))
        self.change = self._moved()

    def _moved(self) -> Tensor:
        """The change of that size along the direction; in whole levels those that are worth what they cost."""
        steepest = _times(self.inverse, self.direction)
        scale = self.size / max(float((self.direction * steepest).sum().sqrt()), 1e-30)
        wanted = scale * steepest
        if not self.quantize:
            return torch.minimum(torch.maximum(wanted, self.low), self.high)
        # A level can only be worth its cost where the change that is wanted is half as large as the smallest level.
        where = (_square(self.metric, wanted) * 4 > self.least).flatten().nonzero()[:, 0]
        metric, gain, wanted, low, high = (
            full.flatten(1)[:, where] for full in (self.metric, scale * self.direction, wanted, self.low, self.high)
        )
        floor, best, most = wanted.floor(), torch.zeros_like(wanted), torch.zeros_like(wanted[0])
        for corner in CORNERS:
            levels = torch.minimum(torch.maximum(floor + floor.new_tensor(corner)[:, None], low), high).round()
            worth = 2 * (gain * levels).sum(0) - _square(metric, levels)
            better = worth > most
            best, most = torch.where(better, levels, best), torch.where(better, worth, most)
        change = torch.zeros_like(self.grid)
        change.flatten(1)[:, where] = best
        return change


def _square(metric: Tensor, change: Tensor) -> Tensor:
    """Square of each pixel's length, d' M d, from M (6, ...) and d (3, ...)."""
    rr, gg, bb, rg, rb, gb = metric
    red, green, blue = change
    own: Tensor = rr * red**2 + gg * green**2 + bb * blue**2
    mixed: Tensor = rg * red * green + rb * red * blue + gb * green * blue
    return own + 2 * mixed


def _times(metric: Tensor, change: Tensor) -> Tensor:
    """M d of each pixel."""
    rr, gg, bb, rg, rb, gb = metric
    red, green, blue = change
    rows = rr * red + rg * green + rb * blue, rg * red + gg * green + gb * blue, rb * red + gb * green + bb * blue
    return torch.stack(rows)


def _inverse(metric: Tensor) -> Tensor:
    """M^-1 of each pixel, (6, ...), by cofactors."""
    rr, gg, bb, rg, rb, gb = metric
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    cofactors = torch.stack((c_rr, rr * bb - rb * rb, rr * gg - rg * rg, c_rg, c_rb, rg * rb - rr * gb))
    inverse: Tensor = cofactors / (rr * c_rr + rg * c_rg + rb * c_rb)
    return inverse
