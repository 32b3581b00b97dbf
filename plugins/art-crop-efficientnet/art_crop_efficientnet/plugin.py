"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """One classifier."""
    yield ModelSpec(
        name="efficientnet-lite0",
        target="art_crop_efficientnet.model:efficientnet_lite0",
        summary="ImageNet classifier (1000 classes) for photos of any size",
        task="classification",
        licence="Apache-2.0",
        weights="embedded",
    )
