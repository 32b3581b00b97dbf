"""The Ray executor on a real local cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")
pytest.importorskip("ray", reason="ray is not installed (extra: ray)")

import ray

from art_crop.bench.executors import WorkerError
from art_crop.bench.ray_executor import RayCluster
from art_crop.errors import InvalidInputError

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two CPUs of this machine; its workers can import this checkout and the module ``fake_worker``."""
    path = os.pathsep.join([str(PROJECT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def test_rows_are_those_of_one_process(fake: Any, tmp_path: Path, cluster: None) -> None:
    fake.run(tmp_path / "alone", fake.photos(20))
    summary = fake.run(tmp_path / "run", fake.photos(20), "ray", options={"workers": 2})
    assert (summary.done, summary.failed) == (60, 0)
    assert fake.rows(tmp_path / "run") == fake.rows(tmp_path / "alone")


def test_a_worker_killed_in_the_middle_costs_a_retry_and_no_row(fake: Any, tmp_path: Path, cluster: None) -> None:
    refs = fake.photos(9, "killer")
    fake.run(tmp_path / "alone", refs, make_worker=partial(fake.FakeWorker, 0.0, str(tmp_path)))
    once = partial(fake.FakeWorker, 0.01, str(tmp_path / "marker"))
    summary = fake.run(tmp_path / "run", refs, "ray", options={"workers": 2}, make_worker=once)
    assert (tmp_path / "marker").exists(), "no worker was killed"
    assert (summary.done, summary.failed) == (30, 0)
    assert fake.rows(tmp_path / "run") == fake.rows(tmp_path / "alone")


def test_a_worker_that_cannot_be_made_is_said(fake: Any, cluster: None) -> None:
    with pytest.raises(WorkerError, match="a worker could not be set up: ValueError: no such model"):
        list(RayCluster(1).run(fake.refuse, fake.items(fake.photos(9))))


def test_more_workers_than_the_cluster_has_cpus_are_refused(fake: Any, cluster: None) -> None:
    with pytest.raises(InvalidInputError, match="the Ray cluster has CPUs for 2 workers of 1 threads, not 3"):
        list(RayCluster(3).run(fake.FakeWorker, fake.items(fake.photos(1))))


def test_a_photo_that_always_kills_is_recorded(fake: Any, cluster: None) -> None:
    results = RayCluster(1).run(partial(fake.FakeWorker, 0.0), fake.items(fake.photos(4, "killer")[::-1], settings=1))
    rows = [row for finished in results for row in finished.rows]
    assert {row["photo"]: row["error"] for row in rows if row["error"]} == {"killer": "its Ray worker died, 3 times"}
    assert len(rows) == 5


def test_no_more_items_are_taken_than_workers_can_begin(fake: Any, cluster: None) -> None:
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for item in fake.items(fake.photos(40), batch=1):
            taken += 1
            yield item

    results = RayCluster(2).run(partial(fake.FakeWorker, 0.0), counted())
    next(results)
    assert taken <= 5
    results.close()  # type: ignore[attr-defined]
