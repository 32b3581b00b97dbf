"""A short training run: it learns, it can be repeated and resumed bit by bit, and it refuses what it cannot use."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from art_crop.errors import InvalidInputError, OutputError
from art_crop.models.gaze_lite import GazeLiteNet
from art_crop.training.distil import Distillation, _attacked, _divergence, distil, network_input
from art_crop.training.images import Batch, Sampler, TrainingPhoto


def photos(count: int = 3, fixations: bool = True) -> list[TrainingPhoto]:
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        image = Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)
        made.append(TrainingPhoto(image, rng.normal(0.5, 0.1, (60, 2)) if fixations else None))
    return made


def brightness(levels: Tensor) -> Tensor:
    """A cropper that looks at what is bright: log density on cells of 16 px."""
    return F.avg_pool2d(levels.float().mean(1, keepdim=True), 16, ceil_mode=True)[:, 0] / 50


def correlation(net: GazeLiteNet, photos: list[TrainingPhoto]) -> float:
    batch = Sampler(photos, batch_size=4, batches=1, seed=99)[0]
    with torch.no_grad():
        found = net.eval()(network_input(batch.levels))["cropper"].float().flatten(1).softmax(1)
    wanted = brightness(batch.levels).flatten(1).softmax(1)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found.numpy(), wanted.numpy(), strict=True)]))


def settings(**kwargs: Any) -> Distillation:
    return Distillation(**{"steps": 4, "batch_size": 2, "workers": 0, **kwargs})


def weights(net: GazeLiteNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Tensor]:
    return weights(distil(brightness, photos(), settings()))


@pytest.fixture(scope="module")
def taught() -> tuple[GazeLiteNet, Distillation, list[dict[str, float]]]:
    wanted, figures = settings(steps=20, batch_size=4), list[dict[str, float]]()
    return distil(brightness, photos(), wanted, report=figures.append), wanted, figures


def test_it_learns_to_follow_the_teacher(taught: Any) -> None:
    net, wanted, figures = taught
    fresh = GazeLiteNet()
    assert correlation(net, photos()) > 0.6 > 0.3 > abs(correlation(fresh, photos()))
    assert figures == wanted.history
    assert [figure["step"] for figure in figures] == [20]
    assert figures[0].keys() == {"step", "cropper", "human", "rate"}
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    assert not net.training


def test_the_second_head_learns_from_people(taught: Any) -> None:
    """Everybody looks at the middle; the teacher does not care."""
    batch = Sampler(photos(), batch_size=4, batches=1, seed=99, fixation_share=1.0)[0]
    with torch.no_grad():
        human = taught[0](network_input(batch.levels))["human"].float().flatten(1).softmax(1)
    density = batch.density.flatten(1)[batch.has_fixations].numpy()
    found = human[batch.has_fixations].numpy()
    assert len(density)
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(found, density, strict=True)]) > 0.3


def test_the_teacher_labels_what_the_student_sees() -> None:
    """After cropping and mirroring: croppers are not mirror-symmetric."""
    asked: list[Tensor] = []

    def teacher(levels: Tensor) -> Tensor:
        asked.append(levels.clone())
        return brightness(levels)

    distil(teacher, photos(), settings(steps=2, seed=5))
    sampler = Sampler(photos(), batch_size=2, batches=2, seed=5)
    assert [torch.equal(a, sampler[i].levels) for i, a in enumerate(asked)] == [True, True]


def test_the_seed_and_nothing_else_decides(undisturbed: dict[str, Tensor]) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = weights(distil(brightness, photos(), settings(workers=1)))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert equal(again, undisturbed)
    torch.rand(3)
    assert equal(weights(distil(brightness, photos(), settings())), undisturbed)
    assert not equal(weights(distil(brightness, photos(), settings(seed=1))), undisturbed)


def stopping_after(steps: int) -> Any:
    def progress(batches: Iterable[Batch], total: int, done: int) -> Iterable[Batch]:
        for number, batch in enumerate(batches):
            if done + number == steps:
                raise KeyboardInterrupt
            yield batch

    return progress


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_going_on_gives_the_same_weights(tmp_path: Path, undisturbed: dict[str, Tensor], stop: int) -> None:
    kwargs: dict[str, Any] = {"checkpoint": tmp_path / "run.checkpoint", "checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt):
        distil(brightness, photos(), settings(**kwargs), progress=stopping_after(stop))
    seen: list[tuple[int, int]] = []

    def progress(batches: Iterable[Batch], total: int, done: int) -> Iterable[Batch]:
        seen.append((total, done))
        return batches

    net = distil(brightness, photos(), settings(**kwargs), progress=progress)
    assert seen == [(4, stop)]
    assert equal(weights(net), undisturbed)
    # The run is over: nothing is left to do, and the result is the same.
    assert equal(weights(distil(brightness, photos(), settings(**kwargs), progress=progress)), undisturbed)
    assert seen[-1] == (4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint"], "no temporary files"


class TestCheckpoints:
    @pytest.fixture
    def checkpoint(self, tmp_path: Path) -> Path:
        path = tmp_path / "run.checkpoint"
        with pytest.raises(KeyboardInterrupt):
            distil(
                brightness,
                photos(),
                settings(checkpoint=path, checkpoint_every=1, teacher="brightness"),
                progress=stopping_after(1),
            )
        return path

    @pytest.mark.parametrize(
        "other", [{"steps": 5}, {"seed": 1}, {"batch_size": 3}, {"learning_rate": 0.1}, {"teacher": "darkness"}]
    )
    def test_of_another_run(self, checkpoint: Path, other: dict[str, Any]) -> None:
        before = checkpoint.read_bytes()
        with pytest.raises(InvalidInputError, match=f"checkpoint.*another {next(iter(other))}"):
            distil(brightness, photos(), settings(**{"checkpoint": checkpoint, "teacher": "brightness", **other}))
        assert checkpoint.read_bytes() == before

    def test_of_another_start(self, checkpoint: Path) -> None:
        with pytest.raises(InvalidInputError, match="another start"):
            distil(
                brightness, photos(), settings(checkpoint=checkpoint, teacher="brightness"), start=GazeLiteNet().eval()
            )

    def test_of_other_photos(self, checkpoint: Path) -> None:
        with pytest.raises(InvalidInputError, match="another photos"):
            distil(brightness, photos(2), settings(checkpoint=checkpoint, teacher="brightness"))

    def test_damaged(self, checkpoint: Path) -> None:
        whole = checkpoint.read_bytes()
        for data in (b"", b"no checkpoint", whole[: len(whole) // 2]):
            checkpoint.write_bytes(data)
            with pytest.raises(InvalidInputError, match="not a readable checkpoint"):
                distil(brightness, photos(), settings(checkpoint=checkpoint, teacher="brightness"))
        torch.save({"step": 1}, checkpoint)
        with pytest.raises(InvalidInputError, match="not a readable checkpoint"):
            distil(brightness, photos(), settings(checkpoint=checkpoint))
        torch.save(Image.new("RGB", (1, 1)), checkpoint)  # anything but tensors is never unpickled
        with pytest.raises(InvalidInputError, match="not a readable checkpoint"):
            distil(brightness, photos(), settings(checkpoint=checkpoint))

    def test_nowhere_to_write(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="missing"):
            distil(brightness, photos(), settings(checkpoint=tmp_path / "missing" / "run", checkpoint_every=1, steps=1))


class TestRefining:
    def test_begins_where_the_other_ended(self, undisturbed: dict[str, Tensor]) -> None:
        start = GazeLiteNet()
        start.load_state_dict(undisturbed)
        before = weights(start)
        wanted = settings(steps=1, learning_rate=1e-9, weight_decay=0.0)
        net = distil(brightness, photos(), wanted, start=start)
        assert equal(weights(start), before), "what was given is not trained"
        assert all(torch.allclose(value, before[name], atol=1e-7) for name, value in weights(net).items())
        moved = weights(distil(brightness, photos(), settings(steps=2), start=start))
        assert not equal(moved, before)
        assert moved.keys() == before.keys()

    def test_attacked_photos_move_the_student_and_no_more(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            net = GazeLiteNet()
        levels = Sampler(photos(), batch_size=6, batches=1, seed=2)[0].levels
        kept = levels.clone()
        attacked = _attacked(net, levels, 1.0, seed=7)
        assert torch.equal(levels, kept)
        assert attacked.dtype == torch.uint8
        change = (attacked.float() - levels.float()).flatten(1)
        assert (change.norm(dim=1) > 0).all()
        assert (change.norm(dim=1) / 255 < 2.5).all()
        assert torch.equal(_attacked(net, levels, 1.0, seed=7), attacked)
        assert not torch.equal(_attacked(net, levels, 1.0, seed=8), attacked)
        assert torch.equal(_attacked(net, levels, 0.0, seed=7), levels)
        some = (_attacked(net, levels, 0.5, seed=7) != levels).flatten(1).any(1)
        assert 0 < int(some.sum()) < 6
        assert all(parameter.grad is None for parameter in net.parameters())

    def test_the_teacher_labels_the_attacked_photos(self) -> None:
        asked: list[Tensor] = []

        def teacher(levels: Tensor) -> Tensor:
            asked.append(levels.clone())
            return brightness(levels)

        distil(teacher, photos(), settings(steps=1, adversarial=1.0, seed=5))
        assert not torch.equal(asked[0], Sampler(photos(), batch_size=2, batches=1, seed=5)[0].levels)


def test_teachers_of_another_grid_are_resampled() -> None:
    net = distil(lambda levels: brightness(levels)[:, ::2, 1::2], photos(), settings(steps=1))
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())


def test_without_fixations_only_the_first_head_is_taught() -> None:
    wanted = settings(steps=1)
    distil(brightness, photos(fixations=False), wanted)
    assert wanted.history[0]["human"] == 0
    assert wanted.history[0]["cropper"] > 0


@pytest.mark.parametrize(
    "answer",
    [torch.zeros(2, 4), torch.zeros(1, 15, 20), torch.zeros(2, 1, 15, 20), torch.full((2, 15, 20), torch.nan), None],
)
def test_teachers_that_give_no_maps(answer: Any) -> None:
    with pytest.raises(InvalidInputError, match="teacher"):
        distil(lambda levels: answer, photos(), settings())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("batch_size", 1),
        ("seed", -1),
        ("workers", -1),
        ("checkpoint_every", 0),
        ("learning_rate", 0.0),
        ("weight_decay", -1.0),
        ("human_weight", -0.1),
        ("ema", 1.1),
        ("adversarial", 1.5),
    ],
)
def test_settings_outside_their_range(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=name):
        distil(brightness, photos(), settings(**{name: value}))


def test_no_photos() -> None:
    with pytest.raises(InvalidInputError, match="photos"):
        distil(brightness, [], settings())


def test_the_divergence() -> None:
    """KL and correlation by scipy and numpy; 0 for the density itself, whatever is added to its logarithm."""
    from scipy.stats import entropy

    rng = np.random.default_rng(0)
    target = rng.random((3, 5, 6))
    target /= target.sum((1, 2), keepdims=True)
    student = rng.normal(size=(3, 5, 6))
    found = _divergence(torch.from_numpy(target), torch.from_numpy(student))
    for one, raw, loss in zip(target, student, found, strict=True):
        density = np.exp(raw) / np.exp(raw).sum()
        expected = entropy(one.ravel(), density.ravel()) + (1 - np.corrcoef(one.ravel(), density.ravel())[0, 1]) / 2
        assert float(loss) == pytest.approx(expected, rel=1e-6)
    same = _divergence(torch.from_numpy(target), torch.from_numpy(np.log(target) + 7))
    assert same.numpy() == pytest.approx(0, abs=1e-9)


def test_photos_are_taken_as_the_deployed_cropper_takes_them() -> None:
    from art_crop.models.cropper import Cropper

    levels = torch.randint(0, 256, (2, 3, 240, 320), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    seen: list[Tensor] = []

    class Recorder(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean(1)[:, ::16, ::16]

    Cropper(Recorder())(levels.float() / 255)
    assert torch.equal(seen[0], network_input(levels))
    assert copy.copy(seen[0]).is_contiguous(memory_format=torch.channels_last)
