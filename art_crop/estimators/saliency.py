"""ART estimator for saliency-map regressors: the models behind automatic cropping."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor, nn

from art_crop.checks import check_choice
from art_crop.errors import InvalidInputError
from art_crop.estimators.passes import check_finite
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.geometry import DEFAULT_RATIOS, check_ratios
from art_crop.images.encoding import Jpeg
from art_crop.models.cropper import CellPositions, Cropper, FilePrediction, file_prediction
from art_crop.objectives import MapDistance, SaliencyOutput, Verdict
from art_crop.objectives.crops import windows_of

__all__ = ["PlainRule", "PyTorchSaliencyRegressor", "crops_of"]

Array = np.ndarray[Any, Any]


class PlainRule:
    """For a saliency network that is no deployed cropper: cells in the middle of equal tiles, no symmetry rule."""

    def __init__(self, log_density: bool) -> None:
        self.log_density = log_density

    def positions(self, shape: tuple[int, int], size: tuple[int, int]) -> CellPositions:
        """Place the cells of a map (h, w) in a photo (width, height)."""
        x = (np.arange(shape[1], dtype=np.float32) + np.float32(0.5)) * np.float32(size[0] / shape[1])
        y = (np.arange(shape[0], dtype=np.float32) + np.float32(0.5)) * np.float32(size[1] / shape[0])
        return CellPositions(x, y)

    def halvings(self, size: tuple[int, int]) -> int:
        """Count none: the network takes every pixel as it is."""
        return 0

    def output(self, saliency: Tensor, size: tuple[int, int]) -> SaliencyOutput:
        """Make of maps (N, h, w) for photos (width, height) what objectives are called with."""
        where = self.positions((saliency.shape[1], saliency.shape[2]), size)
        never = saliency.new_ones(len(saliency))
        return SaliencyOutput(saliency, where.x, where.y, size, lambda: never, self.log_density)


def crops_of(output: SaliencyOutput, ratios: Sequence[float]) -> tuple[Array, Array]:
    """Find salient points (N, 2) and crop windows (N, R, 4), integers, in pixels of the photos."""
    points, windows = windows_of(output, ratios)
    return np.array(points, np.int64), np.array(windows, np.int64).reshape(len(points), len(ratios), 4)


class PyTorchSaliencyRegressor(TorchEstimator, RegressorMixin):
    """A white-box saliency model: photos -> saliency maps, salient points and crops.

    Example:
        >>> import numpy as np, art_crop
        >>> estimator = art_crop.load_model("gaze-lite")
        >>> estimator.predict(np.zeros((1, 3, 480, 640), np.float32)).shape
        (1, 15, 20)

    Args:
        model: A :class:`~art_crop.models.cropper.Cropper`, or any module (N, 3, H, W) -> map (N, h, w) or (N, 1, h, w).
        log_density: For modules that are no ``Cropper``: whether exp(map) is the density, or the map itself (>= 0).
        loss: What ``loss_gradient(x, y)`` and ``compute_loss`` mean for maps y (N, h, w): ``"mse"``, the sum of squared
            differences, or ``"kl"``, KL(softmax(y) || softmax(map)).
        **kwargs: As for every torch estimator here: ``input_shape``, ``clip_values``, ``channels_first``, ``device``,
            ``micro_batch``, ``gradient_dtype``, ART's preprocessing and postprocessing.
    """

    task = "saliency"
    estimator_params: ClassVar[list[str]] = [*TorchEstimator.estimator_params, "loss", "log_density"]
    _full_size: tuple[int, int] | None = None

    def __init__(
        self, model: nn.Module, *, log_density: bool = False, loss: Literal["mse", "kl"] = "mse", **kwargs: Any
    ) -> None:
        self.loss, self.log_density = loss, log_density
        super().__init__(model, **kwargs)

    @property
    def rule(self) -> Cropper | PlainRule:
        """Where cells stand and which photos count as symmetric: the model's own rules, if it is a ``Cropper``."""
        return self.model if isinstance(self.model, Cropper) else PlainRule(self.log_density)

    def _check_params(self) -> None:
        check_choice(self.loss, "loss", ("mse", "kl"))
        super()._check_params()

    # -- from photos to maps -------------------------------------------------------------------------------------------

    def _encoded_output(self, x: Tensor) -> SaliencyOutput:
        """Maps for photos (n, 3, H, W), in a file's order.

        A cropper without defences decodes a JPEG at a fraction of its size; defences want all of its pixels.
        """
        quality = self._encoding_quality
        if not isinstance(self.model, Cropper) or (quality is not None and self.defences):
            seen: SaliencyOutput = super()._encoded_output(x)
            return seen
        size = self._full_size or (x.shape[-1], x.shape[-2])
        return self.model.output(self.model.levels(self._unit(self._defended(x)), size, quality), size)

    @property
    def _encoding_quality(self) -> int | Jpeg | None:
        own = self.model.jpeg_quality if isinstance(self.model, Cropper) else None
        return own if self.jpeg_quality is None else self.jpeg_quality

    def _through_jpeg(self, x: Tensor) -> Tensor:
        twin = copy.copy(self)
        twin.jpeg_quality = self._encoding_quality
        return TorchEstimator._through_jpeg(twin, x)

    def _unit(self, x: Tensor) -> Tensor:
        low, high = (float(value) for value in self.clip_values)
        return x if (low, high) == (0, 1) else (x - low) / (high - low)

    def _output(self, x: Tensor) -> SaliencyOutput:
        size = (x.shape[-1], x.shape[-2])
        if isinstance(self.model, Cropper):
            lossless = copy.copy(self.model)
            lossless.jpeg_quality = None
            return self.model.output(lossless.levels(self._unit(x), size), size)
        saliency = self._run(x)
        if saliency.numel() == 0 or not (saliency.ndim == 3 or (saliency.ndim == 4 and saliency.shape[1] == 1)):
            raise InvalidInputError(
                f"model: an output (N, h, w) or (N, 1, h, w) is needed, not {tuple(saliency.shape)}"
            )
        maps = saliency[:, 0] if saliency.ndim == 4 else saliency
        return PlainRule(self.log_density).output(maps, size)

    @property
    def _minus_infinity(self) -> bool:
        return self.rule.log_density  # a density of 0

    def _prediction(self, output: SaliencyOutput) -> Tensor:
        return output.saliency

    def _distance(self, y: Tensor) -> MapDistance:
        return MapDistance(y, self.loss)

    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        nowhere = np.zeros(0, np.float32)
        return self._distance(y)(SaliencyOutput(prediction, nowhere, nowhere, (0, 0), lambda: prediction[:, 0, 0]))

    @staticmethod
    def _joined(parts: list[SaliencyOutput]) -> SaliencyOutput:
        asymmetry = torch.cat([part.asymmetry() for part in parts])
        saliency, first = torch.cat([part.saliency for part in parts]), parts[0]
        return SaliencyOutput(saliency, first.x, first.y, first.size, lambda: asymmetry, first.log_density)

    # -- the same model elsewhere --------------------------------------------------------------------------------------

    def halvings(self, size: tuple[int, int]) -> int:
        """Count the 2x2 halvings with which the model begins on photos (width, height); 0: it takes every pixel.

        Search at the size after them, with :meth:`at_reduced_size`, costs a fraction and decides the same.
        """
        plain = self._encoding_quality is None and not self.preprocessing_operations
        return self.rule.halvings(size) if plain else 0

    def at_reduced_size(self, size: tuple[int, int]) -> PyTorchSaliencyRegressor:
        """Give this cropper as it sees photos (width, height) after its halvings; weights are shared.

        Positions, crops and verdicts are those of the photos of that size.
        """
        twin = copy.copy(self)
        twin._full_size = size
        return twin

    # -- salient points and crops --------------------------------------------------------------------------------------

    def salient_points(self, x: Array) -> Array:
        """Find the salient point (x, y) of each photo, integers (N, 2), pixels."""
        return crops_of(self.output(x), (1.0,))[0]

    def crop(self, x: Array, ratios: Sequence[float] = DEFAULT_RATIOS) -> Array:
        """Find crop windows left, top, width, height of each photo and ratio, integers (N, R, 4), pixels.

        Raises:
            InvalidInputError: As ``predict``; a ratio that is not positive and finite.
        """
        return crops_of(self.output(x), check_ratios(ratios))[1]

    def output_of_file(self, path: str | Path) -> SaliencyOutput:
        """Predict the map of a file by the exact pipeline, decoding included, behind the defences.

        For a :class:`~art_crop.models.cropper.Cropper` without defences that is the deployed program's; behind defences
        it decodes all pixels, turns them upright, and hands on what the defences make of them.

        Raises:
            ImageFileError: Not a readable photo.
        """
        if not isinstance(self.model, Cropper) or self.preprocessing_operations:
            seen: SaliencyOutput = super().output_of_file(path)
            return seen
        with self._running():
            output = self.model.output_of_file(path)
            check_finite(self.model, output.saliency, output.saliency.new_zeros(1, 1), minus_infinity=True)
            return output

    def predict_file(self, path: str | Path, ratios: Sequence[float] | None = None) -> FilePrediction:
        """Predict salient point, crops and map of a file, by :meth:`output_of_file`.

        Args:
            path: A photo.
            ratios: Aspect ratios (height / width); default: the reference program's 0.56, 1, 1.14, 2 and the photo's
                own.

        Raises:
            ImageFileError: Not a readable photo.
            InvalidInputError: A ratio that is not positive and finite.
        """
        if ratios is not None:
            check_ratios(ratios)
        return file_prediction(self.output_of_file(path), ratios)
