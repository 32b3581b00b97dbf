"""KonCept512 with random weights: the published ones are not at hand, and how the network works does not need them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from art_crop_koncept512.network import KonCept512
from torch import nn

import art_crop
from art_crop.testing import doubles

SIZE = (75, 80)


def randomly_weighted() -> KonCept512:
    """Its convolutions' norms are those of the kit's photos, and their scores lie about 50, some 5 apart."""
    photos = torch.from_numpy(doubles.photos(12, *SIZE, seed=1))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        network = KonCept512(size=SIZE).eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None  # one batch alone decides
                module.train()
        network(photos)
        scores, last = network.eval()(photos), network.head[-1]
        last.weight.mul_(5 / scores.std())
        last.bias.add_(50 - network(photos).mean())
    return network


@pytest.fixture(scope="session")
def network() -> KonCept512:
    """Photos are resized to 80x75 pixels, about the least it can see."""
    return randomly_weighted()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Emptied at once, unlike pytest's: a weight file has 220 MB."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="session")
def weights(network: KonCept512, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with this network's own names."""
    path = tmp_path_factory.mktemp("koncept512") / "random.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def small(weights: Path) -> Any:
    """The estimator of that file."""
    return art_crop.load_model("koncept512", weights=weights, size=SIZE, device="cpu")
