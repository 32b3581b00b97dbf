"""All that a plugin can add to art_crop, on one screen.

A plugin is an installed distribution with an entry point in the group ``art_crop.plugins`` that names a module:

    [project.entry-points."art_crop.plugins"]
    my-plugin = "my_package.plugin"

That module implements any of these hooks and imports nothing heavy, for it is read by every listing:

    from art_crop.plugins import ModelSpec, hookimpl

    @hookimpl
    def art_crop_models():
        yield ModelSpec(name="my-cropper", target="my_package.model:load", summary="what it is", task="saliency")
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from art_crop.plugins.specs import AttackSpec, DatasetSpec, DefenceSpec, ExecutorSpec, MetricSpec, ModelSpec, TaskSpec

PROJECT = "art_crop"
GROUP = "art_crop.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def art_crop_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Models: saliency regressors, quality regressors, classifiers."""


@hookspec
def art_crop_attacks() -> Iterable[AttackSpec]:  # type: ignore[empty-body]
    """Attacks."""


@hookspec
def art_crop_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Metrics."""


@hookspec
def art_crop_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Datasets."""


@hookspec
def art_crop_defences() -> Iterable[DefenceSpec]:  # type: ignore[empty-body]
    """Defences."""


@hookspec
def art_crop_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """Executors."""


@hookspec
def art_crop_tasks() -> Iterable[TaskSpec]:  # type: ignore[empty-body]
    """Tasks: what a benchmark suite measures for a photo."""
