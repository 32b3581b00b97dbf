"""What is wrong with a suite that no single key of its file can show: models, attacks, metrics and tables together."""

from __future__ import annotations

from typing import Any

from art_crop.bench.suite import AttackUse, Suite
from art_crop.bench.toml_section import Section
from art_crop.errors import ArtCropError, InvalidInputError
from art_crop.plugins.lookup import find

__all__ = ["check_suite"]


def check_suite(suite: Suite, top: Section) -> None:
    """What no single key can show: protocol, metrics, and models that do not go with attacks."""
    from art_crop.bench.protocols import check_options, protocol_called

    if not suite.attacks:
        raise top.error("attack", "at least one [[attack]] is needed")
    try:
        protocol = protocol_called(suite.protocol)
    except InvalidInputError as error:
        raise top.error("protocol", str(error)) from None
    try:
        check_options(protocol, suite.protocol_options)
    except InvalidInputError as error:
        raise top.error("protocol_options", str(error)) from None
    _check_metrics(suite, top)
    _check_tables(suite, top)
    task_of = {model.name: find("model", model.plugin).spec.task for model in suite.models}
    for i, attack in enumerate(suite.attacks):
        wanted = find("attack", attack.plugin).spec.task
        for key, names in (
            ("attacked", attack.attacked),
            ("scored", attack.scored),
            ("ensemble", attack.ensemble),
        ):
            for name in names:
                task = task_of[name]
                if task and task != protocol.task:
                    raise top.error(
                        f"attack[{i}].{key}",
                        f"{name!r} is a {task} model, and {suite.protocol!r} measures {protocol.task} models",
                    )
                if task and wanted and task != wanted:
                    raise top.error(
                        f"attack[{i}].{key}",
                        f"{attack.plugin!r} attacks {wanted} models, and {name!r} is a {task} model",
                    )
    for i, attack in enumerate(suite.attacks):
        taken = {name for one in suite.attacks[:i] if one.method == attack.method for name in one.attacked or ("",)}
        if taken & set(attack.attacked or ("",)):
            raise top.error(
                f"attack[{i}].method", f"{attack.method!r} stands there already for the same models attacked"
            )
        _check_specials(attack, f"attack[{i}]", top)


def _check_specials(attack: AttackUse, where: str, top: Section) -> None:
    """Conditions that never hold change nothing, and nobody would see it."""
    known: dict[str, list[Any]] = {"attacked": list(attack.attacked or ("",)), "scored": list(attack.scored)}
    known |= {name: [value] for name, value in attack.params.items()}
    known |= {name: list(values) for name, values in attack.grid.items()}
    for k, special in enumerate(attack.special):
        for name, value in special.when.items():
            if name not in known:
                raise top.unknown(f"{where}.special[{k}].when.{name}", name, known)
            if value not in known[name]:
                values = ", ".join(map(repr, known[name]))
                raise top.error(f"{where}.special[{k}].when.{name}", f"is never {value!r} here; its values: {values}")


def _check_metrics(suite: Suite, top: Section) -> None:
    for i, metric in enumerate(suite.metrics):
        try:
            task = find("metric", metric).spec.task
        except ArtCropError as error:
            raise top.error(f"metrics[{i}]", str(error).removeprefix("name: ")) from None
        if task:
            raise top.error(f"metrics[{i}]", f"{metric!r} is no measure of two photos; such as psnr, ssim, linf")


def _check_tables(suite: Suite, top: Section) -> None:
    """A table that could not be made is found before anything runs, not hours later by the report."""
    from art_crop.bench.protocols import protocol_called
    from art_crop.bench.table_spec import check_table

    metrics = [*protocol_called(suite.protocol).measures, *suite.metrics]
    methods = [attack.method for attack in suite.attacks]
    checked = 0
    try:
        for table in suite.tables:
            check_table(table, metrics, methods)
            checked += 1
    except InvalidInputError as error:
        key, _, text = str(error).partition(": ")
        raise top.error(f"table[{checked}].{key}", text) from None
