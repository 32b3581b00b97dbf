"""Datasets from a real web server on this machine: checked, whole or not there at all, and found by name after."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import art_crop
from art_crop.datasets import sources
from art_crop.datasets.fetching import contents_sha256, fetch, located
from art_crop.datasets.osie import OSIE
from art_crop.datasets.sources import DatasetSource, Part
from art_crop.downloads import RemoteFile
from art_crop.errors import DownloadError, InvalidInputError, OutputError
from art_crop.plugins.registry import dataset_source

Serve = Callable[[], tuple[str, Any]]
PHOTOS = {f"{number}.jpg": bytes([number]) * 200_000 for number in range(3)}


def served(tmp_path: Path, name: str, content: bytes) -> RemoteFile:
    (tmp_path / "served").mkdir(exist_ok=True)
    (tmp_path / "served" / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return RemoteFile(name, f"https://example.invalid/{name}", f"sha256:{digest}", len(content))


@pytest.fixture
def loose(tmp_path: Path) -> DatasetSource:
    """Three files as they are."""
    parts = tuple(Part(served(tmp_path, name, content)) for name, content in PHOTOS.items())
    return DatasetSource(name="loose", page="https://example.org/loose", parts=parts)


@pytest.fixture
def packed(tmp_path: Path) -> DatasetSource:
    """The same in an archive without a hash of its own, as GitHub makes them."""
    folder = tmp_path / "to-pack" / "repository-main"
    (folder / "data").mkdir(parents=True)
    for name, content in PHOTOS.items():
        (folder / "data" / name).write_bytes(content)
    contents = contents_sha256(folder / "data")
    (folder / "README").write_text("not kept")
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    file = served(tmp_path, "packed.tar.gz", (tmp_path / "packed.tar.gz").read_bytes())
    part = Part(replace(file, known_hash="", size=1 << 20, exact=False), keep=(("*/data/*.jpg", 2),))
    return DatasetSource(name="packed", page="https://example.org", parts=(part,), contents=contents)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["loose", "packed"])
def test_fetched_then_found(
    kind: str, request: pytest.FixtureRequest, serve: Serve, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = request.getfixturevalue(kind)
    address, handler = serve()
    assert located(kind) is None
    folder = fetch(source, origin=address, progress=False)
    assert folder == cache / "datasets" / kind == located(kind)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == PHOTOS
    assert names(cache / "datasets") == [kind], "nothing is left beside it"
    assert capfd.readouterr() == ("", "")
    handler.asked.clear()
    assert fetch(source, origin=address) == folder
    assert handler.asked == []


def test_a_progress_bar_goes_to_the_error_stream(
    loose: DatasetSource, serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(loose, origin=serve()[0])
    out, err = capfd.readouterr()
    assert out == ""
    assert "loose" in err
    assert "600.0/600.0 kB" in err


def test_a_folder_of_the_users_choice_is_remembered(loose: DatasetSource, serve: Serve, tmp_path: Path) -> None:
    address, _ = serve()
    assert fetch(loose, to=tmp_path / "new" / "here", origin=address, progress=False) == tmp_path / "new" / "here"
    assert located("loose") == tmp_path / "new" / "here"
    (tmp_path / "empty").mkdir()
    fetch(loose, to=tmp_path / "empty", origin=address, progress=False)
    assert located("loose") == tmp_path / "empty"
    shutil.rmtree(tmp_path / "empty")
    assert located("loose") is None
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for place in ("full", "full/thesis.txt"):
        with pytest.raises(InvalidInputError, match="to must be a new or an empty folder"):
            fetch(loose, to=tmp_path / place, origin=address, again=True, progress=False)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_again_replaces_a_damaged_copy(loose: DatasetSource, serve: Serve) -> None:
    address, _ = serve()
    folder = fetch(loose, origin=address, progress=False)
    (folder / "1.jpg").unlink()
    assert names(fetch(loose, origin=address, progress=False)) == ["0.jpg", "2.jpg"]
    assert names(fetch(loose, origin=address, again=True, progress=False)) == ["0.jpg", "1.jpg", "2.jpg"]


def test_a_broken_download_goes_on_where_it_stopped(loose: DatasetSource, serve: Serve, cache: Path) -> None:
    address, handler = serve()
    handler.cut.add("/1.jpg")
    with pytest.raises(DownloadError, match=r"cannot fetch loose \(1\.jpg\) .*the connection broke"):
        fetch(loose, origin=address, progress=False)
    assert located("loose") is None
    handler.asked.clear()
    fetch(loose, origin=address, progress=False)
    assert handler.asked == [("/1.jpg", "bytes=65536-"), ("/2.jpg", "")]
    assert {path.name: path.read_bytes() for path in (cache / "datasets" / "loose").iterdir()} == PHOTOS


def test_a_server_without_ranges_begins_again(loose: DatasetSource, serve: Serve) -> None:
    address, handler = serve()
    handler.cut.add("/0.jpg")
    handler.ranges = False
    with pytest.raises(DownloadError):
        fetch(loose, origin=address, progress=False)
    folder = fetch(loose, origin=address, progress=False)
    assert (folder / "0.jpg").read_bytes() == PHOTOS["0.jpg"]


def test_a_half_that_belongs_to_another_file_is_found_out(loose: DatasetSource, serve: Serve, cache: Path) -> None:
    address, _ = serve()
    staging = cache / "datasets" / ".loose.partial"
    staging.mkdir(parents=True)
    (staging / "0.jpg.part").write_bytes(b"x" * 100)
    (staging / "1.jpg.part").write_bytes(b"x" * 300_000)
    for wrong in ("0.jpg", "1.jpg"):
        with pytest.raises(DownloadError, match=rf"\({wrong}\) .*its hash differs"):
            fetch(loose, origin=address, progress=False)
    assert len(names(fetch(loose, origin=address, progress=False))) == 3


def test_what_is_not_the_published_file_is_not_kept(
    loose: DatasetSource, packed: DatasetSource, serve: Serve, tmp_path: Path, cache: Path
) -> None:
    address, _ = serve()
    (tmp_path / "served" / "2.jpg").write_bytes(b"!" + PHOTOS["2.jpg"][1:])
    with pytest.raises(DownloadError, match=r"loose \(2\.jpg\) .*not the published file \(its hash differs\)"):
        fetch(loose, origin=address, progress=False)
    with pytest.raises(DownloadError, match=r"what came of packed is not the published data \(its SHA-256 differs\)"):
        fetch(replace(packed, contents="0" * 64), origin=address, progress=False)
    assert not (cache / "datasets" / ".packed.partial").exists()
    (tmp_path / "served" / "packed.tar.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(DownloadError, match=r"packed\.tar\.gz is damaged or not an archive"):
        fetch(packed, origin=address, progress=False)
    (tmp_path / "served" / "packed.tar.gz").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(DownloadError, match="sends more than the allowed 1,048,576 bytes"):
        fetch(packed, origin=address, progress=False)
    assert (located("loose"), located("packed")) == (None, None)


def test_files_that_are_here_already(loose: DatasetSource, packed: DatasetSource, tmp_path: Path) -> None:
    for source in (loose, packed):
        assert names(fetch(source, origin=tmp_path / "served", progress=False)) == sorted(PHOTOS)
    shutil.move(tmp_path / "served" / "packed.tar.gz", tmp_path / "renamed by a browser.tgz")
    fetch(packed, origin=tmp_path / "renamed by a browser.tgz", again=True, progress=False)
    (tmp_path / "served" / "1.jpg").write_bytes(b"changed")
    with pytest.raises(InvalidInputError, match=r"from: .*1\.jpg is not the published file"):
        fetch(loose, origin=tmp_path / "served", again=True, progress=False)
    with pytest.raises(InvalidInputError, match=r"from: there is no file .*packed\.tar\.gz; packed needs"):
        fetch(packed, origin=tmp_path / "served", again=True, progress=False)


def test_only_https_or_this_machine(loose: DatasetSource, cache: Path) -> None:
    for origin in ("http://example.org/photos", "ftp://localhost/photos", "file:///etc"):
        with pytest.raises(InvalidInputError, match="url must start with https://"):
            fetch(loose, origin=origin, progress=False)
    assert not cache.exists()


def test_terms_are_accepted_first(loose: DatasetSource, serve: Serve) -> None:
    address, handler = serve()
    source = replace(loose, terms="for research only")
    with pytest.raises(
        InvalidInputError, match=r"loose is for research only \(see https://example\.org/loose\); if you"
    ):
        fetch(source, origin=address, progress=False)
    assert handler.asked == []
    assert fetch(source, origin=address, accept_terms=True, progress=False).is_dir()


def test_a_full_or_forbidden_disk_is_named(
    loose: DatasetSource, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = serve()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write 0\.jpg in .*: Not a directory"):
        fetch(loose, to=tmp_path / "file" / "sub", origin=address, progress=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(OutputError, match=r"cannot write loose in .*: No space left on device"):
            fetch(loose, origin=address, progress=False)
    assert located("loose") is None
    assert fetch(loose, origin=address, progress=False).is_dir()


def test_the_digest_of_contents_is_that_of_sha256sum(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "sub/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    command = "sha256sum a.png b.png sub/c.png | sha256sum"
    said = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert contents_sha256(tmp_path) == said.split()[0]


def test_kodak_comes_from_a_mirror_and_opens_by_name(
    kodak_root: Path, tmp_path: Path, serve: Serve, cache: Path
) -> None:
    address, _ = serve()
    for photo in kodak_root.iterdir():
        (tmp_path / "served" / f"kodim{photo.name}").symlink_to(photo)
    folder = fetch(sources.KODAK, origin=address, progress=False)
    photos = art_crop.load_dataset("kodak")
    assert photos.root == folder == cache / "datasets" / "kodak"
    assert photos[0].path.read_bytes() == (kodak_root / "01.png").read_bytes()


def test_kodaks_hashes_are_those_that_others_publish(kodak_root: Path, tmp_path: Path) -> None:
    """`sha256sum kodim*.png | sha256sum`, as a codec's benchmark gives it for the suite."""
    for photo in kodak_root.iterdir():
        (tmp_path / "suite" / f"kodim{photo.name}").parent.mkdir(exist_ok=True)
        (tmp_path / "suite" / f"kodim{photo.name}").symlink_to(photo)
    published = "3eaa5bd52eb8c894d351cf607028f5d3d80e778fd0267eeff8c73d66539a25d5"
    assert contents_sha256(tmp_path / "suite") == published
    lines = [f"{part.file.known_hash.removeprefix('sha256:')}  {part.file.name}\n" for part in sources.KODAK.parts]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == published


def test_osie_out_of_an_archive_like_its_authors(osie_root: Path, tmp_path: Path) -> None:
    part = sources.OSIE.parts[0]
    commit = part.file.name.removesuffix(".tar.gz")
    top = f"predicting-human-gaze-beyond-pixels-{commit}"
    with tarfile.open(tmp_path / part.file.name, "w") as archive:  # not compressed, for speed
        archive.add(osie_root / "stimuli", f"{top}/data/stimuli")
        archive.add(osie_root / "fixations.mat", f"{top}/data/eye/fixations.mat")
        archive.add(osie_root / "LICENSE", f"{top}/LICENSE")
    fetch(sources.OSIE, origin=tmp_path, progress=False)
    photos = OSIE()
    assert len(photos) == 700
    assert sum(len(item.fixations) for item in photos[:10]) == sum(len(item.fixations) for item in OSIE(osie_root)[:10])


def test_cat2000_out_of_an_archive_that_was_got_by_hand(
    cat2000_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "trainSet"), "zip", cat2000_tree, "trainSet"))
    with pytest.raises(InvalidInputError, match=r"cannot be downloaded automatically: get it by hand \(its server has"):
        fetch(sources.CAT2000, progress=False)
    with pytest.raises(InvalidInputError, match="is not the published file"):
        fetch(sources.CAT2000, origin=archive, progress=False)
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    part = sources.CAT2000.parts[0]
    source = replace(sources.CAT2000, parts=(replace(part, file=replace(part.file, known_hash=f"md5:{digest}")),))
    folder = fetch(source, origin=archive, progress=False)
    assert names(folder) == ["FIXATIONLOCS", "Stimuli"]
    assert not (folder / "Stimuli" / "Action" / "Output").exists()
    assert art_crop.load_dataset("cat2000")[0].fixations.tolist() == [[4.0, 2.0], [1919.0, 1079.0]]


def test_koniq_is_by_path_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no checksum of it is published\) from https://database\.mmsp-kn\.de"):
        fetch(sources.KONIQ10K, origin=tmp_path, progress=False)


def test_every_source_of_a_listed_dataset_is_https_with_a_hash() -> None:
    records = [record.name for record in art_crop.list_plugins() if record.kind == "dataset"]
    known = {name: dataset_source(name) for name in records if dataset_source(name) not in ("installed", "path", "")}
    assert set(known) >= {"kodak", "bsds500", "osie", "cat2000", "koniq-10k", "places365"}
    for name, source in known.items():
        assert isinstance(source, DatasetSource)
        assert name == source.name
        for part in source.parts:
            assert part.file.url.startswith("https://") or source.by_hand
            algorithm, _, digest = part.file.known_hash.partition(":")
            assert (algorithm, len(digest)) in {("sha256", 64), ("md5", 32), ("", 0)}
            assert algorithm or len(source.contents) == 64


def test_a_source_without_any_hash_cannot_be_made() -> None:
    file = RemoteFile("a.zip", "https://example.org/a.zip", "", 10)
    with pytest.raises(InvalidInputError, match="a part without known_hash needs contents"):
        DatasetSource(name="mine", page="", parts=(Part(file),))
    with pytest.raises(InvalidInputError, match="name must be lower-case words"):
        DatasetSource(name="../mine", page="")
