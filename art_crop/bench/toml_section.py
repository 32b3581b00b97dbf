"""A table of a TOML file whose keys are taken one by one, with errors that name file, key and allowed values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from art_crop.errors import InvalidInputError

__all__ = ["Section", "SuiteError"]


class SuiteError(InvalidInputError):
    """A suite says something that is not allowed; the message names the file, the key and what is."""


class Section:
    """One table: every ``take`` says what is allowed, and :meth:`finish` refuses the keys that nobody took."""

    def __init__(self, table: Mapping[str, Any], file: str, where: str) -> None:
        self._table, self._file, self._where = table, file, where
        self._known: list[str] = []

    @property
    def name(self) -> str:
        """The last part of where it stands: the name of a named table."""
        return self._where.rpartition(".")[2]

    def error(self, key: str, text: str) -> SuiteError:
        """An error about a key of this table."""
        return SuiteError(f"{self._file}: {'.'.join(filter(None, (self._where, key)))}: {text}")

    def unknown(self, key: str, name: str, allowed: Iterable[str]) -> SuiteError:
        """An error about a name that is not among the allowed ones, with the nearest of those."""
        names = [str(one) for one in allowed]
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return self.error(key, f"{name!r} is not known here; {hint}allowed: {', '.join(map(repr, names)) or 'nothing'}")

    def finish(self) -> None:
        """Refuse keys that were not asked for."""
        for key in self._table:
            if key not in self._known:
                raise self.unknown(key, key, self._known)

    def _get(self, key: str, kind: type | tuple[type, ...], what: str, default: Any) -> Any:
        self._known.append(key)
        if key not in self._table:
            if default is None:
                raise self.error(key, f"is missing; {what} is needed")
            return default
        value = self._table[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(key, f"{what} is needed, not {value!r}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value: str = self._get(key, str, "a text", default)
        if not value.isprintable():
            raise self.error(key, f"a text of one line is needed, not {value!r}")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of some texts."""
        value = self.text(key, default)
        if value not in allowed:
            raise self.unknown(key, value, allowed)
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        return bool(self._get(key, bool, "true or false", default))

    def integer(self, key: str, default: int, *, at_least: int) -> int:
        """A whole number."""
        value: int = self._get(key, int, "a whole number", default)
        if value < at_least:
            raise self.error(key, f"at least {at_least} is needed, not {value}")
        return value

    def number(self, key: str, default: float, *, at_least: float) -> float:
        """A finite number."""
        value = float(self._get(key, (int, float), "a number", default))
        if not at_least <= value < float("inf"):
            raise self.error(key, f"a number of at least {at_least} is needed, not {value}")
        return value

    def integers(self, key: str, default: tuple[int, ...], *, at_least: int) -> tuple[int, ...]:
        """A list of different whole numbers, at least one; in the file one of them may stand alone."""
        given = self._get(key, (int, list), "a whole number or a list of them", list(default))
        values = given if isinstance(given, list) else [given]
        # To 2**53, for tables of results hold them as floating-point numbers.
        good = all(
            isinstance(value, int) and not isinstance(value, bool) and at_least <= value <= 2**53 for value in values
        )
        if not values or not good or len(set(values)) < len(values):
            what = f"a list of different whole numbers from {at_least} to 2**53"
            raise self.error(key, f"{what} is needed, not {values!r}")
        return tuple(values)

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of different texts."""
        values = self._get(key, list, "a list of texts", list(default))
        if not all(isinstance(value, str) for value in values) or len(set(values)) < len(values):
            raise self.error(key, f"a list of different texts is needed, not {values!r}")
        return tuple(values)

    def names(self, key: str, allowed: Sequence[str], default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of texts, each one of the allowed ones."""
        values = self.texts(key, default)
        for i, value in enumerate(values):
            if value not in allowed:
                raise self.unknown(f"{key}[{i}]", value, allowed)
        return values

    def pairs(self, key: str, allowed: tuple[Sequence[str], Sequence[str]]) -> tuple[tuple[str, str], ...]:
        """A list of pairs of texts."""
        values = self._get(key, list, "a list of pairs", [])
        for i, pair in enumerate(values):
            if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
                raise self.error(f"{key}[{i}]", f"two texts are needed, not {pair!r}")
            for k in (0, 1):
                if pair[k] not in allowed[k]:
                    raise self.unknown(f"{key}[{i}][{k}]", pair[k], allowed[k])
        return tuple((pair[0], pair[1]) for pair in values)

    def section(self, key: str) -> Section:
        """A table inside; empty where there is none."""
        return Section(self._get(key, dict, "a table", {}), self._file, self._at(key))

    def named_tables(self, key: str) -> Iterator[Section]:
        """The tables of a table, each with its name."""
        tables = self._get(key, dict, "tables with names", {})
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise self.error(f"{key}.{name}", f"a table is needed, not {table!r}")
            yield Section(table, self._file, self._at(f"{key}.{name}"))

    def tables(self, key: str) -> Iterator[Section]:
        """A list of tables."""
        tables = self._get(key, list, f"[[{key}]] tables", [])
        for i, table in enumerate(tables):
            if not isinstance(table, dict):
                raise self.error(f"{key}[{i}]", f"a table is needed, not {table!r}")
            yield Section(table, self._file, self._at(f"{key}[{i}]"))

    def plain_table(self, key: str) -> dict[str, Any]:
        """A table of plain values: texts, finite numbers, booleans, and lists and tables of such."""
        table: dict[str, Any] = self._get(key, dict, "a table", {})
        for name, value in table.items():
            self._check_plain(f"{key}.{name}", value)
        return table

    def grid(self, key: str) -> dict[str, tuple[Any, ...]]:
        """A table of lists, none of them empty or with a value twice."""
        table = self.plain_table(key)
        for name, values in table.items():
            if not isinstance(values, list) or not values or any(v in values[:i] for i, v in enumerate(values)):
                raise self.error(f"{key}.{name}", f"a list of different values is needed, not {values!r}")
        return {name: tuple(values) for name, values in table.items()}

    def values_of_all(self) -> dict[str, Any]:
        """The whole table, as plain values."""
        for key, value in self._table.items():
            self._check_plain(key, value)
        return dict(self._table)

    def _check_plain(self, key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                self._check_plain(f"{key}.{name}", inner)
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                self._check_plain(f"{key}[{i}]", inner)
        elif not isinstance(value, (str, int, float)):
            raise self.error(key, f"text, a number, true, false, or a list or table of these is needed, not {value!r}")
        elif isinstance(value, float) and not abs(value) < float("inf"):
            raise self.error(key, "a finite number is needed")

    def _at(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key
