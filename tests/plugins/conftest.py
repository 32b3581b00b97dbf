"""Real distributions (metadata and modules) in a folder on sys.path, as pip would have left them there."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from art_crop.plugins import catalogue
from art_crop.plugins.catalogue import PluginStatus
from art_crop.plugins.registry import plugin_statuses

HEADER = """\
from art_crop.plugins import AttackSpec, DatasetSpec, DefenceSpec, ExecutorSpec, MetricSpec, ModelSpec, hookimpl

def model(name, target="fractions:Fraction", **more):
    return ModelSpec(name=name, target=target, summary="of a test", **more)
"""


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def metadata(self, name: str, version: str = "1.0", entry_points: str = "", metadata: str | None = None) -> Path:
        """Write a dist-info folder."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        if metadata:
            (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(entry_points)
        return info

    def module(self, name: str, code: str) -> None:
        """Write a module that has the record classes and the marker at hand."""
        (self.folder / f"{name}.py").write_text(HEADER + textwrap.dedent(code))

    def plugin(self, name: str, code: str, version: str = "1.0") -> None:
        """A distribution with one entry point and the module that it names."""
        module = name.replace("-", "_").lower() + "_plugin"
        self.metadata(name, version, f"[art_crop.plugins]\nmain = {module}\n")
        self.module(module, code)

    def good(self, name: str, *models: str, version: str = "1.0") -> None:
        """A plugin whose models are fractions: `load_model(name, numerator=1, denominator=2)`."""
        records = ", ".join(f"model({model!r})" for model in models)
        self.plugin(name, f"@hookimpl\ndef art_crop_models():\n    return [{records}]\n", version)

    def status(self, name: str) -> PluginStatus:
        """What became of the one plugin of that distribution."""
        (status,) = [status for status in plugin_statuses(warn=False) if status.distribution == name]
        return status


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    for variable in ("ART_CROP_PLUGINS", "ART_CROP_PLUGINS_STRICT"):
        monkeypatch.delenv(variable, raising=False)
    catalogue.forget()
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    monkeypatch.undo()
    importlib.invalidate_caches()
    catalogue.forget()
