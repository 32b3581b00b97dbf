"""The writing side of a run's folder: parts appended, merged, and damaged ones set aside."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from art_crop.bench.store import (
    DamagedPartError,
    RunInfo,
    arrow,
    parts_of,
    read_part,
    read_parts,
    read_run,
    run_checksum,
    schema,
)
from art_crop.errors import ArtCropError, InvalidInputError, OutputError
from art_crop.images import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PartStore"]

_MANY = 128  # small parts after which they are merged
_KEPT = ("key", "error_kind")
_LARGE = 16 << 20  # bytes: merging such parts again and again would take more time and memory the longer a run is


class PartStore:
    """The run's folder as the runner writes it.

    Args:
        run: The folder; made, with its parents, where it does not exist.
        info: What is about to run; an earlier run of the same is continued.

    Raises:
        InvalidInputError: The folder holds something else: another suite, version, weights or no run at all.
        OutputError: It cannot be written.
    """

    def __init__(self, run: Path, info: RunInfo) -> None:
        arrow()
        self.run, self.results = run, run / "results"
        self.damaged: list[str] = []
        self._read: set[str] = set()
        self._kinds: dict[str, str] = {}
        self._many = _MANY
        occupied = run.is_dir() and any(not path.name.startswith(".") for path in run.iterdir())
        if occupied:
            earlier = read_run(run)
            _check_same(run, earlier, info)
            info = replace(info, started=earlier.started)
        # run.json first: whoever sees anything in the folder, another runner or the next one, must see whose it is.
        _make(run)
        content = msgspec.to_builtins(info)
        content["checksum"] = run_checksum(msgspec.json.decode(msgspec.json.encode(content)))
        write_atomic(run / "run.json", msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
        _make(self.results)

    def finished(self) -> Mapping[str, str]:
        """Key -> ``error_kind`` of all rows that are kept, those of other runners included; cheap to ask again.

        Raises:
            ArtCropError: A part cannot be read though nothing says that it is damaged: no permission, no memory.
        """
        for path in parts_of(self.results):
            if path.name in self._read:
                continue
            try:
                self._remember(path.name, read_part(path, _KEPT))
            except FileNotFoundError:  # another runner has merged it
                continue
            except DamagedPartError as error:
                self._set_aside(path, error)
            except (OSError, MemoryError) as error:
                if getattr(error, "errno", None) == errno.ESTALE:  # merged as well, on NFS
                    continue
                reason = getattr(error, "strerror", None) or "not enough memory"
                raise ArtCropError(f"cannot read {path}: {reason}; its results are left as they are") from error
        return self._kinds

    def _remember(self, name: str, part: pa.Table) -> None:
        self._read.add(name)
        for key, kind in zip(*(part.column(name).to_pylist() for name in _KEPT), strict=True):
            if key not in self._kinds or self._kinds[key]:
                self._kinds[key] = kind

    def append(self, rows: Sequence[Mapping[str, Any]], files: Mapping[str, bytes] | None = None) -> None:
        """Keep rows, and before them the files they name (paths inside the folder).

        Raises:
            OutputError: The disk is full, or there is no permission; nothing is left half-written.
        """
        pa = arrow()
        try:
            for name, data in (files or {}).items():
                path = self.run / name
                path.parent.mkdir(exist_ok=True)
                if not path.is_file() or path.read_bytes() != data:
                    write_atomic(path, data)
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema())
            self._remember(self._write(table), table)
            if len(parts_of(self.results, _LARGE)) >= self._many:
                self.compact()
        except OSError as error:
            raise OutputError(f"cannot keep results in {self.run}: {error.strerror or error}") from error
        except OutputError as error:
            raise OutputError(f"{error}; free some space and give the same command: it goes on where it was") from error

    def compact(self) -> None:
        """Merge all small parts into one; rows stay what they are, and readers at work never miss one.

        Where that cannot be written the parts stay as they are, for they hold everything already.
        """
        table, paths, _ = read_parts(self.results, _LARGE)
        if len(paths) < 2:
            return
        try:
            kept = self._write(table)
        except OutputError:
            self._many *= 2  # not again at every new part
            return
        for path in paths:
            if path.name != kept:
                path.unlink(missing_ok=True)
        self._remember(kept, table)

    def _write(self, table: pa.Table) -> str:
        pa = arrow()
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        name = f"part-{hashlib.sha256(data).hexdigest()[:32]}.parquet"
        write_atomic(self.results / name, data)
        return name

    def _set_aside(self, path: Path, error: Exception) -> None:
        """A damaged part keeps its content under another ending, so that nobody stumbles over it twice."""
        try:
            path.replace(path.with_suffix(".damaged"))
            self.damaged.append(f"{path.name}: {error}")
        except FileNotFoundError:  # another runner did, or has merged it
            return
        except OSError as failure:
            raise OutputError(f"cannot set aside the damaged {path}: {failure.strerror or failure}") from failure


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}") from error


def _check_same(run: Path, earlier: RunInfo, info: RunInfo) -> None:
    for what, before, now in (
        ("suite", f"{earlier.suite} ({earlier.suite_sha256[:12]})", f"{info.suite} ({info.suite_sha256[:12]})"),
        ("art_crop version", earlier.art_crop, info.art_crop),
        ("models", _weights(earlier.models), _weights(info.models)),
        *((f"version of {name}", earlier.versions[name], info.versions[name]) for name in _plugins(earlier, info)),
    ):
        if before != now:
            raise InvalidInputError(
                f"out: {run} holds results of another {what}: {before}, and this is {now}; choose another folder"
            )


def _plugins(earlier: RunInfo, info: RunInfo) -> list[str]:
    """Distributions whose plugins both runs use; they may compute other numbers in another version."""
    return sorted((earlier.versions.keys() & info.versions.keys()) - {"python", "numpy", "torch"})


def _weights(models: Mapping[str, Mapping[str, str]]) -> str:
    return ", ".join(f"{name} {model.get('weights_sha256', '')[:12]}" for name, model in sorted(models.items()))
