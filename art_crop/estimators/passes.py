"""A pass through somebody else's network: it gets photos of its own, in its own type; its answers are checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from art_crop.errors import InvalidInputError

__all__ = ["NotFiniteError", "check_finite", "check_gradient", "explained", "own_dtype", "photos_numbered", "run"]

_CAUSES = (
    (
        ("inference tensor",),
        "weights or targets that were made inside torch.inference_mode() have no gradients; make them outside of it",
    ),
    (
        ("should be the same", "same dtype", "expected scalar type", "found dtype"),
        "numbers of different types meet; give all of the model one type, as model.float() does",
    ),
    (
        ("same device", "tensor on device", "meta tensor", "device meta"),
        "tensors on different devices meet; those that are no parameters must be registered as buffers to move along",
    ),
    (("modified by an inplace operation",), "it changes something in place that its own gradient needs"),
    (("not implemented for",), "an operation is missing for this type of numbers; model.float() is always possible"),
)
"""What torch says (in lower case), and what it means for a model that is wrapped."""


class NotFiniteError(InvalidInputError):
    """Numbers that are NaN or infinite, for some photos of a batch."""

    def __init__(self, what: str, rows: Sequence[int]) -> None:
        self.what, self.rows = what, list(rows)
        shown = ", ".join(str(row) for row in self.rows[:5]) + (", …" if len(self.rows) > 5 else "")
        super().__init__(f"{what} for photo{'s' if len(self.rows) > 1 else ''} {shown} of the batch")

    def __reduce__(self) -> Any:
        return type(self), (self.what, self.rows)


@contextmanager
def photos_numbered(indices: Sequence[int]) -> Iterator[None]:
    """Count photos as the caller does: row i of what is done inside is photo ``indices[i]``."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError(error.what, [indices[row] for row in error.rows]) from None


def own_dtype(model: nn.Module) -> torch.dtype | None:
    """Type of the numbers that a model computes with; None: it has no parameters, or several types."""
    first = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if first in (None, torch.float32):
        return first
    return first if all(p.dtype == first for p in model.parameters() if p.is_floating_point()) else None


def run(model: nn.Module, x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Run a model on photos (n, 3, H, W), and give what it answers, (n, ...) float32 on their device.

    It gets a copy, for it may change its input in place; where nothing is differentiated the answer is a copy as well,
    for it may use a buffer again.

    Raises:
        InvalidInputError: It gives no tensor of real numbers with one row a photo.
    """
    # A number of another type is a copy already.
    given = x.clone() if dtype is None or dtype == x.dtype else x.to(dtype)
    answer: Any = model(given)
    if not isinstance(answer, Tensor):
        held = f"{type(answer).__name__} of {len(answer)}" if isinstance(answer, (tuple, list, dict)) else ""
        raise InvalidInputError(
            f"model: {type(model).__name__} must give one tensor, not {held or type(answer).__name__}; "
            "wrap it in a module that picks the tensor out"
        )
    if answer.is_complex() or answer.layout != torch.strided or answer.ndim == 0 or len(answer) != len(x):
        raise InvalidInputError(
            f"model: {type(model).__name__} must give real numbers with one row a photo, output (N, ...), "
            f"not {answer.dtype} {tuple(answer.shape)} for {len(x)} photo(s)"
        )
    numbers = answer.to(x.device, torch.float32)
    return numbers if numbers is not answer or torch.is_grad_enabled() else numbers.clone()


def check_finite(model: nn.Module, answer: Tensor, x: Tensor, *, minus_infinity: bool = False) -> None:
    """Check that answers (n, ...) of a model are finite; with ``minus_infinity`` some numbers of a row may be -inf.

    Raises:
        NotFiniteError: They are not; or the photos are not, which is then said instead.
    """
    values = answer.detach().flatten(1) if answer.ndim > 1 else answer.detach()[:, None]
    # The largest tells of NaN and of +inf, the smallest of -inf.
    ends = [] if not values.numel() else [values.amax(1)] if minus_infinity else [values.amax(1), values.amin(1)]
    if all(bool(torch.isfinite(end).all()) for end in ends):
        return
    if not bool(torch.isfinite(x).all()):
        rows = (~torch.isfinite(x.detach().flatten(1)).all(1)).nonzero()[:, 0].tolist()
        raise NotFiniteError("x: finite values are needed; NaN or infinity", rows)
    bad = ~torch.isfinite(values.amax(1)) if minus_infinity else ~torch.isfinite(values).all(1)
    kind = "NaN" if bool(values[bad].isnan().any()) else "infinite values"
    raise NotFiniteError(
        f"model: {type(model).__name__} gives {kind} for finite photos (a division by 0 on a flat photo is the usual "
        "cause); it must give finite numbers,",
        bad.nonzero()[:, 0].tolist(),
    )


def check_gradient(model: nn.Module, gradient: Tensor) -> None:
    """Check that gradients (n, ...) with respect to photos are finite.

    Raises:
        NotFiniteError: They are not, though the answers were.
    """
    rows = gradient.detach().flatten(1)
    if bool(torch.isfinite(rows.sum(1)).all()):  # one pass; a sum may overflow, so that is no proof
        return
    bad = (~torch.isfinite(rows).all(1)).nonzero()[:, 0].tolist()
    if bad:
        raise NotFiniteError(
            f"model: {type(model).__name__} gives finite numbers and a gradient of NaN or infinity (a root, a norm or "
            "a logarithm at 0 is the usual cause); it cannot be attacked along it,",
            bad,
        )


@contextmanager
def explained(model: nn.Module) -> Iterator[None]:
    """Say in a sentence what torch says of types, devices and modes that do not fit.

    Raises:
        InvalidInputError: Such an error, with the cause.
    """
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        said = str(error).strip().split("\n")[0]
        cause = next((cause for words, cause in _CAUSES if any(word in said.lower() for word in words)), None)
        if cause is None:
            raise
        raise InvalidInputError(f"model: {type(model).__name__}: {cause} ({said[:200]})") from error
