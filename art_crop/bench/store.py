"""Results of a run: a folder with ``run.json`` and Parquet parts, written so that no stop at any moment harms them.

A part is written under a temporary name, reaches the disk and then takes a name that is the hash of its content. What
was not finished was not begun: the runner does it again. Rows of one key are the same result, so that runners that meet
in one folder may at worst do work twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COLUMNS",
    "EXCLUDED",
    "SCHEMA_VERSION",
    "DamagedPartWarning",
    "RunInfo",
    "parts_of",
    "photo_set_sha256",
    "read_keys",
    "read_parts",
    "read_rows",
    "read_run",
    "schema",
    "small_parts",
]

SCHEMA_VERSION = 1
EXCLUDED = "excluded"
"""``error_kind`` of a photo that the suite's selection rule leaves out: no failure, and no part of any share."""
COLUMNS: Mapping[str, str] = {
    "key": "string",
    "unit": "string",
    "photo": "string",
    "photo_sha256": "string",
    "width": "int32",
    "height": "int32",
    "group": "string",
    "attacked": "string",
    "scored": "string",
    "attack": "string",
    "method": "string",
    "params": "string",
    "eps": "float64",
    "norm": "string",
    "seed": "int64",
    "success": "bool_",
    "success_before": "bool_",
    "l2": "float64",
    "linf": "float64",
    "gradients": "int64",
    "queries": "int64",
    "seconds": "float64",
    "metrics": "map",
    "curve": "list",
    "curve_of": "string",
    "facts": "string",
    "image": "string",
    "original": "string",
    "error": "string",
    "error_kind": "string",
}
"""Name and Arrow type of every column, in order; one row is a photo, a setting and a scored model."""
_LATER = ("curve_of",)
"""Columns that results of earlier versions lack; they read as empty."""
_ORDER = ("photo", "scored", "attacked", "method", "eps", "seed", "key")


class DamagedPartWarning(UserWarning):
    """A part of the results cannot be read; its rows count as not computed."""


def arrow() -> Any:
    """Pyarrow, with its Parquet and its compute functions.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError('benchmark results need pyarrow: pip install "art-crop[bench]"') from error
    return pyarrow


def schema() -> pa.Schema:
    """The Arrow schema of :data:`COLUMNS`."""
    pa = arrow()
    nested = {"map": pa.map_(pa.string(), pa.float64()), "list": pa.list_(pa.float64())}
    fields = [(name, nested.get(kind) or getattr(pa, kind)()) for name, kind in COLUMNS.items()]
    return pa.schema(fields)


def __getattr__(name: str) -> Any:
    """``SCHEMA``, made when it is asked for, so that importing this module needs no pyarrow."""
    if name == "SCHEMA":
        return schema()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True)
class RunInfo:
    """``run.json``: which suite, which models, by what and on which machine.

    Attributes:
        suite: Its name.
        suite_sha256: Hash of all of it that decides a number.
        suite_content: The resolved suite, as JSON.
        art_crop: Version.
        versions: Of torch, numpy, Python and the plugins' distributions.
        machine: system, processor, cores, gpu.
        started: UTC, ISO 8601.
        command: As it was given, paths shortened to their last part.
        models: Name in the suite -> weights_sha256, distribution, version, licence.
        data: dataset, photos, the sha256 of all photos' hashes, and the dataset's licence.
        schema: Version of this folder's layout.
    """

    suite: str
    suite_sha256: str
    suite_content: dict[str, Any]
    art_crop: str
    versions: dict[str, str]
    machine: dict[str, Any]
    started: str
    command: str
    models: dict[str, dict[str, str]]
    data: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION


def read_run(run: Path) -> RunInfo:
    """What ``run.json`` says.

    Raises:
        InvalidInputError: The folder holds no run, one of another layout, or a damaged ``run.json``.
    """
    path = run / "run.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInputError(f"{run} is no folder of results: it has no run.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
        found = content.get("schema") if isinstance(content, dict) else None
        raise InvalidInputError(
            f"{path} has layout {found!r}, and this version reads {SCHEMA_VERSION}; choose another folder"
        )
    try:
        return RunInfo(**content)
    except TypeError as error:
        raise InvalidInputError(f"{path} is not as art-crop bench wrote it: {error}") from error


def read_rows(run: Path) -> pa.Table:
    """All rows of a run, one for each key, in an order that does not depend on how they were computed.

    A part that cannot be read is named in a :class:`DamagedPartWarning` and passed over. Of rows with one key, one
    without an error is preferred.

    Raises:
        InvalidInputError: As :func:`read_run`.
        MissingDependencyError: Without pyarrow.
    """
    read_run(run)
    table, _, damaged = read_parts(run / "results")
    for path, reason in damaged:
        warnings.warn(f"{path.name} is damaged and passed over: {reason}", DamagedPartWarning, stacklevel=2)
    return table


def parts_of(results: Path) -> list[Path]:
    """Files of the parts of a results folder, by name."""
    return sorted(results.glob("part-*.parquet")) if results.is_dir() else []


def small_parts(results: Path, below: int) -> list[Path]:
    """Those parts that have fewer bytes."""
    found = []
    for path in parts_of(results):
        with contextlib.suppress(FileNotFoundError):  # merged meanwhile
            if path.stat().st_size < below:
                found.append(path)
    return found


def read_keys(path: Path) -> pa.Table:
    """``key`` and ``error_kind`` of a part's rows; all of it is read, for damage may be in any column.

    Raises:
        Exception: Whatever pyarrow says of a damaged file.
    """
    pa = arrow()
    names = [name for name in COLUMNS if name not in _LATER]
    with pa.parquet.ParquetFile(path) as file:
        found = []
        for batch in file.iter_batches(4096):  # in pieces: saliency maps make rows large
            batch.validate(full=True)
            found.append(batch.select(names).select(["key", "error_kind"]))
        return pa.Table.from_batches(found, file.schema_arrow.empty_table().select(["key", "error_kind"]).schema)


def read_parts(results: Path, below: int | None = None) -> tuple[pa.Table, list[Path], list[tuple[Path, str]]]:
    """Rows without duplicates, sorted; the parts they came from; and damaged parts with the reason.

    With ``below`` only of parts that have fewer bytes.
    """
    pa, wanted = arrow(), schema()
    for _ in range(20):
        tables, paths, damaged = [wanted.empty_table()], [], []
        for path in parts_of(results) if below is None else small_parts(results, below):
            part = _read_part(path)
            if isinstance(part, FileNotFoundError):  # merged meanwhile by a runner: its rows lie in another part now
                break
            if isinstance(part, Exception):
                damaged.append((path, str(part).split("\n")[0]))
            else:
                tables.append(part)
                paths.append(path)
        else:
            return _distinct(pa.concat_tables(tables)), paths, damaged
    raise ArtCropError(f"{results} changes faster than it can be read; try again")


def _read_part(path: Path) -> pa.Table | Exception:
    wanted = schema()
    try:
        part = arrow().parquet.read_table(path)
        for name in set(_LATER) - set(part.column_names):
            part = part.append_column(name, arrow().array([""] * len(part)))
        part = part.select(wanted.names).cast(wanted)
        part.validate(full=True)  # pyarrow takes it on trust that texts are UTF-8
        return part
    except Exception as error:  # a damaged file can raise anything
        return error


def _distinct(table: pa.Table) -> pa.Table:
    pa = arrow()
    failed = pa.compute.not_equal(table.column("error_kind"), "").cast(pa.int8())
    numbered = table.append_column("_failed", failed)
    order = pa.compute.sort_indices(
        numbered, sort_keys=[(name, "ascending") for name in (*_ORDER, "_failed", "seconds")]
    )
    table = table.take(order)
    keys = table.column("key").to_pylist()
    first = [key != before for key, before in zip(keys, [None, *keys], strict=False)]
    return table.filter(pa.array(first, pa.bool_())).combine_chunks()


def photo_set_sha256(hashes: Iterable[str]) -> str:
    """One hash for a set of photos, whatever their order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
