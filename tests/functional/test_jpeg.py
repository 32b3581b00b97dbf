"""The JPEG stand-in against scipy's DCT, Pillow's decoder and a Monte Carlo average of the quantiser."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from art_crop.functional import jpeg


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
