"""Where a model is and in which state: devices, and a model that is left as it was found."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from art_crop.errors import InvalidInputError

__all__ = ["check_weights", "device_type", "frozen", "resolve_device"]


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


def check_weights(model: nn.Module) -> None:
    """Check that all weights have values.

    Raises:
        InvalidInputError: Those of a lazy module that has not run yet, or on the meta device, have none.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        if is_lazy(tensor):
            raise InvalidInputError(f"model: {name} has no shape yet; run the lazy module once before it is wrapped")
        if tensor.is_meta:
            raise InvalidInputError(f"model: {name} is on the meta device and has no values; load the weights first")


_held = threading.local()
"""Models that this thread has frozen, so that a loop can freeze once what each of its steps asks to be frozen."""
_lock = threading.RLock()
"""Held while modes and flags change, never while a model runs."""
_counts: dict[int, list[Any]] = {}
"""By identity, what is frozen at the moment: the module or parameter, how often, and its mode or flag before."""


def _count(thing: nn.Module | nn.Parameter, before: bool) -> None:
    _counts.setdefault(id(thing), [thing, 0, before])[1] += 1


def _uncount(thing: nn.Module | nn.Parameter) -> bool:
    """Its mode or flag from now on: frozen as long as somebody else holds it, then what it was."""
    entry = _counts[id(thing)]
    entry[1] -= 1
    if entry[1]:
        return False
    del _counts[id(thing)]
    return bool(entry[2])


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; afterwards every module's mode and every flag as before.

    Several threads may hold one model, or models that share modules: the first freezes, the last sets back. Inside
    another ``frozen`` of the same model in the same thread it does nothing: a walk through a hundred modules before
    each gradient costs a small network 1 to 2% of its time.
    """
    held: list[nn.Module] = _held.__dict__.setdefault("models", [])
    if any(model is other for other in held):
        yield
        return
    # One walk through the modules, and only what differs is touched.
    modules = list(model.modules())
    # Those made in inference mode have no gradients, and their flags cannot be set back outside of it.
    parameters = [
        p for module in modules for p in module._parameters.values() if p is not None and not p.is_inference()
    ]
    with _lock:
        for module in modules:
            _count(module, module.training)
        for parameter in parameters:
            _count(parameter, parameter.requires_grad)
    held.append(model)
    try:
        with _lock:
            if any(module.training for module in modules):
                model.eval()
            for parameter in parameters:
                if parameter.requires_grad:
                    parameter.requires_grad_(False)
        yield
    finally:
        held.remove(model)
        with _lock:
            for module in modules:
                training = _uncount(module)
                if module.training is not training:
                    module.training = training
            for parameter in parameters:
                needed = _uncount(parameter)
                if parameter.requires_grad is not needed:
                    parameter.requires_grad_(needed)
