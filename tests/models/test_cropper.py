"""The pipeline around a saliency network: the symmetry rule, files, and the path of the gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.functional.resize import resize_levels
from art_crop.models.cropper import Cropper, asymmetry, read_as_cropper
from art_crop.models.fastgaze import MEANS


class Stub(nn.Module):
    """Mean brightness of each 16 x 16 tile, a saliency whose peak anybody can see."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.mean(1), 16, ceil_mode=True)


def as_tensor(photo: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(photo.transpose(2, 0, 1)[None].astype(np.float32) / 255)


def test_the_network_gets_the_resized_levels_minus_the_means(photo: NDArray[np.uint8]) -> None:
    seen: list[Tensor] = []

    class Spy(Stub):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return super().forward(x)

    cropper = Cropper(Spy())
    cropper(as_tensor(photo))
    levels = resize_levels(torch.from_numpy(photo.transpose(2, 0, 1)[None].copy()), (320, 213))
    assert torch.equal(cropper.levels(as_tensor(photo)), levels)
    np.testing.assert_allclose(
        seen[0].numpy(), levels.numpy() - np.array(MEANS, np.float32).reshape(3, 1, 1), atol=1e-5
    )


def symmetric_by_hand(small: NDArray[np.int64]) -> bool:
    """The rule on 10 x 10 x 3 levels."""
    difference = np.sort(np.abs(small - small[:, ::-1]).ravel())[299 * 95 // 100]
    return bool(difference / (small.max() - small.min() + 10) * 137 < 25)


def test_symmetry_rule() -> None:
    generator = np.random.default_rng(2)
    verdicts = []
    for strength in np.linspace(0, 90, 60):
        # Every other one of low contrast, where the rule's constant of 10 levels counts most.
        low, high = (0, 256) if len(verdicts) % 2 else (120, 124)
        half = generator.integers(low, high, (10, 5, 3))
        strength *= (high - low) / 256
        small = np.concatenate([half, half[:, ::-1]], 1) + generator.normal(0, strength, (10, 10, 3))
        small = small.round().clip(0, 255).astype(np.int64)
        # Ten by ten tiles of 32: the halvings bring back exactly these levels.
        levels = torch.from_numpy(small.astype(np.uint8).repeat(32, 0).repeat(32, 1)).permute(2, 0, 1)[None]
        found = bool(asymmetry(levels) < 0)
        assert found == symmetric_by_hand(small)
        verdicts.append(found)
    assert verdicts[0]
    assert not verdicts[-1]


def test_symmetry_belongs_to_a_photo_not_to_a_batch(photo: NDArray[np.uint8]) -> None:
    mirrored = np.concatenate([photo[:, :192], photo[:, :192][:, ::-1]], 1)
    batch = torch.cat([as_tensor(photo), as_tensor(mirrored), as_tensor(photo)])
    cropper = Cropper(Stub())
    assert cropper.output(cropper.levels(batch), (384, 256)).symmetric().tolist() == [False, True, False]


def test_file_and_array_agree_on_a_lossless_photo(photo: NDArray[np.uint8], photo_file: Path) -> None:
    cropper = Cropper(Stub())
    found = cropper.predict_file(photo_file, ratios=(1.0,))
    with torch.no_grad():
        assert np.array_equal(found.saliency_map, cropper(as_tensor(photo))[0].numpy())
    assert found.size == (384, 256)
    assert found.crops[0].width == found.crops[0].height == 256


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_what_the_network_sees(photo: NDArray[np.uint8], tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    Image.fromarray(photo).save(plain, quality=95)
    Image.fromarray(photo).save(turned, quality=95, exif=exif)
    levels, size = read_as_cropper(turned)
    stored = read_as_cropper(plain)[0][0].permute(1, 2, 0).numpy()
    transposes = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }
    assert np.array_equal(levels[0].permute(1, 2, 0).numpy(), transposes[orientation])
    assert size == ((384, 256) if orientation < 5 else (256, 384))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20_000, 20), (7, 3000), (2, 2), (1281, 961), (5, 640)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_odd_sizes(tmp_path: Path, width: int, height: int, suffix: str) -> None:
    path = tmp_path / f"odd.{suffix}"
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    found = Cropper(Stub()).predict_file(path)
    assert found.size == (width, height)
    assert 0 <= found.salient_point[0] < width
    assert 0 <= found.salient_point[1] < height
    assert len(found.crops) == 5
    for crop in found.crops:
        assert crop.left >= 0 <= crop.top
        assert 1 <= crop.width <= width - crop.left
        assert 1 <= crop.height <= height - crop.top
    assert found.crops[-1] == (0, 0, width, height)  # the photo's own ratio


def test_a_large_jpeg_is_decoded_small(tmp_path: Path) -> None:
    # A scaled decoding is not what decoding and then resizing would give: the difference shows that it happened.
    rng = np.random.default_rng(1)
    path = tmp_path / "large.jpg"
    Image.fromarray(rng.integers(0, 256, (960, 1280, 3), dtype=np.uint8)).save(path, quality=90)
    levels, size = read_as_cropper(path)
    assert (levels.shape, size) == ((1, 3, 240, 320), (1280, 960))
    with Image.open(path) as image:
        image.draft(None, (320, 240))
        assert image.size == (320, 240)
        assert np.array_equal(np.asarray(image), levels[0].permute(1, 2, 0).numpy())


def test_unreadable_files_and_bad_ratios(tmp_path: Path, photo_file: Path) -> None:
    cropper = Cropper(Stub())
    (tmp_path / "text.jpg").write_text("no photo")
    for path in (tmp_path / "text.jpg", tmp_path / "missing.png", tmp_path):
        with pytest.raises(ImageFileError):
            cropper.predict_file(path)
    with pytest.raises(InvalidInputError, match="ratios"):
        cropper.predict_file(photo_file, ratios=(0,))


def test_the_gradient_says_which_way_the_map_goes(photo: NDArray[np.uint8]) -> None:
    cropper = Cropper(Stub())
    x = as_tensor(photo).requires_grad_()
    cropper(x)[0, 5, 7].backward()
    assert x.grad is not None
    # Brightness of one tile of the network's input: the gradient lies on its pixels, and sums to 255 / 3 a channel.
    assert x.grad.sum((2, 3)).numpy() == pytest.approx(np.full((1, 3), 85), rel=0.01)
    scale = 384 / 320
    assert x.grad[..., int(80 * scale) : int(96 * scale), int(112 * scale) : int(128 * scale)].sum() > 0.9 * 255
    with torch.no_grad():
        step = torch.zeros_like(x)
        step[..., 90:120, 130:160] = 0.1
        moved = (cropper((x + step).clamp(0, 1)) - cropper(x))[0, 5, 7]
    assert float(moved) == pytest.approx(float((x.grad * ((x + step).clamp(0, 1) - x).detach()).sum()), rel=0.05)


def test_the_way_out_of_symmetry_has_a_gradient() -> None:
    """The score is exact with and without a gradient, and steps along that gradient break the symmetry."""
    half = np.random.default_rng(3).integers(60, 180, (10, 5, 3)).astype(np.uint8)
    tiles = np.concatenate([half, half[:, ::-1]], 1).repeat(32, 0).repeat(32, 1)
    levels = torch.from_numpy(tiles).permute(2, 0, 1)[None]
    start = asymmetry(levels)
    assert float(start) < 0
    noise = torch.randint(0, 9, levels.shape, generator=torch.Generator().manual_seed(0))
    x = (levels + noise).float().requires_grad_()
    score = asymmetry(x)
    assert float(score.detach()) == pytest.approx(float(asymmetry(x.detach().to(torch.uint8))), abs=1e-4)
    for _ in range(60):
        if float((score := asymmetry(x)).detach()) > 0.5:
            break
        (gradient,) = torch.autograd.grad(score.sum(), x)
        assert bool(gradient.any())
        x = (x.detach() + 2 * gradient / gradient.abs().max()).clamp(0, 255).requires_grad_()
    assert not symmetric_by_hand(
        resize_levels(x.detach().round().to(torch.uint8), (10, 10))[0].permute(1, 2, 0).numpy().astype(np.int64)
    )
