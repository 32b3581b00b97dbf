"""A worker whose results cost milliseconds, to kill runners at: ``python fake_worker.py RUN [EXECUTOR [WORKERS]]``.

Photos need not exist. One named "killer" kills its worker: always, or, with a marker, the first time only.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from art_crop.bench.part_store import PartStore
from art_crop.bench.runner import Summary, execute
from art_crop.bench.store import RunInfo, read_rows
from art_crop.bench.suite import Setting
from art_crop.bench.units import Finished, PhotoRef, WorkItem, blank_row, work_items
from art_crop.plugins.registry import load_executor


@dataclass
class FakeWorker:
    seconds: float = 0.002
    marker: str = ""
    log: str = ""

    def work(self, item: WorkItem) -> Finished:
        finished = Finished(item)
        for photo in item.photos:
            if photo.name == "killer":
                self.die()
            if photo.name == "broken":
                raise RuntimeError("a bug of the worker")
            time.sleep(self.seconds)
            row = blank_row(item, photo, "fake")
            number = int(hashlib.sha256(row["key"].encode()).hexdigest()[:8], 16) / 2**32
            finished.rows.append({**row, "success": number > 0.5, "l2": number, "metrics": {"shift": number}})
            if self.log:
                with Path(self.log).open("a") as file:
                    file.write(row["key"] + "\n")
        return finished

    def die(self) -> None:
        if self.marker and Path(self.marker).exists():
            return
        if self.marker:
            Path(self.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> FakeWorker:
    raise ValueError("no such model")


def die_at_once() -> FakeWorker:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def photos(count: int, *more: str) -> list[PhotoRef]:
    names = [*(f"{i:04}.png" for i in range(count)), *more]
    return [PhotoRef(name, f"/nowhere/{name}", hashlib.sha256(name.encode()).hexdigest()) for name in names]


def items(refs: list[PhotoRef], settings: int = 3, batch: int = 4) -> list[WorkItem]:
    keyed = [
        (Setting("method", "fake", "", "model", False, (), "", {"eps": float(eps)}, 0), f"setting {eps}")
        for eps in range(settings)
    ]
    return work_items(keyed, refs, batch)


def info(**changes: Any) -> RunInfo:
    content: dict[str, Any] = {
        "suite": "fake",
        "suite_sha256": "0" * 64,
        "suite_content": {"name": "fake"},
        "art_crop": "0",
        "versions": {},
        "machine": {},
        "started": "2026-01-01T00:00:00+00:00",
        "command": "",
        "models": {"model": {"weights_sha256": "1" * 64}},
    }
    return RunInfo(**{**content, **changes})


def run(folder: Path, refs: list[PhotoRef], executor: str = "in-process", **kwargs: Any) -> Summary:
    options = kwargs.pop("options", {})
    make_worker = kwargs.pop("make_worker", FakeWorker)
    engine = load_executor(executor, **options)
    return execute(items(refs), PartStore(folder, info()), engine, make_worker, **{"every": 0.1, **kwargs})


def rows(folder: Path) -> list[dict[str, Any]]:
    """All rows, without what differs between any two runs."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(folder).to_pylist()]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    workers = {"workers": int(sys.argv[3])} if len(sys.argv) > 3 else {}
    make = partial(FakeWorker, 0.004, "", str(folder) + ".log")
    print(run(folder, photos(60), *sys.argv[2:3], options=workers, make_worker=make))
