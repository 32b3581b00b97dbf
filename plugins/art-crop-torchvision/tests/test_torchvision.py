"""Real torchvision networks on the torch that is installed; random weights, where published ones are not at hand."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_crop_torchvision.photos import PhotoClassifier
from art_crop_torchvision.weights import published
from safetensors.torch import save_file
from skimage import data
from torch import nn

import art_crop
from art_crop.errors import DownloadError, InvalidInputError, WeightsError
from art_crop.models.torchvision_import import import_torchvision

NAMES = {"torchvision-classifier", "resnet50-places365"}


def tiny(**kwargs: Any) -> Any:
    arguments = {"architecture": "squeezenet1_1", "weights": None, "nb_classes": 5, "device": "cpu"} | kwargs
    return art_crop.load_model("torchvision-classifier", **arguments)


@pytest.fixture(scope="module")
def x() -> Any:
    return np.ascontiguousarray(data.coffee().transpose(2, 0, 1)[None], np.float32) / 255  # (1, 3, 400, 600)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file laid out as the published one: a training checkpoint of a DataParallel resnet50 with 365 classes."""
    network = import_torchvision().models.resnet50(num_classes=365)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    path = tmp_path_factory.mktemp("places") / "resnet50_places365.pth.tar"
    torch.save({"epoch": 90, "arch": "resnet50", "state_dict": state, "best_prec1": 54.7}, path)
    return path


def test_both_are_listed_and_listing_imports_no_torch() -> None:
    records = [r for r in art_crop.list_plugins() if r.name in NAMES]
    assert {r.name for r in records} == NAMES
    assert {r.distribution for r in records} == {"art-crop-torchvision"}
    code = "import sys, art_crop; art_crop.list_plugins(); print({'torch', 'torchvision'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_torchvision_imports_on_this_torch_in_a_fresh_process_and_again() -> None:
    code = (
        "from art_crop.models.torchvision_import import import_torchvision as get\n"
        "assert get() is get()\n"
        "import torchvision.models, torchvision.transforms.v2\n"
        "print(torchvision.models.get_model('squeezenet1_1', weights=None) is not None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_the_transform_is_torchvisions_own(x: Any) -> None:
    models = import_torchvision().models
    for name in ("resnet50", "convnext_tiny", "swin_v2_t"):  # bilinear, another share, bicubic
        preset = models.get_model_weights(name).DEFAULT.transforms()
        inside = PhotoClassifier(
            nn.Identity(), resize=preset.resize_size[0], crop=preset.crop_size[0], mode=preset.interpolation.value
        )
        for photo in (torch.from_numpy(x), torch.from_numpy(x).mT.contiguous(), torch.from_numpy(x)[..., :150, :97]):
            expected = preset(photo)
            assert inside.prepare(photo).shape == expected.shape
            torch.testing.assert_close(inside.prepare(photo), expected, atol=1e-5, rtol=0)


def test_logits_are_those_of_the_bare_network(x: Any) -> None:
    estimator = tiny(seed=3)
    network = estimator.model.network
    preset = import_torchvision().models.get_model_weights("squeezenet1_1").DEFAULT.transforms()
    with torch.no_grad():
        expected = network(preset(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(estimator.predict(x), expected, atol=1e-5)


def test_random_weights_come_from_the_seed_and_global_state_stays(x: Any) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (tiny(seed=seed).predict(x) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_places365_goes_in_and_out_unchanged(places: Path, x: Any) -> None:
    estimator = art_crop.load_model("resnet50-places365", weights=places, device="cpu")
    saved = torch.load(places, weights_only=True)["state_dict"]
    loaded = estimator.model.network.state_dict()
    assert set(saved) == {f"module.{key}" for key in loaded}
    assert all(torch.equal(saved[f"module.{key}"], value) for key, value in loaded.items())
    assert estimator.predict(x).shape == (1, 365)
    assert estimator.weights_sha256 == hashlib.sha256(places.read_bytes()).hexdigest()
    # The authors resize to a square first: two shapes of photo, one input.
    assert estimator.model.prepare(torch.from_numpy(x)).shape == (1, 3, 224, 224)


def test_places365_without_a_file_says_where_it_is_published() -> None:
    with pytest.raises(WeightsError, match=r"http://places2.csail.mit.edu"):
        art_crop.load_model("resnet50-places365")


def test_weights_of_ones_own_in_both_formats(tmp_path: Path, x: Any) -> None:
    source = tiny(seed=5)
    state = source.model.network.state_dict()
    torch.save(state, tmp_path / "mine.pth")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "mine.safetensors")
    for name in ("mine.pth", "mine.safetensors"):
        np.testing.assert_array_equal(tiny(weights=tmp_path / name).predict(x), source.predict(x))


def test_another_number_of_classes_is_named(places: Path, tmp_path: Path) -> None:
    torch.save(tiny(nb_classes=7).model.network.state_dict(), tmp_path / "seven.pth")
    with pytest.raises(WeightsError, match=r"7 classes .*nb_classes=7"):
        tiny(weights=tmp_path / "seven.pth")
    with pytest.raises(WeightsError, match=r"365 classes .*not 1000"):
        tiny(architecture="resnet50", weights=places, nb_classes=1000)
    assert tiny(architecture="resnet50", weights=places, nb_classes=365).nb_classes == 365


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_key_by_key_are_refused(change: str, tmp_path: Path) -> None:
    state = dict(tiny().model.network.state_dict())
    if change == "missing":
        del state["features.0.weight"]
    elif change == "extra":
        state["features.99.weight"] = torch.zeros(1)
    else:
        state["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    torch.save(state, tmp_path / "w.pth")
    key = "features.99" if change == "extra" else "features.0.weight"
    with pytest.raises(WeightsError, match=key):
        tiny(weights=tmp_path / "w.pth")


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth.tar")
    with pytest.raises(WeightsError, match=r"nothing of it was run"):
        art_crop.load_model("resnet50-places365", weights=tmp_path / "evil.pth.tar")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_files_that_are_no_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            tiny(weights=tmp_path / name)
    with pytest.raises(WeightsError, match=r"missing.pth"):
        tiny(weights=tmp_path / "missing.pth")


def test_bad_arguments_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"resnet50"):
        tiny(architecture="resnet_50")
    with pytest.raises(InvalidInputError, match=r"fcn"):
        tiny(architecture="fcn_resnet50")  # a segmentation network
    with pytest.raises(InvalidInputError, match=r"nb_classes"):
        tiny(weights="DEFAULT")
    with pytest.raises(InvalidInputError, match=r"seed"):
        tiny(seed=-1)


def test_published_weights_that_cannot_be_fetched_say_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    content = b"weights"
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    url, path = f"https://127.0.0.1:9/{name}", tmp_path / "checkpoints" / name
    with pytest.raises(DownloadError, match=str(path)):
        published(url)
    path.write_bytes(content)
    assert published(url) == path
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"damaged"):
        published(url)


def test_an_attack_of_art_runs_through_resize_and_crop(x: Any) -> None:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    estimator = tiny()
    y = estimator.predict(x).argmax(1)
    attack = ProjectedGradientDescentPyTorch(estimator, eps=0.05, eps_step=0.02, max_iter=3, verbose=False)
    changed = attack.generate(x, y)
    assert np.abs(changed - x).max() <= 0.05 + 1e-6
    before, after = estimator.compute_loss(x, y), estimator.compute_loss(changed, y)
    assert after > before
