"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """Two published models, and two ways to bring a file of one's own."""
    yield ModelSpec(
        name="attention-center",
        target="art_crop_tflite.estimators:attention_center",
        summary="Google's saliency network (COCO, SALICON): where people look, 480x640",
        task="saliency",
        licence="Apache-2.0",
        weights="art_crop_tflite.weights:ATTENTION_CENTER",
    )
    yield ModelSpec(
        name="nima-technical",
        target="art_crop_tflite.estimators:nima_technical",
        summary="NIMA technical quality, 1 to 10 (idealo's MobileNet, TID2013)",
        task="quality",
        licence="Apache-2.0",
        weights="art_crop_tflite.weights:NIMA_TECHNICAL",
    )
    yield ModelSpec(
        name="tflite-saliency",
        target="art_crop_tflite.estimators:tflite_saliency",
        summary="a saliency network of one's own from a .tflite file (weights=path)",
        task="saliency",
    )
    yield ModelSpec(
        name="tflite-quality",
        target="art_crop_tflite.estimators:tflite_quality",
        summary="a quality network of one's own from a .tflite file (weights=path)",
        task="quality",
    )
