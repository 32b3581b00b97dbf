"""The resize against Pillow, bit for bit, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from art_crop_tflite.resizing import RESAMPLINGS, fit, resize, resize_levels
from PIL import Image

PILLOW = {"nearest": 0, "bilinear": 2, "bicubic": 3}
SIZES = [
    ((800, 600), (640, 480)),
    ((97, 51), (224, 224)),
    ((1333, 700), (224, 224)),
    ((3, 5), (224, 224)),
    ((500, 1), (31, 480)),
    ((640, 480), (640, 480)),
    ((41, 480), (640, 480)),
]


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_equals_pillow(resampling: Any, size: tuple[int, int], target: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize(target, PILLOW[resampling]))
    found = resize_levels(torch.from_numpy(pixels).permute(2, 0, 1)[None], target, resampling)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize(("size", "target"), [((13, 9), (7, 5)), ((5, 4), (12, 11)), ((8, 6), (8, 12))])
def test_gradient_is_that_of_the_linear_map(resampling: Any, size: tuple[int, int], target: tuple[int, int]) -> None:
    """Pillow resizes 32-bit float images without rounding: the response to one bright pixel is a column of the map."""
    weights = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 1, target[1], target[0])))
    x = torch.full((1, 1, size[1], size[0]), 100.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((resize(x, target, resampling) * weights).sum(), x)
    for row, column in ((0, 0), (2, 3), (size[1] - 1, size[0] - 1)):
        pulse = np.zeros((size[1], size[0]), np.float32)
        pulse[row, column] = 1
        response = np.asarray(Image.fromarray(pulse).resize(target, PILLOW[resampling]))
        assert float(gradient[0, 0, row, column]) == pytest.approx(
            float((response * weights[0, 0].numpy()).sum()), abs=1e-5
        )


@pytest.mark.parametrize(
    ("photo", "expected"),
    # What tf.image.resize_with_pad documents: proportions kept, centred, the rest black.
    [
        ((800, 600), (0, 0, 640, 480)),
        ((1600, 600), (0, 120, 640, 240)),
        ((300, 600), (200, 0, 240, 480)),
        ((1, 5000), (319, 0, 1, 480)),
    ],
)
def test_fitting(photo: tuple[int, int], expected: tuple[int, int, int, int]) -> None:
    assert tuple(fit(photo, (640, 480), "pad")) == expected
    assert tuple(fit(photo, (640, 480), "stretch")) == (0, 0, 640, 480)
