"""Photos of every kind the program meets, and every file it must refuse with one sentence."""

from __future__ import annotations

import io
import os
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images import MAX_PIXELS, decode_rgb, load_photo, open_image

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (5, 7), dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A well-formed PNG of any claimed size with (almost) no pixels behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


RGB = Image.fromarray(PIXELS)
FRAMES = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
PNG = encoded(RGB, "PNG")
JPEG = encoded(Image.fromarray(RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8)), "JPEG")

# name, bytes of the file, what the sentence must say
BAD_FILES = [
    ("empty.png", b"", r"is empty \(0 bytes\)"),
    ("text.jpg", b"This is not a photo.\n" * 20, "is not an image that is read here"),
    ("signature.png", PNG[:8], "damaged"),
    ("header.png", PNG[:30], "damaged"),
    (
        "half.png",
        encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "PNG")[:6000],
        "truncated",
    ),
    ("half.jpg", JPEG[: len(JPEG) // 2], "truncated or damaged"),
    ("half.webp", encoded(RGB, "WEBP")[:40], "damaged"),
    ("half.bmp", encoded(RGB, "BMP")[:80], "truncated or damaged"),
    ("half.tif", encoded(RGB, "TIFF")[:40], "damaged"),
    ("claims.png", png_header(100, 100), "truncated or damaged"),
    ("animated.gif", encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "more than one frame"),
    ("animated.png", encoded(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "more than one frame"),
    ("animated.webp", encoded(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "more than one frame"),
    ("pages.tif", encoded(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "more than one frame"),
    ("large.png", png_header(15_000, 10_001), "15000×10001 = 150,015,000 pixels; allowed: at most 150,000,000"),
    ("bomb.png", png_header(60_000, 60_000), "too many pixels; allowed: at most 150,000,000"),
    ("portable.ppm", encoded(RGB, "PPM"), "is not an image that is read here"),
    ("vector.eps", encoded(RGB, "EPS"), "is not an image that is read here"),
    ("float.tif", encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"), "floating-point grey"),
    ("deep.tif", encoded(Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)), "TIFF"), "beyond 16 bits"),
    ("lab.tif", encoded(Image.new("LAB", (4, 4)), "TIFF"), "Lab pixels"),
]


@pytest.mark.parametrize(("name", "data", "sentence"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageFileError, match=sentence) as caught:
            load_photo(path)
    message = str(caught.value)
    assert name in message
    assert "allowed: " in message
    assert "\n" not in message
    assert path.read_bytes() == data


def test_paths_that_are_not_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="is a folder"):
        load_photo(tmp_path)
    with pytest.raises(ImageFileError, match="does not exist"):
        load_photo(tmp_path / "nowhere.png")
    with pytest.raises(ImageFileError, match="cannot be read"):
        load_photo("nul\0byte.png")
    with pytest.raises(InvalidInputError, match="path must be a str"):
        load_photo(42)  # type: ignore[arg-type]
    (tmp_path / "file").write_bytes(PNG)
    with pytest.raises(ImageFileError, match="cannot be read"):
        load_photo(tmp_path / "file" / "photo.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_sockets_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageFileError, match="not a regular file"):
        load_photo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s.png"))  # the length of a socket's path is limited
        with pytest.raises(ImageFileError, match="not a regular file"):
            load_photo(tmp_path / "s.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(ImageFileError, match="no permission"):
        load_photo(tmp_path / "secret.png")


@pytest.mark.parametrize("max_pixels", [0, -1, 1.5, True, "many", None])
def test_max_pixels_is_checked(tmp_path: Path, max_pixels: object) -> None:
    with pytest.raises(InvalidInputError, match="max_pixels must be a positive integer"):
        load_photo(tmp_path / "any.png", max_pixels=max_pixels)  # type: ignore[arg-type]


def test_the_limit_is_inclusive(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PNG)
    assert load_photo(tmp_path / "photo.png", max_pixels=35).pixels.shape == (5, 7, 3)
    with pytest.raises(ImageFileError, match="7×5 = 35 pixels; allowed: at most 34"):
        load_photo(tmp_path / "photo.png", max_pixels=34)


def palette_image() -> tuple[Image.Image, NDArray[np.uint8]]:
    image = RGB.quantize(16)
    table = np.array(image.getpalette()).reshape(-1, 3)
    return image, table[np.asarray(image)].astype(np.uint8)


def mode_cases() -> dict[str, tuple[bytes, NDArray[np.uint8], bool]]:
    """Name -> file, expected pixels, whether there was alpha. The expectations are plain numpy on the source values."""
    palette, from_palette = palette_image()
    grey = PIXELS[:, :, 0]
    grey_rgb = np.repeat(grey[:, :, None], 3, axis=2)
    high = np.repeat((GREY16 >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    bits = grey > 127
    rgba = Image.fromarray(np.dstack([PIXELS, ALPHA]))
    la = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(ALPHA)])
    return {
        "rgb.png": (PNG, PIXELS, False),
        "rgb.bmp": (encoded(RGB, "BMP"), PIXELS, False),
        "rgb.tif": (encoded(RGB, "TIFF"), PIXELS, False),
        "rgb.webp": (encoded(RGB, "WEBP", lossless=True), PIXELS, False),
        "grey.png": (encoded(Image.fromarray(grey), "PNG"), grey_rgb, False),
        "bilevel.png": (
            encoded(Image.fromarray(bits), "PNG"),
            np.repeat(bits[:, :, None] * np.uint8(255), 3, 2),
            False,
        ),
        "palette.png": (encoded(palette, "PNG"), from_palette, False),
        "palette.gif": (encoded(palette, "GIF"), from_palette, False),
        "palette-transparent.png": (encoded(palette, "PNG", transparency=3), from_palette, True),
        "palette-alphas.png": (encoded(palette, "PNG", transparency=bytes(range(0, 160, 10))), from_palette, True),
        "grey-transparent.png": (encoded(Image.fromarray(grey), "PNG", transparency=int(grey[0, 0])), grey_rgb, True),
        "rgba.png": (encoded(rgba, "PNG"), PIXELS, True),
        "rgba.tif": (encoded(rgba, "TIFF"), PIXELS, True),
        "grey-alpha.png": (encoded(la, "PNG"), grey_rgb, True),
        "grey16.png": (encoded(Image.fromarray(GREY16), "PNG"), high, False),
        "grey16.tif": (encoded(Image.fromarray(GREY16), "TIFF"), high, False),
        "grey16-big-endian.tif": (
            encoded(Image.frombytes("I;16B", (7, 5), GREY16.astype(">u2").tobytes()), "TIFF"),
            high,
            False,
        ),
        "grey32.tif": (encoded(Image.fromarray(GREY16.astype(np.int32)), "TIFF"), high, False),
    }


@pytest.mark.parametrize("name", mode_cases())
def test_colour_modes_follow_the_rules(tmp_path: Path, name: str) -> None:
    data, expected, had_alpha = mode_cases()[name]
    (tmp_path / name).write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photo = load_photo(tmp_path / name)
    assert photo.pixels.dtype == np.uint8
    np.testing.assert_array_equal(photo.pixels, expected)
    assert photo.had_alpha is had_alpha
    assert photo.path == tmp_path / name


def test_sixteen_bit_colour_keeps_the_high_byte(tmp_path: Path) -> None:
    """Pillow cannot write such a PNG, so it is built here by the PNG specification: big-endian samples, filter 0."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    values = RNG.integers(0, 65536, (4, 6, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    np.testing.assert_array_equal(load_photo(tmp_path / "deep.png").pixels, values >> 8)


def test_cmyk_is_what_pillow_makes_of_it(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([PIXELS, ALPHA]), "CMYK").save(tmp_path / "in.jpg", quality=100)
    with Image.open(tmp_path / "in.jpg") as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(load_photo(tmp_path / "in.jpg").pixels, expected)


def test_of_a_multi_picture_jpeg_the_first_counts(tmp_path: Path) -> None:
    black, white = Image.new("RGB", (16, 16)), Image.new("RGB", (16, 16), "white")
    black.save(tmp_path / "pair.jpg", "MPO", save_all=True, append_images=[white])
    photo = load_photo(tmp_path / "pair.jpg")
    assert photo.format == "MPO"
    assert not photo.pixels.any()


def test_a_drafted_jpeg_is_decoded_at_the_smaller_scale(tmp_path: Path) -> None:
    Image.fromarray(RNG.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(tmp_path / "in.jpg")
    with open_image(tmp_path / "in.jpg") as image:
        assert image.size == (96, 64)
        image.draft(None, (48, 32))
        small = decode_rgb(image)
    with Image.open(tmp_path / "in.jpg") as image:
        image.draft(None, (48, 32))
        np.testing.assert_array_equal(small, np.asarray(image))


@pytest.mark.parametrize("size", [(1, 1), (20_000, 20), (20, 20_000)])
def test_extreme_shapes_load(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "in.png")
    pixels = load_photo(tmp_path / "in.png").pixels
    assert pixels.shape == (size[1], size[0], 3)
    assert (pixels == (10, 20, 30)).all()


def test_a_photo_of_several_strips_is_whole(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (3000, 1500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.bmp")
    np.testing.assert_array_equal(load_photo(tmp_path / "in.bmp").pixels, pixels)


@pytest.mark.slow
def test_a_hundred_megapixels_load_without_a_warning(tmp_path: Path) -> None:
    assert MAX_PIXELS >= 100_000_000
    Image.new("L", (10_000, 10_000), 77).save(tmp_path / "in.png", compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = load_photo(tmp_path / "in.png").pixels
    assert pixels.shape == (10_000, 10_000, 3)
    assert (pixels[::997, ::997] == 77).all()


@pytest.mark.shared
@pytest.mark.parametrize("name", ["gray16.png", "pal.png", "rgba.png", "cmyk.jpg", "exif6.jpg", "prog444.jpg"])
def test_the_golden_inputs_load(fastgaze_golden: Path, name: str) -> None:
    photo = load_photo(fastgaze_golden / "inputs" / name)
    expected = {"exif6.jpg": (600, 400, 3), "prog444.jpg": (1367, 2050, 3)}.get(name, (512, 512, 3))
    assert photo.pixels.shape == expected
    assert photo.had_alpha is (name == "rgba.png")
    assert photo.orientation == (6 if name == "exif6.jpg" else 1)


def load_or_refuse(path: Path, data: bytes) -> None:
    """The only two outcomes there may be: upright uint8 pixels, or ImageFileError in one line."""
    path.write_bytes(data)
    try:
        pixels, message = load_photo(path, max_pixels=100_000).pixels, ""
    except ImageFileError as error:
        pixels, message = PIXELS, str(error)
    assert "\n" not in message
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


SEEDS = [
    PNG,
    JPEG,
    encoded(RGB, "GIF"),
    encoded(RGB, "WEBP"),
    encoded(RGB, "BMP"),
    encoded(RGB, "TIFF", compression="tiff_lzw"),
    encoded(RGB, "TIFF"),
    encoded(Image.fromarray(GREY16), "PNG"),
    encoded(palette_image()[0], "PNG", transparency=b"\0\x80"),
    encoded(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    encoded(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:]),
]
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(data=st.binary(max_size=400), head=st.sampled_from([b"", *(seed[:12] for seed in SEEDS)]))
def test_fuzz_random_bytes(tmp_path: Path, data: bytes, head: bytes) -> None:
    load_or_refuse(tmp_path / "fuzz", head + data)


@FUZZ
@given(seed=st.sampled_from(SEEDS), share=st.floats(0, 1))
@example(seed=JPEG, share=0.0)
def test_fuzz_truncation(tmp_path: Path, seed: bytes, share: float) -> None:
    load_or_refuse(tmp_path / "fuzz", seed[: int(share * len(seed))])


def with_valid_checksums(png: bytes) -> bytes:
    """The same chunks with right CRCs, so that a mutation gets past them into the decoder."""
    parts, offset = [png[:8]], 8
    while offset + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, offset)
        body = png[offset + 4 : offset + 8 + length]
        parts.append(png[offset : offset + 4] + body + struct.pack(">I", zlib.crc32(body)))
        offset += 12 + length
    return b"".join(parts)


@settings(FUZZ, max_examples=400)
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    repair=st.booleans(),
)
def test_fuzz_mutation(tmp_path: Path, seed: bytes, edits: list[tuple[float, int]], repair: bool) -> None:
    data = bytearray(seed)
    for place, value in edits:
        data[min(int(place * len(data)), len(data) - 1)] = value
    load_or_refuse(
        tmp_path / "fuzz", with_valid_checksums(bytes(data)) if repair and seed[1:4] == b"PNG" else bytes(data)
    )


@pytest.mark.parametrize("failure", [MemoryError(), RecursionError("deep"), struct.error("short"), KeyError("k")])
def test_whatever_a_decoder_raises_is_one_sentence(
    photo_file: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object) -> Callable[[], None]:
        raise failure

    with open_image(photo_file) as image:
        monkeypatch.setattr(image, "load", fail)
        with pytest.raises(ImageFileError, match="memory" if isinstance(failure, MemoryError) else "damaged"):
            decode_rgb(image)
