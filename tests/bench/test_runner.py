"""The runner: what is kept is left alone, whatever stopped it; with a place whose results cost milliseconds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from art_crop.errors import OutputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")
PROJECT = Path(__file__).resolve().parents[2]


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    script = str(Path(__file__).with_name("fake_worker.py"))
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, script, str(folder), *more],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def begun(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until it computes, so that the kill hits work and not the imports."""
    log, deadline = Path(f"{folder}.log"), time.monotonic() + 60
    size = log.stat().st_size if log.exists() else 0
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.stat().st_size > size:
            return
        time.sleep(0.005)


@pytest.fixture
def undisturbed(fake: Any, tmp_path: Path) -> list[dict[str, Any]]:
    fake.run(tmp_path / "undisturbed", fake.photos(60), every=10.0)
    return fake.rows(tmp_path / "undisturbed")  # type: ignore[no-any-return]


@pytest.mark.parametrize("executor", [(), ("local", "2")], ids=["in-process", "local"])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_doubled(
    fake: Any, tmp_path: Path, undisturbed: list[dict[str, Any]], executor: tuple[str, ...]
) -> None:
    folder, moments = tmp_path / "run", random.Random(7)
    for _ in range(3):
        process = start(folder, *executor)
        begun(folder, process)
        time.sleep(moments.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start(folder, *executor)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert fake.rows(folder) == undisturbed
    assert len(undisturbed) == 180 == len({row["key"] for row in undisturbed})
    assert len(list((folder / "results").glob("part-*"))) == 1


def test_two_runners_in_one_folder(fake: Any, tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    folder = tmp_path / "run"
    both = [start(folder), start(folder)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert fake.rows(folder) == undisturbed
    computed = Path(f"{folder}.log").read_text().split()
    assert len(set(computed)) == 180
    assert len(computed) < 2 * 180, "they did not share the work"


@pytest.mark.parametrize("executor", [(), ("local", "2")], ids=["in-process", "local"])
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(
    fake: Any, tmp_path: Path, undisturbed: list[dict[str, Any]], executor: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    process = start(folder, *executor)
    begun(folder, process)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stopped=True" in said
    assert 0 < len(fake.rows(folder)) < 180
    summary = fake.run(folder, fake.photos(60))
    assert (summary.kept + summary.done, summary.stopped) == (180, False)
    assert fake.rows(folder) == undisturbed


@pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(),
    reason="this system does not tell whose child a process is",
)
def test_workers_do_not_outlive_a_runner_that_is_killed(fake: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, "local", "2")
    begun(folder, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 20
    while (left := [pid for pid in children if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_is_done_twice(fake: Any, tmp_path: Path) -> None:
    first = fake.run(tmp_path / "run", fake.photos(5))
    again = fake.run(tmp_path / "run", fake.photos(5))
    more = fake.run(tmp_path / "run", fake.photos(7))
    assert [(s.rows, s.kept, s.done) for s in (first, again, more)] == [(15, 0, 15), (15, 15, 0), (21, 15, 6)]


def test_a_damaged_part_is_named_set_aside_and_computed_again(fake: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fake.run(folder, fake.photos(5))
    before = fake.rows(folder)
    (part,) = (folder / "results").glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:200])
    with pytest.warns(UserWarning, match=part.name):
        assert fake.rows(folder) == []
    summary = fake.run(folder, fake.photos(5))
    assert (summary.kept, summary.done) == (0, 15)
    assert [name for name in summary.damaged if name.startswith(part.name)]
    assert fake.rows(folder) == before
    assert part.with_suffix(".damaged").exists()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from art_crop.images import writing

    folder = tmp_path / "run"
    fsync, count = os.fsync, iter(range(100))

    def full(handle: int) -> None:
        # Parts of results alone: whatever else this process writes at the time is not this disk's.
        file = str(Path(f"/proc/self/fd/{handle}").readlink())
        if str(folder / "results") in file and next(count) >= 2:  # a part and its folder
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OutputError, match=r"the disk is full; free some space and give the same command"):
        fake.run(folder, fake.photos(20), every=0.0)
    monkeypatch.undo()
    assert not list(folder.rglob("*.tmp"))
    kept = len(fake.rows(folder))
    assert 0 < kept < 60
    summary = fake.run(folder, fake.photos(20))
    assert (summary.kept, summary.done) == (kept, 60 - kept)


def test_progress_counts_rows_up_to_all(fake: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    fake.run(tmp_path / "run", fake.photos(8), progress=lambda *now: told.append(now))
    assert [now[:2] for now in told] == [(4 * i, 24) for i in range(7)]


def test_retry_computes_failures_anew(fake: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    dying = partial(fake.FakeWorker, 0.0)
    refs = fake.photos(2, "killer")
    first = fake.run(tmp_path / "run", refs, "local", options={"workers": 1}, make_worker=dying)
    assert first.failed > 0
    marker.touch()
    well = partial(fake.FakeWorker, 0.0, str(marker))
    again = fake.run(tmp_path / "run", refs, make_worker=well)
    assert (again.done, again.kept, again.failed, again.failed_before) == (0, 9, 0, first.failed)
    retried = fake.run(tmp_path / "run", refs, make_worker=well, retry=True)
    assert (retried.done, retried.failed, retried.failed_before) == (first.failed, 0, 0)
    assert {row["error"] for row in fake.rows(tmp_path / "run")} == {""}
