"""From an entry point to its records: import the plugin, check its hooks, call them, and judge what they give.

Every plugin has a pluggy manager of its own, so that registering and calling one cannot touch another.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import islice
from types import MappingProxyType
from typing import Any

import pluggy

from art_crop.errors import class_name, printable
from art_crop.plugins import hookspecs
from art_crop.plugins.discovery import Candidate
from art_crop.plugins.isolation import Report, contained, import_target, state_kept
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

__all__ = ["HOOKS", "MOST_RECORDS", "SLOW", "Loaded", "load"]

HOOKS: Mapping[str, type[PluginSpec]] = MappingProxyType(
    {
        "art_crop_models": ModelSpec,
        "art_crop_attacks": AttackSpec,
        "art_crop_metrics": MetricSpec,
        "art_crop_datasets": DatasetSpec,
        "art_crop_defences": DefenceSpec,
        "art_crop_executors": ExecutorSpec,
        "art_crop_tasks": TaskSpec,
    }
)
"""Each hook and the class of the records that it gives."""
MOST_RECORDS = 1000
"""Records that one hook may give; a generator without end is cut there."""
SLOW = 0.5
"""Seconds from which a plugin is shown as slow: as long as the whole listing should take."""

_PREFIX = "art_crop_"
_HEAVY = ("torch", "art", "numpy", "tensorflow", "jax")


class Loaded(Report):
    """A plugin that was read: its good records, and what was wrong."""

    def __init__(self, candidate: Candidate) -> None:
        super().__init__()
        self.candidate = candidate
        self.records: list[PluginSpec] = []
        self.imported: list[str] = []
        self.changed: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What its author should know, though it breaks nothing."""
        notes = []
        if self.seconds >= SLOW:
            notes.append(f"slow: took {self.seconds:.1f} s to be read")
        if self.imported:
            notes.append(f"imports {', '.join(self.imported)}, which every listing has to wait for")
        if self.changed:
            notes.append(f"changes {', '.join(self.changed)} of the process when it is read; given back")
        if self.printed.strip():
            notes.append(f"prints when it is read: {printable(self.printed, 80)!r}")
        return tuple(notes)


def load(candidate: Candidate) -> Loaded:
    """Read one plugin; whatever it does, only Ctrl-C is raised."""
    loaded = Loaded(candidate)
    if candidate.problem:
        loaded.problems.append(candidate.problem)
        return loaded
    light = [name for name in _HEAVY if name not in sys.modules]
    with state_kept() as loaded.changed, contained(loaded, f"{candidate.distribution} {candidate.version}"):
        plugin = None
        with loaded.step(f"importing {candidate.target}"):
            plugin = import_target(candidate.target)
            if plugin is None:
                loaded.problems.append(f"{candidate.target} is None, not a module with hooks")
        if plugin is not None:
            with loaded.step("registering its hooks"):
                _read_hooks(plugin, loaded)
    if _restored():
        loaded.problems.append("changes the classes of records, which all plugins share; given back")
    loaded.imported = [name for name in light if name in sys.modules]
    return loaded


def _read_hooks(plugin: Any, loaded: Loaded) -> None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name=loaded.candidate.target)
    except pluggy.PluginValidationError as error:  # its text is three lines; the last says what is wrong
        loaded.problems.append(f"a hook does not fit its specification: {printable(str(error).splitlines()[-1])}")
        loaded.errors.append(error)
        return
    used = {caller.name: caller for caller in manager.get_hookcallers(plugin) or []}
    loaded.problems.extend(_misspelt(plugin, used))
    known = [name for name in HOOKS if name in used]
    if not known and not loaded.problems:
        loaded.problems.append(f"implements none of the hooks {', '.join(HOOKS)}")
    for name in known:
        with loaded.step(name):
            _call(used[name], loaded)


def _misspelt(plugin: Any, used: Mapping[str, pluggy.HookCaller]) -> Iterator[str]:
    """Sentences about hooks that would never be called: decorated under a wrong name, or named but not decorated."""
    for name, caller in used.items():
        if name not in HOOKS and not all(impl.optionalhook for impl in caller.get_hookimpls()):
            yield f"{printable(name)} is no hook{_nearest(name)}"
    decorated = {id(impl.function) for caller in used.values() for impl in caller.get_hookimpls()}
    for name in dir(plugin):
        value = inspect.getattr_static(plugin, name, None)
        if name.startswith(_PREFIX) and inspect.isfunction(value) and name not in used and id(value) not in decorated:
            if name in HOOKS:
                yield f"{name} is not decorated with @hookimpl, so that it is never called"
            else:
                yield f"{printable(name)} is no hook{_nearest(name)}"


def _nearest(name: str) -> str:
    kinds = [hook.removeprefix(_PREFIX) for hook in HOOKS]
    near = difflib.get_close_matches(name.removeprefix(_PREFIX), kinds, n=1)
    return f"; did you mean {_PREFIX}{near[0]}?" if near else f"; there are {', '.join(HOOKS)}"


def _call(hook: pluggy.HookCaller, loaded: Loaded) -> None:
    implementations = hook.get_hookimpls()
    if any(impl.wrapper or impl.hookwrapper for impl in implementations):
        loaded.problems.append(f"{hook.name} is a wrapper; a plugin's hooks only give records")
        return
    results = hook()
    if len(results) < len(implementations):  # pluggy drops None
        loaded.problems.append(f"{hook.name} gave None instead of {HOOKS[hook.name].__name__} records")
    for result in results:
        _judge(hook.name, result, loaded)


def _judge(hook: str, result: object, loaded: Loaded) -> None:
    """Keep the records that are good; iterating may raise half-way, which leaves those before it."""
    wanted = HOOKS[hook]
    if isinstance(result, (str, bytes, Mapping, PluginSpec)) or not isinstance(result, Iterable):
        if inspect.iscoroutine(result):
            result.close()
        loaded.problems.append(f"{hook} gave one {class_name(result)} instead of a list of {wanted.__name__} records")
        return
    wrong: list[object] = []
    try:
        for number, record in enumerate(islice(result, MOST_RECORDS + 1)):
            if number == MOST_RECORDS:
                loaded.problems.append(f"{hook} gave more than {MOST_RECORDS} records; the others are left out")
            elif type(record) is wanted:  # a subclass might skip the checks
                loaded.records.append(_plain(record))
            else:
                wrong.append(record)
    finally:
        if wrong:
            loaded.problems.append(f"{hook} gave {_described(wrong)} where {wanted.__name__} records are wanted")


def _plain(record: PluginSpec) -> PluginSpec:
    """The same record, checked anew and of plain texts: one may be changed after it was made, and a text be no text."""
    return type(record)(**{one.name: _plain_value(getattr(record, one.name)) for one in fields(record)})


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)  # exactly a str, without the methods of a class of its own
    return tuple(map(_plain_value, value)) if isinstance(value, tuple) else value


_CLASSES = {kind: dict(vars(kind)) for kind in (PluginSpec, *HOOKS.values())}


def _restored() -> bool:
    """Give the classes of records back as they were; tells whether a plugin had changed them."""
    changed = False
    for kind, before in _CLASSES.items():
        now = dict(vars(kind))
        for name in {*before, *now}:
            if name not in before:
                changed = True
                delattr(kind, name)
            elif now.get(name) is not before[name] and not name.startswith("__abstract"):
                changed = True
                setattr(kind, name, before[name])
    return changed


def _described(wrong: list[object]) -> str:
    first = class_name(wrong[0])
    belongs = [hook for hook, kind in HOOKS.items() if type(wrong[0]) is kind]
    text = f"a record of another hook ({first}, of {belongs[0]})" if belongs else f"a thing of type {first}"
    return text if len(wrong) == 1 else f"{text} and {len(wrong) - 1} more"
