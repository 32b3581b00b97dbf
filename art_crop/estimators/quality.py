"""ART estimator for image-quality regressors: one score a photo, on a scale that is stated."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor, nn

from art_crop.checks import check_number
from art_crop.errors import InvalidInputError
from art_crop.estimators.base import check_scale
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.objectives import ScoreDistance, Verdict

__all__ = ["PyTorchQualityRegressor", "on_scale_of", "same_scale"]


class PyTorchQualityRegressor(TorchEstimator, RegressorMixin):
    """A white-box quality model: photos -> scores (N,).

    Targets y of shape (N,) and (N, 1) mean the same; the loss of ``loss_gradient`` is each photo's own squared
    difference.

    Args:
        model: Module (N, 3, H, W) -> scores (N,) or (N, 1), or a distribution over opinion bins (N, K) of which
            ``bin_values`` gives the mean.
        score_range: Lowest and highest score of the scale.
        higher_is_better: Whether a higher score is a better photo.
        bin_values: Value of each of the K bins, for models that answer with a distribution.
        **kwargs: As for every torch estimator here.

    Raises:
        InvalidInputError: A score range that is empty; when used, an output of another shape.
    """

    task = "quality"
    _moved: tuple[float, float] | None = None
    """Factor and summand from the model's own scale to another; see :meth:`on_scale`."""
    estimator_params: ClassVar[list[str]] = [
        *TorchEstimator.estimator_params,
        "score_range",
        "higher_is_better",
        "bin_values",
    ]

    def __init__(
        self,
        model: nn.Module,
        *,
        score_range: tuple[float, float] = (0.0, 100.0),
        higher_is_better: bool = True,
        bin_values: tuple[float, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        self.score_range, self.higher_is_better = score_range, higher_is_better
        self.bin_values = bin_values
        super().__init__(model, **kwargs)

    def _check_params(self) -> None:
        check_scale(self)
        if self.bin_values is not None:
            if not isinstance(self.bin_values, (tuple, list)) or not self.bin_values:
                raise InvalidInputError(f"bin_values: one number for each bin is needed, not {self.bin_values!r}")
            self.bin_values = tuple(check_number(value, "bin_values") for value in self.bin_values)
        super()._check_params()

    def on_scale(self, score_range: tuple[float, float], *, higher_is_better: bool = True) -> PyTorchQualityRegressor:
        """Give this model with its scores on another one's scale, best on best and worst on worst; weights are shared.

        So a model can give the gradients for another whose scale is longer, or runs the other way.

        Args:
            score_range: Lowest and highest score of that scale.
            higher_is_better: Whether a higher score is a better photo there.

        Raises:
            InvalidInputError: A scale that is none.
        """
        twin = copy.copy(self)
        twin.score_range, twin.higher_is_better = score_range, higher_is_better
        check_scale(twin)
        (low, high), (start, end) = self.score_range, twin.score_range
        if self.higher_is_better is not higher_is_better:
            start, end = end, start
        factor = (end - start) / (high - low)
        gain, shift = self._moved or (1.0, 0.0)
        twin._moved = gain * factor, (shift - low) * factor + start
        return twin

    def _output(self, x: Tensor) -> Tensor:
        scores = self._own_scores(x)
        return scores if self._moved is None else scores * self._moved[0] + self._moved[1]

    def _own_scores(self, x: Tensor) -> Tensor:
        scores = self._run(x)
        if self.bin_values is not None:
            if scores.ndim != 2 or scores.shape[1] != len(self.bin_values):
                raise InvalidInputError(
                    f"model: an output (N, {len(self.bin_values)}) is needed for these bin_values, "
                    f"not {tuple(scores.shape)}"
                )
            # Not a matrix product, which autocast would compute in bfloat16.
            return (scores * scores.new_tensor(self.bin_values)).sum(1)
        return _flat(scores, "model: output")

    def predict_file(self, path: str | Path) -> float:
        """Predict the score of a file, behind the defences.

        Raises:
            ImageFileError: Not a readable photo.
        """
        return float(self.output_of_file(path)[0])

    def _prediction(self, output: Tensor) -> Tensor:
        return output

    def _distance(self, y: Tensor) -> ScoreDistance:
        return ScoreDistance(_flat(y, "y"))

    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        return self._distance(y)(_flat(prediction, "pred"))


def on_scale_of(model: Any, other: Any) -> Any:
    """Give a model as it is or, where both rate quality on different scales, with its scores on the other's."""
    if not isinstance(model, PyTorchQualityRegressor) or other.task != "quality" or same_scale(model, other):
        return model
    return model.on_scale(other.score_range, higher_is_better=other.higher_is_better)


def same_scale(model: Any, other: Any) -> bool:
    """Tell whether two models give scores on one scale."""
    return bool(
        tuple(model.score_range) == tuple(other.score_range) and model.higher_is_better is other.higher_is_better
    )


def _flat(scores: Tensor, name: str) -> Tensor:
    """(N,) from (N,) or (N, 1); the two must never meet, or a difference becomes N x N."""
    if scores.ndim == 1:
        return scores
    if scores.ndim == 2 and scores.shape[1] == 1:
        return scores[:, 0]
    raise InvalidInputError(f"{name}: shape (N,) or (N, 1) is needed, not {tuple(scores.shape)}")
