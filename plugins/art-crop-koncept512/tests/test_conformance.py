"""art_crop's own checks of what a quality model must be, on random weights."""

from __future__ import annotations

from typing import Any

import pytest

from art_crop.testing import QualityModelConformance


class TestKonCept512(QualityModelConformance):
    @pytest.fixture
    def estimator(self, small: Any) -> Any:
        return small
