"""What the plugin registers, and its weights: found, fetched from a server on this machine, refused when missing."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from art_crop_tflite import plugin
from art_crop_tflite.estimators import attention_center as build_attention_center
from art_crop_tflite.estimators import nima_aesthetic as build_aesthetic
from art_crop_tflite.estimators import nima_technical as build_nima
from art_crop_tflite.weights import ATTENTION_CENTER, NIMA_AESTHETIC, NIMA_TECHNICAL

from art_crop.errors import DownloadError, WeightsError
from art_crop.models.weights import WeightFile, fetch

FILES = {"attention-center": ATTENTION_CENTER, "nima-aesthetic": NIMA_AESTHETIC, "nima-technical": NIMA_TECHNICAL}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server(attention_center_file: Path) -> Iterator[str]:
    """The shared folder of models over HTTP, from this machine to itself."""
    handler = partial(Quiet, directory=str(attention_center_file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_the_hook_gives_the_models_and_their_places() -> None:
    specs = {spec.name: spec for spec in plugin.art_crop_models()}
    assert list(specs) == ["attention-center", "nima-aesthetic", "nima-technical", "tflite-saliency", "tflite-quality"]
    for spec in specs.values():
        module, _, attribute = spec.target.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))
    for name, weight_file in FILES.items():
        module, _, attribute = specs[name].weights.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert found is weight_file
        assert isinstance(found, WeightFile)
        assert found.name == name


def test_listing_imports_no_torch() -> None:
    code = "import sys, art_crop_tflite.plugin as p; list(p.art_crop_models()); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", FILES)
def test_the_recorded_hash_and_length_are_the_files(name: str, attention_center_file: Path) -> None:
    content = (attention_center_file.parent / FILES[name].file_name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == FILES[name].sha256
    assert len(content) == FILES[name].size
    assert FILES[name].url.startswith("https://raw.githubusercontent.com/")


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("attention-center", build_attention_center),
        ("nima-aesthetic", build_aesthetic),
        ("nima-technical", build_nima),
    ],
)
def test_fetched_weights_are_used(
    name: str, build: Any, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path))
    monkeypatch.delenv(FILES[name].environment_variable, raising=False)
    with pytest.raises(WeightsError, match=f"art-crop models fetch {name}"):
        build()
    found = fetch(FILES[name], url=f"{server}/{FILES[name].file_name}", progress=False)
    assert found.official
    assert build().weights_sha256 == FILES[name].sha256


def test_another_file_under_the_address_is_refused(server: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ART_CROP_CACHE", str(tmp_path))
    other = replace(ATTENTION_CENTER, size=NIMA_TECHNICAL.size)
    with pytest.raises(DownloadError, match="not the published file"):
        fetch(other, url=f"{server}/{NIMA_TECHNICAL.file_name}", progress=False)
    assert not list(tmp_path.glob("*.tflite"))


def test_the_environment_variable_names_a_file(attention_center_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ART_CROP_ATTENTION_CENTER", str(attention_center_file))
    assert build_attention_center().weights_sha256 == ATTENTION_CENTER.sha256
