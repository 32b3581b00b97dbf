"""Names of results, what is refused, and files that appear together or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from art_crop.errors import InvalidInputError, OutputError
from art_crop.pipeline.outputs import Outputs, make_folder, refuse_existing, written_together


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_names_in_a_folder_and_of_a_file(tmp_path: Path) -> None:
    outputs = Outputs.of(Path("holiday/a.b.jpeg"), tmp_path, jpeg=False)
    assert [path.name for path in outputs] == ["a.b.png", "a.b.json", "a.b.figure.png", "a.b.failed.png"]
    assert Outputs.of(Path("a.png"), tmp_path, jpeg=True).photo == tmp_path / "a.jpg"
    named = Outputs.of(Path("a.png"), tmp_path / "B.JPG", jpeg=True)
    assert [path.name for path in named] == ["B.JPG", "B.json", "B.figure.png", "B.failed.JPG"]


def test_a_jpeg_is_known_by_its_content(tmp_path: Path) -> None:
    for name, data in (("a.png", b"\xff\xd8\xff\xe0"), ("b.jpg", b"\x89PNG")):
        (tmp_path / name).write_bytes(data)
    assert Outputs.of(tmp_path / "a.png", tmp_path / "o").photo.name == "a.jpg"
    assert Outputs.of(tmp_path / "a.png", tmp_path / "o", png=True).photo.name == "a.png"
    assert Outputs.of(tmp_path / "b.jpg", tmp_path / "o").photo.name == "b.png"
    assert Outputs.of(tmp_path / "a.png", tmp_path / "o.jpeg").jpeg
    assert not Outputs.of(tmp_path / "a.png", tmp_path / "o.png").jpeg


def test_a_folder_may_be_called_like_a_photo(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    assert Outputs.of(Path("a.jpg"), tmp_path / "x.png", jpeg=False).photo == tmp_path / "x.png" / "a.png"


@pytest.mark.parametrize(("out", "jpeg"), [("b.jpg", False), ("b.png", True)])
def test_a_suffix_of_the_other_format_is_refused(out: str, jpeg: bool) -> None:
    with pytest.raises(InvalidInputError, match=r"out: b\."):
        Outputs.of(Path("a.png"), Path(out), jpeg=jpeg)


def test_the_photo_itself_is_not_overwritten(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"photo")
    with pytest.raises(InvalidInputError, match="is the photo itself"):
        Outputs.of(photo, tmp_path, jpeg=False)
    link = tmp_path / "b.png"
    link.symlink_to(photo)
    with pytest.raises(InvalidInputError, match="is the photo itself"):
        Outputs.of(link, photo, jpeg=False)
    Outputs.of(photo, tmp_path, jpeg=True)


@pytest.mark.parametrize("suffix", [".png", ".json", ".figure.png", ".failed.png"])
def test_what_exists_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        refuse_existing(Outputs(tmp_path / "a.png"))
    (tmp_path / f"a{suffix}").unlink()
    (tmp_path / f"a{suffix}").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        refuse_existing(Outputs(tmp_path / "a.png"))


def test_nothing_is_written_where_a_dangling_link_points(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="symbolic link to nothing"), written_together({tmp_path / "a.png": b"x"}):
        pytest.fail("it was written")
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("stem", ["写" * 82, "a" * 251, "ü" * 126, "a" * 243 + "\udcff"])
def test_long_names_are_cut_and_stay_different(tmp_path: Path, stem: str) -> None:
    made = [Outputs.of(Path(f"{name}.jpg"), tmp_path, jpeg=False) for name in (stem, f"{stem[:-1]}x")]
    for path in (*made[0], *made[1]):
        path.write_bytes(b"x")
    assert len(names(tmp_path)) == 8
    assert made[0].photo.name.startswith(stem[:60])


def test_half_files_of_dead_processes_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (tmp_path / f".art-crop-{ended.pid}-00ff.tmp").write_bytes(b"half")
    (tmp_path / f".art-crop-{os.getpid()}-00ff.tmp").write_bytes(b"half")
    make_folder(tmp_path)
    assert names(tmp_path) == [f".art-crop-{os.getpid()}-00ff.tmp"]


@pytest.mark.parametrize("error", [OutputError("full"), KeyboardInterrupt()])
def test_a_failure_brings_everything_back(tmp_path: Path, error: BaseException) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")

    def write() -> None:
        with written_together({old: b"after", new: b"after"}):
            assert old.read_bytes() == b"after"
            raise error

    with pytest.raises(type(error)):
        write()
    assert old.read_bytes() == b"before"
    assert names(tmp_path) == ["old"]


def test_a_file_that_cannot_be_written_takes_the_others_back(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="the folder does not exist"),
        written_together({tmp_path / "a": b"1", tmp_path / "no" / "b": b"2"}),
    ):
        pytest.fail("nothing may run when a file is missing")
    assert names(tmp_path) == []


def test_folders_are_made_or_refused_in_a_sentence(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="it is a file"):
        make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_folder(tmp_path / "nul\0")
