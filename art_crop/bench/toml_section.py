"""A TOML file as records of msgspec, with errors that name file, key and allowed values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from art_crop.errors import InvalidInputError, MissingDependencyError

__all__ = ["SuiteError", "TomlFile"]

Record = TypeVar("Record", bound=msgspec.Struct)
_DEEPEST = 32


class SuiteError(InvalidInputError):
    """A suite says something that is not allowed; the message names the file, the key and what is."""


class TomlFile:
    """A TOML file that holds texts of one line, finite numbers, booleans, and lists and tables of such.

    Attributes:
        content: All of it.
        spelt: Keys of the record that is made of it -> keys of the file, where they differ; for messages.

    Raises:
        SuiteError: The file cannot be read, is no TOML, or holds anything else.
        MissingDependencyError: On Python 3.10, tomli is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.spelt = path.name, dict[str, str]()
        try:
            self.content: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
        except ImportError as error:
            raise MissingDependencyError('suites need tomli on Python 3.10: pip install "art-crop[bench]"') from error
        except FileNotFoundError:
            raise SuiteError(f"{path}: there is no such suite") from None
        except OSError as error:
            raise SuiteError(f"{path}: cannot be read: {error.strerror or error}") from error
        except RecursionError:
            raise SuiteError(f"{self.name}: is nested too deeply; at most {_DEEPEST} levels are allowed") from None
        except ValueError as error:  # msgspec's, that of UTF-8, and Python's about numbers of thousands of digits
            raise SuiteError(f"{self.name}: is not TOML: {str(error).partition(';')[0]}") from error
        self._check_plain("", self.content, 0)

    def error(self, key: str, text: str) -> SuiteError:
        """Make an error about a key of the record."""
        for ours in sorted(self.spelt, key=len, reverse=True):
            if re.match(rf"{re.escape(ours)}($|[.\[])", key):
                key = self.spelt[ours] + key[len(ours) :]
                break
        return SuiteError(f"{self.name}: {key}: {text}")

    def unknown(self, key: str, name: str, allowed: Iterable[str]) -> SuiteError:
        """Make an error about a name that is not among the allowed ones, with the nearest of those."""
        names = [str(one) for one in allowed]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return self.error(key, f"{name!r} is not known here; {hint}allowed: {', '.join(map(repr, names)) or 'nothing'}")

    def known(self, key: str, names: Iterable[str], allowed: Iterable[str]) -> None:
        """Refuse a list with a name that is not among the allowed ones."""
        for i, name in enumerate(names):
            if name not in allowed:
                raise self.unknown(f"{key}[{i}]", name, allowed)

    def record(self, content: dict[str, Any], kind: type[Record]) -> Record:
        """Make a record; descriptions of its fields (``Meta``) say what is allowed.

        Raises:
            SuiteError: A key is missing, is unknown, or has a value that is not allowed.
        """
        try:
            return msgspec.convert(content, kind)
        except msgspec.ValidationError as error:
            raise self._sentence(error, content, kind) from None

    def _sentence(self, error: msgspec.ValidationError, value: Any, kind: Any) -> SuiteError:
        """Say what msgspec found in the words of this file; it names the place, and types describe what is allowed."""
        text, _, path = str(error).removesuffix("`").partition(" - at `$.")
        found, said = value, (path, "", value)  # of the nearest key around it that is described
        for step in re.finditer(r"([\w-]+)|\[(\d+)\]", path):
            kind = _fields(kind)[step[1]] if step[1] else get_args(kind)[0]
            found = found[step[1] if step[1] else int(step[2])]
            if what := _described(kind):
                said = (path[: step.end()], what, found)
            kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
        prefix = f"{path}." if path else ""
        if error.__cause__ is not None:  # what a record refuses itself
            key, _, text = text.partition(": ")
            return self.error(prefix + key, text)
        if match := re.match(r"Object (?:missing required|contains unknown) field `([^`]*)", text):
            names = _fields(kind)
            if match[1] in names:
                return self.error(prefix + match[1], f"is missing; {_described(names[match[1]])} is needed")
            return self.unknown(prefix + match[1], match[1], [self.spelt.get(name, name) for name in names])
        if text.startswith("Invalid enum value"):
            return self.unknown(path, found, get_args(kind))
        return self.error(said[0], f"{said[1]} is needed, not {shown(said[2])}")

    def _check_plain(self, key: str, value: Any, depth: int) -> None:
        if depth > _DEEPEST:
            raise self.error(f"{key[:40]}…", f"is nested too deeply; at most {_DEEPEST} levels are allowed")
        if isinstance(value, (dict, list)):
            for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
                step = f"[{name}]" if isinstance(value, list) else f".{name}" if key else name
                self._check_plain(f"{key}{step}", inner, depth + 1)
        elif isinstance(value, str) and not value.isprintable():
            raise self.error(key, f"a text of one line is needed, not {shown(value)}")
        elif not isinstance(value, (str, int, float)):
            what = "text, a number, true, false, or a list or table of these"
            raise self.error(key, f"{what} is needed, not {shown(value)}")
        elif not isinstance(value, str) and not abs(value) < (float("inf") if isinstance(value, float) else 2**63):
            raise self.error(key, "a finite number is needed, a whole one of at most 64 bits")


def shown(value: Any) -> str:
    """Show a value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _fields(kind: Any) -> dict[str, Any]:
    return {one.encode_name: one.type for one in msgspec.structs.fields(kind)}


def _described(kind: Any) -> str:
    return next((meta.description for meta in getattr(kind, "__metadata__", ()) if meta.description), "")
