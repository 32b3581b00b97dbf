from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import color as reference
from torch import Tensor

from art_crop.errors import InvalidInputError
from art_crop.functional import color

# Sharma, Wu and Dalal 2005, table 1: L1 a1 b1 L2 a2 b2 dE00.
SHARMA = """
50.0000 2.6772 -79.7751 50.0000 0.0000 -82.7485 2.0425
50.0000 3.1571 -77.2803 50.0000 0.0000 -82.7485 2.8615
50.0000 2.8361 -74.0200 50.0000 0.0000 -82.7485 3.4412
50.0000 -1.3802 -84.2814 50.0000 0.0000 -82.7485 1.0000
50.0000 -1.1848 -84.8006 50.0000 0.0000 -82.7485 1.0000
50.0000 -0.9009 -85.5211 50.0000 0.0000 -82.7485 1.0000
50.0000 0.0000 0.0000 50.0000 -1.0000 2.0000 2.3669
50.0000 -1.0000 2.0000 50.0000 0.0000 0.0000 2.3669
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0009 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0010 7.1792
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0011 7.2195
50.0000 2.4900 -0.0010 50.0000 -2.4900 0.0012 7.2195
50.0000 -0.0010 2.4900 50.0000 0.0009 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0010 -2.4900 4.8045
50.0000 -0.0010 2.4900 50.0000 0.0011 -2.4900 4.7461
50.0000 2.5000 0.0000 50.0000 0.0000 -2.5000 4.3065
50.0000 2.5000 0.0000 73.0000 25.0000 -18.0000 27.1492
50.0000 2.5000 0.0000 61.0000 -5.0000 29.0000 22.8977
50.0000 2.5000 0.0000 56.0000 -27.0000 -3.0000 31.9030
50.0000 2.5000 0.0000 58.0000 24.0000 15.0000 19.4535
50.0000 2.5000 0.0000 50.0000 3.1736 0.5854 1.0000
50.0000 2.5000 0.0000 50.0000 3.2972 0.0000 1.0000
50.0000 2.5000 0.0000 50.0000 1.8634 0.5757 1.0000
50.0000 2.5000 0.0000 50.0000 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def chw(colours: np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """(n, 3) colours as a (3, n, 1) image."""
    return torch.from_numpy(np.ascontiguousarray(colours.T)).to(dtype)[:, :, None]


def hard_pairs() -> tuple[np.ndarray, np.ndarray]:
    """Random Lab pairs, and then greys, near-neutral, nearly equal and opposite colours."""
    rng = np.random.default_rng(5)
    low, high = (0, -110, -110), (100, 110, 110)
    first, second = rng.uniform(low, high, (4000, 3)), rng.uniform(low, high, (4000, 3))
    first[:300, 1:] = 0
    second[200:500, 1:] = 0
    first[500:900, 1:] *= 1e-3
    second[900:1500] = first[900:1500] + rng.normal(0, 1e-2, (600, 3))
    # Half a turn away, give or take a degree: exactly half a turn is a jump of the formula itself.
    angle = np.radians(180 + rng.choice([-1, 1], 500) * rng.uniform(0.01, 1, 500))
    a, b = first[1500:2000, 1], first[1500:2000, 2]
    second[1500:2000, 1] = a * np.cos(angle) - b * np.sin(angle)
    second[1500:2000, 2] = a * np.sin(angle) + b * np.cos(angle)
    return first, second


def test_published_pairs_both_ways_round() -> None:
    rows = np.array([line.split() for line in SHARMA.strip().splitlines()], dtype=np.float64)
    assert len(rows) == 34
    first, second = chw(rows[:, :3]), chw(rows[:, 3:6])
    for pair in ((first, second), (second, first)):
        np.testing.assert_allclose(color.ciede2000(*pair)[:, 0], rows[:, 6], atol=5.1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_ciede2000_is_scikit_images(dtype: torch.dtype, tolerance: float) -> None:
    first, second = hard_pairs()
    ours = color.ciede2000(chw(first, dtype), chw(second, dtype))[:, 0]
    np.testing.assert_allclose(ours, reference.deltaE_ciede2000(first, second), atol=tolerance)


def test_ciede2000_weights_are_scikit_images() -> None:
    first, second = hard_pairs()
    ours = color.ciede2000(chw(first), chw(second), k_l=2.0, k_c=1.5, k_h=0.7)[:, 0]
    np.testing.assert_allclose(
        ours, reference.deltaE_ciede2000(first, second, kL=2.0, kC=1.5, kH=0.7), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-4), (torch.float32, 2e-3)])
def test_lab_is_scikit_images_on_every_dark_grey_and_random_colours(dtype: torch.dtype, tolerance: float) -> None:
    greys = np.repeat(np.arange(256)[:, None] / 255, 3, axis=1)
    colours = np.concatenate([greys, np.random.default_rng(0).random((4000, 3)), np.eye(3), 1 - np.eye(3)])
    lab = color.srgb_to_lab(chw(colours, dtype))
    np.testing.assert_allclose(lab[:, :, 0].T, reference.rgb2lab(colours), atol=tolerance)


def test_linear_and_xyz_are_scikit_images() -> None:
    colours = np.random.default_rng(1).random((1000, 3))
    linear = color.srgb_to_linear(chw(colours))
    xyz = color.linear_to_xyz(linear)
    np.testing.assert_allclose(xyz[:, :, 0].T, reference.rgb2xyz(colours), atol=1e-12)
    # IEC 61966-2-1: mid-grey 0.5 is 0.2140 linear; the two pieces of the curve meet at 0.04045.
    assert color.srgb_to_linear(torch.full((3, 1, 1), 0.5))[0].item() == pytest.approx(0.21404, abs=1e-5)


def test_conversions_are_undone_by_their_inverses() -> None:
    rgb = torch.from_numpy(np.random.default_rng(2).random((2, 3, 9, 7)))
    # The published constants of the two sRGB pieces meet only to about 3e-8, hence the tolerance.
    torch.testing.assert_close(color.linear_to_srgb(color.srgb_to_linear(rgb)), rgb, rtol=0, atol=1e-7)
    torch.testing.assert_close(color.xyz_to_linear(color.linear_to_xyz(rgb)), rgb, rtol=0, atol=1e-12)
    torch.testing.assert_close(color.lab_to_srgb(color.srgb_to_lab(rgb)), rgb, rtol=0, atol=1e-6)


def test_gradients_of_the_conversions() -> None:
    rgb = torch.from_numpy(np.random.default_rng(3).uniform(0.0, 1.0, (1, 3, 4, 4)))
    rgb[..., 0, 0] = 0.01  # the linear pieces
    rgb.requires_grad_()
    for function in (
        color.srgb_to_linear,
        color.linear_to_srgb,
        color.srgb_to_lab,
        lambda x: color.lab_to_srgb(100 * x),
    ):
        assert torch.autograd.gradcheck(function, rgb)


def test_gradients_of_ciede2000_from_rgb() -> None:
    rng = np.random.default_rng(4)
    first = torch.from_numpy(rng.random((1, 3, 3, 4))).requires_grad_()
    second = torch.from_numpy(rng.random((1, 3, 3, 4))).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: color.ciede2000(color.srgb_to_lab(a), color.srgb_to_lab(b)), (first, second)
    )


def test_gradients_of_ciede2000_with_opposite_hues_and_one_grey() -> None:
    first = chw(np.array([[50.0, 40, 10], [60, 20, -50], [30, 5, 5]])).requires_grad_()
    second = chw(np.array([[52.0, -41, 3], [50, -30, 40], [40, 0.3, -0.2]])).requires_grad_()
    assert torch.autograd.gradcheck(color.ciede2000, (first, second))
    # Lightness and the coloured side are differentiable even when the other side is an exact grey.
    grey = chw(np.array([[50.0, 0, 0], [60, 0, 0], [30, 0, 0]]))
    assert torch.autograd.gradcheck(lambda lab: color.ciede2000(lab, grey), (first,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_the_formula_has_none(dtype: torch.dtype) -> None:
    colours = np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1], [1e-30, 0, 0]])
    index = np.indices((6, 6)).reshape(2, -1)
    first, second = chw(colours[index[0]], dtype).requires_grad_(), chw(colours[index[1]], dtype).requires_grad_()
    from_rgb = color.ciede2000(color.srgb_to_lab(first), color.srgb_to_lab(second))
    from_lab = color.ciede2000(100 * first, 100 * second)
    for difference in (from_rgb, from_lab):
        gradients = torch.autograd.grad(difference.sum(), (first, second), retain_graph=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        same = torch.from_numpy(index[0] == index[1])
        assert (difference[same, 0] == 0).all()
        assert (gradients[0][:, same] == 0).all()


def test_tiny_differences_keep_their_size_in_float32() -> None:
    """The angle form of the hue difference loses these to cancellation."""
    first, _ = hard_pairs()
    second = first + np.random.default_rng(6).normal(0, 0.01, first.shape)
    truth = reference.deltaE_ciede2000(first, second)
    ours = color.ciede2000(chw(first, torch.float32), chw(second, torch.float32))[:, 0].numpy()
    assert np.abs(ours / truth - 1).max() < 0.02


def test_broadcasts_over_a_batch() -> None:
    lab = color.srgb_to_lab(torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0)))
    difference = color.ciede2000(lab, lab[:1])
    assert difference.shape == (3, 5, 4)
    assert (difference[0] == 0).all()
    assert (difference[1:] > 0).all()


@pytest.mark.parametrize("bad", [torch.zeros(1, 1, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), torch.zeros(3)])
def test_wrong_layout_is_refused_by_name(bad: Tensor) -> None:
    with pytest.raises(InvalidInputError, match=r"lab_2 must be a float tensor of shape"):
        color.ciede2000(torch.zeros(3, 4, 4), bad)
    with pytest.raises(InvalidInputError, match=r"xyz must be a float tensor"):
        color.xyz_to_lab(bad)
    with pytest.raises(InvalidInputError, match=r"rgb must be a float tensor"):
        color.srgb_to_lab(bad)
