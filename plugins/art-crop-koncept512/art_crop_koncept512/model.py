"""KonCept512 with weights of the user's, as a quality regressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from art_crop.checks import check_choice, check_int
from art_crop.errors import InvalidInputError, WeightsError
from art_crop.estimators import PyTorchQualityRegressor
from art_crop.models.state_dicts import check_state_dict, read_state_dict
from art_crop.models.weights import file_sha256
from art_crop_koncept512.layouts import layout_of
from art_crop_koncept512.network import SIZE, SMALLEST, KonCept512, Pooling

__all__ = ["koncept512", "load_network"]


def koncept512(
    *,
    weights: str | Path | None = None,
    size: tuple[int, int] | None = SIZE,
    pooling: Pooling | None = None,
    **kwargs: Any,
) -> PyTorchQualityRegressor:
    """KonCept512, trained on KonIQ-10k: photos of any size in [0, 1] -> scores from 0 to 100, higher is better.

    Args:
        weights: Path of a state dict, ``.safetensors`` or torch's own; a dict with one under ``state_dict`` or
            ``model`` and names that begin with ``module.`` will do. Names of the tensors may be those of

            - this network, ``features.conv2d_1a.conv.weight`` and ``head.0.weight``;
            - the PyTorch re-implementation, ``base.0.conv.weight`` and ``fc.0.weight``, where the number is that of
              InceptionResNetV2's child (``conv2d_1a`` is 0, …, ``conv2d_7b`` is 14);
            - the same with the child's name, ``base.conv2d_1a.conv.weight`` and ``fc.0.weight``;
            - InceptionResNetV2 of pretrainedmodels or timm whose last layer became the head,
              ``conv2d_1a.conv.weight`` and ``last_linear.0.weight`` or ``classif.0.weight``.
        size: (height, width) to which photos are resized, as those of the training were; None: they are seen as they
            are, which costs time and gives other scores.
        pooling: ``"global"``: features are averaged over the photo, as in the paper. ``"corner"``: over the first 8x8
            cells of its 14x10, as by the ``nn.AvgPool2d(8)`` of pretrainedmodels' network, with which the PyTorch
            re-implementation was trained. None: ``"corner"`` for files with the names of that network
            (``base.0.…`` or ``last_linear.…``), else ``"global"``.
        **kwargs: As for :class:`~art_crop.estimators.PyTorchQualityRegressor`: ``device``, ``channels_first``, …

    Raises:
        WeightsError: No path, or a file that does not hold this network; the message says which tensors are missing,
            unknown or of another shape.
        InvalidInputError: A size or a pooling that is none.
        MissingDependencyError: timm is missing, or torchvision does not fit torch.
    """
    if weights is None:
        raise WeightsError(
            "koncept512 needs weights, which are not fetched for you: give the path of a weight file of KonCept512, "
            "weights=path (on the command line --weights)"
        )
    network, digest = load_network(weights, size=size, pooling=pooling)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    estimator = PyTorchQualityRegressor(network, **({"score_range": (0.0, 100.0)} | kwargs))
    estimator.name, estimator.weights_sha256 = "koncept512", digest
    return estimator


def load_network(
    path: str | Path, *, size: tuple[int, int] | None = SIZE, pooling: Pooling | None = None
) -> tuple[KonCept512, str]:
    """Load the network in evaluation mode, and the SHA-256 of the file; errors as :func:`koncept512`."""
    if pooling is not None:
        check_choice(pooling, "pooling", ("global", "corner"))
    if size is not None:
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise InvalidInputError(f"size: (height, width) in pixels or None is needed, not {size!r}")
        height, width = (check_int(side, "size", at_least=SMALLEST) for side in size)
        size = height, width
    file = Path(path).expanduser()
    digest, state = file_sha256(file), read_state_dict(file)
    with torch.device("meta"):  # its own random weights would take a second, and random numbers of the caller's
        network = KonCept512(size=size)
    wanted = network.state_dict()
    layout = layout_of(state, wanted)
    network.pooling = layout.pooling if pooling is None else pooling
    names = {layout.name(key): key for key in wanted}
    checked = check_state_dict(state, {name: wanted[key] for name, key in names.items()}, file, "KonCept512")
    network.load_state_dict({names[name]: value for name, value in checked.items()}, assign=True)
    return network.eval(), digest
