"""A torch module as an ART estimator: its arguments and their checks, its device, its copies and pickles."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import torch
from art.estimators.pytorch import PyTorchEstimator
from torch import nn

from art_crop.checks import check_choice, check_clip_values, check_int
from art_crop.errors import InvalidInputError
from art_crop.estimators.photo_estimator import PhotoEstimator, default_input_shape
from art_crop.estimators.placement import device_type, placed, resolve_device

__all__ = ["TorchModel"]

Self = TypeVar("Self", bound="TorchModel")
GRADIENT_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class TorchModel(PhotoEstimator, PyTorchEstimator):
    """Common to saliency regressors, quality regressors and classifiers; see there.

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
        art: What the subclass has to tell a further base class of ART's.

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
    def model(self) -> Any:
        """The torch module itself."""
        return self._model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    @property
    def _autocast(self) -> torch.dtype:
        return GRADIENT_DTYPES[self.gradient_dtype]

    def clone_for_refitting(self: Self, seed: int = 0) -> Self:
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
