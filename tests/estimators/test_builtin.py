"""Models by name: the head, the hash and the file behind them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import art_crop
from art_crop.errors import WeightsError
from art_crop.models.gaze_lite import GazeLiteNet, load_gaze_lite, save_gaze_lite


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        save_gaze_lite(GazeLiteNet(), path, {})
    return path


@pytest.mark.parametrize(("name", "head"), [("gaze-lite", "cropper"), ("gaze-lite-human", "human")])
def test_gaze_lite_from_a_file(name: str, head: Any, weights: Path, photo: NDArray[np.uint8]) -> None:
    estimator = art_crop.load_model(name, weights=weights, device="cpu")
    x = photo.transpose(2, 0, 1)[None].astype(np.float32) / 255
    with torch.no_grad():
        levels = estimator.model.levels(torch.from_numpy(x)).float() - estimator.model.means
        expected = load_gaze_lite(weights, head)(levels.contiguous(memory_format=torch.channels_last)).numpy()
    assert np.array_equal(estimator.predict(x), expected)
    assert estimator.name == name
    assert estimator.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    # Random weights, but every layer starts anew, the prior over positions included.
    fresh = estimator.clone_for_refitting()
    assert not np.array_equal(fresh.predict(x), expected)
    assert torch.equal(fresh.model.network.head.prior, torch.zeros(4))


def test_fastgaze_by_path(fastgaze_weights: Path, tmp_path: Path) -> None:
    estimator = art_crop.load_model("fastgaze", weights=fastgaze_weights, device="cpu", micro_batch=2)
    assert (estimator.name, estimator.micro_batch) == ("fastgaze", 2)
    assert estimator.predict(np.zeros((1, 3, 480, 640), np.float32)).shape == (1, 15, 20)
    with pytest.raises(WeightsError):
        art_crop.load_model("fastgaze", weights=tmp_path / "missing.vxm")
    (tmp_path / "other.vxm").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not a FastGaze weight file"):
        art_crop.load_model("fastgaze", weights=tmp_path / "other.vxm")
