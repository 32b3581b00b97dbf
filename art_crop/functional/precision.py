"""Full float32 arithmetic, whatever the program around has switched on.

A deployed cropper's peak is decided by differences of a thousandth; TensorFloat-32 (NVIDIA's default for convolutions)
and an autocast region left on by the caller would both change them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

__all__ = ["exact_float32", "gradient_autocast"]


_lock = threading.Lock()
_holders: list[int] = [0]
"""How many calls of all threads hold the process's TensorFloat switches."""
_before: list[tuple[Any, str, Any]] = []
"""The switches as the first of them found them."""


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """No autocast and, on CUDA, no TensorFloat-32 inside; afterwards everything as before.

    The switches are the process's: of several threads the first turns them, the last turns them back.
    """
    with _no_autocast(device):
        if device.type != "cuda":
            yield
            return
        switches = _tf32_switches()
        with _lock:
            if not _holders[0]:
                _before[:] = [(owner, name, getattr(owner, name)) for owner, name, _ in switches]
            _holders[0] += 1
        try:
            _set(switches)
            yield
        finally:
            with _lock:
                _holders[0] -= 1
                if not _holders[0]:
                    _set(_before)


def _set(switches: list[tuple[Any, str, Any]]) -> None:
    for owner, name, value in switches:
        setattr(owner, name, value)


def gradient_autocast(device: torch.device, dtype: torch.dtype) -> Any:
    """Autocast to ``dtype`` for a forward pass whose gradient is wanted; nothing at all for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def _no_autocast(device: torch.device) -> Any:
    # Asking for autocast, even to switch it off, is an error on a device that has none.
    has_autocast = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if has_autocast else nullcontext()


def _tf32_switches() -> list[tuple[Any, str, Any]]:
    """Owner, attribute and exact value; the names of torch >= 2.9 where it has them, for the two must not be mixed."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):
        return [(cudnn.conv, "fp32_precision", "ieee"), (matmul, "fp32_precision", "ieee")]
    return [(cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
