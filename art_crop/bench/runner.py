"""Run a suite: what is there already is left alone, what is missing is computed, and kept as soon as it is there.

The same command goes on where a run was stopped, however that happened. A second runner in the same folder begins at
the other end; both look at what is kept before they begin a work item.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import art_crop
from art_crop.bench.part_store import PartStore
from art_crop.bench.scratch import at_work, sweep_scratch
from art_crop.bench.store import EXCLUDED, RunInfo, photo_set_sha256
from art_crop.bench.suite import Suite
from art_crop.bench.units import UNAVAILABLE, Finished, WorkItem, choose_photos, row_key, setting_keys, work_items
from art_crop.errors import InvalidInputError, OutputError
from art_crop.plugins.lookup import find
from art_crop.plugins.registry import load_executor

if TYPE_CHECKING:
    from art_crop.bench.executors import Executor, MakeWorker
    from art_crop.bench.worker import Recipe, SuiteWorker
    from art_crop.plugins.specs import Kind

__all__ = ["FINAL", "Progress", "Summary", "execute", "run_suite"]

FINAL = ("", EXCLUDED, "impossible")
"""Kinds of error ("": none) that would be the same again; rows of others are computed anew with ``retry``."""
_HOPELESS = 5  # work items in a row of which nothing could be computed for want of disk or memory
_GOES_ON = "free some space or memory and give the same command: it goes on where it was"
_MOST_WAITING = 32  # work items, perhaps with images, while a slow disk writes others
Progress = Callable[[int, int, str], None]
"""Called with rows that are kept, rows in all, and a note."""


@dataclass
class Summary:
    """What a run did, in rows: photos x settings."""

    rows: int = 0  # in all
    kept: int = 0  # there already when it began
    others: int = 0  # of photos that are not asked for now: an earlier selection, or files that were changed since
    done: int = 0  # computed now
    excluded: int = 0  # of those computed now, left out by the selection rule
    failed: int = 0  # of those computed now, with an error; first_error is one of them
    failed_before: int = 0  # of those kept, with an error; they are computed anew with ``retry``
    first_error: str = ""
    damaged: Sequence[str] = ()  # parts of earlier results that were not what was written, and were set aside
    unavailable: int = 0  # could not be computed for want of disk or memory, say, and are not kept; first_reason is one
    first_reason: str = ""
    stopped: bool = False  # ended by Ctrl-C before all was done


def run_suite(
    suite: Suite,
    *,
    images: Path | None,
    out: Path,
    weights: Mapping[str, str] | None = None,
    executor: str = "in-process",
    executor_options: Mapping[str, Any] | None = None,
    keep_images: bool = False,
    every: int = 1,
    limit: int | None = None,
    device: str = "auto",
    retry: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Summary:
    """Run a suite, or what is missing of it.

    Args:
        suite: What to measure.
        images: The photos' folder; None for a dataset that needs none.
        out: Folder of the results.
        weights: Weight files by a model's name, in the suite or of its plugin.
        executor: Name of an executor plugin.
        executor_options: Its options, such as ``workers``.
        keep_images: Keep every adversarial photo, and each original once.
        every: Only every n-th of the suite's photos.
        limit: At most so many of those.
        device: "auto", "cpu", "cuda", ...
        retry: Compute rows with an error anew.
        command: What the user typed, for ``run.json``.
        progress: Is told how far it is.

    Raises:
        ArtCropError: Something cannot be as the suite or the arguments want it; nothing has run.
        OutputError: Results cannot be written; what was kept before is whole.
    """
    from art_crop.bench.worker import Recipe, SuiteWorker

    given = {name: str(Path(path).expanduser().absolute()) for name, path in (weights or {}).items()}
    _check_weights(suite, given)
    photos = choose_photos(suite, images, every, limit)
    folder = out.expanduser().absolute()
    recipe = Recipe(suite, given, device, keep_images, str(folder))
    with _threads_kept(), _swept(recipe.run):
        engine = _executor(executor, executor_options or {})
        first = SuiteWorker(recipe)
        try:
            hashes = first.check()
        finally:
            first.close()
        recipe = replace(recipe, hashes=hashes)
        data = {
            "dataset": suite.data.dataset,
            "photos": len(photos),
            "sha256": photo_set_sha256(photo.sha256 for photo in photos),
            "licence": find("dataset", suite.data.dataset).spec.licence,
        }
        info = _info(suite, hashes, command, data)
        store = PartStore(folder, replace(info, photos=[(photo.name, photo.sha256) for photo in photos]))
        items = work_items(setting_keys(suite, hashes, art_crop.__version__), photos, suite.limits.batch)
        make_worker = partial(_worker, recipe)
        return execute(items, store, engine, make_worker, threads=suite.threads, retry=retry, progress=progress)


def execute(
    items: Sequence[WorkItem],
    store: PartStore,
    executor: Executor,
    make_worker: MakeWorker,
    *,
    threads: int = 1,
    retry: bool = False,
    progress: Progress | None = None,
    every: float = 1.0,
) -> Summary:
    """Work on items whose rows are not kept yet, and keep them every so many seconds; see :func:`run_suite`."""
    before = dict(store.finished())
    again = {key for key, kind in before.items() if kind not in FINAL} if retry else set()
    wanted = [row_key(item.setting_key, photo) for item in items for photo in item.photos]
    kept = [before[key] for key in wanted if key in before and key not in again]
    summary = Summary(rows=len(wanted), kept=len(kept), failed_before=sum(kind not in FINAL for kind in kept))
    summary.others = len(before.keys() - set(wanted))
    tell = progress or (lambda *_: None)
    tell(summary.kept, summary.rows, "")
    elsewhere = in_a_row = 0

    def missing(order: Sequence[WorkItem]) -> Iterator[WorkItem]:
        nonlocal elsewhere
        for item in order:
            finished = store.finished()
            keys = {photo: row_key(item.setting_key, photo) for photo in item.photos}
            todo = tuple(photo for photo, key in keys.items() if key not in finished or key in again)
            elsewhere += sum(key not in before for photo, key in keys.items() if photo not in todo)
            if todo:
                yield replace(item, photos=todo)

    with at_work(store.run) as first, closing(_Writer(store, every)) as writer:
        results = executor.run(make_worker, missing(items if first else items[::-1]), threads=threads)
        try:
            for finished in results:
                wanting = [row for row in finished.rows if row["error_kind"] == UNAVAILABLE]
                for row in wanting:
                    summary.unavailable += 1
                    summary.first_reason = summary.first_reason or f"{row['photo']}: {row['error']}"
                    finished.rows.remove(row)
                writer.append(finished)
                in_a_row = in_a_row + 1 if wanting and not finished.rows else 0
                if in_a_row >= _HOPELESS:
                    raise OutputError(f"nothing can be computed here any more ({wanting[0]['error']}); {_GOES_ON}")
                for row in finished.rows:
                    summary.done += 1
                    summary.excluded += row["error_kind"] == EXCLUDED
                    if row["error_kind"] not in FINAL:
                        summary.failed += 1
                        summary.first_error = summary.first_error or f"{row['photo']}: {row['error']}"
                note = f"{summary.failed} failed" if summary.failed else ""
                tell(min(summary.kept + summary.done + elsewhere, summary.rows), summary.rows, note)
        except KeyboardInterrupt:
            summary.stopped = True
        finally:
            with suppress(KeyboardInterrupt):  # an impatient second Ctrl-C
                getattr(results, "close", lambda: None)()
    if first and not summary.stopped:
        store.compact()
    summary.damaged = tuple(store.damaged)
    return summary


class _Writer:
    """Keeps what is finished while more is computed, for a disk takes its time to say that something reached it.

    What a kill can cost is the work of ``every`` seconds, and of one write.
    """

    def __init__(self, store: PartStore, every: float) -> None:
        self._store, self._every, self._begun = store, every, time.monotonic()
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] = self._thread.submit(lambda: None)
        self._waiting: list[Finished] = []

    def append(self, finished: Finished) -> None:
        """Keep what is finished soon; raises what became of earlier writes."""
        self._waiting.append(finished)
        due = self._last.done() and time.monotonic() - self._begun >= self._every
        if due or len(self._waiting) >= _MOST_WAITING:
            self._write()

    def _write(self) -> None:
        self._last.result()
        rows = [row for finished in self._waiting for row in finished.rows]
        files = {name: data for finished in self._waiting for name, data in finished.files.items()}
        self._waiting, self._begun = [], time.monotonic()
        if rows:
            self._last = self._thread.submit(self._store.append, rows, files)

    def close(self) -> None:
        """Keep the rest."""
        with self._thread:
            self._write()
            self._last.result()


def _executor(name: str, options: Mapping[str, Any]) -> Executor:
    try:
        engine: Executor = load_executor(name, **options)
    except InvalidInputError as error:
        if not str(error).startswith("name: "):
            raise
        raise InvalidInputError(f"executor: {str(error).removeprefix('name: ')}") from None
    except TypeError as error:
        raise InvalidInputError(f"executor: {name} has no such option: {error}") from error
    return engine


def _worker(recipe: Recipe) -> SuiteWorker:
    from art_crop.bench.worker import SuiteWorker

    return SuiteWorker(recipe)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Leave torch's number of threads as it was."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _swept(run: str) -> Iterator[None]:
    """Take away what workers leave that are ended rather than told to end."""
    try:
        yield
    finally:
        sweep_scratch(run)


def _check_weights(suite: Suite, weights: Mapping[str, str]) -> None:
    names = {name for model in suite.models for name in (model.name, model.plugin)}
    for name, path in weights.items():
        if name not in names:
            raise InvalidInputError(f"weights: {name}: the suite's models are {', '.join(sorted(names))}")
        if not os.path.isfile(path):  # noqa: PTH113 - a text that workers get as it is
            raise InvalidInputError(f"weights: {name}: there is no file {path}")


def _info(suite: Suite, hashes: Mapping[str, str], command: str, data: dict[str, Any]) -> RunInfo:
    import numpy as np
    import torch

    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": str(torch.__version__)}
    models = {}
    for name, sha256 in hashes.items():
        entry = find("model", suite.model(name).plugin)
        version = entry.spec.version or entry.version
        models[name] = {"weights_sha256": sha256, "distribution": entry.distribution, "version": version}
        models[name]["licence"] = entry.spec.licence
        versions[entry.distribution] = entry.version
    plugins: list[tuple[Kind, str]] = [("dataset", suite.data.dataset), *(("metric", name) for name in suite.metrics)]
    plugins += [("attack", use.plugin) for use in suite.attacks] + [("defence", use.plugin) for use in suite.defences]
    for kind, name in plugins:
        entry = find(kind, name)
        versions[entry.distribution] = entry.version
    return RunInfo(
        suite=suite.name,
        suite_sha256=suite.sha256,
        suite_content=suite.resolved(),
        art_crop=art_crop.__version__,
        versions=versions,
        machine=_machine(),
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command,
        models=models,
        data=data,
    )


def _machine() -> dict[str, Any]:
    """What may matter for times; not the host's name."""
    import torch

    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        if sys.platform == "linux":
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {"system": platform.system(), "processor": processor, "cores": os.cpu_count() or 1, "gpu": gpu}
