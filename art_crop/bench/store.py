"""Results of a run: a folder with ``run.json`` and Parquet parts, written so that no stop at any moment harms them.

A part is written under a temporary name, reaches the disk and then takes a name that is the hash of its content, with
which every reader compares it. What was not finished was not begun: the runner does it again. Rows of one key are the
same result, so that runners that meet in one folder may at worst do work twice.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from art_crop.bench.suite import digest
from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COLUMNS",
    "EXCLUDED",
    "SCHEMA_VERSION",
    "DamagedPartError",
    "DamagedPartWarning",
    "RunInfo",
    "arrow",
    "asked_rows",
]
__all__ += ["parts_of", "photo_set_sha256", "read_part", "read_parts", "read_rows", "read_run", "run_checksum"]
__all__ += ["schema"]

SCHEMA_VERSION = 1
EXCLUDED = "excluded"
"""``error_kind`` of a photo that the suite's selection rule leaves out: no failure, and no part of any share."""
COLUMNS: Mapping[str, str] = {
    name: kind
    for kind, names in (
        ("string", "key unit photo photo_sha256"),
        ("int32", "width height"),
        ("string", "group attacked scored attack method params"),
        ("float64", "eps"),
        ("string", "norm"),
        ("int64", "seed"),
        ("bool_", "success success_before"),
        ("float64", "l2 linf"),
        ("int64", "gradients queries"),
        ("float64", "seconds"),
        ("map", "metrics"),
        ("list", "curve"),
        ("string", "curve_of facts image original error error_kind"),
    )
    for name in names.split()
}
"""Name and Arrow type of every column, in order; one row is a photo, a setting and a scored model."""
_LATER = ("curve_of",)
"""Columns that results of earlier versions lack; they read as empty."""
_NAME = re.compile(r"part-([0-9a-f]{32})\.parquet")
_ORDER = ("photo", "scored", "attacked", "method", "eps", "seed", "key")


class DamagedPartError(ArtCropError):
    """A part of the results is not what was written."""


class DamagedPartWarning(UserWarning):
    """A part of the results cannot be read; its rows count as not computed."""


def arrow() -> Any:
    """Import pyarrow, with its Parquet and its compute functions.

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
    """Make the Arrow schema of :data:`COLUMNS`."""
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
        photos: Name and SHA-256 of each photo that the last command asked for; results of others, replaced or removed
            since, are no part of the run. Empty, as in runs of earlier versions: all that there are.
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
    photos: list[tuple[str, str]] = field(default_factory=list)
    schema: int = SCHEMA_VERSION


def read_run(run: Path) -> RunInfo:
    """Read ``run.json``.

    Raises:
        InvalidInputError: The folder holds no run, one of another layout, or a damaged ``run.json``.
    """
    path = run / "run.json"
    try:
        content = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise InvalidInputError(f"{run} is no folder of results: it has no run.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
        found = content.get("schema") if isinstance(content, dict) else None
        raise InvalidInputError(
            f"{path} has layout {found!r}, and this version reads {SCHEMA_VERSION}; choose another folder"
        )
    checksum = content.pop("checksum", None)
    try:
        info = msgspec.convert(content, RunInfo)
        if checksum is not None and checksum != run_checksum(content):
            raise InvalidInputError(f"{path} is damaged, or was changed by hand: its content is not what was written")
        return info
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not as art-crop bench wrote it: {error}") from error


def run_checksum(content: Mapping[str, Any]) -> str:
    """Hash what ``run.json`` says, its own checksum aside."""
    return digest({key: value for key, value in content.items() if key != "checksum"})


def read_rows(run: Path) -> pa.Table:
    """Read all rows of a run's photos, one for each key, in an order that does not depend on how they were computed.

    A part that cannot be read is named in a :class:`DamagedPartWarning` and passed over. Of rows with one key, one
    without an error is preferred.

    Raises:
        InvalidInputError: As :func:`read_run`.
        MissingDependencyError: Without pyarrow.
    """
    return asked_rows(run, read_run(run))[0]


def asked_rows(run: Path, info: RunInfo) -> tuple[pa.Table, int]:
    """Read rows as :func:`read_rows`, and count the photos with rows for which the last command did not ask."""
    (table, _, damaged), others = read_parts(run / "results"), 0
    if info.photos:
        asked = {*info.photos}
        found = [*zip(*(table.column(name).to_pylist() for name in ("photo", "photo_sha256")), strict=True)]
        table = table.filter(arrow().array([photo in asked for photo in found], arrow().bool_()))
        others = len({*found} - asked)
    for path, reason in damaged:
        warnings.warn(f"{path.name} is damaged and passed over: {reason}", DamagedPartWarning, stacklevel=3)
    return table, others


def parts_of(results: Path, below: float = float("inf")) -> list[Path]:
    """List the files of a results folder's parts, or those of fewer bytes, by name."""
    paths = sorted(results.glob("part-*.parquet")) if results.is_dir() else []
    return paths if below == float("inf") else [path for path in paths if _size(path) < below]


def _size(path: Path) -> float:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # merged meanwhile
        return float("inf")


def read_part(path: Path, columns: Iterable[str] | None = None) -> pa.Table:
    """Read some columns of a part, or all, once its content is known to be what was written.

    Raises:
        DamagedPartError: It has another content than its name says, or is no part.
        OSError: The system cannot read it.
    """
    content, named = path.read_bytes(), _NAME.fullmatch(path.name)
    if named is None or not hashlib.sha256(content).hexdigest().startswith(named[1]):
        raise DamagedPartError("its content is not that of which its name is the hash")
    pa, wanted = arrow(), schema()
    try:
        part = pa.parquet.read_table(pa.BufferReader(content), columns=None if columns is None else list(columns))
        if columns is None:
            for name in set(_LATER) - set(part.column_names):
                part = part.append_column(name, pa.array([""] * len(part)))
            part = part.select(wanted.names).cast(wanted)
        part.validate(full=True)  # pyarrow takes it on trust that texts are UTF-8
        return part
    except MemoryError:
        raise
    except Exception as error:  # what is no part can raise anything
        raise DamagedPartError(str(error).split("\n")[0]) from error


def read_parts(results: Path, below: float = float("inf")) -> tuple[pa.Table, list[Path], list[tuple[Path, str]]]:
    """Read all parts, or those of fewer bytes: sorted rows without duplicates; the parts; damaged ones with the reason.

    Raises:
        ArtCropError: A runner at work merges parts faster than they can be read.
    """
    for _ in range(20):
        read = {path: _read_or_reason(path) for path in parts_of(results, below)}
        if None not in read.values():
            tables = {path: part for path, part in read.items() if not isinstance(part, str)}
            damaged = [(path, reason) for path, reason in read.items() if isinstance(reason, str)]
            return _distinct(arrow().concat_tables([schema().empty_table(), *tables.values()])), [*tables], damaged
    raise ArtCropError(f"{results} changes faster than it can be read; try again")


def _read_or_reason(path: Path) -> pa.Table | str | None:
    """A part, or why it cannot be read; None where a runner has merged it meanwhile: its rows lie in another now."""
    try:
        return read_part(path)
    except FileNotFoundError:
        return None
    except (DamagedPartError, OSError) as error:
        return str(error)


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
    """Hash a set of photos, whatever their order."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
