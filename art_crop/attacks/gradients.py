"""Sources of gradients, composable: what makes a surrogate's gradient hold on another model is one function around one.

- Smoothing: the gradient is filtered with a Gaussian, as if it were averaged over shifted photos (translation
  invariance; Dong et al., "Evading Defenses to Transferable Adversarial Examples by Translation-Invariant Attacks",
  CVPR 2019, equation 7).
- Input diversity: a step sees the photo at a random size (Xie et al., "Improving Transferability of Adversarial
  Examples with Input Diversity", CVPR 2019). A saliency map keeps its proportions, so nothing is padded.
- Averaging over transformed copies (expectation over transformation; Athalye et al., ICML 2018): what a photo goes
  through before another model sees it.
- Feature energy: the activations of chosen layers about the target against those about the old peak, beside the loss
  on the map (after Zhou et al., "Transferable Adversarial Perturbations", ECCV 2018, who move features too).
- Contrast: beside the gradient, the edit that knows no network (:mod:`art_crop.attacks.contrast_shift`).
- Ensembles: each model's gradient with norm 1, added up (after Liu et al., ICLR 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.attacks.results import photo_stream
from art_crop.attacks.targets import Located
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import watched
from art_crop.estimators.passes import photos_numbered
from art_crop.estimators.placement import frozen
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.contrast import opponent_contrast
from art_crop.functional.filters import gaussian_blur
from art_crop.functional.norms import unit
from art_crop.models.jpeg_path import through_jpeg
from art_crop.objectives import Verdict

if TYPE_CHECKING:
    from art_crop.attacks.base import Batch

__all__ = [
    "COPIES",
    "Gradients",
    "Source",
    "averaged",
    "diverse",
    "ensembled",
    "gradient_at",
    "plain",
    "smoothed",
    "with_contrast",
    "with_features",
]

Copy = Literal["resize", "jpeg", "blur"]
SPREAD = 0.06
"""Standard deviation of the spots in which features are counted, as a share of the photo's longer side."""


class Gradients(NamedTuple):
    """Gradient (n, 3, H, W) of the loss at some photos; their successes and losses (n,) where the pass told them."""

    gradient: Tensor
    success: Tensor | None
    loss: Tensor | None = None


_CHOSEN: WeakKeyDictionary[nn.Module, dict[torch.Size, list[str]]] = WeakKeyDictionary()
Source = Callable[[Tensor, Any, bool], Gradients]
"""Photos (n, 3, H, W), their objectives, and whether the successes will be used -> gradients."""


def plain(estimator: TorchEstimator) -> Source:
    """The loss's own gradient."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        seen = estimator.value_and_gradient(photos, objective, decide=decide)
        assert seen.gradient is not None
        return Gradients(seen.gradient, seen.success, seen.loss)

    return source_at


def gradient_at(
    batch: Batch, source: Source, photos: Tensor, indices: Sequence[int], *, decide: bool = True, judged: bool = False
) -> tuple[Tensor, list[bool], list[float], bool]:
    """Ask for gradient, success and loss at candidates of some of a batch's photos.

    Args:
        batch: All photos.
        source: Where gradients come from.
        photos: The candidates (n, 3, h, w).
        indices: Which photos of the batch they are of.
        decide: Whether the successes will be used.
        judged: Give the losses of the model that decides success, where it is asked.

    Returns:
        Gradient (n, 3, h, w), times the batch's mask; successes, all False unless ``decide``; losses, NaN where the
        source's options leave none that is the source model's own at these photos; and whether success took a query of
        its own, as a success oracle's does.
    """
    own = batch.oracle is None
    with photos_numbered(indices):
        gradient, success, loss = source(photos, batch.objective.take(indices), decide and own)
    apart = decide and (success is None or not own)
    if apart:
        verdict = batch.evaluate(photos, indices)
        success, loss = verdict.success, verdict.loss if judged else loss
    if batch.weight is not None:
        gradient = gradient * batch.weight[list(indices)]
    successes = [False] * len(photos) if success is None else success.tolist()
    losses = [math.nan] * len(photos) if loss is None else loss.tolist()
    return gradient, successes, losses, apart


def with_features(estimator: TorchEstimator, layers: Sequence[str] | Literal["auto"], weight: float) -> Source:
    """The gradient of loss + weight * mean over layers of log(energy at the old peak / energy at the target).

    With ``"auto"`` the layers are chosen at the first photo of a size that the model sees.
    """

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        objective = _located(objective, "features")
        chosen = layers
        if chosen == "auto":  # a pass through the model, so not again for each photo
            known, size = _CHOSEN.setdefault(estimator.model, {}), photos.shape[-2:]
            if size not in known:
                known[size] = spread_layers(estimator, photos[:1])
            chosen = known[size]
        with ExitStack() as stack:
            reads = [stack.enter_context(watched(estimator.model, layer)) for layer in chosen]
            seen = estimator.value_and_gradient(photos, _FeatureObjective(objective, reads, weight), decide=False)
        assert seen.gradient is not None
        return Gradients(seen.gradient, None)

    return source_at


def with_contrast(source: Source, weight: float) -> Source:
    """The gradient of norm 1, less ``weight`` times ContrastShift's own step of norm 1, which no model gave."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        target, old = _located(objective, "contrast").spots((photos.shape[-2], photos.shape[-1]), photos, SPREAD)
        raised = unit(opponent_contrast(photos) * (target - old)[:, None])
        seen = source(photos, objective, decide)
        return seen._replace(gradient=unit(seen.gradient) - weight * raised)

    return source_at


def _located(objective: Any, option: str) -> Located:
    if not isinstance(objective, Located):
        raise InvalidInputError(f"{option}: the old peak and the target are needed; give regions as y")
    return objective


class _FeatureObjective:
    """The objective with the features' term; called while the layers are watched."""

    def __init__(self, objective: Located, reads: Sequence[Callable[[], Tensor]], weight: float) -> None:
        self.objective, self.reads, self.weight = objective, reads, weight

    def __len__(self) -> int:
        return len(self.objective)

    def take(self, indices: Sequence[int]) -> _FeatureObjective:
        return _FeatureObjective(self.objective.take(indices), self.reads, self.weight)

    def __call__(self, output: Any) -> Verdict:
        loss, success = self.objective(output)
        terms = [self._term(read()) for read in self.reads]
        return Verdict(loss + self.weight * torch.stack(terms).mean(0), success)

    def _term(self, activations: Tensor) -> Tensor:
        if activations.ndim != 4:
            raise InvalidInputError("features: layers that give activations (N, C, h, w) are needed")
        energy = activations.float().square().sum(1)
        target, old = self.objective.spots((energy.shape[1], energy.shape[2]), energy, SPREAD)
        at_target = (energy * target).sum((1, 2)) / target.sum((1, 2))
        at_old = (energy * old).sum((1, 2)) / old.sum((1, 2))
        return (at_old + 1e-12).log() - (at_target + 1e-12).log()


def spread_layers(estimator: TorchEstimator, photos: Tensor, count: int = 4) -> list[str]:
    """Names of ``count`` convolutions, spread over the fifth to tenth of those that see where things are.

    What is counted at that depth other models count as well; the last layers of a deep model know its own features.

    Args:
        estimator: The model.
        photos: (n, 3, H, W) to try it on: how large activations are is only known then.
        count: How many.

    Raises:
        InvalidInputError: A model without convolutions of 8 or more channels.
    """
    convolutions = [
        name
        for name, module in estimator.model.named_modules()
        if isinstance(module, nn.Conv2d) and module.out_channels >= 8
    ]
    with ExitStack() as stack, torch.no_grad(), frozen(estimator.model):
        reads = {name: stack.enter_context(watched(estimator.model, name)) for name in convolutions}
        estimator.forward_output(photos)
        # A squeezed layer has one number for the whole photo.
        wide = [name for name, read in reads.items() if min(read().shape[-2:]) > 1]
    if not wide:
        raise InvalidInputError("features: this model has no convolution of 8 or more channels; name the layers")
    middle = wide[:10][-6:]
    return [middle[i] for i in sorted({int(i) for i in np.linspace(0, len(middle) - 1, count).round()})]


def smoothed(source: Source, sigma: float) -> Source:
    """The gradient filtered with a Gaussian of ``sigma`` pixels."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        seen = source(photos, objective, decide)
        return seen._replace(gradient=gaussian_blur(seen.gradient, sigma))

    return source_at


def ensembled(sources: Sequence[Source]) -> Source:
    """The sources' gradients, each of L2 norm 1 a photo, added up."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        gradients = [unit(source(photos, objective, False).gradient) for source in sources]
        return Gradients(torch.stack(gradients).sum(0), None)

    return source_at


def averaged(source: Source, copies: Sequence[Copy], draws: int, seed: int, clip: tuple[float, float]) -> Source:
    """The mean of the gradients at the photo and at ``draws`` random copies of each kind."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        seen = source(photos, objective, decide)
        total = seen.gradient
        for i, photo in enumerate(photos):
            stream = photo_stream(photo, seed, clip)
            for kind in (kind for _ in range(draws) for kind in copies):
                total[i] += _through(source, photo[None], objective.take([i]), kind, stream, clip)[0]
        return seen._replace(gradient=total / (1 + draws * len(copies)))

    return source_at


def diverse(source: Source, probability: float, seed: int, clip: tuple[float, float]) -> Source:
    """With that probability the gradient is taken at a copy of random size."""

    def source_at(photos: Tensor, objective: Any, decide: bool) -> Gradients:
        gradients = []
        for i, photo in enumerate(photos):
            stream, one = photo_stream(photo, seed + 1, clip), objective.take([i])
            changed = stream.random() < probability
            gradients.append(
                _through(source, photo[None], one, "resize", stream, clip)
                if changed
                else source(photo[None], one, False).gradient
            )
        return Gradients(torch.cat(gradients), None)

    return source_at


def _through(
    source: Source, photo: Tensor, objective: Any, kind: Copy, stream: np.random.Generator, clip: tuple[float, float]
) -> Tensor:
    """Gradient with respect to a photo (1, 3, H, W) of the loss at a changed copy of it."""
    with torch.enable_grad():
        x = photo.detach().requires_grad_()
        copy = COPIES[kind](x, stream, clip)
    gradient = source(copy.detach(), objective, False).gradient
    (pulled,) = torch.autograd.grad(copy, x, gradient.to(copy))
    return pulled


def _resized(x: Tensor, stream: np.random.Generator, clip: tuple[float, float]) -> Tensor:
    """At 70% to 100% of its size."""
    factor = stream.uniform(0.7, 1.0)
    size = [max(1, round(side * factor)) for side in x.shape[-2:]]
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


def _jpeg(x: Tensor, stream: np.random.Generator, clip: tuple[float, float]) -> Tensor:
    """Through a JPEG of quality 50 to 95."""
    low, high = clip
    scale = 255 / (high - low)
    quality = int(stream.integers(50, 96))
    return through_jpeg((x - low) * scale, quality, (x.shape[-1], x.shape[-2])) / scale + low


def _blurred(x: Tensor, stream: np.random.Generator, clip: tuple[float, float]) -> Tensor:
    """Out of focus by 0.3 to 1.5 pixels."""
    return gaussian_blur(x, stream.uniform(0.3, 1.5))


COPIES: dict[str, Callable[[Tensor, np.random.Generator, tuple[float, float]], Tensor]] = {
    "resize": _resized,
    "jpeg": _jpeg,
    "blur": _blurred,
}
