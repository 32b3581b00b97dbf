"""The shared base of the torch regressors: one gradient path, per sample, and the model left as it was found.

ART's own ``PyTorchRegressor`` is for scalars, averages over the batch and computes parameter gradients on the way;
attacks on photos want none of that.
"""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Sized
from contextlib import ExitStack
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from art.estimators.pytorch import PyTorchEstimator
from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor, nn

from art_crop.checks import check_choice, check_clip_values, check_int, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import layer_called, layer_names, watched
from art_crop.estimators.defended import apply_step
from art_crop.estimators.photo_estimator import PhotoEstimator, check_keywords, default_input_shape
from art_crop.estimators.placement import device_type, frozen, placed, resolve_device
from art_crop.functional.precision import exact_float32, gradient_autocast
from art_crop.objectives import Objective, Verdict

__all__ = ["Evaluation", "TorchRegressor", "frozen", "resolve_device"]

Array = np.ndarray[Any, Any]
Regressor = TypeVar("Regressor", bound="TorchRegressor")
GRADIENT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Evaluation(NamedTuple):
    """Per sample: loss (N,), success (N,) decided in float32, and the loss's gradient, shaped like x (None without)."""

    loss: Tensor
    success: Tensor
    gradient: Tensor | None


class TorchRegressor(PhotoEstimator, RegressorMixin, PyTorchEstimator):
    """Common to saliency and quality regressors; see there.

    Args:
        model: Torch module, photos (N, 3, H, W) in ``clip_values`` -> its output.
        input_shape: Shape of a photo without the batch, in the layout of ``channels_first``; -1 where any height or
            width is accepted. Default: three channels of any size. (ART's SquareAttack needs the size stated.)
        clip_values: Lowest and highest value of a pixel; the budgets of attacks are in the same units.
        channels_first: Whether numpy photos come as (N, 3, H, W) or (N, H, W, 3). Tensors are always channels first.
        preprocessing: ART's (mean, std) or preprocessor, None for none.
        preprocessing_defences: ART preprocessors between the photo and the model, torch or numpy ones, in any order.
            They, too, see photos as (N, 3, H, W), whatever ``channels_first`` says.
        postprocessing_defences: ART postprocessors on what ``predict`` returns.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` …; the model is moved there.
        micro_batch: Photos that go through the model at once; None: 1 on a CPU (fastest there), 16 elsewhere. Memory is
            bounded by it; results depend on it only as float32 sums depend on their order.
        gradient_dtype: ``"bfloat16"`` halves the time of gradients on recent processors; success stays float32.

    Raises:
        InvalidInputError: An argument that is none of these.
    """

    name: str | None = None
    """Under which name the plugin table gave the model out."""
    weights_sha256: str | None = None
    """Hash of the weight file it was made from."""

    estimator_params: ClassVar[list[str]] = [
        *PyTorchEstimator.estimator_params,
        "input_shape",
        "micro_batch",
        "gradient_dtype",
    ]

    def __init__(
        self,
        model: nn.Module,
        *,
        input_shape: tuple[int, int, int] | None = None,
        clip_values: tuple[float, float] = (0.0, 1.0),
        channels_first: bool = True,
        preprocessing: Any = None,
        preprocessing_defences: Any = None,
        postprocessing_defences: Any = None,
        device: str | torch.device = "auto",
        micro_batch: int | None = None,
        gradient_dtype: str = "float32",
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InvalidInputError(f"model: a torch.nn.Module is needed, not {type(model).__name__}")
        target = resolve_device(device)
        check_clip_values(clip_values)
        super().__init__(
            model=model,
            clip_values=clip_values,
            channels_first=channels_first,
            preprocessing=preprocessing,
            preprocessing_defences=preprocessing_defences,
            postprocessing_defences=postprocessing_defences,
            device_type=device_type(target),
        )
        self._device = target
        self._input_shape = default_input_shape(channels_first) if input_shape is None else input_shape
        self.micro_batch, self.gradient_dtype = micro_batch, gradient_dtype
        self._check_params()
        self._model = placed(model, target)

    def _check_params(self) -> None:
        super()._check_params()
        if not isinstance(self.model, nn.Module):
            raise InvalidInputError(f"model: a torch.nn.Module is needed, not {type(self.model).__name__}")
        if self.device_type != device_type(self.device):
            raise InvalidInputError(
                f"device_type: the model is on {self.device}, so it is {device_type(self.device)!r}; "
                "another device needs an estimator of its own (device=)"
            )
        check_choice(self.gradient_dtype, "gradient_dtype", GRADIENT_DTYPES)
        if self.micro_batch is not None:
            check_int(self.micro_batch, "micro_batch", at_least=1)

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none; a new model is moved to the device.

        Raises:
            InvalidInputError: An unknown name or a value that is not allowed.
        """
        super().set_params(**kwargs)
        if "model" in kwargs:
            self._model = placed(self.model, self.device)
            self.name = self.weights_sha256 = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    # -- one path from photos to outputs, losses and gradients ---------------------------------------------------------

    @abstractmethod
    def _output(self, x: Tensor) -> Any:
        """What objectives judge, for photos (n, 3, H, W) on the model's device, after the defences."""

    @abstractmethod
    def _prediction(self, output: Any) -> Tensor:
        """The part of ``_output`` that ``predict`` returns, (n, ...) float32."""

    @abstractmethod
    def _distance(self, y: Tensor) -> Objective:
        """The objective that ART's ``loss_gradient(x, y)`` stands for."""

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
        dtype = GRADIENT_DTYPES[self.gradient_dtype]
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
        slack = 1e-5 * (high - low)
        if not bool(((x >= low - slack) & (x <= high + slack)).all()):  # false for NaN as well
            raise InvalidInputError(f"x: finite values in [{low:g}, {high:g}] are needed (clip_values)")
        return x

    def to_array(self, x: Tensor) -> Array:
        """Tensor (N, 3, H, W) -> numpy photos in this estimator's layout."""
        array: Array = x.detach().cpu().numpy()
        return array if self.channels_first else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    # -- ART's contract, thin over the above ---------------------------------------------------------------------------

    def predict(self, x: Array, batch_size: int = 128, **kwargs: Any) -> Array:
        """Outputs for photos, float32, one row a photo.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; a batch_size below 1; unknown keywords.
        """
        check_keywords(kwargs, "predict")
        check_int(batch_size, "batch_size", at_least=1)
        tensor = self.to_tensor(x)
        rows = []
        with frozen(self.model), exact_float32(self.device), torch.no_grad():
            for chunk in self.chunks(len(tensor), batch_size):
                rows.append(self._prediction(self.forward_output(tensor[chunk])).float().cpu())
        prediction: Array = self._apply_postprocessing(torch.cat(rows).numpy(), fit=False)
        return prediction

    def _targets(self, y: object, count: int) -> Tensor:
        if y is None:
            raise InvalidInputError(
                "y: what to compare the prediction with is needed; the model's own prediction gives a gradient of 0"
            )
        try:
            tensor = y.detach() if isinstance(y, Tensor) else torch.from_numpy(np.array(y, np.float32, order="C"))
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"y: an array of numbers is needed ({error})") from error
        if tensor.ndim == 0 or len(tensor) != count:
            raise InvalidInputError(f"y: {count} rows are needed, as many as x has, not shape {tuple(tensor.shape)}")
        if not torch.isfinite(tensor).all():
            raise InvalidInputError("y: values must be finite")
        return tensor.to(self.device, torch.float32)

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Gradient of each photo's own loss with respect to the photo; numpy in, numpy out; tensor in, tensor out.

        Warns:
            UserWarning: ``y`` is the model's own prediction (ART's attacks take it where y is None): gradient 0.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; ``y`` missing, not finite, or of another shape than a prediction.
        """
        check_keywords(kwargs, "loss_gradient")
        tensor = self._checked(x)
        loss, _, gradient = self.value_and_gradient(tensor, self._distance(self._targets(y, len(tensor))))
        assert gradient is not None
        if not loss.any():
            warnings.warn(
                "y is the model's own prediction, so the loss and its gradient are 0 and an attack stands still; "
                "give a y to move away from or towards",
                UserWarning,
                stacklevel=2,
            )
        return gradient if isinstance(x, Tensor) else self.to_array(gradient)

    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        """Loss of each photo (``reduction="none"``), or their ``"mean"`` or ``"sum"``."""
        check_keywords(kwargs, "compute_loss")
        tensor = self._checked(x)
        loss = self.evaluate(tensor, self._distance(self._targets(y, len(tensor)))).loss
        reduced = _reduce(loss, reduction)
        return reduced if isinstance(x, Tensor) else reduced.cpu().numpy()

    def compute_losses(self, x: Any, y: Any, reduction: str = "none") -> dict[str, Any]:
        """The one loss of this estimator, by name."""
        return {"loss": self.compute_loss(x, y, reduction)}

    def compute_loss_from_predictions(self, pred: Array, y: Array, reduction: str = "none", **kwargs: Any) -> Array:
        """Loss of each row of predictions."""
        reject_unknown(kwargs, (), "compute_loss_from_predictions")
        loss = self._from_predictions(self._targets(pred, len(pred)), self._targets(y, len(pred))).loss
        reduced: Array = _reduce(loss, reduction).cpu().numpy()
        return reduced

    @abstractmethod
    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        """Verdict of ``_distance(y)`` on what ``predict`` returned."""

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

    def clone_for_refitting(self: Regressor, seed: int = 0) -> Regressor:
        """A copy whose model has fresh random weights drawn from ``seed``; global random state is not touched."""
        clone = copy.deepcopy(self)
        model = clone.model.cpu()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for module in model.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
        clone._model = placed(model, clone.device)
        clone.name = clone.weights_sha256 = None
        return clone

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_device"] = str(self._device)
        if self._device.type != "cpu":  # so that it can be opened where there is no such device
            state["_model"] = copy.deepcopy(self._model).cpu()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._device = resolve_device(state["_device"])
        except InvalidInputError:
            self._device = torch.device("cpu")  # pickled on a GPU, opened where there is none
        self._device_type = device_type(self._device)
        self._model = placed(self._model, self._device)


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


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise InvalidInputError(f"reduction: one of none, mean, sum is needed, not {reduction!r}")
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
