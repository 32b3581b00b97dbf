"""Transparency, grey, depth and TIFF's ways to mean a colour: kept, right, or named."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from art_crop.errors import ImageFileError
from art_crop.images import Jpeg, Png, dropped_metadata, encode_jpeg, encode_png, load_photo

RNG = np.random.default_rng(13)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 3, (6, 9), dtype=np.uint8) * 127
GREY = PIXELS[:, :, 0]
OTHER = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
LEVELS = np.array([[1, 2, 3, 0], [3, 3, 1, 0]], np.uint8)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def png(depth: int, colour: int, rows: list[bytes], size: tuple[int, int], extra: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(*extra) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def transparent() -> dict[str, tuple[bytes, NDArray[np.uint8]]]:
    """Name -> file, and its transparency by the format's specification."""

    def saved(image: Image.Image, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    rgba = Image.fromarray(np.dstack([PIXELS, ALPHA]))
    palette = Image.fromarray(PIXELS).quantize(8)
    indices = np.asarray(palette)
    table = np.array([0, 40, 80, 255, 255, 255, 255, 255], np.uint8)
    two_bits = [bytes([a << 6 | b << 4 | c << 2 | d]) for a, b, c, d in LEVELS]
    deep = RNG.integers(0, 65536, (2, 3), dtype=np.uint16)
    deep_rows = [row.astype(">u2").tobytes() for row in deep]
    return {
        "rgba.png": (saved(rgba, "PNG"), ALPHA),
        "rgba.tif": (saved(rgba, "TIFF"), ALPHA),
        "rgba.webp": (saved(rgba, "WEBP", lossless=True, exact=True), ALPHA),
        "la.png": (saved(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), "PNG"), ALPHA),
        "palette.png": (saved(palette, "PNG", transparency=table.tobytes()), table[indices]),
        "one-entry.png": (saved(palette, "PNG", transparency=3), np.where(indices == 3, 0, 255).astype(np.uint8)),
        "one-entry.gif": (saved(palette, "GIF", transparency=2), np.where(indices == 2, 0, 255).astype(np.uint8)),
        "key.png": (
            saved(Image.fromarray(PIXELS), "PNG", transparency=tuple(PIXELS[2, 3].tolist())),
            np.where((PIXELS[2, 3] == PIXELS).all(2), 0, 255).astype(np.uint8),
        ),
        "two-bits.png": (
            png(2, 0, two_bits, (4, 2), (b"tRNS", b"\0\3")),
            np.where(LEVELS == 3, 0, 255).astype(np.uint8),
        ),
        "deep.png": (
            png(16, 0, deep_rows, (3, 2), (b"tRNS", int(deep[1, 1]).to_bytes(2, "big"))),
            np.where(deep == deep[1, 1], 0, 255).astype(np.uint8),
        ),
    }


@pytest.mark.parametrize("name", transparent())
def test_transparency_stays_and_hides_what_it_hid(tmp_path: Path, name: str) -> None:
    data, alpha = transparent()[name]
    (tmp_path / name).write_bytes(data)
    photo = load_photo(tmp_path / name)
    assert photo.had_alpha
    np.testing.assert_array_equal(photo.alpha, alpha)
    assert photo.visible is not None
    np.testing.assert_array_equal(photo.visible, alpha > 0)
    other = RNG.integers(0, 256, photo.pixels.shape, dtype=np.uint8)
    image = Png().encode(other, photo)
    written = np.asarray(opened(image.data).convert("RGBA"))
    np.testing.assert_array_equal(written[:, :, 3], alpha)
    np.testing.assert_array_equal(written[alpha == 0][:, :3], photo.pixels[alpha == 0])
    np.testing.assert_array_equal(written[alpha > 0][:, :3], other[alpha > 0])
    np.testing.assert_array_equal(image.decoded, written[:, :, :3])
    assert "transparency" not in dropped_metadata(photo, ".png", other)
    assert "transparency" in dropped_metadata(photo, ".jpg", other)
    assert Jpeg(90).encode(other, photo).decoded.shape == other.shape


@pytest.mark.parametrize("orientation", [3, 6])
def test_transparency_is_turned_with_the_photo(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.dstack([PIXELS, ALPHA])).save(tmp_path / "in.png", exif=exif)
    photo = load_photo(tmp_path / "in.png")
    expected = np.rot90(ALPHA, 2 if orientation == 3 else -1)
    np.testing.assert_array_equal(photo.alpha, expected)


def test_transparency_of_another_size_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([PIXELS, ALPHA])).save(tmp_path / "in.png")
    photo = load_photo(tmp_path / "in.png")
    assert opened(encode_png(PIXELS[:3], photo)).mode == "RGB"
    assert "transparency" in dropped_metadata(photo, ".png", PIXELS[:3])


def test_an_opaque_photo_is_visible_everywhere(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    photo = load_photo(tmp_path / "in.png")
    assert (photo.alpha, photo.visible, photo.had_alpha) == (None, None, False)
    assert photo.keep_invisible(OTHER) is OTHER


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_grey_photo_stays_grey_while_its_pixels_do(tmp_path: Path, kind: str, mode: str) -> None:
    Image.fromarray(GREY).convert(mode).save(tmp_path / f"in.{kind}")
    photo = load_photo(tmp_path / f"in.{kind}")
    assert photo.grey
    image = opened(encode_png(photo.pixels, photo))
    assert image.mode == ("LA" if mode == "LA" else "L")
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), photo.pixels)
    assert dropped_metadata(photo, ".png") == ()
    assert opened(encode_png(OTHER, photo)).mode == ("RGBA" if mode == "LA" else "RGB")
    assert "grey becomes colour" in dropped_metadata(photo, ".png", OTHER)
    assert "grey becomes colour" in dropped_metadata(photo, ".jpg")


def test_a_colour_photo_is_not_grey(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / "in.png")
    photo = load_photo(tmp_path / "in.png")
    assert not photo.grey
    assert opened(encode_png(photo.pixels, photo)).mode == "RGB"


def test_a_grey_profile_stays_with_grey_pixels_alone(tmp_path: Path) -> None:
    profile = bytes(16) + b"GRAY" + bytes(120)
    Image.fromarray(GREY).save(tmp_path / "in.png", icc_profile=profile)
    photo = load_photo(tmp_path / "in.png")
    assert opened(encode_png(photo.pixels, photo)).info["icc_profile"] == profile
    for data in (encode_png(OTHER, photo), encode_jpeg(photo.pixels, like=photo)):
        assert "icc_profile" not in opened(data).info
    assert "ICC profile for grey pixels" in dropped_metadata(photo, ".png", OTHER)
    assert "ICC profile for grey pixels" in dropped_metadata(photo, ".jpg")


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_named(tmp_path: Path, kind: str) -> None:
    Image.fromarray(RNG.integers(0, 65536, (5, 7), dtype=np.uint16)).save(tmp_path / f"in.{kind}")
    for suffix in (".png", ".jpg"):
        assert "16 bits per channel become 8" in dropped_metadata(load_photo(tmp_path / f"in.{kind}"), suffix)


def tiff(data: bytes, size: tuple[int, int], bits: int, photometric: int, order: str, samples: int = 1) -> bytes:
    """An uncompressed TIFF of one strip, by TIFF 6.0."""
    tags = [
        (256, 3, size[0]),
        (257, 3, size[1]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, samples),
        (278, 3, size[1]),
        (279, 4, len(data)),
    ]
    rows = b""
    for tag, kind, value in tags:
        packed = struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value]))
        rows += struct.pack(order + "HHI", tag, kind, 1) + packed
    data += bytes(len(data) % 2)
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return head + data + struct.pack(order + "H", len(tags)) + rows + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_white_may_be_zero(tmp_path: Path, bits: int, photometric: int, order: str) -> None:
    values = RNG.integers(0, 2**bits, (5, 16), dtype=np.uint32)
    if bits == 16:
        data = values.astype(order + "u2").tobytes()
    else:
        digits = "".join(f"{v:0{bits}b}" for v in values.ravel())
        data = int(digits, 2).to_bytes(len(digits) // 8, "big")
    (tmp_path / "in.tif").write_bytes(tiff(data, (16, 5), bits, photometric, order))
    expected = values >> (bits - 8) if bits >= 8 else values * 255 // (2**bits - 1)
    photo_or_error = read(tmp_path / "in.tif")
    if isinstance(photo_or_error, ImageFileError):  # refused rather than misread where Pillow has no decoder
        assert bits == 12 or (bits, photometric, order) == (16, 0, ">")
        return
    np.testing.assert_array_equal(photo_or_error, 255 - expected if photometric == 0 else expected)


def read(path: Path) -> NDArray[np.uint8] | ImageFileError:
    try:
        return load_photo(path).pixels[:, :, 0]
    except ImageFileError as error:
        return error


@pytest.mark.parametrize("photometric", [4, 9, 10, 32803, 32844, 34892])
def test_pixels_with_another_meaning_are_refused(tmp_path: Path, photometric: int) -> None:
    (tmp_path / "in.tif").write_bytes(tiff(GREY.tobytes(), (9, 6), 8, photometric, "<"))
    with pytest.raises(ImageFileError, match="allowed: "):
        load_photo(tmp_path / "in.tif")
