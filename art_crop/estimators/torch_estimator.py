"""The base of all torch estimators: one gradient path, per sample, and the model left as it was found.

ART's own torch estimators average losses over the batch, compute parameter gradients on the way and leave the model in
another mode; attacks on photos want none of that. ART's ``loss_gradient``, ``compute_loss`` and ``predict`` are thin
over :meth:`TorchEstimator.value_and_gradient` and :meth:`TorchEstimator.evaluate`.
"""

from __future__ import annotations

import copy
import threading
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from art.estimators.pytorch import PyTorchEstimator
from art.estimators.regression.regressor import RegressorMixin
from torch import Tensor, nn

from art_crop.checks import check_choice, check_clip_values, check_int, reject_unknown
from art_crop.errors import InvalidInputError
from art_crop.estimators.activations import layer_called, layer_for_grad_cam, layer_names, watched
from art_crop.estimators.base import (
    Evaluation,
    check_keywords,
    check_objective,
    check_photos,
    check_shape_and_range,
    default_input_shape,
    photo_batch,
    set_params_or_none,
)
from art_crop.estimators.defended import apply_step
from art_crop.estimators.passes import (
    check_finite,
    check_gradient,
    explained,
    own_dtype,
    photos_numbered,
    run,
)
from art_crop.estimators.placement import check_weights, device_type, frozen, resolve_device
from art_crop.functional.gradcam import grad_cam
from art_crop.functional.precision import exact_float32, gradient_autocast
from art_crop.images.encoding import Jpeg
from art_crop.models.jpeg_path import through_jpeg
from art_crop.objectives import Objective, Verdict, evidence

__all__ = ["TorchEstimator", "rows_of_numbers"]

Array = np.ndarray[Any, Any]
Self = TypeVar("Self", bound="TorchEstimator")
_REFITTING = threading.Lock()
"""Held while the process's random state is another's."""
GRADIENT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TorchEstimator(PyTorchEstimator):
    """Common to saliency regressors, quality regressors and classifiers.

    Args:
        model: Torch module, photos (N, 3, H, W) in ``clip_values`` -> its output. It is left as it was found, its
            weights' layout too; ``model.to(memory_format=torch.channels_last)`` before makes most convolutions faster.
            It gets photos in the type of its weights; half types cost precision near ties.
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
        art: What the subclass has to tell a further base class of ART's.

    Raises:
        InvalidInputError: An argument that is none of these.
    """

    task: str = ""
    """Whose objectives it can be asked about."""
    name: str | None = None
    """Under which name the plugin table gave the model out."""
    weights_sha256: str | None = None
    """Hash of the weight file it was made from."""
    slack: float = 1e-5
    """How far beyond ``clip_values`` pixels may lie, as a share of the range; they are clipped."""
    jpeg_quality: int | Jpeg | None = None
    """Photos are seen as after they were saved as a JPEG of this quality; see :meth:`after_jpeg`."""

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
        art: Mapping[str, Any] = MappingProxyType({}),
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
            **art,
        )
        self._device = target
        self._input_shape = default_input_shape(channels_first) if input_shape is None else input_shape
        self.micro_batch, self.gradient_dtype = micro_batch, gradient_dtype
        self._check_params()
        self._model = model.to(target)

    def _check_params(self) -> None:
        super()._check_params()
        check_shape_and_range(self)
        if not isinstance(self.model, nn.Module):
            raise InvalidInputError(f"model: a torch.nn.Module is needed, not {type(self.model).__name__}")
        check_weights(self.model)
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
        set_params_or_none(self, super().set_params, kwargs)
        if "model" in kwargs:
            self._model = self.model.to(self.device)
            self.name = self.weights_sha256 = None

    # -- what a task adds ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _output(self, x: Tensor) -> Any:
        """What objectives are called with, for photos (n, 3, H, W) on the model's device, after the defences."""

    @abstractmethod
    def _prediction(self, output: Any) -> Tensor:
        """The part of an output that ``predict`` returns, (n, ...) float32."""

    @abstractmethod
    def _distance(self, y: Tensor) -> Objective:
        """The objective that ART's ``loss_gradient(x, y)`` stands for."""

    def _from_predictions(self, prediction: Tensor, y: Tensor) -> Verdict:
        """Verdict of ``_distance(y)`` on what ``predict`` returned."""
        return self._distance(y)(prediction)

    def _targets(self, y: object, count: int) -> Tensor:
        """Checked y for ``count`` photos, on the model's device."""
        if y is None:
            raise InvalidInputError(
                "y: what to compare the prediction with is needed; the model's own prediction gives a gradient of 0"
            )
        return rows_of_numbers(y, count).to(self.device)

    def _check_keywords(self, kwargs: dict[str, Any], where: str) -> None:
        """Refuse what ART's attacks never pass to an estimator of this kind."""
        check_keywords(kwargs, where)

    @staticmethod
    def _joined(parts: list[Any]) -> Any:
        """Outputs of micro-batches as one."""
        return torch.cat(parts)

    # -- the one path --------------------------------------------------------------------------------------------------

    def forward_output(self, x: Tensor) -> Any:
        """Predict what objectives are called with, for a micro-batch of tensor photos (n, 3, H, W); keeps the graph.

        In a file's order: the encoding, where there is one, then the defences, then the model.

        Raises:
            InvalidInputError: The model gives no such output, or numbers that are not finite.
        """
        return self._finite(self._encoded_output(x), x)

    def _encoded_output(self, x: Tensor) -> Any:
        """What :meth:`forward_output` gives, unchecked."""
        if self.jpeg_quality is not None:
            x = self._through_jpeg(x)
        return self._output(self._defended(x))

    def _finite(self, output: Any, x: Tensor) -> Any:
        """The output, which must be of finite numbers."""
        check_finite(self.model, self._prediction(output), x, minus_infinity=self._minus_infinity)
        return output

    @property
    def _minus_infinity(self) -> bool:
        """Whether -inf means something in a prediction."""
        return False

    def _run(self, x: Tensor) -> Tensor:
        """The network's answer (n, ...), float32, for photos that it may do with as it likes."""
        return run(self.model, x, self._dtype())

    def _dtype(self) -> torch.dtype | None:
        """Type of photos that the network takes; None: any."""
        return own_dtype(self.model)

    @contextmanager
    def _running(self, *, gradients: bool = False) -> Iterator[None]:
        """Within this, the model is frozen and exact, whatever modes of torch the caller is in."""
        with (
            torch.inference_mode(False),
            frozen(self.model),
            exact_float32(self.device),
            torch.set_grad_enabled(gradients),
            explained(self.model),
        ):
            yield

    def _outputs(self, x: Tensor, at_most: int | None = None) -> Iterator[tuple[slice, Any]]:
        """Micro-batches, and what objectives are called with for each; call it inside :meth:`_running`."""
        for chunk in self.chunks(len(x), at_most):
            with photos_numbered(range(len(x))[chunk]):
                output = self.forward_output(_usable(x[chunk]).to(self.device))
            yield chunk, output

    def _defended(self, x: Tensor) -> Tensor:
        for step in self.preprocessing_operations:
            if step.apply_predict:
                x = apply_step(x, step)
        return x

    @property
    def defences(self) -> list[Any]:
        """ART preprocessors that stand before the model when it predicts."""
        return [step for step in self.preprocessing_operations if step.apply_predict]

    def _through_jpeg(self, x: Tensor) -> Tensor:
        assert self.jpeg_quality is not None
        low, high = (float(value) for value in self.clip_values)
        scale = 255 / (high - low)
        return through_jpeg((x - low) * scale, self.jpeg_quality, (x.shape[-1], x.shape[-2])) / scale + low

    def after_jpeg(self: Self, quality: int | Jpeg) -> Self:
        """Give this model as it sees photos that were saved as JPEGs of a quality (1 to 100); weights are shared.

        Args:
            quality: Of Pillow's encoder with its defaults (4:2:0); or another way to encode.

        Raises:
            InvalidInputError: A quality that is none.
        """
        if not isinstance(quality, Jpeg):
            check_int(quality, "quality", at_least=1, at_most=100)
        twin = copy.copy(self)
        twin.jpeg_quality = quality
        return twin

    def chunks(self, count: int, at_most: int | None = None) -> list[slice]:
        """Divide ``count`` photos into the micro-batches in which they go through the model."""
        size = self.micro_batch or (1 if self.device.type == "cpu" else 16)
        size = min(size, at_most or size)
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def value_and_gradient(self, x: Tensor, objective: Any, *, decide: bool = True) -> Evaluation:
        """Compute loss, success and the loss's gradient for photos (N, 3, H, W), in micro-batches.

        With ``gradient_dtype="bfloat16"`` a success that bfloat16 sees is confirmed in float32, by a forward pass; not
        with ``decide=False``, for callers that will not ask.

        Raises:
            InvalidInputError: ``x`` is no floating-point tensor of at least one photo; the objective is for another
                task or other photos; the model's output does not depend on the photo in a way that can be
                differentiated.
        """
        self._check_tensor(x)
        check_objective(objective, len(x), self.task)
        dtype = GRADIENT_DTYPES[self.gradient_dtype]
        losses, successes, gradients = [], [], []
        with self._running(gradients=True):
            for chunk in self.chunks(len(x)):
                part = _usable(x[chunk]).detach().to(self.device).requires_grad_()
                with photos_numbered(range(len(x))[chunk]):
                    with gradient_autocast(self.device, dtype):
                        output = self.forward_output(part)
                    verdict = objective.take(range(len(x))[chunk])(output)
                    gradient = self._gradient(verdict.loss.sum(), part)
                losses.append(verdict.loss.detach())
                successes.append(verdict.success)
                gradients.append(gradient)
        success = torch.cat(successes)
        if decide and dtype != torch.float32 and success.any():
            seen = success.nonzero()[:, 0].tolist()
            success[seen] = self.evaluate(x[seen], objective.take(seen)).success
        return Evaluation(torch.cat(losses), success, torch.cat(gradients))

    def _gradient(self, value: Tensor, photos: Tensor, *, again: bool = False) -> Tensor:
        """The finite gradient of a number with respect to photos; ``again``: the graph is needed once more."""
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, photos, allow_unused=True, retain_graph=again)
        if gradient is None:
            raise InvalidInputError("model: its output has no gradient with respect to the photo")
        check_gradient(self.model, gradient)
        return gradient

    def evaluate(self, x: Tensor | Array, objective: Any) -> Evaluation:
        """Compute loss and success in float32, without a gradient.

        Args:
            x: Tensor photos (N, 3, H, W), or numpy photos in the estimator's layout.
            objective: For N photos.

        Raises:
            InvalidInputError: As :meth:`value_and_gradient`; numpy photos as for ``predict``.
        """
        tensor = x if isinstance(x, Tensor) else self.to_tensor(x)
        self._check_tensor(tensor)
        check_objective(objective, len(tensor), self.task)
        with self._running():
            verdicts = [objective.take(range(len(tensor))[c])(output) for c, output in self._outputs(tensor)]
        return Evaluation(torch.cat([v.loss for v in verdicts]), torch.cat([v.success for v in verdicts]))

    def output(self, x: Tensor | Array) -> Any:
        """Predict what objectives are called with, for photos, numpy or tensor."""
        tensor = self.to_tensor(x)
        with self._running():
            return self._joined([output for _, output in self._outputs(tensor)])

    def output_of_file(self, path: str | Path) -> Any:
        """Predict what objectives are called with, for a file: the upright photo, behind the defences.

        Raises:
            ImageFileError: Not a readable photo.
        """
        x = photo_batch(path, self).to(self.device)
        with self._running():
            return self._finite(self._output(self._defended(x)), x)

    def evaluate_file(self, path: str | Path, objective: Any) -> Evaluation:
        """Compute loss and success, (1,) each, for a file; errors as :meth:`output_of_file` and :meth:`evaluate`."""
        check_objective(objective, 1, self.task)
        verdict = objective(self.output_of_file(path))
        return Evaluation(verdict.loss, verdict.success)

    def grad_cam(self, x: Tensor, objective: Any, layer: str | None = None) -> Tensor:
        """Compute Grad-CAM maps (N, 1, H, W) in [0, 1] of what speaks for the objective, for tensor photos.

        The score that is explained is :func:`~art_crop.objectives.evidence`: the greatest value of the raw map in the
        region, as Grad-CAM's paper takes a class's score before the softmax.

        Args:
            x: Photos (N, 3, H, W).
            objective: For N photos.
            layer: Module whose activations are weighted; None: the last convolution of 8 or more channels, after its
                activation function where that follows it.

        Raises:
            InvalidInputError: No such layer, or one that gives no activations (N, C, h, w) for the objective.
        """
        module, cams = layer_for_grad_cam(self.model, layer), []
        with self._running(gradients=True):
            for chunk in self.chunks(len(x)):
                rows = range(len(x))[chunk]
                part = objective.take(rows)

                def score(photos: Tensor, part: Any = part) -> Tensor:
                    return evidence(part, self.forward_output(photos))

                with photos_numbered(rows):
                    cams.append(grad_cam(score, module, _usable(x[chunk]).detach().to(self.device)))
                    check_gradient(self.model, cams[-1])
        return torch.cat(cams)

    # -- photos in and out ---------------------------------------------------------------------------------------------

    def to_tensor(self, x: Array | Tensor, name: str = "x") -> Tensor:
        """Check photos and give them as a float32 tensor (N, 3, H, W) on the model's device, a copy.

        Args:
            x: Numpy photos in the estimator's layout, or a tensor (N, 3, H, W).
            name: What messages call them.

        Raises:
            InvalidInputError: Wrong layout, type or range, empty, or not finite.
        """
        if isinstance(x, Tensor):
            with torch.inference_mode(False):
                return self._checked(x).to(self.device, torch.float32)
        photos = check_photos(self, x, name)
        planar = photos if self.channels_first else photos.transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(planar)).to(self.device)

    def to_array(self, x: Tensor) -> Array:
        """Turn tensor photos (N, 3, H, W) into numpy ones in this estimator's layout."""
        array: Array = x.detach().cpu().numpy()
        return array if self.channels_first else np.ascontiguousarray(array.transpose(0, 2, 3, 1))

    def _check_tensor(self, x: Tensor) -> None:
        """What can be known without looking at the values, for this stands inside attack loops."""
        channels = self.input_shape[0 if self.channels_first else 2]
        if not x.is_floating_point() or x.ndim != 4 or x.shape[1] != channels or x.numel() == 0:
            raise InvalidInputError(
                f"x: a floating point tensor (N, {channels}, H, W) of at least one photo is needed, "
                f"not {x.dtype} {tuple(x.shape)}"
            )

    def _checked(self, x: Any) -> Tensor:
        """Photos that came through ART's methods, numpy or tensor, as a tensor; both are held to the same rules."""
        if not isinstance(x, Tensor):
            return self.to_tensor(x)
        self._check_tensor(x)
        low, high = (float(value) for value in self.clip_values)
        slack = self.slack * (high - low)
        if not bool(((x >= low - slack) & (x <= high + slack)).all()):  # false for NaN as well
            raise InvalidInputError(f"x: finite values in [{low:g}, {high:g}] are needed (clip_values)")
        return _usable(x).detach().clamp(low, high)

    # -- what ART's attacks call ---------------------------------------------------------------------------------------

    def predict(self, x: Any, batch_size: int = 128, **kwargs: Any) -> Any:
        """Predict outputs for photos, float32, one row a photo; numpy in, numpy out; tensor in, tensor out.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; a batch_size below 1; unknown keywords.
        """
        self._check_keywords(kwargs, "predict")
        check_int(batch_size, "batch_size", at_least=1)
        tensor = self.to_tensor(x)
        with self._running():
            rows = [self._prediction(output).float().cpu() for _, output in self._outputs(tensor, batch_size)]
        prediction: Array = self._apply_postprocessing(torch.cat(rows).numpy(), fit=False)
        return torch.from_numpy(prediction).to(x.device) if isinstance(x, Tensor) else prediction

    def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> Any:
        """Compute the gradient of each photo's own loss; numpy in, numpy out; tensor in, tensor out.

        Warns:
            UserWarning: ``y`` is a regressor's own prediction (ART's attacks take it where y is None): gradient 0.

        Raises:
            InvalidInputError: As :meth:`to_tensor`; ``y`` missing, not finite, or of another shape than a prediction.
        """
        self._check_keywords(kwargs, "loss_gradient")
        tensor = self._checked(x)
        loss, _, gradient = self.value_and_gradient(tensor, self._distance(self._targets(y, len(tensor))))
        assert gradient is not None
        if isinstance(self, RegressorMixin) and not loss.any():
            warnings.warn(
                "y is the model's own prediction, so the loss and its gradient are 0 and an attack stands still; "
                "give a y to move away from or towards",
                UserWarning,
                stacklevel=2,
            )
        return gradient if isinstance(x, Tensor) else self.to_array(gradient)

    def compute_loss(self, x: Any, y: Any, reduction: str = "none", **kwargs: Any) -> Any:
        """Compute the loss of each photo (``reduction="none"``), or their ``"mean"`` or ``"sum"``."""
        self._check_keywords(kwargs, "compute_loss")
        tensor = self._checked(x)
        reduced = _reduce(self.evaluate(tensor, self._distance(self._targets(y, len(tensor)))).loss, reduction)
        return reduced if isinstance(x, Tensor) else reduced.cpu().numpy()

    def compute_losses(self, x: Any, y: Any, reduction: str = "none") -> dict[str, Any]:
        """Compute the one loss of this estimator, by name."""
        return {"loss": self.compute_loss(x, y, reduction)}

    def compute_loss_from_predictions(self, pred: Array, y: Any, reduction: str = "none", **kwargs: Any) -> Array:
        """Compute the loss of each row of predictions."""
        reject_unknown(kwargs, (), "compute_loss_from_predictions")
        prediction = rows_of_numbers(pred, len(pred), "pred").to(self.device)
        loss = self._from_predictions(prediction, self._targets(y, len(pred))).loss
        reduced: Array = _reduce(loss, reduction).cpu().numpy()
        return reduced

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
        """Compute the output of one layer for photos; the hook is always removed.

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
        self._check_tensor(tensor)
        with ExitStack() as stack:
            output: Callable[[], Tensor] = stack.enter_context(watched(self.model, layer_called(self.model, layer)))
            stack.enter_context(self._running(gradients=framework))
            rows = [output() for _ in self._outputs(tensor, batch_size)]
        activations = torch.cat(rows)
        return activations if framework else activations.cpu().numpy()

    # -- copies and pickles --------------------------------------------------------------------------------------------

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one photo in this estimator's layout; -1 where any height or width is accepted."""
        return self._input_shape

    @property
    def model(self) -> Any:
        """The torch module itself."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    def clone_for_refitting(self: Self, seed: int = 0) -> Self:
        """Copy it with fresh random weights drawn from ``seed``; global random state is not touched."""
        clone = copy.deepcopy(self)
        model = clone.model.cpu()
        with _REFITTING, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            for module in model.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
        clone._model = model.to(clone.device)
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
        self._model = self._model.to(self._device)


def rows_of_numbers(y: object, count: int, name: str = "y") -> Tensor:
    """Read an array or tensor of ``count`` rows as float32, a copy where it comes from numpy.

    Raises:
        InvalidInputError: Not numbers, not finite, or another number of rows.
    """
    try:
        tensor = _usable(y).detach() if isinstance(y, Tensor) else torch.from_numpy(np.array(y, np.float32, order="C"))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name}: an array of numbers is needed ({error})") from error
    if tensor.ndim == 0 or len(tensor) != count:
        raise InvalidInputError(f"{name}: {count} rows are needed, as many as x has, not shape {tuple(tensor.shape)}")
    if not torch.isfinite(tensor).all():
        raise InvalidInputError(f"{name}: values must be finite")
    return tensor.float()


def _usable(x: Tensor) -> Tensor:
    """The tensor, or a copy that may be differentiated where it was made in inference mode."""
    return x.clone() if x.is_inference() else x


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    check_choice(reduction, "reduction", ("none", "mean", "sum"))
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
