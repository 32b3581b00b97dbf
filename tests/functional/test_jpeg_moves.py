"""Moves of JPEG coefficients against Pillow's decoder on the written files, and against scipy's DCT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import fft

from art_crop.functional.jpeg_moves import CoefficientMoves
from art_crop.images import Jpeg, JpegCoefficients, decode_reduced

GREY = np.full((16, 16, 3), 128, np.uint8)
Pixels = NDArray[np.uint8]


class File:
    """A photo as a JPEG, with its moves."""

    def __init__(
        self, pixels: Pixels, scale: int, quality: int = 90, subsampling: str = "4:2:0", own: bool = False
    ) -> None:
        self.scale, self.photo = scale, pixels
        self.data = Jpeg(quality, subsampling).encode(pixels).data
        self.coefficients = JpegCoefficients.from_bytes(self.data)
        self.moves = CoefficientMoves(
            None if own else torch.from_numpy(pixels.copy()).permute(2, 0, 1),
            scale,
            components=[torch.from_numpy(component) for component in self.coefficients.components],
            tables=[torch.from_numpy(table.astype(np.int32)) for table in self.coefficients.tables],
            reduced=self.decode(self.data),
            subsampling=subsampling,
        )

    def decode(self, data: bytes) -> torch.Tensor:
        return torch.from_numpy(decode_reduced(data, self.scale)).permute(2, 0, 1)

    def moved(self, steps: torch.Tensor) -> bytes:
        return self.coefficients.with_components(self.moves.realise(steps)).to_bytes()

    def distance(self, data: bytes) -> float:
        """Squared distance to the photo, pixels in [0, 1]."""
        return float(((decode_reduced(data, 1).astype(float) - self.photo) ** 2).sum()) / 255**2

    def aim_at_random(self, seed: int = 0) -> torch.Tensor:
        direction = torch.randn(self.moves.reduced.shape, generator=torch.Generator().manual_seed(seed))
        self.moves.aim(direction)
        return direction


@pytest.fixture(scope="module", params=["kodak/05.png", "kodak/13.png", "osie/stimuli/1002.jpg"])
def real(request: pytest.FixtureRequest, shared: Path) -> Pixels:
    return np.asarray(Image.open(shared / "images" / request.param).convert("RGB"))


@pytest.mark.parametrize("quality", [50, 90, 98])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_a_real_photo_is_seen_as_pillow_decodes_it(real: Pixels, scale: int, quality: int) -> None:
    file = File(real, scale, quality)
    file.aim_at_random()
    steps = file.moves.spend(2.0)
    decoded = file.decode(file.moved(steps)).int()
    difference = (file.moves.seen(steps).int() - decoded).abs()
    assert (difference == 0).float().mean() > (0.9995 if scale == 8 else 0.996)
    assert difference.max() <= 3
    assert (decoded != file.moves.reduced.int()).float().mean() > 0.02  # there was something to be seen


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(37, 53), (17, 16), (33, 9), (64, 64)])
def test_any_size_is_seen_as_pillow_decodes_it(size: tuple[int, int], scale: int, subsampling: str) -> None:
    smooth = np.random.default_rng(1).uniform(40, 216, (5, 5, 3)).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(smooth).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    file = File(pixels, scale, 80, subsampling)
    file.aim_at_random()
    steps = file.moves.spend(0.5)
    assert file.moves.seen(steps).shape == (3, -(-size[0] // scale), -(-size[1] // scale))
    difference = (file.moves.seen(steps).int() - file.decode(file.moved(steps)).int()).abs()
    assert (difference > 0).sum() <= max(8, 0.005 * difference.numel())  # one sample of chroma is felt by 4x4 pixels
    assert difference.max() <= 3


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_the_moves_taken_are_those_of_a_greedy_search_with_the_decoder(scale: int, subsampling: str) -> None:
    """On flat grey no coefficient is near the next step: gain by Pillow's decoder per squared step decides."""
    file = File(GREY, scale, 10, subsampling)
    direction = file.aim_at_random(scale)
    gains, costs = [], []
    base = file.coefficients
    for index, component in enumerate(base.components):
        side = min(8, 16 // scale) if index and subsampling == "4:2:0" else 8 // scale
        step = base.tables[min(index, 1)].astype(float)
        worth = (3.0, 0.344136**2 + 1.772**2, 1.402**2 + 0.714136**2)[index]
        covered = {"4:2:0": 4, "4:2:2": 2}.get(subsampling, 1) if index else 1
        for at in np.ndindex(*component.shape[:2], side, side):
            moved = [c.copy() for c in base.components]
            many = int(max(1, 160 // step[at[2:]]))  # rounding matters less
            change = torch.zeros(())
            for sign in (1, -1):
                moved[index][at] = sign * many
                decoded = file.decode(base.with_components(moved).to_bytes()).float()
                change = change + sign * (direction * decoded).sum()
            gains.append(float(change) / (2 * many))
            costs.append(step[at[2:]] ** 2 * worth * covered)
    gain, cost = np.abs(gains), np.array(costs)
    budget = (0.1 if len(cost) > 4 else 0.6) * cost.sum()
    greedy = 0.0
    spent = 0.0
    for k in np.argsort(-gain / cost):
        if spent + cost[k] > budget:
            break
        spent, greedy = spent + cost[k], greedy + gain[k]
    steps = file.moves.spend(budget**0.5 / 255).numpy()
    assert cost[steps != 0].sum() <= budget * (1 + 1e-6)
    assert (steps * gains).sum() > 0.93 * greedy
    assert greedy > 0


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("scale", [1, 4])
def test_size_is_the_growth_of_the_distance_in_scipys_coefficients(real: Pixels, scale: int, subsampling: str) -> None:
    pixels = np.ascontiguousarray(real[:96, :128])
    file = File(pixels, scale, 75, subsampling)
    file.aim_at_random()
    steps = file.moves.spend(1.0)
    r, g, b = pixels.astype(float).transpose(2, 0, 1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    planes = [y - 128, (b - y) / 1.772, (r - y) / 1.402]
    growth = 0.0
    moved = file.moves.realise(steps)
    for index, (plane, after) in enumerate(zip(planes, moved, strict=True)):
        shrunk = index > 0 and subsampling == "4:2:0"
        if shrunk:
            plane = plane.reshape(48, 2, 64, 2).mean((1, 3))
        height, width = plane.shape
        blocks = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
        original = fft.dctn(blocks, axes=(2, 3), norm="ortho")
        step = file.coefficients.tables[min(index, 1)].astype(float)
        before = file.coefficients.components[index].astype(int)
        weight = (3.0, 0.344136**2 + 1.772**2, 1.402**2 + 0.714136**2)[index] * (4 if shrunk else 1)
        k, target = before.copy(), after.numpy().astype(int)
        while (k != target).any():
            following = k + np.sign(target - k)
            step_growth = (original - step * following) ** 2 - (original - step * k) ** 2
            growth += weight * float(step_growth.clip(0).sum())
            k = following
    assert file.moves.size(steps) ** 2 * 255**2 == pytest.approx(growth, rel=0.01)
    assert 0.98 < file.moves.size(steps) <= 1.0 + 1e-6


@pytest.mark.parametrize("quality", [50, 90])
@pytest.mark.parametrize("scale", [1, 2, 8])
@pytest.mark.parametrize("name", ["05.png", "13.png"])
def test_size_is_about_what_decoded_files_show(kodak_root: Path, name: str, scale: int, quality: int) -> None:
    file = File(np.asarray(Image.open(kodak_root / name).convert("RGB")), scale, quality)
    file.aim_at_random()
    steps = file.moves.spend(2.0)
    growth = file.distance(file.moved(steps)) - file.distance(file.data)
    assert 0.8 < growth**0.5 / file.moves.size(steps) < 1.2


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
@pytest.mark.parametrize("scale", [1, 4])
def test_size_of_moves_of_a_photos_own_coefficients_is_the_distance_of_the_files(
    kodak_root: Path, scale: int, subsampling: str
) -> None:
    file = File(np.asarray(Image.open(kodak_root / "05.png").convert("RGB")), scale, 80, subsampling, own=True)
    file.aim_at_random()
    steps = file.moves.spend(2.0)
    before, after = (decode_reduced(data, 1).astype(float) / 255 for data in (file.data, file.moved(steps)))
    assert 0.98 * 2 < file.moves.size(steps) <= 2 + 1e-6
    # Two roundings of a level to a whole one are up to 1/6 squared levels apart.
    distance, rounding = float(((after - before) ** 2).sum()), after.size / 6 / 255**2
    assert 0.95 * file.moves.size(steps) ** 2 < distance < file.moves.size(steps) ** 2 + rounding


def test_a_larger_budget_keeps_the_moves_of_a_smaller_one_and_changes_more(real: Pixels) -> None:
    file = File(real, 4)
    direction = file.aim_at_random()
    before, gain = torch.zeros_like(file.moves.spend(0.0)), 0.0
    for eps in (0.2, 0.5, 1.0, 3.0):
        steps = file.moves.spend(eps)
        assert (steps.abs() >= before.abs()).all()
        assert 0.97 * eps < file.moves.size(steps) <= eps * (1 + 1e-6)
        more = float((direction * (file.decode(file.moved(steps)).float() - file.moves.reduced.float())).sum())
        assert more > 1.1 * gain
        before, gain = steps, more


def test_a_budget_without_end_takes_every_step_that_is_allowed() -> None:
    file = File(GREY, 2, 50)
    file.aim_at_random()
    steps = file.moves.spend(1e6)
    assert (steps.abs() == file.moves.most).float().mean() > 0.99
    assert (file.moves.spend(float("inf")) == steps).all()


def test_nothing_is_moved_for_nothing(real: Pixels) -> None:
    file = File(real, 8)
    file.aim_at_random()
    none = file.moves.spend(0.0)
    assert not none.any()
    assert file.moves.size(none) == 0.0
    file.moves.aim(torch.zeros(file.moves.reduced.shape))
    assert not file.moves.spend(1.0).any()
    for ours, theirs in zip(file.moves.realise(none), file.coefficients.components, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_realised_moves_touch_low_frequencies_only_and_leave_the_file_they_began_with(real: Pixels) -> None:
    file = File(real, 4)
    before = [component.copy() for component in file.coefficients.components]
    file.aim_at_random()
    steps = file.moves.spend(2.0)
    after = JpegCoefficients.from_bytes(file.moved(steps)).components
    for index, side in enumerate((2, 4, 4)):
        np.testing.assert_array_equal(file.coefficients.components[index], before[index])
        changed = after[index] != before[index]
        assert changed[..., :side, :side].any()
        changed[..., :side, :side] = False
        assert not changed.any()
    total = sum(int(np.abs(a.astype(int) - b).sum()) for a, b in zip(after, before, strict=True))
    assert total == int(steps.abs().sum(dtype=torch.int64))


@pytest.mark.parametrize(("level", "sign"), [(255, 1), (0, -1)])
def test_what_is_clipped_already_is_not_pushed_further(level: int, sign: int) -> None:
    file = File(np.full((32, 32, 3), level, np.uint8), 8, 90)
    file.moves.aim(torch.full(file.moves.reduced.shape, float(sign)))
    assert not file.moves.spend(5.0).any()
    file.moves.aim(torch.full(file.moves.reduced.shape, float(-sign)))
    steps = file.moves.spend(5.0)
    assert steps.any()
    assert not torch.equal(file.decode(file.moved(steps)), file.moves.reduced)


def test_coefficients_stay_within_what_a_file_holds() -> None:
    file = File(np.full((32, 32, 3), 255, np.uint8), 8, 100)
    file.moves.reduced = file.moves.reduced - 1  # as if the decoder had room
    file.moves.aim(torch.ones(file.moves.reduced.shape))
    steps = file.moves.spend(100.0)
    y = file.coefficients.with_components(file.moves.realise(steps)).components[0]
    assert y.max() == 8 * 127 + file.moves.most
