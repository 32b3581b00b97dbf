"""A process of our own: settings to be made before torch is imported, and a temporary folder that kills do not leave.

A pass through a network frees and asks for tens of megabytes. glibc gives blocks of that size back to the system each
time, and new ones come page fault by page fault: a fifth of a small network's step, a twentieth of a large one's.

After every operation the threads of an OpenMP library wait for the next one, and by default they spin: where another
program wants the same core, they burn the time in which it, and so they themselves, would get on. torch's wheels for
Linux bring GNU's libgomp, those for macOS LLVM's libomp, those for Windows Intel's libiomp5. All of them read
``OMP_WAIT_POLICY`` once, when they are loaded. On two cores with two other busy processes a photo of 640 x 480 took
FastGaze 100 s and 65 s of processor time by spinning, 56 s and 26 s by sleeping.

How many threads there are stays torch's and the user's to say (``OMP_NUM_THREADS``): one thread fewer gets on faster
on a busy machine and slower on an idle one, and results may differ in their last digits by the number.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["is_running", "prepare_process", "temporary_folder"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_LARGEST_BLOCK = 32 << 20  # what glibc allows
_MOST_KEPT = 1 << 30
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def prepare_process() -> bool:
    """Let this process keep up to a gibibyte of what it has freed, and let its idle threads sleep.

    For the command line and for workers of benchmarks: a library does not change the process that it is imported into.
    What the user has set by the variables of glibc or of OpenMP is left alone.

    Returns:
        Whether the C library has taken the setting; other systems than Linux with glibc are left as they are.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
    if sys.platform != "linux" or any(name in os.environ for name in _USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, _MOST_KEPT))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give this process a temporary folder of its own for as long as the block runs; ``tempfile`` works in it.

    What processes that were killed have left behind, copies of photos among it, is removed first. Where no folder can
    be made, ``tempfile`` is left as it is, to say so where a file is needed.
    """
    before, parent = tempfile.tempdir, Path(tempfile.gettempdir())
    for folder in parent.glob("art-crop-run-*"):
        owner = re.fullmatch(r"art-crop-run-(\d+)-\w+", folder.name)
        if owner and not is_running(int(owner[1])):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        own = tempfile.mkdtemp(prefix=f"art-crop-run-{os.getpid()}-")
    except OSError:
        yield parent
        return
    tempfile.tempdir = own
    try:
        yield Path(own)
    finally:
        tempfile.tempdir = before
        shutil.rmtree(own, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Tell whether a process of this machine runs; in doubt it does."""
    if sys.platform == "win32":
        return True  # a signal of 0 would end it there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True
