"""What training runs share: checkpoints that only the same run takes up again, the batches from there on, a schedule,
and an average of the weights.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from art_crop.errors import InvalidInputError
from art_crop.images import write_atomic

__all__ = ["average_weights", "keep", "loaded", "resume", "warmed_cosine", "weights_digest"]


def warmed_cosine(optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Raise the rate over a tenth of the steps, 200 at most, and let it fall along half a cosine to a hundredth."""
    warm = max(1, min(200, steps // 10))
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1.01 + 0.99 * math.cos(math.pi * min(1, step / steps))),
    )


def loaded(sampler: Any, first: int, workers: int) -> Iterable[Any]:
    """Make the batches of a sampler from the ``first`` on, in as many processes; 0: in this one."""
    return torch.utils.data.DataLoader(
        torch.utils.data.Subset(sampler, range(first, len(sampler))),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # or it draws a number from the global one
    )


@torch.no_grad()
def average_weights(average: torch.nn.Module, net: torch.nn.Module, decay: float) -> None:
    """Move an exponential average of a network's weights on by a step."""
    for slow, fast in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


def keep(path: Path, identity: dict[str, Any], done: int, parts: Sequence[Any]) -> None:
    """Write the checkpoint; an interruption leaves the old one whole."""
    buffer = io.BytesIO()
    torch.save({"step": done, "run": identity, "state": [part.state_dict() for part in parts]}, buffer)
    write_atomic(path, buffer.getvalue())


def resume(path: Path | None, identity: dict[str, Any], parts: Sequence[Any]) -> int:
    """Load the checkpoint of the same run into net, average, optimiser and schedule; the number of steps done."""
    if path is None or not path.exists():
        return 0
    try:
        saved = torch.load(path, weights_only=True)
        run, states, done = dict(saved["run"]), saved["state"], int(saved["step"])
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as error:
        raise InvalidInputError(
            f"checkpoint: {path} is not a readable checkpoint; remove it or name another"
        ) from error
    if run != identity:
        other = ", ".join(name for name, value in identity.items() if run.get(name) != value)
        raise InvalidInputError(f"checkpoint: {path} belongs to a run with another {other}; remove it or name another")
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)
    return done


def weights_digest(net: torch.nn.Module | None) -> str:
    """Name the weights that a run begins with; empty for a random start."""
    if net is None:
        return ""
    digest = hashlib.sha256()
    for value in net.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
