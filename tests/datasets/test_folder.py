from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import art_crop
from art_crop.datasets.folder import Folder
from art_crop.errors import ImageFileError, InvalidInputError


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    for name in ("b.png", "a.JPG", "c.webp", ".hidden.png", "sub/d.png", ".cache/e.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(file)
    (tmp_path / "notes.txt").write_text("not a photo")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_photos_come_sorted_and_others_are_passed_over(folder: Path, photo: NDArray[np.uint8]) -> None:
    photos = Folder(folder)
    assert [item.name for item in photos] == ["a.JPG", "b.png", "c.webp"]
    assert len(photos) == 3
    assert photos[1].path == folder / "b.png"
    assert [item.name for item in photos[1:]] == ["b.png", "c.webp"]
    np.testing.assert_array_equal(photos[1].load(), photo)


def test_recursive_and_other_endings(folder: Path) -> None:
    assert [item.name for item in Folder(folder, recursive=True)] == ["a.JPG", "b.png", "c.webp", "sub/d.png"]
    assert [item.name for item in Folder(folder, extensions=[".PNG"])] == ["b.png"]


def test_opening_reads_no_photo_and_one_bad_file_spoils_no_other(folder: Path, photo: NDArray[np.uint8]) -> None:
    (folder / "aa.png").write_bytes(b"")
    photos = Folder(folder)
    assert [item.name for item in photos] == ["a.JPG", "aa.png", "b.png", "c.webp"]
    with pytest.raises(ImageFileError, match=r"aa\.png"):
        photos[1].load()
    np.testing.assert_array_equal(photos[2].load(), photo)


def test_it_is_the_folder_dataset_of_the_plugin_table(folder: Path) -> None:
    assert len(art_crop.load_dataset("folder", root=folder)) == 3


def test_real_photos(kodak_root: Path) -> None:
    photos = Folder(kodak_root)
    assert len(photos) == 24
    assert {photos[0].load().shape, photos[-1].load().shape} <= {(512, 768, 3), (768, 512, 3)}
    np.testing.assert_array_equal(photos[3].load(), np.asarray(Image.open(photos[3].path).convert("RGB")))


def test_bad_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"root must be an existing folder; .*absent does not exist"):
        Folder(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="is a file"):
        Folder(tmp_path / "file")
    with pytest.raises(InvalidInputError, match=r"root must hold photos .*found none"):
        Folder(tmp_path)
    for bad in (".png", [], ["png"]):
        with pytest.raises(InvalidInputError, match="extensions must be endings that start with a dot"):
            Folder(tmp_path, extensions=bad)
