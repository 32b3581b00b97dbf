"""Weight files of every layout, what is said of those that do not fit, and what the network makes of a photo."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_crop_koncept512.network import KonCept512
from safetensors.torch import save_file
from torch import Tensor, nn

import art_crop
from art_crop.errors import InvalidInputError, MissingDependencyError, WeightsError
from art_crop.testing import doubles

SIZE = (75, 80)
X = doubles.photos(2, 48, 64, seed=3)


def load(path: Path, **kwargs: Any) -> Any:
    return art_crop.load_model("koncept512", weights=path, **({"size": SIZE, "device": "cpu"} | kwargs))


class Reimplementation(nn.Module):
    """The PyTorch re-implementation's structure: a Sequential of all children but the last, and a Sequential head.

    Of Szegedy et al. 2017, figure 14 as published: three convolutions, a pool, two, a pool, and the blocks.
    """

    def __init__(self, network: KonCept512) -> None:
        super().__init__()
        children = [child for child in network.features.children() if list(child.parameters())]
        pools = [nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2)]
        self.base = nn.Sequential(*children[:3], pools[0], *children[3:5], pools[1], *children[5:], nn.AvgPool2d(8))
        self.fc = network.head

    def forward(self, x: Tensor) -> Tensor:
        features = self.base((x - 0.5) / 0.5)
        return self.fc(features.view(len(x), -1))  # type: ignore[no-any-return]


def test_it_is_listed_and_listing_imports_neither_torch_nor_timm() -> None:
    records = [r for r in art_crop.list_plugins() if r.name == "koncept512"]
    assert [(r.distribution, r.task) for r in records] == [("art-crop-koncept512", "quality")]
    code = "import sys, art_crop; art_crop.list_plugins(); print({'torch', 'timm'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_without_weights_it_says_that_it_needs_them() -> None:
    with pytest.raises(WeightsError, match=r"^koncept512 needs weights, .*weights=path .*--weights"):
        art_crop.load_model("koncept512")


def test_the_head_is_the_papers() -> None:
    # Hosu et al. 2020: 1536-2048-1024-256-1, dropout .25, .25, .5; the features have 54,306,464 parameters (timm).
    with torch.device("meta"):
        network = KonCept512()
    head = [str(layer).split("(")[0] for layer in network.head]
    assert head == ["Linear", "ReLU", "BatchNorm1d", "Dropout"] * 3 + ["Linear"]
    linear = [layer for layer in network.head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (1536, 2048),
        (2048, 1024),
        (1024, 256),
        (256, 1),
    ]
    assert [layer.p for layer in network.head if isinstance(layer, nn.Dropout)] == [0.25, 0.25, 0.5]
    assert sum(parameter.numel() for parameter in network.features.parameters()) == 54_306_464


def test_the_reimplementations_file_gives_the_reimplementations_score(network: KonCept512, folder: Path) -> None:
    theirs = Reimplementation(network).eval()
    state = theirs.state_dict()
    assert {"base.0.conv.weight", "base.7.branch1.0.conv.weight", "base.14.bn.running_var", "fc.12.bias"} <= set(state)
    path = folder / "KonCept512.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    photo = doubles.photos(1, 384, 512, seed=5)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(photo))[:, 0].numpy()
    ours = art_crop.load_model("koncept512", weights=path, device="cpu")
    np.testing.assert_allclose(ours.predict(photo), expected, rtol=1e-4)
    assert ours.score_range == (0, 100)
    assert ours.higher_is_better is True
    assert ours.name == "koncept512"
    assert ours.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    # The paper's average over the whole photo is another one.
    with torch.no_grad():
        cells = nn.Sequential(*theirs.base[:-1])(2 * torch.from_numpy(photo) - 1)
        whole = theirs.fc(cells.mean((2, 3)))[:, 0].numpy()
    assert cells.shape == (1, 1536, 10, 14)
    ours.model.pooling = "global"
    np.testing.assert_allclose(ours.predict(photo), whole, rtol=1e-4)
    assert abs(whole - expected) > 1e-3


@pytest.mark.parametrize(
    ("features", "head", "pooling"),
    [
        ("base.", "fc.", "global"),
        ("", "classif.", "global"),
        ("", "last_linear.", "corner"),
        ("features.", "head.", "global"),
    ],
)
def test_files_of_every_layout_go_in_and_out_unchanged(
    features: str, head: str, pooling: str, network: KonCept512, small: Any, folder: Path
) -> None:
    state = {
        re.sub("^head.", head, re.sub("^features.", features, key)): value.contiguous()
        for key, value in network.state_dict().items()
    }
    save_file(state, folder / "w.safetensors")
    estimator = load(folder / "w.safetensors")
    assert estimator.model.pooling == pooling
    np.testing.assert_allclose(estimator.predict(X), small.predict(X), rtol=1e-6)  # one cell: its mean is itself
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in estimator.model.state_dict().items())


def test_pooling_and_size_can_be_chosen(weights: Path) -> None:
    with pytest.raises(InvalidInputError, match="pooling: one of global, corner is needed, not 'max'"):
        load(weights, pooling="max")
    for size in ((74, 80), (75,), "75x80", 75, (75, 80.5)):
        with pytest.raises(InvalidInputError, match=r"^size: "):
            load(weights, size=size)
    assert load(weights, pooling="corner").model.pooling == "corner"


@pytest.mark.parametrize("shape", [(33, 47), (1, 1), (75, 80), (200, 40)])
def test_any_size_and_any_batch(shape: tuple[int, int], small: Any) -> None:
    x = doubles.photos(3, *shape, seed=4)
    scores = small.predict(x)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(small.predict(x[1:2]), scores[1:2], rtol=1e-5)
    resized = nn.functional.interpolate(torch.from_numpy(x), SIZE, mode="bilinear", antialias=True)
    np.testing.assert_allclose(small.predict(resized.numpy()), scores, rtol=1e-4)


def test_without_a_size_photos_are_seen_as_they_are(weights: Path) -> None:
    estimator = load(weights, size=None)
    x = doubles.photos(1, 61, 107, seed=4)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 14), (0, 0)), mode="edge")
    np.testing.assert_allclose(estimator.predict(x), estimator.predict(padded), rtol=1e-5)
    assert abs(estimator.predict(x) - load(weights).predict(x)) > 1e-3


def test_what_does_not_fit_is_reported_key_by_key(network: KonCept512, folder: Path) -> None:
    state = dict(network.state_dict())
    state["fc.99.weight"] = torch.zeros(1)
    del state["features.conv2d_1a.conv.weight"]
    state["head.12.weight"] = torch.zeros(5, 256)
    state["head.12.bias"] = torch.tensor([float("nan")])
    state["head.0.bias"] = torch.zeros(2048, dtype=torch.int64)
    torch.save(state, folder / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load(folder / "w.pth")
    message = str(caught.value)
    for part in (
        f"weights: {folder / 'w.pth'} does not hold KonCept512 (1327 tensors): ",
        "1 missing: features.conv2d_1a.conv.weight;",
        "1 unknown: fc.99.weight;",
        "1 of another shape: head.12.weight (5, 256) instead of (1, 256);",
        "1 of another kind of number: head.0.bias int64;",
        "1 not finite: head.12.bias",
    ):
        assert part in message


def test_the_report_speaks_in_the_files_own_names_and_is_not_endless(network: KonCept512, folder: Path) -> None:
    state = Reimplementation(network).state_dict()
    torch.save({key: value for key, value in state.items() if not key.startswith("fc.")}, folder / "w.pth")
    with pytest.raises(WeightsError, match=r": 20 missing: fc\.0\.weight, fc\.0\.bias, .* and 12 more$"):
        load(folder / "w.pth")
    torch.save({"conv1.weight": torch.zeros(3)}, folder / "w.pth")
    with pytest.raises(WeightsError, match=r"missing: .* more; 1 unknown: conv1\.weight$"):
        load(folder / "w.pth")


def test_counts_of_batches_that_old_files_lack_are_no_matter(network: KonCept512, small: Any, folder: Path) -> None:
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save({"model": state}, folder / "w.pth")
    np.testing.assert_allclose(load(folder / "w.pth").predict(X), small.predict(X), rtol=1e-6)


def _evil(path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(path.parent / "ran"),)

    torch.save({"state_dict": Evil()}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_evil, "nothing of it was run"),
        (lambda path: path.write_bytes(b"PK\x03\x04 half a zip"), "cannot be read"),
        (lambda path: torch.save([torch.zeros(3)], path), "holds no state dict"),
        (lambda path: torch.save({}, path), "holds no state dict"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_files_that_are_no_weights_are_refused(write: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    write(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=rf"w\.pth.*{said}"):
        load(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_loading_leaves_random_numbers_alone(weights: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    load(weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_timm_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.models.inception_resnet_v2", None)
    with pytest.raises(MissingDependencyError, match="pip install timm"):
        load(weights)


def test_an_attack_of_art_lowers_the_score(small: Any) -> None:
    from art.attacks.evasion import FastGradientMethod

    before = small.predict(X)
    attack = FastGradientMethod(small, eps=1 / 255, targeted=True)
    found = attack.generate(X, before - 10)
    assert np.abs(found - X).max() <= 1 / 255 + 1e-6
    assert (small.predict(found) < before).all()
