"""The shared test data, a folder `shared` beside the project or the one that ART_CROP_SHARED names; small files."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _helper(name: str) -> Any:
    """A module of this folder, by its plain name, which pytest's importlib mode does not put on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


for helper in ("writing", "cases"):
    _helper(helper)


def _shared(*parts: str) -> Path:
    named = os.environ.get("ART_CROP_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in HERE.resolve().parents]
    for root in roots:
        if root.joinpath(*parts).exists():
            return root.joinpath(*parts)
    message = f"shared test data not found: {'/'.join(parts)} (set ART_CROP_SHARED to the folder that holds it)"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def attention_center_file() -> Path:
    return _shared("models", "attention_center.tflite")


@pytest.fixture(scope="session")
def nima_file() -> Path:
    return _shared("models", "nima_technical.tflite")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Maps at every 8th pixel and outputs, measured with LiteRT."""
    return _shared("golden", "attention_center")


@pytest.fixture(scope="session")
def osie() -> Path:
    """700 photos of 800x600."""
    return _shared("images", "osie")


@pytest.fixture(scope="session")
def attention_center(attention_center_file: Path) -> Any:
    from art_crop_tflite.estimators import attention_center

    return attention_center(weights=attention_center_file)


@pytest.fixture(scope="session")
def nima(nima_file: Path) -> Any:
    from art_crop_tflite.estimators import nima_technical

    return nima_technical(weights=nima_file)
