"""What this plugin adds. Every listing reads this module, so it imports nothing but the records."""

from __future__ import annotations

from collections.abc import Iterable

from art_crop.plugins import MetricSpec, ModelSpec, TaskSpec, hookimpl


@hookimpl
def art_crop_models() -> Iterable[ModelSpec]:
    """One model."""
    yield ModelSpec(
        name="contrast-saliency",
        target="art_crop_template.model:contrast_saliency",
        summary="baseline without training: colour and luminance contrast at four scales",
        task="saliency",
        licence="MIT",
    )


@hookimpl
def art_crop_metrics() -> Iterable[MetricSpec]:
    """One metric."""
    yield MetricSpec(
        name="rmse",
        target="art_crop_template.metric:RMSE",
        summary="root mean squared difference of two photos, in grey levels",
        licence="MIT",
    )


@hookimpl
def art_crop_tasks() -> Iterable[TaskSpec]:
    """One task of benchmark suites."""
    yield TaskSpec(
        name="peak-in-box",
        target="art_crop_template.task:PeakInBox",
        summary="the salient point comes into a box that is the same in every photo",
        task="saliency",
        licence="MIT",
    )
