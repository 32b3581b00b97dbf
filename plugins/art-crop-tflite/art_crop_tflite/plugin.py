"""What this plugin adds."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import MetricSpec, ModelSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """Three published models, and two ways to bring a file of one's own."""
    yield ModelSpec(
        name="attention-center",
        target="art_crop_tflite.estimators:attention_center",
        summary="Google's saliency network (COCO, SALICON): where people look, 480x640",
        task="saliency",
        licence="Apache-2.0",
        weights="art_crop_tflite.weights:ATTENTION_CENTER",
    )
    yield ModelSpec(
        name="nima-aesthetic",
        target="art_crop_tflite.estimators:nima_aesthetic",
        summary="NIMA aesthetic quality, 1 to 10 (idealo's MobileNet, AVA)",
        task="quality",
        licence="Apache-2.0",
        weights="art_crop_tflite.weights:NIMA_AESTHETIC",
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


@hookimpl
def art_crop_metrics() -> Iterable[MetricSpec]:
    """NIMA's scores of a changed photo."""
    for kind in ("aesthetic", "technical"):
        yield MetricSpec(
            name=f"nima-{kind}-score",
            target=f"art_crop_tflite.metrics:NIMA_{kind.upper()}_SCORE",
            summary=f"NIMA's {kind} score of the changed photo, 1 to 10",
            licence="Apache-2.0",
        )
