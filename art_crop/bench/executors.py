"""Where work items are computed: in this process, or in local processes; :mod:`art_crop.bench.ray_executor` is a third.

Results are the same to the last bit wherever they are computed. A worker that dies costs a retry, and not the run: it
is replaced, and what it had been handed is begun again photo by photo, so that no more is lost than the photo at fault.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, Protocol

from art_crop.bench.units import Finished, Worker, WorkItem
from art_crop.checks import check_int
from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError, describe
from art_crop.process import prepare_process

__all__ = ["Executor", "InProcess", "LocalProcesses", "MakeWorker", "RemoteWorker", "WorkerError", "compute", "made"]

MakeWorker = Callable[[], Worker]
_RETRIES = 2  # of a photo whose worker died, and of a worker that died before it was ready
_HOPELESS = 3  # photos lost in a row, each after its retries: the machine is ill, not the photos


class WorkerError(ArtCropError):
    """Workers cannot be started, or die one after another."""


class Executor(Protocol):
    """What an executor plugin's target makes."""

    def run(self, make_worker: MakeWorker, items: Iterable[WorkItem], *, threads: int = 1) -> Iterator[Finished]:
        """Work on items.

        Args:
            make_worker: Makes a worker; can be pickled, called once in each process.
            items: Asked for the next one only when a worker is free.
            threads: That a worker uses.

        Yields:
            Finished items in any order; a photo whose workers died has a row with ``error_kind`` "lost".

        Raises:
            ArtCropError: A worker cannot be made, or workers die one after another.
        """


class RemoteWorker(Protocol):
    """A worker elsewhere, which is handed one item at a time."""

    def load(self) -> Future[Any]:
        """Make it ready; the result is an exception where that cannot be done."""

    def work(self, item: WorkItem) -> Future[Any]:
        """Work on an item."""

    def stop(self) -> None:
        """End it now, whatever it is at."""


def made(make_worker: MakeWorker) -> Worker | ArtCropError:
    """Make a worker, or the error that says why it cannot be made."""
    try:
        prepare_process()
        return make_worker()
    except ArtCropError as error:
        return error
    except (Exception, SystemExit) as error:
        return WorkerError(f"a worker could not be set up: {describe(error)}")


def compute(
    start: Callable[[], RemoteWorker],
    count: int,
    items: Iterable[WorkItem],
    died: tuple[type[Exception], ...],
    reason: str,
) -> Iterator[Finished]:
    """Hand items to workers, replace those that die, and give up a photo that has ended three of them.

    Args:
        start: Starts a worker.
        count: Of workers.
        items: What to work on.
        died: What their futures raise where the worker is no more.
        reason: The same in words, for the rows of photos that are lost.

    Raises:
        ArtCropError: A worker could not be made.
        WorkerError: Workers die while they load, or at one photo after another.
    """
    upcoming, again = iter(items), deque[tuple[WorkItem, int]]()
    workers: list[RemoteWorker] = []
    free: list[RemoteWorker] = []
    running: dict[Future[Any], tuple[RemoteWorker, WorkItem | None, int]] = {}
    lost: set[str] = set()
    unready = 0

    def begin() -> None:
        workers.append(start())
        running[workers[-1].load()] = (workers[-1], None, 0)

    try:
        for _ in range(count):
            begin()
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, item, deaths = running.pop(future)
                try:
                    result = future.result()
                except died as error:
                    workers.remove(worker)
                    worker.stop()
                    if item is None:  # no photo is to blame
                        unready += 1
                    elif deaths < _RETRIES:
                        again.extend((replace(item, photos=(photo,)), deaths + 1) for photo in item.photos)
                    else:
                        lost.add(item.photos[0].name)  # one photo may well end its worker under every setting
                        yield _without_result(item, f"{_why(error) or reason}, {deaths + 1} times")
                    if unready > _RETRIES or len(lost) >= _HOPELESS:
                        when = "while they load their models" if unready > _RETRIES else "one after another"
                        raise WorkerError(f"workers die {when} ({reason}); is there enough memory for them?") from error
                    begin()
                    continue
                if isinstance(result, Exception):
                    raise result
                free.append(worker)
                if item is not None:
                    unready = 0
                    lost.clear()
                    yield result
            while free and (job := again.popleft() if again else _next(upcoming)):
                worker = free.pop()
                running[worker.work(job[0])] = (worker, *job)
    finally:
        with ThreadPoolExecutor(max(1, len(workers))) as threads:
            list(threads.map(lambda worker: worker.stop(), workers))


def _next(items: Iterator[WorkItem]) -> tuple[WorkItem, int] | None:
    item = next(items, None)
    return None if item is None else (item, 0)


def _why(error: Exception) -> str:
    return f"it took more than {error.args[1]:g} s" if isinstance(error, FutureTimeoutError) else ""


def _without_result(item: WorkItem, reason: str) -> Finished:
    from art_crop.bench.units import blank_row

    rows = [{**blank_row(item, photo, ""), "error": reason, "error_kind": "lost"} for photo in item.photos]
    return Finished(item, rows)


class InProcess:
    """One item after another in this process."""

    def __init__(self, workers: int = 1) -> None:
        if workers != 1:
            raise InvalidInputError(f"workers: the executor in-process has 1, not {workers}; choose the executor local")

    def run(self, make_worker: MakeWorker, items: Iterable[WorkItem], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`Executor`."""
        worker = make_worker()
        try:
            for item in items:
                yield worker.work(item)
        finally:
            getattr(worker, "close", lambda: None)()


class LocalProcesses:
    """Processes of this machine, each with its own models.

    Args:
        workers: How many; default: as many as have cores of their own.
        item_seconds: A worker that is at one item for longer is ended, and counts as one that died; default: no limit.

    Raises:
        InvalidInputError: ``workers`` is not a whole number of at least 1.
        MissingDependencyError: Pebble is not installed.
    """

    def __init__(self, workers: int | None = None, item_seconds: float | None = None) -> None:
        if workers is not None:
            check_int(workers, "workers", at_least=1)
        try:
            import pebble
        except ImportError as error:
            raise MissingDependencyError('the executor local needs pebble: pip install "art-crop[bench]"') from error
        self._pebble, self.workers, self.item_seconds = pebble, workers, item_seconds

    def run(self, make_worker: MakeWorker, items: Iterable[WorkItem], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`Executor`."""
        count = self.workers or max(1, (os.cpu_count() or 1) // threads)
        died: tuple[type[Exception], ...] = (self._pebble.ProcessExpired, BrokenProcessPool)
        died += (FutureTimeoutError,) if self.item_seconds else ()
        yield from compute(lambda: self._start(make_worker), count, items, died, "its worker process died")

    def _start(self, make_worker: MakeWorker) -> RemoteWorker:
        # A pool of its own for each: what a worker leaves half-written when it is killed must not be read by others.
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        return _Process(self._pebble.ProcessPool(1, context=context), make_worker, self.item_seconds)


class _Process:
    """A worker in a process of this machine."""

    def __init__(self, pool: Any, make_worker: MakeWorker, seconds: float | None) -> None:
        self._pool, self._make, self._seconds = pool, make_worker, seconds

    def load(self) -> Future[Any]:
        return self._schedule(None, _load, self._make)

    def work(self, item: WorkItem) -> Future[Any]:
        return self._schedule(self._seconds, _work, item)

    def _schedule(self, seconds: float | None, function: Callable[..., Any], *args: Any) -> Future[Any]:
        try:
            return self._pool.schedule(function, args, timeout=seconds)  # type: ignore[no-any-return]
        except RuntimeError as error:  # the process died while it had nothing to do
            failed: Future[Any] = Future()
            failed.set_exception(BrokenProcessPool(str(error)))
            return failed

    def stop(self) -> None:
        self._pool.stop()
        self._pool.join()


_worker: Worker | None = None


def _load(make_worker: MakeWorker) -> ArtCropError | None:
    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = made(make_worker)
    if isinstance(worker, ArtCropError):
        return worker
    _worker = worker
    return None


def _work(item: WorkItem) -> Finished:
    assert _worker is not None
    return _worker.work(item)


def _end_with_parent() -> None:
    """End at once with a runner that was killed, for it cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
