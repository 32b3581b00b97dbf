"""art_crop's own checks of what a quality model must be: one that is asked, and one with gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import art_crop
from art_crop.models.torchvision_import import import_torchvision
from art_crop.testing import QualityModelConformance

import_torchvision()


class TestPiqe(QualityModelConformance):
    query_only = True

    @pytest.fixture
    def estimator(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("ART_CROP_PYIQA_LICENCE", "accepted")
        return art_crop.load_model("pyiqa", metric="piqe")


class TestCnniqa(QualityModelConformance):
    """pyiqa's CNNIQA with random weights: the published ones are not at hand, and not what is checked."""

    @pytest.fixture
    def estimator(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        from pyiqa.archs.cnniqa_arch import CNNIQA, default_model_urls
        from pyiqa.utils import download_util

        monkeypatch.setenv("ART_CROP_PYIQA_LICENCE", "accepted")
        monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            state = CNNIQA(pretrained=None).state_dict()
        torch.save({"params": state}, tmp_path / default_model_urls["koniq10k"].rpartition("/")[2])
        return art_crop.load_model("pyiqa", metric="cnniqa", score_range=(-1, 1))
