"""The shared base of the torch regressors: one gradient path, per sample, and the model left as it was found.

ART's own ``PyTorchRegressor`` is for scalars, averages over the batch and computes parameter gradients on the way; attacks on
photos want none of that.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from art.estimators.pytorch import PyTorchEstimator
from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor, nn

from art_crop.checks import check_images, check_int, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.objectives import Objective, Verdict

__all__ = ["Evaluation", "TorchRegressor", "resolve_device"]

Array = np.ndarray[Any, Any]
Regressor = TypeVar("Regressor", bound="TorchRegressor")
GRADIENT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Evaluation(NamedTuple):
    """Per sample: loss (N,), success (N,) decided in float32, and the loss's gradient, shaped like x (None without)."""

    loss: Tensor
    success: Tensor
    gradient: Tensor | None


def resolve_device(device: str | torch.device) -> torch.device:
    """``"auto"`` -> CUDA, else MPS, else CPU; anything else as torch names it.

    Raises:
        InvalidInputError: Not a device name, or a device that this machine does not have.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InvalidInputError(f"device: {device!r} is not usable here; use auto, cpu, cuda, cuda:N or mps") from error
    return resolved


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; afterwards every module's mode and every flag as before."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, needed in flags:
            parameter.requires_grad_(needed)


class _NumpyDefence(torch.autograd.Function):
    """ART preprocessors that are not torch ones, with the gradient that they estimate themselves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, estimator: TorchRegressor) -> Tensor:
        ctx.estimator, ctx.x = estimator, x.detach().cpu().numpy()
        defended, _ = estimator._apply_preprocessing(ctx.x, None, fit=False)
        return torch.from_numpy(np.ascontiguousarray(defended, np.float32)).to(x.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        estimated = ctx.estimator._apply_preprocessing_gradient(ctx.x, gradient.cpu().numpy(), fit=False)
        return torch.from_numpy(np.ascontiguousarray(estimated, np.float32)).to(gradient.device), None


class TorchRegressor(RegressorMixin, PyTorchEstimator):  # type: ignore[misc]
    """Common to saliency and quality regressors; see there.

    Args:
        model: Torch module, photos (N, 3, H, W) in ``clip_values`` -> its output.
        input_shape: Shape of a photo without the batch; -1 where any size is accepted.
        clip_values: Lowest and highest value of a pixel; the budgets of attacks are in the same units.
        channels_first: Whether numpy photos come as (N, 3, H, W) or (N, H, W, 3). Tensors are always channels first.
        preprocessing: ART's (mean, std) or preprocessor, None for none.
        preprocessing_defences: ART preprocessors between the photo and the model.
        postprocessing_defences: ART postprocessors on what ``predict`` returns.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` …; the model is moved there.
        micro_batch: Photos that go through the model at once; None: 1 on a CPU (fastest there), 16 elsewhere. Memory is
            bounded by it, results do not depend on it.
        gradient_dtype: ``"bfloat16"`` halves the time of gradients on recent processors; success stays float32.
    """

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
        input_shape: tuple[int, int, int] = (3, -1, -1),
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
        super().__init__(
            model=model,
            clip_values=clip_values,
            channels_first=channels_first,
            preprocessing=preprocessing,
            preprocessing_defences=preprocessing_defences,
            postprocessing_defences=postprocessing_defences,
            device_type="cpu" if target.type == "cpu" else "gpu",
        )
        self._device = target
        self._input_shape = tuple(input_shape)
        self._model = model.to(target, memory_format=torch.channels_last)
        self.micro_batch, self.gradient_dtype = micro_batch, gradient_dtype
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        if not hasattr(self, "gradient_dtype"):
            return  # ART checks once from its own constructor, before ours has set anything
        if self.gradient_dtype not in GRADIENT_DTYPES:
            raise InvalidInputError(
                f"gradient_dtype: one of {', '.join(GRADIENT_DTYPES)} is needed, not {self.gradient_dtype!r}"
            )
        if self.micro_batch is not None:
            check_int(self.micro_batch, "micro_batch", at_least=1)

    def set_params(self, **kwargs: Any) -> None:
        """Change parameters, all or, where one of them is refused, none."""
        reject_unknown(kwargs, self.estimator_params, "set_params")
        before = {name: getattr(self, f"_{name}", getattr(self, name, None)) for name in kwargs}
        try:
            super().set_params(**kwargs)
        except Exception:
            for name, value in before.items():
                setattr(self, f"_{name}" if hasattr(self, f"_{name}") else name, value)
            self._update_preprocessing_operations()
            raise

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one photo; -1 where any size is accepted."""
        return self._input_shape

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device  # type: ignore[no-any-return]

    # -- one path from photos to outputs, losses and gradients -----------------------------------------------------------

    @abstractmethod
    def _output(self, x: Tensor) -> Any:
        """What objectives judge, for photos (n, 3, H, W) on the model's device, after the defences."""

    @abstractmethod
    def _prediction(self, output: Any) -> Tensor:
        """The part of ``_output`` that ``predict`` returns, (n, ...) float32."""

    @abstractmethod
    def _distance(self, y: Tensor) -> Objective:
        """The objective that ART's ``loss_gradient(x, y)`` stands for."""

    def _forward(self, x: Tensor) -> Any:
        if self.preprocessing_operations:
            if self.all_framework_preprocessing:
                x, _ = self._apply_preprocessing(x, None, fit=False, no_grad=False)
            else:
                x = _NumpyDefence.apply(x, self)  # type: ignore[no-untyped-call]
        return self._output(x)

    def _chunks(self, count: int, at_most: int | None = None) -> Iterator[slice]:
        size = self.micro_batch or (1 if self.device.type == "cpu" else 16)
        size = min(size, at_most or size)
        return (slice(start, min(start + size, count)) for start in range(0, count, size))

    def value_and_gradient(self, x: Tensor, objective: Objective) -> Evaluation:
        """Loss, success and the loss's gradient for photos (N, 3, H, W), in micro-batches; memory does not grow with N.

        With ``gradient_dtype="bfloat16"`` a success that bfloat16 sees is confirmed in float32.
        """
        dtype = GRADIENT_DTYPES[self.gradient_dtype]
        losses, successes, gradients = [], [], []
        with ExitStack() as stack:
            stack.enter_context(frozen(self.model))
            stack.enter_context(torch.enable_grad())
            for chunk in self._chunks(len(x)):
                part = x[chunk].detach().to(self.device).requires_grad_()
                wish = objective.take(range(len(x))[chunk])
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
                    output = self._forward(part)
                verdict = wish(output)
                (gradient,) = torch.autograd.grad(verdict.loss.sum(), part)
                losses.append(verdict.loss.detach())
                successes.append(verdict.success)
                gradients.append(gradient)
        success = torch.cat(successes)
        if dtype != torch.float32 and success.any():
            seen = success.nonzero()[:, 0].tolist()
            success[seen] = self.evaluate(x[seen], objective.take(seen)).success
        return Evaluation(torch.cat(losses), success, torch.cat(gradients))

    def evaluate(self, x: Tensor, objective: Objective) -> Evaluation:
        """Loss and success in float32, without a gradient."""
        verdicts = []
        with frozen(self.model), torch.no_grad():
            for chunk in self._chunks(len(x)):
                verdicts.append(objective.take(range(len(x))[chunk])(self._forward(x[chunk].to(self.device))))
        return Evaluation(torch.cat([v.loss for v in verdicts]), torch.cat([v.success for v in verdicts]), None)

    def to_tensor(self, x: Array, name: str = "x") -> Tensor:
        """Checked numpy photos -> float32 tensor (N, 3, H, W) on the model's device.

        Raises:
            InvalidInputError: Wrong layout, type or range, empty, or not finite.
        """
        x = check_images(
            x, self.clip_values, channels_first=self.channels_first, channels=self.input_shape[0], name=name
        )
        tensor = torch.from_numpy(np.ascontiguousarray(x if self.channels_first else x.transpose(0, 3, 1, 2)))
        return tensor.to(self.device)

    def to_array(self, x: Tensor) -> Array:
        """Tensor (N, 3, H, W) -> numpy photos in this estimator's layout."""
        array: Array = x.detach().cpu().numpy()
        return array if self.channels_first else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    # -- ART's contract, thin over the above -----------------------------------------------------------------------------

    def predict(self, x: Array, batch_size: int = 128, **kwargs: Any) -> Array:
        """Outputs for photos, float32, one row a photo.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; a batch_size below 1; unknown keywords.
        """
        reject_unknown(kwargs, ("training_mode",), "predict")
        check_int(batch_size, "batch_size", at_least=1)
        tensor = self.to_tensor(x)
        rows = []
        with frozen(self.model), torch.no_grad():
            for chunk in self._chunks(len(tensor), batch_size):
                rows.append(self._prediction(self._forward(tensor[chunk])).float().cpu())
        return self._apply_postprocessing(torch.cat(rows).numpy(), fit=False)  # type: ignore[no-any-return]

    def _targets(self, y: object, count: int) -> Tensor:
        if y is None:
            raise InvalidInputError(
                "y: what to compare the prediction with is needed; with the model's own prediction the gradient would be 0"
            )
        tensor = y.detach() if isinstance(y, Tensor) else torch.from_numpy(np.asarray(y, np.float32))
        if len(tensor) != count:
            raise InvalidInputError(f"y: {count} rows are needed, as many as x has, not {len(tensor)}")
        if not torch.isfinite(tensor).all():
            raise InvalidInputError("y: values must be finite")
        return tensor.to(self.device, torch.float32)

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Gradient of each photo's own loss with respect to the photo; numpy in, numpy out; tensor in, tensor out."""
        reject_unknown(kwargs, ("training_mode",), "loss_gradient")
        tensor = x if isinstance(x, Tensor) else self.to_tensor(x)
        gradient = self.value_and_gradient(tensor, self._distance(self._targets(y, len(tensor)))).gradient
        assert gradient is not None
        return gradient if isinstance(x, Tensor) else self.to_array(gradient)

    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        """Loss of each photo (``reduction="none"``), or their ``"mean"`` or ``"sum"``."""
        reject_unknown(kwargs, (), "compute_loss")
        tensor = x if isinstance(x, Tensor) else self.to_tensor(x)
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
        return _reduce(loss, reduction).cpu().numpy()  # type: ignore[no-any-return]

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
        return [name for name, module in self.model.named_modules() if name and not list(module.children())]

    def get_activations(self, x: Any, layer: int | str, batch_size: int = 128, framework: bool = False) -> Any:
        """Output of one layer for photos; the hook is always removed.

        Args:
            x: Photos, numpy or tensor.
            layer: Name of a module, or index into :attr:`layer_names`.
            batch_size: Photos at once, at most the micro-batch.
            framework: Give a tensor with its graph instead of numpy.

        Raises:
            InvalidInputError: No such layer.
        """
        modules = dict(self.model.named_modules())
        names = self.layer_names
        name = names[layer] if isinstance(layer, int) and -len(names) <= layer < len(names) else layer
        if name not in modules or not isinstance(name, str):
            raise InvalidInputError(
                f"layer: a name or an index from 0 to {len(names) - 1} is needed, not {layer!r}: {names}"
            )
        tensor = x if isinstance(x, Tensor) else self.to_tensor(x)
        captured: list[Tensor] = []
        hook: Callable[..., None] = lambda module, inputs, output: captured.append(output)  # noqa: E731
        handle = modules[name].register_forward_hook(hook)
        try:
            with frozen(self.model), torch.set_grad_enabled(framework):
                for chunk in self._chunks(len(tensor), batch_size):
                    self._forward(tensor[chunk].to(self.device))
        finally:
            handle.remove()
        activations = torch.cat(captured)
        return activations if framework else activations.cpu().numpy()

    def clone_for_refitting(self: Regressor) -> Regressor:
        """A copy whose model's layers have fresh random weights."""
        clone = copy.deepcopy(self)
        for module in clone.model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        return clone

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_device"] = str(self._device)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._device = resolve_device(state["_device"])
        except InvalidInputError:
            self._device = torch.device("cpu")  # pickled on a GPU, opened where there is none
        self._model = self._model.to(self._device)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ("none", "mean", "sum"):
        raise InvalidInputError(f"reduction: one of none, mean, sum is needed, not {reduction!r}")
    return loss if reduction == "none" else getattr(loss, reduction)()  # type: ignore[no-any-return]


def as_list(values: Sequence[Any] | Any, count: int) -> list[Any]:
    """One value for all samples, or one for each, as a list of ``count``."""
    return list(values) if isinstance(values, (list, tuple)) else [values] * count
