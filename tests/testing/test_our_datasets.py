"""The kit on our datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import art_crop
from art_crop.testing import DatasetConformance


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    (root / "more").mkdir()
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "C.PNG", "more/a.jpg"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(root / name)
    Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8)).save(root / "grey.png")
    (root / "notes.txt").write_text("no photo")
    return root


class TestFolder(DatasetConformance):
    loads = 4

    @pytest.fixture
    def dataset(self, some_photos: Path) -> Any:
        return art_crop.load_dataset("folder", root=some_photos)


class TestFolderOfFolders(DatasetConformance):
    @pytest.fixture
    def dataset(self, some_photos: Path) -> Any:
        return art_crop.load_dataset("folder", root=some_photos, recursive=True)

    @pytest.fixture
    def make_dataset(self) -> Any:
        return lambda root: art_crop.load_dataset("folder", root=root, recursive=True)


class TestOSIE(DatasetConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def dataset(cls, osie_root: Path) -> Any:
        return art_crop.load_dataset("osie", root=osie_root)
