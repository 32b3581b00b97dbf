"""JPEG against Pillow's files, jpeglib's reading of them and finite differences; the stand-in against scipy's DCT,
Pillow's decoder and a Monte Carlo average of the quantiser.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from art_crop.errors import InvalidInputError
from art_crop.functional import jpeg
from art_crop.images import Jpeg, JpegCoefficients

SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0", "4:0:0"]


def planar(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


def assert_pillows_file(pixels: np.ndarray, quality: int, subsampling: str) -> None:
    """Our coefficients are those that jpeglib reads in Pillow's file, and our pixels those that Pillow reads there."""
    data = Jpeg(quality, subsampling).encode(pixels).data
    file = JpegCoefficients.from_bytes(data)
    tables = [torch.from_numpy(table.astype(np.int32)) for table in file.tables]
    encoded = jpeg.encode(planar(pixels), tables, subsampling)
    for ours, theirs in zip(encoded, file.components, strict=True):
        np.testing.assert_array_equal(ours[0].numpy(), theirs)
    decoded = jpeg.decode(encoded, tables, (pixels.shape[1], pixels.shape[0]), subsampling)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decoded[0].permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB")))


def test_tables_are_those_of_pillows_files() -> None:
    for quality in range(1, 101):
        with Image.open(io.BytesIO(Jpeg(quality).encode(np.zeros((16, 16, 3), np.uint8)).data)) as image:
            for ours, theirs in zip(jpeg.quality_tables(quality), image.quantization.values(), strict=True):
                assert ours.flatten().tolist() == list(theirs)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("name", ["kodak/05.png", "kodak/13.png", "osie/stimuli/1002.jpg"])
def test_a_real_photo_is_encoded_and_decoded_as_by_pillow(shared: Path, name: str, subsampling: str) -> None:
    pixels = np.asarray(Image.open(shared / "images" / name).convert("RGB"))
    for quality in (10, 75, 90, 100):
        assert_pillows_file(pixels, quality, subsampling)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_any_size_and_the_strongest_colours_are_encoded_and_decoded_as_by_pillow(subsampling: str) -> None:
    rng = np.random.default_rng(0)
    for height, width in [(1, 1), (5, 3), (8, 4), (8, 5), (17, 16), (33, 9), (20, 24), (37, 53), (130, 131)]:
        for quality in (1, 50, 90, 100):
            assert_pillows_file(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), quality, subsampling)
            assert_pillows_file((255 * rng.integers(0, 2, (height, width, 3))).astype(np.uint8), quality, subsampling)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_gradients_are_those_of_the_way_without_roundings(subsampling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    levels = (100 + 50 * torch.rand(2, 3, 19, 21, generator=generator, dtype=torch.float64)).round().requires_grad_()
    tables = jpeg.quality_tables(90)
    weight = torch.randn(2, 3, 19, 21, generator=generator, dtype=torch.float64)

    def value(x: torch.Tensor) -> torch.Tensor:
        return (weight * jpeg.decode(jpeg.encode(x, tables, subsampling), tables, (21, 19), subsampling)).sum((1, 2, 3))

    rounded = value(levels)
    gradient = torch.autograd.grad(rounded.sum(), levels)[0]
    components = [component[1:] for component in jpeg.encode(levels.detach(), tables, subsampling)]
    assert torch.equal(rounded[1], (weight[1] * jpeg.decode(components, tables, (21, 19), subsampling)).sum())
    monkeypatch.setattr(jpeg, "_floor", lambda x: x)
    smooth = torch.autograd.grad(value(levels).sum(), levels)[0]
    torch.testing.assert_close(gradient, smooth, rtol=1e-9, atol=1e-9)
    direction = torch.randn(levels.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        difference = (value(levels + 1e-3 * direction) - value(levels - 1e-3 * direction)).sum() / 2e-3
    assert float((gradient * direction).sum()) == pytest.approx(float(difference), rel=1e-6)


def test_what_is_clipped_has_no_gradient() -> None:
    components = [torch.zeros(1, 1, 1, 8, 8, dtype=torch.float64, requires_grad=True)]
    tables = jpeg.quality_tables(90)
    bright = [components[0] + 1000 * torch.eye(8, dtype=torch.float64)[:1].T @ torch.eye(8, dtype=torch.float64)[:1]]
    decoded = jpeg.decode(bright, tables, (8, 8))
    assert (decoded == 255).all()
    assert (torch.autograd.grad(decoded.sum(), components[0])[0] == 0).all()


def test_coefficients_of_another_photo_are_refused() -> None:
    components = jpeg.encode(torch.zeros(1, 3, 16, 16), jpeg.quality_tables(90))
    with pytest.raises(InvalidInputError, match="components"):
        jpeg.decode(components, jpeg.quality_tables(90), (24, 16))
    with pytest.raises(InvalidInputError, match="subsampling"):
        jpeg.encode(torch.zeros(1, 3, 16, 16), jpeg.quality_tables(90), "4:1:1")
    with pytest.raises(InvalidInputError, match="quality"):
        jpeg.quality_tables(0)


def test_blocks_are_scipys_orthonormal_dct() -> None:
    plane = np.random.default_rng(0).normal(size=(1, 16, 24)).astype(np.float32)
    blocks = jpeg._blocks(torch.from_numpy(plane)).numpy()
    for row in range(2):
        for column in range(3):
            expected = fft.dctn(plane[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8], norm="ortho")
            np.testing.assert_allclose(blocks[0, row, column], expected, atol=1e-5)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4", "4:0:0"])
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_values_without_quantising_are_what_pillow_decodes_at_that_scale(
    photo: np.ndarray, scale: int, subsampling: str
) -> None:
    height, width = (side // 16 * 16 for side in photo.shape[:2])
    pixels = np.ascontiguousarray(photo[:height, :width])
    buffer = io.BytesIO()
    if subsampling == "4:0:0":
        Image.fromarray(pixels).convert("L").save(buffer, "JPEG", quality=100)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=subsampling)
    with Image.open(buffer) as image:
        image.draft(None, (width // scale, height // scale))
        decoded = np.asarray(image.convert("RGB"), np.float32)
    levels = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    tables = (torch.ones(8, 8), torch.ones(8, 8))
    # A sigma as large as the step makes the quantiser's slope 1: the plain linear map. Luma has its 128 taken off.
    stand_in = jpeg.jpeg_surrogate(levels, tables, scale, 1.0, subsampling)
    ours = stand_in[0].permute(1, 2, 0).numpy() + 128
    difference = np.abs(ours.clip(0, 255) - decoded)
    # The decoder rounds and clips between its stages, and colours as strong as this photo's show it.
    assert difference.mean() < 2
    assert np.corrcoef(ours.ravel(), decoded.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("value", "step"), [(0.2, 3.0), (1.4, 3.0), (7.9, 16.0), (8.1, 16.0), (0.0, 16.0)])
def test_slope_is_that_of_the_noisy_quantisers_mean(value: float, step: float) -> None:
    noise = np.random.default_rng(1).normal(size=2_000_000)

    def mean(c: float) -> float:
        return float((step * np.round((c + noise) / step)).mean())

    expected = (mean(value + 0.05) - mean(value - 0.05)) / 0.1
    slope = float(jpeg.smoothed_quantiser_slope(torch.tensor([value]), torch.tensor(step), 1.0))
    assert slope == pytest.approx(expected, abs=0.05)


def test_slope_knows_which_coefficients_can_flip() -> None:
    step = torch.tensor(24.0)
    near, far = (float(jpeg.smoothed_quantiser_slope(torch.tensor([c]), step, 1.0)) for c in (11.5, 0.0))
    assert near > 5
    assert far < 1e-6


def test_sizes_that_are_no_multiple_of_a_block_keep_their_share() -> None:
    levels = torch.rand(2, 3, 37, 50) * 255
    tables = (torch.ones(8, 8), torch.ones(8, 8))
    for scale in (1, 2, 4, 8):
        assert jpeg.jpeg_surrogate(levels, tables, scale).shape == (2, 3, -(-37 // scale), -(-50 // scale))
