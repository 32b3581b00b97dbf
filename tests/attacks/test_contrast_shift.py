"""ContrastShift: what it does to a photo's contrast, and to a deployed cropper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import art_crop
from art_crop.attacks import ContrastShift, GaussianNoise
from art_crop.attacks.targets import peak_moves
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region

REGION = Region(0.55, 0.5, 0.9, 1)


def test_contrast_rises_at_the_target_and_falls_at_the_old_peak(tiny: Any, photo: Any) -> None:
    estimator = tiny.saliency_estimator()
    x = photo.transpose(2, 0, 1)[None].astype(np.float32) / 255
    move = peak_moves(estimator.output(x), [REGION])[0]
    found = ContrastShift(estimator, eps=6.0, quantize=False).generate(x, REGION)
    assert np.linalg.norm(found - x) == pytest.approx(6, rel=1e-3)

    def contrast(image: Any, place: tuple[float, float]) -> float:
        height, width = image.shape[2:]
        column, row = int(place[0] * width), int(place[1] * height)
        part = image[0, :, max(0, row - 12) : row + 12, max(0, column - 12) : column + 12]
        return float(part.std((1, 2)).mean())

    assert contrast(found, move.target) > 1.05 * contrast(x, move.target)
    assert contrast(found, move.old) < 0.98 * contrast(x, move.old)


def test_a_photo_without_contrast_stays(tiny: Any) -> None:
    x = np.full((1, 3, 24, 32), 0.5, np.float32)
    found = ContrastShift(tiny.saliency_estimator(), eps=1.0, quantize=False).generate(x, REGION)
    assert np.abs(found - x).max() < 1e-3


def test_no_gradient_is_taken(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a gradient was asked for")

    estimator.value_and_gradient = refuse
    attack = ContrastShift(estimator, eps=1.0)
    attack.generate(x, REGION)
    assert [(result.gradients, result.queries) for result in attack.results] == [(0, 2)] * 2


def test_alone_and_in_a_batch(tiny: Any) -> None:
    attack, x = ContrastShift(tiny.saliency_estimator(), eps=1.0), tiny.photos(3)
    together = attack.generate(x, REGION)
    alone = np.concatenate([attack.generate(x[i : i + 1], REGION) for i in range(3)])
    assert alone == pytest.approx(together, abs=1e-6)


@pytest.mark.parametrize("options", [{"scales": []}, {"scales": [0]}, {"spread": 0}, {"colour": -1}, {"max_iter": 3}])
def test_bad_options(tiny: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        ContrastShift(tiny.saliency_estimator(), **options)


@pytest.mark.shared
def test_the_deployed_cropper_follows_contrast(fastgaze_weights: Path, osie_root: Path) -> None:
    """L2 10, paper 001's selection: the peak's column goes to the second maximum, and white noise leaves it."""
    from art_crop.datasets.osie import OSIE
    from art_crop.datasets.selection import SelectedTarget, column_profile, select_target

    fastgaze, photos = art_crop.load_model("fastgaze", weights=fastgaze_weights, device="cpu"), OSIE(osie_root)
    moved, by_noise, count, index = 0, 0, 0, 1
    while count < 4:
        photo = Image.fromarray(photos[index].load())
        pixels = np.asarray(photo.resize((640, 480), Image.Resampling.LANCZOS))
        index += 1
        x = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
        profile = column_profile(np.exp(fastgaze.predict(x)[0]))
        target = select_target(profile, (pixels.shape[1], pixels.shape[0]))
        if not isinstance(target, SelectedTarget):
            continue
        region = Region(target.target / len(profile), 0, (target.target + 1) / len(profile), 1)
        for kind in (ContrastShift, GaussianNoise):
            attack: Any = kind(fastgaze, eps=10.0, by="column")
            attack.generate(x, region)
            assert not attack.results[0].success_before
            moved += kind is ContrastShift and attack.results[0].success
            by_noise += kind is GaussianNoise and attack.results[0].success
        count += 1
    assert moved >= 3
    assert by_noise <= 1
