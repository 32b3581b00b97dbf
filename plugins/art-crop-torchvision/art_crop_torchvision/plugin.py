"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """Two classifiers."""
    yield ModelSpec(
        name="torchvision-classifier",
        target="art_crop_torchvision.model:torchvision_classifier",
        summary="any torchvision classifier: architecture=..., weights='DEFAULT' or a file of yours",
        task="classification",
    )
    yield ModelSpec(
        name="resnet50-places365",
        target="art_crop_torchvision.model:resnet50_places365",
        summary="scene classifier (365 classes); weights=path of resnet50_places365.pth.tar",
        task="classification",
    )
