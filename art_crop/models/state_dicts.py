"""Weight files that users bring: read without running code, and compared with a network key by key."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from art_crop.errors import WeightsError

__all__ = ["check_state_dict", "read_state_dict"]

_SHOWN = 8


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint by name.

    Files are ``.safetensors`` or torch's own (read with ``weights_only=True``), which hold a state dict, or a dict with
    one under ``state_dict`` or ``model``. The prefix ``module.``, which ``nn.DataParallel`` adds, is taken off.

    Raises:
        WeightsError: The file cannot be read, holds more than data, or holds no state dict.
    """
    path = Path(path).expanduser()
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights: {path} is no plain weight file: it holds more than tensors and numbers, or is damaged; "
            "nothing of it was run"
        ) from error
    except Exception as error:  # torch and safetensors raise their own kinds for damaged files
        raise WeightsError(f"weights: {path} cannot be read: {_first_line(error)}") from error
    if isinstance(content, Mapping):
        content = next((content[k] for k in ("state_dict", "model") if isinstance(content.get(k), Mapping)), content)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise WeightsError(f"weights: {path} holds no state dict (names with tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def check_state_dict(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | Path, name: str
) -> dict[str, Tensor]:
    """Compare a state dict with the one that a network wants, key by key, and complete it.

    Args:
        state: What the file holds.
        wanted: The network's own, which may be on the meta device; its names are those that messages use.
        path: The file, for messages.
        name: The network, for messages.

    Returns:
        All tensors of ``wanted`` in its types. Counts of batches, which files from before torch 0.4 do not have and
        evaluation does not need, are 0 where they are missing.

    Raises:
        WeightsError: Tensors are missing, unknown, of another shape or kind, or not finite; the message names them.
    """
    counts = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in state and key not in counts]
    unknown = [key for key in state if key not in wanted]
    common = [key for key in wanted if key in state]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in common
        if state[key].shape != wanted[key].shape
    ]
    kinds = [
        f"{key} {str(state[key].dtype).removeprefix('torch.')}"
        for key in common
        if state[key].is_floating_point() != wanted[key].is_floating_point()
    ]
    infinite = [key for key in common if state[key].is_floating_point() and not bool(state[key].isfinite().all())]
    found = {
        "missing": missing,
        "unknown": unknown,
        "of another shape": shapes,
        "of another kind of number": kinds,
        "not finite": infinite,
    }
    if any(found.values()):
        report = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in found.items() if keys)
        raise WeightsError(f"weights: {path} does not hold {name} ({len(wanted)} tensors): {report}")
    return {
        key: state[key].to(value.dtype) if key in state else torch.zeros(value.shape, dtype=value.dtype)
        for key, value in wanted.items()
    }


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
