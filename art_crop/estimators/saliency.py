"""ART estimator for saliency-map regressors: the models behind automatic cropping."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.checks import check_choice, check_int
from art_crop.errors import InvalidInputError
from art_crop.estimators.placement import frozen
from art_crop.estimators.torch_regressor import TorchRegressor
from art_crop.functional.gradcam import grad_cam
from art_crop.functional.precision import exact_float32
from art_crop.geometry import DEFAULT_RATIOS, Window, check_ratios, crop_window
from art_crop.models.cropper import CellPositions, Cropper, FilePrediction
from art_crop.objectives import MapDistance, Objective, SaliencyOutput, Verdict, evidence

__all__ = ["PyTorchSaliencyRegressor", "crops_of"]

Array = np.ndarray[Any, Any]
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Softplus, nn.Sigmoid, nn.Tanh)


class PlainRule:
    """For a saliency network that is no deployed cropper: cells in the middle of equal tiles, no symmetry rule."""

    def __init__(self, log_density: bool) -> None:
        self.log_density = log_density

    def positions(self, shape: tuple[int, int], size: tuple[int, int]) -> CellPositions:
        """Where the cells of a map (h, w) stand in a photo (width, height)."""
        x = (np.arange(shape[1], dtype=np.float32) + np.float32(0.5)) * np.float32(size[0] / shape[1])
        y = (np.arange(shape[0], dtype=np.float32) + np.float32(0.5)) * np.float32(size[1] / shape[0])
        return CellPositions(x, y)

    def halvings(self, size: tuple[int, int]) -> int:
        """None: the network takes every pixel as it is."""
        return 0

    def symmetric(self, x: Tensor) -> Tensor:
        """No photo counts as symmetric."""
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)


def crops_of(
    saliency: Array, positions: CellPositions, size: tuple[int, int], symmetric: Array, ratios: Sequence[float]
) -> tuple[Array, Array]:
    """Salient points (N, 2) and crop windows (N, R, 4), integers, of raw maps (N, h, w) for photos of one size."""
    points = np.empty((len(saliency), 2), np.int64)
    windows = np.empty((len(saliency), len(ratios), 4), np.int64)
    for i, one in enumerate(saliency):
        row, column = np.unravel_index(int(one.argmax()), one.shape)
        points[i] = int(positions.x[column]), int(positions.y[row])
        for k, ratio in enumerate(ratios):
            point = (int(points[i, 0]), int(points[i, 1]))
            windows[i, k] = crop_window(*size, point, ratio, symmetric=bool(symmetric[i]))
    return points, windows


class PyTorchSaliencyRegressor(TorchRegressor):
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
        **kwargs: As for every torch regressor here: ``input_shape``, ``clip_values``, ``channels_first``, ``device``,
            ``micro_batch``, ``gradient_dtype``, ART's preprocessing and postprocessing.
    """

    estimator_params: ClassVar[list[str]] = [*TorchRegressor.estimator_params, "loss", "log_density"]

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

    def _output(self, x: Tensor) -> SaliencyOutput:
        low, high = (float(value) for value in self.clip_values)
        if isinstance(self.model, Cropper) and (low, high) != (0, 1):
            x = (x - low) / (high - low)
        saliency = self.model(x)
        if not isinstance(saliency, Tensor) or not (
            saliency.ndim == 3 or (saliency.ndim == 4 and saliency.shape[1] == 1)
        ):
            shape = tuple(saliency.shape) if isinstance(saliency, Tensor) else type(saliency).__name__
            raise InvalidInputError(f"model: an output (N, h, w) or (N, 1, h, w) is needed, not {shape}")
        saliency = (saliency[:, 0] if saliency.ndim == 4 else saliency).float()
        size = (x.shape[-1], x.shape[-2])
        positions = self.rule.positions((saliency.shape[1], saliency.shape[2]), size)
        return SaliencyOutput(
            saliency, positions.x, positions.y, size, lambda: self.rule.symmetric(x), self.rule.log_density
        )

    def _prediction(self, output: SaliencyOutput) -> Tensor:
        return output.saliency

    def _distance(self, y: Tensor) -> MapDistance:
        return MapDistance(y, self.loss)

    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        nowhere = np.zeros(0, np.float32)
        return self._distance(y)(SaliencyOutput(prediction, nowhere, nowhere, (0, 0), lambda: prediction[:, 0, 0] < 0))

    def output(self, x: Array) -> SaliencyOutput:
        """Everything that objectives judge, for numpy photos: maps, cell positions, symmetry."""
        tensor = self.to_tensor(x)
        with frozen(self.model), exact_float32(self.device), torch.no_grad():
            parts = [self.forward_output(tensor[chunk]) for chunk in self.chunks(len(tensor))]
            symmetric = torch.cat([part.symmetric() for part in parts])
        saliency = torch.cat([part.saliency for part in parts])
        first = parts[0]
        return SaliencyOutput(saliency, first.x, first.y, first.size, lambda: symmetric, first.log_density)

    def after_jpeg(self, quality: int) -> PyTorchSaliencyRegressor:
        """This cropper as it sees photos that were saved as JPEGs of a quality (1 to 100) first; weights are shared.

        A model that is no :class:`~art_crop.models.cropper.Cropper` has no such path and comes back as it is.
        """
        if not isinstance(self.model, Cropper):
            return self
        check_int(quality, "quality", at_least=1, at_most=100)
        twin, model = copy.copy(self), copy.copy(self.model)
        model.jpeg_quality = quality
        twin._model = model
        return twin

    def grad_cam(self, x: Tensor, objective: Objective, layer: str | None = None) -> Tensor:
        """Grad-CAM maps (N, 1, H, W) in [0, 1] of what speaks for the objective, for tensor photos.

        The score that is explained is :func:`~art_crop.objectives.evidence`: the greatest value of the raw map in the
        region, as Grad-CAM's paper takes a class's score before the softmax.

        Args:
            x: Photos (N, 3, H, W).
            objective: The wish.
            layer: Module whose activations are weighted; None: the last convolution of 8 or more channels, after its
                activation function where that follows it.

        Raises:
            InvalidInputError: No such layer, or one that gives no activations (N, C, h, w) for the objective.
        """
        module = _cam_layer(self.model, layer)
        cams = []
        with frozen(self.model), exact_float32(self.device):
            for chunk in self.chunks(len(x)):
                wish = objective.take(range(len(x))[chunk])

                def score(photos: Tensor, wish: Objective = wish) -> Tensor:
                    return evidence(wish, self.forward_output(photos))

                cams.append(grad_cam(score, module, x[chunk].to(self.device)))
        return torch.cat(cams)

    def salient_points(self, x: Array) -> Array:
        """Salient point (x, y) of each photo, integers (N, 2), pixels."""
        return self._crops(self.output(x), (1.0,))[0]

    def crop(self, x: Array, ratios: Sequence[float] = DEFAULT_RATIOS) -> Array:
        """Crop windows left, top, width, height of each photo and ratio, integers (N, R, 4), pixels.

        Raises:
            InvalidInputError: As ``predict``; a ratio that is not positive and finite.
        """
        return self._crops(self.output(x), check_ratios(ratios))[1]

    def _crops(self, output: SaliencyOutput, ratios: Sequence[float]) -> tuple[Array, Array]:
        positions = CellPositions(output.x, output.y)
        symmetric = output.symmetric().cpu().numpy()
        return crops_of(output.saliency.cpu().numpy(), positions, output.size, symmetric, ratios)

    def predict_file(self, path: str | Path, ratios: Sequence[float] | None = None) -> FilePrediction:
        """What the model makes of a file.

        For a :class:`~art_crop.models.cropper.Cropper`: the deployed program's exact pipeline, decoding included; no
        preprocessing and no defences. For any other model: the upright photo through the same path as :meth:`output`.

        Args:
            path: A photo.
            ratios: Aspect ratios (height / width); default: the reference program's 0.56, 1, 1.14, 2 and the photo's
                own.

        Raises:
            ImageFileError: Not a readable photo.
            InvalidInputError: A ratio that is not positive and finite.
        """
        if isinstance(self.model, Cropper):
            with frozen(self.model):
                return self.model.predict_file(path, ratios)
        from art_crop.images import load_photo

        pixels = load_photo(path).pixels
        height, width = pixels.shape[:2]
        chosen = check_ratios((*DEFAULT_RATIOS, height / width) if ratios is None else ratios)
        low, high = self.clip_values
        x = np.float32(low) + pixels[None].astype(np.float32) * np.float32((high - low) / 255)
        x = x.transpose(0, 3, 1, 2) if self.channels_first else x
        output = self.output(x)
        points, windows = self._crops(output, chosen)
        return FilePrediction(
            (int(points[0, 0]), int(points[0, 1])),
            tuple(Window(*map(int, window)) for window in windows[0]),
            output.saliency[0].cpu().numpy(),
            False,
            (width, height),
        )


def _cam_layer(model: nn.Module, layer: str | None) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if layer is not None:
        if layer not in modules:
            raise InvalidInputError(
                f"layer: the name of a module is needed, not {layer!r}: {', '.join(filter(None, modules))}"
            )
        return modules[layer]
    listed = [module for module in modules.values() if not list(module.children())]
    wide = [k for k, m in enumerate(listed) if isinstance(m, nn.Conv2d) and m.out_channels >= 8]
    if not wide:
        raise InvalidInputError("layer: this model has no convolution of 8 or more channels; name a layer for Grad-CAM")
    after = [module for module in listed[wide[-1] + 1 :] if not isinstance(module, nn.BatchNorm2d)][:1]
    return after[0] if after and isinstance(after[0], ACTIVATIONS) else listed[wide[-1]]
