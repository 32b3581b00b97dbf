from __future__ import annotations

import numpy as np
import pytest
from skimage import data

import art_crop
from art_crop.datasets.samples import Samples
from art_crop.testing import DatasetConformance


class TestSamples(DatasetConformance):
    loads = 7

    @pytest.fixture
    def dataset(self) -> Samples:
        return art_crop.load_dataset("scikit-image")  # type: ignore[no-any-return]


def test_the_pixels_are_those_of_scikit_image() -> None:
    photos = {item.name: item.load() for item in Samples()}
    assert np.array_equal(photos["astronaut.png"], data.astronaut())
    assert np.array_equal(photos["chelsea.png"], data.chelsea())
    assert np.array_equal(photos["coffee.png"], data.coffee())
