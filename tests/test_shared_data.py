"""Tests that need the shared data skip without it, but never under CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

CASES = """
import pytest

def test_fixture(fastgaze_weights):
    pass

@pytest.mark.shared
def test_own_skip():
    pytest.skip("no data here")

@pytest.mark.skipif(True, reason="needs another machine")
def test_unrelated_skip():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "expected"), [("", {"skipped": 3}), ("true", {"errors": 1, "failures": 1, "skipped": 1})]
)
def test_missing_data(tmp_path: Path, ci: str, expected: dict[str, int]) -> None:
    import xml.etree.ElementTree as ET

    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_cases.py").write_text(CASES)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=report.xml", "test_cases.py"],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "ART_CROP_SHARED": str(tmp_path / "absent")},
        capture_output=True,
        timeout=60,
    )
    (suite,) = ET.parse(tmp_path / "report.xml").getroot().iter("testsuite")
    counts = {key: int(suite.get(key, "0")) for key in ("errors", "failures", "skipped")}
    assert {key: count for key, count in counts.items() if count} == expected


def test_photo_ships_with_scikit_image(photo: NDArray[np.uint8], photo_file: Path) -> None:
    assert photo.shape == (256, 384, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 40  # a real photo, not a blank
    with Image.open(photo_file) as opened:
        assert np.array_equal(np.asarray(opened), photo)
