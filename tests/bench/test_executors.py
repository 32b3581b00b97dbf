"""Executors: the same rows wherever they are computed, and a worker's death costs a retry."""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from art_crop.errors import InvalidInputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")

from art_crop.bench.executors import InProcess, LocalProcesses, WorkerError
from art_crop.bench.ray_executor import RayCluster


def test_a_killed_worker_costs_a_retry_and_no_row(fake: Any, tmp_path: Path) -> None:
    refs = fake.photos(9, "killer")
    fake.run(tmp_path / "alone", refs, make_place=partial(fake.FakePlace, 0.0, str(tmp_path)))
    once = partial(fake.FakePlace, 0.0, str(tmp_path / "marker"))
    summary = fake.run(tmp_path / "run", refs, "local", options={"workers": 2}, make_place=once)
    assert (tmp_path / "marker").exists(), "no worker was killed"
    assert (summary.done, summary.failed) == (30, 0)
    assert fake.rows(tmp_path / "run") == fake.rows(tmp_path / "alone")


def test_a_unit_that_always_kills_is_recorded_and_the_others_are_computed(fake: Any, tmp_path: Path) -> None:
    refs = fake.photos(8, "killer")[::-1]  # among others in its unit
    always = partial(fake.FakePlace, 0.0)
    units = fake.units(refs, settings=1)
    assert any(len(unit.photos) > 1 and "killer" in {photo.name for photo in unit.photos} for unit in units)
    finished = list(LocalProcesses(2).run(always, units))
    kinds = {row["photo"]: row["error_kind"] for result in finished for row in result.rows}
    assert kinds == {**{photo.name: "" for photo in refs}, "killer": "lost"}
    (killer,) = [row for result in finished for row in result.rows if row["error_kind"]]
    assert killer["error"] == "its worker process died, 3 times"


def test_a_place_that_cannot_be_made_is_said_and_does_not_hang(fake: Any) -> None:
    with pytest.raises(WorkerError, match="a worker could not be set up: ValueError: no such model"):
        list(LocalProcesses(1).run(fake.refuse, fake.units(fake.photos(9))))


def test_workers_that_die_while_they_load_blame_no_photo(fake: Any) -> None:
    results = LocalProcesses(1).run(fake.die_at_once, fake.units(fake.photos(4), settings=4))
    with pytest.raises(WorkerError, match=r"workers die while they load their models .*enough memory"):
        next(results)


class FakeRay:
    """As much of Ray as the executor asks for when its actors are there: every call is answered at once."""

    exceptions = SimpleNamespace(
        **{
            name: type(name, (Exception,), {})
            for name in (
                *("RayTaskError", "RayActorError", "WorkerCrashedError"),
                *("NodeDiedError", "OutOfMemoryError", "ObjectLostError"),
            )
        }
    )

    def wait(self, references: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        return reference()


class FakeActor:
    def __init__(self, work: Any, ready: Any = lambda: True) -> None:
        self.work, self.ready = (SimpleNamespace(remote=partial(partial, call)) for call in (work, ready))


def in_fake_ray(units: list[Any], *actors: FakeActor) -> list[Any]:
    cluster = object.__new__(RayCluster)
    cluster._ray = FakeRay()
    waiting = iter(actors[1:])
    return list(cluster._all([actors[0]], lambda: next(waiting), iter(units)))


@pytest.mark.parametrize("kind", ["RayActorError", "OutOfMemoryError", "NodeDiedError", "ObjectLostError"])
def test_whatever_ray_calls_a_lost_worker_costs_a_retry(fake: Any, kind: str) -> None:
    """Its memory monitor, for one, does not call what it did the death of an actor."""
    units = fake.units(fake.photos(2), settings=2)

    def lost(unit: Any) -> Any:
        raise getattr(FakeRay.exceptions, kind)

    found = in_fake_ray(units, FakeActor(lost), FakeActor(fake.FakePlace(0.0).work))
    wanted = sorted((unit.key, photo.name) for unit in units for photo in unit.photos)
    assert sorted((result.unit.key, row["photo"]) for result in found for row in result.rows) == wanted
    assert {row["error"] for result in found for row in result.rows} == {""}


def test_a_bug_of_the_place_is_no_lost_ray_worker(fake: Any) -> None:
    def buggy(unit: Any) -> Any:
        raise FakeRay.exceptions.RayTaskError("a bug")

    with pytest.raises(FakeRay.exceptions.RayTaskError, match="a bug"):
        in_fake_ray(fake.units(fake.photos(2)), FakeActor(buggy))


def test_ray_workers_that_die_while_they_load_blame_no_photo(fake: Any) -> None:
    def lost(*_: Any) -> Any:
        raise FakeRay.exceptions.RayActorError

    with pytest.raises(WorkerError, match="workers die while they load their models"):
        in_fake_ray(fake.units(fake.photos(4), settings=4), *(FakeActor(lost, lost) for _ in range(9)))


def test_no_more_units_are_taken_than_workers_can_begin(fake: Any) -> None:
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for unit in fake.units(fake.photos(40), batch=1):
            taken += 1
            yield unit

    results = LocalProcesses(2).run(partial(fake.FakePlace, 0.0), counted())
    next(results)
    assert taken <= 4
    results.close()  # type: ignore[attr-defined]


def test_workers_end_with_the_run(fake: Any) -> None:
    import multiprocessing

    results = LocalProcesses(2).run(partial(fake.FakePlace, 0.0), fake.units(fake.photos(40)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    for _ in range(100):  # a killed process takes a moment on a busy machine
        if not multiprocessing.active_children():
            return
        time.sleep(0.1)
    raise AssertionError(f"still there: {multiprocessing.active_children()}")


def test_bad_options() -> None:
    with pytest.raises(InvalidInputError, match="--executor local"):
        InProcess(workers=2)
    with pytest.raises(InvalidInputError, match="workers"):
        LocalProcesses(0)


@pytest.mark.slow
def test_a_real_suite_gives_the_same_bits_in_process_and_in_two_processes(tmp_path: Path, fake: Any) -> None:
    from art_crop.bench.runner import run_suite
    from art_crop.bench.suite_file import load_suite, shipped_suites

    smoke = load_suite(shipped_suites()["smoke"])
    data = dataclasses.replace(smoke.data, width=160, every=2)
    suite = dataclasses.replace(smoke, data=data, metrics=("psnr",))
    for name, executor, options in (("one", "in-process", {}), ("two", "local", {"workers": 2})):
        summary = run_suite(
            suite, images=None, out=tmp_path / name, executor=executor, executor_options=options, device="cpu"
        )
        assert (summary.rows, summary.failed) == (24, 0)
    assert fake.rows(tmp_path / "one") == fake.rows(tmp_path / "two")
