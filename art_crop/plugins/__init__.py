"""Named models, attacks, metrics, data, defences and executors: their records, and the way from a name to one."""

from art_crop.plugins.hookspecs import hookimpl
from art_crop.plugins.specs import (
    AttackSpec,
    DatasetSpec,
    DefenceSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    PluginSpec,
    TaskSpec,
)

__all__ = [
    "AttackSpec",
    "DatasetSpec",
    "DefenceSpec",
    "ExecutorSpec",
    "MetricSpec",
    "ModelSpec",
    "PluginSpec",
    "TaskSpec",
    "hookimpl",
]
