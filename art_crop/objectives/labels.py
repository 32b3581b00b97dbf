"""Objectives for a classifier's label: which it is, that it is none of the first k, or the distance from it.

Rank is counted as ``argmax`` counts it: among equal logits the class with the lower index comes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.checks import check_choice, check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.objectives.base import LOSSES, Loss, PerSample, Verdict, check_count

__all__ = ["LabelDistance", "LabelIs", "LabelOut"]


class _Label(PerSample):
    """Common to both: one class for each sample, and where it stands among the others."""

    task = "classification"
    _lists = ("labels",)

    def __init__(self, labels: Sequence[int], *, loss: Loss = "margin") -> None:
        check_choice(loss, "loss", LOSSES)
        if not isinstance(labels, (list, tuple, np.ndarray)) or len(labels) == 0:
            raise InvalidInputError(f"labels: a list with one class for each sample is needed, not {labels!r}")
        self.labels, self.loss = [check_int(label, "labels", at_least=0) for label in labels], loss

    def _own(self, logits: Tensor, k: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Index (N, 1) and logit (N,) of the label; how many others come before it (N,)."""
        check_count(len(self.labels), len(logits))
        classes = logits.shape[1]
        if max(self.labels) >= classes or k >= classes:
            raise InvalidInputError(f"labels: classes below {classes} and k below {classes} are needed for this model")
        index = torch.tensor(self.labels, device=logits.device)[:, None]
        own = logits.gather(1, index)
        lower = torch.arange(classes, device=logits.device)[None] < index
        before = ((logits > own) | ((logits == own) & lower)).sum(1)
        return index, own[:, 0], before


class LabelIs(_Label):
    """The model gives the label (targeted).

    Args:
        labels: The wanted class of each sample, a whole number.
        loss: ``"margin"``: best logit of another class minus the label's, below 0 where it succeeds.
            ``"cross_entropy"``: minus the logarithm of the label's probability.

    Raises:
        InvalidInputError: No labels, or an unknown loss; when called: a class that the model does not have.
    """

    def __call__(self, output: Tensor) -> Verdict:
        """Give loss and success for logits (N, K)."""
        index, own, before = self._own(output)
        if self.loss == "margin":
            loss = output.scatter(1, index, -torch.inf).amax(1) - own
        else:
            loss = F.cross_entropy(output, index[:, 0], reduction="none")
        return Verdict(loss, before == 0)


class LabelOut(_Label):
    """The label is none of the model's first k (untargeted; k=1: the decision changes).

    Args:
        labels: The class of each sample that shall go, a whole number.
        k: How many places at the top it must leave.
        loss: ``"margin"``: the label's logit minus the k-th best of the others, below 0 where it succeeds.
            ``"cross_entropy"``: the logarithm of the label's probability.
        confidence_gap: How far below the first class's probability the label's must be besides, as a share of that:
            0.5, at most half of it (paper 002, section 4).

    Raises:
        InvalidInputError: No labels, a k below 1, a gap outside [0, 0.999], or an unknown loss; when called: a class
            that the model does not have, or a k that leaves no place below.
    """

    def __init__(
        self, labels: Sequence[int], *, k: int = 1, loss: Loss = "margin", confidence_gap: float = 0.0
    ) -> None:
        super().__init__(labels, loss=loss)
        self.k = check_int(k, "k", at_least=1)
        self.confidence_gap = check_number(confidence_gap, "confidence_gap", at_least=0, at_most=0.999)

    def __call__(self, output: Tensor) -> Verdict:
        """Give loss and success for logits (N, K)."""
        index, own, before = self._own(output, self.k)
        best = output.scatter(1, index, -torch.inf).topk(self.k, dim=1).values
        # Of two classes' probabilities the ratio is that of the exponentials of their logits.
        apart = own - best[:, 0] - math.log1p(-self.confidence_gap)
        if self.loss == "margin":
            loss = torch.maximum(own - best[:, -1], apart) if self.confidence_gap else own - best[:, -1]
        else:
            loss = -F.cross_entropy(output, index[:, 0], reduction="none")
        return Verdict(loss, (before >= self.k) & ((apart <= 0) | (self.confidence_gap == 0)))


class LabelDistance(PerSample):
    """Cross-entropy to given probabilities; what ART's ``loss_gradient(x, y)`` means for a classifier.

    Args:
        probabilities: (N, K), one-hot for labels.
    """

    task = "classification"
    _lists = ("probabilities",)

    def __init__(self, probabilities: Tensor) -> None:
        self.probabilities = probabilities

    def __call__(self, output: Tensor) -> Verdict:
        """Give the distance of logits (N, K); none counts as success."""
        if self.probabilities.shape != output.shape:
            raise InvalidInputError(
                f"y: one row of {output.shape[1]} a photo is needed, not shape {tuple(self.probabilities.shape)}"
            )
        loss = F.cross_entropy(output, self.probabilities.to(output), reduction="none")
        return Verdict(loss, torch.zeros_like(loss, dtype=torch.bool))
