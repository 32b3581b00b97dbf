"""Which photos are meant, and that no two of them share a result."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from art_crop.errors import InvalidInputError
from art_crop.pipeline import collect, sources_of


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


def test_folders_and_photos_in_order(tmp_path: Path) -> None:
    touch(tmp_path / "in", "b.jpg", "a.PNG", "notes.txt", ".hidden.png")
    touch(tmp_path, "z.png")
    jobs = collect([tmp_path / "z.png", tmp_path / "in"], tmp_path / "out")
    assert [job.source.name for job in jobs] == ["z.png", "a.PNG", "b.jpg"]
    assert [job.outputs.photo.name for job in jobs] == ["z.png", "a.png", "b.png"]


def test_photos_of_one_name_keep_apart(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg", "A.png", "b.png")
    jobs = collect([tmp_path / "in"], tmp_path / "out")
    assert [job.outputs.record.name for job in jobs] == ["A_png.json", "a_jpg.json", "b.json"]


@pytest.mark.parametrize("content", [b"x", b"\xff\xd8\xff\xe0"], ids=["PNG", "JPEG"])
@pytest.mark.parametrize(
    "photos", [("a.jpg", "a.figure.jpg"), ("a.jpg", "a.failed.png"), ("A.jpg", "a.FIGURE.jpg"), ("a.jpg", "b.jpg")]
)
def test_no_two_results_of_a_run_share_a_file(tmp_path: Path, photos: tuple[str, ...], content: bytes) -> None:
    touch(tmp_path / "in", *photos)
    (tmp_path / "in" / photos[0]).write_bytes(content)
    jobs = collect([tmp_path / "in"], tmp_path / "out")
    written = [path.name.casefold() for job in jobs for path in job.outputs]
    assert len(set(written)) == len(written) == 4 * len(photos)


def test_two_ways_to_write_one_name_keep_apart(tmp_path: Path) -> None:
    """As macOS and everybody else write an umlaut: one file there, two elsewhere."""
    touch(tmp_path / "in", "\u00e4.jpg", "a\u0308.png")
    jobs = collect([tmp_path / "in"], tmp_path / "out")
    assert len({unicodedata.normalize("NFC", job.outputs.photo.name) for job in jobs}) == 2


@pytest.mark.parametrize("photos", [("a.JPG", "a.jpg"), ("\u00e4.png", "a\u0308.png"), ("A.png", "a.png", "a.jpg")])
def test_names_that_some_file_systems_take_for_one_keep_apart(tmp_path: Path, photos: tuple[str, ...]) -> None:
    """A folder on Linux may hold them side by side; where it cannot, there is one photo."""
    touch(tmp_path / "in", *photos)
    jobs = collect([tmp_path / "in"], tmp_path / "out")
    names = [unicodedata.normalize("NFC", path.name).casefold() for job in jobs for path in job.outputs]
    assert len(set(names)) == len(names) == 4 * len(list((tmp_path / "in").iterdir()))
    assert collect([tmp_path / "in"], tmp_path / "out") == jobs, "a second run finds what the first has done"


def test_a_result_does_not_replace_another_photo(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg")
    touch(tmp_path, "a.figure.png")
    with pytest.raises(InvalidInputError, match=r"a\.figure\.png, of .*a\.jpg, is the photo"):
        collect([tmp_path / "in" / "a.jpg", tmp_path / "a.figure.png"], tmp_path, jpeg=True)


def test_photos_that_would_share_a_result_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "one", "a.jpg")
    touch(tmp_path / "two", "a.jpg")
    with pytest.raises(InvalidInputError, match="would both be written to"):
        collect([tmp_path / "one", tmp_path / "two"], tmp_path / "out")


def test_the_folder_of_photos_is_not_the_folder_of_results(tmp_path: Path) -> None:
    touch(tmp_path / "in", "a.jpg")
    with pytest.raises(InvalidInputError, match="is the folder of the photos"):
        collect([tmp_path / "in"], tmp_path / "in" / ".." / "in")


def test_several_photos_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="names one photo, and there are 2"):
        collect(["a.jpg", "b.jpg"], tmp_path / "out.png")


def test_no_photo_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="found none"):
        sources_of([tmp_path / "empty"])
    with pytest.raises(InvalidInputError, match="at least one photo"):
        sources_of([])


def test_a_name_that_no_system_takes_is_refused_or_left_to_the_reader() -> None:
    with pytest.raises(InvalidInputError, match=r"photos: .* cannot be read"):
        sources_of(["x" * 5000])
