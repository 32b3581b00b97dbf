"""The shared test data: a folder `shared` beside the project, or the one that ART_CROP_SHARED names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def imagenet_sample() -> Path:
    """200 photos, one a class, whose file names begin with the WordNet id of what they show."""
    named = os.environ.get("ART_CROP_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in Path(__file__).resolve().parents]
    for root in roots:
        if (root / "images" / "imagenet_sample").is_dir():
            return root / "images" / "imagenet_sample"
    message = "shared test data not found: images/imagenet_sample (set ART_CROP_SHARED to the folder that holds it)"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
