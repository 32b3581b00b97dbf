"""The network with its published weights, on real photos."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art_crop_efficientnet import model as loading
from art_crop_efficientnet.classes import imagenet_classes
from art_crop_efficientnet.network import EfficientNetLite, SameConv
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app
from art_crop.errors import WeightsError

CHECK = "import sys, art_crop; art_crop.list_plugins(); print('torch' in sys.modules)"


@pytest.fixture(scope="module")
def estimator() -> Any:
    return art_crop.load_model("efficientnet-lite0", device="cpu")


def photo(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255


def test_it_is_listed_without_importing_torch() -> None:
    records = [r for r in art_crop.list_plugins() if r.distribution == "art-crop-efficientnet"]
    assert sorted(r.name for r in records) == ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
    assert subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True).stdout.strip() == "False"


def test_classes_are_in_order_and_agree_with_the_names_of_the_photos(imagenet_sample: Path) -> None:
    classes = imagenet_classes()
    assert len(set(classes)) == 1000
    assert list(classes) == sorted(classes)
    names = {path.stem.replace("_", " ").lower() for path in imagenet_sample.glob("*.JPEG")}
    assert len(names) == 200
    assert names <= {name.lower() for name in classes}


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_top1_on_every_photo_of_the_sample_is_at_least_80_percent(name: str, imagenet_sample: Path) -> None:
    estimator = art_crop.load_model(name, device="cpu")
    classes = {name.split()[0]: index for index, name in enumerate(imagenet_classes())}
    right = [
        int(estimator.predict(photo(path)).argmax() == classes[path.name.split("_")[0]])
        for path in sorted(imagenet_sample.glob("*.JPEG"))
    ]
    assert len(right) == 200
    assert np.mean(right) >= 0.80


def test_same_padding_is_tensorflows() -> None:
    # TensorFlow, tf.nn.conv2d(range(1, 7), [1, 10, 100], strides=2, padding="SAME"): the zero stands on the right.
    conv = SameConv(1, 1, 3, 2)
    with torch.no_grad():
        conv.weight.zero_()[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])
        row = conv(torch.arange(1.0, 7.0).reshape(1, 1, 1, 6))
    # The kernel's middle row meets the only row of the photo.
    assert row.flatten().tolist() == [321.0, 543.0, 65.0]


def test_an_attack_of_art_changes_the_label_of_a_real_photo(estimator: Any, imagenet_sample: Path) -> None:
    from art.attacks.evasion import FastGradientMethod

    x = photo(imagenet_sample / "n01440764_tench.JPEG")
    assert estimator.predict(x).argmax() == 0
    changed = FastGradientMethod(estimator, eps=4 / 255).generate(x, np.array([0]))
    assert np.abs(changed - x).max() <= 4 / 255 + 1e-6
    assert estimator.predict(changed).argmax() != 0


def test_the_photo_outside_the_middle_square_has_no_say(estimator: Any, imagenet_sample: Path) -> None:
    x = torch.from_numpy(photo(imagenet_sample / "n01440764_tench.JPEG")[:, :, :300, :400])
    gradient = estimator.loss_gradient(x, np.array([0]))
    side = round(300 * 224 / 256)
    inside = gradient[..., 19 : 19 + side, 69 : 69 + side]
    assert bool((inside != 0).float().mean() > 0.9)
    assert float(gradient.abs().sum() - inside.abs().sum()) == pytest.approx(0, abs=1e-4)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    state = EfficientNetLite().state_dict()
    state["_fc.weight"] = torch.zeros(10, 1280)
    torch.save(state, tmp_path / "ten.pth")
    with pytest.raises(WeightsError, match=r"_fc.weight"):
        art_crop.load_model("efficientnet-lite0", weights=tmp_path / "ten.pth")
    del state["_fc.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"_fc.weight"):
        art_crop.load_model("efficientnet-lite0", weights=tmp_path / "less.pth")
    with pytest.raises(WeightsError, match="does not hold EfficientNet-Lite2"):
        art_crop.load_model("efficientnet-lite2", weights=loading.published_weights("efficientnet-lite1"))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"_fc.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    for name in ("evil.pth", "plain.pkl"):
        with pytest.raises(WeightsError):
            art_crop.load_model("efficientnet-lite0", weights=tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_distribution_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loading.SHA256, "efficientnet-lite0", "57934424" + "0" * 56)
    with pytest.raises(WeightsError, match=r"force-reinstall"):
        loading.published_weights()


def test_protect_takes_the_fish_out_of_the_first_five_labels(
    estimator: Any, imagenet_sample: Path, tmp_path: Path
) -> None:
    tench, out = imagenet_sample / "n01440764_tench.JPEG", tmp_path / "o"
    result = CliRunner().invoke(app, ["protect", str(tench), "--condition", "top5", "--no-figure", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert estimator.predict_file(tench).argmax() == 0
    assert 0 not in np.argsort(-estimator.predict_file(out / "n01440764_tench.png"))[:5]
    record = json.loads((out / "n01440764_tench.json").read_text())
    assert record["success"]
    assert record["within_threshold"] == 1
