"""The main job on real photos with the deployed cropper: from a file to a file that shows what was asked for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from typer.testing import CliRunner

import art_crop
from art_crop.cli.main import app
from art_crop.errors import ImageFileError, InvalidInputError, OutputError
from art_crop.geometry import Region, window_contains
from art_crop.pipeline import Record, show_region

STEPS = 3


@pytest.fixture(scope="module")
def fastgaze(fastgaze_weights: Path) -> Any:
    return art_crop.load_model("fastgaze", weights=fastgaze_weights)


def hidden_box(model: Any, path: Path) -> Region:
    """A box of 18% x 30% at that end of a photo which the square crop hides."""
    seen = model.predict_file(path, (1.0,))
    window, (width, height) = seen.crops[0], seen.size
    if width > height:
        at_start = window.left > width - window.left - window.width
        region = Region(0.02, 0.3, 0.2, 0.6) if at_start else Region(0.8, 0.3, 0.98, 0.6)
    else:
        at_start = window.top > height - window.top - window.height
        region = Region(0.3, 0.02, 0.6, 0.2) if at_start else Region(0.3, 0.8, 0.6, 0.98)
    assert not window_contains(window, region, width, height)
    return region


@pytest.mark.parametrize(("name", "ratios"), [("05", (0.56, 1.0, 1.14)), ("04", (0.8, 1.0, 2.0))])
def test_the_region_is_shown_and_the_numbers_are_true(
    fastgaze: Any, kodak_root: Path, tmp_path: Path, name: str, ratios: tuple[float, ...]
) -> None:
    """A landscape and a portrait photo, several crops at once."""
    source = kodak_root / f"{name}.png"
    with Image.open(source) as image:
        original = np.asarray(image.convert("RGB"))
    region = hidden_box(fastgaze, source)
    record = show_region(source, region, estimator=fastgaze, ratios=ratios, out=tmp_path, steps=STEPS)
    assert isinstance(record, Record)
    assert record.success
    assert not record.success_before
    seen = fastgaze.predict_file(tmp_path / f"{name}.png", ratios)
    assert all(window_contains(window, region, *seen.size) for window in seen.crops)
    with Image.open(tmp_path / f"{name}.png") as image:
        written = np.asarray(image)
    assert written.shape == original.shape
    assert record.change.psnr_db == pytest.approx(peak_signal_noise_ratio(original, written), rel=1e-9)
    assert record.change.psnr_db is not None
    assert record.change.psnr_db > 40
    expected = structural_similarity(
        original / 255.0,
        written / 255.0,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert record.change.ssim == pytest.approx(expected, rel=1e-9)
    assert record.model == "fastgaze"
    assert (
        record.weights_sha256
        == hashlib.sha256((kodak_root.parents[1] / "models/fastgaze.vxm").read_bytes()).hexdigest()
    )


def with_metadata(source: Path, target: Path, orientation: int) -> tuple[bytes, bytes]:
    """A JPEG turned on its side by its EXIF, with a copyright line and an sRGB profile."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Copyright] = "J. Doe"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(source) as image:
        image.convert("RGB").save(target, quality=92, exif=exif.tobytes(), icc_profile=profile)
    return exif.tobytes(), profile


@pytest.mark.parametrize("written_as", [{}, {"png": True}, {"jpeg_quality": 92}], ids=["own", "png", "anew"])
def test_a_turned_jpeg_comes_back_upright_with_its_metadata(
    fastgaze: Any, kodak_root: Path, tmp_path: Path, written_as: dict[str, Any]
) -> None:
    """Orientation 6: stored 768x512, seen 512x768. The region counts in what is seen."""
    source = tmp_path / "phone.jpg"
    _, profile = with_metadata(kodak_root / "01.png", source, 6)
    region = hidden_box(fastgaze, source)
    out = tmp_path / "out"
    record = show_region(
        source, region, estimator=fastgaze, ratios=(1.0,), out=out, steps=STEPS, figure=False, **written_as
    )
    assert record.success, record.message
    assert (record.width, record.height) == (512, 768)
    result = out / record.output_name
    seen = fastgaze.predict_file(result, (1.0,))
    assert seen.size == (512, 768)
    assert window_contains(seen.crops[0], region, *seen.size)
    with Image.open(source) as before, Image.open(result) as after:
        assert after.size == (512, 768)
        assert after.getexif()[ExifTags.Base.Copyright] == "J. Doe"
        assert after.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert after.info["icc_profile"] == profile
        upright = np.rot90(np.asarray(before), -1).astype(int)
        assert np.abs(np.asarray(after).astype(int) - upright).mean() < 4, "the same picture, turned upright"


def test_a_folder_from_the_command_line(
    fastgaze: Any, fastgaze_weights: Path, kodak_root: Path, tmp_path: Path
) -> None:
    """Three photos and a file that is none; the second run has nothing left to do."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("02", "03", "05"):
        (folder / f"{name}.png").write_bytes((kodak_root / f"{name}.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    region = "0.02,0.3,0.2,0.6"
    command = ["attack", str(folder), "--show", region, "--ratio", "1", "--steps", str(STEPS), "--no-figure"]
    command += ["--model", "fastgaze", "--weights", str(fastgaze_weights), "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 2, first.output
    assert "broken.jpg" in first.stderr
    for name in ("02", "03", "05"):
        record = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        seen = fastgaze.predict_file(tmp_path / "out" / f"{name}.png", (1.0,))
        shows = window_contains(seen.crops[0], Region.parse(region, *seen.size), *seen.size)
        assert record["success"] is record["success_after_writing"] is shows is True
    second = CliRunner().invoke(app, command)
    assert second.stdout.count("(earlier run)") == 3


def test_the_python_call_refuses_in_typed_errors(fastgaze: Any, kodak_root: Path, tmp_path: Path) -> None:
    photo = kodak_root / "01.png"
    with pytest.raises(InvalidInputError, match="possible are ratios from"):
        show_region(photo, Region(0, 0, 1, 0.9), estimator=fastgaze, ratios=(0.56,), out=tmp_path)
    with pytest.raises(InvalidInputError, match="eps"):
        show_region(photo, "0,0,.1,.1", estimator=fastgaze, eps=float("nan"), out=tmp_path)
    with pytest.raises(InvalidInputError, match="a saliency model is needed"):
        show_region(photo, "0,0,.1,.1", estimator=object(), out=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ImageFileError, match="does not exist"):
        show_region(tmp_path / "none.png", "0,0,.1,.1", estimator=fastgaze, out=tmp_path / "o")
    (tmp_path / "01.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        show_region(photo, "0,0,.1,.1", estimator=fastgaze, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["01.png"]
