"""The two sets of photos alone, on the real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import art_crop
from art_crop.datasets.bsds500 import BSDS500
from art_crop.datasets.kodak import Kodak
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.testing import DatasetConformance


@pytest.fixture(scope="session")
def bsds500_root(shared: Path) -> Path:
    return shared / "images" / "bsds500"


@pytest.fixture
def bsds500_tree(tmp_path: Path, bsds500_root: Path) -> Path:
    """The authors' folders, with the photos of train and val in some division, and some of them again as test."""
    images = tmp_path / "BSR" / "BSDS500" / "data" / "images"
    photos = sorted(bsds500_root.iterdir())
    for split, some in (("train", photos[:200]), ("val", photos[200:]), ("test", photos[100:])):
        (images / split).mkdir(parents=True)
        for photo in some:
            (images / split / photo.name).symlink_to(photo)
        (images / split / "Thumbs.db").write_bytes(b"left by a system")
    return tmp_path


class TestKodak(DatasetConformance):
    @pytest.fixture
    def dataset(self, kodak_root: Path) -> Kodak:
        return art_crop.load_dataset("kodak", root=kodak_root)  # type: ignore[no-any-return]


class TestBSDS500(DatasetConformance):
    @pytest.fixture
    def dataset(self, bsds500_root: Path) -> BSDS500:
        return art_crop.load_dataset("bsds500", root=bsds500_root)  # type: ignore[no-any-return]


class TestBSDS500InItsFolders(DatasetConformance):
    @pytest.fixture
    def dataset(self, bsds500_tree: Path) -> BSDS500:
        return BSDS500(bsds500_tree)


def test_kodak_is_24_photos_in_two_orientations(kodak_root: Path) -> None:
    photos = Kodak(kodak_root)
    assert [item.name for item in photos] == [f"{number:02}.png" for number in range(1, 25)]
    shapes = [item.load().shape for item in photos[::6]]
    assert set(shapes) <= {(512, 768, 3), (768, 512, 3)}
    np.testing.assert_array_equal(photos[22].load(), np.asarray(Image.open(kodak_root / "23.png").convert("RGB")))


def test_kodak_under_its_publishers_names(kodak_root: Path, tmp_path: Path) -> None:
    for photo in kodak_root.iterdir():
        (tmp_path / f"kodim{photo.name}").symlink_to(photo)
    (tmp_path / "contact_sheet.png").write_bytes(b"passed over")
    photos = Kodak(tmp_path)
    assert [photos[0].name, photos[-1].name, len(photos)] == ["kodim01.png", "kodim24.png", 24]
    (tmp_path / "kodim07.png").unlink()
    (tmp_path / "kodim09.png").unlink()
    with pytest.raises(
        InvalidInputError, match=r"kodim24\.png; .* lacks 2, first kodim07\.png; run `art-crop datasets"
    ):
        Kodak(tmp_path)


def test_kodak_twice_in_one_folder(kodak_root: Path, tmp_path: Path) -> None:
    for photo in kodak_root.iterdir():
        (tmp_path / photo.name).symlink_to(photo)
        (tmp_path / f"kodim{photo.name}").symlink_to(photo)
    with pytest.raises(InvalidInputError, match="holds some twice"):
        Kodak(tmp_path)


def test_a_photo_that_cannot_be_read_spoils_no_other(kodak_root: Path, tmp_path: Path) -> None:
    shutil.copytree(kodak_root, tmp_path / "kodak", copy_function=shutil.copyfile)
    (tmp_path / "kodak" / "02.png").write_bytes(b"\x89PNG half a photo")
    photos = Kodak(tmp_path / "kodak")
    with pytest.raises(ImageFileError, match=r"02\.png"):
        photos[1].load()
    assert photos[2].load().dtype == np.uint8


def test_bsds500_side_by_side(bsds500_root: Path) -> None:
    photos = BSDS500(bsds500_root)
    assert len(photos) == 300
    assert {photos[0].load().shape, photos[150].load().shape} <= {(321, 481, 3), (481, 321, 3)}
    with pytest.raises(InvalidInputError, match="split must be None where all photos lie side by side"):
        BSDS500(bsds500_root, split="val")


def test_bsds500_by_split(bsds500_tree: Path) -> None:
    photos = BSDS500(bsds500_tree)
    assert len(photos) == 500
    assert [photos[index].name.split("/")[0] for index in (0, 199, 200, 299, 300)] == [
        "train", "train", "val", "val", "test"
    ]  # fmt: skip
    val = BSDS500(bsds500_tree / "BSR" / "BSDS500", split="val")
    assert [item.name for item in val] == [item.name for item in photos[200:300]]
    assert len(BSDS500(bsds500_tree / "BSR" / "BSDS500" / "data" / "images", split="train")) == 200


def test_half_of_bsds500_is_refused_by_what_is_missing(bsds500_tree: Path, tmp_path: Path) -> None:
    images = bsds500_tree / "BSR" / "BSDS500" / "data" / "images"
    next((images / "test").glob("*.jpg")).unlink()
    with pytest.raises(InvalidInputError, match=r"root must hold 200 photos in test; .*test holds 199; run `art-crop"):
        BSDS500(bsds500_tree)
    assert len(BSDS500(bsds500_tree, split="val")) == 100
    shutil.rmtree(images / "val")
    with pytest.raises(InvalidInputError, match=r"100 photos in val; .* holds 0"):
        BSDS500(bsds500_tree, split="val")
    (tmp_path / "few").mkdir()
    with pytest.raises(InvalidInputError, match=r"or 500 photos .* holds 0 photos and no such folders"):
        BSDS500(tmp_path / "few")
    with pytest.raises(InvalidInputError, match="split must be train, val, test or None, not 'valid'"):
        BSDS500(bsds500_tree, split="valid")


@pytest.mark.parametrize("name", ["kodak", "bsds500", "osie", "cat2000", "koniq-10k", "places365"])
def test_without_a_folder_the_message_says_how_to_get_it(name: str) -> None:
    with pytest.raises(
        InvalidInputError, match=rf"root: {name} is not on this machine: .*root=DIR; for suites"
    ) as caught:
        art_crop.load_dataset(name)
    how = {"koniq-10k": "no checksum of it is published", "cat2000": "--from trainSet.zip"}
    assert how.get(name, f"run `art-crop datasets fetch {name}") in str(caught.value)


def test_a_suite_chooses_all_24_photos(kodak_root: Path, tmp_path: Path) -> None:
    import hashlib

    from art_crop.bench.suite_file import load_suite
    from art_crop.bench.units import choose_photos

    path = tmp_path / "lossless.toml"
    path.write_text(
        'name = "lossless"\nprotocol = "second-peak"\nattacked = ["gaze-lite"]\nscored = ["gaze-lite"]\n'
        '[data]\ndataset = "kodak"\nselection = "all"\n[models.gaze-lite]\n'
        '[[attack]]\nmethod = "steps"\nplugin = "saliency-peak-fgm"\nparams = { max_iter = 2, eps = 2.0 }\n'
    )
    chosen = choose_photos(load_suite(path), kodak_root)
    assert [photo.name for photo in chosen] == [f"{number:02}.png" for number in range(1, 25)]
    assert chosen[4].sha256 == hashlib.sha256((kodak_root / "05.png").read_bytes()).hexdigest()
    with pytest.raises(InvalidInputError, match="run `art-crop datasets fetch kodak`"):
        choose_photos(load_suite(path), None)
