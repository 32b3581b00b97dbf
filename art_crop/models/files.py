"""Weight files: as bytes of a bounded size, and as tensors by name; nothing of them is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from art_crop.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_bytes", "read_state"]


def read_bytes(path: str | Path, at_most: int) -> bytes:
    """Content of a weight file.

    Raises:
        WeightsError: Missing, unreadable, not a regular file, or longer than ``at_most`` bytes.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():  # a pipe would block, a device might never end
            raise WeightsError(f"cannot read weights {path}: it is no regular file")
        with file.open("rb") as stream:
            data = stream.read(at_most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"cannot read weights {str(path)!r}: {reason}") from error
    if len(data) > at_most:
        raise WeightsError(f"{path} is longer than the {at_most} bytes that such a weight file may have")
    return data


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint by name.

    Files are ``.safetensors`` or torch's own (read with ``weights_only=True``), which hold a state dict, or a dict with
    one under ``state_dict`` or ``model``. The prefix ``module.``, which ``nn.DataParallel`` adds, is taken off.

    Raises:
        WeightsError: The file cannot be read, holds more than data, or holds no state dict.
    """
    import torch

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
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"weights: {path} cannot be read: {reason}") from error
    if isinstance(content, Mapping):
        content = next((content[k] for k in ("state_dict", "model") if isinstance(content.get(k), Mapping)), content)
    named = isinstance(content, Mapping) and all(isinstance(value, torch.Tensor) for value in content.values())
    if not named or not content:
        raise WeightsError(f"weights: {path} holds no state dict (names with tensors)")
    return {str(key).removeprefix("module."): value for key, value in content.items()}
