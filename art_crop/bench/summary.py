"""Everything a report says, computed once: page, Markdown and JSON are three ways to show a :class:`Summary`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from art_crop.bench.results import Completeness, Frame, completeness, load_run
from art_crop.bench.store import DamagedPartWarning, RunInfo
from art_crop.bench.tables import Table, ratio_split, suite_tables
from art_crop.errors import ArtCropError
from art_crop.plugins.registry import load_task

__all__ = ["ErrorGroup", "Summary", "summarise"]

_ERRORS = 50
_NAMED = 5


@dataclass(frozen=True)
class ErrorGroup:
    """Rows that ended the same way: the error, how many, and a few of the photos."""

    kind: str
    message: str
    count: int
    photos: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """A run in numbers.

    Attributes:
        name: Of the run's folder.
        info: What ran.
        frame: Its rows.
        title: Of the suite.
        paper: That the suite reproduces, "" for none.
        photos: Photos with at least one result.
        tables: As the suite asks for, and the task's split.
        errors: Rows that failed, grouped.
        left_out: Rows without a number that are no failure, grouped.
        completeness: How much of it is there.
        notices: Sentences about what is missing or odd.
    """

    name: str
    info: RunInfo
    frame: Frame
    title: str
    paper: str
    photos: int
    tables: tuple[Table, ...]
    errors: tuple[ErrorGroup, ...]
    left_out: tuple[ErrorGroup, ...]
    completeness: Completeness
    notices: tuple[str, ...] = field(default=())

    @property
    def results(self) -> int:
        """Rows with a number."""
        return int(self.frame.measured.sum())

    @property
    def seconds(self) -> float:
        """Time that the attacks took, all together."""
        return float(self.frame.data["seconds"].sum())

    @property
    def machine(self) -> str:
        """System, processor, cores and GPU in one line."""
        machine = self.info.machine
        cores = f"{machine['cores']} cores" if machine.get("cores") else ""
        found = [machine.get("processor"), cores, machine.get("gpu"), machine.get("system")]
        return ", ".join(str(part) for part in found if part)

    @property
    def licences(self) -> str:
        """Of the photos and of the models, as far as the run knows them, in one sentence; "" where it knows none."""
        data = self.info.data
        found = [f"the photos ({data.get('dataset') or 'data'}): {data['licence']}"] if data.get("licence") else []
        found += [f"{name}: {model['licence']}" for name, model in self.info.models.items() if model.get("licence")]
        return f"Licences: {'; '.join(found)}." if found else ""

    @property
    def options(self) -> dict[str, Any]:
        """Of the suite's task, its defaults filled in; nothing where the task is not known here."""
        return {} if self._task is None else dict(self._task.options)

    @cached_property
    def _task(self) -> Any:
        return self._task_with({})

    def _task_with(self, options: Any) -> Any:
        """The suite's task, with options that an attack gives it; None where it is not known here."""
        own = self.info.suite_content.get("protocol_options")
        both = [some for some in (own, options) if isinstance(some, Mapping)]
        try:
            return load_task(
                str(self.info.suite_content.get("protocol")), **{key: one[key] for one in both for key in one}
            )
        except (ArtCropError, TypeError):
            return None

    @property
    def reached(self) -> str:
        """What it means that an attack reached its goal; "" where the task is not known here."""
        if self._task is None:
            return ""
        found: dict[str, list[str]] = {}
        attacks = self.info.suite_content.get("attacks", ())
        for attack in attacks if isinstance(attacks, (list, tuple)) else ():
            if isinstance(attack, Mapping) and attack.get("task_options"):
                task = self._task_with(attack["task_options"])
                found.setdefault("" if task is None else task.reached(), []).append(str(attack.get("method", "")))
        own = [f"For {', '.join(methods)}: {sentence}" for sentence, methods in found.items() if sentence]
        return " ".join([str(self._task.reached()), *own])

    @property
    def versions(self) -> str:
        """Of art_crop and of what it ran on."""
        others = (f"{name} {version}" for name, version in self.info.versions.items())
        return ", ".join([f"art_crop {self.info.art_crop}", *others])


def summarise(run: Path) -> Summary:
    """Read a run and compute all of its tables.

    Raises:
        InvalidInputError: The folder holds no run, or one of another layout.
        MissingDependencyError: Without pyarrow or Polars.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedPartWarning)
        info, frame = load_run(run)
    # Where the run lies on this machine is nobody's business who reads its report.
    damaged = [
        str(one.message).replace(f"{run / 'results'}", "results")
        for one in caught
        if issubclass(one.category, DamagedPartWarning)
    ]
    suite = info.suite_content
    specs = suite.get("tables", ())
    listed = specs if isinstance(specs, (list, tuple)) else ()
    tables, problems = suite_tables(frame, [spec for spec in listed if isinstance(spec, Mapping)])
    done = completeness(info, frame)
    return Summary(
        name=run.resolve().name,
        info=info,
        frame=frame,
        title=str(suite.get("title") or info.suite),
        paper=str(suite.get("paper") or ""),
        photos=frame.data.filter("_measured")["_photo"].n_unique(),
        tables=tuple(table for table in [*tables, *ratio_split(frame)] if table.lines),
        errors=_errors(frame.data.filter("_failed").select("error_kind", "error", "photo")),
        left_out=_errors(_one_reason(frame.data.filter("_excluded"))),
        completeness=done,
        notices=(*_gaps(done, frame), *_failures(frame.data), *_other_photos(info, frame), *damaged, *problems),
    )


def _gaps(done: Completeness, frame: Frame) -> list[str]:
    """What a run that is not finished, or has nothing to show, lacks."""
    found = [done.sentence()] if not done.finished else []
    if not len(frame):
        return [
            "There are no results yet: the run has just begun, or was stopped before its first unit was done.",
            *found,
        ]
    if not frame.measured.any():
        found.append("No photo has a result: all of them failed or were left out; the reasons are listed below.")
    seeds = frame.data.filter("_measured")["seed"].drop_nulls().n_unique()
    if seeds > 1:
        found.append(f"Each photo was attacked with {seeds} seeds, and counts once, with the mean over them.")
    return found


def _failures(data: pl.DataFrame) -> list[str]:
    """Which attacks ended with an error, and how often, the most frequent first; nothing where none did."""
    failed = data.filter("_failed")
    if not len(failed):
        return []
    several = data.filter(~pl.col("_excluded"))["scored"].n_unique() > 1
    keys = ["method", "attacked", *(["scored"] if several else [])]
    counts = failed.group_by(keys).len("count").sort("count", *keys, descending=[True, *(False for _ in keys)])
    found = []
    for row in counts.iter_rows(named=True):
        source = f" from {row['attacked']}" if row["attacked"] else ""
        target = f" on {row['scored']}" if several else ""
        found.append(f"{row['method']}{source}{target} ({row['count']:,})")
    named = ", ".join(found[:_NAMED]) + (f", and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
    start = "1 result" if len(failed) == 1 else f"{len(failed):,} results"
    return [f"{start} ended with an error and {'is' if len(failed) == 1 else 'are'} in no number: {named}; see Errors."]


def _other_photos(info: RunInfo, frame: Frame) -> list[str]:
    """A sentence where the folder has more photos than its last command asked for."""
    if frame.others:
        more = "1 more photo has" if frame.others == 1 else f"{frame.others:,} more photos have"
        asked = "1 photo" if len(info.photos) == 1 else f"{len(info.photos):,} photos"
        return [
            f"{more} results in the run's folder, which are in no number here: its last command asked for {asked}. The "
            "others are of an earlier selection, or of files that were changed or removed since."
        ]
    wanted, found = info.data.get("photos"), frame.data.select("photo_sha256", "photo").n_unique()
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 0 < wanted < found:
        return []
    return [
        f"The results are of {found:,} photos, and the last command of this run asked for {wanted:,}: the others are "
        "of an earlier selection, or of files that were changed since, and may lack some settings."
    ]


def _one_reason(left_out: pl.DataFrame) -> pl.DataFrame:
    """Of what is left out each photo has a reason of its own, with its numbers: one stands for all of a kind."""
    reason = pl.when(pl.col("error") != "").then(pl.col("photo") + ": " + pl.col("error")).otherwise(pl.lit(""))
    return left_out.select("error_kind", reason.first().over("error_kind").alias("error"), "photo")


def _errors(rows: pl.DataFrame) -> tuple[ErrorGroup, ...]:
    """Rows with one kind and text of error together, the most frequent first, with three photos of each."""
    groups = rows.group_by("error_kind", "error", maintain_order=True).agg(
        pl.len().alias("count"), pl.col("photo").unique(maintain_order=True).head(3)
    )
    ordered = groups.sort("count", descending=True, maintain_order=True).head(_ERRORS)
    return tuple(
        ErrorGroup(kind, text[:600], count, tuple(photos)) for kind, text, count, photos in ordered.iter_rows()
    )
