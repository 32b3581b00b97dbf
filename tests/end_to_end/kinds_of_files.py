"""Every kind of photo file that people have, made of two of scikit-image's photos: name, and how its bytes are made.

PNGs that Pillow cannot write (16 bits a channel, interlaced) are written here by the specification, TIFFs by tifffile.
"""

from __future__ import annotations

import io
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageDraw, features
from skimage import data

__all__ = ["JPEGS", "NAMED", "OTHERS", "REFUSED", "SIZES", "write"]

Make = Callable[[Image.Image], bytes]

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
XMP = '<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="1"><dc:creator>Jürgen 東京</dc:creator>'
XMP_BYTES = f"{XMP}</x:xmpmeta>".encode()
IIM = b"\x1c\x02\x74\0\x0b(c) J\xc3\xbcrgen"
IPTC = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IIM)) + IIM + bytes(len(IIM) % 2)
XMP_PART, IPTC_PART = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP_BYTES), (0xED, b"Photoshop 3.0\0" + IPTC)
TEXTS = [
    (b"tEXt", b"Copyright\0\xa9 N.N."),
    (b"zTXt", b"Author\0\0" + zlib.compress(b"J\xfcrgen")),
    (b"iTXt", "Title\0\0\0de\0Titel\0東京".encode()),
]
P3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def exif(orientation: int | None = None, *, thumbnail: bool = False) -> bytes:
    """Texts, UTF-8 ones too, a date in the second directory, a position in the third."""
    found = Image.Exif()
    if orientation is not None:
        found[0x0112] = orientation
    found[0x010E], found[0x8298] = "a cup of coffee", "J. Doe"
    found.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    found.get_ifd(0x8769)[0x927C] = b"MAKER\0\1\2"
    found.get_ifd(0x8825).update({1: "N", 2: (35.0, 40.0, 30.5)})
    block = found.tobytes().replace(b"a cup of coffee", "Tasse à café".encode() + b"\0" * 1)
    if thumbnail:  # a directory behind the first one, and the picture at the end
        small = encoded(Image.new("RGB", (16, 16), "red"), "JPEG")
        body, order = bytearray(block[6:]), "<" if block[6:8] == b"II" else ">"
        first = struct.unpack_from(order + "I", body, 4)[0]
        pointer = first + 2 + 12 * struct.unpack_from(order + "H", body, first)[0]
        body += bytes(len(body) % 2)
        struct.pack_into(order + "I", body, pointer, len(body))
        rows = [
            (0x0103, 3, 1, 6 if order == "<" else 6 << 16),
            (0x0201, 4, 1, len(body) + 42),
            (0x0202, 4, 1, len(small)),
        ]
        body += struct.pack(order + "H", 3) + b"".join(struct.pack(order + "HHII", *row) for row in rows) + bytes(4)
        block = block[:6] + bytes(body) + small
    return block


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(
    image: Image.Image,
    mode: str = "RGB",
    parts: list[tuple[int, bytes]] | None = None,
    tail: bytes = b"",
    **options: Any,
) -> bytes:
    """A JPEG with further segments after its first one, and bytes behind its end."""
    found = encoded(image.convert(mode), "JPEG", **options)
    made = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(c) + 2) + c for marker, c in parts or [])
    first = 4 + int.from_bytes(found[4:6], "big")
    return found[:first] + made + found[first:] + tail


def turned_sampling(image: Image.Image) -> bytes:
    """A JPEG of 4:4:0: a 4:2:2 one with columns and rows of its blocks swapped, so that it is turned by 90 degrees."""
    import tempfile

    import jpeglib

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        image.convert("RGB").transpose(Image.Transpose.TRANSPOSE).save(path, subsampling=1)
        found = jpeglib.read_dct(str(path))
        planes = [np.ascontiguousarray(plane.transpose(1, 0, 3, 2)) for plane in (found.Y, found.Cb, found.Cr)]
        made = jpeglib.from_dct(*planes, qt=found.qt.transpose(0, 2, 1).copy(), quant_tbl_no=found.quant_tbl_no)
        made.width, made.height = image.size
        made.samp_factor = [[2, 1], [1, 1], [1, 1]]
        made.write_dct(str(path))
        return path.read_bytes()


def several(image: Image.Image, kind: str) -> bytes:
    return encoded(image, kind, save_all=True, append_images=[image.rotate(180)])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    image: Image.Image, mode: str = "RGB", chunks: list[tuple[bytes, bytes]] | None = None, **options: Any
) -> bytes:
    """A PNG with further chunks behind its header."""
    found = encoded(shaped(image, mode), "PNG", **options)
    return found[:33] + b"".join(chunk(*row) for row in chunks or []) + found[33:]


def shaped(image: Image.Image, mode: str) -> Image.Image:
    """The picture in a colour mode; transparency is a disc that fades out, wholly transparent at the corners."""
    if mode in ("LA", "RGBA"):
        y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
        image = image.convert(mode)
        image.putalpha(Image.fromarray((255 * (1.6 - 1.3 * (x * x + y * y))).clip(0, 255).astype(np.uint8)))
        return image
    if mode == "P":
        return image.convert("P", palette=Image.Palette.ADAPTIVE)
    return image.convert(mode)


def raw_png(image: Image.Image, *, colour: int, depth: int, interlaced: bool = False) -> bytes:
    """A PNG by the specification: colour types 0 and 2 (grey, RGB), 8 or 16 bits, Adam7."""
    levels = np.asarray(image.convert("L" if colour == 0 else "RGB"))
    levels = levels.reshape(*levels.shape[:2], -1)
    if depth == 16:
        levels = (levels.astype(np.uint16) * 256 + levels[::-1]).astype(">u2")
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [levels[a::c, b::d] for a, b, c, d in steps] if interlaced else [levels]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", *image.size, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def webp(image: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(shaped(image, mode), "WEBP", **options)


def tiff(image: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(shaped(image, mode), "TIFF", **options)


def array_tiff(image: Image.Image, mode: str = "RGB", kind: str = "u1", **options: Any) -> bytes:
    levels = np.asarray(shaped(image, mode))
    levels = (levels.astype(np.uint16) * 257 - (levels > 0)).astype(kind) if kind == "u2" else levels
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, metadata=None, **options)
    return buffer.getvalue()


def planar_tiff(image: Image.Image) -> bytes:
    """Colours one after the other instead of side by side."""
    buffer = io.BytesIO()
    planes = np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    tifffile.imwrite(buffer, planes, metadata=None, photometric="rgb", planarconfig="separate")
    return buffer.getvalue()


def gif(image: Image.Image, **options: Any) -> bytes:
    return encoded(shaped(image, "P"), "GIF", **options)


def bmp(image: Image.Image, mode: str = "RGB") -> bytes:
    return encoded(shaped(image, mode), "BMP")


def heic(image: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    pillow_heif.from_pillow(shaped(image, mode)).save(buffer, quality=80, **options)
    return buffer.getvalue()


def avif(image: Image.Image, mode: str = "RGB", **options: Any) -> bytes:
    return encoded(shaped(image, mode), "AVIF", speed=10, **options)


def cropped(make: Make, width: int, height: int) -> Make:
    """The same of a picture whose sides are no multiples of a JPEG's blocks."""
    return lambda image: make(image.crop((0, 0, width, height)))


def resized(make: Make, width: int, height: int) -> Make:
    return lambda image: make(image.resize((width, height)))


def uniform(make: Make, colour: str) -> Make:
    return lambda image: make(Image.new("RGB", image.size, colour))


def shape(image: Image.Image) -> Image.Image:
    """A drawing: few colours, mirror-symmetric."""
    drawn = Image.new("RGB", image.size, "white")
    ImageDraw.Draw(drawn).ellipse((30, 20, image.width - 31, image.height - 21), fill="navy")
    return drawn


GAIN_MAP_XMP = (
    0xE1,
    b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description hdrgm:Version="1.0" dc:x="y"/></x:xmpmeta>',
)
SMALL = encoded(Image.new("L", (16, 16)), "JPEG")
TIFF_TAGS = {270: "Tasse à café", 315: "J. Doe", 700: XMP_BYTES, 33723: IIM}
STEPS = [[k + 5 for k in range(64)], [2 * k + 7 for k in range(64)]]

JPEGS: dict[str, Make] = {
    "j 444.jpg": partial(jpeg, subsampling=0, quality=95),
    "j 422.jpg": partial(jpeg, subsampling=1),
    "j 420.jpg": partial(jpeg, subsampling=2, quality=60),
    "j 440.jpg": turned_sampling,
    "j grey.jpg": partial(jpeg, mode="L"),
    "j grey-profile.jpg": partial(jpeg, mode="L", icc_profile=GREY_PROFILE),
    "j cmyk.jpg": partial(jpeg, mode="CMYK"),
    "j stored-as-rgb.jpg": partial(jpeg, keep_rgb=True),
    "j progressive.jpg": partial(jpeg, progressive=True),
    "j progressive-grey.jpg": partial(jpeg, mode="L", progressive=True),
    "j restarts.jpg": partial(jpeg, restart_marker_rows=1),
    "j own-tables.jpg": partial(jpeg, qtables=STEPS),
    "j q1.jpg": partial(jpeg, quality=1),
    "j q100.jpg": partial(jpeg, quality=100, subsampling=0),
    "j no-end.jpg": lambda image: jpeg(image)[:-2],
    "j no-end-progressive.jpg": lambda image: jpeg(image, progressive=True)[:-2],
    "j zeros-behind.jpg": partial(jpeg, tail=bytes(500)),
    "j text-behind.jpg": partial(jpeg, tail=b"some camera writes this"),
    **{f"j turned-{k}.jpg": partial(jpeg, exif=exif(k), subsampling=2 * (k % 2)) for k in range(1, 9)},
    "j turned-422.jpg": partial(jpeg, exif=exif(6), subsampling=1),
    **{f"j turned-odd-{k}.jpg": cropped(partial(jpeg, exif=exif(k)), 117, 91) for k in (2, 3, 6, 8)},
    "j turned-grey.jpg": partial(jpeg, mode="L", exif=exif(5)),
    "j turned-9.jpg": partial(jpeg, exif=exif(9)),
    "j exif.jpg": partial(jpeg, exif=exif()),
    "j thumbnail.jpg": partial(jpeg, exif=exif(6, thumbnail=True)),
    "j broken-exif.jpg": partial(jpeg, parts=[(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")]),
    "j icc.jpg": partial(jpeg, icc_profile=SRGB),
    "j cmyk-icc.jpg": partial(jpeg, mode="CMYK", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:]),
    "j xmp.jpg": partial(jpeg, parts=[XMP_PART]),
    "j iptc.jpg": partial(jpeg, parts=[IPTC_PART]),
    "j comment.jpg": partial(jpeg, comment="von Jürgen".encode()),
    "j dpi.jpg": partial(jpeg, dpi=(300, 150)),
    "j dpi-turned.jpg": partial(jpeg, dpi=(300, 150), exif=exif(8)),
    "j all.jpg": partial(jpeg, parts=[XMP_PART, IPTC_PART], exif=exif(1), icc_profile=SRGB, comment=b"c", dpi=(72, 72)),
    "j ducky.jpg": partial(jpeg, parts=[(0xEC, b"Ducky\0\1\0\4\0\0\0<\0\0")]),
    "j gain-map.jpg": partial(jpeg, parts=[GAIN_MAP_XMP], tail=SMALL),
    "j film.jpg": partial(jpeg, tail=b"\0\0\0\x18ftypmp42" + bytes(80)),
    "j two.mpo": partial(several, kind="MPO"),
    "j white.jpg": uniform(jpeg, "white"),
    "j drawing.jpg": lambda image: jpeg(shape(image)),
}
COLOUR_CHUNKS = {"gama": (b"gAMA", struct.pack(">I", 100_000)), "chrm": (b"cHRM", P3), "srgb": (b"sRGB", b"\0")}
COLOUR_CHUNKS |= {"cicp": (b"cICP", bytes([9, 16, 0, 1])), "sbit": (b"sBIT", b"\5\6\5")}
COLOUR_CHUNKS |= {
    "bkgd": (b"bKGD", bytes(6)),
    "time": (b"tIME", b"\x07\xe8\5\6\7\x08\x09"),
    "own": (b"teSt", b"copy me"),
}
OTHERS: dict[str, Make] = {
    **{f"p {mode}.png": partial(png, mode=mode) for mode in ("RGB", "RGBA", "LA", "L", "P", "1")},
    "p palette-transparent.png": partial(png, mode="P", transparency=3),
    "p palette-half.png": partial(png, mode="P", transparency=bytes(range(0, 250, 10))),
    "p rgb-key.png": partial(png, transparency=(0, 0, 0)),
    "p grey-key.png": partial(png, mode="L", transparency=7),
    "p grey-16.png": partial(raw_png, colour=0, depth=16),
    "p rgb-16.png": partial(raw_png, colour=2, depth=16),
    "p interlaced.png": partial(raw_png, colour=2, depth=8, interlaced=True),
    "p interlaced-grey-16.png": partial(raw_png, colour=0, depth=16, interlaced=True),
    **{f"p {name}.png": partial(png, chunks=[row]) for name, row in COLOUR_CHUNKS.items()},
    "p icc.png": partial(png, icc_profile=SRGB),
    "p grey-icc.png": partial(png, mode="L", icc_profile=GREY_PROFILE),
    "p texts.png": partial(png, chunks=TEXTS),
    "p comment.png": partial(png, chunks=[(b"tEXt", b"Comment\0von J\xfcrgen")]),
    **{f"p turned-{k}.png": partial(png, exif=exif(k)) for k in (1, 3, 6, 8)},
    "p turned-transparent.png": partial(png, mode="RGBA", exif=exif(5)),
    "p xmp.png": partial(png, chunks=[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_BYTES)]),
    "p dpi.png": partial(png, dpi=(300, 150)),
    "p signed.png": lambda image: png(image)[:-12] + chunk(b"caBX", b"signature") + png(image)[-12:],
    "p grey.png": uniform(png, "grey"),
    "p drawing.png": lambda image: png(shape(image)),
    "w lossy.webp": webp,
    "w lossless.webp": partial(webp, lossless=True),
    "w alpha.webp": partial(webp, mode="RGBA"),
    "w all.webp": partial(webp, exif=exif(1), icc_profile=SRGB, xmp=XMP_BYTES),
    **{f"w turned-{k}.webp": partial(webp, exif=exif(k), lossless=True) for k in (3, 6)},
    "t plain.tif": tiff,
    "t lzw.tif": partial(tiff, compression="tiff_lzw"),
    "t deflate.tiff": partial(tiff, compression="tiff_adobe_deflate"),
    "t jpeg.tif": partial(tiff, compression="jpeg"),
    **{f"t {mode}.tif": partial(tiff, mode=mode) for mode in ("L", "1", "P", "RGBA", "LA", "CMYK")},
    "t tags.tif": partial(tiff, tiffinfo=TIFF_TAGS, icc_profile=SRGB, dpi=(300, 300)),
    "t turned-6.tif": partial(tiff, tiffinfo=TIFF_TAGS | {274: 6}),
    "t tiles.tif": partial(array_tiff, tile=(32, 48), compression="zlib", predictor=True),
    "t strips.tif": partial(array_tiff, rowsperstrip=7),
    "t planes.tif": planar_tiff,
    "t white-8.tif": partial(array_tiff, mode="L", photometric="miniswhite"),
    "t white-16.tif": partial(array_tiff, mode="L", kind="u2", photometric="miniswhite"),
    "t grey-16.tif": partial(array_tiff, mode="L", kind="u2", byteorder=">"),
    "t rgb-16.tif": partial(array_tiff, kind="u2", photometric="rgb"),
    "b rgb.bmp": bmp,
    "b grey.bmp": partial(bmp, mode="L"),
    "b palette.bmp": partial(bmp, mode="P"),
    "g one.gif": gif,
    "g transparent.gif": partial(gif, transparency=3),
    "g comment.gif": partial(gif, comment=b"by N.N."),
}
if features.check("avif"):
    OTHERS |= {"a plain.avif": avif, "a alpha.avif": partial(avif, mode="RGBA")}
    OTHERS |= {"a all.avif": partial(avif, exif=exif(6), icc_profile=SRGB, xmp=XMP_BYTES)}
try:
    import pillow_heif  # noqa: F401 - only asked for
except ImportError:
    pass
else:
    OTHERS |= {"h plain.heic": heic, "h alpha.heic": partial(heic, mode="RGBA")}
    OTHERS |= {"h all.heic": partial(heic, exif=exif(1), xmp=XMP_BYTES)}


def named(name: str) -> Make:
    """A photo under an odd name; it holds the name, so that no two are the same file."""
    if name.lower().endswith(("jpg", "jpeg", "jpe", "jfif")) or name == "wrong jpeg.png":
        return partial(jpeg, comment=repr(name).encode())
    if name == "wrong webp.jpg":
        return webp
    return partial(png, chunks=[(b"tEXt", b"Name\0" + repr(name).encode())])


ODD_NAMES = [
    *("with space.jpg", " leading.jpg", "a'quote\".png", "größe 図.jpg", "\N{CAMERA}\N{SPARKLES}.png"),
    *("-dash.png", "--png.jpg", "line\nbreak.png", "tab\t.jpg", "[bold]x.png", "$HOME;`id`.png", "100%.jpg"),
    *(unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")),
    *("x" * 236 + ".jpg", "長" * 80 + ".png", "IMG_1.JPG", "IMG_1.jpg", "UPPER.PNG", "Mixed.JpEg", "b.jpe", "b.jfif"),
    *(
        "wrong jpeg.png",
        "wrong webp.jpg",
        "a.jpg",
        "a.png",
        "a.figure.jpg",
        "a.failed.png",
        "a.failed.jpg",
        "a.json.png",
    ),
    *("two..dots.jpg", "con.png", "bytes\udcff.png", "null.png"),
]
NAMED: dict[str, Make] = {name: named(name) for name in ODD_NAMES}

REFUSED: dict[str, tuple[Make, str]] = {
    "r empty.jpg": (lambda image: b"", "empty (0 bytes)"),
    "r text.jpg": (lambda image: b"this is no photo", "not an image that is read here"),
    "r html.png": (lambda image: b"<!DOCTYPE html><html><body>404</body></html>", "not an image that is read here"),
    "r half.jpg": (lambda image: jpeg(image)[:1500], "truncated or damaged"),
    "r half.png": (lambda image: png(image)[:9000], "truncated or damaged"),
    "r half.webp": (lambda image: webp(image)[:900], "damaged"),
    "r header.jpg": (lambda image: b"\xff\xd8\xff\xe0", "damaged"),
    "r animated.gif": (partial(several, kind="GIF"), "more than one frame"),
    "r animated.webp": (partial(several, kind="WEBP"), "more than one frame"),
    "r pages.tif": (partial(several, kind="TIFF"), "more than one frame"),
    "r float.tif": (lambda image: tiff(image.convert("F"), "F"), "floating-point"),
}
_SIDES = [(10, 10), (1, 1), (1, 200), (200, 1), (2000, 16), (37, 53), (8, 8)]
SIZES: dict[str, Make] = {
    f"{w}x{h}.{kind}": resized(make, w, h) for w, h in _SIDES for kind, make in (("jpg", jpeg), ("png", png))
}


def pictures() -> Iterator[Image.Image]:
    """Two photos, 128x96, in turn, each time a little further to the right."""
    photos = [Image.fromarray(data.astronaut()), Image.fromarray(data.coffee())]
    k = 0
    while True:
        photo = photos[k % 2]
        left = k % 16 * 4
        yield photo.crop((left, 0, left + 448, 336)).resize((128, 96))
        k += 1


def write(folder: Path, kinds: dict[str, Make]) -> None:
    """Write files of kinds into a new folder."""
    folder.mkdir(parents=True)
    for (name, make), picture in zip(kinds.items(), pictures(), strict=False):
        (folder / name).write_bytes(make(picture))
