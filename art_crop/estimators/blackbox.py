"""Query-only estimators: a model that can be asked and not looked into, and that counts how often it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.estimators.estimator import BaseEstimator, NeuralNetworkMixin
from art.estimators.regression.regressor import RegressorMixin

from art_crop.checks import check_choice, check_clip_values, check_int, check_range, reject_unknown
from art_crop.errors import InvalidInputError, QueryLimitError
from art_crop.estimators.photo_estimator import PhotoEstimator, check_keywords, default_input_shape
from art_crop.estimators.saliency import PlainRule, crops_of
from art_crop.geometry import DEFAULT_RATIOS, Region, Window, check_ratios, crop_window, window_contains
from art_crop.objectives import CropContainsRegion, PeakInRegion, SaliencyOutput, ScoreBeyond

__all__ = ["BlackBoxQualityRegressor", "BlackBoxSaliencyRegressor"]

Array = np.ndarray[Any, Any]
Answer = Literal["map", "point", "crops"]


class _BlackBox(PhotoEstimator, RegressorMixin, NeuralNetworkMixin, BaseEstimator):
    """A callable asked in batches; one query is one photo.

    ``NeuralNetworkMixin`` is there because ART's query attacks ask for it; there is no gradient.
    """

    estimator_params: ClassVar[list[str]] = [
        *BaseEstimator.estimator_params,
        *NeuralNetworkMixin.estimator_params,
        "input_shape",
        "max_queries",
    ]

    def __init__(
        self,
        predict_fn: Callable[[Array], Any],
        *,
        input_shape: tuple[int, int, int] | None = None,
        clip_values: tuple[float, float] = (0.0, 1.0),
        channels_first: bool = True,
        max_queries: int | None = None,
        preprocessing_defences: Any = None,
        postprocessing_defences: Any = None,
        preprocessing: Any = None,
    ) -> None:
        check_clip_values(clip_values)
        super().__init__(
            model=predict_fn,
            clip_values=clip_values,
            channels_first=channels_first,
            preprocessing_defences=preprocessing_defences,
            postprocessing_defences=postprocessing_defences,
            preprocessing=preprocessing,
        )
        self._input_shape = default_input_shape(channels_first) if input_shape is None else input_shape
        self.max_queries, self.query_count = max_queries, 0
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        if not callable(self.model):
            raise InvalidInputError(f"predict_fn: a callable is needed, not {type(self.model).__name__}")
        if self.max_queries is not None:
            check_int(self.max_queries, "max_queries", at_least=1)

    def reset_queries(self) -> None:
        """Start counting from 0 again."""
        self.query_count = 0

    def predict(self, x: Array, batch_size: int = 128, **kwargs: Any) -> Array:
        """Answers for photos, float32, one row a photo; each photo is one query.

        Raises:
            InvalidInputError: Photos of a wrong layout, type or range; an answer of a wrong shape or not finite.
            QueryLimitError: More photos than ``max_queries`` leaves; none of them is asked about.
        """
        check_keywords(kwargs, "predict")
        check_int(batch_size, "batch_size", at_least=1)
        x = self._photos(x)
        if self.max_queries is not None and self.query_count + len(x) > self.max_queries:
            raise QueryLimitError(
                f"{len(x)} more queries after {self.query_count} would exceed the limit of {self.max_queries} "
                "(max_queries)"
            )
        rows = []
        for start in range(0, len(x), batch_size):
            # x is a copy already: somebody else's function cannot change the caller's photos.
            batch, _ = self._apply_preprocessing(x[start : start + batch_size], None, fit=False)
            self.query_count += len(batch)
            rows.append(self._checked(_numbers(self.model(np.array(batch, np.float32, order="C"))), len(batch)))
        if len({row.shape[1:] for row in rows}) > 1:
            raise InvalidInputError(
                "predict_fn: answers of one shape are needed, not of several for photos of one size"
            )
        answers: Array = self._apply_postprocessing(np.concatenate(rows), fit=False)
        return answers

    def _checked(self, answer: Array, count: int) -> Array:
        raise NotImplementedError

    def fit(self, x: Array, y: Any, **kwargs: Any) -> None:
        """Not possible: the model can only be asked."""
        raise NotImplementedError("a query-only model cannot be trained")

    def compute_loss(self, x: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Sum of squared differences between answer and ``y``, per photo (N,), or their ``"mean"`` or ``"sum"``."""
        reject_unknown(kwargs, (), "compute_loss")
        return self.compute_loss_from_predictions(self.predict(x), y, reduction)

    def compute_loss_from_predictions(self, pred: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Sum of squared differences between answers and ``y``, per photo (N,), or their ``"mean"`` or ``"sum"``.

        Raises:
            InvalidInputError: ``y`` is not finite, or not of the answers' shape (for scores (N,), (N, 1) will also do).
        """
        reject_unknown(kwargs, (), "compute_loss_from_predictions")
        check_choice(reduction, "reduction", ("none", "mean", "sum"))
        target = np.asarray(y, np.float32)
        if target.shape not in (pred.shape, (*pred.shape, 1)):
            raise InvalidInputError(f"y: shape {pred.shape} is needed, as the answers have, not {target.shape}")
        if not np.isfinite(target).all():
            raise InvalidInputError("y: values must be finite")
        losses: Array = np.square(pred - target.reshape(pred.shape)).reshape(len(pred), -1).sum(1)
        return losses if reduction == "none" else np.asarray(losses.mean() if reduction == "mean" else losses.sum())

    def get_activations(self, x: Array, layer: int | str, batch_size: int = 128, framework: bool = False) -> Array:
        """Not possible: the model can only be asked."""
        raise NotImplementedError("a query-only model has no layers to look into")


def _numbers(answer: object) -> Array:
    """A copy, for the function may use its buffer again."""
    try:
        return np.array(answer, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"predict_fn: an array of numbers is needed ({error})") from error


def _finite(answer: Array, expected: str, good: bool) -> Array:
    if not good or not np.isfinite(answer).all():
        raise InvalidInputError(f"predict_fn: finite answers of shape {expected} are needed, not {answer.shape}")
    return answer


class BlackBoxSaliencyRegressor(_BlackBox):
    """A cropper that can only be asked: any callable from photos to a map, a salient point or crop windows.

    Args:
        predict_fn: Photos (n, 3, H, W), or (n, H, W, 3) with ``channels_first=False``, float32 in ``clip_values`` -> by
            ``returns``: ``"map"`` (n, h, w); ``"point"`` (n, 2) x, y pixels; ``"crops"`` (n, R, 4) left, top, width,
            height pixels for ``ratios``.
        returns: Which of the three.
        ratios: The ratios (height / width) of a callable that returns crops.
        log_density: For maps: whether exp(map) is the density.
        **kwargs: ``input_shape``, ``clip_values``, ``channels_first``, ``max_queries``, ART's preprocessing and
            postprocessing.
    """

    def __init__(
        self,
        predict_fn: Callable[[Array], Any],
        *,
        returns: Answer = "map",
        ratios: Sequence[float] = DEFAULT_RATIOS,
        log_density: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice(returns, "returns", ("map", "point", "crops"))
        self.returns, self.ratios, self.log_density = returns, check_ratios(ratios), log_density
        super().__init__(predict_fn, **kwargs)

    def _checked(self, answer: Array, count: int) -> Array:
        if self.returns == "map":
            return _finite(answer, f"({count}, h, w)", answer.ndim == 3 and len(answer) == count)
        expected = (count, 2) if self.returns == "point" else (count, len(self.ratios), 4)
        return _finite(answer, str(expected), answer.shape == expected)

    def _size(self, x: Array) -> tuple[int, int]:
        return (x.shape[3], x.shape[2]) if self.channels_first else (x.shape[2], x.shape[1])

    def _map_output(self, x: Array, maps: Array) -> SaliencyOutput:
        size, rule = self._size(x), PlainRule(self.log_density)
        positions = rule.positions((maps.shape[1], maps.shape[2]), size)
        nobody = torch.zeros(len(maps), dtype=torch.bool)
        return SaliencyOutput(torch.from_numpy(maps), positions.x, positions.y, size, lambda: nobody, self.log_density)

    def crop(self, x: Array, ratios: Sequence[float] | None = None) -> Array:
        """Crop windows (N, R, 4), integers. From a map or a point they follow by the cropper's rule.

        Raises:
            InvalidInputError: Ratios other than those the callable answers for, where it returns crops.
        """
        chosen = self.ratios if ratios is None else check_ratios(ratios)
        answer = self.predict(x)
        if self.returns == "crops":
            if not set(chosen) <= set(self.ratios):
                raise InvalidInputError(f"ratios: this model answers for {self.ratios} only, not {chosen}")
            return np.rint(answer[:, [self.ratios.index(ratio) for ratio in chosen]]).astype(np.int64)
        size = self._size(x)
        if self.returns == "map":
            output = self._map_output(x, answer)
            positions = PlainRule(self.log_density).positions((answer.shape[1], answer.shape[2]), size)
            return crops_of(answer, positions, size, output.symmetric().numpy(), chosen)[1]
        windows = [[crop_window(*size, (int(p[0]), int(p[1])), ratio) for ratio in chosen] for p in answer]
        return np.array(windows, np.int64)

    def judge(self, x: Array, objective: PeakInRegion | CropContainsRegion) -> Array:
        """Success (N,) bool of an objective, one query a photo, whatever the model answers with.

        Raises:
            InvalidInputError: An objective that these answers cannot decide (a peak in a region, from crop windows; a
                column peak, from points), or that speaks of more or fewer photos.
        """
        if len(objective) != len(x):
            raise InvalidInputError(f"objective: it speaks of {len(objective)} photos, x holds {len(x)}")
        answer = self.predict(x)
        if self.returns == "map":
            return objective(self._map_output(x, answer)).success.numpy()
        size = self._size(x)
        if isinstance(objective, CropContainsRegion):
            if self.returns == "crops" and not set(objective.ratios) <= set(self.ratios):
                raise InvalidInputError(f"ratios: this model answers for {self.ratios} only, not {objective.ratios}")
            return np.array(
                [self._shows(row, r, objective.ratios, size) for row, r in zip(answer, objective.regions, strict=True)]
            )
        if self.returns == "point" and objective.by == "cell":
            boxes = [region.pixels(*size) for region in objective.regions]
            return np.array(
                [b[0] <= p[0] <= b[2] and b[1] <= p[1] <= b[3] for p, b in zip(answer, boxes, strict=True)], bool
            )
        raise InvalidInputError(
            f"objective: a model that returns {self.returns} cannot decide where its map has a peak"
        )

    def _shows(self, row: Array, region: Region, ratios: Sequence[float], size: tuple[int, int]) -> bool:
        if self.returns == "crops":
            windows = [Window(*np.rint(row[self.ratios.index(ratio)]).astype(int).tolist()) for ratio in ratios]
        else:
            windows = [crop_window(*size, (int(row[0]), int(row[1])), ratio) for ratio in ratios]
        return all(window_contains(window, region, *size) for window in windows)


class BlackBoxQualityRegressor(_BlackBox):
    """A quality model that can only be asked: any callable from photos to scores (n,) or (n, 1).

    Args:
        predict_fn: Photos float32 in ``clip_values`` -> scores.
        score_range: Lowest and highest score of the scale.
        higher_is_better: Whether a higher score is a better photo.
        **kwargs: ``input_shape``, ``clip_values``, ``channels_first``, ``max_queries``, ART's preprocessing and
            postprocessing.
    """

    def __init__(
        self,
        predict_fn: Callable[[Array], Any],
        *,
        score_range: tuple[float, float] = (0.0, 100.0),
        higher_is_better: bool = True,
        **kwargs: Any,
    ) -> None:
        self.score_range, self.higher_is_better = check_range(score_range, "score_range"), higher_is_better
        super().__init__(predict_fn, **kwargs)

    def _checked(self, answer: Array, count: int) -> Array:
        _finite(answer, f"({count},) or ({count}, 1)", answer.shape in ((count,), (count, 1)))
        return answer.reshape(count)

    def judge(self, x: Array, objective: ScoreBeyond) -> Array:
        """Success (N,) bool of an objective, one query a photo."""
        return objective(torch.from_numpy(self.predict(x))).success.numpy()
