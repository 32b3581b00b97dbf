"""Teach a small network how good photos are, from photos that are distorted at known levels.

No opinions are needed: the label is the similarity to the original by two measures, mapped to 0..100
(:func:`art_crop.training.distortions.label`), and the network has to tell it without seeing the original. Loss per
batch: mean absolute difference of the scores plus 50 (1 - r), r their linear correlation, for what counts of a score is
the order that it gives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from art_crop.checks import check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.models.layers import fold_batch_norm
from art_crop.models.quality_lite import QualityLiteNet
from art_crop.training.checkpoint import average_weights, keep, loaded, resume, warmed_cosine
from art_crop.training.distortions import DISTORTIONS, label, mixed, similarities

__all__ = ["HELD_OUT", "QualityTraining", "pristine_photos", "train_quality"]

SIDE = 128
"""Pixels of a sample."""
LONG_SIDE = 640
"""Photos are kept at this size; their own encoder's traces are then small."""
HELD_OUT = 60
"""Of BSDS500, in its order, the last photos, which are never learnt from."""
PRISTINE, MIXED = 0.08, 0.14
"""Shares of the samples that are not distorted at all, and by two distortions; the others share the rest."""
Pixels = NDArray[np.uint8]


@dataclass
class QualityTraining:
    """Settings of a run. ``workers`` are processes that make batches; their number changes nothing but the time."""

    steps: int = 3000
    batch_size: int = 24
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0
    workers: int = 1
    checkpoint: Path | None = None
    checkpoint_every: int = 200

    def check(self) -> None:
        """Raises InvalidInputError for a setting outside its range."""
        check_int(self.steps, "steps", at_least=1)
        check_int(self.batch_size, "batch_size", at_least=2)  # batch normalisation, and a correlation
        check_int(self.seed, "seed", at_least=0)
        check_int(self.workers, "workers", at_least=0)
        check_int(self.checkpoint_every, "checkpoint_every", at_least=1)
        check_number(self.learning_rate, "learning_rate", above=0)
        check_number(self.weight_decay, "weight_decay", at_least=0)
        check_number(self.ema, "ema", at_least=0, at_most=1)

    def identity(self, photos: int) -> dict[str, Any]:
        """What two runs must have in common for the one to go on where the other stopped."""
        kept = ("steps", "batch_size", "learning_rate", "weight_decay", "ema", "seed")
        return {**{name: value for name, value in asdict(self).items() if name in kept}, "photos": photos}


class Batch(NamedTuple):
    """levels uint8 (N, 3, 128, 128); scores float32 (N,) from 0 to 100."""

    levels: Tensor
    scores: Tensor


def pristine_photos(
    folders: Sequence[str | Path],
    bsds500: str | Path | None = None,
    *,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> list[Pixels]:
    """Read the photos of some folders, and those of BSDS500 but for its last 60, at most 640 pixels wide or high.

    Args:
        folders: Folders of photos.
        bsds500: Its folder, or None.
        progress: Wraps the items, given (items, how many), for a progress bar.

    Raises:
        InvalidInputError: A folder is missing or holds no photos, or one of less than 128 pixels.
        ImageFileError: A photo cannot be read.
    """
    from art_crop.datasets.bsds500 import BSDS500
    from art_crop.datasets.folder import Folder

    items: list[Any] = [] if bsds500 is None else list(BSDS500(bsds500))[:-HELD_OUT]
    for folder in folders:
        items += list(Folder(folder))
    photos = []
    for item in items if progress is None else progress(items, len(items)):
        image = Image.fromarray(item.load())
        if min(image.size) < SIDE:
            continue
        image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=None)
        photos.append(np.asarray(image))
    if not photos:
        raise InvalidInputError(f"images: photos of at least {SIDE} x {SIDE} pixels are needed, and there are none")
    return photos


class Sampler(torch.utils.data.Dataset[Batch]):
    """Batch number -> :class:`Batch`; the same number gives the same batch, whoever asks and in whatever order."""

    def __init__(self, photos: Sequence[Pixels], *, batch_size: int, batches: int, seed: int) -> None:
        self.photos, self.batch_size, self.batches, self.seed = photos, batch_size, batches, seed

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([self.seed, number])
        photos = np.empty((self.batch_size, SIDE, SIDE, 3), np.uint8)
        levels = np.empty_like(photos)
        for k in range(self.batch_size):
            photos[k] = _crop(self.photos[int(rng.integers(len(self.photos)))], rng)
            levels[k] = _distorted(photos[k], rng)
        before, after = (torch.from_numpy(pixels).permute(0, 3, 1, 2) for pixels in (photos, levels))
        return Batch(after, label(before.float() / 255, after.float() / 255))


def _crop(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A square of a photo at 0.45 to 1 of its size, turned or mirrored."""
    height, width = pixels.shape[:2]
    side = min(round(SIDE / rng.uniform(0.45, 1.0)), height, width)
    left, top = (int(rng.integers(room - side + 1)) for room in (width, height))
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    found = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS) if side != SIDE else square)
    found = found[:, ::-1] if rng.random() < 0.5 else found
    return np.rot90(found) if rng.random() < 0.15 else found


def _distorted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    kind, level = rng.random(), float(rng.random())
    if kind < PRISTINE:
        return pixels
    if kind < PRISTINE + MIXED:
        return mixed(pixels, level, rng)
    names = sorted(DISTORTIONS)
    return DISTORTIONS[names[int(rng.integers(len(names)))]](pixels, level, rng)


def train_quality(
    photos: Sequence[Pixels],
    settings: QualityTraining,
    *,
    device: str = "cpu",
    progress: Callable[[Iterable[Batch], int, int], Iterable[Batch]] | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> QualityLiteNet:
    """Train and return the folded network (batch normalisation gone, exponential average of the weights).

    The same settings and photos give the same weights on the same machine, interrupted or not. Global random state is
    not touched.

    Args:
        photos: Undistorted photos uint8 (H, W, 3), sides of at least 128 pixels.
        settings: Steps, rates, seed, checkpoint file. The same settings resume from their checkpoint.
        device: Where it learns.
        progress: Wraps the batches, given (batches, total steps, steps done), for a progress bar.
        report: Called every 50 steps with step, mean absolute difference of the scores, and their correlation.

    Raises:
        InvalidInputError: No photos, settings outside their range, or a checkpoint that is damaged or belongs to
            another run.
        OutputError: The checkpoint cannot be written.
    """
    if not photos:
        raise InvalidInputError("photos: at least one photo is needed to learn from")
    settings.check()
    similarities()  # what is missing is said before the first batch, and not by a process that makes batches
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        net, folded = QualityLiteNet(norm=True), QualityLiteNet()
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = warmed_cosine(optimiser, settings.steps)
    parts, identity = (net, average, optimiser, schedule), settings.identity(len(photos))
    first = resume(settings.checkpoint, identity, parts)
    sampler = Sampler(photos, batch_size=settings.batch_size, batches=settings.steps, seed=settings.seed)
    batches: Iterable[Batch] = loaded(sampler, first, settings.workers)
    if progress is not None:
        batches = progress(batches, settings.steps, first)
    kind = torch.device(device).type
    sums, since = torch.zeros(2), 0
    for step, batch in enumerate(batches, first):
        x = (batch.levels.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=kind != "cpu"):  # half a type is slow on most CPUs
            scores = net.train()(x).float()
        wanted = batch.scores.to(device)
        difference, correlation = (scores - wanted).abs().mean(), _correlation(scores, wanted)
        optimiser.zero_grad(set_to_none=True)
        (difference + 50 * (1 - correlation)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 50.0)
        optimiser.step()
        schedule.step()
        average_weights(average, net, min(settings.ema, (step + 1) / (step + 10)))
        sums, since = sums + torch.stack([difference, correlation]).detach().cpu(), since + 1
        if (step + 1) % 50 == 0 or step + 1 == settings.steps:
            mean = (sums / since).tolist()
            if report is not None:
                report({"step": step + 1, "difference": mean[0], "correlation": mean[1]})
            sums, since = torch.zeros(2), 0
        if settings.checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
            keep(settings.checkpoint, identity, step + 1, parts)
    return fold_batch_norm(average.cpu(), folded)


def _correlation(scores: Tensor, wanted: Tensor) -> Tensor:
    a, b = scores - scores.mean(), wanted - wanted.mean()
    result: Tensor = (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-6)
    return result
