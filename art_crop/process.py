"""The allocator of a process of our own: freed memory stays with it.

A pass through a network frees and asks for tens of megabytes. glibc gives blocks of that size back to the system each
time, and new ones come page fault by page fault: a fifth of a small network's step, a twentieth of a large one's.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_LARGEST_BLOCK = 32 << 20  # what glibc allows
_MOST_KEPT = 1 << 30
_USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep up to a gibibyte of what it has freed; whether its C library has taken it.

    For the command line and for workers of benchmarks: a library does not change the process that it is imported into.
    What the user has set by glibc's own variables is left alone, and other systems are left as they are.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _USERS_OWN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, _MOST_KEPT))
