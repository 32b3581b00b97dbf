"""The shared base of all torch estimators: one gradient path, per sample, and the model left as it was found.

ART's own torch estimators average losses over the batch, compute parameter gradients on the way and leave the model in
another mode; attacks on photos want none of that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from art_crop.checks import check_int
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import layer_called, layer_names, watched
from art_crop.estimators.defended import apply_step
from art_crop.estimators.photo_estimator import check_keywords
from art_crop.estimators.placement import frozen
from art_crop.estimators.torch_model import TorchModel
from art_crop.functional.precision import exact_float32, gradient_autocast
from art_crop.objectives import Objective

__all__ = ["Evaluation", "TorchPhotoEstimator"]

Array = np.ndarray[Any, Any]


class Evaluation(NamedTuple):
    """Per sample: loss (N,), success (N,) decided in float32, and the loss's gradient, shaped like x (None without)."""

    loss: Tensor
    success: Tensor
    gradient: Tensor | None


class TorchPhotoEstimator(TorchModel):
    """From photos to outputs, losses and gradients; the arguments are those of :class:`TorchModel`."""

    @abstractmethod
    def _output(self, x: Tensor) -> Any:
        """What objectives judge, for photos (n, 3, H, W) on the model's device, after the defences."""

    @abstractmethod
    def _prediction(self, output: Any) -> Tensor:
        """The part of ``_output`` that ``predict`` returns, (n, ...) float32."""

    def _check_keywords(self, kwargs: dict[str, Any], where: str) -> None:
        """Refuse what ART's attacks never pass to an estimator of this kind."""
        check_keywords(kwargs, where)

    def forward_output(self, x: Tensor) -> Any:
        """What objectives judge, for a micro-batch of tensor photos (n, 3, H, W), defences applied; keeps the graph."""
        for step in self.preprocessing_operations:
            if step.apply_predict:
                x = apply_step(x, step)
        return self._output(x)

    def chunks(self, count: int, at_most: int | None = None) -> list[slice]:
        """The micro-batches in which ``count`` photos go through the model."""
        size = self.micro_batch or (1 if self.device.type == "cpu" else 16)
        size = min(size, at_most or size)
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def value_and_gradient(self, x: Tensor, objective: Objective, *, decide: bool = True) -> Evaluation:
        """Loss, success and the loss's gradient for photos (N, 3, H, W), in micro-batches; memory does not grow with N.

        With ``gradient_dtype="bfloat16"`` a success that bfloat16 sees is confirmed in float32, by a forward pass; not
        with ``decide=False``, for callers that will not ask.

        Raises:
            InvalidInputError: ``x`` is no floating-point tensor of at least one photo; the objective speaks of other
                photos; the model's output does not depend on the photo in a way that can be differentiated.
        """
        _check_tensor(x, self._channels)
        _check_count(objective, len(x))
        dtype = self._autocast
        losses, successes, gradients = [], [], []
        with ExitStack() as stack:
            stack.enter_context(frozen(self.model))
            stack.enter_context(exact_float32(self.device))
            stack.enter_context(torch.enable_grad())
            for chunk in self.chunks(len(x)):
                part = x[chunk].detach().to(self.device).requires_grad_()
                wish = objective.take(range(len(x))[chunk])
                with gradient_autocast(self.device, dtype):
                    output = self.forward_output(part)
                verdict = wish(output)
                if not verdict.loss.requires_grad:
                    raise InvalidInputError("model: its output has no gradient with respect to the photo")
                (gradient,) = torch.autograd.grad(verdict.loss.sum(), part)
                losses.append(verdict.loss.detach())
                successes.append(verdict.success)
                gradients.append(gradient)
        success = torch.cat(successes)
        if decide and dtype != torch.float32 and success.any():
            seen = success.nonzero()[:, 0].tolist()
            success[seen] = self.evaluate(x[seen], objective.take(seen)).success
        return Evaluation(torch.cat(losses), success, torch.cat(gradients))

    def evaluate(self, x: Tensor, objective: Objective) -> Evaluation:
        """Loss and success in float32, without a gradient."""
        _check_tensor(x, self._channels)
        _check_count(objective, len(x))
        verdicts = []
        with frozen(self.model), exact_float32(self.device), torch.no_grad():
            for chunk in self.chunks(len(x)):
                verdicts.append(objective.take(range(len(x))[chunk])(self.forward_output(x[chunk].to(self.device))))
        return Evaluation(torch.cat([v.loss for v in verdicts]), torch.cat([v.success for v in verdicts]), None)

    def to_tensor(self, x: Array, name: str = "x") -> Tensor:
        """Checked numpy photos -> float32 tensor (N, 3, H, W) on the model's device.

        Raises:
            InvalidInputError: Wrong layout, type or range, empty, or not finite.
        """
        photos = self._photos(x, name)
        planar = photos if self.channels_first else photos.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(planar)).to(self.device)

    @property
    def _channels(self) -> int:
        return self.input_shape[0 if self.channels_first else 2]

    def _checked(self, x: Any) -> Tensor:
        """Photos that came through ART's methods, numpy or tensor, as a tensor; both are held to the same rules."""
        if not isinstance(x, Tensor):
            return self.to_tensor(x)
        _check_tensor(x, self._channels)
        low, high = (float(value) for value in self.clip_values)
        slack = self.slack * (high - low)
        if not bool(((x >= low - slack) & (x <= high + slack)).all()):  # false for NaN as well
            raise InvalidInputError(f"x: finite values in [{low:g}, {high:g}] are needed (clip_values)")
        return x.detach().clamp(low, high)

    def to_array(self, x: Tensor) -> Array:
        """Tensor (N, 3, H, W) -> numpy photos in this estimator's layout."""
        array: Array = x.detach().cpu().numpy()
        return array if self.channels_first else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    def predict(self, x: Array, batch_size: int = 128, **kwargs: Any) -> Array:
        """Outputs for photos, float32, one row a photo.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; a batch_size below 1; unknown keywords.
        """
        self._check_keywords(kwargs, "predict")
        check_int(batch_size, "batch_size", at_least=1)
        tensor = self.to_tensor(x)
        rows = []
        with frozen(self.model), exact_float32(self.device), torch.no_grad():
            for chunk in self.chunks(len(tensor), batch_size):
                rows.append(self._prediction(self.forward_output(tensor[chunk])).float().cpu())
        prediction: Array = self._apply_postprocessing(torch.cat(rows).numpy(), fit=False)
        return prediction

    def fit(self, x: Array, y: Any, batch_size: int = 128, nb_epochs: int = 20, **kwargs: Any) -> None:
        """Not offered: deployed models are attacked as they are."""
        raise NotImplementedError(
            "art_crop estimators wrap finished models; train the torch model itself, or make a surrogate of a cropper "
            "with art_crop.training.distil"
        )

    @property
    def layer_names(self) -> list[str]:
        """Names of the model's layers, for :meth:`get_activations`."""
        return layer_names(self.model)

    def get_activations(self, x: Any, layer: int | str, batch_size: int = 128, framework: bool = False) -> Any:
        """Output of one layer for photos; the hook is always removed.

        Args:
            x: Photos, numpy or tensor.
            layer: Name of a module, or index into :attr:`layer_names`.
            batch_size: Photos at once, at most the micro-batch.
            framework: Give a tensor with its graph instead of numpy.

        Raises:
            InvalidInputError: No such layer, one that the model does not use, or one that gives no tensor.
        """
        check_int(batch_size, "batch_size", at_least=1)
        tensor = self.to_tensor(x) if not isinstance(x, Tensor) else x
        _check_tensor(tensor, self._channels)
        rows = []
        with ExitStack() as stack:
            output = stack.enter_context(watched(self.model, layer_called(self.model, layer)))
            stack.enter_context(frozen(self.model))
            stack.enter_context(exact_float32(self.device))
            stack.enter_context(torch.set_grad_enabled(framework))
            for chunk in self.chunks(len(tensor), batch_size):
                self.forward_output(tensor[chunk].to(self.device))
                rows.append(output())
        activations = torch.cat(rows)
        return activations if framework else activations.cpu().numpy()


def _check_tensor(x: Tensor, channels: int) -> None:
    """What can be known without looking at the values, for this stands inside attack loops."""
    if not x.is_floating_point() or x.ndim != 4 or x.shape[1] != channels or x.numel() == 0:
        raise InvalidInputError(
            f"x: a floating point tensor (N, {channels}, H, W) of at least one photo is needed, "
            f"not {x.dtype} {tuple(x.shape)}"
        )


def _check_count(objective: Objective, count: int) -> None:
    """An objective that knows for how many photos it speaks must speak of these, or a photo gets another one's wish."""
    if isinstance(objective, Sized) and len(objective) != count:
        raise InvalidInputError(f"objective: it speaks of {len(objective)} photos, x holds {count}")
