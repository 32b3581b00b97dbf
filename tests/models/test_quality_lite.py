"""quality-lite: its weight file, what it makes of distorted photos, and photos of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

import art_crop
from art_crop.errors import WeightsError
from art_crop.models.layers import fold_batch_norm, save_weights
from art_crop.models.quality_lite import EMBEDDED, QualityLiteNet, load_quality_lite
from art_crop.training.distortions import DISTORTIONS


def random_net() -> QualityLiteNet:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = QualityLiteNet(norm=True)
        for module in net.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
                for tensor in (module.running_mean, module.bias, module.weight):
                    torch.nn.init.normal_(tensor, 0.5, 0.2)  # type: ignore[arg-type]
                torch.nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return net


def photos(height: int = 61, width: int = 75) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_folding_keeps_the_function_and_a_file_brings_it_back(tmp_path: Path) -> None:
    net = random_net().eval()
    folded = fold_batch_norm(net, QualityLiteNet())
    torch.testing.assert_close(folded(photos()), net(photos()), rtol=1e-4, atol=1e-3)
    save_weights(folded, tmp_path / "net.safetensors", {"seed": 1})
    back = load_quality_lite(tmp_path / "net.safetensors")
    assert not back.training
    torch.testing.assert_close(back(photos()), folded(photos()), rtol=0, atol=0.5)  # float16 loses next to nothing


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    tensors = load_file(EMBEDDED)
    assert EMBEDDED.stat().st_size <= 3_000_000  # the wheel's allowance for it
    for name, changed in {
        "missing": {key: value for key, value in tensors.items() if key != "out.weight"},
        "shape": {**tensors, "out.weight": torch.zeros(1, 3)},
        "finite": {**tensors, "out.weight": tensors["out.weight"] * float("nan")},
    }.items():
        save_file(changed, tmp_path / f"{name}.safetensors")
        with pytest.raises(WeightsError, match=r"quality-lite|out\.weight"):
            load_quality_lite(tmp_path / f"{name}.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_quality_lite(tmp_path / "other.safetensors")


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (11, 12), (37, 53), (384, 512)])
def test_photos_of_any_size_have_a_score(size: tuple[int, int]) -> None:
    estimator = art_crop.load_model("quality-lite", device="cpu")
    x = photos(*size).numpy()
    scores = estimator.predict(x)
    assert scores.shape == (2,)
    assert ((scores >= 0) & (scores <= 100)).all()
    grey = np.broadcast_to(x.mean(1, keepdims=True), x.shape).astype(np.float32)
    assert np.isfinite(estimator.predict(grey)).all()


@pytest.mark.parametrize("kind", ["blur", "jpeg", "noise"])
def test_the_more_a_held_out_photo_is_distorted_the_lower_its_score(kodak_root: Path, kind: str) -> None:
    estimator, levels = art_crop.load_model("quality-lite", device="cpu"), (0.0, 0.3, 0.5, 0.7, 0.9)
    for name in ("05.png", "13.png", "23.png"):
        pixels = np.asarray(Image.open(kodak_root / name).convert("RGB"))
        rng = np.random.default_rng(0)
        changed = np.stack([DISTORTIONS[kind](pixels, level, rng) for level in levels])
        scores = estimator.predict(changed.transpose(0, 3, 1, 2).astype(np.float32) / 255)
        assert spearmanr(levels, scores).statistic < -0.8
        assert scores[0] > 60
        assert scores[-1] < scores[0] - 15
