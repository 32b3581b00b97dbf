"""Every block of metadata arrives byte by byte in the written file, or has a name among what is dropped.

The files are read back by Pillow and by the few lines of segment and chunk parsing below, not by the package's own.
"""

from __future__ import annotations

import io
import itertools
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, features

from art_crop.images import (
    EncodedImage,
    Jpeg,
    JpegCoefficients,
    Photo,
    dropped_metadata,
    encode_jpeg,
    encode_png,
    load_photo,
    save_photo,
)

RNG = np.random.default_rng(11)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'tiff:Orientation="6"><dc:creator>Jürgen 東京</dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>'
).encode()
IIM = b"\x1c\x02\x74\0\x0b(c) J\xc3\xbcrgen"
IPTC = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IIM)) + IIM + b"\0" * (len(IIM) % 2)
TEXTS = [
    (b"tEXt", b"Copyright\0\xa9 N.N."),
    (b"zTXt", b"Author\0\0" + zlib.compress(b"J\xfcrgen")),
    (b"iTXt", "Title\0\0\0de\0Titel\0東京".encode()),
]
COLOUR = [
    (b"gAMA", struct.pack(">I", 100_000)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    (b"cICP", bytes([9, 16, 0, 1])),
    (b"sBIT", bytes([5, 6, 5])),
    (b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9)),
    (b"teSt", b"safe to copy"),
]


def exif_block(orientation: int, order: str = "<", thumbnail: bytes = b"", note: bytes = b"MAKER\0\1\2") -> bytes:
    """Exif of UTF-8 texts, a maker's note, and a thumbnail in a second directory; built by TIFF 6.0."""
    texts = {0x010E: "東京 am Morgen".encode() + b"\0", 0x013B: "Jürgen Müller".encode() + b"\0"}
    details = [(0x927C, 7, note), (0xA002, 3, struct.pack(order + "H", 9)), (0xA003, 3, struct.pack(order + "H", 6))]
    first = [(tag, 2, value) for tag, value in texts.items()]
    first.append((0x0112, 3, struct.pack(order + "H", orientation)))

    def directory(start: int, rows: list[tuple[int, int, bytes]], following: int) -> bytes:
        body, values, place = struct.pack(order + "H", len(rows)), b"", start + 6 + 12 * len(rows)
        for tag, kind, value in sorted(rows):
            count = len(value) // {2: 1, 3: 2, 4: 4, 7: 1}[kind]
            body += struct.pack(order + "HHI", tag, kind, count)
            if len(value) > 4:
                body += struct.pack(order + "I", place + len(values))
                values += value + b"\0" * (len(value) % 2)
            else:
                body += value.ljust(4, b"\0")
        return body + struct.pack(order + "I", following) + values

    second = 8 + len(directory(8, [*first, (0x8769, 4, bytes(4))], 0))
    third = second + len(directory(second, details, 0))
    pointer = (0x8769, 4, struct.pack(order + "I", second))
    block = directory(8, [*first, pointer], third if thumbnail else 0) + directory(second, details, 0)
    if thumbnail:
        place = struct.pack(order + "I", third + 6 + 24)
        rows = [(0x0201, 4, place), (0x0202, 4, struct.pack(order + "I", len(thumbnail)))]
        block += directory(third, rows, 0) + thumbnail
    return b"Exif\0\0" + struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8) + block


def preview() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG")
    return buffer.getvalue()


def segments(data: bytes) -> list[tuple[int, bytes]]:
    place, found = 2, []
    while data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        found.append((data[place + 1], data[place + 4 : place + 2 + length]))
        place += 2 + length
    return found


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    place, found = 8, []
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", data, place + 8 + length)[0] == zlib.crc32(kind + body)
        found.append((kind, body))
        place += 12 + length
    return found


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_segments(jpeg: bytes, parts: list[tuple[int, bytes]]) -> bytes:
    made = b"".join(bytes([0xFF, m]) + struct.pack(">H", len(c) + 2) + c for m, c in parts)
    first = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:first] + made + jpeg[first:]


def source(folder: Path, kind: str, mode: str, orientation: int) -> Path:
    """A photo of a format and colour mode with all the metadata that the format has room for."""
    image = Image.fromarray(PIXELS).convert(mode)
    if mode[-1] == "A":
        image.putalpha(Image.fromarray(ALPHA))
    path, exif = folder / f"in.{kind}", exif_block(orientation)
    profile = {} if mode in ("L", "LA") else {"icc_profile": SRGB}
    if kind == "tif":
        tags = {270: "東京 am Morgen".encode(), 315: "Jürgen Müller".encode(), 274: orientation, 700: XMP, 33723: IIM}
        image.save(path, tiffinfo=tags, **profile)
    elif kind == "gif":
        image.save(path, comment="von Jürgen".encode())
    elif kind == "bmp":
        image.save(path)
    else:
        lossless = {"lossless": True} if kind == "webp" else {}
        image.save(path, exif=exif, **({} if kind in ("png", "jpg") else {"xmp": XMP}), **profile, **lossless)
    data = path.read_bytes()
    if kind == "jpg":
        more = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), (0xED, b"Photoshop 3.0\0" + IPTC)]
        path.write_bytes(with_segments(data, [*more, (0xFE, "von Jürgen".encode())]))
    elif kind == "png":
        extra = [*TEXTS, *(row for row in COLOUR if row[0] != b"sBIT" or mode == "RGB")]
        extra.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
        path.write_bytes(data[:33] + b"".join(chunk(*row) for row in extra) + data[33:])
    return path


MATRIX = [
    *itertools.product(["jpg"], ["L", "RGB", "CMYK"], [1, 6]),
    *itertools.product(["png"], ["L", "LA", "P", "RGB", "RGBA"], [1, 3, 8]),
    *itertools.product(["webp"], ["RGB", "RGBA"], [1, 5]),
    *itertools.product(["tif"], ["L", "RGB", "RGBA", "CMYK"], [1, 7]),
    *itertools.product(["gif"], ["P"], [1]),
    *itertools.product(["bmp"], ["RGB", "L"], [1]),
]


@pytest.mark.parametrize("target", [".png", ".jpg"])
@pytest.mark.parametrize(("kind", "mode", "orientation"), MATRIX)
def test_all_is_carried_or_named(tmp_path: Path, kind: str, mode: str, orientation: int, target: str) -> None:
    path = source(tmp_path, kind, mode, orientation)
    photo = load_photo(path)
    out = tmp_path / f"out{target}"
    save_photo(out, photo.pixels, like=photo)
    named = " | ".join(dropped_metadata(photo, target))
    raw = out.read_bytes()
    with Image.open(out) as image:
        image.load()
        info, written = image.info, image
    if kind not in ("gif", "bmp"):
        exif = info["exif"]
        expected = exif_block(1)
        if orientation >= 5:  # the sides have changed places, and stand in an entry of 4 bytes
            expected = expected.replace(
                struct.pack("<HHIHH", 0xA002, 3, 1, 9, 0), struct.pack("<HHII", 0xA002, 4, 1, 6)
            )
            expected = expected.replace(
                struct.pack("<HHIHH", 0xA003, 3, 1, 6, 0), struct.pack("<HHII", 0xA003, 4, 1, 9)
            )
        if kind != "tif":
            assert exif == expected
        for text in ("Jürgen Müller", "東京 am Morgen"):
            assert text.encode() in exif
        assert written.getexif().get(0x0112, 1) == 1
        assert info["xmp"] == XMP.replace(b'tiff:Orientation="6"', b'tiff:Orientation="1"')
        assert ("icc_profile" in info) is (mode not in ("L", "LA"))
    if kind in ("jpg", "tif"):
        if target == ".jpg":
            assert (0xED, b"Photoshop 3.0\0" + IPTC) in segments(raw)
        else:
            text = info["Raw profile type iptc"]
            assert bytes.fromhex("".join(text.split("\n")[3:])) == IPTC
    if kind in ("jpg", "gif"):
        assert (info["comment"].decode() if target == ".jpg" else info["Comment"]) == "von Jürgen"
    if kind == "png":
        for row in [*TEXTS, *(r for r in COLOUR if r[0] != b"sBIT" or mode == "RGB")]:
            if target == ".png":
                assert row in chunks(raw)
            else:
                keyword = row[1].partition(b"\0")[0].decode("latin-1")
                assert (repr(keyword) if row in TEXTS else row[0].decode()) in named
    assert ("transparency" in named) is (mode in ("LA", "RGBA") and target == ".jpg")
    assert ("CMYK becomes RGB" in named) is (mode == "CMYK")
    again = load_photo(out)
    assert again.orientation == 1
    if target == ".png":
        np.testing.assert_array_equal(again.pixels, photo.pixels)
        assert (again.metadata.exif, again.metadata.xmp) == (photo.metadata.exif, photo.metadata.xmp)


def test_a_plain_photo_loses_nothing(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg")
    for name, suffix in itertools.product(("in.png", "in.jpg"), (".png", ".jpg")):
        assert dropped_metadata(load_photo(tmp_path / name), suffix) == ()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_only_what_is_wrong_changes_in_exif(tmp_path: Path, order: str, orientation: int) -> None:
    note = b"NOTE" + preview() + b"tail"
    block = exif_block(orientation, order, preview()[:-2] + b"\xff\xd9", note)
    Image.fromarray(PIXELS).save(tmp_path / "in.jpg", exif=block)
    photo = load_photo(tmp_path / "in.jpg")
    for encode in (encode_png, encode_jpeg):
        with Image.open(io.BytesIO(encode(photo.pixels, like=photo))) as image:
            exif = image.info["exif"]
        assert block.count(preview()) == 2
        assert preview()[:30] not in exif
        assert exif.find(b"NOTE") == block.find(b"NOTE")
        assert exif.find(b"tail") == block.find(b"tail")
        assert len(exif) < len(block)
        assert exif.count("Jürgen Müller".encode()) == 1
    for suffix in (".png", ".jpg"):
        assert dropped_metadata(photo, suffix) == ("EXIF thumbnail", "maker's preview")


def test_thumbnails_of_other_programs_go(tmp_path: Path) -> None:
    resources = (
        b"8BIM\x04\x0c\0\0" + struct.pack(">I", len(preview())) + preview() + b"\0" * (len(preview()) % 2) + IPTC
    )
    xmp = b"<x:xmpmeta><xmpGImg:image>" + b"QUJD" * 30 + b"</xmpGImg:image></x:xmpmeta>"
    parts = [(0xED, b"Photoshop 3.0\0" + resources), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)]
    (tmp_path / "in.jpg").write_bytes(with_segments(preview(), parts))
    photo = load_photo(tmp_path / "in.jpg")
    data = encode_jpeg(photo.pixels, like=photo)
    assert (0xED, b"Photoshop 3.0\0" + IPTC) in segments(data)
    assert b"QUJD" not in data
    assert dropped_metadata(photo, ".jpg") == ("XMP thumbnail", "Photoshop thumbnail")


def test_gain_maps_films_and_credentials_are_named(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta><rdf:Description hdrgm:Version="1.0" GCamera:MotionPhoto="1" dc:x="y"/></x:xmpmeta>'
    parts = [
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
        (0xEB, b"JP\0\0\0\0\0\1\0\0\0\x1ejumb"),
        (0xEC, b"Ducky\0\1"),
    ]
    (tmp_path / "in.jpg").write_bytes(with_segments(preview(), parts) + preview() + b"\0\0\0\x18ftypmp42")
    photo = load_photo(tmp_path / "in.jpg")
    named = " | ".join(dropped_metadata(photo, ".png"))
    for name in ("gain map", "film", "content credentials", "'Ducky'"):
        assert name in named
    written = encode_jpeg(photo.pixels, like=photo)
    assert b"hdrgm:Version" not in written
    assert b"MotionPhoto" not in written
    assert b'dc:x="y"' in written


@pytest.mark.parametrize(
    "form", ["<tiff:Orientation>{}</tiff:Orientation>", "tiff:Orientation='{}'", 't:Orientation = "{}"']
)
def test_no_form_of_orientation_in_xmp_turns_the_photo_again(tmp_path: Path, form: str) -> None:
    xmp = '<a xmlns:t="http://ns.adobe.com/tiff/1.0/"> ' + form + "</a>"
    Image.fromarray(PIXELS).save(tmp_path / "in.webp", lossless=True, xmp=xmp.format(6).encode())
    photo = load_photo(tmp_path / "in.webp")
    assert photo.metadata.xmp == xmp.format(1).encode()


@pytest.mark.parametrize("length", [70_000, 1_200_000])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_large_profiles(tmp_path: Path, kind: str, length: int) -> None:
    profile = SRGB + RNG.bytes(length - len(SRGB))
    Image.fromarray(PIXELS).save(tmp_path / f"in.{kind}", icc_profile=profile)
    photo = load_photo(tmp_path / f"in.{kind}")
    assert photo.icc == profile
    with Image.open(io.BytesIO(encode_jpeg(photo.pixels, like=photo))) as image:
        assert image.info["icc_profile"] == profile
    with Image.open(io.BytesIO(encode_png(photo.pixels, like=photo))) as image:
        assert image.info.get("icc_profile") == (profile if length < PngImagePlugin.MAX_TEXT_CHUNK else None)
    assert ("1,200,000" in " ".join(dropped_metadata(photo, ".png"))) is (length == 1_200_000)


def test_exif_and_xmp_beyond_a_segment_are_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    Image.fromarray(PIXELS).save(tmp_path / "in.webp", exif=exif, xmp=b"<x>" + b"y" * 70_000 + b"</x>")
    photo = load_photo(tmp_path / "in.webp")
    assert dropped_metadata(photo, ".png") == ()
    named = dropped_metadata(photo, ".jpg")
    assert [name.split()[0] for name in named] == ["EXIF", "XMP"]
    load_photo_of(encode_jpeg(photo.pixels, like=photo), tmp_path)


def load_photo_of(data: bytes, folder: Path) -> Photo:
    (folder / "again").write_bytes(data)
    return load_photo(folder / "again")


@pytest.mark.parametrize(("orientation", "expected"), [(1, (300, 150)), (6, (150, 300))])
@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("target", [".jpg", ".png"])
def test_density_stays(tmp_path: Path, kind: str, target: str, orientation: int, expected: tuple[int, int]) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"in.{kind}", dpi=(300, 150), exif=exif_block(orientation))
    photo = load_photo(tmp_path / f"in.{kind}")
    save_photo(tmp_path / f"out{target}", photo.pixels, like=photo)
    with Image.open(tmp_path / f"out{target}") as image:
        assert image.info["dpi"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("unit", [2, 3])
def test_density_of_a_tiff_stays_and_none_is_made_up(tmp_path: Path, unit: int) -> None:
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "in.tif", tiffinfo={282: 118.0, 283: 59.0, 296: unit, 274: 6})
    image.save(tmp_path / "without.tif")
    factor = {2: 1, 3: 2.54}[unit]
    for target in (".png", ".jpg"):
        for name, expected in (("in", (59 * factor, 118 * factor)), ("without", None)):
            photo = load_photo(tmp_path / f"{name}.tif")
            save_photo(tmp_path / f"out{target}", photo.pixels, like=photo)
            with Image.open(tmp_path / f"out{target}") as written:
                found = written.info.get("dpi")
            assert found == (None if expected is None else pytest.approx(expected, abs=0.6))


@pytest.mark.parametrize(
    "row",
    [(b"tEXt", b"Comment\0von J\xfcrgen"), (b"tEXt", "Comment\0von Jürgen".encode())],
    ids=["Latin-1", "UTF-8"],
)
def test_a_comment_keeps_its_letters_in_a_jpeg(tmp_path: Path, row: tuple[bytes, bytes]) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    (tmp_path / "in.png").write_bytes(data[:33] + chunk(*row) + data[33:])
    photo = load_photo(tmp_path / "in.png")
    assert (0xFE, "von Jürgen".encode()) in segments(encode_jpeg(photo.pixels, like=photo))


def test_coefficients_carry_what_pixels_do(tmp_path: Path) -> None:
    photo = load_photo(source(tmp_path, "jpg", "RGB", 6))
    whole = encode_jpeg(photo.pixels, 90, photo)
    made = EncodedImage.from_coefficients(JpegCoefficients.from_bytes(whole), photo, encoding=Jpeg(90))
    assert made.data == whole


def test_chunks_stand_where_png_allows_them(tmp_path: Path) -> None:
    photo = load_photo(source(tmp_path, "png", "RGB", 1))
    kinds = [kind for kind, _ in chunks(encode_png(photo.pixels, like=photo))]
    pixels = kinds.index(b"IDAT")
    for kind in (b"gAMA", b"cHRM", b"cICP", b"sBIT", b"iCCP", b"eXIf"):
        assert kinds.index(kind) < pixels
        assert kinds.count(kind) == 1
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")


def test_a_chunk_that_must_not_be_copied_is_named(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    after = data[:-12] + chunk(b"caBX", b"signature") + chunk(b"prIv", b"kept") + data[-12:]
    (tmp_path / "in.png").write_bytes(after)
    photo = load_photo(tmp_path / "in.png")
    written = chunks(encode_png(photo.pixels, like=photo))
    assert written[-2] == (b"prIv", b"kept")
    assert b"caBX" not in [kind for kind, _ in written]
    assert dropped_metadata(photo, ".png") == ("PNG caBX",)


def test_texts_that_unpack_to_much_are_left_out_and_named(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    data = (tmp_path / "in.png").read_bytes()
    packed = zlib.compress(bytes(3_000_000))
    traps = [(b"zTXt", b"Trap\0\0" + packed), (b"iTXt", b"Trip\0\1\0\0\0" + packed), (b"iCCP", b"ICC\0\0" + packed * 9)]
    for place in (33, len(data) - 12):
        (tmp_path / "in.png").write_bytes(data[:place] + b"".join(chunk(*row) for row in traps) + data[place:])
        photo = load_photo(tmp_path / "in.png")
        np.testing.assert_array_equal(photo.pixels, PIXELS)
        named = " | ".join(dropped_metadata(photo, ".png"))
        assert "'Trap'" in named
        assert "'Trip'" in named
        with Image.open(io.BytesIO(encode_png(photo.pixels, like=photo))) as image:
            image.load()


@pytest.mark.parametrize("seed", range(40))
def test_damaged_exif_is_carried_or_named_and_takes_no_time(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = bytearray(exif_block(6, "<>"[seed % 2], preview(), b"NOTE" + preview()))
    for place in rng.integers(14, len(block), 6 if seed % 3 else 60):
        block[place] = rng.integers(256)
    Image.fromarray(PIXELS).save(tmp_path / "in.webp", lossless=True, exif=bytes(block))
    photo = load_photo(tmp_path / "in.webp")
    if photo.exif is None:
        assert dropped_metadata(photo, ".png") == ("damaged EXIF",)
    else:
        assert len(photo.exif) <= len(block)
        again = load_photo_of(encode_png(photo.pixels, photo), tmp_path)
        assert (again.orientation, again.exif) == (1, photo.exif)


def test_overlapping_directories_take_no_time(tmp_path: Path) -> None:
    rows = b"".join(struct.pack("<HHII", 700 + k % 50, 7, 60_000, 8) for k in range(4000))
    first = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 4000) + rows + struct.pack("<I", 10)
    Image.fromarray(PIXELS).save(tmp_path / "in.webp", lossless=True, exif=b"Exif\0\0" + first)
    start = time.process_time()
    load_photo(tmp_path / "in.webp")
    assert time.process_time() - start < 5


def test_text_of_an_avif_survives_its_orientation(tmp_path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    text = "Jürgen Müller".encode()
    block = exif_block(6).replace(text, b"J" * len(text))
    Image.fromarray(PIXELS).resize((64, 48)).save(tmp_path / "in.avif", exif=block)
    data = (tmp_path / "in.avif").read_bytes()
    assert data.count(b"J" * len(text)) == 1  # Pillow writes ASCII alone
    (tmp_path / "in.avif").write_bytes(data.replace(b"J" * len(text), text))
    assert text in (load_photo(tmp_path / "in.avif").exif or b"")
