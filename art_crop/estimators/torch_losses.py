"""What ART's attacks call: losses and their gradients for given y, thin over the one gradient path."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_choice, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.torch_estimator import TorchPhotoEstimator
from art_crop.objectives import Objective, Verdict

__all__ = ["TorchLosses", "rows_of_numbers"]

Array = np.ndarray[Any, Any]


class TorchLosses(TorchPhotoEstimator):
    """ART's loss contract, the same for regressors and classifiers; these say what y may be and what it means."""

    @abstractmethod
    def _targets(self, y: object, count: int) -> Tensor:
        """Checked y for ``count`` photos, on the model's device."""

    @abstractmethod
    def _distance(self, y: Tensor) -> Objective:
        """The objective that ART's ``loss_gradient(x, y)`` stands for."""

    @abstractmethod
    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        """Verdict of ``_distance(y)`` on what ``predict`` returned."""

    def _notice(self, loss: Tensor) -> None:
        """Look at the losses whose gradient was asked for; called by :meth:`loss_gradient` itself."""

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Gradient of each photo's own loss with respect to the photo; numpy in, numpy out; tensor in, tensor out.

        Warns:
            UserWarning: ``y`` is a regressor's own prediction (ART's attacks take it where y is None): gradient 0.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; ``y`` missing, not finite, or of another shape than a prediction.
        """
        self._check_keywords(kwargs, "loss_gradient")
        tensor = self._checked(x)
        loss, _, gradient = self.value_and_gradient(tensor, self._distance(self._targets(y, len(tensor))))
        assert gradient is not None
        self._notice(loss)
        return gradient if isinstance(x, Tensor) else self.to_array(gradient)

    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        """Loss of each photo (``reduction="none"``), or their ``"mean"`` or ``"sum"``; never with a graph."""
        self._check_keywords(kwargs, "compute_loss")
        tensor = self._checked(x)
        loss = self.evaluate(tensor, self._distance(self._targets(y, len(tensor)))).loss
        reduced = _reduce(loss, reduction)
        return reduced if isinstance(x, Tensor) else reduced.cpu().numpy()

    def compute_losses(self, x: Any, y: Any, reduction: str = "none") -> dict[str, Any]:
        """The one loss of this estimator, by name."""
        return {"loss": self.compute_loss(x, y, reduction)}

    def compute_loss_from_predictions(self, pred: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Loss of each row of predictions."""
        reject_unknown(kwargs, (), "compute_loss_from_predictions")
        prediction = rows_of_numbers(pred, len(pred), "pred").to(self.device)
        loss = self._from_predictions(prediction, self._targets(y, len(pred))).loss
        reduced: Array = _reduce(loss, reduction).cpu().numpy()
        return reduced


def rows_of_numbers(y: object, count: int, name: str = "y") -> Tensor:
    """An array or tensor of ``count`` rows as float32, a copy where it comes from numpy.

    Raises:
        InvalidInputError: Not numbers, not finite, or another number of rows.
    """
    try:
        tensor = y.detach() if isinstance(y, Tensor) else torch.from_numpy(np.array(y, np.float32, order="C"))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}: an array of numbers is needed ({error})") from error
    if tensor.ndim == 0 or len(tensor) != count:
        raise InvalidInputError(f"{name}: {count} rows are needed, as many as x has, not shape {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise InvalidInputError(f"{name}: values must be finite")
    return tensor.float()


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    check_choice(reduction, "reduction", ("none", "mean", "sum"))
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
