"""From a name to the object it stands for, without importing anything else on the way.

A name is that of a record, or ``distribution/name`` where several installed distributions give that name. What ships
with this package keeps its bare names whatever is installed.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError, PluginError
from art_crop.plugins.catalogue import BUILTIN, Entry, PluginStatus, catalogue
from art_crop.plugins.isolation import Report, explain, import_target
from art_crop.plugins.lookup import find
from art_crop.plugins.requirements import missing
from art_crop.plugins.specs import TASKS, DatasetSpec, Kind, ModelSpec

__all__ = [
    "PluginRecord",
    "dataset_source",
    "list_plugins",
    "load_attack",
    "load_dataset",
    "load_defence",
    "load_executor",
    "load_task",
    "load_metric",
    "load_model",
    "model_weights",
    "plugin_statuses",
]


@dataclass(frozen=True)
class PluginRecord:
    """A row of `list_plugins()`.

    Attributes:
        kind: "model", "attack", "metric", "dataset", "defence", "executor" or "task".
        name: the name to load it by.
        distribution: the installed package that provides it.
        version: its own version where it states one, else that package's.
        status: "available"; "missing: ..." with the pip requirements it lacks; or "ask for distribution/name" where
            the bare name is somebody else's too.
        summary: one line.
        task: "saliency", "quality", "classification", or empty where it fits all.
        licence: SPDX identifier; empty where not stated.
        requirements: pip requirements beyond those of its package.
        ask_for: what to load it by: the name, or "distribution/name" where the bare name is somebody else's too.
        fetched: whether `art-crop models fetch` downloads its weights.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    status: str
    summary: str
    task: str = ""
    licence: str = ""
    requirements: tuple[str, ...] = ()
    ask_for: str = ""
    fetched: bool = False


def list_plugins(*, strict: bool | None = None, warn: bool = True) -> list[PluginRecord]:
    """List everything that can be loaded by name, by kind and name; imports neither torch nor ART.

    Args:
        strict: raise where any plugin is broken; default: as the variable ART_CROP_PLUGINS_STRICT says.
        warn: give the one warning of this process about broken plugins.

    Raises:
        PluginError: strict, and a plugin is broken.
    """
    entries = catalogue(strict=strict, warn=warn).entries
    owners = Counter((entry.spec.kind, entry.spec.name) for entry in entries)
    return [_record(entry, alone=owners[entry.spec.kind, entry.spec.name] == 1) for entry in entries]


def plugin_statuses(*, strict: bool | None = None, warn: bool = True) -> list[PluginStatus]:
    """What became of every installed plugin: art-crop itself first, then by distribution; arguments as for listing.

    Raises:
        PluginError: strict, and a plugin is broken.
    """
    return list(catalogue(strict=strict, warn=warn).plugins)


def load_model(name: str, *, task: str | None = None, **kwargs: Any) -> Any:
    """Build the ART estimator of that name.

    Args:
        name: such as "gaze-lite", "gaze-lite-human", "quality-lite" (embedded) or "fastgaze" (weights fetched or
            `weights=path`), or "distribution/name".
        task: "saliency", "quality" or "classification": what the model must be for, which type checkers and editors
            then know of it; None: anything. A model whose function has an option `task` of its own gets it as well,
            whatever its value.
        **kwargs: the model's own options, such as `weights` and `device`.

    Returns:
        The estimator.

    Raises:
        InvalidInputError: there is no such model, it is for another task, or an option of it is invalid.
        MissingDependencyError: it needs a package that is not installed.
        PluginError: two plugins own the name, or what it stands for cannot be imported.
    """
    if task is None:
        return _built("model", name, kwargs)
    entry = find("model", name)
    own = _takes(_callable(entry), "task")
    wanted = task in TASKS[1:]
    if not own and not wanted:
        raise InvalidInputError(f"task: one of {', '.join(TASKS[1:])} or None is needed, not {task!r}")
    if not own:
        _check_task(entry, entry.spec.task or task, task)  # before anything is built
    estimator = _built("model", name, {**kwargs, "task": task} if own else kwargs)
    if wanted:
        _check_task(entry, getattr(estimator, "task", ""), task)
    return estimator


def _takes(factory: Any, option: str) -> bool:
    """Whether a function names that option among its own."""
    try:
        return option in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some of what is written in C does not say
        return False


def _check_task(entry: Entry, found: object, wanted: str) -> None:
    if found != wanted:
        kind = f"for {found}" if found in TASKS[1:] else "for none of the tasks known here"
        raise InvalidInputError(f"task: model {entry.spec.name!r} of {entry} is {kind}, not for {wanted}")


def load_attack(name: str) -> type[Any]:
    """Return the attack class of that name ("saliency-peak-fgm") or class name ("SaliencyPeakFGM").

    Raises:
        InvalidInputError: there is no such attack.
        MissingDependencyError: it needs a package that is not installed.
        PluginError: two plugins own the name, or what it stands for is no class or cannot be imported.
    """
    entry = find("attack", name)
    attack = _object(entry)
    if not isinstance(attack, type):
        raise PluginError(f"{entry}: attack {entry.spec.name!r} must be a class, not {type(attack).__name__}")
    return attack


def load_metric(name: str) -> Any:
    """Return the metric of that name: its record of name, unit, direction and range, which is also its function.

    Raises:
        InvalidInputError: there is no such metric.
        MissingDependencyError: it needs a package that is not installed.
        PluginError: two plugins own the name, or what it stands for cannot be called or imported.
    """
    return _callable(find("metric", name))


def load_dataset(name: str, **kwargs: Any) -> Any:
    """Open the dataset of that name.

    Args:
        name: such as "osie" or "folder".
        **kwargs: the dataset's own options, such as `root`.

    Raises:
        InvalidInputError: there is no such dataset, or an option of it is invalid.
        MissingDependencyError: it needs a package that is not installed.
        PluginError: two plugins own the name, or what it stands for cannot be called or imported.
    """
    return _built("dataset", name, kwargs)


def load_defence(name: str, **kwargs: Any) -> Any:
    """Build the ART preprocessor of that name with the defence's own options; errors as for :func:`load_model`."""
    return _built("defence", name, kwargs)


def load_executor(name: str, **kwargs: Any) -> Any:
    """Build the executor of that name with its own options; errors as for :func:`load_model`."""
    return _built("executor", name, kwargs)


def load_task(name: str, **kwargs: Any) -> Any:
    """Build the task of that name with a suite's options for it; errors as for :func:`load_model`."""
    return _built("task", name, kwargs)


def model_weights(name: str) -> Any:
    """Where a model's weights come from: its weight file's record, or "embedded", or "" where that is its own affair.

    Raises:
        InvalidInputError: there is no such model.
        PluginError: two plugins own the name, or the weight file's record cannot be imported.
    """
    entry = find("model", name)
    weights = entry.spec.weights if isinstance(entry.spec, ModelSpec) else ""
    return weights if weights in ("", "embedded") else _imported(entry, weights)


def dataset_source(name: str) -> Any:
    """Where a dataset is got: its source's record, or "installed", "path", or "" where that is its own affair.

    Raises:
        InvalidInputError: there is no such dataset.
        PluginError: two plugins own the name, or the source's record cannot be imported.
    """
    entry = find("dataset", name)
    source = entry.spec.source if isinstance(entry.spec, DatasetSpec) else ""
    return source if source in ("", "installed", "path") else _imported(entry, source)


def _built(kind: Kind, name: str, options: dict[str, Any]) -> Any:
    entry = find(kind, name)
    factory = _callable(entry)
    if entry.key == BUILTIN:
        return factory(**options)
    try:
        with redirect_stdout(sys.stderr):  # what others print must not tear the JSON that our commands print
            return factory(**options)
    except SystemExit as error:
        raise PluginError(f"{entry}: {kind} {entry.spec.name!r} {explain(error)} when it was built") from error


def _callable(entry: Entry) -> Any:
    value = _object(entry)
    if not callable(value):
        raise PluginError(
            f"{entry}: {entry.spec.kind} {entry.spec.name!r} cannot be called: it is a {type(value).__name__}"
        )
    return value


def _object(entry: Entry) -> Any:
    lacking = missing(entry.spec.requirements)
    if lacking:
        wanted = " ".join(f'"{requirement}"' for requirement in lacking)
        raise MissingDependencyError(f"{entry.spec.kind} {entry.spec.name!r} needs more packages: pip install {wanted}")
    return _imported(entry, entry.spec.target)


def _imported(entry: Entry, target: str) -> Any:
    if entry.key == BUILTIN:
        return import_target(target)
    report = Report()
    value = None
    with redirect_stdout(sys.stderr), report.step(f"importing {target}"):
        value = import_target(target)
    for error in report.errors:
        if isinstance(error, ArtCropError):  # it says itself what to do
            raise error
        raise PluginError(
            f"{entry}: {entry.spec.kind} {entry.spec.name!r} cannot be loaded: {report.problems[0]}"
        ) from error
    return value


def _record(entry: Entry, *, alone: bool) -> PluginRecord:
    spec = entry.spec
    ask_for = spec.name if alone or entry.key == BUILTIN else entry.full_name
    lacking = missing(spec.requirements)
    status = "available" if ask_for == spec.name else f"ask for {ask_for}"
    return PluginRecord(
        kind=spec.kind,
        name=spec.name,
        distribution=entry.distribution,
        version=spec.version or entry.version,
        status=f"missing: {', '.join(lacking)}" if lacking else status,
        summary=spec.summary,
        task=spec.task,
        licence=spec.licence,
        requirements=spec.requirements,
        ask_for=ask_for,
        fetched=isinstance(spec, ModelSpec) and spec.weights not in ("", "embedded"),
    )
