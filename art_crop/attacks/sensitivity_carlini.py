"""Carlini and Wagner's attack in L2, the change weighted by how sensitive people are to it at each pixel.

Paper 004 (Shen, Habibi, Fan and Kankanhalli, "Maintaining Human-Imperceptibility of Image Adversarial Attack by using
Human-Aware Sensitivity Map", MediaEval 2020, equations 1 to 3), after Carlini and Wagner ("Towards Evaluating the
Robustness of Neural Networks", S&P 2017, sections V and VI):

    minimise  |beta (x' - x)|_2^2 + c max(L(x') + kappa, 0)      with x' = (tanh w + 1) / 2, by Adam over w

beta in [0, 1] is high where people look, so that the change goes where they do not. c is searched for each photo, the
smallest with which it succeeds; the paper holds it fixed, at 1 / alpha. The model is asked about whole grey levels, as
a file holds them; w keeps what rounding would take back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.constraints import Constraint
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate
from art_crop.checks import check_int, check_number, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.metrics import MetricRecord
from art_crop.models.sensitivity import FCNVGG16

__all__ = ["SENSITIVITY_L2", "SensitivityCarliniL2", "sensitivity_l2"]

FLOOR = 0.1
"""Least sensitivity of a pixel, unless another is asked for."""
INSIDE = 0.999999
"""Of the range that tanh reaches: black and white pixels would lie at infinity."""
LAST = 0.02
"""The learning rate of a run's last step, as a share of the first's: a step of the first moves every pixel."""
ABORT_CHECKS = 5
"""Times in a run at which it is ended where the sum has not fallen since the last time."""


class SensitivityCarliniL2(PhotoAttack):
    """Find the change that costs least where people look, by Carlini and Wagner's search.

    Example:
        >>> import art_crop
        >>> from skimage import data
        >>> x = data.astronaut()[None].transpose(0, 3, 1, 2).astype("float32") / 255
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> attack = art_crop.load_attack("sensitivity-carlini-l2")(estimator, max_iter=20, initial_const=10.0)
        >>> x_adv = attack.generate(x, art_crop.Region(0.3, 0.75, 0.7, 1.0))
        >>> attack.results[0].success
        True

    A photo that meets its objective already is returned as it is; where no constant succeeds, so is what came nearest.

    Args:
        estimator: The source model, a white box of any task, with photos in [0, 1].
        sensitivity: Where changes are seen: the name of a saliency model or the model itself, whose density, divided by
            its peak, is taken; ``"fcn-vgg16-sensitivity"``, the paper's own network, or an estimator of it, whose map
            is taken as it is (``art-crop train-sensitivity`` makes its weights); a function of photos (N, 3, H, W), a
            tensor in [0, 1], to maps (N, h, w) in [0, 1]; or ``"uniform"``: 1 everywhere, Carlini and Wagner's own
            attack.
        floor: Least sensitivity of a pixel: nowhere may the change be free.
        alpha: The paper's weight, held fixed instead of the search for c.
        confidence: kappa, by how much the objective should be met, in units of its loss.
        learning_rate: Adam's, at a run's first step; it falls to a fiftieth of that.
        binary_search_steps: Constants c that are tried for each photo.
        initial_const: The first of them.
        max_iter: Steps with each.
        abort_early: End a run that gains nothing.
        **kwargs: ``by``, ``ratios``, ``loss``, ``quantize``, ``success_oracle``, ``seed``, ``verbose``,
            ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`.

    Raises:
        InvalidInputError: A parameter outside its range; when used: maps of another shape or outside [0, 1].
        EstimatorRequirementError: The estimator is no white box.
    """

    attack_params: ClassVar[list[str]] = [
        *(
            name
            for name in PhotoAttack.attack_params
            if name not in ("norm", "eps", "minimal", "constraint", "mask", "layer")
        ),
        *("sensitivity", "floor", "alpha", "confidence", "learning_rate"),
        *("binary_search_steps", "initial_const", "max_iter", "abort_early"),
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white box of art_crop"
    _in_colour = True
    _searches_reduced = False

    def __init__(
        self,
        estimator: Any,
        *,
        sensitivity: Any = "gaze-lite-human",
        floor: float = FLOOR,
        alpha: float | None = None,
        confidence: float = 0.0,
        learning_rate: float = 0.005,
        binary_search_steps: int = 5,
        initial_const: float = 0.01,
        max_iter: int = 100,
        abort_early: bool = True,
        **kwargs: Any,
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        self.sensitivity, self.floor, self.alpha, self.confidence = sensitivity, floor, alpha, confidence
        self.learning_rate, self.binary_search_steps = learning_rate, binary_search_steps
        self.initial_const, self.max_iter, self.abort_early = initial_const, max_iter, abort_early
        self._maps: Callable[[Tensor], Tensor] | None = None
        self._maps_are_of: Any = "uniform"
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.floor, "floor", at_least=0, at_most=1)
        if self.alpha is not None:
            check_number(self.alpha, "alpha", above=0)
        check_number(self.confidence, "confidence", at_least=0)
        for name in ("learning_rate", "initial_const"):
            check_number(getattr(self, name), name, above=0)
        for name in ("binary_search_steps", "max_iter"):
            check_int(getattr(self, name), name, at_least=1)
        if self.abort_early not in (True, False):
            raise InvalidInputError(f"abort_early: True or False is needed, not {self.abort_early!r}")
        if tuple(self.estimator.clip_values) != (0, 1):
            raise InvalidInputError(
                f"estimator: one with clip_values=(0, 1) is needed, not {tuple(self.estimator.clip_values)}"
            )
        if self._maps_are_of is not self.sensitivity:  # a model is read once
            self._maps, self._maps_are_of = _maps_of(self.sensitivity), self.sensitivity

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _generate(self, x: Any, y: Any, mask: Any, constraint: Any, kwargs: dict[str, Any]) -> Any:
        for name, value in (("mask", mask), ("constraint", constraint)):
            if value is not None:
                raise InvalidInputError(
                    f"{name}: this attack weights pixels by their sensitivity, and keeps to no limits"
                )
        return super()._generate(x, y, mask, constraint, kwargs)

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        source, start, n = gradients.plain(batch.estimator), batch.start, len(batch)
        weight = self._weights(start)
        best, least, nearest = start.clone(), [math.inf] * n, [math.inf] * n
        low, high = [0.0] * n, [math.inf] * n
        const = [self.initial_const if self.alpha is None else 1 / self.alpha] * n
        before, taken, asked, curves = [False] * n, [0] * n, [0] * n, [[] for _ in range(n)]  # type: ignore[var-annotated]
        rounds = self.binary_search_steps if self.alpha is None else 1
        for k in range(rounds):
            w = torch.atanh((2 * start - 1) * INSIDE)
            adam = _Adam(w)
            active = [i for i in range(n) if not before[i]]
            reached, previous = [False] * n, [math.inf] * n
            for step in range(self.max_iter if active else 0):
                photo = (torch.tanh(w[active]) + 1) / 2
                seen = (photo * 255).round() / 255 if self.quantize else photo
                gradient, success, loss, apart = gradients.gradient_at(batch, source, seen, active)
                distance = (weight[active] * (seen - start[active])).square().flatten(1).sum(1).tolist()
                some = list(active)
                for j, i in enumerate(some):
                    taken[i], asked[i] = taken[i] + 1, asked[i] + apart
                    meets = success[j] and not loss[j] > -self.confidence
                    before[i] = before[i] or (k == step == 0 and meets)
                    reached[i] = reached[i] or meets
                    if (meets and distance[j] < least[i]) or (
                        least[i] == math.inf and not meets and loss[j] < nearest[i]
                    ):
                        best[i], nearest[i] = seen[j], loss[j]
                        least[i] = distance[j] if meets else math.inf
                    curves[i].append(loss[j])
                    total = distance[j] + const[i] * max(loss[j] + self.confidence, 0.0)
                    if before[i] or (self._looks_back(step) and total > INSIDE * previous[i]):
                        active.remove(i)
                    elif self._looks_back(step):
                        previous[i] = total
                scale = seen.new_tensor([const[i] * (loss[j] > -self.confidence) for j, i in enumerate(some)])
                pull = 2 * weight[some].square() * (photo - start[some]) + scale.view(-1, 1, 1, 1) * gradient
                kept = [j for j, i in enumerate(some) if i in active]
                rate = self.learning_rate * LAST ** (step / self.max_iter)
                adam.step(active, (pull * 2 * photo * (1 - photo))[kept], rate)  # dx/dw = (1 - tanh^2 w) / 2
                self.on_step(k * self.max_iter + step + 1, rounds * self.max_iter)
                if not active:
                    break
            for i in range(n):
                low[i], high[i] = (low[i], const[i]) if reached[i] else (const[i], high[i])
                const[i] = _between(low[i], high[i], const[i])
        return self._records(batch, [Candidate(photo) for photo in best], before, taken, asked, curves)

    def _looks_back(self, step: int) -> bool:
        return self.abort_early and step % max(1, self.max_iter // ABORT_CHECKS) == 0

    def _weights(self, photos: Tensor) -> Tensor:
        """beta, (n, 1, H, W), from the floor to 1."""
        n = len(photos)
        if self._maps is None:
            return torch.ones_like(photos[:, :1])
        maps = torch.as_tensor(self._maps(photos))
        if maps.ndim != 3 or len(maps) != n or not maps.numel():
            raise InvalidInputError(f"sensitivity: maps ({n}, h, w) are needed, not {tuple(maps.shape)}")
        if not bool(torch.isfinite(maps).all()) or float(maps.min()) < 0 or float(maps.max()) > 1:
            raise InvalidInputError("sensitivity: maps must be finite and lie in [0, 1]")
        return _weights(maps, photos, self.floor)

    def _limits(self, constraint: Any, shape: Any) -> Constraint | None:
        return None


class _Adam:
    """Adam with moments and a number of steps for each photo: a photo's steps do not depend on the others."""

    def __init__(self, w: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.w, self.betas = w, betas
        self.first, self.second = torch.zeros_like(w), torch.zeros_like(w)
        self.done = 0

    def step(self, active: list[int], gradient: Tensor, rate: float) -> None:
        """Move the photos that are still active; all of them have been so since the first step."""
        self.done += 1
        for moment, beta, new in (
            (self.first, self.betas[0], gradient),
            (self.second, self.betas[1], gradient.square()),
        ):
            moment[active] = beta * moment[active] + (1 - beta) * new
        mean = self.first[active] / (1 - self.betas[0] ** self.done)
        spread = (self.second[active] / (1 - self.betas[1] ** self.done)).sqrt()
        self.w[active] -= rate * mean / (spread + 1e-8)


def _between(low: float, high: float, tried: float) -> float:
    """The constant to try next: by tens until one succeeds and one fails, then their geometric mean.

    How large it must be depends on weights and scores, over orders of magnitude: means of few would not get there.
    """
    if low > 0 and high < math.inf:
        return math.sqrt(low * high)
    return tried / 10 if high < math.inf else 10 * tried


def _weights(maps: Tensor, photos: Tensor, floor: float) -> Tensor:
    """Maps (n, h, w) at the size of the photos, (n, 1, H, W), from the floor to 1."""
    size = (photos.shape[-2], photos.shape[-1])
    fine = F.interpolate(maps[:, None].to(photos), size, mode="bilinear", align_corners=False)
    return fine.clamp(floor, 1)


def sensitivity_l2(original: Any, changed: Any) -> float:
    """L2 norm of the change of a photo, weighted by where people look: the root of paper 004's equation 3.

    The weight is the attack's default: gaze-lite-human's density, divided by its peak, 0.1 at least.

    Args:
        original: uint8, or float in [0, 1], (H, W, 3).
        changed: The same.
    """
    first, second = (
        np.asarray(photo, np.float32) / (255 if np.asarray(photo).dtype == np.uint8 else 1)
        for photo in (original, changed)
    )
    if first.shape != second.shape or first.ndim != 3 or first.shape[2] != 3:
        raise InvalidInputError(f"changed must have the shape of original, {first.shape}, got {second.shape}")
    x, y = (torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1)))[None] for one in (first, second))
    weight = _weights(_peoples_maps()(x), x, FLOOR)
    return float((weight * (y - x)).double().square().sum().sqrt())


@lru_cache(maxsize=1)
def _peoples_maps() -> Callable[[Tensor], Tensor]:
    maps = _maps_of("gaze-lite-human")
    assert maps is not None
    return maps


SENSITIVITY_L2 = MetricRecord("sensitivity-l2", "pixels in [0, 1]", "lower", (0.0, math.inf), sensitivity_l2)


def _maps_of(sensitivity: Any) -> Callable[[Tensor], Tensor] | None:
    """A function from photos to maps in [0, 1]."""
    if sensitivity == "uniform":
        return None
    if isinstance(sensitivity, str):
        from art_crop.plugins.registry import load_model

        try:
            sensitivity = load_model(sensitivity, task="saliency")
        except InvalidInputError as error:
            raise InvalidInputError(f"sensitivity: {error}") from error
    if isinstance(sensitivity, PyTorchSaliencyRegressor):
        model = sensitivity

        def density(photos: Tensor) -> Tensor:
            output = model.output(model.to_array(photos))
            raw: Tensor = output.saliency.float()
            if isinstance(model.model, FCNVGG16):
                return raw  # in [0, 1] already, and no density
            raw = (raw - raw.flatten(1).amax(1)[:, None, None]).exp() if output.log_density else raw.clamp_min(0)
            peak: Tensor = raw / raw.flatten(1).amax(1).clamp_min(1e-30)[:, None, None]
            return peak

        return density
    if not callable(sensitivity):
        raise InvalidInputError(
            f"sensitivity: a saliency model, its name, a function of photos or 'uniform' is needed, not {sensitivity!r}"
        )
    function: Callable[[Tensor], Tensor] = sensitivity
    return function
