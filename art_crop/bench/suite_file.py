"""Suites as TOML: read, checked to the last key, and every error names the file, the key and what is allowed there.

Example, which measures one attack at three budgets:

    name = "my-suite"
    protocol = "second-peak"
    attacked = ["gaze-lite"]
    scored = ["fastgaze"]

    [models.gaze-lite]
    [models.fastgaze]

    [[attack]]
    method = "three steps"
    plugin = "saliency-peak-fgm"
    params = { max_iter = 3, mask = "grad-cam" }
    grid = { eps = [10.0, 20.0, 30.0] }
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from art_crop.bench.suite import AttackUse, Data, DefenceUse, Limits, ModelUse, Special, Suite
from art_crop.bench.suite_checks import check_suite
from art_crop.bench.toml_section import Section, SuiteError
from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError
from art_crop.plugins.lookup import find
from art_crop.plugins.requirements import missing
from art_crop.plugins.specs import Kind

__all__ = ["MASKS", "SELECTIONS", "SuiteError", "load_suite", "shipped_suites"]

MASKS = ("", "band")
SELECTIONS = ("paper-001", "all")
SELECTION_OPTIONS = ("max_maxima", "max_height_over_width", "min_distance", "min_ratio")
_NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_GIVEN_BY_RUNNER = {"root": "--images DIR", "weights": "--weights NAME=PATH", "device": "--device"}
_MODEL_KEYS = ("attacked", "scored")
_NOT_PARAMETERS = ("judge", "seed", "verbose", "ensemble", "summary_writer")


def load_suite(path: str | Path, *, instead: Mapping[str, str] | None = None) -> Suite:
    """Read a suite; plugins are looked up by name, and none is imported.

    Args:
        path: The file.
        instead: A model of the suite -> a model plugin, which takes its place everywhere, with its own options.

    Raises:
        SuiteError: The file cannot be read, is no TOML, or says something that is not allowed; or ``instead`` does.
    """
    file = Path(path).expanduser()
    top = Section(_parse(file), file.name, "")
    requirements = _requirements(top)
    defences = tuple(_defence(section) for section in top.named_tables("defences"))
    models = tuple(_model(section, [d.name for d in defences]) for section in top.named_tables("models"))
    names = [model.name for model in models]
    if not models:
        raise top.error("models", "at least one [models.NAME] is needed")
    attacked, scored = top.names("attacked", names, default=()), top.names("scored", names, default=())
    name = top.text("name")
    if not _NAME.fullmatch(name):
        raise top.error("name", f"lower-case words joined by - or _ are needed, not {name!r}")
    suite = Suite(
        name=name,
        title=top.text("title", name),
        paper=top.text("paper", ""),
        protocol=top.text("protocol"),
        protocol_options=top.plain_table("protocol_options"),
        models=models,
        defences=defences,
        attacks=tuple(_attack(section, names, attacked, scored) for section in top.tables("attack")),
        data=_data(top.section("data")),
        metrics=top.texts("metrics", ()),
        seeds=top.integers("seeds", (0,), at_least=0),
        threads=top.integer("threads", 1, at_least=1),
        limits=_limits(top.section("limits")),
        tables=tuple(_table(section) for section in top.tables("table")),
        requirements=requirements,
    )
    top.finish()
    suite = _with_others(suite, instead or {}, top)
    check_suite(suite, top)
    return suite


def shipped_suites() -> dict[str, Path]:
    """Suites that come with the package (a wheel has them inside) or lie in the checkout it runs from, by name."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "suites", here.parents[2] / "benchmarks" / "suites"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def _with_others(suite: Suite, instead: Mapping[str, str], top: Section) -> Suite:
    """The suite with other models in the places of some."""
    names = [model.name for model in suite.models]
    for old, new in instead.items():
        if old not in names:
            raise top.unknown("models", old, names)
        if new in (*names, *(other for key, other in instead.items() if key != old)):
            raise top.error(f"models.{old}", f"{new!r} stands in this suite already and cannot take its place as well")
        try:
            find("model", new)
        except ArtCropError as error:
            raise top.error(f"models.{old}", str(error).removeprefix("name: ")) from None

    def called(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(instead.get(name, name) for name in names)

    def special(one: Special) -> Special:
        when = {key: instead.get(value, value) if key in _MODEL_KEYS else value for key, value in one.when.items()}
        return Special(when, one.params)

    attacks = [
        replace(
            attack,
            attacked=called(attack.attacked),
            scored=called(attack.scored),
            ensemble=called(attack.ensemble),
            skip=tuple((instead.get(a, a), instead.get(b, b)) for a, b in attack.skip),
            special=tuple(map(special, attack.special)),
        )
        for attack in suite.attacks
    ]
    models = [ModelUse(instead[m.name], instead[m.name]) if m.name in instead else m for m in suite.models]
    return replace(suite, models=tuple(models), attacks=tuple(attacks))


def _parse(file: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingDependencyError('suites need tomli on Python 3.10: pip install "art-crop[bench]"') from error
    try:
        with file.open("rb") as stream:
            content: dict[str, Any] = tomllib.load(stream)
            return content
    except FileNotFoundError:
        raise SuiteError(f"{file}: there is no such suite") from None
    except OSError as error:
        raise SuiteError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{file.name}: is not TOML: {error}") from error


def _requirements(top: Section) -> tuple[str, ...]:
    """Distributions without which the names below mean nothing, so that they are looked for first."""
    requirements = top.texts("requirements", ())
    try:
        lacking = missing(requirements)
    except ValueError as error:  # packaging's InvalidRequirement
        raise top.error("requirements", f"requirements of pip are needed: {error}") from None
    if lacking:
        names = " ".join(f'"{name}"' for name in lacking)
        raise top.error("requirements", f"this suite needs {', '.join(lacking)}: pip install {names}")
    return requirements


def _plugin(section: Section, kind: Kind, default: str | None = None) -> str:
    name = section.text("plugin", default)
    try:
        find(kind, name)
    except InvalidInputError as error:
        raise section.error("plugin", str(error).removeprefix("name: ")) from None
    except ArtCropError as error:
        raise section.error("plugin", str(error)) from None
    return name


def _options(section: Section, key: str = "options") -> dict[str, Any]:
    options = section.plain_table(key)
    for name, instead in _GIVEN_BY_RUNNER.items():
        if name in options:
            raise section.error(f"{key}.{name}", f"has no place in a suite; it is given on the command line: {instead}")
    return options


def _defence(section: Section) -> DefenceUse:
    use = DefenceUse(section.name, _plugin(section, "defence", section.name), _options(section))
    section.finish()
    return use


def _model(section: Section, defences: list[str]) -> ModelUse:
    use = ModelUse(
        section.name,
        _plugin(section, "model", section.name),
        _options(section),
        section.names("defences", defences, default=()),
    )
    section.finish()
    return use


def _attack(section: Section, names: list[str], attacked: tuple[str, ...], scored: tuple[str, ...]) -> AttackUse:
    plugin = _plugin(section, "attack")
    skip = section.pairs("skip", (["", *names], names))
    use = AttackUse(
        method=section.text("method", plugin),
        plugin=plugin,
        attacked=section.names("attacked", names, default=attacked),
        scored=section.names("scored", names, default=scored),
        skip=skip,
        judged=section.boolean("judged", False),
        ensemble=section.names("ensemble", names, default=()),
        mask=section.choice("mask", MASKS, ""),
        params=section.plain_table("params"),
        grid=section.grid("grid"),
        special=tuple(_special(inner) for inner in section.tables("special")),
    )
    section.finish()
    if not use.scored:
        raise section.error("scored", "at least one model is needed, here or at the top of the file")
    both = sorted(set(use.params) & set(use.grid))
    if both:
        raise section.error(f"grid.{both[0]}", "is in params as well; a parameter stands in one of the two")
    specials = ((f"special[{k}].params", special.params) for k, special in enumerate(use.special))
    for key, values in (("params", use.params), ("grid", use.grid), *specials):
        for name in _NOT_PARAMETERS:
            if name in values:
                raise section.error(f"{key}.{name}", "is set by the runner; see seeds, judged and ensemble")
    return use


def _special(section: Section) -> Special:
    special = Special(section.plain_table("when"), section.plain_table("params"))
    section.finish()
    if not special.when or not special.params:
        raise section.error("when" if not special.when else "params", "must not be empty")
    return special


def _data(section: Section) -> Data:
    standard = Data()
    dataset = section.text("dataset", standard.dataset)
    try:
        find("dataset", dataset)
    except ArtCropError as error:
        raise section.error("dataset", str(error).removeprefix("name: ")) from None
    data = Data(
        dataset=dataset,
        options=_options(section),
        width=section.integer("width", standard.width, at_least=0),
        first=section.integers("first", standard.first, at_least=0),
        every=section.integer("every", 1, at_least=1),
        selection=section.choice("selection", SELECTIONS, standard.selection),
        selection_options=section.plain_table("selection_options"),
    )
    section.finish()
    for name, value in data.selection_options.items():
        if name not in SELECTION_OPTIONS:
            raise section.unknown(f"selection_options.{name}", name, SELECTION_OPTIONS)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise section.error(f"selection_options.{name}", f"a number is needed, not {value!r}")
    return data


def _table(section: Section) -> dict[str, Any]:
    """What a report shows; :func:`_check_tables` looks at what it asks for."""
    for key in ("title", "rows", "columns", "note"):
        section.text(key, "")
    section.texts("values", ())
    section.plain_table("paper")
    section.finish()
    return section.values_of_all()


def _limits(section: Section) -> Limits:
    standard = Limits()
    limits = Limits(
        photos=section.integer("photos", standard.photos, at_least=0),
        photo_seconds=section.number("photo_seconds", standard.photo_seconds, at_least=0),
        batch=section.integer("batch", standard.batch, at_least=1),
    )
    section.finish()
    return limits
