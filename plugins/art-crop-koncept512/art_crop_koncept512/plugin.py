"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """One quality model."""
    yield ModelSpec(
        name="koncept512",
        target="art_crop_koncept512.model:koncept512",
        summary="KonCept512, image quality 0 to 100 as in KonIQ-10k; weights=path of your file",
        task="quality",
    )
