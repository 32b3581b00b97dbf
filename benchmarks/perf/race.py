"""Attacks that take turns on the same photos: passes counted, times as ratios, turn by turn.

Nothing is timed before one round that counts each network's passes: who takes other than the agreed number of gradients
ends the run. Then everybody attacks the same photos in turns, new photos and another order each turn. Machines drift,
so a ratio compares two times of one turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor, nn

Array = np.ndarray[Any, Any]


@dataclass
class Batch:
    """Photos (N, 3, H, W) in [0, 1], a class for each (N,), and maps (N, h, w) where an attack wants those."""

    x: Array
    y: Array
    maps: Array | None = None

    def first(self) -> Batch:
        """The first photo alone."""
        return Batch(self.x[:1], self.y[:1], None if self.maps is None else self.maps[:1])


@dataclass
class Contender:
    """One row: an attack, the network whose passes count, and what came of it."""

    name: str
    network: nn.Module
    attack: Callable[[Batch], Array] | None
    """None: its library is not installed."""
    steps: int
    seconds: list[float] = field(default_factory=list)
    results: list[Array] = field(default_factory=list)
    passes: str = ""


class Passes:
    """Photos that went through a network, and those for which a gradient came back, while this is open."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.forward, self.backward = network, 0, 0

    def __enter__(self) -> Passes:
        self._handle = self.network.register_forward_hook(self._went)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _went(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.forward += len(output)
        if output.requires_grad:
            output.register_hook(self._came)  # type: ignore[no-untyped-call]

    def _came(self, gradient: Tensor) -> None:
        self.backward += len(gradient)


def race(contenders: Sequence[Contender], batches: Sequence[Batch]) -> None:
    """One round that counts, then all in turns on each batch, each time another one first."""
    present = [(c, c.attack) for c in contenders if c.attack is not None]
    for contender, attack in present:
        with Passes(contender.network) as passes:
            attack(batches[0].first())
        if passes.backward != contender.steps:
            raise SystemExit(f"{contender.name}: {passes.backward} gradients of a photo, not {contender.steps}")
        contender.passes = f"{passes.forward} + {passes.backward}"
        contender.seconds, contender.results = [], []
    for turn, batch in enumerate(batches):
        for k in range(len(present)):
            contender, attack = present[(turn + k) % len(present)]
            start = time.perf_counter()
            found = attack(batch)
            contender.seconds.append(time.perf_counter() - start)
            contender.results.append(found)


def rows(
    contenders: Sequence[Contender], batches: Sequence[Batch], achieved: Callable[[Array, Array, Array], list[str]]
) -> list[str]:
    """Markdown rows, times over those of the first contender; ``achieved``: cells for photos, classes and results."""
    x, y = np.concatenate([batch.x for batch in batches]), np.concatenate([batch.y for batch in batches])
    lines = []
    for c in contenders:
        if c.attack is None:
            lines.append(f"| {c.name} | not installed: `pip install {c.name.split()[0]}` |")
            continue
        ratios = [own / first for own, first in zip(c.seconds, contenders[0].seconds, strict=True)]
        low, middle, high = np.percentile(ratios, (25, 50, 75))
        cells = [c.name, f"{middle:.2f} ({low:.2f} to {high:.2f})", c.passes]
        lines.append("| " + " | ".join([*cells, *achieved(x, y, np.concatenate(c.results))]) + " |")
    return lines


def photos(folder: Path, count: int, size: tuple[int, int]) -> Array:
    """Photos of a folder, evenly spread over its names, their middle cut to a size (width, height)."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(paths) < count:
        raise SystemExit(f"--photos: {count} photos are needed, {folder} holds {len(paths)}")
    cut = []
    for path in paths[:: len(paths) // count][:count]:
        with Image.open(path) as image:
            small = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS)
        cut.append(np.asarray(small, np.float32).transpose(2, 0, 1) / 255)
    return np.stack(cut)
