"""Full float32 inside, the program's own settings afterwards."""

from __future__ import annotations

import pytest
import torch

from art_crop.functional.precision import exact_float32, gradient_autocast

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def product() -> torch.Tensor:
    x = torch.linspace(0, 1, 64).view(8, 8)
    return x @ x


def test_autocast_is_off_inside_and_back_afterwards() -> None:
    exact = product()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product().dtype == torch.bfloat16
        with exact_float32(CPU):
            assert torch.equal(product(), exact)
        assert product().dtype == torch.bfloat16
    assert product().dtype == torch.float32


def test_only_the_gradients_forward_is_autocast() -> None:
    with exact_float32(CPU):
        with gradient_autocast(CPU, torch.float32):
            assert product().dtype == torch.float32
        with gradient_autocast(CPU, torch.bfloat16):
            assert product().dtype == torch.bfloat16
        assert product().dtype == torch.float32


def tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def exact() -> bool:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # torch >= 2.9
        return cudnn.conv.fp32_precision == matmul.fp32_precision == "ieee"
    return tf32() == (False, False)


@pytest.mark.parametrize("before", [(True, False), (False, False), (True, True)])
def test_tensorfloat_is_off_on_cuda_and_as_before_afterwards(before: tuple[bool, bool]) -> None:
    # These switches exist without a GPU, too.
    kept = tf32()
    try:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
        with exact_float32(CPU):
            assert tf32() == before  # somebody else's business
        with exact_float32(CUDA):
            assert exact()
        assert tf32() == before
        with pytest.raises(ZeroDivisionError), exact_float32(CUDA):
            1 / 0  # noqa: B018
        assert tf32() == before
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_convolutions_on_cuda_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    expected = torch.nn.functional.conv2d(x.double(), w.double())
    with exact_float32(CUDA):
        found = torch.nn.functional.conv2d(x.to(CUDA), w.to(CUDA)).cpu().double()
    assert (found - expected).abs().max() < 1e-4  # TF32: about 0.02
