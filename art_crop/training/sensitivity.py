"""Teach the sensitivity network of paper 004 where people look, from the fixations of OSIE.

Shen et al., MediaEval 2020, section 2.3: the mean squared error to maps of where people fixated, in [0, 1]. The paper
has 698 photos of EMOd, 30 epochs, and over-fits after about the fifth; so photos that are neither learnt from nor held
out decide which epoch is kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.checks import check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.models.sensitivity import FCNVGG16, LONG_SIDE, load_start
from art_crop.training.checkpoint import keep, loaded, resume, warmed_cosine, weights_digest

__all__ = [
    "MAP_SIZE",
    "VALIDATION_EVERY",
    "Parts",
    "SeenPhotos",
    "SensitivityTraining",
    "Trained",
    "held_out_errors",
    "osie_parts",
    "predicted_maps",
    "squared_errors",
    "train_sensitivity",
]

MAP_SIZE = (160, 120)
"""Width and height at which maps are compared, at whatever size the network sees photos: errors then compare too."""
VALIDATION_EVERY = 8
"""Of OSIE's training part, every eighth photo decides which epoch is kept."""
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


class SeenPhotos(NamedTuple):
    """Photos as the network sees them, uint8 (N, 3, h, w), and maps of where people looked, float32 (N, 120, 160).

    A map is the density of the fixations, blurred by OSIE's own 24 pixels, divided by its peak.
    """

    levels: Tensor
    maps: Tensor


class Parts(NamedTuple):
    """What is learnt from, what decides which epoch is kept, and what measures the result and nothing else."""

    learnt: SeenPhotos
    validation: SeenPhotos
    held_out: SeenPhotos


class Trained(NamedTuple):
    """The network of the best epoch, counted from 1, and its mean squared error on the validation part."""

    net: FCNVGG16
    epoch: int
    error: float


@dataclass
class SensitivityTraining:
    """Settings of a run. ``long_side``: pixels of a photo's longer side as the network sees it."""

    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 1e-4
    long_side: int = LONG_SIDE
    seed: int = 0
    checkpoint: Path | None = None
    checkpoint_every: int = 50

    def check(self) -> None:
        """Raises InvalidInputError for a setting outside its range; ``long_side`` is checked by the network."""
        check_int(self.epochs, "epochs", at_least=1)
        check_int(self.batch_size, "batch_size", at_least=1)
        check_int(self.seed, "seed", at_least=0)
        check_int(self.checkpoint_every, "checkpoint_every", at_least=1)
        check_number(self.learning_rate, "learning_rate", above=0)

    def identity(self, photos: int, start: FCNVGG16 | None) -> dict[str, Any]:
        """What two runs must have in common for the one to go on where the other stopped."""
        names = ("epochs", "batch_size", "learning_rate", "long_side", "seed")
        return {**{name: getattr(self, name) for name in names}, "photos": photos, "start": weights_digest(start)}


def osie_parts(root: str | Path | None, long_side: int = LONG_SIDE, *, progress: Progress | None = None) -> Parts:
    """Read OSIE: every fifth photo is held out (140), of the others every eighth validates (70), 490 are learnt from.

    Args:
        root: Its folder; None: where it was fetched to.
        long_side: At which the network sees photos.
        progress: Wraps the photos, given (photos, how many), for a progress bar.

    Raises:
        InvalidInputError: A part of it is missing or damaged, or of too few photos for three parts.
        ImageFileError: A photo cannot be read.
    """
    from art_crop.datasets.osie import OSIE

    osie = OSIE(root)
    validation = osie.train[::VALIDATION_EVERY]
    learnt = [item for index, item in enumerate(osie.train) if index % VALIDATION_EVERY]
    if not learnt:
        raise InvalidInputError(f"root must hold photos enough for three parts; {osie.root} has {len(osie)}")
    with torch.device("meta"):  # for its sizes alone
        net = FCNVGG16(long_side=long_side)
    items = [*learnt, *validation, *osie.held_out]
    seen = [_seen(net, item) for item in (items if progress is None else progress(items, len(items)))]
    levels, maps = (torch.stack(column) for column in zip(*seen, strict=True))
    sizes = [len(learnt), len(validation), len(osie.held_out)]
    return Parts(
        *(SeenPhotos(*both) for both in zip(torch.split(levels, sizes), torch.split(maps, sizes), strict=True))
    )


def _seen(net: FCNVGG16, item: Any) -> tuple[Tensor, Tensor]:
    from art_crop.datasets.osie import fixation_density

    levels = torch.from_numpy(np.ascontiguousarray(item.load().transpose(2, 0, 1)))[None].float()
    density = torch.from_numpy(fixation_density(item, size=MAP_SIZE))
    return net.seen(levels)[0].round().clamp(0, 255).byte(), density / density.max()


class Sampler(torch.utils.data.Dataset[SeenPhotos]):
    """Batch number -> :class:`SeenPhotos`, some mirrored; each photo once an epoch, in an order of the seed's."""

    def __init__(self, photos: SeenPhotos, *, batch_size: int, epochs: int, seed: int) -> None:
        self.photos, self.batch_size, self.epochs, self.seed = photos, batch_size, epochs, seed
        self.per_epoch = -(-len(photos.levels) // batch_size)

    def __len__(self) -> int:
        return self.epochs * self.per_epoch

    def __getitem__(self, number: int) -> SeenPhotos:
        epoch, place = divmod(number, self.per_epoch)
        rng = np.random.default_rng([self.seed, epoch])
        order, mirrored = rng.permutation(len(self.photos.levels)), rng.random(len(self.photos.levels)) < 0.5
        some = torch.from_numpy(order[place * self.batch_size : (place + 1) * self.batch_size])
        turned = torch.from_numpy(mirrored)[some]
        levels, maps = (tensor[some] for tensor in self.photos)
        levels[turned], maps[turned] = levels[turned].flip(-1), maps[turned].flip(-1)
        return SeenPhotos(levels, maps)


class _Best:
    """The best network so far, and the errors of the epoch under way: part of a checkpoint."""

    def __init__(self, net: FCNVGG16) -> None:
        self.net, self.epoch, self.error, self.sum = copy.deepcopy(net), 0, math.inf, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "epoch": self.epoch, "error": self.error, "sum": self.sum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.epoch, self.error, self.sum = int(state["epoch"]), float(state["error"]), float(state["sum"])


def train_sensitivity(
    learnt: SeenPhotos,
    validation: SeenPhotos,
    settings: SensitivityTraining,
    *,
    start: str | Path | None = None,
    device: str = "cpu",
    progress: Callable[[Iterable[SeenPhotos], int, int], Iterable[SeenPhotos]] | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> Trained:
    """Train, and return the network as it was after the epoch that was best on the validation part.

    The same settings and photos give the same weights on the same machine, interrupted or not. Global random state is
    not touched. What begins without a last layer begins near the constant predictor, the mean of the maps.

    Args:
        learnt: What to learn from.
        validation: What decides which epoch is kept.
        settings: Epochs, rates, seed, checkpoint file. The same settings resume from their checkpoint.
        start: A file to begin with, as for :func:`art_crop.models.sensitivity.load_start`; None: random weights.
        device: Where it learns.
        progress: Wraps the batches, given (batches, total steps, steps done), for a progress bar.
        report: Called after each epoch with step, epoch, mean squared error on what is learnt (before clamping, while
            it learns) and on the validation part, and the best epoch so far.

    Raises:
        InvalidInputError: No photos, settings outside their range, or a checkpoint that is damaged or belongs to
            another run.
        WeightsError: A start that does not fit.
        OutputError: The checkpoint cannot be written.
    """
    for name, part in (("learnt", learnt), ("validation", validation)):
        if not len(part.levels):
            raise InvalidInputError(f"{name}: at least one photo is needed")
    settings.check()
    net = _beginning(settings, start, float(learnt.maps.mean())).to(device)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    identity = settings.identity(len(learnt.levels), net)
    best = _Best(net)
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    sampler = Sampler(learnt, batch_size=settings.batch_size, epochs=settings.epochs, seed=settings.seed)
    schedule = warmed_cosine(optimiser, len(sampler))
    parts = (net, best, optimiser, schedule)
    first = resume(settings.checkpoint, identity, parts)
    batches: Iterable[SeenPhotos] = loaded(sampler, first, 0)
    if progress is not None:
        batches = progress(batches, len(sampler), first)
    kind = torch.device(device).type
    for step, batch in enumerate(batches, first):
        wanted = batch.maps.to(device)
        # Processors without instructions for bfloat16 take twenty times as long with it.
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind != "cpu"):
            maps = net.train().unclamped(_photos(batch.levels, device), (wanted.shape[1], wanted.shape[2])).float()
        loss = (maps - wanted).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        best.sum += float(loss.detach()) * len(wanted)
        if (step + 1) % sampler.per_epoch == 0:
            epoch, training, best.sum = (step + 1) // sampler.per_epoch, best.sum / len(learnt.levels), 0.0
            error = float(squared_errors(predicted_maps(net, validation.levels), validation.maps).mean())
            if error < best.error:
                best.epoch, best.error = epoch, error
                best.net.load_state_dict(net.state_dict())
            if report is not None:
                figures = {"training": training, "validation": error, "best": best.epoch}
                report({"step": step + 1, "epoch": epoch, **figures})
        if settings.checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
            keep(settings.checkpoint, identity, step + 1, parts)
    if not best.epoch:
        raise InvalidInputError("learning_rate: the errors are not finite; a lower one is needed")
    return Trained(best.net.cpu().eval(), best.epoch, best.error)


def predicted_maps(net: FCNVGG16, levels: Tensor) -> Tensor:
    """Predict clamped maps (N, 120, 160) for photos uint8 (N, 3, h, w), where the network is, in float32."""
    device, size = next(net.parameters()).device, (MAP_SIZE[1], MAP_SIZE[0])
    net.eval()
    with torch.no_grad():
        maps = [net.unclamped(_photos(some, device), size).clamp(0, 1).cpu() for some in torch.split(levels, 8)]
    return torch.cat(maps)


def squared_errors(maps: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each map: (N, h, w), or (h, w) for all alike, against (N, h, w) -> (N,)."""
    return (maps - wanted).square().flatten(1).mean(1)


def held_out_errors(net: FCNVGG16, parts: Parts) -> dict[str, Tensor]:
    """Measure the network on the held-out photos, beside what knows nothing of them.

    Returns:
        The mean squared error of each held-out photo, (N,), of the ``network``, of the ``constant predictor`` (the mean
        of all values of the maps learnt from) and of the ``mean training map``.
    """
    wanted, learnt = parts.held_out.maps, parts.learnt.maps
    return {
        "network": squared_errors(predicted_maps(net, parts.held_out.levels), wanted),
        "constant predictor": squared_errors(learnt.mean(), wanted),
        "mean training map": squared_errors(learnt.mean(0), wanted),
    }


def _beginning(settings: SensitivityTraining, start: str | Path | None, mean: float) -> FCNVGG16:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        net = FCNVGG16(long_side=settings.long_side)
    whole = start is not None and load_start(net, start)
    if not whole:
        assert net.out.bias is not None
        nn.init.constant_(net.out.bias, mean)
    return net


def _photos(levels: Tensor, device: torch.device | str) -> Tensor:
    return (levels.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
