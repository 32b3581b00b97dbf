"""The sensitivity network: torchvision's VGG-16 inside, its weight file, and photos of any size."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from skimage import data

import art_crop
from art_crop.errors import InvalidInputError, WeightsError
from art_crop.models.sensitivity import FCNVGG16, load_fcn_vgg16, load_start, save_fcn_vgg16

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


def network(seed: int = 1, long_side: int = 64) -> FCNVGG16:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        net = FCNVGG16(long_side=long_side).eval()
    torch.nn.init.normal_(net.out.weight, std=0.05, generator=torch.Generator().manual_seed(seed))
    torch.nn.init.constant_(net.out.bias, 0.4)
    return net


@pytest.fixture(scope="module")
def net() -> FCNVGG16:
    return network()


@pytest.fixture(scope="module")
def weights(net: FCNVGG16, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_fcn_vgg16(net, path, {"seed": 1})
    return path


def photo(height: int, width: int) -> Any:
    return torch.from_numpy(data.astronaut()[:height, :width].transpose(2, 0, 1)[None].copy()).float() / 255


def test_the_features_are_vgg16s_up_to_its_last_pool(net: FCNVGG16) -> None:
    from torchvision.models import VGG16_Weights, vgg16
    from torchvision.transforms.functional import normalize

    preset = VGG16_Weights.DEFAULT.transforms()
    theirs = vgg16(weights=None, init_weights=False).features
    theirs.load_state_dict(net.features.state_dict())
    x = photo(48, 64)
    with torch.no_grad():
        cells = theirs[:-1](normalize(x, preset.mean, preset.std))
        mixed = torch.einsum("oc,nchw->nohw", net.out.weight[:, :, 0, 0], cells) + net.out.bias
        expected = torch.nn.functional.interpolate(mixed, (48, 64), mode="bilinear")[:, 0].clamp(0, 1)
        found = net(x)
    assert cells.shape == (1, 512, 3, 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert float(found.std()) > 0.01
    assert (
        sum(p.numel() for p in net.parameters()) == 14_714_688 + 513
    )  # Simonyan and Zisserman, without the classifier


def test_any_photo_is_seen_at_one_scale_and_mapped_pixel_by_pixel(net: FCNVGG16) -> None:
    assert net.seen_size(600, 800) == (48, 64)
    assert net.seen_size(4000, 3000) == (64, 48)
    assert net.seen_size(7, 5000) == (16, 64)
    with torch.no_grad():
        for size in ((1, 1), (5, 200), (300, 400)):
            maps = net(photo(*size))
            assert maps.shape == (1, *size)
            assert float(maps.min()) >= 0
            assert float(maps.max()) <= 1
        fine = net(photo(480, 512))
        small = net(torch.nn.functional.interpolate(photo(480, 512), (240, 256), mode="bilinear", antialias=True))
    coarse = torch.nn.functional.interpolate(fine[None], (240, 256), mode="bilinear")[0]
    assert float((coarse - small).abs().max()) < 0.25 * float(fine.max() - fine.min())


def test_what_is_written_is_what_is_read(net: FCNVGG16, weights: Path) -> None:
    back = load_fcn_vgg16(weights)
    assert back.long_side == 64
    for name, value in net.state_dict().items():
        assert torch.equal(back.state_dict()[name], value.half().float())
    estimator = art_crop.load_model("fcn-vgg16-sensitivity", weights=weights, device="cpu")
    assert estimator.name == "fcn-vgg16-sensitivity"
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in estimator.model.parameters() if p.ndim == 4)
    x = photo(96, 128)
    with torch.no_grad():
        np.testing.assert_allclose(estimator.predict(x.numpy()), back(x).numpy(), atol=1e-5)


def test_weights_are_named_by_path_or_by_the_environment(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ART_CROP_SENSITIVITY", raising=False)
    with pytest.raises(WeightsError, match="art-crop train-sensitivity"):
        art_crop.load_model("fcn-vgg16-sensitivity")
    monkeypatch.setenv("ART_CROP_SENSITIVITY", str(weights))
    assert art_crop.load_model("fcn-vgg16-sensitivity", device="cpu").model.long_side == 64


def test_other_files_are_refused(net: FCNVGG16, weights: Path, tmp_path: Path) -> None:
    state = load_file(weights)
    save_file(state, tmp_path / "no-header.safetensors")
    save_file({**state, "out.weight": torch.zeros(2, 512, 1, 1)}, tmp_path / "wide.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"not weights at all")
    for name, said in (("no-header", "long_side"), ("wide", r"out\.weight"), ("noise", "safetensors")):
        with pytest.raises(WeightsError, match=said):
            load_fcn_vgg16(tmp_path / f"{name}.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        load_fcn_vgg16(tmp_path / "missing.safetensors")
    with pytest.raises(InvalidInputError, match="long_side"):
        FCNVGG16(long_side=8)


def test_a_start_is_vgg16_or_an_earlier_result(net: FCNVGG16, weights: Path, tmp_path: Path) -> None:
    features = {name: value for name, value in net.state_dict().items() if name.startswith("features.")}
    torch.save({**features, "classifier.0.weight": torch.zeros(3, 3)}, tmp_path / "vgg16.pth")
    fresh = network(seed=2)
    before = fresh.out.weight.clone()
    assert not load_start(fresh, tmp_path / "vgg16.pth")
    assert all(torch.equal(fresh.state_dict()[name], value) for name, value in features.items())
    assert torch.equal(fresh.out.weight, before)
    assert load_start(fresh, weights)
    assert torch.equal(fresh.out.weight, net.out.weight.half().float())
    for name, state, said in (
        ("short", {k: v for k, v in features.items() if k != "features.28.bias"}, r"features\.28\.bias"),
        ("batch-norm", {**features, "features.1.running_mean": torch.zeros(64)}, "running_mean"),
        ("nan", {**features, "features.0.bias": torch.full((64,), float("nan"))}, r"features\.0\.bias"),
        ("shape", {**features, "features.0.bias": torch.zeros(32)}, r"\(32,\)"),
    ):
        torch.save(state, tmp_path / f"{name}.pth")
        with pytest.raises(WeightsError, match=said):
            load_start(fresh, tmp_path / f"{name}.pth")
