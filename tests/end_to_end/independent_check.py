"""Checks what `art-crop attack` claims of the files that it wrote, by Pillow and the cropper, in a process of its own.

Run as `python independent_check.py SOURCES RESULTS X0,Y0,X1,Y1 RATIO_OR_peak`; prints a line for every claim that does
not hold. Nothing of the package is used but the model's own answer about a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import struct
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps

import art_crop

ImageFile.LOAD_TRUNCATED_IMAGES = True  # some lack their end marker
with contextlib.suppress(ImportError):
    from pillow_heif import register_heif_opener

    register_heif_opener()
GAZE = art_crop.load_model("gaze-lite")
CARRIED = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"sBIT", b"bKGD", b"tIME", b"teSt", b"caBX")
# Where the bytes of a TIFF lie; pixel sizes and orientation, which change; offsets, of which Pillow tells.
LAYOUT = {
    *range(254, 260),
    *range(262, 267),
    273,
    274,
    *range(277, 282),
    284,
    317,
    *range(320, 326),
    338,
    339,
    347,
    512,
}
LAYOUT |= {529, 530, 531, 532, 700, 33723, 34675, 0x8769, 0x8825, 0xA002, 0xA003}


def opened(data: bytes) -> Image.Image:
    """The picture, loaded and upright; what was stored stands in its `info`."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def upright(data: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB and transparency as people see them."""
    image = opened(data)
    photometric = getattr(image, "tag_v2", {}).get(262)
    image = ImageOps.exif_transpose(image)
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    if image.mode.startswith("I"):
        high = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat((255 - high if photometric == 0 else high)[..., None], 3, 2), alpha
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB")), alpha


def jpeg_parts(data: bytes) -> list[tuple[int, bytes]]:
    """Application segments and comments, by the standard."""
    place, found = 2, []
    while data[:2] == b"\xff\xd8" and data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        found.append((data[place + 1], data[place + 4 : place + 2 + length]))
        place += 2 + length
    return found


def png_parts(data: bytes) -> dict[bytes, bytes]:
    place, found = 8, {}
    while data[:4] == b"\x89PNG" and place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        found[kind] = data[place + 8 : place + 8 + length]
        place += 12 + length
    return found


def exif_values(image: Image.Image) -> dict[Any, Any]:
    block = image.getexif()
    values = {(0, tag): value for tag, value in block.items() if tag not in LAYOUT}
    for directory in (0x8769, 0x8825):
        inner = block.get_ifd(directory).items()
        values |= {(directory, tag): value for tag, value in inner if tag not in LAYOUT}
    return {key: repr(value).replace("\\x00", "").strip() for key, value in values.items()}


def iim(image: Image.Image, data: bytes) -> bytes | None:
    """IPTC's records, wherever they are."""
    texts = getattr(image, "text", {})
    if "Raw profile type iptc" in texts:
        data = bytes.fromhex("".join(texts["Raw profile type iptc"].split("\n")[3:]))
    elif hasattr(image, "tag_v2"):
        found = image.tag_v2.get(33723)
        return None if found is None else bytes(found)
    elif not any(marker == 0xED for marker, _ in jpeg_parts(data)):
        return None
    start = data.find(b"8BIM\x04\x04\0\0") + 8
    return data[start + 4 : start + 4 + int.from_bytes(data[start : start + 4], "big")] if start >= 8 else None


def comment(image: Image.Image) -> str | None:
    found = image.info.get("comment", getattr(image, "text", {}).get("Comment"))
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def metadata(data: bytes) -> dict[str, Any]:
    """Blocks by the word by which a record must name a missing one."""
    image = opened(data)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or getattr(image, "tag_v2", {}).get(700)
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    dpi = image.info.get("dpi") if image.info.get("jfif_unit", 1) else None
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    found: dict[str, Any] = {
        "EXIF": exif_values(image) or None,
        "ICC profile": image.info.get("icc_profile"),
        "XMP": xmp and re.sub(rb'tiff:Orientation="\d"', b"", xmp).rstrip(b"\0"),
        "IPTC": iim(image, data),
        "comment": comment(image),
        "density": None if dpi in (None, (1, 1)) else tuple(round(float(v)) for v in (dpi[::-1] if turned else dpi)),
    }
    texts = getattr(image, "text", {})
    hidden = ("Comment", "XML:com.adobe.xmp", "Raw profile type iptc")
    found |= {f"PNG text {key!r}": str(value) for key, value in texts.items() if key not in hidden}
    chunks = png_parts(data)
    found |= {f"PNG {kind.decode()}": chunks[kind] for kind in CARRIED if kind in chunks}
    for marker, content in jpeg_parts(data):
        known = (
            b"Exif\0",
            b"http://ns.adobe.com/xap",
            b"ICC_PROFILE\0",
            b"Photoshop 3.0\0",
            b"JFIF\0",
            b"Adobe",
            b"MPF\0",
        )
        if 0xE0 <= marker < 0xF0 and not content.startswith(known):
            found[f"APP{marker - 0xE0}"] = content
    return found


def lost_metadata(before: bytes, after: bytes, named: str) -> Iterator[str]:
    """Blocks of the source that are neither in the result nor named."""
    ours, theirs = metadata(after), metadata(before)
    for word, value in theirs.items():
        if value is None or ours.get(word) == value:
            continue
        if word == "EXIF" and ours[word] is not None and {**value, **ours[word]} == ours[word]:
            continue  # a TIFF's becomes EXIF, in which Pillow adds its own
        if word == "XMP" and ours[word] and len(ours[word]) == len(value) and b"hdrgm" in value:
            continue  # whose promise of a gain map has become spaces
        if word.lower() not in named.lower():
            yield f"{word} is {ours.get(word)!r}, not {value!r}, and not named"
    for word, value in ours.items():
        new = value is not None and theirs.get(word) is None
        if new and not (word == "EXIF" or (word == "PNG cICP" and b"ftyp" in before[:12])):
            yield f"{word} {value!r} is new"
    if before[:2] == b"\xff\xd8" and b"\xff\xd9" in before:
        behind = before[before.rfind(b"\xff\xd9") + 2 :].strip(b"\0")
        pictures = before.count(b"\xff\xd8\xff") > 1 and not before.count(b"Exif\0")
        words = ("behind", "film", "gain map")
        if (behind or pictures) and not any(word in named for word in words):
            yield "what stands behind the picture is not named"
    thumbnail = opened(before).getexif().get_ifd(1)
    if thumbnail and ("EXIF thumbnail" not in named or opened(after).getexif().get_ifd(1)):
        yield "a thumbnail of the photo before is kept, or not named"


def pixel_claims(record: dict[str, Any], before: bytes, after: bytes, named: str) -> Iterator[str]:
    (old, alpha), (new, alpha_after) = upright(before), upright(after)
    if old.shape != new.shape or (record["height"], record["width"]) != new.shape[:2]:
        yield f"size {new.shape}, of the photo {old.shape}, said {record['width']}x{record['height']}"
        return
    difference = new.astype(float) - old
    l2 = float(np.sqrt((difference**2).sum())) / 255
    psnr = None if not l2 else 10 * np.log10(difference.size / l2**2)
    for name, ours in (("l2", l2), ("psnr_db", psnr), ("linf", np.abs(difference).max() / 255)):
        said = record["change"].get(name, ours)
        if (said is None) != (ours is None) or (ours is not None and abs(said - ours) > 1e-6 * max(1, ours)):
            yield f"{name} is {ours}, said {said}"
    if record["unchanged"] and record["encoding"]["format"] == "PNG" and l2:
        yield "pixels differ, said to be unchanged"
    if alpha is not None and alpha.min() < 255:
        kept = alpha_after is not None and np.array_equal(alpha, alpha_after)
        if kept == ("transparency" in named):
            yield f"transparency kept: {kept}, named: {named}"
        if kept and not np.array_equal(old[alpha == 0], new[alpha == 0]):
            yield "invisible pixels were changed"
    one, other = opened(before), opened(after)
    if ("CMYK becomes RGB" in named) != (one.mode == "CMYK"):
        yield "CMYK"
    grey = one.mode in ("L", "LA", "1") or one.mode.startswith("I")
    if grey and (other.mode not in ("L", "LA")) != ("grey becomes colour" in named):
        yield f"grey becomes {other.mode}, named: {named}"
    deep = one.mode.startswith("I") or (before[:4] == b"\x89PNG" and before[24] == 16) or tiff_bits(one) > 8
    if deep != ("16 bits" in named):
        yield "bits"


def tiff_bits(image: Image.Image) -> int:
    return max(np.ravel(getattr(image, "tag_v2", {}).get(258, 1)).tolist())


def shown(path: Path, region: tuple[float, ...], ratio: str, size: tuple[int, int]) -> tuple[bool, Any]:
    """The cropper's own verdict about a file: whether it shows the region, and its windows and salient point."""
    seen = GAZE.predict_file(path, (1.0,) if ratio == "peak" else (float(ratio),))
    x0, y0, x1, y1 = (side * part for side, part in zip(size * 2, region, strict=True))
    if ratio == "peak":
        x, y = seen.salient_point
        return bool(
            np.floor(x0 + 1e-6) <= x < np.ceil(x1 - 1e-6) and np.floor(y0 + 1e-6) <= y < np.ceil(y1 - 1e-6)
        ), seen
    left, top, width, height = seen.crops[0]
    return left <= x0 + 1e-6 and top <= y0 + 1e-6 and x1 <= left + width + 1e-6 and y1 <= top + height + 1e-6, seen


def claims(record: dict[str, Any], source: Path, results: Path, region: tuple[float, ...], ratio: str) -> Iterator[str]:
    written = results / record["output_name"]
    if not written.exists():  # the record writes ? for what is no UTF-8
        written = next(
            path
            for path in results.iterdir()
            if path.suffix == written.suffix and hashed(path) == record["output_sha256"]
        )
    before, after = source.read_bytes(), written.read_bytes()
    size, named = (record["width"], record["height"]), " | ".join(record["not_kept"])
    if hashlib.sha256(after).hexdigest() != record["output_sha256"]:
        yield "the hash of the result"
    if (
        opened(after).format != record["encoding"]["format"]
        or written.suffix != {"JPEG": ".jpg", "PNG": ".png"}[opened(after).format]
    ):
        yield f"format {opened(after).format}, said {record['encoding']['format']}, called {written.name}"
    if (".failed." in written.name.removeprefix(source.stem)) == record["success"]:
        yield "what failed is not called so"
    if opened(after).getexif().get(0x0112, 1) != 1 and before != after:
        yield "the result is turned"
    yield from pixel_claims(record, before, after, named)
    if before != after:
        yield from lost_metadata(before, after, named)
    elif named:
        yield f"a copy lacks nothing, said: {named}"
    verdict, seen = shown(written, region, ratio, size)
    if not verdict == record["success"] == record["success_after_writing"]:
        yield f"the cropper says {verdict} of the file, the record {record['success']}"
    if list(seen.salient_point) != record["after"]["salient_point"]:
        yield "the salient point"
    if ratio != "peak" and [window._asdict() for window in seen.crops] != record["after"]["crops"]:
        yield "the windows"
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / ("a.jpg" if before[:2] == b"\xff\xd8" else "a.png")
        if first.suffix == ".jpg":
            first.write_bytes(before)
        else:
            Image.fromarray(upright(before)[0]).save(first)
        if shown(first, region, ratio, size)[0] != record["success_before"]:
            yield "what the cropper makes of the photo itself"


def hashed(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(sources: Path, results: Path, region: tuple[float, ...], ratio: str) -> None:
    photos = {hashed(path): path for path in sources.iterdir()}
    for path in sorted(results.glob("*.json")):
        record = json.loads(path.read_text())
        if record["input_sha256"] not in photos:
            print(f"{path.name!r}: no such photo")
            continue
        source = photos[record["input_sha256"]]
        try:
            for line in claims(record, source, results, region, ratio):
                print(f"{source.name!r}: {line}"[:600])
        except Exception as error:
            print(f"{source.name!r}: the check fails: {error!r}")
    used = [name for name in sys.modules if name.startswith(("art_crop.pipeline", "art_crop.cli"))]
    if used:
        print(f"no independent check: {used}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]), tuple(map(float, sys.argv[3].split(","))), sys.argv[4])
