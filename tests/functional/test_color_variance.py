from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import color as reference
from skimage import data

from art_crop.errors import InvalidInputError
from art_crop.functional.color import ciede2000, color_metric, color_variance, srgb_to_lab


def double_loop(rgb: np.ndarray, window: int, sigma: float) -> np.ndarray:
    """The formula as it stands, pixel by pixel, with scikit-image's colour difference."""
    lab, radius = reference.rgb2lab(rgb), window // 2
    height, width = lab.shape[:2]
    found = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            squares = []
            for other_row in range(max(0, row - radius), min(height, row + radius + 1)):
                for other_column in range(max(0, column - radius), min(width, column + radius + 1)):
                    if (other_row, other_column) == (row, column):
                        continue
                    apart = (other_row - row) ** 2 + (other_column - column) ** 2
                    gauss = math.exp(-apart / (2 * sigma**2)) / (2 * math.pi * sigma**2)
                    difference = reference.deltaE_ciede2000(lab[row, column], lab[other_row, other_column])
                    squares.append((difference * gauss) ** 2)
            found[row, column] = math.sqrt(np.mean(squares))
    return found / found.max()


@pytest.mark.parametrize(("window", "sigma"), [(3, 0.7), (5, 1.0)])
def test_map_is_the_double_loop_s(window: int, sigma: float) -> None:
    rgb = np.random.default_rng(0).random((9, 12, 3))
    rgb[:4, :5] = 0.5  # greys, and a flat corner
    found = color_variance(torch.from_numpy(rgb.transpose(2, 0, 1))[None], window=window, sigma=sigma)
    assert found.shape == (1, 1, 9, 12)
    np.testing.assert_allclose(found[0, 0].numpy(), double_loop(rgb, window, sigma), atol=1e-6)


def test_single_precision_and_batches_give_the_same_map() -> None:
    photo = torch.from_numpy(data.astronaut()[:96, :80].transpose(2, 0, 1)).double() / 255
    batch = torch.stack([photo, photo.flip(2)])
    exact, single = color_variance(batch), color_variance(batch.float())
    assert float((exact - single).abs().max()) < 1e-4
    torch.testing.assert_close(exact[:1], color_variance(photo[None]))
    torch.testing.assert_close(exact[0].flip(2), exact[1])  # a mirrored photo has the mirrored map


def test_flat_photo_has_a_map_of_zeros() -> None:
    assert not color_variance(torch.full((1, 3, 8, 8), 0.3)).any()


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((1, 3, 4, 9), {}, "5 x 5 pixels are needed"),
        ((1, 3, 9, 9), {"window": 4}, "odd"),
        ((1, 3, 9, 9), {"window": 1}, "window"),
        ((1, 3, 9, 9), {"sigma": 0.0}, "sigma"),
        ((3, 9, 9), {}, "rgb"),
    ],
)
def test_what_cannot_be_computed_is_named(shape: tuple[int, ...], options: dict[str, float], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        color_variance(torch.rand(shape), **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_million_pairs_as_scikit_image_has_them() -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.random((1000, 1000, 3)) for _ in range(2))
    second[:300] = np.clip(first[:300] + rng.normal(0, 0.01, first[:300].shape), 0, 1)  # nearly equal colours
    first[300:400] = first[300:400, :, :1]  # greys
    labs = reference.rgb2lab(first), reference.rgb2lab(second)
    expected = reference.deltaE_ciede2000(*labs)
    for dtype, most in ((torch.float64, 1e-6), (torch.float32, 1e-3)):

        def planar(image: np.ndarray, dtype: torch.dtype = dtype) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(dtype)

        for rgb, lab in zip((first, second), labs, strict=True):
            assert np.abs(srgb_to_lab(planar(rgb)).numpy() - planar(lab).numpy()).max() < most
        # Of the same colours: in single precision the hue of a grey is what its rounding left.
        assert np.abs(ciede2000(*(planar(lab) for lab in labs)).numpy() - expected).max() < most


def test_metric_is_the_square_of_small_differences() -> None:
    photo = data.astronaut()[100:140, 100:140] / 255
    rng = np.random.default_rng(2)
    change = rng.integers(-1, 2, photo.shape) / 255
    expected = reference.deltaE_ciede2000(reference.rgb2lab(photo), reference.rgb2lab(np.clip(photo + change, 0, 1)))
    rr, gg, bb, rg, rb, gb = color_metric(torch.from_numpy(photo.transpose(2, 0, 1))[None])[0].numpy()
    red, green, blue = np.moveaxis(change * 255, -1, 0)
    square = rr * red**2 + gg * green**2 + bb * blue**2
    square += 2 * (rg * red * green + rb * red * blue + gb * green * blue)
    inside = ((photo + change >= 0) & (photo + change <= 1)).all(-1)
    relative = np.abs(np.sqrt(square.clip(0)) - expected)[inside] / expected[inside].clip(0.1)
    assert np.median(relative) < 0.02
    assert np.quantile(relative, 0.99) < 0.2
