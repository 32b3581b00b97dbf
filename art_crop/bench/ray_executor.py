"""Work items on a Ray cluster: one actor a worker, which loads its models once; nothing else imports Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from art_crop.bench.executors import MakeWorker, WorkerError, compute, made
from art_crop.bench.units import Finished, WorkItem
from art_crop.checks import check_int
from art_crop.errors import ArtCropError, InvalidInputError, MissingDependencyError

__all__ = ["RayCluster"]

_DIED = ("RayActorError", "WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError")
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

    def run(self, make_worker: MakeWorker, items: Iterable[WorkItem], *, threads: int = 1) -> Iterator[Finished]:
        """See :class:`~art_crop.bench.executors.Executor`."""
        ray, mine = self._ray, not self._ray.is_initialized()
        if mine:
            self._connect(threads)
        try:
            most = int(ray.cluster_resources().get("CPU", 1) / threads)
            count = self.workers or max(1, most)
            if count > most:  # the others would wait for ever
                raise InvalidInputError(
                    f"workers: the Ray cluster has CPUs for {most} workers of {threads} threads, not {count}"
                )
            # Ray's own retries begin a whole item again, with the photo that ends every worker; ours go photo by photo.
            kind = ray.remote(num_cpus=threads, max_restarts=0)(_Actor)
            died = tuple(getattr(ray.exceptions, name) for name in _DIED)
            yield from compute(
                lambda: _Remote(ray, kind.remote(make_worker)), count, items, died, "its Ray worker died"
            )
        finally:
            if mine:
                ray.shutdown()

    def _connect(self, threads: int) -> None:
        here: dict[str, Any] = {"num_cpus": self.workers * threads} if self.workers and not self.address else {}
        try:
            self._ray.init(address=self.address, log_to_driver=False, include_dashboard=False, **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise WorkerError(f"no Ray cluster at {self.address or 'this machine'}: {error}") from error


class _Remote:
    """A worker in an actor."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def load(self) -> Future[Any]:
        return self._actor.problem.remote().future()  # type: ignore[no-any-return]

    def work(self, item: WorkItem) -> Future[Any]:
        return self._actor.work.remote(item).future()  # type: ignore[no-any-return]

    def stop(self) -> None:
        self._ray.kill(self._actor)


class _Actor:
    def __init__(self, make_worker: MakeWorker) -> None:
        self._worker = made(make_worker)

    def problem(self) -> ArtCropError | None:
        return self._worker if isinstance(self._worker, ArtCropError) else None

    def work(self, item: WorkItem) -> Finished:
        assert not isinstance(self._worker, ArtCropError)
        return self._worker.work(item)
