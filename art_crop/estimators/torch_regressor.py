"""The shared base of the torch regressors: what y may be, and a warning where it makes an attack stand still.

ART's own ``PyTorchRegressor`` is for scalars, and with y of shape (N, 1) its loss broadcasts to N x N.
"""

from __future__ import annotations

import warnings

from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.estimators.placement import frozen, resolve_device
from art_crop.estimators.torch_estimator import Evaluation
from art_crop.estimators.torch_losses import TorchLosses, rows_of_numbers

__all__ = ["Evaluation", "TorchRegressor", "frozen", "resolve_device"]


class TorchRegressor(TorchLosses, RegressorMixin):
    """Common to saliency and quality regressors; see there, and :class:`TorchPhotoEstimator` for the arguments."""

    def _targets(self, y: object, count: int) -> Tensor:
        if y is None:
            raise InvalidInputError(
                "y: what to compare the prediction with is needed; the model's own prediction gives a gradient of 0"
            )
        return rows_of_numbers(y, count).to(self.device)

    def _notice(self, loss: Tensor) -> None:
        if not loss.any():
            warnings.warn(
                "y is the model's own prediction, so the loss and its gradient are 0 and an attack stands still; "
                "give a y to move away from or towards",
                UserWarning,
                stacklevel=3,
            )
