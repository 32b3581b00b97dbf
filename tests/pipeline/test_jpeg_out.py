"""A JPEG becomes a JPEG with its own tables, of its own coefficients; Pillow and jpeglib say what was written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

import art_crop
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region, window_contains
from art_crop.pipeline import Settings, collect, show_in_each, show_region

SHOWN = "0.45,0.45,0.55,0.55"
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def cropper() -> Any:
    return art_crop.load_model("gaze-lite", device="cpu")


@pytest.fixture(scope="module")
def hidden(cropper: Any) -> str:
    """A strip of the test photo that its square crop hides."""
    from skimage import data

    x = cropper.salient_points(data.coffee()[None, 72:328, 108:492].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    return "0.86,0.2,1,0.8" if x[0, 0] < 192 else "0,0.2,0.14,0.8"


def saved(path: Path, photo: Pixels, mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(photo).convert(mode).save(path, "JPEG", **options)
    return path


def pixels_of(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def coefficients_of(path: Path) -> list[NDArray[np.int16]]:
    read = jpeglib.read_dct(str(path))
    return [component for component in (read.Y, read.Cb, read.Cr) if component is not None]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_tables_subsampling_and_most_coefficients_are_the_sources(
    cropper: Any, photo: Pixels, hidden: str, tmp_path: Path, quality: int, subsampling: str, progressive: bool
) -> None:
    mode, options = ("L", {}) if subsampling == "grey" else ("RGB", {"subsampling": subsampling})
    source = saved(tmp_path / "photo.jpg", photo, mode, quality=quality, progressive=progressive, **options)
    record = show_region(
        source, hidden, estimator=cropper, ratios=(1.0,), eps=1.5, steps=1, out=tmp_path / "out", figure=False
    )
    written = tmp_path / "out" / record.output_name
    assert written.suffix == ".jpg"
    with Image.open(source) as before, Image.open(written) as after:
        assert after.format == "JPEG"
        assert (after.mode, after.quantization) == (before.mode, before.quantization)
        assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)
    moved = [one != other for one, other in zip(coefficients_of(source), coefficients_of(written), strict=True)]
    share = sum(int(which.sum()) for which in moved) / sum(which.size for which in moved)
    assert 0 < share < 0.15  # the finer the steps, the more of them are bought
    difference = (pixels_of(written).astype(float) - pixels_of(source)) / 255
    assert record.change.l2 == pytest.approx(np.linalg.norm(difference), rel=1e-6)
    assert 0.5 < record.change.l2 < 1.8  # the encoder adds nothing to the budget of 1.5
    assert record.l2_before_encoding == record.change.l2
    assert record.not_kept == ()
    assert record.encoding == {
        "format": "JPEG",
        "quality": pytest.approx(quality, abs=1),  # some have one and the same tables
        "subsampling": "4:0:0" if subsampling == "grey" else subsampling,
        "tables": "original",
    }


@pytest.mark.parametrize("options", [{"subsampling": "4:2:2"}, {"subsampling": "4:2:0", "qtables": [[7] * 64]}])
def test_the_region_is_shown_by_the_written_file(
    cropper: Any, photo: Pixels, hidden: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Also with tables that no quality of libjpeg has, of which one is for all components."""
    source = saved(tmp_path / "photo.jpg", photo, **options)
    record = show_region(source, hidden, estimator=cropper, ratios=(1.0,), steps=3, out=tmp_path / "out", figure=False)
    assert record.success, record.message
    assert "as JPEG with the photo's own tables" in record.message
    seen = cropper.predict_file(tmp_path / "out" / "photo.jpg", (1.0,))
    assert window_contains(seen.crops[0], Region.parse(hidden, *seen.size), *seen.size)
    with Image.open(source) as before, Image.open(tmp_path / "out" / "photo.jpg") as after:
        assert after.quantization == before.quantization


def test_a_png_of_the_same_photo_needs_a_smaller_change_and_one_encoded_anew_a_larger_one(
    cropper: Any, photo: Pixels, hidden: str, tmp_path: Path
) -> None:
    source = saved(tmp_path / "photo.jpg", photo, quality=75)
    sizes = []
    for name, options in (("png", {"png": True}), ("own", {}), ("anew", {"jpeg_quality": 90})):
        record = show_region(
            source, hidden, estimator=cropper, ratios=(1.0,), steps=4, out=tmp_path / name, figure=False, **options
        )
        assert record.success, record.message
        assert record.output_name == ("photo.png" if name == "png" else "photo.jpg")
        sizes.append(record.change.l2)
    assert sizes == sorted(sizes)
    with Image.open(tmp_path / "anew" / "photo.jpg") as anew:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "JPEG", quality=90)
        assert anew.quantization == Image.open(buffer).quantization


@pytest.mark.parametrize("kind", ["turned", "CMYK", "progressive", "no end", "a PNG by its name"])
def test_what_is_shown_already_is_copied_byte_for_byte(cropper: Any, photo: Pixels, tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = (6 if kind == "turned" else 1), "A. N. Other"
    name = "photo.png" if kind.startswith("a PNG") else "photo.jpg"
    mode = "CMYK" if kind == "CMYK" else "RGB"
    source = saved(tmp_path / name, photo, mode, exif=exif, quality=83, progressive=kind == "progressive")
    if kind == "no end":
        source.write_bytes(source.read_bytes()[:-2])
    record = show_region(source, SHOWN, estimator=cropper, ratios=(1.0,), out=tmp_path / "out")
    assert (tmp_path / "out" / "photo.jpg").read_bytes() == source.read_bytes()
    assert (record.success, record.unchanged, record.change.psnr_db, record.not_kept) == (True, True, None, ())
    assert "byte for byte" in record.message
    assert record.encoding["tables"] == "original"


@pytest.mark.parametrize(
    ("orientation", "subsampling", "lossless"), [(6, "4:2:0", True), (3, "4:4:4", True), (8, "4:2:2", False)]
)
def test_a_turned_jpeg_is_turned_without_encoding_it_again_where_blocks_allow(
    cropper: Any, photo: Pixels, tmp_path: Path, orientation: int, subsampling: str, lossless: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = saved(tmp_path / "photo.jpg", photo, quality=60, subsampling=subsampling, exif=exif)
    record = show_region(source, "0,0,0.1,0.1", estimator=cropper, ratios=None, eps=0.5, steps=1, out=tmp_path / "out")
    upright = np.rot90(pixels_of(source), {6: -1, 3: 2, 8: 1}[orientation]).astype(int)
    difference = np.abs(pixels_of(tmp_path / "out" / record.output_name).astype(int) - upright)
    assert (record.width, record.height) == upright.shape[1::-1]
    assert bool((difference > 1).mean() < 0.1) is lossless
    assert record.l2_before_encoding < (0.7 if lossless else 2)


def test_what_a_jpeg_cannot_be_written_as_is_named(cropper: Any, photo: Pixels, hidden: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"estimator": cropper, "ratios": (1.0,), "eps": 1.0, "steps": 1, "figure": False}
    cmyk = show_region(saved(tmp_path / "cmyk.jpg", photo, "CMYK"), hidden, out=tmp_path / "a", **options)
    assert cmyk.not_kept == ("CMYK becomes RGB",)
    assert cmyk.encoding["tables"] == "standard"
    # Swapped factors make 4:4:0 of 4:2:2: the same blocks, in a file half as wide and twice as high.
    data = bytearray(saved(tmp_path / "odd.jpg", photo, subsampling="4:2:2").read_bytes())
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x21
    data[frame + 11] = 0x12
    data[frame + 5 : frame + 9] = (512).to_bytes(2, "big") + (192).to_bytes(2, "big")
    (tmp_path / "odd.jpg").write_bytes(data)
    odd = show_region(tmp_path / "odd.jpg", "0,0,0.4,0.1", out=tmp_path / "b", **options)
    assert odd.not_kept == ("4:4:0 chroma becomes 4:2:0",)
    with Image.open(tmp_path / "b" / odd.output_name) as written:
        assert JpegImagePlugin.get_sampling(written) == 2


def test_a_grey_jpeg_keeps_its_profile(cropper: Any, photo: Pixels, hidden: str, tmp_path: Path) -> None:
    profile = bytearray(b"\0" * 200)
    profile[16:20] = b"GRAY"
    source = saved(tmp_path / "photo.jpg", photo, "L", icc_profile=bytes(profile))
    record = show_region(
        source, hidden, estimator=cropper, ratios=(1.0,), eps=1.0, steps=1, out=tmp_path / "out", figure=False
    )
    assert record.not_kept == ()
    with Image.open(tmp_path / "out" / record.output_name) as written:
        assert (written.mode, written.info["icc_profile"]) == ("L", bytes(profile))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "grey"])
def test_models_that_are_no_deployed_cropper_see_the_file_that_is_written(
    tiny: Any, photo: Pixels, tmp_path: Path, subsampling: str
) -> None:
    """Their photos go through the encoder with the source's tables, for gradients and for success alike."""
    model = tiny.saliency_estimator()
    mode, options = ("L", {}) if subsampling == "grey" else ("RGB", {"subsampling": subsampling})
    source = saved(tmp_path / "photo.jpg", photo[:64, :96], mode, quality=40, **options)
    x = model.predict_file(source).salient_point[0]
    region = f"{0.5 if x < 48 else 0},0,{1 if x < 48 else 0.5},1"
    # Quality 40 rounds some changes of norm 20 away, and none of norm 40.
    record = show_region(
        source, region, estimator=model, ratios=None, max_eps=40, steps=4, out=tmp_path / "out", figure=False
    )
    assert record.success, record.message
    assert record.success_before_writing is record.success_after_writing
    assert record.queries < 200
    with Image.open(source) as before, Image.open(tmp_path / "out" / "photo.jpg") as after:
        assert (after.mode, after.quantization) == (before.mode, before.quantization)


class TestAFolder:
    def test_every_photo_is_decided_for_itself(self, cropper: Any, photo: Pixels, tmp_path: Path) -> None:
        """Photos of one name share neither record nor figure."""
        saved(tmp_path / "in" / "a.jpg", photo)
        Image.fromarray(photo).save(tmp_path / "in" / "a.png")
        Image.fromarray(photo).save(tmp_path / "in" / "b.webp")
        for options, names in (
            ({}, ["a_jpg.jpg", "a_png.png", "b.png"]),
            ({"png": True}, ["a_jpg.png", "a_png.png", "b.png"]),
            ({"jpeg": True}, ["a_jpg.jpg", "a_png.jpg", "b.jpg"]),
        ):
            jobs = collect([tmp_path / "in"], tmp_path / "out", **options)
            assert [job.outputs.photo.name for job in jobs] == names
            assert len({path.name for job in jobs for path in job.outputs}) == 12
        jobs = collect([tmp_path / "in"], tmp_path / "out")
        for _ in range(2):
            done = list(show_in_each(jobs, Settings(SHOWN, (1.0,)), cropper))
        assert all(outcome.resumed for outcome in done)
        assert sorted(path.name for path in (tmp_path / "out").glob("a*")) == sorted(
            f"a_{kind}.{ending}" for kind in ("jpg", "png") for ending in (kind, "json", "figure.png")
        )

    def test_another_encoding_is_another_result(self, cropper: Any, photo: Pixels, tmp_path: Path) -> None:
        source, out = saved(tmp_path / "photo.jpg", photo), tmp_path / "out"

        def run(overwrite: bool = False, **options: bool) -> Any:
            jobs = collect([source], out, **options)
            return next(iter(show_in_each(jobs, Settings(SHOWN, (1.0,)), cropper, figure=False, overwrite=overwrite)))

        assert not run().resumed
        assert run().resumed
        refused = run(png=True)
        assert "different are: encoding" in str(refused.error)
        assert sorted(path.name for path in out.iterdir()) == ["photo.jpg", "photo.json"]
        assert run(overwrite=True, png=True).record["output_name"] == "photo.png"
        assert sorted(path.name for path in out.iterdir()) == ["photo.json", "photo.png"]
        assert "different are: encoding" in str(run().error)

    def test_a_failed_jpeg_may_be_tried_as_a_png(
        self, cropper: Any, photo: Pixels, hidden: str, tmp_path: Path
    ) -> None:
        source, out = saved(tmp_path / "photo.jpg", photo, quality=10), tmp_path / "out"
        settings = Settings(hidden, (1.0,), max_eps=0.02, steps=1)
        (failed,) = show_in_each(collect([source], out), settings, cropper, figure=False)
        assert failed.record is not None
        assert "or a PNG, for which a smaller change is enough: --png (png=True)" in failed.record["message"]
        assert sorted(path.name for path in out.iterdir()) == ["photo.failed.jpg", "photo.json"]
        settings = Settings(hidden, (1.0,), steps=3)
        (again,) = show_in_each(collect([source], out, png=True), settings, cropper, figure=False)
        assert again.record is not None, again.error
        assert again.record["success"]
        assert sorted(path.name for path in out.iterdir()) == ["photo.json", "photo.png"]

    def test_a_source_that_an_older_record_names_stays(self, cropper: Any, photo: Pixels, tmp_path: Path) -> None:
        """A result beside its record is itself changed again, into the same folder."""
        Image.fromarray(photo).save(tmp_path / "photo.webp")
        options: dict[str, Any] = {"estimator": cropper, "ratios": (1.0,), "figure": False, "out": tmp_path}
        first = show_region(tmp_path / "photo.webp", SHOWN, jpeg_quality=90, **options)
        assert first.output_name == "photo.jpg"
        data = (tmp_path / "photo.jpg").read_bytes()
        show_region(tmp_path / "photo.jpg", SHOWN, png=True, overwrite=True, **options)
        assert json.loads((tmp_path / "photo.json").read_text())["output_name"] == "photo.png"
        assert (tmp_path / "photo.jpg").read_bytes() == data


def test_png_and_a_quality_exclude_each_other(photo_file: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"^png: it cannot go with"):
        show_region(photo_file, SHOWN, png=True, jpeg_quality=90)
