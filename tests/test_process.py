"""What the settings of a process save, counted by the system."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from art_crop.process import prepare_process
kept = prepare_process() if {keep} else False
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        blocks = [b"x" * (20 << 20) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(keep: bool, **variables: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    code = FAULTS.format(keep=keep)
    said = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    kept, count = said.stdout.split()
    return kept, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_blocks_are_used_again() -> None:
    given_back, (kept, again) = run(False)[1], run(True)
    assert kept == "True"
    assert given_back > 1000
    assert again < given_back / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_what_the_user_has_set_stays() -> None:
    assert run(True, MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"


WAITING = """
import os, time
from art_crop.process import prepare_process
if {prepare}:
    prepare_process()
import torch
torch.set_num_threads(2)
x = torch.rand(1 << 20)
torch.sin(x)
before = time.process_time()
for _ in range(50):
    torch.sin(x)  # wakes the second thread,
    time.sleep(0.005)  # which then has nothing to do
print(os.environ.get("OMP_WAIT_POLICY"), time.process_time() - before)
"""


def waited(prepare: bool, **variables: str) -> tuple[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    code = WAITING.format(prepare=prepare)
    said = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **variables}, capture_output=True, text=True, check=True
    )
    policy, seconds = said.stdout.split()
    return policy, float(seconds)


@pytest.mark.skipif(sys.platform != "linux" or os.cpu_count() == 1, reason="measured with libgomp and two cores")
def test_threads_without_work_sleep() -> None:
    (_, spinning), (policy, sleeping) = waited(False), waited(True)
    assert policy == "passive"
    assert sleeping < 0.7 * spinning


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_how_threads_wait_is_the_users_to_say(name: str) -> None:
    value = "active" if name == "OMP_WAIT_POLICY" else "7"
    assert waited(True, **{name: value})[0] == ("active" if name == "OMP_WAIT_POLICY" else "None")
