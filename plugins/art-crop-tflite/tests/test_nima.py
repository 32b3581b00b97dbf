"""NIMA technical against LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from art_crop_tflite.estimators import nima_technical, tflite_quality
from PIL import Image

from art_crop.errors import InvalidInputError

# Measured with LiteRT 2.3.0 on these OSIE photos, resized to 224x224 by Pillow's nearest. First: the file with its
# int8 weights replaced by (stored - zero point) * scale in float32. Second: the file as it is, where the runtime also
# rounds every layer's input to 8 bits; its own kernels differ by up to 0.02 among themselves.
SCORES = {
    "1001": (5.43225, 5.44310),
    "1123": (4.84461, 4.86411),
    "1250": (4.46218, 4.48167),
    "1400": (5.66413, 5.67005),
    "1555": (6.39160, 6.39051),
    "1699": (4.97946, 4.98574),
}
BINS_1001 = (0.060911, 0.131481, 0.105179, 0.123581, 0.083042, 0.147745, 0.079276, 0.065336, 0.115288, 0.088162)


def photo(osie: Path, name: str) -> Any:
    (path,) = osie.rglob(f"{name}.jpg")
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)[None].astype(np.float32) / 255


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_measured_ones(name: str, nima: Any, osie: Path) -> None:
    exact, deployed = SCORES[name]
    (score,) = nima.predict(photo(osie, name))
    assert score == pytest.approx(exact, abs=2e-4)
    assert score == pytest.approx(deployed, abs=0.03)


def test_bins_are_the_measured_ones(nima: Any, osie: Path) -> None:
    bins = nima.model(nima.to_tensor(photo(osie, "1001"))).detach().numpy()
    assert np.abs(bins - BINS_1001).max() < 2e-5


def test_a_damaged_photo_scores_lower(nima: Any, osie: Path) -> None:
    x = photo(osie, "1555")
    noisy = np.clip(x + np.random.default_rng(0).normal(0, 0.25, x.shape), 0, 1).astype(np.float32)
    assert nima.predict(noisy)[0] < nima.predict(x)[0] - 0.3


def test_options(nima: Any, nima_file: Path, osie: Path) -> None:
    x = photo(osie, "1001")
    smooth = nima_technical(weights=nima_file, resampling="bicubic").predict(x)
    assert smooth != nima.predict(x)
    bins = tuple(float(k) for k in range(1, 11))
    own = tflite_quality(weights=nima_file, bin_values=bins, score_range=(1, 10))
    assert own.predict(x) == pytest.approx(smooth)
    assert nima.score_range == (1, 10)
    for options, named in (({"resampling": "lanczos"}, "resampling"), ({"score_range": (0, 1)}, "score_range")):
        with pytest.raises(InvalidInputError, match=named):
            nima_technical(weights=nima_file, **options)


def test_a_changed_photos_score_is_a_metric(osie: Path, nima_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from art_crop_tflite import metrics
    from art_crop_tflite.estimators import nima_aesthetic

    file = nima_file.with_name("nima_aesthetic.tflite")
    monkeypatch.setenv("ART_CROP_NIMA_AESTHETIC", str(file))
    monkeypatch.setenv("ART_CROP_NIMA_TECHNICAL", str(nima_file))
    metrics._model.cache_clear()
    one, other = photo(osie, "1001"), photo(osie, "1123")
    pixels = [(x[0].transpose(1, 2, 0) * 255).round().astype(np.uint8) for x in (one, other)]
    assert metrics.NIMA_TECHNICAL_SCORE(*pixels) == pytest.approx(SCORES["1123"][0], abs=2e-4)
    (score,) = nima_aesthetic(weights=file).predict(other)
    assert metrics.NIMA_AESTHETIC_SCORE(*pixels) == pytest.approx(float(score), abs=1e-6)
    assert abs(score - SCORES["1123"][0]) > 0.05, "another network than the technical one"
    with pytest.raises(InvalidInputError, match="changed must have the shape of original"):
        metrics.NIMA_AESTHETIC_SCORE(pixels[0], pixels[1][:-1])
