"""Where units are worked on: in this process, or in local processes; :mod:`art_crop.bench.ray_executor` is a third.

Results are the same to the last bit wherever they are computed.

An executor takes a function that makes a worker's place and an iterator of units, which it asks for no more units than
its workers can begin soon, and gives finished units in any order. A worker that dies costs a retry, not the run.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

from art_crop.bench.units import Finished, Place, Unit
from art_crop.checks import check_int
from art_crop.errors import ArtCropError, InvalidInputError
from art_crop.process import prepare_process

__all__ = [
    "RETRIES",
    "Executor",
    "InProcess",
    "LocalProcesses",
    "MakePlace",
    "Patience",
    "WorkerError",
    "judged",
    "lost",
    "singly",
]

MakePlace = Callable[[], Place]
RETRIES = 2
"""How often a unit whose worker died is begun again."""
_HOPELESS = 3  # batches of photos lost in a row, each after its retries: the machine is ill, not the photos


class WorkerError(ArtCropError):
    """Workers cannot be started, or die one after another."""


class Executor(Protocol):
    """What an executor plugin's target makes."""

    def run(self, make_place: MakePlace, units: Iterable[Unit], *, threads: int = 1) -> Iterator[Finished]:
        """Work on units.

        Args:
            make_place: Makes a worker's place; can be pickled, called once a worker.
            units: Asked for the next one only when a worker will soon be free.
            threads: That a worker uses.

        Yields:
            Finished units in any order; one whose workers died has rows with ``error_kind`` "lost".

        Raises:
            ArtCropError: A place cannot be made, or workers die one after another.
        """


def lost(unit: Unit, reason: str) -> Finished:
    """The rows of a unit whose workers died."""
    from art_crop.bench.case import blank_row

    rows = [{**blank_row(unit, photo, ""), "error": reason, "error_kind": "lost"} for photo in unit.photos]
    return Finished(unit, rows)


def singly(unit: Unit, tries: int) -> list[tuple[Unit, int]]:
    """A suspect photo by photo, so that no more is lost than the photo that kills its worker."""
    return [(replace(unit, photos=(photo,)), tries) for photo in unit.photos]


class InProcess:
    """One unit after another in this process."""

    def __init__(self, workers: int = 1) -> None:
        if workers != 1:
            raise InvalidInputError(f"workers: the executor in-process has 1, not {workers}; choose --executor local")

    def run(self, make_place: MakePlace, units: Iterable[Unit], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`Executor`."""
        place = make_place()
        for unit in units:
            yield place.work(unit)


# -- processes of this machine -----------------------------------------------------------------------------------------

_place: Place | None = None
_problem: Exception | None = None


def _begin(make_place: MakePlace) -> None:
    """Start of a worker process. An error is kept for the first unit: raised here, the pool would only break."""
    global _place, _problem
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_process()
    try:
        _place = make_place()
    except Exception as error:
        _problem = error


def _end_with_parent() -> None:
    """A runner that was killed cannot end its workers, and a pool's worker would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _ready() -> bool:
    """Says, by being there to say it, that the place is made: who dies after that died of a unit."""
    return True


def _work(unit: Unit) -> Finished | Exception:
    if _problem is not None:
        return _problem
    assert _place is not None
    return _place.work(unit)


class Patience:
    """Counts what was lost; raises where there is no hope."""

    def __init__(self) -> None:
        self._lost: set[str] = set()
        self._unready = 0

    def kept(self) -> None:
        """A unit was finished."""
        self._lost.clear()
        self._unready = 0

    def never_ready(self, reason: str) -> None:
        """A worker died before it began a unit: no unit is to blame."""
        self._unready += 1
        if self._unready > RETRIES:
            raise WorkerError(f"workers die while they load their models ({reason}); is there enough memory for them?")

    def gave_up(self, unit: Unit, reason: str) -> Finished:
        """The rows of a unit that is not begun again."""
        self._lost.add(unit.photos[0].name)  # one photo may well kill its worker under every setting
        if len(self._lost) >= _HOPELESS:
            raise WorkerError(f"workers die one after another ({reason}); is there enough memory for them?")
        return lost(unit, f"{reason}, {RETRIES + 1} times")


class LocalProcesses:
    """Processes of this machine, each with its own models.

    Args:
        workers: How many; default: as many as have cores of their own.

    Raises:
        InvalidInputError: ``workers`` is not a whole number of at least 1.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None:
            check_int(workers, "workers", at_least=1)
        self.workers = workers

    def run(self, make_place: MakePlace, units: Iterable[Unit], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`Executor`. After a worker's death its pool's units are begun again, one at a time."""
        workers = self.workers or max(1, (os.cpu_count() or 1) // threads)
        units, patience = iter(units), Patience()
        suspects: deque[tuple[Unit, int]] = deque()
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        while True:
            pool = ProcessPoolExecutor(workers, context, _begin, (make_place,))
            try:
                yield from self._try_suspects(pool, suspects, patience)
                yield from self._all(pool, units, 2 * workers, patience)
                pool.shutdown()
                return
            except _PoolBroken as broken:
                suspects.extend(one for unit, tries in broken.units for one in singly(unit, tries))
            finally:
                _stop(pool)

    def _try_suspects(
        self, pool: ProcessPoolExecutor, suspects: deque[tuple[Unit, int]], patience: Patience
    ) -> Iterator[Finished]:
        """One at a time, so that a unit that kills its worker is known."""
        while suspects:
            unit, tries = suspects.popleft()
            if tries > RETRIES:
                yield patience.gave_up(unit, "its worker process died")
                continue
            try:
                pool.submit(_ready).result()
            except BrokenExecutor:
                suspects.appendleft((unit, tries))
                patience.never_ready("a worker process died")
                raise _PoolBroken([]) from None
            try:
                finished = judged(pool.submit(_work, unit).result())
            except BrokenExecutor:
                suspects.appendleft((unit, tries + 1))
                raise _PoolBroken([]) from None
            patience.kept()
            yield finished

    def _all(
        self, pool: ProcessPoolExecutor, units: Iterator[Unit], most: int, patience: Patience
    ) -> Iterator[Finished]:
        running: dict[Future[Finished | Exception], Unit] = {}
        try:
            while True:
                for unit in islice(units, max(0, most - len(running))):
                    running[_submit(pool, unit, running)] = unit
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    finished = judged(future.result())
                    del running[future]
                    patience.kept()
                    yield finished
        except BrokenExecutor:
            done = [judged(f.result()) for f in running if f.done() and f.exception() is None]
            yield from done
            kept = {finished.unit.key for finished in done}
            raise _PoolBroken([(unit, 1) for unit in running.values() if unit.key not in kept]) from None


class _PoolBroken(Exception):  # noqa: N818 - between two methods, never seen outside
    def __init__(self, units: list[tuple[Unit, int]]) -> None:
        super().__init__()
        self.units = units


def _submit(pool: ProcessPoolExecutor, unit: Unit, running: dict[Any, Unit]) -> Future[Finished | Exception]:
    try:
        return pool.submit(_work, unit)
    except BrokenExecutor as error:  # the unit was taken from the iterator already: it must not get lost
        failed: Future[Finished | Exception] = Future()
        failed.set_exception(error)
        return failed


def judged(result: Finished | Exception) -> Finished:
    """The finished unit; raises where the worker could not be set up."""
    if isinstance(result, Exception):
        if isinstance(result, ArtCropError):
            raise result
        raise WorkerError(f"a worker could not be set up: {type(result).__name__}: {result}") from result
    return result


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now; what they were at is done again at the next start."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(5)
