"""What the conformance classes have in common: refusals, and what must be afterwards as it was before."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["close", "global_state_kept", "model_state", "planar", "refused", "same", "spread", "unchanged"]

Array = np.ndarray[Any, Any]
ERROR = "art_crop.errors.InvalidInputError (or ValueError, TypeError)"


@contextmanager
def refused(names: str, case: str) -> Iterator[None]:
    """The block must raise ValueError or TypeError with a message that names the argument.

    Args:
        names: Names that the message may use for the argument, separated by ``|``.
        case: What is being tried, for the sentence that a failing author reads.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        message = str(error)
        named = re.search(rf"(?<![A-Za-z0-9])({names})(?![A-Za-z0-9])", message)
        assert named, f"{case}: refused, but the message does not name {names}; it says: {message!r}"
    except Exception as error:
        raise AssertionError(
            f"{case}: raise {ERROR} that names {names}, not {type(error).__name__}: {error}"
        ) from error
    else:
        raise AssertionError(f"{case}: accepted without a word; raise {ERROR} with a message that names {names}")


def spread(values: Any) -> float:
    """Largest minus smallest value, which tolerances are relative to; at least a hundredth of the size."""
    array = np.asarray(values, np.float64)
    return float(max(np.ptp(array), 1e-2 * np.abs(array).max(), 1e-12))


def close(one: Any, other: Any, tolerance: float, *, among: Any = None) -> bool:
    """Whether two arrays are equal up to a share of their spread, or of that of the values that they are ``among``.

    A single number has no spread of its own: what a photo's score or loss may differ by is told by the other photos'.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    allowed = tolerance * max(spread(first), 0 if among is None else spread(among))
    return first.shape == second.shape and bool((np.abs(first - second) <= allowed).all())


def planar(x: Array, channels_first: bool) -> Array:
    """Photos (N, C, H, W) in an estimator's layout."""
    return x if channels_first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))


@contextmanager
def unchanged(what: str, *arrays: Any) -> Iterator[None]:
    """The block must not write into these arrays or tensors, nor switch on their gradients."""
    kept = [copy_of(array) for array in arrays]
    flags = [array.requires_grad if isinstance(array, Tensor) else None for array in arrays]
    yield
    for array, before, flag in zip(arrays, kept, flags, strict=True):
        assert same(copy_of(array), before), f"{what}: the caller's array was written into; work on a copy"
        assert not isinstance(array, Tensor) or array.requires_grad == flag, (
            f"{what}: requires_grad of the caller's tensor was changed; detach it first"
        )


def copy_of(value: Any) -> Any:
    """An independent copy of an array or tensor; anything else as it is."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def same(one: Any, other: Any) -> bool:
    """Equality that looks into arrays, tensors, lists, tuples and dictionaries; NaN equals NaN."""
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        alike = isinstance(one, Tensor) and isinstance(other, Tensor) and one.dtype == other.dtype
        return alike and one.device == other.device and torch.equal(one, other)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind in "fc")
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one is other or one == other)


def model_state(model: nn.Module) -> dict[str, Any]:
    """All that an estimator could change about a torch model, by a name that a reader understands."""
    state: dict[str, Any] = {}
    for name, module in model.named_modules():
        where = name or "the model"
        state[f"training mode of {where}"] = module.training
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        state[f"hooks of {where}"] = [len(getattr(module, kind, ())) for kind in hooks]
    for name, parameter in model.named_parameters():
        state[f"requires_grad of {name}"] = parameter.requires_grad
        state[f".grad of {name}"] = None if parameter.grad is None else parameter.grad.clone()
        state[f"value, dtype or device of {name}"] = parameter.detach().clone()
    for name, buffer in model.named_buffers():
        state[f"buffer {name}"] = buffer.detach().clone()
    return state


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what differs between two states."""
    return [name for name in {**before, **after} if not same(before.get(name), after.get(name))]


@contextmanager
def model_kept(model: nn.Module, what: str) -> Iterator[None]:
    """The block must leave a model as it found it."""
    before = model_state(model)
    yield
    found = changed(before, model_state(model))
    assert not found, f"{what} left the model changed: {'; '.join(found[:5])}. Restore what you change, also on errors"


def _global_state() -> dict[str, Any]:
    state: dict[str, Any] = {
        "Python's random state": random.getstate(),
        "numpy's global random state": np.random.get_state(),  # noqa: NPY002 (it is what must not change)
        "torch's global random state": torch.get_rng_state(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's gradient switch": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic switch": torch.are_deterministic_algorithms_enabled(),
    }
    if torch.cuda.is_available():
        state["torch's CUDA random state"] = torch.cuda.get_rng_state()
    return state


@contextmanager
def global_state_kept(what: str) -> Iterator[None]:
    """The block must leave global random states and torch's switches alone."""
    before = _global_state()
    yield
    found = changed(before, _global_state())
    assert not found, f"{what} touched {', '.join(found)}; use a generator of your own, made from the seed"


@contextmanager
def globally_seeded(seed: int) -> Iterator[None]:
    """Global random states as a program that seeds them has them; afterwards as before."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
