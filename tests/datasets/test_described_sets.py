"""CAT2000, KonIQ-10k and Places365, on trees in the layout that their authors' archives have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

import art_crop
from art_crop.datasets.cat2000 import CAT2000
from art_crop.datasets.koniq10k import KonIQ10k
from art_crop.datasets.osie import fixation_density
from art_crop.datasets.places365 import Places365
from art_crop.errors import InvalidInputError
from art_crop.testing import DatasetConformance


class TestCAT2000(DatasetConformance):
    @pytest.fixture
    def dataset(self, cat2000_tree: Path) -> CAT2000:
        return art_crop.load_dataset("cat2000", root=cat2000_tree)  # type: ignore[no-any-return]


class TestKonIQ10k(DatasetConformance):
    @pytest.fixture
    def dataset(self, koniq_whole: Path) -> KonIQ10k:
        return art_crop.load_dataset("koniq-10k", root=koniq_whole)  # type: ignore[no-any-return]


class TestPlaces365(DatasetConformance):
    @pytest.fixture
    def dataset(self, places_whole: Path) -> Places365:
        return art_crop.load_dataset("places365", root=places_whole)  # type: ignore[no-any-return]


def test_cat2000_is_2000_photos_with_fixations_from_zero(cat2000_tree: Path) -> None:
    photos = CAT2000(cat2000_tree)
    assert len(photos) == 2000
    assert [photos[0].name, photos[0].label, photos[-1].name] == ["Action/001.jpg", "Action", "Social/199.jpg"]
    assert photos[0].fixations.tolist() == [[4.0, 2.0], [1919.0, 1079.0]]
    changed = next(item for item in photos if item.name == "Sketch/003.jpg")
    assert changed.fixations.tolist() == [[4.0, 2.0], [700.0, 500.0], [1919.0, 1079.0]]
    assert photos[0].load().shape == (1080, 1920, 3)
    assert len(CAT2000(cat2000_tree / "trainSet")) == 2000


def test_densities_are_made_of_cat2000_as_of_osie(cat2000_tree: Path) -> None:
    item = next(item for item in CAT2000(cat2000_tree) if item.name == "Sketch/003.jpg")
    density = fixation_density(item, sigma_px=40, size=(192, 108))
    assert density.sum() == pytest.approx(1, abs=1e-4)
    inner = density[20:80, 20:160]  # away from the two other fixations, which are at corners
    assert np.unravel_index(inner.argmax(), inner.shape) == (30, 50)


def test_half_of_cat2000_is_refused_by_what_is_missing(cat2000_tree: Path, tmp_path: Path) -> None:
    base = cat2000_tree / "trainSet"
    (base / "FIXATIONLOCS" / "Noisy" / "011.mat").unlink()
    with pytest.raises(
        InvalidInputError, match=r"fixations of every photo; .*Noisy lacks 1, first 011\.mat; get it by"
    ):
        CAT2000(cat2000_tree)
    (base / "Stimuli" / "Fractal" / "011.jpg").unlink()
    with pytest.raises(InvalidInputError, match=r"100 photos of each category; .*Fractal holds 99"):
        CAT2000(cat2000_tree)
    (base / "FIXATIONLOCS").rename(base / "FIXATIONMAPS")
    with pytest.raises(InvalidInputError, match=r"folders Stimuli and FIXATIONLOCS of the training set; .* does not"):
        CAT2000(cat2000_tree)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MATLAB 5.0 MAT-file, half",
        {"fixLocs": np.zeros((600, 800))},
        {"other": np.zeros((1080, 1920))},
        {"fixLocs": np.array(["x" * 1920] * 1080)},
        {"fixLocs": np.array([["cell", 1]], dtype=object)},
        {"fixLocs": {"a": np.zeros((1080, 1920))}},
    ],
    ids=["empty", "cut", "small", "absent", "text", "cell", "struct"],
)
def test_a_damaged_table_of_cat2000_is_an_error_of_its_photo(cat2000_tree: Path, content: object) -> None:
    table = cat2000_tree / "trainSet" / "FIXATIONLOCS" / "Action" / "001.mat"
    table.unlink()
    if isinstance(content, bytes):
        table.write_bytes(content)
    else:
        savemat(table, content, do_compression=True)  # type: ignore[arg-type]
    photos = CAT2000(cat2000_tree)
    with pytest.raises(InvalidInputError, match=r"root must hold CAT2000's fixations; .*001\.mat"):
        _ = photos[0].fixations
    assert len(photos[1].fixations) == 2


def test_koniq_has_scores_splits_and_two_resolutions(koniq_whole: Path) -> None:
    photos = KonIQ10k(koniq_whole)
    assert len(photos) == 10_073
    first = photos[0]
    assert (first.name, first.split, first.size) == ("10004473376.jpg", "training", (1024, 768))
    assert first.mos == pytest.approx(77.3836, abs=1e-3)
    assert first.load().shape == (768, 1024, 3)
    assert [item.name for item in KonIQ10k(koniq_whole, split="test")] == ["10007357496.jpg"]
    small = KonIQ10k(koniq_whole, resolution="512x384")
    assert small[0].load().shape == (384, 512, 3)
    assert small[0].mos == first.mos


def test_the_two_tables_of_koniq_agree(koniq_tree: Path) -> None:
    """The score from 0 to 100 has another column's name in either."""
    divided = KonIQ10k(koniq_tree)
    (koniq_tree / "koniq10k_distributions_sets.csv").unlink()
    scored = KonIQ10k(koniq_tree)
    assert [item.name for item in scored] == [item.name for item in divided]
    np.testing.assert_allclose([item.mos for item in scored], [item.mos for item in divided], atol=1e-4)
    assert {item.split for item in scored} == {""}
    with pytest.raises(InvalidInputError, match=r"split 'test': only koniq10k_distributions_sets\.csv divides"):
        KonIQ10k(koniq_tree, split="test")


def test_half_of_koniq_is_refused_by_what_is_missing(koniq_tree: Path) -> None:
    (koniq_tree / "1024x768" / "17.jpg").unlink()
    with pytest.raises(
        InvalidInputError, match=r"photo of the table; .*1024x768 lacks 1, first 17\.jpg; get it by hand"
    ):
        KonIQ10k(koniq_tree)
    (koniq_tree / "koniq10k_distributions_sets.csv").unlink()
    table = koniq_tree / "koniq10k_scores_and_distributions.csv"
    whole = table.read_text()
    table.write_text("".join(whole.splitlines(keepends=True)[:5001]))
    with pytest.raises(InvalidInputError, match=r"scores of 10,073 photos; .* holds 5,000"):
        KonIQ10k(koniq_tree, resolution="512x384")
    table.unlink()
    with pytest.raises(InvalidInputError, match="root must hold the table koniq10k_scores_and_distributions"):
        KonIQ10k(koniq_tree)
    for option in ({"resolution": "640x480"}, {"split": "train"}):
        with pytest.raises(InvalidInputError, match=f"{next(iter(option))} must be .* or None, not"):
            KonIQ10k(koniq_tree, **option)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_name,MOS\na.jpg,3\n", "must have the columns image_name, MOS_zscore; it lacks MOS_zscore"),
        ("", "must have the columns"),
        ("image_name,MOS_zscore\n../a.jpg,3\n", r"line 2: '\.\./a\.jpg' is not a file name"),
        ("image_name,MOS_zscore\n/etc/passwd,3\n", "line 2: '/etc/passwd' is not a file name"),
        ("image_name,MOS_zscore\n..\\a.jpg,3\n", "line 2: .* is not a file name"),
        ("image_name,MOS_zscore\nC:a.jpg,3\n", "line 2: .* is not a file name"),
        ("image_name,MOS_zscore\n,3\n", "line 2: '' is not a file name"),
        ("image_name,MOS_zscore\na.jpg,good\n", "line 2: could not convert"),
        ("image_name,MOS_zscore\na.jpg,nan\n", "line 2: MOS_zscore must lie between 0 and 100, not nan"),
        ("image_name,MOS_zscore\na.jpg,400\n", "line 2: MOS_zscore must lie between 0 and 100"),
        ("image_name,MOS_zscore\na.jpg,4\nb.jpg\n", "line 3: has not 2 values"),
        ("image_name,MOS_zscore\na.jpg,4,5\n", "line 2: has not 2 values"),
        ('image_name,MOS_zscore\n"a.jpg,4\n', "unexpected end of data"),
        ("image_name,MOS_zscore\n" + "a" * 200_000 + ",4\n", "field larger than"),
        ("image_name,MOS_zscore\na.jpg,4\na.jpg,4\n", "names a photo twice"),
        ("image_name,MOS_zscore\na.jpg,4\n", "scores of 10,073 photos; .* holds 1"),
        (b"\xff\xfe\x00bad", "is not UTF-8 text"),
        (b"0" * (33 << 20), "is longer than the allowed"),
    ],
)
def test_a_hostile_table_is_refused_by_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    (tmp_path / "512x384").mkdir()
    content = text.encode() if isinstance(text, str) else text
    (tmp_path / "koniq10k_scores_and_distributions.csv").write_bytes(content)
    with pytest.raises(InvalidInputError, match=message) as caught:
        KonIQ10k(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_places365_has_labels_and_their_names(places_whole: Path, places_lists: Path) -> None:
    photos = Places365(places_whole)
    assert (len(photos), len(photos.categories)) == (36_500, 365)
    assert [photos[1].name, photos[1].label, photos[1].category] == [
        "Places365_val_00000002.jpg", 2, "apartment_building/outdoor"
    ]  # fmt: skip
    assert photos[364].category == "airfield"
    assert photos[0].load().shape == (256, 256, 3)
    (places_lists / "val_256").rmdir()
    (places_lists / "val_large").symlink_to(places_whole / "val_256")
    assert Places365(places_lists)[0].path == places_lists / "val_large" / "Places365_val_00000001.jpg"


def test_half_of_places365_is_refused_by_what_is_missing(places_lists: Path) -> None:
    for name in ("Places365_val_00000001.jpg", "Places365_val_00000003.jpg"):
        (places_lists / "val_256" / name).touch()
    with pytest.raises(InvalidInputError, match=r"lacks 36498, first Places365_val_00000002\.jpg; run `art-crop"):
        Places365(places_lists)
    labels = places_lists / "places365_val.txt"
    labels.write_text("\n".join(labels.read_text().splitlines()[:100]))
    with pytest.raises(InvalidInputError, match="list of 36,500 photos"):
        Places365(places_lists)
    labels.unlink()
    (places_lists / "val_256").rename(places_lists / "validation")
    with pytest.raises(InvalidInputError, match=r"lacks val_256 or val_large, places365_val\.txt; run"):
        Places365(places_lists)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("places365_val.txt", "../../x.jpg 3", r"places365_val\.txt, line 1: '\.\./\.\./x\.jpg' is not a file name"),
        ("places365_val.txt", "x.jpg 365", "line 1: a category must lie between 0 and 364, not 365"),
        ("places365_val.txt", "x.jpg -1", "line 1: a category must lie between 0 and 364"),
        ("places365_val.txt", "x.jpg", "line 1: not enough values"),
        ("places365_val.txt", "x.jpg three", "line 1: invalid literal"),
        ("places365_val.txt", "Places365_val_00000002.jpg 1", "list of 36,500 photos"),  # there already
        ("categories_places365.txt", "airfield 0", "line 1: 'airfield' is not of the form /a/airfield"),
        ("categories_places365.txt", "/a/airfield 1", "must number 365 categories from 0"),
    ],
)
def test_a_hostile_list_is_refused_by_its_line(places_lists: Path, name: str, line: str, message: str) -> None:
    file = places_lists / name
    file.write_text("\n".join([line, *file.read_text().splitlines()[1:]]))
    with pytest.raises(InvalidInputError, match=message):
        Places365(places_lists)
