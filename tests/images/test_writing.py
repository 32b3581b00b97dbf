"""What is written is whole and carries its metadata; what cannot be written leaves everything as it was."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from art_crop.errors import InvalidInputError, OutputError
from art_crop.images import (
    encode_jpeg,
    encode_png,
    load_photo,
    save_photo,
    write_atomic,
    write_atomic_json,
    write_atomic_text,
)

PIXELS = np.random.default_rng(7).integers(0, 256, (32, 48, 3), dtype=np.uint8)
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def noisy_scene() -> np.ndarray:
    """A smooth scene with a sensor's noise."""
    y, x = np.mgrid[:240, :320] / 60
    waves = np.stack((np.sin(x), np.cos(y), np.sin(x + y)), 2)
    return (128 + 100 * waves + np.random.default_rng(1).normal(0, 2, waves.shape)).clip(0, 255).astype(np.uint8)


def drawing() -> np.ndarray:
    """A pattern that repeats itself, which run lengths cannot tell."""
    tile = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return np.tile(tile, (15, 20, 1))


@pytest.mark.parametrize("picture", [noisy_scene, drawing, lambda: PIXELS, lambda: np.zeros((1, 1, 3), np.uint8)])
def test_png_is_lossless_and_hardly_larger_than_pillows_own(picture: Callable[[], np.ndarray]) -> None:
    pixels, buffer = picture(), io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = encode_png(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert len(data) <= 1.15 * len(buffer.getvalue())


@pytest.mark.parametrize("quality", [1, 75, 95, 100])
@pytest.mark.parametrize("subsampling", [None, "4:4:4", "4:2:2", "4:2:0"])
def test_jpeg_is_pillows_own(quality: int, subsampling: str | None) -> None:
    buffer = io.BytesIO()
    options = {} if subsampling is None else {"subsampling": subsampling}
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=quality, **options)
    assert encode_jpeg(PIXELS, quality, subsampling=subsampling) == buffer.getvalue()


def test_jpeg_defaults_are_quality_75_and_420() -> None:
    assert encode_jpeg(PIXELS) == encode_jpeg(PIXELS, 75, subsampling="4:2:0")


@pytest.mark.parametrize("quality", [0, 101, -5, 75.0, True, "high", float("nan")])
def test_a_quality_that_jpeg_does_not_have_is_refused(quality: object) -> None:
    with pytest.raises(InvalidInputError, match="quality must be an integer from 1 to 100"):
        encode_jpeg(PIXELS, quality)  # type: ignore[arg-type]


def test_an_unknown_subsampling_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="subsampling must be None or one of 4:4:4, 4:2:2, 4:2:0"):
        encode_jpeg(PIXELS, subsampling="4:1:1")


@pytest.mark.parametrize(
    "pixels",
    [
        PIXELS.astype(np.float32),
        PIXELS[:, :, 0],
        PIXELS[:, :, :2],
        PIXELS[None],
        PIXELS.transpose(2, 0, 1),
        PIXELS[:0],
        PIXELS.tolist(),
        None,
    ],
)
def test_pixels_of_another_kind_are_refused(pixels: object) -> None:
    for encode in (encode_png, encode_jpeg):
        with pytest.raises(InvalidInputError, match="pixels must"):
            encode(pixels)  # type: ignore[operator]


def test_a_side_beyond_jpeg_is_refused() -> None:
    long = np.zeros((1, 65_536, 3), dtype=np.uint8)
    with pytest.raises(InvalidInputError, match="at most 65535 on a side"):
        encode_jpeg(long)
    assert encode_png(long)


def test_exif_too_long_for_a_jpeg_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    Image.fromarray(PIXELS).save(tmp_path / "in.png", exif=exif)
    photo = load_photo(tmp_path / "in.png")
    assert len(photo.exif or b"") > 65_533
    save_photo(tmp_path / "out.jpg", PIXELS, like=photo)
    assert load_photo(tmp_path / "out.jpg").exif is None


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.Png", "PNG")])
def test_the_suffix_chooses_the_format(tmp_path: Path, name: str, kind: str) -> None:
    save_photo(tmp_path / name, PIXELS)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"path must end in \.png, \.jpg or \.jpeg"):
        save_photo(tmp_path / name, PIXELS)
    assert names(tmp_path) == []


def test_a_png_has_no_quality(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="quality must be None for a PNG"):
        save_photo(tmp_path / "a.png", PIXELS, quality=75)


def test_saved_jpeg_quality(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", PIXELS, quality=40)
    save_photo(tmp_path / "b.jpg", PIXELS)
    assert (tmp_path / "a.jpg").read_bytes() == encode_jpeg(PIXELS, 40)
    assert (tmp_path / "b.jpg").read_bytes() == encode_jpeg(PIXELS, 95)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.bin", b"old, and longer than the new one")
    write_atomic(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@POSIX
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a.bin", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == mode


@POSIX
def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")
    (tmp_path / "a.bin").chmod(0o640)
    write_atomic(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o640


@POSIX
def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "a.bin")
    write_atomic(tmp_path / "link.bin", b"new")
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"new"


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    cases = [
        (tmp_path / "nowhere" / "a.png", "the folder does not exist"),
        (tmp_path / "file" / "a.png", "is a file, not a folder"),
        (tmp_path / "folder", "it is a folder"),
        (tmp_path / ("n" * 300), "the name is too long"),
        ("nul\0byte", "null"),
    ]
    for path, sentence in cases:
        with pytest.raises(OutputError, match=sentence) as caught:
            write_atomic(path, b"new")
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


@POSIX
def test_devices_and_loops_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "loop"):
        with pytest.raises(OutputError, match="cannot write"):
            write_atomic(tmp_path / name, b"new")
    assert names(tmp_path) == ["loop", "pipe"]
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomic("/dev/null", b"new")


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_without_permission_nothing_changes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"old")
    (folder / "a.bin").chmod(0o444)
    with pytest.raises(OutputError, match="write-protected"):
        write_atomic(folder / "a.bin", b"new")
    folder.chmod(0o555)
    with pytest.raises(OutputError, match="no permission"):
        write_atomic(folder / "b.bin", b"new")
    assert (folder / "a.bin").read_bytes() == b"old"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_failure_at_any_step_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    sentences = {
        errno.ENOSPC: "the disk is full",
        errno.EACCES: "no permission to write there",
        errno.EROFS: "the disk is read-only",
        errno.EIO: os.strerror(errno.EIO),
    }

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, step, fail) if step == "replace" else (os, step, fail)))
        with pytest.raises(OutputError, match=sentences[code]):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_interruption_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.bin", b"new")
    assert names(tmp_path) == []


LIMITED = """
import resource, sys
from art_crop.errors import OutputError
from art_crop.images import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(sys.argv[1], b"x" * 5000)
except OutputError as error:
    print(error)
"""


@POSIX
def test_a_write_that_really_stops_half_way(tmp_path: Path) -> None:
    """The kernel itself refuses the bytes beyond 1000, as a full disk does."""
    (tmp_path / "a.bin").write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "a.bin")]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, timeout=60)
    assert "larger than the system allows" in done.stdout
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@POSIX
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted by root")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        write_atomic(disk / "a.bin", b"old")
        with pytest.raises(OutputError, match="the disk is full"):
            write_atomic(disk / "a.bin", b"x" * 200_000)
        assert (disk / "a.bin").read_bytes() == b"old"
        assert names(disk) == ["a.bin"]
    finally:
        subprocess.run([umount, str(disk)], check=True)


def test_text_and_json(tmp_path: Path) -> None:
    write_atomic_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    record = {"success": True, "psnr": 44.5, "name": "Straße", "crop": [0, 47, 1034, 579]}
    write_atomic_json(tmp_path / "a.json", record)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == record


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": np.zeros(2)}, {1, 2}])
def test_what_json_cannot_hold_is_refused_before_writing(tmp_path: Path, value: object) -> None:
    write_atomic_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(InvalidInputError, match="value must be what JSON can hold"):
        write_atomic_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
