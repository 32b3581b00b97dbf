"""Where a model is and in which state: devices, and a model that is left as it was found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from art_crop.errors import InvalidInputError

__all__ = ["device_type", "frozen", "placed", "resolve_device"]


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
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InvalidInputError(f"device: {device!r} is not usable here; use auto, cpu, cuda, cuda:N or mps") from error
    return resolved


def device_type(device: torch.device) -> str:
    """ART's word for it."""
    return "cpu" if device.type == "cpu" else "gpu"


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, its convolutions in the layout that is fastest there."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model.to(device)


_held = threading.local()
"""Models that this thread has frozen, so that a loop can freeze once what each of its steps asks to be frozen."""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; afterwards every module's mode and every flag as before.

    Inside another ``frozen`` of the same model in the same thread it does nothing: a walk through a hundred modules
    before each gradient costs a small network 1 to 2% of its time.
    """
    held: list[nn.Module] = _held.__dict__.setdefault("models", [])
    if any(model is other for other in held):
        yield
        return
    # One walk through the modules, and only what differs is touched.
    modules = list(model.modules())
    modes = [(module, module.training) for module in modules]
    flags = [(p, p.requires_grad) for module in modules for p in module._parameters.values() if p is not None]
    held.append(model)
    try:
        if any(training for _, training in modes):
            model.eval()
        for parameter, needed in flags:
            if needed:
                parameter.requires_grad_(False)
        yield
    finally:
        held.remove(model)
        for module, training in modes:
            if module.training is not training:
                module.training = training
        for parameter, needed in flags:
            if parameter.requires_grad is not needed:
                parameter.requires_grad_(needed)
