"""Encoded images against Pillow and jpeglib: the same bytes, pixels, coefficients and metadata."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import jpeglib
import numpy as np
import pytest
from PIL import Image

from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images import (
    EncodedImage,
    Jpeg,
    JpegCoefficients,
    Photo,
    Png,
    apply_orientation,
    decode_reduced,
    encode_jpeg,
    load_photo,
)

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)
SIZES = [(37, 53), (1, 1), (16, 17), (8, 64)]
SUBSAMPLINGS = ["4:2:0", "4:2:2", "4:4:4"]
TABLES = [[k % 60 + 2 for k in range(64)], [k % 50 + 3 for k in range(64)], [k % 40 + 4 for k in range(64)]]


@pytest.fixture
def tagged(tmp_path: Path) -> Photo:
    """A photo with EXIF (turned) and an ICC profile that holds the marker of a quantisation table."""
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    icc = bytearray(b"\xff\xdb" * 35_000)  # two segments
    icc[16:20] = b"RGB "
    Image.fromarray(PIXELS).save(tmp_path / "tagged.jpg", exif=exif, icc_profile=bytes(icc))
    return load_photo(tmp_path / "tagged.jpg")


@pytest.mark.parametrize("encoding", [Png(), Jpeg(80), Jpeg(90, "4:4:4")])
def test_decoded_is_what_load_photo_reads(encoding: Png | Jpeg, tagged: Photo, tmp_path: Path) -> None:
    image = encoding.encode(PIXELS, tagged)
    path = tmp_path / f"written{image.suffix}"
    image.write(path)
    read = load_photo(path)
    np.testing.assert_array_equal(image.decoded, read.pixels)
    assert np.array_equal(read.pixels, PIXELS) is not encoding.lossy
    assert (read.exif, read.icc) == (tagged.exif, tagged.icc)
    assert read.format == {".png": "PNG", ".jpg": "JPEG"}[image.suffix]
    assert image.pixels is PIXELS
    assert image.encoding == encoding


@pytest.mark.parametrize(
    ("quality", "subsampling", "named"),
    [(0, "4:2:0", "quality"), (101, "4:2:0", "quality"), (9.5, "4:2:0", "quality"), (90, "4:1:1", "subsampling")],
)
def test_a_jpeg_that_does_not_exist_is_refused(quality: int, subsampling: str, named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Jpeg(quality, subsampling)


@pytest.mark.parametrize(
    ("quality", "tables"), [(0, None), (101, None), (50, [[1] * 63]), (50, [[1] * 64] * 4), (50, [[0] + [1] * 63])]
)
def test_tables_and_qualities_that_no_jpeg_has_are_refused(quality: int, tables: list[list[int]] | None) -> None:
    with pytest.raises(InvalidInputError, match="tables must" if tables else "quality must"):
        encode_jpeg(PIXELS, quality, tables=tables)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("subsampling", [*SUBSAMPLINGS, "4:0:0"])
def test_a_jpeg_like_another_has_its_tables_and_its_subsampling(tmp_path: Path, subsampling: str, count: int) -> None:
    """Any tables, as Pillow reads them, also through coefficients, which come back as they were."""
    grey = subsampling == "4:0:0"
    options: dict[str, object] = {} if grey else {"subsampling": subsampling}
    data = _saved("L" if grey else "RGB", qtables=TABLES[:count], progressive=True, **options)
    (tmp_path / "in.jpg").write_bytes(data)
    photo = load_photo(tmp_path / "in.jpg")
    encoding = Jpeg.like(photo)
    assert (encoding.subsampling, encoding.tables) == (subsampling, photo.jpeg_tables)
    coefficients = JpegCoefficients.from_bytes(data)
    for written in (encoding.encode(PIXELS), EncodedImage.from_coefficients(coefficients, encoding=encoding)):
        with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(written.data)) as after:
            assert list(after.quantization.values()) == TABLES[: 1 if grey else count]
            assert (after.mode, after.layer) == (before.mode, before.layer)
    np.testing.assert_array_equal(written.decoded, photo.pixels)
    again = JpegCoefficients.from_bytes(written.data)
    for one, other in zip(coefficients.components, again.components, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_a_jpeg_can_be_written_like_itself(photo_file: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"photo: a JPEG is needed, and .* is a PNG"):
        Jpeg.like(load_photo(photo_file))


@pytest.mark.parametrize("subsampling", [*SUBSAMPLINGS, "4:0:0"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_coefficients_are_turned_upright(orientation: int, subsampling: str) -> None:
    smooth = np.asarray(Image.fromarray(PIXELS).resize((64, 48), Image.Resampling.BICUBIC))
    stored = encode_jpeg(smooth, 80, subsampling=subsampling)
    upright = JpegCoefficients.from_bytes(stored).upright(orientation)
    if subsampling == "4:2:2" and orientation >= 5:
        assert upright is None
        return
    assert upright is not None
    expected = apply_orientation(decode_reduced(stored, 1), orientation).astype(int)
    difference = np.abs(decode_reduced(upright.to_bytes(), 1).astype(int) - expected)
    assert difference.max() <= 4  # decoders round rows and columns one after the other
    assert difference.mean() < 0.5


def test_half_filled_blocks_do_not_come_first() -> None:
    coefficients = JpegCoefficients.from_bytes(encode_jpeg(PIXELS[:32], 80))  # 53 pixels wide, and 32 high
    possible = [orientation for orientation in range(1, 9) if coefficients.upright(orientation) is not None]
    assert possible == [1, 4, 5, 6]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [5, 90, 100])
def test_unmoved_coefficients_give_pillows_very_file(size: tuple[int, int], subsampling: str, quality: int) -> None:
    pixels = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    encoding = Jpeg(quality, subsampling)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    coefficients = JpegCoefficients.from_bytes(buffer.getvalue())
    assert (coefficients.size, coefficients.subsampling) == ((size[1], size[0]), subsampling)
    assert EncodedImage.from_coefficients(coefficients, encoding=encoding).data == buffer.getvalue()


def test_metadata_of_coefficients_is_that_of_the_encoder(tagged: Photo) -> None:
    whole = encode_jpeg(tagged.pixels, 90, tagged)
    image = EncodedImage.from_coefficients(JpegCoefficients.from_bytes(whole), tagged, encoding=Jpeg(90))
    assert image.data == whole
    assert image.pixels is None
    np.testing.assert_array_equal(image.decoded, np.asarray(Image.open(io.BytesIO(whole))))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_moved_coefficients_are_read_back(subsampling: str, tmp_path: Path) -> None:
    before = JpegCoefficients.from_bytes(encode_jpeg(PIXELS, 85, subsampling=subsampling))
    moved = [c + RNG.integers(-3, 4, c.shape) for c in before.components]
    image = EncodedImage.from_coefficients(before.with_components(moved), encoding=Jpeg(85, subsampling))
    image.write(tmp_path / "moved.jpg")
    read = jpeglib.read_dct(str(tmp_path / "moved.jpg"))
    for theirs, component in zip((read.Y, read.Cb, read.Cr), moved, strict=True):
        np.testing.assert_array_equal(theirs, component)
    np.testing.assert_array_equal(read.qt, np.stack(before.tables))
    with jpeglib.version("turbo210"):  # the family that Pillow decodes with
        spatial = jpeglib.read_spatial(str(tmp_path / "moved.jpg")).spatial
    np.testing.assert_array_equal(image.decoded, spatial)


def test_the_ends_of_the_range_are_written() -> None:
    before = JpegCoefficients.from_bytes(encode_jpeg(PIXELS, 85))
    moved = [c.copy() for c in before.components]
    moved[0][0, 0] = [[1023, -1023] * 4] * 8
    moved[0][0, 1, 0, 0] = -1023
    after = JpegCoefficients.from_bytes(before.with_components(moved).to_bytes())
    for one, other in zip(after.components, moved, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[:2], "shapes"),
        (lambda c: [c[0][1:], *c[1:]], "shapes"),
        (lambda c: [c[0].astype(np.float32), *c[1:]], "integers"),
        (lambda c: [np.full_like(c[0], -1024), *c[1:]], "1023"),
    ],
)
def test_coefficients_that_no_jpeg_holds_are_refused(change: object, message: str) -> None:
    coefficients = JpegCoefficients.from_bytes(encode_jpeg(PIXELS))
    with pytest.raises(InvalidInputError, match=message):
        coefficients.with_components(change(coefficients.components))  # type: ignore[operator]


def _saved(mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _arithmetic() -> bytes:
    """A file that says of its coding that it is arithmetic."""
    return _saved().replace(b"\xff\xc0", b"\xff\xc9", 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        Png().encode(PIXELS).data,
        encode_jpeg(PIXELS)[:1500],
        encode_jpeg(PIXELS)[:100],
        _saved("CMYK"),
        _saved(keep_rgb=True),
        _arithmetic(),
    ],
)
def test_what_is_no_jpeg_of_y_cb_and_cr_is_refused(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageFileError, match=r"^data: "):
        JpegCoefficients.from_bytes(data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_reduced_size_is_rounded_up(size: tuple[int, int], scale: int) -> None:
    decoded = decode_reduced(encode_jpeg(np.full((*size, 3), 77, np.uint8)), scale)
    assert decoded.shape == (-(-size[0] // scale), -(-size[1] // scale), 3)
    assert (decoded == 77).all()


def test_listing_encodings_does_not_load_jpeglib() -> None:
    import subprocess

    code = "import sys, art_crop.images; sys.exit('jpeglib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_records_compare_by_value() -> None:
    assert Jpeg(90) == Jpeg(90, "4:2:0") != replace(Jpeg(90), quality=91)
    assert Png() == Png()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_missing_end_marker_is_no_matter_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str], progressive: bool
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", progressive=progressive)
    whole, cut = JpegCoefficients.from_bytes(buffer.getvalue()), JpegCoefficients.from_bytes(buffer.getvalue()[:-2])
    for one, other in zip(whole.components, cut.components, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ImageFileError, match="truncated"):
        JpegCoefficients.from_bytes(buffer.getvalue()[:-200])
    assert capfd.readouterr() == ("", "")
