"""What a run leaves behind when it is killed, and who may take it away: only what no living process holds a lock on.

The system forgets a lock with the process that had it. Where there are no such locks (Windows) nothing is swept.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from art_crop.errors import OutputError
from art_crop.images import remove_abandoned

fcntl: Any
try:
    import fcntl
except ImportError:
    fcntl = None

__all__ = ["Scratch", "at_work", "sweep_scratch"]

_LOCK = "lock"


class Scratch:
    """A folder for a process's temporary files, below the system's own; gone with :meth:`close` or a later sweep.

    Args:
        run: The run's folder; processes of one run know each other's scratch folders by it.

    Raises:
        OutputError: It cannot be made.
    """

    def __init__(self, run: str) -> None:
        sweep_scratch(run)
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=_prefix(run), ignore_cleanup_errors=True)
            self.path = Path(self._folder.name)
            self._lock = _locked(self.path / _LOCK)
        except OSError as error:
            raise OutputError(f"no temporary files can be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Remove it."""
        if self._lock is not None:
            self._lock.close()
        self._folder.cleanup()


def sweep_scratch(run: str) -> None:
    """Remove scratch folders of a run whose processes are no more."""
    if fcntl is None:
        return
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(run)}*"):
            # A folder without its lock is just being made.
            with suppress(OSError), (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def at_work(run: Path) -> Iterator[bool]:
    """Be one of the processes that write into a run's folder; yields whether no other runner is there.

    The first of all takes away half-written files of those that were killed.
    """
    if fcntl is None:  # runners then only do some work twice
        yield True
        return
    try:
        first, writers = ((run / name).open("a") for name in (".runner", ".writers"))
    except OSError as error:
        raise OutputError(f"cannot write into {run}: {error.strerror or error}") from error
    with first, writers:
        alone = _taken(first, fcntl.LOCK_EX)
        if alone and _taken(writers, fcntl.LOCK_EX):
            for folder in (run, run / "results", run / "images"):
                remove_abandoned(folder)
        with suppress(OSError):
            fcntl.flock(writers, fcntl.LOCK_SH)
        yield alone


def _locked(path: Path) -> IO[str] | None:
    """A file that is held until it is closed, its name known only once it is."""
    if fcntl is None:
        return None
    unnamed = path.with_suffix(".new")
    lock = unnamed.open("w")
    _taken(lock, fcntl.LOCK_EX)
    unnamed.rename(path)
    return lock


def _taken(lock: IO[str], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _prefix(run: str) -> str:
    return f"art-crop-bench-{hashlib.sha256(run.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}-"
