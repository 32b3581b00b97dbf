"""The way through a JPEG is the way through a real file, and attacks that see it survive it more often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import art_crop
from art_crop.errors import InvalidInputError
from art_crop.models.cropper import Cropper, read_as_cropper
from art_crop.models.fastgaze import FastGaze
from art_crop.models.jpeg_path import draft_scale
from art_crop.objectives import PeakInRegion


def small_network() -> FastGaze:
    return FastGaze([torch.nn.Conv2d(3, 1, 1)])


@pytest.mark.parametrize(("size", "quality"), [((640, 480), 75), ((333, 500), 40), ((1300, 900), 90), ((90, 70), 75)])
def test_levels_are_those_of_the_written_file(
    photo: np.ndarray, tmp_path: Path, size: tuple[int, int], quality: int
) -> None:
    image = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    path = tmp_path / "photo.jpg"
    image.save(path, quality=quality)
    expected, _ = read_as_cropper(path)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    assert torch.equal(Cropper(small_network(), jpeg_quality=quality).levels(x), expected)


def test_scales_are_the_croppers() -> None:
    assert [draft_scale((w, h), (320, 240)) for w, h in ((639, 479), (638, 478), (1280, 960), (9000, 6750))] == [
        2,
        1,
        4,
        8,
    ]


def test_quality_is_checked() -> None:
    for quality in (0, 101, 75.5):
        with pytest.raises(InvalidInputError, match="jpeg_quality"):
            Cropper(small_network(), jpeg_quality=quality)  # type: ignore[arg-type]


def test_seen_through_jpeg_the_attack_survives_a_smaller_budget(
    fastgaze_weights: Path, osie_root: Path, tmp_path: Path
) -> None:
    plain = art_crop.load_model("fastgaze", weights=fastgaze_weights, device="cpu")
    aware = plain.after_jpeg(75)
    assert plain.model.jpeg_quality is None
    image = Image.open(sorted((osie_root / "stimuli").iterdir())[7]).resize((640, 480), Image.Resampling.LANCZOS)
    x = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
    column = int(plain.predict(x)[0].argmax()) % 20
    left = (column + 10) % 20 / 20
    region = art_crop.Region(left, 0, left + 0.05, 1)
    attack = art_crop.load_attack("SaliencyPeakFGM")
    losses = {}
    for name, estimator in (("plain", plain), ("aware", aware)):
        adversarial = attack(estimator, eps=1.0, max_iter=4).generate(x, region)
        objective = PeakInRegion([region])
        losses[name] = float(aware.evaluate(aware.to_tensor(adversarial), objective).loss)
        written = tmp_path / f"{name}.jpg"
        Image.fromarray((adversarial[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)).save(written, quality=75)
        np.testing.assert_allclose(plain.predict_file(written).saliency_map, aware.predict(adversarial)[0], atol=1e-4)
    assert losses["aware"] < losses["plain"]
