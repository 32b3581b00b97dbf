"""Benchmark suites from Python: run one, write its report, and compare two models on the same photos.

    from art_crop import bench

    mine = bench.run("smoke", out="mine", models={"gaze-lite": "gaze-lite-human"}, limit=2)
    bench.report(mine)
    found = bench.compare(bench.run("smoke", out="theirs", limit=2), mine)
    print(found.table)

The functions are those behind ``art-crop bench``. They are resolved when they are first used (PEP 562), so that
``import art_crop.bench`` itself imports neither torch nor ART.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from art_crop.bench.api import Run, RunStopped, compare, report, run

__all__ = ["Run", "RunStopped", "compare", "report", "run"]


def __getattr__(name: str) -> Any:
    """Import the module behind a public name."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("art_crop.bench.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
