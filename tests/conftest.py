"""Fixtures that every test may use: the shared test data, and photos that ship inside scikit-image."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[1]
if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: more threads would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
NO_SHARED_DATA = "shared test data not found"
KIT = "art_crop/testing/"


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def _shared_path(*parts: str) -> Path:
    """Return a path in the shared data; skip where it is missing, fail where CI must have it."""
    root = Path(os.environ.get("ART_CROP_SHARED") or PROJECT.parent / "shared").resolve()
    path = root.joinpath(*parts)
    if not path.exists():
        message = f"{NO_SHARED_DATA}: {path} (set ART_CROP_SHARED to the folder that holds it)"
        if _in_ci():
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI, turn every skip for shared data into a failure, also one that a test raised by itself.

    What the test kit skips does not apply to what is tested, whatever data that needs.
    """
    report = yield
    needs_shared = item.get_closest_marker("shared") is not None or "shared" in getattr(item, "fixturenames", ())
    if _in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        where, reason = report.longrepr[::2] if isinstance(report.longrepr, tuple) else ("", str(report.longrepr))
        does_not_apply = KIT in Path(where).as_posix() and NO_SHARED_DATA not in reason
        if (needs_shared and not does_not_apply) or NO_SHARED_DATA in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped under CI, where it must run: {reason}"
    return report


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data."""
    return _shared_path()


@pytest.fixture(scope="session")
def osie_root(shared: Path) -> Path:
    """700 photos of 800x600 with `fixations.mat`."""
    return _shared_path("images", "osie")


@pytest.fixture(scope="session")
def kodak_root(shared: Path) -> Path:
    """24 lossless photos of 768x512."""
    return _shared_path("images", "kodak")


@pytest.fixture(scope="session")
def fastgaze_weights(shared: Path) -> Path:
    """The deployed cropper's weight file."""
    return _shared_path("models", "fastgaze.vxm")


@pytest.fixture(scope="session")
def fastgaze_golden(shared: Path) -> Path:
    """`expected.json`, `inputs/` and the resized pixels of the reference program."""
    return _shared_path("golden", "fastgaze")


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """A real photo, uint8 (256, 384, 3) RGB: a part of scikit-image's coffee cup, which ships in its wheel."""
    from skimage import data

    return np.ascontiguousarray(data.coffee()[72:328, 108:492])


@pytest.fixture
def photo_file(tmp_path: Path, photo: NDArray[np.uint8]) -> Path:
    """The same photo as a PNG file in a temporary folder."""
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture(scope="session")
def tiny() -> Any:
    """The module ``tiny_models``: estimators around small networks, and random photos for them."""
    name = "tiny_models"
    if name not in sys.modules:  # by its name, so that what it defines can be pickled
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
