"""Teach a small saliency network to follow any cropper, and a second head of it to follow people.

The teacher is any function from photos to saliency maps: an estimator of this package, or a user's own service. Its
answers are the labels, so no annotated data is needed; fixations, where there are some, teach the head ``human``.
Loss per sample: KL(target || student) of the densities plus (1 - CC) / 2, the correlation that the result is judged by;
for the teacher also the mean squared difference of the raw maps, because croppers add up raw maps where the density is
low.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from art_crop.checks import check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.models.fastgaze import MEANS
from art_crop.models.gaze_lite import GazeLiteNet, fold_batch_norm
from art_crop.training.checkpoint import average_weights, keep, loaded, resume, warmed_cosine, weights_digest
from art_crop.training.images import Batch, Sampler, TrainingPhoto

__all__ = ["Distillation", "distil"]

RAW_WEIGHT = 0.15
Teacher = Callable[[Tensor], Tensor]


@dataclass
class Distillation:
    """Settings of a run.

    ``adversarial`` is the share of samples that are attacked before the teacher labels them, so that the student
    follows the teacher also where it is itself easily moved: what a surrogate is for. ``teacher`` is a name for what
    teaches: a checkpoint goes on only with the same one. ``workers`` are processes that make batches; their number
    changes nothing but the time.
    """

    steps: int = 5000
    batch_size: int = 12
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    human_weight: float = 0.6
    ema: float = 0.998
    adversarial: float = 0.0
    seed: int = 0
    teacher: str = ""
    workers: int = 1
    checkpoint: Path | None = None
    checkpoint_every: int = 200
    history: list[dict[str, float]] = field(default_factory=list)

    def check(self) -> None:
        """Raises InvalidInputError for a setting outside its range."""
        check_int(self.steps, "steps", at_least=1)
        check_int(self.batch_size, "batch_size", at_least=2)  # batch normalisation
        check_int(self.seed, "seed", at_least=0)
        check_int(self.workers, "workers", at_least=0)
        check_int(self.checkpoint_every, "checkpoint_every", at_least=1)
        check_number(self.learning_rate, "learning_rate", above=0)
        check_number(self.weight_decay, "weight_decay", at_least=0)
        check_number(self.human_weight, "human_weight", at_least=0)
        check_number(self.ema, "ema", at_least=0, at_most=1)
        check_number(self.adversarial, "adversarial", at_least=0, at_most=1)

    def identity(self, photos: int, start: GazeLiteNet | None = None) -> dict[str, Any]:
        """What two runs must have in common for the one to go on where the other stopped."""
        rates = ("learning_rate", "weight_decay", "human_weight", "ema", "adversarial")
        names = ("steps", "batch_size", *rates, "seed", "teacher")
        return {**{name: getattr(self, name) for name in names}, "photos": photos, "start": weights_digest(start)}


def _divergence(target: Tensor, log_student: Tensor) -> Tensor:
    """KL(target || student) + (1 - CC) / 2 per sample, both (N, h, w): a density and a raw log density."""
    log_density = log_student.flatten(1).log_softmax(1)
    target = target.flatten(1)
    kl = (target * (target.clamp_min(1e-12).log() - log_density)).sum(1)
    student = log_density.exp()
    a, b = student - student.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    correlation = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-12)
    loss: Tensor = kl + (1 - correlation) / 2
    return loss


def network_input(levels: Tensor) -> Tensor:
    """uint8 levels (N, 3, h, w) -> what the network takes: float32, the cropper's means subtracted, channels last."""
    means = torch.tensor(MEANS, device=levels.device).view(1, 3, 1, 1)
    centred: Tensor = levels.float() - means
    planes: Tensor = centred.contiguous(memory_format=torch.channels_last)
    return planes


def distil(
    teacher: Teacher,
    photos: Sequence[TrainingPhoto],
    settings: Distillation,
    *,
    start: GazeLiteNet | None = None,
    device: str = "cpu",
    progress: Callable[[Iterable[Batch], int, int], Iterable[Batch]] | None = None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> GazeLiteNet:
    """Train and return the folded network (batch normalisation gone, exponential average of the weights).

    The same settings and photos give the same weights on the same machine, interrupted or not. Global random state is
    not touched.

    Args:
        teacher: uint8 levels (N, 3, h, w) -> log density (N, h', w'); another grid is resampled bilinearly.
        photos: What to learn from.
        settings: Steps, rates, seed, checkpoint file. The same settings resume from their checkpoint.
        start: A folded network to refine; None: a random start, with batch normalisation.
        device: Where the student learns.
        progress: Wraps the batches, given (batches, total steps, steps done), for a progress bar.
        report: Called every 50 steps with step, loss of each head and learning rate.

    Raises:
        InvalidInputError: No photos, settings outside their range, a teacher whose answers are no finite maps, or a
            checkpoint that is damaged or belongs to another run.
        OutputError: The checkpoint cannot be written.
    """
    if not photos:
        raise InvalidInputError("photos: at least one photo is needed to learn from")
    settings.check()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)
        net = GazeLiteNet(norm=True) if start is None else copy.deepcopy(start)
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = warmed_cosine(optimiser, settings.steps)
    parts, identity = (net, average, optimiser, schedule), settings.identity(len(photos), start)
    first = resume(settings.checkpoint, identity, parts)
    sampler = Sampler(photos, batch_size=settings.batch_size, batches=settings.steps, seed=settings.seed)
    batches: Iterable[Batch] = loaded(sampler, first, settings.workers)
    if progress is not None:
        batches = progress(batches, settings.steps, first)
    sums, since = torch.zeros(2), 0
    for step, batch in enumerate(batches, first):
        losses = _step(net, teacher, batch, settings, device, step)
        optimiser.zero_grad(set_to_none=True)
        (losses[0] + settings.human_weight * losses[1]).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        average_weights(average, net, min(settings.ema, (step + 1) / (step + 10)))
        sums, since = sums + torch.stack(losses).detach().cpu(), since + 1
        if (step + 1) % 50 == 0 or step + 1 == settings.steps:
            mean = sums / since
            figures = {
                "step": step + 1,
                "cropper": float(mean[0]),
                "human": float(mean[1]),
                "rate": float(schedule.get_last_lr()[0]),
            }
            settings.history.append(figures)
            if report is not None:
                report(figures)
            sums, since = torch.zeros(2), 0
        if settings.checkpoint is not None and (step + 1) % settings.checkpoint_every == 0:
            keep(settings.checkpoint, identity, step + 1, parts)
    average.cpu().eval()
    return average if start is not None else fold_batch_norm(average)


def _step(
    net: GazeLiteNet, teacher: Teacher, batch: Batch, settings: Distillation, device: str, number: int
) -> tuple[Tensor, Tensor]:
    """Mean loss of each head on one batch; the head of people learns only where there are fixations."""
    levels = batch.levels.to(device)
    if settings.adversarial:
        levels = _attacked(net, levels, settings.adversarial, settings.seed * 1_000_003 + number)
    with torch.no_grad():
        target = _checked(teacher(levels), len(levels))
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        out = net.train()(network_input(levels))
    cropper, human = out["cropper"].float(), out["human"].float()
    if target.shape != cropper.shape:
        target = F.interpolate(target[:, None], cropper.shape[1:], mode="bilinear", align_corners=False)[:, 0]
    raw = (cropper - target).square().flatten(1).mean(1)
    follow = (_divergence(target.flatten(1).softmax(1).view_as(cropper), cropper) + RAW_WEIGHT * raw).mean()
    looked = batch.has_fixations.to(device)
    people = _divergence(batch.density.to(device)[looked], human[looked]).mean() if looked.any() else human.sum() * 0
    return follow, people


def _attacked(net: GazeLiteNet, levels: Tensor, share: float, seed: int) -> Tensor:
    """Some photos of a batch, one gradient step towards a random cell away: L2 0.2 to 1.6 at the network's size."""
    random = torch.Generator().manual_seed(seed)
    some = torch.rand(len(levels), generator=random) < share
    x = network_input(levels[some]).requires_grad_()
    if not len(x):
        return levels
    size = 255 * (0.2 + 1.4 * torch.rand(len(x), 1, 1, 1, generator=random)).to(x.device)
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        saliency = net.eval()(x)["cropper"].float().flatten(1)
    cell = torch.randint(saliency.shape[1], (len(x), 1), generator=random).to(x.device)
    gain = saliency.gather(1, cell)[:, 0] - saliency.amax(1)
    (gradient,) = torch.autograd.grad(gain.sum(), x)
    gradient = gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    attacked = levels.clone()
    attacked[some] = (levels[some] + size * gradient).round().clamp(0, 255).to(torch.uint8)
    return attacked


def _checked(answer: object, count: int) -> Tensor:
    shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if not isinstance(answer, Tensor) or answer.ndim != 3 or len(answer) != count or not answer.numel():
        raise InvalidInputError(f"teacher: maps of shape ({count}, h, w) are needed, not {shape}")
    if not torch.isfinite(answer).all():
        raise InvalidInputError("teacher: finite maps are needed (NaN or infinity found)")
    return answer.float()
