"""The cropper's resize against a slow implementation of its specification, one pixel and one Python integer a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from art_crop.functional.resize import halving_count, resize, resize_levels, target_size

f32 = np.float32


def slow_weights(raw: list[np.float32]) -> list[int]:
    total = f32(0)
    for weight in raw:
        total = f32(total + weight)
    reciprocal = f32(f32(1) / total)
    return [int(f32(f32(weight * reciprocal) * f32(65536))) for weight in raw]


def sinc(x: np.float32) -> np.float32:
    return f32(1) if x == 0 else f32(math.sin(math.pi * float(x)) / (math.pi * float(x)))


def slow_lanczos3_taps(n_in: int, n_out: int) -> list[tuple[list[int], list[int]]]:
    """Indices and weights of step 5 for each output."""
    taps = []
    ratio, inverse = f32(f32(n_in) / f32(n_out)), f32(f32(n_out) / f32(n_in))
    for i in range(n_out):
        centre = f32(f32(f32(i + 0.5) * ratio) - f32(1e-5))
        window = min(f32(6 - 1e-5), f32(f32(3) * ratio))
        first, last = int(f32(f32(centre - window) + f32(0.5))), int(f32(f32(centre + window) + f32(0.5))) - 1
        raw = []
        for tap in range(first, last + 1):
            p = f32(inverse * f32(f32(f32(tap) - centre) + f32(0.5)))
            raw.append(f32(sinc(p) * sinc(f32(p * f32(f32(1) / f32(3))))))
        taps.append(([min(max(t, 0), n_in - 1) for t in range(first, last + 1)], slow_weights(raw)))
    return taps


def slow_lanczos3(line: list[int], n_out: int) -> list[int]:
    """One line of step 5."""
    totals = [sum(w * line[t] for t, w in zip(*tap, strict=True)) for tap in slow_lanczos3_taps(len(line), n_out)]
    return [min(max((total + 32767) >> 16, 0), 255) for total in totals]


def slow_lanczos2_taps(n_in: int, n_out: int) -> list[tuple[list[int], list[int]]]:
    """Indices and weights of step 6 for each output."""
    taps = []
    for i in range(n_out):
        position = max(f32(0), f32(f32(f32(i + 0.5) * f32(f32(n_in) / f32(n_out))) - f32(0.5)))
        base = int(position)
        fraction = f32(position - f32(base))
        raw = []
        for k in (-1, 0, 1, 2):
            x = float(f32(f32(k) - fraction))
            value = 0.5 if x == 0 else math.sin(math.pi * x) * math.sin(math.pi * x / 2) / (math.pi * x) ** 2
            raw.append(f32(value))
        taps.append(([min(max(base + k, 0), n_in - 1) for k in (-1, 0, 1, 2)], slow_weights(raw)))
    return taps


def slow_resize(plane: list[list[int]], size: tuple[int, int]) -> list[list[int]]:
    """Steps 4 to 6 on one channel, rows of levels."""
    tw, th = size
    while len(plane[0]) // 2 >= tw and len(plane) // 2 >= th:
        plane = [
            [
                (plane[2 * r][2 * c] + plane[2 * r][2 * c + 1] + plane[2 * r + 1][2 * c] + plane[2 * r + 1][2 * c + 1])
                >> 2
                for c in range(len(plane[0]) // 2)
            ]
            for r in range(len(plane) // 2)
        ]
    height, width = len(plane), len(plane[0])
    if tw > width or th > height:
        across, down = slow_lanczos2_taps(width, tw), slow_lanczos2_taps(height, th)
        wide = [[sum(w * row[t] for t, w in zip(*tap, strict=True)) >> 10 for tap in across] for row in plane]
        return [
            [
                min(max((sum(w * wide[t][c] for t, w in zip(*tap, strict=True)) + 2**21 - 1) >> 22, 0), 255)
                for c in range(tw)
            ]
            for tap in down
        ]
    if tw < width:
        plane = [slow_lanczos3(row, tw) for row in plane]
    if th < height:
        columns = [slow_lanczos3([row[c] for row in plane], th) for c in range(tw)]
        plane = [[columns[c][r] for c in range(tw)] for r in range(th)]
    return plane


def random_levels(seed: int, height: int, width: int, *, extreme: bool = False, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)
    return (levels // 128) * 255 if extreme else levels


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    out=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    extreme=st.booleans(),  # only 0 and 255: the largest overshoots, where an int32 sum would overflow first
)
def test_equals_the_specification(seed: int, height: int, width: int, out: tuple[int, int], extreme: bool) -> None:
    levels = random_levels(seed, height, width, extreme=extreme)
    expected = [slow_resize(levels[0, c].tolist(), out) for c in range(3)]
    assert resize_levels(levels, out)[0].tolist() == expected


def test_a_sum_exactly_between_two_levels_is_rounded_down() -> None:
    n_in, n_out, found = 9, 7, 0
    level = np.arange(256)
    for output, (indices, weights) in enumerate(slow_lanczos3_taps(n_in, n_out)):
        inside = [(t, w) for t, w in zip(indices, weights, strict=True) if indices.count(t) == 1]
        for (i, w), (j, v) in itertools.combinations(inside, 2):
            totals = w * level[:, None] + v * level[None]
            for a, b in np.argwhere((totals % 65536 == 32768) & (totals > 0) & (totals < 255 * 65536)):
                line = torch.zeros(1, 3, 1, n_in, dtype=torch.uint8)
                line[..., i], line[..., j] = int(a), int(b)
                assert int(resize_levels(line, (n_out, 1))[0, 0, 0, output]) == totals[a, b] // 65536
                found += 1
    assert found > 10


@pytest.mark.parametrize("size", [(641, 5), (7, 999), (1001, 3)])
def test_equals_the_specification_on_odd_long_photos(size: tuple[int, int]) -> None:
    width, height = size
    levels = random_levels(3, height, width)
    target = target_size(width, height)
    assert resize_levels(levels, target)[0, 1].tolist() == slow_resize(levels[0, 1].tolist(), target)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # Width and height of the golden cases' photos and of their network inputs.
        ((512, 512), (320, 320)),
        ((641, 428), (320, 214)),
        ((1034, 851), (320, 263)),
        ((20, 14), (320, 224)),
        ((20_000, 20), (320, 1)),  # a side never becomes 0
    ],
)
def test_target_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(*size) == expected


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_target_size_keeps_the_long_side(width: int, height: int) -> None:
    out = target_size(width, height)
    assert max(out) == 320
    assert min(out) >= 1
    exact = min(width, height) * 320 / max(width, height)
    assert abs(min(out) - exact) <= 0.501 or (min(out) == 1 and exact < 0.5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30), st.integers(1, 30)),
)
def test_constant_photos_stay_constant_and_batches_change_nothing(seed: int, sizes: tuple[int, int, int, int]) -> None:
    height, width, *out = sizes
    batch = random_levels(seed, height, width, count=3)
    together = resize_levels(batch, (out[0], out[1]))
    for i in range(3):
        assert torch.equal(together[i : i + 1], resize_levels(batch[i : i + 1], (out[0], out[1])))
    flat = torch.full((1, 3, height, width), seed % 256, dtype=torch.uint8)
    # Truncated weights may lose less than one level.
    assert (resize_levels(flat, (out[0], out[1])).int() - seed % 256).abs().max() <= 1


def test_threads_change_nothing() -> None:
    levels = random_levels(5, 300, 450)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(resize_levels(levels, (320, 213)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_a_photo_of_the_target_size_is_not_touched() -> None:
    levels = random_levels(6, 240, 320)
    assert torch.equal(resize_levels(levels, (320, 240)), levels)


def test_float_levels_are_rounded_then_resized_exactly() -> None:
    levels = random_levels(7, 61, 83)
    noise = (torch.rand(levels.shape, generator=torch.Generator().manual_seed(8)) - 0.5) * 0.9
    x = (levels.float() + noise).clamp(0, 255)
    before = x.clone()
    assert torch.equal(resize(x, (40, 29)), resize_levels(levels, (40, 29)).float())
    assert torch.equal(x, before)


def linear_resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The same linear maps in float64 without any rounding, with the slow taps: what the gradient must be of."""
    for _ in range(halving_count(x.shape[-1], x.shape[-2], size)):
        x = torch.nn.functional.avg_pool2d(x, 2)
    enlarge = size[0] > x.shape[-1] or size[1] > x.shape[-2]
    for dim, n_out in ((3, size[0]), (2, size[1])):
        n_in = x.shape[dim]
        if n_in == n_out:
            continue
        matrix = torch.zeros(n_out, n_in, dtype=torch.float64)
        if enlarge:
            for i, (index, weight) in enumerate(slow_lanczos2_taps(n_in, n_out)):
                for t, w in zip(index, weight, strict=True):
                    matrix[i, t] += w / 65536
        else:
            # From the formula, in float64; the fixed-point weights differ by a few parts in 65536.
            matrix = torch.from_numpy(lanczos3_matrix(n_in, n_out))
        x = torch.movedim(torch.movedim(x, dim, -1) @ matrix.T, -1, dim)
    return x


def lanczos3_matrix(n_in: int, n_out: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    matrix = np.zeros((n_out, n_in))
    for i in range(n_out):
        centre = (i + 0.5) * n_in / n_out - 1e-5
        window = min(6 - 1e-5, 3 * n_in / n_out)
        taps = np.arange(int(centre - window + 0.5), int(centre + window + 0.5))
        position = (taps - centre + 0.5) * n_out / n_in
        weight = np.sinc(position) * np.sinc(position / 3)
        np.add.at(matrix[i], np.clip(taps, 0, n_in - 1), weight / weight.sum())
    return matrix


@pytest.mark.parametrize(
    ("height", "width", "out"),
    [
        (31, 45, (20, 14)),
        (64, 96, (24, 16)),
        (67, 131, (32, 16)),
        (9, 13, (20, 14)),
        (20, 8, (12, 12)),
        (16, 16, (8, 8)),
    ],
    ids=["reduce", "halve_twice", "odd", "enlarge", "both", "halve_only"],
)
def test_gradient_is_that_of_the_linear_map(height: int, width: int, out: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(9)
    x = torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64) * 255
    seen = torch.randn(2, 3, out[1], out[0], generator=generator, dtype=torch.float64)
    here = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((resize(here, out) * seen).sum(), here)
    # The map is linear, so a central difference of any step is exact in float64.
    for seed in range(6):
        direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        difference = ((linear_resize(x + direction, out) - linear_resize(x - direction, out)) / 2 * seen).sum()
        assert float((gradient * direction).sum()) == pytest.approx(float(difference), rel=2e-3, abs=2e-3)
    # And it tells how the rounded values move, to within their rounding.
    step = torch.rand(x.shape, generator=generator, dtype=torch.float64) * 40 - 20
    inside = (x + step).clamp(0, 255)
    moved = resize(inside, out) - resize(x, out)
    predicted = linear_resize(inside, out) - linear_resize(x, out)
    unclamped = (resize(inside, out) % 255 != 0) & (resize(x, out) % 255 != 0)
    assert (moved - predicted)[unclamped].abs().max() <= 3.5
    assert unclamped.double().mean() > 0.5


def test_float32_and_float64_gradients_agree() -> None:
    x = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(1)) * 255
    gradients = []
    for dtype in (torch.float32, torch.float64):
        here = x.to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(resize(here, (32, 23)).square().sum(), here)
        assert gradient.dtype == dtype
        gradients.append(gradient.double())
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-2)
