"""ART estimator for photo classifiers: to attacks ART's own PyTorchClassifier, inside our checks and gradient path.

Attacks of ART dispatch on the class (``isinstance(estimator, PyTorchClassifier)``, requirement checks walk the method
resolution order), so this is a real subclass; but ART's code averages losses over the batch, leaves the model in
evaluation mode with gradients in its parameters, and takes NaN and uint8 photos in silence. All of that is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from safetensors.torch import save_model
from torch import Tensor, nn

from art_crop.checks import check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.estimators.base import check_keywords, default_input_shape
from art_crop.estimators.passes import photos_numbered
from art_crop.estimators.torch_estimator import GRADIENT_DTYPES, TorchEstimator, rows_of_numbers
from art_crop.functional.precision import gradient_autocast
from art_crop.objectives import LabelDistance, Objective

__all__ = ["PyTorchPhotoClassifier"]

Array = np.ndarray[Any, Any]


class PyTorchPhotoClassifier(TorchEstimator, PyTorchClassifier):
    """A white-box classifier: photos -> logits (N, ``nb_classes``).

    The loss of ``loss_gradient(x, y)`` and ``compute_loss`` is each photo's own cross-entropy. Labels y are whole
    numbers (N,) or (N, 1), one-hot rows, or rows of probabilities (N, ``nb_classes``).

    Args:
        model: Module (N, 3, H, W) in ``clip_values`` -> logits (N, nb_classes); resizing and normalisation belong
            inside it.
        nb_classes: Number of classes, at least 2.
        labels: A name for each class.
        slack: How far beyond ``clip_values`` a pixel may lie, as a share of the range; it is then taken as clipped.
            ART's ElasticNet, NewtonFool and ZOO ask about such points between two of their own clips, ShadowAttack
            even about photos in heavy noise (3 lets it).
        input_shape: As for every torch estimator here. Some attacks of ART (AutoPGD, Square) need the size stated.
        **kwargs: ``clip_values``, ``channels_first``, ``device``, ``micro_batch``, ``gradient_dtype``, ART's
            preprocessing and postprocessing.

    Raises:
        InvalidInputError: An argument that is none of these; when used, a model that gives another shape.
    """

    task = "classification"
    estimator_params: ClassVar[list[str]] = [
        *TorchEstimator.estimator_params,
        *(name for name in PyTorchClassifier.estimator_params if name not in TorchEstimator.estimator_params),
        "labels",
        "slack",
    ]

    def __init__(
        self,
        model: nn.Module,
        *,
        nb_classes: int,
        labels: Sequence[str] | None = None,
        input_shape: tuple[int, int, int] | None = None,
        channels_first: bool = True,
        slack: float = 0.1,
        **kwargs: Any,
    ) -> None:
        self.labels, self.slack = labels, slack
        art = {
            "loss": nn.CrossEntropyLoss(),
            "input_shape": default_input_shape(channels_first) if input_shape is None else input_shape,
            "nb_classes": check_int(nb_classes, "nb_classes", at_least=2),
        }
        super().__init__(model, input_shape=input_shape, channels_first=channels_first, art=art, **kwargs)
        # ART's wrapper is a local class, which cannot be pickled, and nothing here needs it.
        del self._model_wrapper, self._layer_names

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.nb_classes, "nb_classes", at_least=2)
        check_number(self.slack, "slack", at_least=0)
        plain = type(self.loss) is nn.CrossEntropyLoss and self.loss.weight is None and not self.loss.label_smoothing
        if not plain or self.optimizer is not None or self.use_amp:
            raise InvalidInputError("loss, optimizer, use_amp: only plain cross-entropy, None and False are supported")
        if self.labels is not None:
            if isinstance(self.labels, str) or not all(isinstance(label, str) for label in self.labels):
                raise InvalidInputError(f"labels: one name for each class is needed, not {self.labels!r}")
            if len(self.labels) != self.nb_classes:
                raise InvalidInputError(f"labels: {self.nb_classes} names are needed, not {len(self.labels)}")
            self.labels = tuple(self.labels)

    # -- one path from photos to logits --------------------------------------------------------------------------------

    def _check_keywords(self, kwargs: dict[str, Any], where: str) -> None:
        # CarliniL2Method says logits=True, ShadowAttack sampling=False.
        if not kwargs.get("logits", True) or kwargs.get("sampling", False):
            raise InvalidInputError(f"{where}: logits must be True and sampling False; there is nothing else here")
        check_keywords({name: value for name, value in kwargs.items() if name not in ("logits", "sampling")}, where)

    def _output(self, x: Tensor) -> Tensor:
        logits = self._run(x)
        if logits.shape != (len(x), self.nb_classes):
            raise InvalidInputError(f"model: an output (N, {self.nb_classes}) is needed, not {tuple(logits.shape)}")
        return logits

    @property
    def _minus_infinity(self) -> bool:
        return True  # a class that is ruled out

    def _prediction(self, output: Tensor) -> Tensor:
        return output

    def _targets(self, y: object, count: int) -> Tensor:
        """Rows of probabilities (count, nb_classes) from any of the forms that labels may have."""
        if y is None:
            raise InvalidInputError("y: labels are needed, whole numbers or one-hot")
        rows = rows_of_numbers(y, count)
        if rows.shape == (count, 1):
            rows = rows[:, 0]
        if rows.shape == (count,):
            if not bool(((rows == rows.round()) & (rows >= 0) & (rows < self.nb_classes)).all()):
                raise InvalidInputError(f"y: labels from 0 to {self.nb_classes - 1} are needed")
            rows = nn.functional.one_hot(rows.long(), self.nb_classes).float()
        elif rows.shape != (count, self.nb_classes):
            raise InvalidInputError(
                f"y: labels ({count},) or rows ({count}, {self.nb_classes}) are needed, not shape {tuple(rows.shape)}"
            )
        elif bool((rows < 0).any()) or not torch.allclose(rows.sum(1), rows.new_ones(count), atol=1e-3):
            raise InvalidInputError("y: rows that are one-hot, or probabilities that sum to 1, are needed")
        return rows.to(self.device)

    def _distance(self, y: Tensor) -> Objective:
        return LabelDistance(y)

    def predict_file(self, path: str | Path) -> Array:
        """Predict the logits (nb_classes,) of a file, behind the defences.

        Raises:
            ImageFileError: Not a readable photo.
        """
        logits: Array = self.output_of_file(path)[0].cpu().numpy()
        return logits

    # -- what ART's attacks ask of a classifier beyond a loss ----------------------------------------------------------

    def class_gradient(self, x: Any, label: Any = None, **kwargs: Any) -> Any:
        """Gradient of logits with respect to the photo, numpy or tensor as x.

        Args:
            x: Photos.
            label: A class for all photos, one for each (N,), or None for all classes.
            **kwargs: ``training_mode=False``, ``logits=True``, ``sampling=False``, which ART's attacks pass.

        Returns:
            (N, nb_classes, *photo) for all classes, else (N, 1, *photo).

        Raises:
            InvalidInputError: As :meth:`to_tensor`; a label out of range.
        """
        self._check_keywords(kwargs, "class_gradient")
        tensor = self._checked(x)
        wanted = self._classes(label, len(tensor))
        parts = []
        with self._running(gradients=True):
            for chunk in self.chunks(len(tensor)):
                photos = tensor[chunk].detach().to(self.device).requires_grad_()
                with photos_numbered(range(len(tensor))[chunk]):
                    with gradient_autocast(self.device, GRADIENT_DTYPES[self.gradient_dtype]):
                        logits = self.forward_output(photos)
                    columns = logits.gather(1, wanted[chunk]).sum(0)
                    rows = [self._gradient(c, photos, again=k + 1 < len(columns)) for k, c in enumerate(columns)]
                parts.append(torch.stack(rows, 1))
        gradient = torch.cat(parts)
        if isinstance(x, Tensor):
            return gradient
        return self.to_array(gradient.flatten(0, 1)).reshape(*gradient.shape[:2], *x.shape[1:])

    def _classes(self, label: Any, count: int) -> Tensor:
        """Classes (count, m) whose logits to differentiate."""
        if label is None:
            return torch.arange(self.nb_classes, device=self.device).expand(count, -1)
        numbers = np.asarray(label)
        whole = np.issubdtype(numbers.dtype, np.integer) and numbers.shape in ((), (count,))
        if not whole or not ((numbers >= 0) & (numbers < self.nb_classes)).all():
            raise InvalidInputError(
                f"label: None, a class from 0 to {self.nb_classes - 1}, or {count} of them is needed, not {label!r}"
            )
        return torch.from_numpy(np.broadcast_to(numbers, (count,)).astype(np.int64)[:, None]).to(self.device)

    def _predict_framework(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        """Logits with their graph, for ART's attacks that differentiate through the model themselves; y as it came."""
        with self._running(gradients=torch.is_grad_enabled()):
            return torch.cat([logits for _, logits in self._outputs(x)]), y

    def custom_loss_gradient(
        self, loss_fn: Callable[..., Tensor], x: Any, y: Any, layer_name: int | str, training_mode: bool = False
    ) -> Any:
        """Gradient of ``loss_fn(activations(x) - activations(y), p=2)`` at one layer with respect to the photos x."""
        check_keywords({"training_mode": training_mode}, "custom_loss_gradient")
        photos = self._checked(x).detach().clone().requires_grad_()
        guide = self.get_activations(self._checked(y).detach(), layer_name, framework=True).detach()
        with torch.inference_mode(False), torch.enable_grad():
            apart = loss_fn(self.get_activations(photos, layer_name, framework=True) - guide, p=2)
            gradient = self._gradient(apart, photos)
        return gradient if isinstance(x, Tensor) else self.to_array(gradient)

    def fit_generator(self, generator: Any, nb_epochs: int = 20, **kwargs: Any) -> None:
        """Not offered, as :meth:`fit`."""
        self.fit(None, None)  # type: ignore[arg-type]

    def reset(self) -> None:
        """Not offered; :meth:`clone_for_refitting` gives a copy with fresh weights."""
        raise NotImplementedError("a finished model is not reset; clone_for_refitting(seed) gives a copy")

    def save(self, filename: str, path: str | None = None) -> None:
        """Write the model's weights to ``path/filename.safetensors`` (path: the current folder)."""
        save_model(self.model, str(Path(path or ".") / f"{filename}.safetensors"))
