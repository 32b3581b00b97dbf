"""What a benchmark suite says, as typed records; :mod:`art_crop.bench.suite_file` reads them from TOML.

The records hold plain values only, so that they can be hashed, kept as JSON and sent to other machines.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "AttackUse",
    "Data",
    "DefenceUse",
    "Limits",
    "ModelUse",
    "Setting",
    "Special",
    "Suite",
    "canonical",
    "digest",
]

PRESENTATION = ("title", "paper", "tables", "requirements")
"""Fields that decide no number; they are no part of a suite's hash."""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same text for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256, hexadecimal, of :func:`canonical`."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class DefenceUse:
    """A defence by the name that the suite gives it: a plugin and its options."""

    name: str
    plugin: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelUse:
    """A model by the name that the suite gives it: a plugin, its options, and the defences before it, in order."""

    name: str
    plugin: str
    options: Mapping[str, Any] = field(default_factory=dict)
    defences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Special:
    """Parameters that an attack has where ``when`` holds: names of parameters, or "attacked" and "scored"."""

    when: Mapping[str, Any]
    params: Mapping[str, Any]


@dataclass(frozen=True)
class AttackUse:
    """A row of a table: an attack, its parameters, and on which models.

    Attributes:
        method: Title of the row.
        plugin: The attack.
        attacked: Models whose gradients it takes; empty: none, it only knows the model that is scored.
        scored: Models by which results are judged.
        skip: Pairs (attacked, scored) that are left out.
        judged: The attack may ask the scored model whether it has succeeded.
        ensemble: Further models whose gradients it takes.
        mask: "" or "band": the band about the target in which paper 001 lays noise.
        params: Parameters of the attack.
        grid: Parameters with lists of values; every combination is a setting.
        special: Parameters that hold for some settings only; later ones win.
    """

    method: str
    plugin: str
    attacked: tuple[str, ...]
    scored: tuple[str, ...]
    skip: tuple[tuple[str, str], ...] = ()
    judged: bool = False
    ensemble: tuple[str, ...] = ()
    mask: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    special: tuple[Special, ...] = ()


@dataclass(frozen=True)
class Data:
    """Which photos: a dataset plugin and its options, every n-th photo from ``first`` on, resized, selected by a rule.

    Attributes:
        dataset: The plugin; its ``root`` is what ``--images`` names.
        options: Its other options.
        width: Photos are resized to it (Lanczos), in pixels; 0: left as they are.
        first: Indices of first photos.
        every: Only every n-th photo, from each of them on.
        selection: "paper-001", or "all" (every photo that has a target).
        selection_options: Limits of the rule, as of :func:`art_crop.datasets.selection.select_target`.
    """

    dataset: str = "folder"
    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 640
    first: tuple[int, ...] = (0,)
    every: int = 1
    selection: str = "paper-001"
    selection_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """At most so many photos (0: all), so many seconds for a photo and setting (0: no limit), photos in a unit."""

    photos: int = 0
    photo_seconds: float = 0.0
    batch: int = 8


@dataclass(frozen=True)
class Setting:
    """One attack with all its parameters, on one attacked and one scored model; attacked "" is none."""

    method: str
    plugin: str
    attacked: str
    scored: str
    judged: bool
    ensemble: tuple[str, ...]
    mask: str
    params: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Suite:
    """A whole suite; see :class:`AttackUse` and :class:`Data` for its parts.

    Attributes:
        name: Lower-case words joined by hyphens or underscores.
        protocol: What is measured for a photo, a name of :data:`art_crop.bench.protocols.PROTOCOLS`.
        protocol_options: Of that protocol.
        metrics: Plugins of measures of two photos, beside what the protocol measures.
        seeds: Each is a setting of its own.
        threads: Of torch, for a unit, so that results are the same to the last bit wherever they are computed.
        tables: What reports show, as the file has it.
        requirements: Distributions with plugins that it needs, as pip writes them.
    """

    name: str
    protocol: str
    models: tuple[ModelUse, ...]
    attacks: tuple[AttackUse, ...]
    title: str = ""
    paper: str = ""
    protocol_options: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    threads: int = 1
    data: Data = field(default_factory=Data)
    limits: Limits = field(default_factory=Limits)
    defences: tuple[DefenceUse, ...] = ()
    tables: tuple[Mapping[str, Any], ...] = ()
    requirements: tuple[str, ...] = ()

    def resolved(self) -> dict[str, Any]:
        """Everything the suite says, defaults filled in, as values that JSON can hold."""
        return json.loads(canonical(asdict(self)))  # type: ignore[no-any-return]

    @property
    def sha256(self) -> str:
        """Hash of all that decides a number; title, paper and tables are free to change."""
        return digest({key: value for key, value in self.resolved().items() if key not in PRESENTATION})

    def model(self, name: str) -> ModelUse:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def settings(self) -> Iterator[Setting]:
        """Every setting, in the order of the file."""
        for attack in self.attacks:
            axes = [[(name, value) for value in values] for name, values in attack.grid.items()]
            pairs = list(itertools.product(attack.attacked or ("",), attack.scored))
            for attacked, scored in (pair for pair in pairs if pair not in attack.skip):
                for point in itertools.product(*axes):
                    params = {**attack.params, **dict(point)}
                    known = {**params, "attacked": attacked, "scored": scored}
                    for special in attack.special:
                        if all(known.get(name) == value for name, value in special.when.items()):
                            params = {**params, **special.params}
                    for seed in self.seeds:
                        yield Setting(
                            attack.method,
                            attack.plugin,
                            attacked,
                            scored,
                            attack.judged,
                            attack.ensemble,
                            attack.mask,
                            params,
                            seed,
                        )
