"""What an archive may hold, and what may become of it."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from art_crop.datasets.unpacking import unpack
from art_crop.errors import DownloadError

KEEP = (("top/*/*.jpg", 1), ("top/list.txt", 1))
FILES = {"top/a/1.jpg": b"one", "top/a/2.jpg": b"two" * 1000, "top/list.txt": b"list", "top/a/deep/3.jpg": b"no"}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MAKERS: list[Callable[[Path, dict[str, bytes]], Path]] = [make_zip, make_tar]


@pytest.mark.parametrize("make", MAKERS)
def test_only_what_matches_comes_out_without_its_leading_folders(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    archive = make(tmp_path / "archive", {**FILES, "top/b/": b"", "other/a/1.jpg": b"no", "./top/b/4.jpg": b"four"})
    assert unpack(archive, tmp_path / "out", KEEP) == 4
    assert files_below(tmp_path / "out") == {
        "a/1.jpg": b"one", "a/2.jpg": b"two" * 1000, "b/4.jpg": b"four", "list.txt": b"list"
    }  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "name", ["../evil.jpg", "top/../../evil.jpg", "/etc/evil.jpg", "top/../evil.jpg", "top//evil.jpg", "top/a/..", ".."]
)
def test_a_name_that_leads_out_spoils_the_archive(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    archive = make(tmp_path / "archive", {name: b"evil", **FILES})
    with pytest.raises(DownloadError, match="leads out of the archive's own folder"):
        unpack(archive, tmp_path / "out" / "inner", KEEP)
    assert files_below(tmp_path) == {"archive": archive.read_bytes()}


@pytest.mark.parametrize("name", ["top/a/..\\..\\evil.jpg", "top/a/C:evil.jpg", "top/C:/evil.jpg"])
def test_a_name_that_leads_out_on_another_system_is_not_kept(tmp_path: Path, name: str) -> None:
    archive = make_tar(tmp_path / "archive", {name: b"evil"})
    with pytest.raises(DownloadError, match="is no name for a file here"):
        unpack(archive, tmp_path / "out", KEEP)
    assert files_below(tmp_path) == {"archive": archive.read_bytes()}
    beside = make_tar(tmp_path / "beside", {"notes: read me.txt": b"passed over", **FILES, "./": b""})
    assert unpack(beside, tmp_path / "out", KEEP) == 3


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("top/a/1.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DownloadError, match=r"'top/a/1\.jpg' is a link or a device, not a plain file"):
        unpack(path, tmp_path / "out", KEEP)


def test_links_in_zip_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("top/a/1.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DownloadError, match="is a link or a device"):
        unpack(path, tmp_path / "out", KEEP)


@pytest.mark.parametrize("make", MAKERS)
def test_too_much_is_refused_before_it_is_written(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    archive = make(tmp_path / "bomb", {"top/a/0.jpg": b"\0" * 3_000_000, **FILES})
    assert archive.stat().st_size < 10_000
    with pytest.raises(DownloadError, match="more than the allowed 500,000 files or 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", KEEP, most_bytes=1_000_000)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DownloadError, match="more than the allowed 3 files"):
        unpack(archive, tmp_path / "out", KEEP, most_files=3)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("top/a/1.jpg", b"good")
        archive.writestr("top/a/1.jpg", b"evil")
    with pytest.raises(DownloadError, match=r"holds 'a/1\.jpg' twice"):
        unpack(tmp_path / "archive.zip", tmp_path / "out", KEEP)


@pytest.mark.parametrize("make", MAKERS)
def test_damage_is_one_sentence(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> None:
    whole = make(tmp_path / "archive", {f"top/a/{n}.jpg": bytes(range(256)) * n for n in range(60)}).read_bytes()
    damaged = [b"", b"no archive at all" * 100, whole[: len(whole) // 2]]
    damaged.append(whole[:200] + bytes(byte ^ 255 for byte in whole[200:260]) + whole[260:])
    for number, content in enumerate(damaged):
        path = tmp_path / f"damaged{number}"
        path.write_bytes(content)
        with pytest.raises(DownloadError, match=f"damaged{number} (is damaged|holds nothing)"):
            unpack(path, tmp_path / f"out{number}", KEEP)


def test_an_archive_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"holds nothing of the form top/\*/\*\.jpg or top/list\.txt"):
        unpack(make_tar(tmp_path / "archive", {"README": b"hello"}), tmp_path / "out", KEEP)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK])
def test_a_long_header_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("top/list.txt")
    header.type, header.size = kind, 64 << 20
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write(header.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(DownloadError, match=r"a header of 67,108,864 bytes; at most 65,536 are allowed"):
        unpack(tmp_path / "a.tgz", tmp_path / "out", KEEP)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["top/a/1\n.jpg", "top/a/\x1b[31m.jpg", "top/a/\u2028.jpg"])
def test_a_name_of_several_lines_is_no_name(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    with pytest.raises(DownloadError, match="is no name for a file here"):
        unpack(make(tmp_path / "a", {name: b"x"}), tmp_path / "out", KEEP)


@pytest.mark.parametrize("make", MAKERS)
def test_a_very_long_name_is_refused(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> None:
    with pytest.raises(DownloadError, match="a name of 5,000 letters; at most 4,096 are allowed"):
        unpack(make(tmp_path / "a", {"n" * 5000: b"x"}), tmp_path / "out", KEEP)
