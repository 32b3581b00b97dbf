"""``art-crop attack`` on folders: every kind of file, one outcome each, and none stops the others."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from art_crop.cli.main import app

OPTIONS = ("--show", "0.45,0.4,0.55,0.6", "--ratio", "1", "--steps", "2", "--no-figure")

BAD = {
    "animated.gif": "more than one frame",
    "cut.jpg": "truncated or damaged",
    "empty.png": "empty (0 bytes)",
    "text.png": "not an image that is read here",
    "wide.png": "possible are ratios from",
}
GOOD = ("alpha.png", "cmyk.jpg", "one.png", "palette.png", "plain.png", "sixteen.png")


@pytest.fixture
def folder(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    place = tmp_path / "in"
    place.mkdir()
    image, jpeg = Image.fromarray(photo), io.BytesIO()
    image.save(jpeg, "JPEG")
    image.save(place / "plain.png")
    (place / "cut.jpg").write_bytes(jpeg.getvalue()[: len(jpeg.getvalue()) // 2])
    (place / "empty.png").write_bytes(b"")
    (place / "text.png").write_text("this is no photo")
    image.save(place / "animated.gif", save_all=True, append_images=[image.rotate(90)])
    image.crop((0, 0, 1, 1)).save(place / "one.png")
    image.resize((20_000, 20)).save(place / "wide.png")
    image.convert("CMYK").save(place / "cmyk.jpg")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(place / "sixteen.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(place / "palette.png")
    image.convert("RGBA").save(place / "alpha.png")
    return place


def attack(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["attack", *map(str, arguments)])


def test_every_kind_of_file_has_its_own_outcome(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = attack(folder, *OPTIONS, "--out", out)
    assert result.exit_code == 2
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = result.stderr.splitlines()
    assert len(lines) == len(BAD), result.stderr
    for name, said in BAD.items():
        (line,) = (line for line in lines if name in line)
        assert line.startswith("error: ")
        assert said in line
    assert sorted(path.name for path in out.glob("*.json")) == [f"{Path(name).stem}.json" for name in GOOD]
    written = sorted(path.name for path in out.iterdir() if path.suffix != ".json")
    assert written == list(GOOD), "a JPEG of a JPEG, and of everything else a PNG"
    for path in out.glob("*.json"):
        assert json.loads(path.read_text())["success_after_writing"] is True
    assert f"{len(GOOD) + len(BAD)} photos" in result.stdout
    assert f"{len(BAD)} bad" in result.stdout


def test_good_photos_alone_are_a_success_and_a_second_run_does_nothing(folder: Path, tmp_path: Path) -> None:
    for name in BAD:
        (folder / name).unlink()
    out = tmp_path / "out"
    first = attack(folder, *OPTIONS, "--out", out)
    assert first.exit_code == 0, first.output
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    second = attack(folder, *OPTIONS, "--out", out)
    assert second.exit_code == 0
    assert second.stdout.count("(earlier run)") == len(GOOD)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times
    # A result that was touched is not taken for ours, and not replaced without being told to.
    (out / "plain.png").write_bytes(b"touched")
    third = attack(folder, *OPTIONS, "--out", out)
    assert third.exit_code == 2
    assert "plain.png exists already" in third.stderr
    (out / "plain.png").unlink()
    fourth = attack(folder, *OPTIONS, "--out", out)
    assert fourth.exit_code == 0
    assert fourth.stdout.count("(earlier run)") == len(GOOD) - 1
    # Another photo under the same name.
    Image.open(folder / "plain.png").rotate(180).save(folder / "plain.png")
    assert attack(folder, *OPTIONS, "--out", out).exit_code == 2


def test_what_is_passed_over_is_named(folder: Path, tmp_path: Path) -> None:
    for name in BAD:
        (folder / name).unlink()
    for k in range(9):
        (folder / f"notes{k}.txt").write_text("no photo")
    (folder / "album").mkdir()
    (folder / ".hidden.txt").write_text("hidden")
    result = attack(folder, *OPTIONS, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr == (
        "note: passed over, no photos by their names: album/, notes0.txt, notes1.txt, notes2.txt, notes3.txt, "
        "notes4.txt, notes5.txt, notes6.txt and 2 more\n"
    )


def test_records_as_json_lines(folder: Path, tmp_path: Path) -> None:
    result = attack(folder, *OPTIONS, "--out", tmp_path / "out", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["photo"]).name for line in lines] == sorted([*GOOD, *BAD])
    assert {Path(line["photo"]).name for line in lines if "error" in line} == set(BAD)
    assert all(line["success"] for line in lines if "error" not in line)


def test_a_photo_that_is_not_there(tmp_path: Path, photo_file: Path) -> None:
    result = attack(photo_file, tmp_path / "none.jpg", *OPTIONS, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "none.jpg does not exist" in result.stderr
    assert (tmp_path / "out" / "photo.png").is_file()


def test_names_with_odd_signs(tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    """Signs that rich, matplotlib, JSON and UTF-8 would each trip over."""
    folder = tmp_path / "in"
    folder.mkdir()
    odd = ["[bold]x.png", "$a_b^{$.png", "größer 図.png", "line\nbreak.png"]
    try:
        (folder / "bytes\udcff.png").write_bytes(b"")
        (folder / "bytes\udcff.png").unlink()
        odd.append("bytes\udcff.png")
    except OSError:
        pass  # some systems take UTF-8 only
    for name in odd:
        with (folder / name).open("wb") as file:
            Image.fromarray(photo).save(file, "PNG")
    result = attack(folder, *OPTIONS[:-1], "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").glob("*.figure.png"))) == len(odd)
    assert "[bold]x.png" in result.stdout
    assert len(attack(folder, *OPTIONS[:-1], "--out", tmp_path / "out", "--json").stdout.splitlines()) == len(odd)
