"""Grad-CAM against its formula worked out by hand, and what it must not leave behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_crop.errors import InvalidInputError
from art_crop.functional.gradcam import grad_cam

Array = np.ndarray[Any, Any]


class Net(nn.Module):
    """Activations A = conv(x); score = sum over channels of v_c * mean(A_c^2)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            self.conv = nn.Conv2d(3, 4, 3, stride=3)
        self.act = nn.ReLU(inplace=inplace)
        self.unused = nn.Conv2d(3, 4, 1)
        self.flat = nn.Flatten()
        self.v = torch.tensor([0.9, -0.4, 0.7, 0.2]).view(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.v * self.act(self.conv(x)).square()).mean((2, 3)).sum(1) + 0 * self.flat(x).sum()


def photos(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 12, 15, generator=torch.Generator().manual_seed(8))


def enlarged(image: Array, shape: tuple[int, int]) -> Array:
    """Bilinear, pixel centres at (i + 1/2) / n, edges repeated."""
    for axis, size in enumerate(shape):
        old = image.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, old - 1), at - low
        share = share[:, None] if axis == 0 else share[None]
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image


def by_hand(net: Net, x: Tensor, *, activated: bool) -> Array:
    """Equations 1 and 2 in float64: weights are means of the gradient, the map is the positive part of the sum."""
    weight, bias = net.conv.weight.detach().double().numpy(), net.conv.bias.detach().double().numpy()  # type: ignore[union-attr]
    maps = []
    for photo in x.double().numpy():
        rows, columns = photo.shape[1] // 3, photo.shape[2] // 3
        a = np.empty((4, rows, columns))
        for i in range(rows):
            for j in range(columns):
                patch = photo[:, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
                a[:, i, j] = (weight * patch[None]).sum((1, 2, 3)) + bias
        rectified = np.maximum(a, 0)
        gradient = 2 * net.v.double().numpy() * rectified / (rows * columns)  # of the score, at A or after the ReLU
        shown = rectified if activated else a
        cam = np.maximum((gradient.mean((1, 2))[:, None, None] * shown).sum(0), 0)
        cam = enlarged(cam, photo.shape[1:])
        maps.append((cam - cam.min()) / (cam.max() - cam.min()))
    return np.stack(maps)[:, None]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("layer", ["conv", "act"])
def test_the_map_is_the_papers(layer: str, frozen: bool, inplace: bool) -> None:
    net, x = Net(inplace), photos()
    net.requires_grad_(not frozen)
    found = grad_cam(net, net.get_submodule(layer), x)
    assert found.shape == (2, 1, 12, 15)
    assert not found.requires_grad
    assert found.numpy() == pytest.approx(by_hand(net, x, activated=layer == "act"), abs=2e-6)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not x.requires_grad


def test_a_photos_map_does_not_depend_on_the_batch() -> None:
    net, x = Net(), photos(5)
    together = grad_cam(net, net.act, x)
    for i in range(5):
        assert grad_cam(net, net.act, x[i : i + 1])[0].numpy() == pytest.approx(together[i].numpy(), abs=1e-6)


def test_a_map_that_is_the_same_everywhere_masks_nothing() -> None:
    net, x = Net(), photos(2)
    x[1] = 0.5  # equal patches: equal activations
    found = grad_cam(net, net.act, x)
    assert float(found[0].min()) == 0
    assert torch.equal(found[1], torch.ones(1, 12, 15))
    with torch.no_grad():
        net.conv.bias.fill_(-50)  # type: ignore[union-attr]  # nothing passes the ReLU
    assert torch.equal(grad_cam(net, net.act, x), torch.ones(2, 1, 12, 15))


def test_works_inside_no_grad() -> None:
    net, x = Net(), photos()
    expected = grad_cam(net, net.act, x)
    with torch.no_grad():
        assert torch.equal(grad_cam(net, net.act, x), expected)


@pytest.mark.parametrize("layer", ["unused", "flat"])
def test_a_layer_that_does_not_serve_is_named(layer: str) -> None:
    net = Net()
    with pytest.raises(InvalidInputError, match="layer"):
        grad_cam(net, net.get_submodule(layer), photos())
    assert hooks(net) == 0


def test_hooks_are_removed_whatever_happens() -> None:
    net, x = Net(), photos()
    grad_cam(net, net.conv, x)
    assert hooks(net) == 0

    def broken(photos: Tensor) -> Tensor:
        net(photos)
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        grad_cam(broken, net.conv, x)
    assert hooks(net) == 0
    with pytest.raises(InvalidInputError, match="does not depend"):
        grad_cam(lambda photos: net(photos).detach(), net.conv, x)
    assert hooks(net) == 0


def hooks(net: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._backward_hooks) for module in net.modules())
