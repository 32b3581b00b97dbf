"""From a name to the object it stands for, without importing anything else on the way."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

import art_crop
from art_crop.errors import InvalidInputError, MissingDependencyError
from art_crop.plugins import builtin
from art_crop.plugins.specs import Kind, PluginSpec

BUILTIN: tuple[PluginSpec, ...] = (
    *builtin.art_crop_models(),
    *builtin.art_crop_attacks(),
    *builtin.art_crop_metrics(),
    *builtin.art_crop_datasets(),
)


@dataclass(frozen=True)
class PluginRecord:
    """A row of `list_plugins()`.

    Attributes:
        kind: "model", "attack", "metric" or "dataset".
        name: the name to load it by.
        distribution: the installed package that provides it.
        version: that package's version.
        status: "available", or "missing: ..." with the pip requirements it lacks.
        summary: one line.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    status: str
    summary: str


def list_plugins() -> list[PluginRecord]:
    """List everything that can be loaded by name, by kind and name; imports neither torch nor ART."""
    records = []
    for spec in sorted(BUILTIN, key=lambda spec: (spec.kind, spec.name)):
        missing = _missing(spec.requirements)
        status = f"missing: {', '.join(missing)}" if missing else "available"
        records.append(PluginRecord(spec.kind, spec.name, "art-crop", art_crop.__version__, status, spec.summary))
    return records


def load_model(name: str, **kwargs: Any) -> Any:
    """Build the ART estimator of that name.

    Args:
        name: such as "gaze-lite", "gaze-lite-human" (both embedded) or "fastgaze" (weights fetched or `weights=path`).
        **kwargs: the model's own options, such as `weights` and `device`.

    Returns:
        The estimator.

    Raises:
        InvalidInputError: there is no such model, or an option of it is invalid.
        MissingDependencyError: it needs a package that is not installed.
    """
    return _resolve("model", name)(**kwargs)


def load_attack(name: str) -> type[Any]:
    """Return the attack class of that name ("saliency-peak-fgm") or class name ("SaliencyPeakFGM").

    Raises:
        InvalidInputError: there is no such attack.
        MissingDependencyError: it needs a package that is not installed.
    """
    attack: type[Any] = _resolve("attack", name)
    return attack


def load_metric(name: str) -> Any:
    """Return the metric of that name: its record of name, unit, direction and range, which is also its function.

    Raises:
        InvalidInputError: there is no such metric.
        MissingDependencyError: it needs a package that is not installed.
    """
    return _resolve("metric", name)


def load_dataset(name: str, **kwargs: Any) -> Any:
    """Open the dataset of that name.

    Args:
        name: such as "osie" or "folder".
        **kwargs: the dataset's own options, such as `root`.

    Raises:
        InvalidInputError: there is no such dataset, or an option of it is invalid.
        MissingDependencyError: it needs a package that is not installed.
    """
    return _resolve("dataset", name)(**kwargs)


def find(kind: Kind, name: str) -> PluginSpec:
    """Return the record of that kind and name; an attack is also found by its class name.

    Raises:
        InvalidInputError: there is none; the message gives the nearest names, or all when none is near.
    """
    specs = {spec.name: spec for spec in BUILTIN if spec.kind == kind}
    if name in specs:
        return specs[name]
    for spec in specs.values():
        if kind == "attack" and name == spec.target.partition(":")[2]:
            return spec
    near = difflib.get_close_matches(str(name).lower(), specs, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known names: {', '.join(sorted(specs))}"
    raise InvalidInputError(f"name: there is no {kind} {name!r}; {hint}")


def _resolve(kind: Kind, name: str) -> Any:
    spec = find(kind, name)
    missing = _missing(spec.requirements)
    if missing:
        wanted = " ".join(f'"{requirement}"' for requirement in missing)
        raise MissingDependencyError(f"{kind} {spec.name!r} needs more packages: pip install {wanted}")
    module, _, attribute = spec.target.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def _missing(requirements: Iterable[str]) -> list[str]:
    """Return those requirements that no installed distribution satisfies."""
    missing = []
    for text in requirements:
        requirement = Requirement(text)
        try:
            satisfied = requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
        except importlib.metadata.PackageNotFoundError:
            satisfied = False
        if not satisfied:
            missing.append(text)
    return missing
