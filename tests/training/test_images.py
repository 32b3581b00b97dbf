"""Training samples: the same number gives the same batch, and labels lie where the pixels are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from art_crop.training.images import SHAPES, Batch, Sampler, TrainingPhoto, cell_density

Array = np.ndarray[Any, Any]


def textured(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def photos() -> list[TrainingPhoto]:
    rng = np.random.default_rng(0)
    return [
        TrainingPhoto(textured(1), rng.random((40, 2))),
        TrainingPhoto(textured(2, (150, 200))),
        TrainingPhoto(textured(3, (90, 90)), rng.random((30, 2))),
    ]


def spot_photo(x: float, y: float) -> TrainingPhoto:
    """Black with a white square about (x, y) (fractions), where everybody looks."""
    pixels = np.zeros((300, 400, 3), np.uint8)
    column, row = int(x * 400), int(y * 300)
    pixels[row - 8 : row + 8, column - 8 : column + 8] = 255
    return TrainingPhoto(Image.fromarray(pixels), np.full((50, 2), (x, y)))


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(left, right) for left, right in zip(a, b, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_number_gives_the_same_batch(workers: int) -> None:
    sampler = Sampler(photos(), batch_size=4, batches=6, seed=3)
    expected = [sampler[i] for i in (5, 4, 3, 2, 1, 0)][::-1]
    loader = torch.utils.data.DataLoader(
        Sampler(photos(), batch_size=4, batches=6, seed=3), batch_size=None, num_workers=workers
    )
    assert len(sampler) == 6
    assert all(same(a, b) for a, b in zip(loader, expected, strict=True))
    assert not same(expected[0], expected[1])
    assert not same(Sampler(photos(), batch_size=4, batches=6, seed=4)[0], expected[0])


def test_batches_are_what_they_say() -> None:
    sampler, shapes = Sampler(photos(), batch_size=5, batches=40, seed=0), set()
    for number in range(40):
        levels, density, looked = sampler[number]
        height, width = levels.shape[2:]
        shapes.add((height, width))
        assert levels.dtype == torch.uint8
        assert levels.shape[:2] == (5, 3)
        assert density.shape == (5, -(-height // 16), -(-width // 16))
        assert density.dtype == torch.float32
        assert (density >= 0).all()
        assert density.flatten(1).sum(1).numpy() == pytest.approx(looked.numpy().astype(float), abs=1e-5)
        assert not looked[3:].any(), "at most the share of photos with fixations"
    assert shapes == set(SHAPES)


def test_densities_lie_where_the_pixels_are() -> None:
    """Whatever is cropped, resized and mirrored: the white spot is where the density says that people look."""
    sampler = Sampler([spot_photo(0.3, 0.6)], batch_size=6, batches=25, seed=1, fixation_share=1.0)
    sides = []
    for number in range(25):
        levels, density, looked = sampler[number]
        height, width = levels.shape[2:]
        rows = np.minimum(16 * np.arange(density.shape[1]) + 8, height - 1)
        columns = np.minimum(16 * np.arange(density.shape[2]) + 8, width - 1)
        for pixels, one in zip(levels[looked].numpy(), density[looked].numpy(), strict=True):
            light = pixels.astype(float).mean(0)
            spot = np.argwhere(light > light.min() + 0.8 * np.ptp(light)).mean(0)
            there = (one.sum(1) @ rows, one.sum(0) @ columns)
            if 25 < spot[0] < height - 25 and 25 < spot[1] < width - 25:
                assert there == pytest.approx(spot, abs=5)
                sides.append(spot[1] < width / 2)
    assert len(sides) > 60
    assert 0.25 < np.mean(sides) < 0.75, "mirrored about as often as not"


def test_few_fixations_are_none() -> None:
    few = TrainingPhoto(textured(1), np.random.default_rng(0).random((19, 2)))
    batch = Sampler([few], batch_size=4, batches=1, seed=0)[0]
    assert not batch.has_fixations.any()
    assert not batch.density.any()


def test_photos_without_fixations_fill_whole_batches() -> None:
    batch = Sampler(photos()[1:2], batch_size=4, batches=1, seed=0)[0]
    assert not batch.has_fixations.any()
    assert len({pixels.numpy().tobytes() for pixels in batch.levels}) == 4


def test_the_photos_are_not_changed() -> None:
    given = photos()
    before = [(photo.image.tobytes(), None if photo.fixations is None else photo.fixations.copy()) for photo in given]
    sampler = Sampler(given, batch_size=8, batches=5, seed=0)
    for number in range(5):
        sampler[number]
    for photo, (pixels, fixations) in zip(given, before, strict=True):
        assert photo.image.tobytes() == pixels
        assert fixations is None or np.array_equal(photo.fixations, fixations)


@pytest.mark.parametrize("shape", [(240, 320), (213, 320), (17, 33)])
def test_a_density_is_a_sum_of_gaussians(shape: tuple[int, int]) -> None:
    fixations = np.random.default_rng(0).random((7, 2)) * shape[::-1]
    expected = np.zeros((-(-shape[0] // 16), -(-shape[1] // 16)))
    for x, y in fixations:
        for row in range(expected.shape[0]):
            for column in range(expected.shape[1]):
                cell = min(16 * column + 8, shape[1] - 1), min(16 * row + 8, shape[0] - 1)
                expected[row, column] += np.exp(-((cell[0] - x) ** 2 + (cell[1] - y) ** 2) / (2 * 12.0**2))
    found = cell_density(fixations, shape, sigma=12.0)
    assert found == pytest.approx(expected / expected.sum(), rel=1e-4, abs=1e-9)
    assert found.sum() == pytest.approx(1)
