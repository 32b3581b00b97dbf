"""Query-only estimators: a model that can be asked and not looked into, and that counts how often it was asked."""

from __future__ import annotations

import threading
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.estimators.estimator import BaseEstimator, NeuralNetworkMixin
from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor

from art_crop.checks import check_choice, check_clip_values, check_int, reject_unknown
from art_crop.errors import InvalidInputError, QueryLimitError
from art_crop.estimators.base import (
    Evaluation,
    check_keywords,
    check_objective,
    check_photos,
    check_scale,
    check_shape_and_range,
    default_input_shape,
    photo_batch,
    set_params_or_none,
)
from art_crop.estimators.passes import NotFiniteError, photos_numbered
from art_crop.estimators.saliency import PlainRule, crops_of
from art_crop.geometry import DEFAULT_RATIOS, Window, check_ratios, crop_window
from art_crop.models.cropper import FilePrediction, file_prediction
from art_crop.objectives import BoxOutput, SaliencyOutput

__all__ = ["BlackBox", "BlackBoxQualityRegressor", "BlackBoxSaliencyRegressor"]

Array = np.ndarray[Any, Any]
Answer = Literal["map", "point", "crops"]
_AT_ONCE = 16
_COUNTING = threading.Lock()


class BlackBox(RegressorMixin, NeuralNetworkMixin, BaseEstimator):
    """A callable asked in batches; one query is one photo.

    ``NeuralNetworkMixin`` is there because ART's query attacks ask for it; there is no gradient.

    Args:
        predict_fn: Photos in the layout of ``channels_first``, float32 in ``clip_values`` -> an answer a photo.
        input_shape: Shape of a photo; -1 where any height or width is accepted.
        clip_values: Lowest and highest value of a pixel.
        channels_first: Whether photos are (N, 3, H, W) or (N, H, W, 3).
        max_queries: How many photos may be asked about; None: any number.
        preprocessing_defences: ART preprocessors before the callable.
        postprocessing_defences: ART postprocessors on its answers.
        preprocessing: ART's (mean, std) or preprocessor.

    Raises:
        InvalidInputError: An argument that is none of these.
    """

    task: str = ""
    name: str | None = None
    weights_sha256: str | None = None
    slack: float = 1e-5
    device = torch.device("cpu")
    _promised = 0
    """Queries that calls in progress have set aside and not asked yet."""
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
        check_shape_and_range(self)
        if not callable(self.model):
            raise InvalidInputError(f"predict_fn: a callable is needed, not {type(self.model).__name__}")
        if self.max_queries is not None:
            check_int(self.max_queries, "max_queries", at_least=1)

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none.

        Raises:
            InvalidInputError: An unknown name or a value that is not allowed.
        """
        set_params_or_none(self, super().set_params, kwargs)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one photo in this estimator's layout; -1 where any height or width is accepted."""
        return self._input_shape

    def reset_queries(self) -> None:
        """Start counting from 0 again."""
        self.query_count = 0

    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        """Ask about photos: answers float32, one row a photo; each photo is one query; tensor in, tensor out.

        Raises:
            InvalidInputError: Photos of a wrong layout, type or range; an answer of a wrong shape or not finite.
            QueryLimitError: More photos than ``max_queries`` leaves; none of them is asked about.
        """
        check_keywords(kwargs, "predict")
        check_int(batch_size, "batch_size", at_least=1)
        if isinstance(x, Tensor):
            return torch.from_numpy(self.predict(self.to_array(x), batch_size)).to(x.device)
        x = check_photos(self, x)
        left = self._promise(len(x))
        rows = []
        try:
            for start in range(0, len(x), batch_size):
                # x is a copy already: somebody else's function cannot change the caller's photos.
                batch, _ = self._apply_preprocessing(x[start : start + batch_size], None, fit=False)
                self._count(len(batch))
                left -= len(batch)
                with photos_numbered(range(start, start + len(batch))):
                    answer = _numbers(self.model(np.array(batch, np.float32, order="C")))
                    rows.append(self._checked(answer, len(batch)))
        finally:
            with _COUNTING:
                self._promised -= left
        if len({row.shape[1:] for row in rows}) > 1:
            raise InvalidInputError(
                "predict_fn: answers of one shape are needed, not of several for photos of one size"
            )
        answers: Array = self._apply_postprocessing(np.concatenate(rows), fit=False)
        return answers

    def _promise(self, count: int) -> int:
        """Set queries aside, for several threads may ask at once and together not exceed the limit."""
        with _COUNTING:
            if self.max_queries is not None and self.query_count + self._promised + count > self.max_queries:
                raise QueryLimitError(
                    f"{count} more queries after {self.query_count} would exceed the limit of {self.max_queries} "
                    "(max_queries)"
                )
            self._promised += count
        return count

    def _count(self, count: int) -> None:
        """Count queries that were set aside."""
        with _COUNTING:
            self.query_count += count
            self._promised -= count

    @abstractmethod
    def _checked(self, answer: Array, count: int) -> Array:
        """An answer for ``count`` photos, of the right shape."""

    @abstractmethod
    def _as_output(self, answer: Array, size: tuple[int, int]) -> Any:
        """What objectives are called with, from answers for photos (width, height)."""

    def output(self, x: Tensor | Array) -> Any:
        """Ask about photos, numpy or tensor, and give what objectives are called with; each photo is one query."""
        x = self.to_array(x) if isinstance(x, Tensor) else x
        answer = self.predict(x)
        return self._as_output(answer, (x.shape[3], x.shape[2]) if self.channels_first else (x.shape[2], x.shape[1]))

    def output_of_file(self, path: str | Path) -> Any:
        """Ask about a file's upright photo, behind the defences, and give what objectives are called with.

        Raises:
            ImageFileError: Not a readable photo.
        """
        return self.output(self.to_array(photo_batch(path, self)))

    def evaluate(self, x: Tensor | Array, objective: Any) -> Evaluation:
        """Ask about photos, and compute loss and success (N,); each photo is one query.

        Args:
            x: Tensor photos (N, 3, H, W), or numpy photos in the estimator's layout.
            objective: For N photos.

        Raises:
            InvalidInputError: As ``predict``; an objective for another task or other photos, or that answers of this
                kind cannot decide (a peak in a region, from crop windows).
            QueryLimitError: As ``predict``.
        """
        photos = self.to_array(x) if isinstance(x, Tensor) else x
        check_objective(objective, len(photos), self.task)
        verdict = objective(self.output(photos))
        return Evaluation(verdict.loss, verdict.success)

    def evaluate_file(self, path: str | Path, objective: Any) -> Evaluation:
        """Ask about a file, and compute loss and success, (1,) each; errors as :meth:`evaluate`."""
        check_objective(objective, 1, self.task)
        verdict = objective(self.output_of_file(path))
        return Evaluation(verdict.loss, verdict.success)

    def judge(self, x: Array, objective: Any) -> Array:
        """Tell success (N,) bool: an old name for ``evaluate(x, objective).success``."""
        warnings.warn("judge: use evaluate(x, objective).success", DeprecationWarning, stacklevel=2)
        return self.evaluate(x, objective).success.numpy()

    # -- photos in and out, as for the torch estimators ----------------------------------------------------------------

    def chunks(self, count: int, at_most: int | None = None) -> list[slice]:
        """Divide photos into those that are asked about at once."""
        size = min(_AT_ONCE, at_most or _AT_ONCE)
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def to_tensor(self, x: Array | Tensor, name: str = "x") -> Tensor:
        """Check photos, numpy or tensor, and give them as a float32 tensor (N, 3, H, W); errors as ``predict``."""
        photos = check_photos(self, self.to_array(x) if isinstance(x, Tensor) else x, name)
        return torch.from_numpy(np.ascontiguousarray(photos if self.channels_first else photos.transpose(0, 3, 1, 2)))

    def to_array(self, x: Tensor) -> Array:
        """Turn tensor photos (N, 3, H, W) into numpy ones in this estimator's layout."""
        array: Array = x.detach().cpu().numpy()
        return array if self.channels_first else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    # -- what ART asks for ---------------------------------------------------------------------------------------------

    def fit(self, x: Array, y: Any, **kwargs: Any) -> None:
        """Not possible: the model can only be asked."""
        raise NotImplementedError("a query-only model cannot be trained")

    def compute_loss(self, x: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Compute the sum of squared differences between answer and ``y``, per photo (N,), or their mean or sum."""
        reject_unknown(kwargs, (), "compute_loss")
        return self.compute_loss_from_predictions(self.predict(x), y, reduction)

    def compute_loss_from_predictions(self, pred: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Compute the sum of squared differences between answers and ``y``, per photo (N,), or their mean or sum.

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
    if not good:
        raise InvalidInputError(f"predict_fn: finite answers of shape {expected} are needed, not {answer.shape}")
    bad = ~np.isfinite(answer).reshape(len(answer), -1).all(1)
    if bad.any():
        what = f"predict_fn: finite answers of shape {expected} are needed; it gives NaN or infinity"
        raise NotFiniteError(what, np.flatnonzero(bad).tolist())
    return answer


class BlackBoxSaliencyRegressor(BlackBox):
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

    task = "saliency"

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

    @property
    def rule(self) -> PlainRule:
        """Where the cells of its maps stand."""
        return PlainRule(self.log_density)

    def _checked(self, answer: Array, count: int) -> Array:
        if self.returns == "map":
            return _finite(answer, f"({count}, h, w)", answer.ndim == 3 and len(answer) == count)
        expected = (count, 2) if self.returns == "point" else (count, len(self.ratios), 4)
        return _finite(answer, str(expected), answer.shape == expected)

    def _as_output(self, answer: Array, size: tuple[int, int]) -> SaliencyOutput | BoxOutput:
        if self.returns == "map":
            return self.rule.output(torch.from_numpy(answer), size)
        if self.returns == "point":
            return BoxOutput(size, points=torch.from_numpy(answer))
        return BoxOutput(size, windows=torch.from_numpy(answer), ratios=self.ratios)

    def crop(self, x: Array, ratios: Sequence[float] | None = None) -> Array:
        """Find crop windows (N, R, 4), integers. From a map or a point they follow by the cropper's rule.

        Raises:
            InvalidInputError: Ratios other than those the callable answers for, where it returns crops.
        """
        return self._windows(self.output(x), self.ratios if ratios is None else check_ratios(ratios))

    def _windows(self, output: SaliencyOutput | BoxOutput, ratios: Sequence[float]) -> Array:
        if isinstance(output, SaliencyOutput):
            return crops_of(output, ratios)[1]
        if output.windows is not None:
            if not set(ratios) <= set(output.ratios):
                raise InvalidInputError(f"ratios: this model answers for {output.ratios} only, not {tuple(ratios)}")
            chosen = output.windows[:, [output.ratios.index(ratio) for ratio in ratios]]
            whole: Array = np.rint(chosen.numpy()).astype(np.int64)
            return whole
        assert output.points is not None
        points = [(int(x), int(y)) for x, y in output.points.tolist()]
        return np.array([[crop_window(*output.size, point, ratio) for ratio in ratios] for point in points], np.int64)

    def predict_file(self, path: str | Path, ratios: Sequence[float] | None = None) -> FilePrediction:
        """Ask about a file, and give salient point, crops and map, as far as the model tells them.

        Where it answers with crops alone, the salient point is the middle of the first, and the map is of size 0.

        Raises:
            ImageFileError: Not a readable photo.
            InvalidInputError: A ratio for which the model does not answer.
        """
        output = self.output_of_file(path)
        chosen = self.ratios if ratios is None else check_ratios(ratios)
        if isinstance(output, SaliencyOutput):
            return file_prediction(output, chosen)
        windows = tuple(Window(*map(int, row)) for row in self._windows(output, chosen)[0])
        first = windows[0]
        point = (first.left + first.width // 2, first.top + first.height // 2)
        if output.points is not None:
            point = (int(output.points[0, 0]), int(output.points[0, 1]))
        return FilePrediction(point, windows, np.zeros((0, 0), np.float32), False, output.size)


class BlackBoxQualityRegressor(BlackBox):
    """A quality model that can only be asked: any callable from photos to scores (n,) or (n, 1).

    Args:
        predict_fn: Photos float32 in ``clip_values`` -> scores.
        score_range: Lowest and highest score of the scale.
        higher_is_better: Whether a higher score is a better photo.
        **kwargs: ``input_shape``, ``clip_values``, ``channels_first``, ``max_queries``, ART's preprocessing and
            postprocessing.
    """

    task = "quality"
    estimator_params: ClassVar[list[str]] = [*BlackBox.estimator_params, "score_range", "higher_is_better"]

    def __init__(
        self,
        predict_fn: Callable[[Array], Any],
        *,
        score_range: tuple[float, float] = (0.0, 100.0),
        higher_is_better: bool = True,
        **kwargs: Any,
    ) -> None:
        self.score_range, self.higher_is_better = score_range, higher_is_better
        super().__init__(predict_fn, **kwargs)

    def _check_params(self) -> None:
        check_scale(self)
        super()._check_params()

    def _checked(self, answer: Array, count: int) -> Array:
        _finite(answer, f"({count},) or ({count}, 1)", answer.shape in ((count,), (count, 1)))
        return answer.reshape(count)

    def _as_output(self, answer: Array, size: tuple[int, int]) -> Tensor:
        return torch.from_numpy(answer)

    def predict_file(self, path: str | Path) -> float:
        """Ask about a file, and give its score.

        Raises:
            ImageFileError: Not a readable photo.
        """
        return float(self.output_of_file(path)[0])
