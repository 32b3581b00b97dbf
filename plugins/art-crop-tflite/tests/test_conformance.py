"""The kit's checks on both published models and on a small file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from art_crop_tflite.estimators import tflite_saliency
from cases import weights
from writing import O, T, write

from art_crop.testing import QualityModelConformance, SaliencyModelConformance

CONV = {"Padding": 0, "DilationWFactor": 1, "DilationHFactor": 1}


class TestAttentionCenter(SaliencyModelConformance):
    straight_through = True  # pixels are rounded to uint8 before and after the resize

    @pytest.fixture
    def estimator(self, attention_center: Any) -> Any:
        return attention_center


class TestNima(QualityModelConformance):
    straight_through = True
    photo_size = (224, 224)  # "nearest" keeps every pixel at this size

    @pytest.fixture
    def estimator(self, nima: Any) -> Any:
        return nima


class TestOwnFile(SaliencyModelConformance):
    straight_through = True

    @pytest.fixture
    def estimator(self, tmp_path: Path) -> Any:
        """Two convolutions and a sigmoid, 48x64 -> 24x32."""
        tensors = [
            T((1, 48, 64, 3)),
            weights((8, 5, 5, 3)),
            weights((8,), 0.3),
            T((1, 24, 32, 8)),
            weights((1, 3, 3, 8)),
            weights((1,), 0.2),
            T((1, 24, 32, 1)),
            T((1, 24, 32, 1)),
        ]
        first = {**CONV, "StrideW": 2, "StrideH": 2, "FusedActivationFunction": 1}
        second = {**CONV, "StrideW": 1, "StrideH": 1, "FusedActivationFunction": 0}
        operators = [
            O("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", first),
            O("CONV_2D", [3, 4, 5], [6], "Conv2DOptions", second),
            O("LOGISTIC", [6], [7]),
        ]
        path = write(tmp_path / "own.tflite", tensors, operators)
        return tflite_saliency(weights=path, value_range=(-1, 1), resampling="bilinear")
