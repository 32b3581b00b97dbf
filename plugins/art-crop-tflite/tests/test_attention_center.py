"""attention-center against maps and outputs that LiteRT measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_crop_tflite.estimators import attention_center as build
from art_crop_tflite.estimators import centers, tflite_saliency
from art_crop_tflite.models import SaliencyModel
from art_crop_tflite.network import Network, load_tflite
from art_crop_tflite.reading import read_graph
from PIL import Image

from art_crop.errors import InvalidInputError, WeightsError
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

PHOTOS = ("1001", "1123", "1250", "1400", "1555", "1699")


def photo(osie: Path, name: str) -> Any:
    (path,) = osie.rglob(f"{name}.jpg")
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)[None].astype(np.float32) / 255


@pytest.mark.parametrize("name", PHOTOS)
def test_the_map_is_the_measured_one(name: str, attention_center: Any, golden: Path, osie: Path) -> None:
    expected = np.load(golden / f"{name}.npz")["saliency"]
    saliency = attention_center.predict(photo(osie, name))
    assert saliency.shape == (1, 480, 640)
    assert np.abs(saliency[0, ::8, ::8] - expected).max() <= 1e-3 * np.ptp(expected)


@pytest.mark.parametrize("name", PHOTOS)
def test_the_output_is_the_measured_one(name: str, attention_center: Any, golden: Path, osie: Path) -> None:
    expected = np.array(json.loads((golden / "expected.json").read_text())[f"{name}.jpg"]["output"])
    tensor = attention_center.to_tensor(photo(osie, name))
    with torch.no_grad():
        point = attention_center.model.center(tensor).numpy()
    assert np.abs(point - expected).max() <= 0.05  # pixels of the network's 640x480 input
    assert np.allclose(centers(attention_center, photo(osie, name)), point * 1.25, atol=1e-3)  # the photo is 800x600


def test_the_output_is_the_centroid_of_the_map(attention_center: Any, osie: Path) -> None:
    x = attention_center.to_tensor(photo(osie, "1555"))
    with torch.no_grad():
        saliency = attention_center.model(x)[0].double()
        point = attention_center.model.center(x)[0].double()
    columns = (saliency.sum(0) * torch.arange(640)).sum() / saliency.sum()
    rows = (saliency.sum(1) * torch.arange(480)).sum() / saliency.sum()
    # The runtime adds 307,200 terms one after another in float32; its centroid is that much off.
    assert abs(float(columns - point[0])) < 0.5
    assert abs(float(rows - point[1])) < 0.5


def test_samples_do_not_mix(attention_center: Any, osie: Path) -> None:
    """The file divides by the maximum over its whole batch; here every photo has its own."""
    x = attention_center.to_tensor(np.concatenate([photo(osie, name) for name in ("1001", "1699")]))
    x[1] *= 0.2
    with torch.no_grad():
        together = attention_center.model(x)
        alone = torch.cat([attention_center.model(part) for part in x.split(1)])
    assert float((together - alone).abs().max()) < 2e-4


def test_gradient_of_the_network_matches_float64_differences(attention_center_file: Path, osie: Path) -> None:
    levels = torch.from_numpy(photo(osie, "1123")[:, :, ::2, ::2] * 255).double()
    levels = torch.nn.functional.interpolate(levels, (480, 640), mode="bilinear").permute(0, 2, 3, 1)
    net = load_tflite(attention_center_file, (1586,)).double().requires_grad_(False)
    weights = torch.randn(480, 640, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = levels.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((net(x)[0] * weights).sum(), x)
    for seed in range(2):
        direction = torch.randn(levels.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        direction /= direction.norm()
        with torch.no_grad():
            up, down = ((net(levels + s * 1e-3 * direction)[0] * weights).sum() for s in (1, -1))
        slope = float((gradient * direction).sum())
        assert float(up - down) / 2e-3 == pytest.approx(slope, rel=1e-3, abs=1e-6 * float(gradient.norm()))


def test_joining_group_norms_changes_nothing_but_the_rounding(attention_center_file: Path, osie: Path) -> None:
    graph = read_graph(attention_center_file)
    x = torch.from_numpy(photo(osie, "1250")[:, :, :480, :640]).permute(0, 2, 3, 1).double() * 255
    joined, spelled = (Network(graph, (1586,), fuse=fuse).eval().double() for fuse in (True, False))
    assert len(joined.steps) < len(spelled.steps) / 4
    with torch.no_grad():
        assert float((joined(x)[0] - spelled(x)[0]).abs().max()) < 1e-10


def test_photos_of_other_proportions_are_padded_and_the_map_is_cut(attention_center: Any, osie: Path) -> None:
    wide = photo(osie, "1400")[:, :, 150:450]  # 800x300
    saliency = attention_center.predict(wide)
    assert saliency.shape == (1, 240, 640)
    framed = np.zeros((1, 3, 600, 800), np.float32)
    framed[:, :, 150:450] = wide
    around = attention_center.predict(framed)[0, 120:360]
    assert np.corrcoef(saliency.ravel(), around.ravel())[0, 1] > 0.999
    middle = centers(attention_center, wide) + np.array([0, 150])
    assert np.abs(middle - centers(attention_center, framed)).max() < 2


def test_options(attention_center: Any, attention_center_file: Path, osie: Path) -> None:
    x = photo(osie, "1001")
    full = attention_center.predict(x)
    pooled = build(weights=attention_center_file, pool=16).predict(x)
    assert pooled.shape == (1, 30, 40)
    assert np.allclose(pooled, full.reshape(1, 30, 16, 40, 16).mean((2, 4)), atol=1e-5)
    levels = build(weights=attention_center_file, clip_values=(0, 255)).predict(x * 255)
    assert np.allclose(levels, full, atol=1e-4)
    assert build(weights=attention_center_file, fit="stretch").predict(x[:, :, :300]).shape == (1, 480, 640)
    own = tflite_saliency(weights=attention_center_file, tensor=1586)
    assert np.array_equal(own.predict(x), full)
    assert attention_center.name == "attention-center"
    assert attention_center.weights_sha256.startswith("8968fe82")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"pool": 0}, "pool"),
        ({"pool": 2.5}, "pool"),
        ({"fit": "crop"}, "fit"),
        ({"log_density": True}, "log_density"),
        ({"clip_values": (1, 0)}, "clip_values"),
        ({"colour": "blue"}, "colour"),
        ({"weights": 3}, "weights"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], named: str, attention_center_file: Path) -> None:
    with pytest.raises((InvalidInputError, TypeError), match=named):
        build(**{"weights": attention_center_file, **options})


def test_a_file_that_is_another_model_is_refused(nima_file: Path, nima: Any) -> None:
    with pytest.raises(WeightsError, match="tensors are 0 to 87"):
        build(weights=nima_file)
    with pytest.raises(InvalidInputError, match="estimator"):
        centers(nima, np.zeros((1, 3, 8, 8), np.float32))


def test_an_attack_moves_the_peak(attention_center: Any, osie: Path) -> None:
    """Sixteen plain steps along the gradient, in the L2 ball of 20: a gradient that is not the model's would not."""
    x = attention_center.to_tensor(photo(osie, "1400"))
    wish, start = PeakInRegion([Region(0.6, 0.1, 0.95, 0.9)]), x.clone()
    assert not bool(attention_center.evaluate(x, wish).success)
    for _ in range(16):
        gradient = attention_center.value_and_gradient(x, wish).gradient
        change = x - 3 * gradient / gradient.norm() - start
        x = (start + change * min(1.0, 20 / float(change.norm()))).clamp(0, 1)
    assert bool(attention_center.evaluate(x, wish).success)


def test_the_model_is_a_saliency_model_with_layers_that_can_be_watched(attention_center: Any, osie: Path) -> None:
    assert isinstance(attention_center.model, SaliencyModel)
    x = photo(osie, "1001")
    names = [name for name in attention_center.layer_names if name.endswith("conv_2d.operation")]
    assert len(names) > 30
    activations = attention_center.get_activations(x, names[0])
    assert activations.shape == (1, 16, 240, 320)
