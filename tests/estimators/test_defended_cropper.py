"""A cropper behind defences: the verdict before a file is written is the verdict on the file, on photos of OSIE."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.defences.preprocessor.preprocessor import PreprocessorPyTorch
from PIL import Image
from torch import Tensor

from art_crop.attacks import SaliencyPeakFGM
from art_crop.estimators import PyTorchSaliencyRegressor
from art_crop.estimators.builtin import fastgaze
from art_crop.functional.filters import gaussian_blur
from art_crop.geometry import Region
from art_crop.images.encoding import Jpeg, Png
from art_crop.objectives import CropContainsRegion, PeakInRegion
from art_crop.pipeline.verify import verify

pytestmark = pytest.mark.shared
Array = np.ndarray[Any, Any]
TARGET = Region(0.6, 0.4, 1, 1)


class Step(PreprocessorPyTorch):
    """Common to the three: they see photos when the model predicts, and their gradient is that of leaving them out."""

    def __init__(self) -> None:
        super().__init__(device_type="cpu", is_fitted=True, apply_fit=False, apply_predict=True)

    def estimate_forward(self, x: Tensor, y: Any = None) -> Tensor:
        return x


class Blur(Step):
    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        return gaussian_blur(x, 1.5), y


class BitDepth(Step):
    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        return (x * 15).round() / 15, y


class Recompressed(Step):
    """By Pillow's own encoder."""

    def forward(self, x: Tensor, y: Any = None) -> tuple[Tensor, Any]:
        return torch.stack([torch.from_numpy(jpeg(one, 60)).permute(2, 0, 1) / 255 for one in levels(x)]), y


DEFENCES: dict[str, list[Any]] = {
    "blur": [Blur()],
    "jpeg": [Recompressed()],
    "bit depth": [BitDepth()],
    "blur, then bit depth": [Blur(), BitDepth()],
}


def levels(x: Tensor) -> Array:
    whole: Array = (x.detach() * 255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    return whole


def jpeg(pixels: Array, quality: int) -> Array:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


@pytest.fixture(scope="module")
def osie(osie_root: Path) -> Array:
    from art_crop.datasets.osie import OSIE

    photos = OSIE(osie_root)
    return np.stack([np.asarray(Image.fromarray(photos[17 * i].load()).resize((400, 300))) for i in range(10)])


def cropper(weights: Path, *steps: Any) -> PyTorchSaliencyRegressor:
    return fastgaze(weights=weights, device="cpu", preprocessing_defences=list(steps))


def unit_range(pixels: Array) -> Array:
    return pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("name", DEFENCES)
def test_the_file_gets_the_verdict_that_the_attack_recorded(fastgaze_weights: Path, osie: Array, name: str) -> None:
    estimator = cropper(fastgaze_weights, *DEFENCES[name])
    objective, x = PeakInRegion([TARGET]), unit_range(osie)
    attack = SaliencyPeakFGM(estimator, eps=1.5, max_iter=2)
    found, files = attack.generate(x, TARGET), []
    for one, result in zip(found, attack.results, strict=True):
        pixels = levels(torch.from_numpy(one)[None])[0]
        verified = verify(estimator, objective, Png().encode(pixels))
        files.append(verified.success)
        assert verified.success == result.success == bool(estimator.evaluate(one[None], objective).success)
        assert verified.loss == pytest.approx(result.loss, abs=1e-4)
    assert len(set(files)) == 2, "photos of both kinds"
    undefended = cropper(fastgaze_weights).evaluate(found, PeakInRegion([TARGET] * 10)).loss.tolist()
    assert undefended != pytest.approx([result.loss for result in attack.results], abs=1e-2), "the defence counts"


@pytest.mark.parametrize("name", DEFENCES)
def test_a_jpeg_is_decoded_before_the_defences_see_it(fastgaze_weights: Path, osie: Array, name: str) -> None:
    """``after_jpeg`` tells of the file that is to be written: encoded first, defended after it was decoded."""
    estimator = cropper(fastgaze_weights, *DEFENCES[name])
    aware, objective, x = estimator.after_jpeg(70), PeakInRegion([TARGET]), unit_range(osie)
    attack = SaliencyPeakFGM(aware, eps=6.0, max_iter=1)
    found = levels(torch.from_numpy(attack.generate(x, TARGET)))
    files, unaware = [], []
    for pixels, result in zip(found, attack.results, strict=True):
        verified = verify(estimator, objective, Jpeg(70).encode(pixels))
        files.append(verified.success)
        by_hand = estimator.evaluate(unit_range(jpeg(pixels, 70)[None]), objective)
        assert verified.loss == pytest.approx(float(by_hand.loss), abs=1e-4)
        assert verified.loss == pytest.approx(result.loss, abs=1e-4)
        assert verified.success == result.success
        unaware.append(float(estimator.evaluate(unit_range(pixels[None]), objective).loss) - verified.loss)
    assert len(set(files)) == 2, "photos of both kinds"
    assert np.abs(unaware).max() > 0.05, "the encoding counts"


def test_the_order_of_encoding_and_defence_counts(fastgaze_weights: Path, osie: Array) -> None:
    """Crops, too, by the same order: what the file shows is what ``after_jpeg`` promised."""
    estimator, ratios = cropper(fastgaze_weights, BitDepth()), (0.56, 1.0)
    region, x = Region(0.8, 0.75, 1.0, 1.0), unit_range(osie[:4])
    promised = estimator.after_jpeg(30).evaluate(x, CropContainsRegion([region] * 4, ratios))
    wrong = np.stack([jpeg(one, 30) for one in levels(BitDepth().forward(torch.from_numpy(x))[0])])
    other = cropper(fastgaze_weights).evaluate(unit_range(wrong), CropContainsRegion([region] * 4, ratios)).loss
    for i, pixels in enumerate(osie[:4]):
        verified = verify(estimator, CropContainsRegion([region], ratios), Jpeg(30).encode(pixels))
        assert verified.success == bool(promised.success[i])
        assert verified.loss == pytest.approx(float(promised.loss[i]), abs=1e-4)
        assert verified.loss != pytest.approx(float(other[i]), abs=1e-3)
