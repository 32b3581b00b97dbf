"""Wrapping leaves a user's weights where and as they lie; the package's own models come in the fastest layout."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import art_crop
from art_crop.estimators import PyTorchSaliencyRegressor


class StandardisedConv(nn.Conv2d):
    """Weight standardisation (Qiao et al. 2019), as published: ``view`` wants weights that lie one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        std = self.weight.view(self.weight.size(0), -1).std(dim=1).view(-1, 1, 1, 1) + 1e-5
        return F.conv2d(x, w / std, self.bias, self.stride, self.padding)


def layout(model: nn.Module) -> list[tuple[int, tuple[int, ...]]]:
    return [(p.data_ptr(), p.stride()) for p in model.parameters()]


def standardised() -> nn.Module:
    return nn.Sequential(StandardisedConv(3, 8, 3, padding=1), nn.ReLU(), StandardisedConv(8, 1, 3, padding=1))


def test_a_model_that_views_its_weights() -> None:
    model, x = standardised().eval(), torch.rand(1, 3, 32, 48)
    before, expected = layout(model), model(x).detach()[:, 0].numpy()
    estimator = PyTorchSaliencyRegressor(model, device="cpu")
    np.testing.assert_allclose(estimator.predict(x.numpy()), expected, rtol=1e-5, atol=1e-6)
    estimator.loss_gradient(x.numpy(), expected + 1)
    estimator.set_params(model=model)
    for twin in (estimator.clone_for_refitting(), copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        twin.predict(x.numpy())
    assert layout(model) == before
    model(x)


def test_weights_in_shared_memory_stay_there() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)).share_memory()
    before = layout(model)
    PyTorchSaliencyRegressor(model, device="cpu").predict(np.zeros((1, 3, 8, 8), np.float32))
    assert layout(model) == before
    assert all(p.is_shared() for p in model.parameters())


def test_weights_that_are_one_tensor_stay_one() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 1, 1))
    model[1].weight.data = model[0].weight.data  # two parameters, one storage, as flattened optimisers make them
    PyTorchSaliencyRegressor(model, device="cpu")
    assert model[0].weight.data_ptr() == model[1].weight.data_ptr()


def test_the_layout_that_was_chosen_is_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 1, 3)).to(memory_format=torch.channels_last)
    estimator = PyTorchSaliencyRegressor(model, device="cpu")
    for one in (estimator, copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert one.model[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_the_packages_own_models_are_channels_last() -> None:
    for name in ("gaze-lite", "gaze-lite-human"):
        model = art_crop.load_model(name, device="cpu").model
        weights = [p for p in model.parameters() if p.ndim == 4]
        assert weights
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
