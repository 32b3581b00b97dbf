"""Files that are traps, files that lack little, and formats that need a package."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from art_crop.errors import ImageFileError
from art_crop.images import (
    Jpeg,
    dropped_metadata,
    encode_jpeg,
    encode_png,
    jpeg_settings_of,
    load_photo,
    open_image,
)

RNG = np.random.default_rng(17)
SMOOTH = (np.indices((48, 64)).sum(0)[:, :, None] * [1, 2, 1] % 256).astype(np.uint8)
NOISY = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_small_tiff_with_a_huge_tile_is_refused(tmp_path: Path) -> None:
    tags = [
        (256, 64),
        (257, 64),
        (258, 8),
        (259, 5),
        (262, 1),
        (277, 1),
        (322, 65536),
        (323, 32752),
        (324, 8),
        (325, 64),
    ]
    body = struct.pack("<2sHI", b"II", 42, 72) + bytes(64) + struct.pack("<H", len(tags))
    body += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    (tmp_path / "in.tif").write_bytes(body)
    with pytest.raises(ImageFileError, match="tiles of 65536×32752 pixels; allowed: "):
        load_photo(tmp_path / "in.tif")


def test_an_ordinary_tiled_tiff_is_read(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "in.tif", NOISY, tile=(256, 256), photometric="rgb")
    np.testing.assert_array_equal(load_photo(tmp_path / "in.tif").pixels, NOISY)


def repeated_scans(times: int) -> bytes:
    data = jpeg(SMOOTH, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * times + data[-2:]


@pytest.mark.parametrize(("times", "fine"), [(50, True), (200, False)])
def test_scans_are_counted(tmp_path: Path, times: int, fine: bool) -> None:
    (tmp_path / "in.jpg").write_bytes(repeated_scans(times))
    if fine:
        assert load_photo(tmp_path / "in.jpg").pixels.shape == SMOOTH.shape
    else:
        for read in (load_photo, lambda path: open_image(path).__enter__()):
            with pytest.raises(ImageFileError, match="more than 100 scans; allowed: at most 100"):
                read(tmp_path / "in.jpg")


def test_segments_are_counted(tmp_path: Path) -> None:
    data = jpeg(SMOOTH)
    (tmp_path / "in.jpg").write_bytes(data[:2] + b"\xff\xe5\0\2" * 30_000 + data[2:])
    with pytest.raises(ImageFileError, match="more than 20,000 segments; allowed: "):
        load_photo(tmp_path / "in.jpg")


def test_greedy_decoders_get_half_the_pixels(tmp_path: Path) -> None:
    Image.fromarray(NOISY).save(tmp_path / "in.webp")
    assert load_photo(tmp_path / "in.webp", max_pixels=2 * 48 * 64).pixels.shape == NOISY.shape
    with pytest.raises(ImageFileError, match="at most 3,071 for a WEBP"):
        load_photo(tmp_path / "in.webp", max_pixels=2 * 48 * 64 - 1)


JPEGS = {
    "baseline": jpeg(NOISY, quality=90),
    "smooth": jpeg(SMOOTH),
    "progressive": jpeg(NOISY, progressive=True),
    "grey": jpeg(NOISY[:, :, 0]),
    "restarts": jpeg(NOISY, restart_marker_rows=1),
    "flat": jpeg(np.full((48, 64, 3), 128, np.uint8)),
}


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_marker_is_read_and_says_so(tmp_path: Path, name: str, cut: int) -> None:
    (tmp_path / "in.jpg").write_bytes(JPEGS[name][:-cut])
    photo = load_photo(tmp_path / "in.jpg")
    np.testing.assert_array_equal(photo.pixels, np.asarray(Image.open(io.BytesIO(JPEGS[name])).convert("RGB")))
    assert "end marker" in " ".join(photo.notes)
    (tmp_path / "whole.jpg").write_bytes(JPEGS[name])
    assert load_photo(tmp_path / "whole.jpg").notes == ()


@pytest.mark.parametrize("name", ["baseline", "progressive", "grey", "restarts"])
def test_a_jpeg_that_lacks_more_is_refused(tmp_path: Path, name: str) -> None:
    data = JPEGS[name]
    cuts = [len(data) - 8, len(data) - 20, len(data) * 3 // 4]
    if name == "progressive":  # at the end of a scan: a whole, but coarse picture
        cuts.append(data.rindex(b"\xff\xda"))
    for cut in cuts:
        (tmp_path / "in.jpg").write_bytes(data[:cut])
        with pytest.raises(ImageFileError, match="truncated or damaged"):
            load_photo(tmp_path / "in.jpg")


@pytest.mark.parametrize("count", [4, 200])
def test_a_scan_that_names_more_components_than_it_has_is_refused(tmp_path: Path, count: int) -> None:
    data = bytearray(JPEGS["baseline"][:-2])
    data[data.rindex(b"\xff\xda") + 4] = count
    (tmp_path / "in.jpg").write_bytes(data)
    with pytest.raises(ImageFileError, match="damaged"):
        load_photo(tmp_path / "in.jpg")


def test_a_jpeg_with_steps_of_zero_is_written_with_others(tmp_path: Path) -> None:
    data = bytearray(JPEGS["baseline"])
    data[data.index(b"\xff\xdb") + 5 + 63] = 0
    (tmp_path / "in.jpg").write_bytes(data)
    encoding = Jpeg.like(load_photo(tmp_path / "in.jpg"))
    assert encoding.tables is None
    assert encoding.encode(NOISY).decoded.shape == NOISY.shape


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_settings_of_a_jpeg_are_found(tmp_path: Path, subsampling: str) -> None:
    for quality in range(1, 101):
        (tmp_path / "in.jpg").write_bytes(encode_jpeg(NOISY, quality, subsampling=subsampling))
        found = jpeg_settings_of(tmp_path / "in.jpg")
        assert found is not None
        # Some qualities have one and the same tables.
        again = Image.open(io.BytesIO(encode_jpeg(NOISY, found[0], subsampling=found[1])))
        original = Image.open(tmp_path / "in.jpg")
        assert again.quantization == original.quantization
        assert found[1] == subsampling
        assert abs(found[0] - quality) <= 1
    assert load_photo(tmp_path / "in.jpg").jpeg_settings == found
    assert Jpeg(*found)


def test_settings_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "grey.jpg").write_bytes(jpeg(NOISY[:, :, 0], quality=83))
    assert jpeg_settings_of(tmp_path / "grey.jpg") == (83, "4:2:0")
    tables = [
        [max(1, round(k * 1.03)) for k in Image.open(io.BytesIO(jpeg(NOISY, quality=60))).quantization[n]]
        for n in (0, 1)
    ]
    (tmp_path / "own.jpg").write_bytes(jpeg(NOISY, qtables=tables))
    found = jpeg_settings_of(tmp_path / "own.jpg")
    assert found is not None
    assert 57 <= found[0] <= 60
    (tmp_path / "in.png").write_bytes(encode_png(NOISY))
    assert jpeg_settings_of(load_photo(tmp_path / "in.png")) is None


@pytest.fixture
def exif() -> bytes:
    block = Image.Exif()
    block[274], block[33432] = 6, "(c) N.N."
    return block.tobytes() + "Jürgen".encode()


def test_a_heic_is_read_upright(tmp_path: Path, exif: bytes) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    image = Image.fromarray(SMOOTH)
    heif = pillow_heif.from_pillow(image)
    heif.info["exif"], heif.info["xmp"] = exif, b"<x:xmpmeta/>"
    heif.save(tmp_path / "in.heic", quality=95)
    photo = load_photo(tmp_path / "in.heic")
    assert photo.format == "HEIF"
    expected = np.rot90(SMOOTH, -1).astype(float)
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels - expected).mean() < 6
    with open_image(tmp_path / "in.heic") as opened:
        assert opened.size == (48, 64)
    with Image.open(io.BytesIO(encode_png(photo.pixels, photo))) as written:
        assert "Jürgen".encode() in written.info["exif"]
        assert written.getexif()[274] == 1
        assert written.info["xmp"] == b"<x:xmpmeta/>"


def test_a_heic_without_the_extra_names_it(tmp_path: Path) -> None:
    (tmp_path / "in.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    code = (
        "import sys; sys.modules['pillow_heif'] = None\nfrom art_crop.images import load_photo\n"
        "try: load_photo(sys.argv[1])\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in.heic")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("ImageFileError")
    assert "pip install 'art-crop[heif]'" in done.stdout


@AVIF
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_avif_is_read_upright(tmp_path: Path, orientation: int) -> None:
    block = Image.Exif()
    block[274] = orientation
    Image.fromarray(SMOOTH).save(tmp_path / "in.avif", quality=95, exif=block.tobytes(), xmp=b"<x:xmpmeta/>")
    photo = load_photo(tmp_path / "in.avif")
    expected = SMOOTH if orientation == 1 else np.rot90(SMOOTH, -1)
    assert photo.pixels.shape == expected.shape
    assert np.abs(photo.pixels - expected.astype(float)).mean() < 6
    assert photo.metadata.xmp == b"<x:xmpmeta/>"
    assert dropped_metadata(photo, ".png") == ()
