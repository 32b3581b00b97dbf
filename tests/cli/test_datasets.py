"""``art-crop datasets``: the list, fetching, and other people's datasets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from art_crop.cli.main import app

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(*arguments: str) -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(app, ["datasets", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return {row["name"]: row for row in json.loads(result.output)}


def test_the_list_says_photos_licence_and_how_to_get_them() -> None:
    listed = rows()
    assert listed == rows("list")
    photos = {name: row["photos"] for name, row in listed.items() if row["distribution"] == "art-crop"}
    assert photos == {
        "folder": None, "scikit-image": 7, "kodak": 24, "bsds500": 500, "osie": 700, "cat2000": 2000,
        "koniq-10k": 10_073, "places365": 36_500,
    }  # fmt: skip
    assert listed["osie"]["licence"] == "MIT"
    assert listed["bsds500"]["licence"] == "non-commercial research and education"
    assert all(listed[name]["licence"] for name in photos if name != "folder")
    assert listed["kodak"]["where"] == "run `art-crop datasets fetch kodak`"
    assert listed["kodak"]["page"] == "https://r0k.us/graphics/kodak/"
    assert listed["places365"]["where"] == "run `art-crop datasets fetch places365 --accept-terms`"
    assert "by hand (no checksum of it is published)" in str(listed["koniq-10k"]["where"])
    assert "--from trainSet.zip" in str(listed["cat2000"]["where"])
    assert listed["scikit-image"]["where"] == "comes with its package"


def test_the_table_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["datasets"])
    assert result.exit_code == 0
    for text in (
        "kodak",
        "36,500",
        "MIT",
        "art-crop",
        "licence or terms",
        "any folder of yours",
        "that of your photos",
    ):
        assert text in result.output


@pytest.mark.shared
def test_fetched_datasets_are_listed_with_their_folder(kodak_root: Path, tmp_path: Path, cache: Path) -> None:
    for photo in kodak_root.iterdir():
        (tmp_path / "photos" / f"kodim{photo.name}").parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / f"kodim{photo.name}").symlink_to(photo)
    arguments = ["datasets", "fetch", "kodak", "--from", str(tmp_path / "photos")]
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, done.output.split(" (")[0]) == (0, f"kodak: {cache / 'datasets' / 'kodak'}")
    assert "customarily free to use" in done.output
    assert rows()["kodak"]["where"] == f"fetched: {cache / 'datasets' / 'kodak'}"
    assert "was here already (--again gets it anew)" in CliRunner().invoke(app, arguments).output
    moved = CliRunner().invoke(app, [*arguments, "--to", str(tmp_path / "mine")])
    assert moved.exit_code == 0
    assert rows()["kodak"]["where"] == f"fetched: {tmp_path / 'mine'}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folder"], "datasets that can be fetched are bsds500, cat2000, kodak, osie, places365, not 'folder'"),
        (["kodack"], "did you mean kodak?"),
        (["bsds500"], "if you accept that, add --accept-terms"),
        (["koniq-10k"], "no checksum of it is published"),
        (["cat2000"], "its server has no HTTPS"),
        (["kodak", "--from", "nowhere"], "there is no file nowhere/kodim01.png"),
        (["kodak", "--from", "http://example.org"], "url must start with https://"),
    ],
)
def test_what_cannot_be_fetched_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["datasets", "fetch", *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.startswith("error: ")


def test_nothing_to_fetch_of_what_is_installed() -> None:
    result = CliRunner().invoke(app, ["datasets", "fetch", "scikit-image"])
    assert (result.exit_code, result.output) == (0, "scikit-image comes with its package: nothing to fetch.\n")


def test_other_peoples_datasets_are_listed_and_fetched_like_ours(tmp_path: Path) -> None:
    content = b"photos of somebody else"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(content)
    info = tmp_path / "somebody-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[art_crop.plugins]\nplugin = somebody_plugin\n")
    (tmp_path / "somebody_plugin.py").write_text(
        "from art_crop.plugins import DatasetSpec, hookimpl\n"
        "@hookimpl\ndef art_crop_datasets():\n"
        "    for name, place in (('else', 'ELSE'), ('broken', 'ABSENT'), ('unchecked', 'make'), ('other', 'ELSE')):\n"
        "        yield DatasetSpec(name=name, target='x:y', summary='[b]s[/b]', licence='CC0-1.0', photos=1,\n"
        "                          source=f'somebody_sources:{place}')\n"
        "    yield DatasetSpec(name='own', target='x:y', summary='s')\n"
    )
    import hashlib

    (tmp_path / "somebody_sources.py").write_text(
        "from art_crop.datasets.sources import DatasetSource, Part\nfrom art_crop.downloads import RemoteFile\n"
        f"FILE = RemoteFile('one.jpg', 'https://example.org/one.jpg', 'sha256:{hashlib.sha256(content).hexdigest()}',"
        f" {len(content)})\n"
        "ELSE = DatasetSource(name='else', page='https://example.org', parts=(Part(FILE),))\n"
        "make = DatasetSource\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name != "ART_CROP_PLUGINS"}
        environment = {**kept, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)]), "COLUMNS": "200"}
        command = [sys.executable, "-c", "from art_crop.cli.main import main; main()", "datasets", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)

    listed = {row["name"]: row for row in json.loads(run("--json").stdout)}
    assert listed["else"]["distribution"] == "somebody"
    assert listed["else"]["where"] == "run `art-crop datasets fetch else`"
    assert listed["own"]["where"] == "its own affair"
    assert listed["broken"]["where"].startswith("cannot be told: somebody 1.0")
    assert "[b]s[/b]" in run().stdout
    done = run("fetch", "else", "--from", str(tmp_path / "photos"))
    assert done.returncode == 0, done.stderr
    assert "CC0-1.0" in done.stdout
    assert (tmp_path / "cache" / "datasets" / "else" / "one.jpg").read_bytes() == content
    for wrong in ("unchecked", "other"):
        failed = run("fetch", wrong)
        assert failed.returncode == 2
        assert "is no DatasetSource of that name" in failed.stderr
