"""What is wrong with a suite that no single key of its file can show: plugins, models, attacks and tables together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from art_crop.bench.suite import MOST_SETTINGS, SELECTION_OPTIONS, AttackUse, Suite
from art_crop.bench.table_spec import check_table
from art_crop.bench.toml_section import TomlFile
from art_crop.errors import ArtCropError, InvalidInputError
from art_crop.plugins.lookup import find
from art_crop.plugins.registry import load_task
from art_crop.plugins.specs import Kind

if TYPE_CHECKING:
    from art_crop.bench.tasks import Task

__all__ = ["check_suite", "found_plugin", "task_called"]


def task_called(toml: TomlFile, name: str, options: dict[str, Any]) -> Task:
    """Find a suite's task, and check the options that it is given.

    Raises:
        SuiteError: There is no such task, or it has no such options.
    """
    found_plugin(toml, "protocol", "task", name)
    try:
        task: Task = load_task(name, **options)
    except InvalidInputError as error:
        raise toml.error("protocol_options", str(error)) from None
    return task


def found_plugin(toml: TomlFile, key: str, kind: Kind, name: str) -> str:
    """Find a plugin, and tell the task that it is for ("": any).

    Raises:
        SuiteError: There is none of that kind and name, or several; the message names the key.
    """
    try:
        return find(kind, name).spec.task
    except ArtCropError as error:
        raise toml.error(key, str(error).removeprefix("name: ")) from None


def check_suite(suite: Suite, toml: TomlFile) -> None:
    """Check plugins, task, metrics, tables, the number of settings, and that models go with attacks.

    Raises:
        SuiteError: Something does not go together; the message names the key.
    """
    for key, some, title in (("models", suite.models, "[models.NAME]"), ("attacks", suite.attacks, "[[attack]]")):
        if not some:
            raise toml.error(key, f"at least one {title} is needed")
    for i, defence in enumerate(suite.defences):
        found_plugin(toml, f"defences[{i}].plugin", "defence", defence.plugin)
    tasks = {
        use.name: found_plugin(toml, f"models[{i}].plugin", "model", use.plugin) for i, use in enumerate(suite.models)
    }
    for i, use in enumerate(suite.models):
        toml.known(f"models[{i}].defences", use.defences, [defence.name for defence in suite.defences])
    found_plugin(toml, "data.dataset", "dataset", suite.data.dataset)
    for name in suite.data.selection_options:
        if name not in SELECTION_OPTIONS:
            raise toml.unknown(f"data.selection_options.{name}", name, SELECTION_OPTIONS)
    task = task_called(toml, suite.protocol, suite.protocol_options)
    for i, metric in enumerate(suite.metrics):
        if found_plugin(toml, f"metrics[{i}]", "metric", metric):
            raise toml.error(f"metrics[{i}]", f"{metric!r} is no measure of two photos; such as psnr, ssim, linf")
    measures = [*task.measures, *task.survival, *suite.metrics, *suite.optional_metrics]
    taken: set[tuple[str, str]] = set()
    for i, attack in enumerate(suite.attacks):
        _check_attack(attack, f"attacks[{i}]", tasks, task, toml)
        _check_task_options(attack, f"attacks[{i}].task_options", suite, toml)
        own = {(attack.method, name) for name in attack.attacked or ("",)}
        if taken & own:
            text = f"{attack.method!r} stands there already for the same models attacked"
            raise toml.error(f"attacks[{i}].method", text)
        taken |= own
        if attack.size * len(suite.seeds) > MOST_SETTINGS:
            raise toml.error(f"attacks[{i}].grid", f"makes too many settings; a suite has at most {MOST_SETTINGS:,}")
    if suite.size > MOST_SETTINGS:
        raise toml.error("attacks", f"all together make too many settings; a suite has at most {MOST_SETTINGS:,}")
    for i, table in enumerate(suite.tables):  # found before anything runs, not hours later by the report
        for text in ("title", "note"):
            if not isinstance(table.get(text, ""), str):
                raise toml.error(f"tables[{i}].{text}", f"a text is needed, not {table[text]!r}")
        try:
            check_table(table, measures, [attack.method for attack in suite.attacks])
        except InvalidInputError as error:
            key, _, text = str(error).partition(": ")
            raise toml.error(f"tables[{i}].{key}", text) from None


def _check_task_options(attack: AttackUse, key: str, suite: Suite, toml: TomlFile) -> None:
    """Check the options that an attack gives the task; how files are written is the whole suite's affair."""
    for name in ("jpeg_quality", "survives_jpeg"):
        if name in attack.task_options:
            raise toml.error(f"{key}.{name}", "belongs to the whole suite, to the task_options at its top")
    if attack.task_options:
        try:
            load_task(suite.protocol, **{**suite.protocol_options, **attack.task_options})
        except InvalidInputError as error:
            raise toml.error(key, str(error)) from None


def _check_attack(attack: AttackUse, where: str, tasks: dict[str, str], task: Task, toml: TomlFile) -> None:
    """Check that models are there and go with attack and task, and that special conditions hold at times."""
    wanted = found_plugin(toml, f"{where}.plugin", "attack", attack.plugin)
    for key in ("attacked", "scored", "ensemble"):
        toml.known(f"{where}.{key}", getattr(attack, key), tasks)
        for own in {name: tasks[name] for name in getattr(attack, key) if tasks[name]}.items():
            text = "{!r} is a {} model, and ".format(*own)
            if own[1] != task.models:
                raise toml.error(f"{where}.{key}", f"{text}{task.name!r} measures {task.models} models")
            if wanted and own[1] != wanted:
                raise toml.error(f"{where}.{key}", f"{text}{attack.plugin!r} attacks {wanted} models")
    for i, pair in enumerate(attack.skip):
        for k, allowed in enumerate((["", *tasks], [*tasks])):
            if pair[k] not in allowed:
                raise toml.unknown(f"{where}.skip[{i}][{k}]", pair[k], allowed)
    known: dict[str, list[Any]] = {"attacked": list(attack.attacked or ("",)), "scored": list(attack.scored)}
    known |= {name: [value] for name, value in attack.params.items()} | attack.grid
    for k, special in enumerate(attack.special):  # one that never holds changes nothing, and nobody would see it
        for name, value in special.when.items():
            key = f"{where}.special[{k}].when.{name}"
            if name not in known:
                raise toml.unknown(key, name, known)
            if value not in known[name]:
                raise toml.error(key, f"is never {value!r} here; its values: {', '.join(map(repr, known[name]))}")
