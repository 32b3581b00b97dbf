"""The records by which models, attacks, metrics, data, defences, executors and tasks are known before they run.

A plugin's hooks return these; see :mod:`art_crop.plugins.hookspecs`. Making one imports nothing that it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from art_crop.errors import InvalidInputError

__all__ = [
    "KINDS",
    "AttackSpec",
    "DatasetSpec",
    "DefenceSpec",
    "ExecutorSpec",
    "Kind",
    "MetricSpec",
    "ModelSpec",
    "PluginSpec",
    "TaskSpec",
]

Kind = Literal["model", "attack", "metric", "dataset", "defence", "executor", "task"]
KINDS: tuple[Kind, ...] = ("model", "attack", "metric", "dataset", "defence", "executor", "task")
TASKS = ("", "saliency", "quality", "classification")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, kw_only=True)
class PluginSpec:
    """One named object and where it lives; make one of its subclasses. Every field is checked when it is made.

    Attributes:
        name: Lower-case words joined by hyphens; unique within its kind.
        target: ``"package.module:attribute"``, imported when the object is asked for and not before.
        summary: One line for listings.
        task: What it works on: ``"saliency"``, ``"quality"``, ``"classification"``; empty where it fits all.
        licence: SPDX identifier, or the terms in a few words where there is none for them; for models and datasets of
            the weights or the data. Empty: not stated.
        requirements: pip requirements beyond the plugin's own, such as ``("optuna>=4",)``; where one is not installed
            the object stays listed, and asking for it names the ``pip install`` that cures it.
        version: Of this object (weights, data) where it has one of its own; empty: its distribution's.

    Raises:
        InvalidInputError: A field is malformed.
    """

    kind: ClassVar[Kind]

    name: str
    target: str
    summary: str
    task: str = ""
    licence: str = ""
    requirements: tuple[str, ...] = ()
    version: str = ""

    def __post_init__(self) -> None:
        """Check every field that a listing or a loader relies on."""
        if not hasattr(self, "kind"):
            raise InvalidInputError("PluginSpec: make a ModelSpec, AttackSpec, MetricSpec, … instead")
        what = f"{type(self).__name__} {self.name!r}"
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "str" and not (isinstance(value, str) and (value.isprintable() or not value)):
                raise InvalidInputError(f"{what}: {field.name} must be text of one line, not {value!r}")
        if not _NAME.fullmatch(self.name):
            raise InvalidInputError(f"{what}: name must be lower-case words joined by hyphens")
        _check_target(what, "target", self.target)
        if not self.summary.strip():
            raise InvalidInputError(f"{what}: summary must not be empty")
        if self.task not in TASKS:
            raise InvalidInputError(f"{what}: task must be one of {', '.join(TASKS[1:])} or empty, not {self.task!r}")
        if not isinstance(self.requirements, tuple) or not all(isinstance(r, str) for r in self.requirements):
            raise InvalidInputError(f"{what}: requirements must be a tuple of texts, not {self.requirements!r}")
        for requirement in self.requirements:
            _check_requirement(what, requirement)


@dataclass(frozen=True, kw_only=True)
class ModelSpec(PluginSpec):
    """A model; the target is called with the user's keyword arguments and returns an ART estimator.

    Attributes:
        weights: ``"embedded"``, or ``"package.module:attribute"`` of a :class:`~art_crop.models.weights.WeightFile`
            that ``art-crop models fetch NAME`` downloads; empty where weights are the model's own affair.
    """

    kind: ClassVar[Kind] = "model"
    weights: str = ""

    def __post_init__(self) -> None:
        """Check the weights' place as well."""
        super().__post_init__()
        if self.weights not in ("", "embedded"):
            _check_target(f"ModelSpec {self.name!r}", "weights", self.weights)


@dataclass(frozen=True, kw_only=True)
class AttackSpec(PluginSpec):
    """An attack; the target is the class, a subclass of ART's ``EvasionAttack``."""

    kind: ClassVar[Kind] = "attack"


@dataclass(frozen=True, kw_only=True)
class MetricSpec(PluginSpec):
    """A metric; the target is the :class:`~art_crop.metrics.Metric` itself."""

    kind: ClassVar[Kind] = "metric"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PluginSpec):
    """A dataset; the target is called with the user's keyword arguments, such as ``root``.

    Attributes:
        photos: How many photos it has; 0 where that depends.
        source: ``"package.module:attribute"`` of a :class:`~art_crop.datasets.sources.DatasetSource`, which says where
            it is got and by which ``art-crop datasets fetch NAME`` works; ``"installed"`` where it comes with a
            package; ``"path"`` where it is whatever folder the user names; empty where that is its own affair.
    """

    kind: ClassVar[Kind] = "dataset"
    photos: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        """Check the number and the place of the source as well."""
        super().__post_init__()
        what = f"DatasetSpec {self.name!r}"
        if type(self.photos) is not int or self.photos < 0:
            raise InvalidInputError(f"{what}: photos must be a number of photos, or 0, not {self.photos!r}")
        if self.source not in ("", "installed", "path"):
            _check_target(what, "source", self.source)


@dataclass(frozen=True, kw_only=True)
class DefenceSpec(PluginSpec):
    """A defence; the target is called with the user's keyword arguments and returns an ART preprocessor."""

    kind: ClassVar[Kind] = "defence"


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(PluginSpec):
    """Where a benchmark suite's work is done; the target is called with the user's keyword arguments."""

    kind: ClassVar[Kind] = "executor"


@dataclass(frozen=True, kw_only=True)
class TaskSpec(PluginSpec):
    """What a suite measures for a photo; the target is the class, a subclass of :class:`~art_crop.bench.tasks.Task`.

    Its ``task`` says which models it measures.
    """

    kind: ClassVar[Kind] = "task"


def _check_target(what: str, field: str, value: str) -> None:
    if not _TARGET.fullmatch(value):
        raise InvalidInputError(f"{what}: {field} must read 'package.module:attribute', not {value!r}")


def _check_requirement(what: str, requirement: str) -> None:
    from packaging.requirements import InvalidRequirement, Requirement  # slow to import, and most records have none

    try:
        Requirement(requirement)
    except InvalidRequirement as error:
        raise InvalidInputError(
            f"{what}: requirements: {requirement!r} is not what pip understands; such as 'optuna>=4'"
        ) from error
