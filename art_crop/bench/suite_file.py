"""Suites as TOML: read, checked to the last key, and every error names the file, the key and what is allowed there.

Example, which measures one attack at three budgets:

    name = "my-suite"
    task = "second-peak"
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

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from art_crop.bench.suite import Suite
from art_crop.bench.suite_checks import check_suite, found_plugin
from art_crop.bench.toml_section import SuiteError, TomlFile, shown
from art_crop.plugins.requirements import missing

__all__ = ["SuiteError", "find_suite", "load_suite", "shipped_suites"]

_ALIASES = (("protocol", "task"), ("protocol_options", "task_options"))
_MODELS = ("attacked", "scored")
_LISTS = {"attack": "attacks", "table": "tables"}
_KEYS = [*(_LISTS | {"task": "", "task_options": ""}), *_MODELS, *Suite.__struct_fields__]


def find_suite(name: str | Path) -> Path:
    """Find the file of a suite: a path, or the name of one that comes with the package or lies in its checkout.

    Raises:
        SuiteError: There is neither; the message gives the shipped ones.
    """
    path = Path(name).expanduser()
    if path.suffix == ".toml" or path.is_file():
        return path
    shipped = shipped_suites()
    if str(name) not in shipped:
        near = difflib.get_close_matches(str(name), shipped, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        known = ", ".join(shipped) or "none"
        raise SuiteError(f"suite: {str(name)!r} is neither a TOML file nor a shipped suite; {hint}shipped: {known}")
    return shipped[str(name)]


def load_suite(path: str | Path, *, instead: Mapping[str, str] | None = None) -> Suite:
    """Read a suite; plugins are looked up by name, and none is imported.

    Args:
        path: The file.
        instead: A model of the suite -> a model plugin, which takes its place everywhere, with its own options.

    Raises:
        SuiteError: The file cannot be read, is no TOML, or says something that is not allowed; or ``instead`` does.
    """
    toml = TomlFile(Path(path).expanduser())
    for key in toml.content:
        if key not in _KEYS or key in _LISTS.values():
            raise toml.unknown(key, key, [name for name in _KEYS if name not in _LISTS.values()])
    _check_requirements(toml)
    suite = toml.record(_content(toml), Suite)
    if instead:
        suite = _with_others(suite, instead, toml)
    check_suite(suite, toml)
    return suite


def shipped_suites() -> dict[str, Path]:
    """Find the suites that come with the package (a wheel has them inside) or lie in its checkout, by name."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "suites", here.parents[2] / "benchmarks" / "suites"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def _content(toml: TomlFile) -> dict[str, Any]:
    """Bring the file into the shape of a :class:`Suite`: what stands at its top goes where it is meant for."""
    toml.spelt["judged"] = "success_oracle"
    top = _renamed(toml, toml.content, "", "", _ALIASES)
    content = {key: value for key, value in top.items() if key not in (*_MODELS, *_LISTS)}
    content |= {"seeds": _listed(top.get("seeds", 0)), "title": top.get("title", top.get("name", ""))}
    if isinstance(data := top.get("data", {}), dict):
        content["data"] = {**data, "first": _listed(data.get("first", 0))}
    for kind in ("models", "defences"):
        content[kind] = []
        for i, (name, table) in enumerate(_of_type(toml, top, kind, dict).items()):
            toml.spelt[f"{kind}[{i}]"] = f"{kind}.{name}"
            if not isinstance(table, dict) or "name" in table:
                raise toml.error(f"{kind}.{name}", f"a table without a name in it is needed, not {shown(table)}")
            content[kind].append({"name": name, "plugin": name, **table})
    for key, ours in _LISTS.items():
        toml.spelt[ours] = key
        content[ours] = list(_of_type(toml, top, key, list))
    for i, table in enumerate(content["attacks"]):
        if isinstance(table, dict):
            where, ours = f"attack[{i}]", f"attacks[{i}]"
            use = _renamed(toml, table, f"{ours}.", f"{where}.", [("judged", "success_oracle")])
            for key in _MODELS:
                if key in top and key not in table:
                    toml.spelt[f"{ours}.{key}"] = key
            models = {key: top.get(key, []) for key in _MODELS}
            content["attacks"][i] = {"method": table.get("plugin", ""), **models, **use}
    return content


def _renamed(toml: TomlFile, table: Any, ours: str, where: str, aliases: Any) -> dict[str, Any]:
    """A table in which some keys have the name that results know them by."""
    found = dict(table)
    for known, name in aliases:
        if name in table:
            if known in table:
                text = f"is the earlier name of {name}, which is given as well; one of them is needed"
                raise toml.error(f"{where}{known}", text)
            found[known] = found.pop(name)
            toml.spelt[f"{ours}{known}"] = f"{where}{name}"
    return found


def _of_type(toml: TomlFile, top: Mapping[str, Any], key: str, kind: type) -> Any:
    value = top.get(key, kind())
    if not isinstance(value, kind):
        what = f"[[{key}]] tables are" if kind is list else f"tables [{key}.NAME] are"
        raise toml.error(key, f"{what} needed, not {shown(value)}")
    return value


def _listed(value: Any) -> Any:
    """A whole number may stand for a list of one."""
    return [value] if type(value) is int else value


def _check_requirements(toml: TomlFile) -> None:
    """Look for distributions without which the names of the file mean nothing, before any of those."""
    names = toml.content.get("requirements", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise toml.error("requirements", f"a list of different texts is needed, not {shown(names)}")
    try:
        lacking = missing(names)
    except ValueError as error:  # packaging's InvalidRequirement
        raise toml.error("requirements", f"requirements of pip are needed: {error}") from None
    if lacking:
        quoted = " ".join(f'"{name}"' for name in lacking)
        raise toml.error("requirements", f"this suite needs {', '.join(lacking)}: pip install {quoted}")


def _with_others(suite: Suite, instead: Mapping[str, str], toml: TomlFile) -> Suite:
    """Put other models in the places of some, under their own names."""
    names = [model.name for model in suite.models]
    for old, new in instead.items():
        if old not in names:
            raise toml.unknown("models", old, names)
        if new in (*names, *(other for key, other in instead.items() if key != old)):
            raise toml.error(f"models.{old}", f"{new!r} stands in this suite already and cannot take its place as well")
        found_plugin(toml, f"models.{old}", "model", new)

    def swapped(value: Any) -> Any:
        return [swapped(one) for one in value] if isinstance(value, (list, tuple)) else instead.get(value, value)

    content = to_builtins(suite)
    for attack in content["attacks"]:
        for table in (attack, *(special["when"] for special in attack["special"])):
            table.update({key: swapped(table[key]) for key in (*_MODELS, "ensemble", "skip") if key in table})
    for model in content["models"]:
        if model["name"] in instead:
            model.update(
                name=instead[model["name"]], plugin=instead[model["name"]], options={}, defences=[], after_jpeg=0
            )
    return convert(content, Suite)
