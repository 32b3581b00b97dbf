"""Units on a Ray cluster: one actor a worker, which loads its models once; nothing else imports Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from art_crop.bench.executors import RETRIES, MakePlace, Patience, WorkerError, judged, singly
from art_crop.bench.units import Finished, Place, Unit
from art_crop.checks import check_int
from art_crop.errors import InvalidInputError, MissingDependencyError
from art_crop.process import prepare_process

__all__ = ["RayCluster"]

_FULL = 2
"""Units that an actor has at once; one that a suspect has, or that is loading its models, counts as full."""
_GONE = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError")
"""Ray's words for a worker that is lost, or what it had found: its process, its machine, its memory."""


class RayCluster:
    """Actors on a Ray cluster, each with its own models; photos must be where they are here, on every machine.

    Args:
        workers: Actors; default: one for each of the cluster's CPUs.
        address: Of a running cluster, such as "auto" or "ray://host:10001"; None: one is started on this machine.

    Raises:
        MissingDependencyError: Ray is not installed.
        InvalidInputError: ``workers`` is not a whole number of at least 1.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingDependencyError('the executor ray needs Ray: pip install "art-crop[ray]"') from error
        if workers is not None:
            check_int(workers, "workers", at_least=1)
        self._ray, self.workers, self.address = ray, workers, address

    def run(self, make_place: MakePlace, units: Iterable[Unit], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`~art_crop.bench.executors.Executor`. For a dead actor there is a new one, which has its units."""
        ray, mine = self._ray, not self._ray.is_initialized()
        if mine:
            self._start(threads)
        try:
            most = int(ray.cluster_resources().get("CPU", 1) / threads)
            count = self.workers or max(1, most)
            if count > most:  # the others would wait for ever, each with units of its own
                raise InvalidInputError(
                    f"workers: the Ray cluster has CPUs for {most} workers of {threads} threads, not {count}"
                )
            kind = ray.remote(num_cpus=threads, max_restarts=0)(_Actor)
            actors = [kind.remote(make_place) for _ in range(count)]
            try:
                yield from self._all(actors, lambda: kind.remote(make_place), iter(units))
            finally:
                for actor in actors:
                    ray.kill(actor)
        finally:
            if mine:
                ray.shutdown()

    def _start(self, threads: int) -> None:
        here: dict[str, Any] = {"num_cpus": self.workers * threads} if self.workers and not self.address else {}
        try:
            self._ray.init(address=self.address, log_to_driver=False, include_dashboard=False, **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise WorkerError(f"no Ray cluster at {self.address or 'this machine'}: {error}") from error

    def _all(self, actors: list[Any], new: Callable[[], Any], units: Iterator[Unit]) -> Iterator[Finished]:
        """At most two units an actor, one in work and one waiting; a unit whose actor died has the next one alone.

        An actor has no units before it has said that its models are loaded: who dies after that died of a unit.
        """
        ray, patience = self._ray, Patience()
        gone = tuple(getattr(ray.exceptions, name) for name in _GONE)
        load = [_FULL] * len(actors)
        loading = {actor.ready.remote(): place for place, actor in enumerate(actors)}
        running: dict[Any, tuple[int, int, Any, Unit, int]] = {}
        suspects: deque[tuple[Unit, int]] = deque()
        upcoming = next(units, None)

        def replace(place: int) -> None:
            actors[place], load[place] = new(), _FULL
            loading[actors[place].ready.remote()] = place

        while True:
            while True:
                place = load.index(min(load))
                if suspects and not load[place]:
                    job, share = suspects.popleft(), _FULL
                elif not suspects and upcoming is not None and load[place] < _FULL:
                    job, share = (upcoming, 0), 1
                    upcoming = next(units, None)
                else:
                    break
                load[place] += share
                running[actors[place].work.remote(job[0])] = (place, share, actors[place], *job)
            if not running and not suspects and upcoming is None:
                return
            for reference in ray.wait([*running, *loading], num_returns=1)[0]:
                if reference in loading:
                    place = loading.pop(reference)
                    try:
                        ray.get(reference)
                        load[place] = 0
                    except gone:
                        patience.never_ready("a Ray worker died")
                        replace(place)
                    continue
                place, share, actor, unit, deaths = running.pop(reference)
                current = actor is actors[place]
                load[place] -= share if current else 0
                try:
                    finished = judged(ray.get(reference))
                except ray.exceptions.RayTaskError:  # raised by the place, whatever its kind: no worker was lost
                    raise
                except gone:
                    if current:
                        replace(place)
                    deaths += share == _FULL  # of two units nobody knows which one it was
                    if deaths <= RETRIES:
                        suspects.extend(singly(unit, deaths))
                        continue
                    finished = patience.gave_up(unit, "its Ray worker died")
                else:
                    patience.kept()
                yield finished


class _Actor:
    """A Ray worker."""

    def __init__(self, make_place: MakePlace) -> None:
        self.place: Place | None = None
        self.problem: Exception | None = None
        try:
            prepare_process()
            self.place = make_place()
        except Exception as error:  # raised here, Ray would start it again for ever
            self.problem = error

    def ready(self) -> bool:
        """Says, by being there to say it, that the place is made."""
        return True

    def work(self, unit: Unit) -> Finished | Exception:
        """Work on one unit."""
        if self.problem is not None:
            return self.problem
        assert self.place is not None
        return self.place.work(unit)
