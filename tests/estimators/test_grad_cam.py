"""Grad-CAM of saliency models: what is explained, by which layer, and that it says something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchSaliencyRegressor
from art_crop.estimators.builtin import fastgaze
from art_crop.geometry import Region
from art_crop.objectives import CropContainsRegion, MapDistance, PeakInRegion

REGION = Region(0.5, 0.5, 0.75, 1)


def cell_of(region: Region, best: Tensor) -> tuple[int, int]:
    """Highest cell (row, column) of a map (6, 8) whose middle lies in the region."""
    inside = [
        (r, c)
        for r in range(6)
        for c in range(8)
        if region.x0 <= (c + 0.5) / 8 <= region.x1 and region.y0 <= (r + 0.5) / 6 <= region.y1
    ]
    return max(inside, key=lambda cell: float(best[cell]))


@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
def test_against_the_two_halves_of_the_network(tiny: Any, loss: Any) -> None:
    """The score is the region's greatest raw value, whatever the loss."""
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(2))
    found = estimator.grad_cam(x, PeakInRegion([REGION] * 2, loss=loss), "act")
    model = tiny.seeded(tiny.TinySaliency).double().eval()
    for photo, cam in zip(x.double(), found, strict=True):
        activation = model.act(model.norm(model.first(photo[None]))).detach().requires_grad_()
        saliency = model.second(activation)[0, 0]
        (gradient,) = torch.autograd.grad(saliency[cell_of(REGION, saliency.detach())], activation)
        expected = (gradient.mean((2, 3), keepdim=True) * activation.detach()).sum(1, keepdim=True).relu()
        expected = F.interpolate(expected, (24, 32), mode="bilinear")[0]
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        assert cam.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_objectives_without_evidence_are_explained_by_their_loss(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(1))
    cam = estimator.grad_cam(x, MapDistance(torch.zeros(1, 6, 8)), "act")
    assert cam.shape == (1, 1, 24, 32)
    assert float(cam.max()) == 1


def test_photos_explain_themselves_alone(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(3))
    wish = CropContainsRegion([REGION] * 3, (1.0,))
    together = estimator.grad_cam(x, wish, "act")
    for i in range(3):
        assert torch.equal(estimator.grad_cam(x[i : i + 1], wish.take([i]), "act")[0], together[i])


class Deep(nn.Module):
    """Three convolutions; the last of 8 or more channels is followed by a normalisation and an activation."""

    def __init__(self, activated: bool = True) -> None:
        super().__init__()
        act: nn.Module = nn.ReLU() if activated else nn.Identity()
        layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 9, 3, 2, 1), nn.BatchNorm2d(9), act]
        self.layers = nn.Sequential(*layers, nn.Conv2d(9, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("activated", "expected"), [(True, "layers.4"), (False, "layers.2")])
def test_the_layer_taken_by_itself_is_activated_where_it_can_be(tiny: Any, activated: bool, expected: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        estimator = PyTorchSaliencyRegressor(Deep(activated), log_density=True, device="cpu")
    x, wish = torch.from_numpy(tiny.photos(2)), PeakInRegion([REGION] * 2)
    assert torch.equal(estimator.grad_cam(x, wish), estimator.grad_cam(x, wish, expected))


def test_layers_that_do_not_serve(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(1))
    wish = PeakInRegion([REGION])
    with pytest.raises(InvalidInputError, match="8 or more channels"):
        estimator.grad_cam(x, wish)
    with pytest.raises(InvalidInputError, match="first"):
        estimator.grad_cam(x, wish, "no such layer")


def test_the_model_is_left_as_it_was(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(1))
    estimator.model.train()
    estimator.model.second.requires_grad_(False)
    estimator.grad_cam(x, PeakInRegion([REGION]), "act")
    assert all(module.training for module in estimator.model.modules())
    assert [p.requires_grad for p in estimator.model.parameters()] == [True] * 4 + [False] * 2
    assert all(parameter.grad is None for parameter in estimator.model.parameters())
    assert not any(module._forward_hooks for module in estimator.model.modules())


def test_on_the_deployed_cropper_it_singles_something_out(fastgaze_weights: Path, photo: NDArray[np.uint8]) -> None:
    """A margin's gradient sums to 0 over the map, so explaining the loss gave weights of 0 here: a mask of ones."""
    estimator = fastgaze(weights=fastgaze_weights, device="cpu")
    x = torch.from_numpy(photo.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    for loss in ("margin", "cross_entropy"):
        cam = estimator.grad_cam(x, PeakInRegion([Region(0, 0, 0.2, 1)], loss=loss))[0, 0]  # type: ignore[arg-type]
        assert float(cam.min()) == 0
        assert float(cam.max()) == 1
        assert 0.01 < float(cam.mean()) < 0.7
