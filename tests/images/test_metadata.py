"""Orientation against Pillow's own `ImageOps.exif_transpose`; EXIF and ICC survive writing and reading."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import IFDRational

from art_crop.errors import InvalidInputError
from art_crop.images import apply_orientation, decode_rgb, exif_orientation, load_photo, open_image, save_photo

PIXELS = np.random.default_rng(5).integers(0, 256, (6, 9, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, COPYRIGHT, ARTIST, EXIF_IFD, GPS_IFD = 274, 33432, 315, 0x8769, 0x8825


def exif_with(orientation: int | None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    exif[COPYRIGHT], exif[ARTIST] = "(c) 2024 A. Painter", "A. Painter"
    exif[EXIF_IFD] = {
        36864: b"0231",  # ExifVersion
        36867: "2024:05:06 07:08:09",  # DateTimeOriginal
        33437: IFDRational(28, 10),  # FNumber
        40962: 9,  # pixel width as stored
        40963: 6,
    }
    exif[GPS_IFD] = {1: "N", 2: (IFDRational(52), IFDRational(30), IFDRational(15))}
    return exif.tobytes()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_equals_pillows_transpose(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(PIXELS).save(path, exif=exif_with(orientation), **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    photo = load_photo(path)
    np.testing.assert_array_equal(photo.pixels, expected)
    assert photo.orientation == orientation
    assert photo.pixels.shape == ((9, 6, 3) if orientation >= 5 else (6, 9, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decoding_leaves_the_orientation_to_the_caller(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(PIXELS).save(path, exif=exif_with(orientation))
    with open_image(path) as image:
        assert exif_orientation(image) == orientation
        stored = decode_rgb(image)
    assert stored.shape == PIXELS.shape
    np.testing.assert_array_equal(apply_orientation(stored, orientation), load_photo(path).pixels)


def test_orientation_turns_arrays_of_any_kind() -> None:
    grey = np.arange(6, dtype=np.float64).reshape(2, 3)
    np.testing.assert_array_equal(apply_orientation(grey, 6), [[3, 0], [4, 1], [5, 2]])  # a quarter turn clockwise
    assert apply_orientation(grey, 6).flags.c_contiguous


@pytest.mark.parametrize("orientation", [0, 9, -1, 1.5])
def test_an_orientation_that_exif_does_not_have_is_refused(orientation: int) -> None:
    with pytest.raises(InvalidInputError, match="orientation must be one of the EXIF values 1 to 8"):
        apply_orientation(PIXELS, orientation)


@pytest.mark.parametrize("value", [0, 9, 77])
def test_an_invalid_orientation_in_a_file_means_upright(tmp_path: Path, value: int) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "photo.png", exif=exif_with(value))
    photo = load_photo(tmp_path / "photo.png")
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    assert photo.orientation == 1


def test_an_orientation_in_xmp_alone_is_ignored(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(PIXELS).save(tmp_path / "photo.jpg", xmp=xmp)
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.getexif().get(ORIENTATION) == 6, "the file must tempt Pillow"
    assert load_photo(tmp_path / "photo.jpg").pixels.shape == PIXELS.shape


@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("target", ["jpg", "png"])
def test_exif_and_icc_stay_with_the_photo(tmp_path: Path, source: str, target: str) -> None:
    first, second = tmp_path / f"in.{source}", tmp_path / f"out.{target}"
    Image.fromarray(PIXELS).save(first, exif=exif_with(6), icc_profile=SRGB)
    photo = load_photo(first)
    save_photo(second, photo.pixels, like=photo)
    with Image.open(second) as image:
        image.load()
        exif = image.getexif()
        assert image.info["icc_profile"] == SRGB
        assert image.size == (6, 9)
    assert exif[COPYRIGHT] == "(c) 2024 A. Painter"
    assert exif[ARTIST] == "A. Painter"
    assert exif.get(ORIENTATION, 1) == 1, "the pixels are upright now"
    details = exif.get_ifd(EXIF_IFD)
    assert details[36867] == "2024:05:06 07:08:09"
    assert details[36864] == b"0231"
    assert float(details[33437]) == pytest.approx(2.8)
    assert (details[40962], details[40963]) == (6, 9), "the sides were swapped by the turn"
    gps = exif.get_ifd(GPS_IFD)
    assert gps[1] == "N"
    assert [float(part) for part in gps[2]] == [52, 30, 15]
    again = load_photo(second)
    assert again.orientation == 1
    assert again.exif == photo.exif


def test_a_tiffs_own_layout_is_not_copied(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.tif", exif=exif_with(1))
    photo = load_photo(tmp_path / "in.tif")
    exif = Image.Exif()
    exif.load(photo.exif)
    assert not {256, 257, 258, 259, 273, 277, 278, 279} & set(exif)
    assert exif[COPYRIGHT] == "(c) 2024 A. Painter"


def test_the_embedded_thumbnail_is_dropped(tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(thumbnail, "JPEG")
    data = thumbnail.getvalue()
    # TIFF header, IFD0 with Artist, IFD1 with JPEGInterchangeFormat and its length, then the thumbnail itself.
    second = 8 + 2 + 12 + 4
    offset = second + 2 + 24 + 4
    block = b"II*\0" + struct.pack("<I", 8)
    block += struct.pack("<HHHI4sI", 1, 315, 2, 4, b"Bob\0", second)
    block += struct.pack("<HHHIIHHIII", 2, 513, 4, 1, offset, 514, 4, 1, len(data), 0) + data
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + block)
    with Image.open(tmp_path / "in.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[514] == len(data), "the file must have a thumbnail"
    photo = load_photo(tmp_path / "in.jpg")
    save_photo(tmp_path / "out.jpg", photo.pixels, like=photo)
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[ARTIST] == "Bob"
        assert not image.getexif().get_ifd(ExifTags.IFD.IFD1)
    assert data not in (tmp_path / "out.jpg").read_bytes()


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"\0" * 40])
def test_damaged_exif_does_not_cost_the_photo(tmp_path: Path, block: bytes) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=block)
    photo = load_photo(tmp_path / "in.jpg")
    assert (photo.orientation, photo.exif) == (1, None)


def test_exif_in_the_old_png_text_chunk_counts(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    data = exif_with(8)
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(data):8d}\n{data.hex()}\n")
    Image.fromarray(PIXELS).save(tmp_path / "in.png", pnginfo=info)
    photo = load_photo(tmp_path / "in.png")
    assert photo.orientation == 8
    assert photo.pixels.shape == (9, 6, 3)


def test_a_profile_for_other_colours_is_not_attached_to_rgb(tmp_path: Path) -> None:
    header = bytearray(SRGB)
    header[16:20] = b"CMYK"
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "in.jpg", icc_profile=bytes(header))
    assert load_photo(tmp_path / "in.jpg").icc is None
