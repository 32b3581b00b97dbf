"""Reading the text tables of datasets: small, UTF-8, and refused with the line that is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from art_crop.errors import InvalidInputError

__all__ = ["read_csv", "read_list"]

Row = TypeVar("Row")

MOST_BYTES = 32 << 20
"""Longest table that is read; the known ones have up to 2 MB."""


def read_csv(path: Path, columns: tuple[str, ...], parse: Callable[[dict[str, str]], Row]) -> list[Row]:
    """Rows of a CSV file whose first line names its columns.

    Args:
        path: The file.
        columns: Which it must have; others may be there.
        parse: Makes of a row, by its columns' names, what is returned; a ValueError of it names the line.

    Raises:
        InvalidInputError: it cannot be read, lacks a column, or has a row that cannot be parsed.
    """
    reader = csv.DictReader(_lines(path), strict=True)
    try:
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise InvalidInputError(f"root: {path} must have the columns {', '.join(columns)}; it lacks {absent[0]}")
        rows = []
        for row in reader:
            if None in row.values() or None in row:
                raise ValueError(f"has not {len(reader.fieldnames or ())} values")
            rows.append(parse(row))
        return rows
    except (ValueError, csv.Error) as error:
        raise _wrong_line(path, reader.line_num, error) from error


def read_list(path: Path, parse: Callable[[str, int], Row]) -> list[Row]:
    """Rows of a text file with a name and a number in each line; arguments and errors as for :func:`read_csv`."""
    rows, number = [], 0
    try:
        for number, line in enumerate(_lines(path), 1):  # noqa: B007 - named where a line is wrong
            name, value = line.split()
            rows.append(parse(name, int(value)))
    except ValueError as error:
        raise _wrong_line(path, number, error) from error
    return rows


def _wrong_line(path: Path, number: int, error: Exception) -> InvalidInputError:
    if isinstance(error, InvalidInputError):
        return error
    return InvalidInputError(f"root: {path}, line {number}: {str(error)[:200]}")


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InvalidInputError(f"root: {path} is longer than the allowed {MOST_BYTES:,} bytes")
        return iter(content.decode("utf-8-sig").splitlines())
    except OSError as error:
        raise InvalidInputError(f"root: {path} cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"root: {path} is not UTF-8 text") from error
