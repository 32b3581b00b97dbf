"""Models that the tests of several attacks share."""

from __future__ import annotations

from typing import Any

import pytest
import torch


class Texture(torch.nn.Module):
    """A score of 0 to 100 from the answers of fixed random filters at three scales."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = torch.nn.Parameter(torch.randn(24, 3, 5, 5, generator=generator))
        self.weights = torch.nn.Parameter(torch.randn(24, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = torch.zeros(len(x))
        for _ in range(3):
            answers = torch.nn.functional.conv2d(x - 0.5, self.filters).tanh().mean((2, 3))
            score = score + answers @ self.weights
            x = torch.nn.functional.avg_pool2d(x, 2)
        return 100 * torch.sigmoid(10 * (score - 6.3))  # as easily moved as real models


@pytest.fixture(scope="session")
def texture() -> Any:
    """A network that scores textures."""
    return Texture
