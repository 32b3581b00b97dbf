"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """One model with an option for each metric."""
    yield ModelSpec(
        name="pyiqa",
        target="art_crop_pyiqa.model:quality",
        summary="no-reference image quality by pyiqa, metric='piqe' or another (non-commercial licence)",
        task="quality",
        licence="PolyForm-Noncommercial-1.0.0",
    )
