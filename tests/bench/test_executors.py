"""Executors: the same rows wherever they are computed, and a worker's death costs a retry."""

from __future__ import annotations

import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from art_crop.errors import InvalidInputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")
pytest.importorskip("pebble", reason="pebble is not installed (extra: bench)")

from art_crop.bench.executors import InProcess, LocalProcesses, WorkerError, compute


def test_a_killed_worker_costs_a_retry_and_no_row(fake: Any, tmp_path: Path) -> None:
    refs = fake.photos(9, "killer")
    fake.run(tmp_path / "alone", refs, make_worker=partial(fake.FakeWorker, 0.0, str(tmp_path)))
    once = partial(fake.FakeWorker, 0.0, str(tmp_path / "marker"))
    summary = fake.run(tmp_path / "run", refs, "local", options={"workers": 2}, make_worker=once)
    assert (tmp_path / "marker").exists(), "no worker was killed"
    assert (summary.done, summary.failed) == (30, 0)
    assert fake.rows(tmp_path / "run") == fake.rows(tmp_path / "alone")


def test_a_photo_that_always_kills_is_recorded_and_the_others_are_computed(fake: Any, tmp_path: Path) -> None:
    refs = fake.photos(8, "killer")[::-1]  # among others in its item
    always = partial(fake.FakeWorker, 0.0)
    items = fake.items(refs, settings=1)
    assert any(len(item.photos) > 1 and "killer" in {photo.name for photo in item.photos} for item in items)
    finished = list(LocalProcesses(2).run(always, items))
    kinds = {row["photo"]: row["error_kind"] for result in finished for row in result.rows}
    assert kinds == {**{photo.name: "" for photo in refs}, "killer": "lost"}
    (killer,) = [row for result in finished for row in result.rows if row["error_kind"]]
    assert killer["error"] == "its worker process died, 3 times"


def test_a_worker_that_cannot_be_made_is_said_and_does_not_hang(fake: Any) -> None:
    with pytest.raises(WorkerError, match="a worker could not be set up: ValueError: no such model"):
        list(LocalProcesses(1).run(fake.refuse, fake.items(fake.photos(9))))


def test_workers_that_die_while_they_load_blame_no_photo(fake: Any) -> None:
    results = LocalProcesses(1).run(fake.die_at_once, fake.items(fake.photos(4), settings=4))
    with pytest.raises(WorkerError, match=r"workers die while they load their models .*enough memory"):
        next(results)


class DiedError(Exception):
    """What the futures of a worker raise that is no more."""


class FakeRemote:
    """A worker elsewhere whose every answer is there at once."""

    def __init__(self, work: Any, load: Any = lambda: None) -> None:
        self.calls, self.stopped = {"work": work, "load": load}, False

    def call(self, name: str, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self.calls[name](*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def load(self) -> Future[Any]:
        return self.call("load")

    def work(self, item: Any) -> Future[Any]:
        return self.call("work", item)

    def stop(self) -> None:
        self.stopped = True


def computed(items: list[Any], *workers: FakeRemote, count: int = 1) -> list[Any]:
    waiting = iter(workers)
    return list(compute(lambda: next(waiting), count, items, (DiedError,), "it died"))


def dying(*_: Any) -> Any:
    raise DiedError


def test_a_lost_worker_is_replaced_and_its_item_begun_again(fake: Any) -> None:
    items = fake.items(fake.photos(2), settings=2)
    workers = FakeRemote(dying), FakeRemote(fake.FakeWorker(0.0).work)
    found = computed(items, *workers)
    wanted = sorted((item.setting_key, photo.name) for item in items for photo in item.photos)
    assert sorted((result.item.setting_key, row["photo"]) for result in found for row in result.rows) == wanted
    assert {row["error"] for result in found for row in result.rows} == {""}
    assert all(worker.stopped for worker in workers)


def test_a_bug_of_the_worker_is_no_lost_worker(fake: Any) -> None:
    worker = FakeRemote(fake.FakeWorker(0.0).work)
    with pytest.raises(RuntimeError, match="a bug of the worker"):
        computed(fake.items(fake.photos(2, "broken")), worker)
    assert worker.stopped


def test_workers_that_die_while_they_load_end_the_run(fake: Any) -> None:
    with pytest.raises(WorkerError, match=r"workers die while they load their models \(it died\)"):
        computed(fake.items(fake.photos(4)), *(FakeRemote(dying, dying) for _ in range(9)))


def test_workers_that_die_at_every_photo_end_the_run(fake: Any) -> None:
    started = [FakeRemote(dying) for _ in range(20)]
    with pytest.raises(WorkerError, match="workers die one after another"):
        computed(fake.items(fake.photos(4), settings=1, batch=1), *started)
    assert sum(worker.stopped for worker in started) == 9, "three photos, three workers each"


def test_a_worker_that_hangs_is_ended(fake: Any) -> None:
    photos = fake.photos(2)
    slow = partial(fake.FakeWorker, 60.0)
    (lost,) = LocalProcesses(1, item_seconds=0.3).run(slow, fake.items(photos[:1], settings=1))
    assert lost.rows[0]["error_kind"] == "lost"
    assert lost.rows[0]["error"] == "it took more than 0.3 s, 3 times"


def test_no_more_items_are_taken_than_workers_can_begin(fake: Any) -> None:
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for item in fake.items(fake.photos(40), batch=1):
            taken += 1
            yield item

    results = LocalProcesses(2).run(partial(fake.FakeWorker, 0.0), counted())
    next(results)
    assert taken <= 4
    results.close()  # type: ignore[attr-defined]


def test_workers_end_with_the_run(fake: Any) -> None:
    import multiprocessing

    results = LocalProcesses(2).run(partial(fake.FakeWorker, 0.0), fake.items(fake.photos(40)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    for _ in range(100):  # a killed process takes a moment on a busy machine
        if not multiprocessing.active_children():
            return
        time.sleep(0.1)
    raise AssertionError(f"still there: {multiprocessing.active_children()}")


def test_bad_options() -> None:
    with pytest.raises(InvalidInputError, match="the executor local"):
        InProcess(workers=2)
    with pytest.raises(InvalidInputError, match="workers"):
        LocalProcesses(0)


@pytest.mark.slow
def test_a_real_suite_gives_the_same_bits_in_process_and_in_two_processes(tmp_path: Path, fake: Any) -> None:
    from art_crop.bench.runner import run_suite
    from art_crop.bench.suite_file import load_suite, shipped_suites

    smoke = load_suite(shipped_suites()["smoke"])
    data = replace(smoke.data, width=160, every=2)
    suite = replace(smoke, data=data, metrics=("psnr",))
    for name, executor, options in (("one", "in-process", {}), ("two", "local", {"workers": 2})):
        summary = run_suite(
            suite, images=None, out=tmp_path / name, executor=executor, executor_options=options, device="cpu"
        )
        assert (summary.rows, summary.failed) == (24, 0)
    assert fake.rows(tmp_path / "one") == fake.rows(tmp_path / "two")
