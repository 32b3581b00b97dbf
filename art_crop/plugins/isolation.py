"""Running foreign code so that nothing it does stops the program or speaks in its place."""

from __future__ import annotations

import importlib
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any

from art_crop.plugins.discovery import ALLOWED_VARIABLE, one_line

__all__ = ["HANGS_AFTER", "Report", "contained", "explain", "import_target", "stdout_is_not_ours"]

HANGS_AFTER = 3.0
"""Seconds after which a plugin that is still being read is named on the error stream."""


@dataclass
class Report:
    """What came of running foreign code.

    Attributes:
        problems: What went wrong, a sentence each.
        errors: The exceptions behind them, where there are any.
        printed: What it wrote to ``sys.stdout``.
        seconds: How long it took.
    """

    problems: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    printed: str = ""
    seconds: float = 0.0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Turn whatever is raised inside, SystemExit included, into a problem; only Ctrl-C goes through."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.problems.append(f"{what} {explain(error)}")
            self.errors.append(error)


@contextmanager
def contained(report: Report, who: str) -> Iterator[None]:
    """Time what runs inside, keep what it prints, and say who it is when it takes long.

    It cannot be ended from outside: a thread that hangs in an import would keep that module locked, and an alarm would
    take the signal from the program that uses this library. So the user is told what hangs, and ends it with Ctrl-C.
    """
    notice = threading.Timer(HANGS_AFTER, _say_who_hangs, (who,))
    notice.daemon = True
    notice.start()
    text = io.StringIO()
    start = time.perf_counter()
    try:
        with redirect_stdout(text):
            yield
    finally:
        notice.cancel()
        report.seconds = time.perf_counter() - start
        with suppress(ValueError):  # closed by the plugin
            report.printed = text.getvalue()


@contextmanager
def stdout_is_not_ours() -> Iterator[None]:
    """Send the process's standard output to the error stream: child processes and C code do not know ``sys.stdout``."""
    _flush()
    try:
        saved = os.dup(1)
    except OSError:  # closed: nothing can be torn
        yield
        return
    try:
        with suppress(OSError):  # no error stream: then it is as it was
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(saved, 1)
        os.close(saved)


def explain(error: BaseException) -> str:
    """What happened, as the end of a sentence; for an error whose own text may fail, be long or hold control codes."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({one_line(repr(error.code))})"
    try:
        text = one_line(error)
    except Exception:
        text = ""
    return f"raised {type(error).__name__}{f': {text}' if text else ''}"


def import_target(target: str) -> Any:
    """The object at ``"package.module"`` or ``"package.module:attribute"``."""
    module, _, attribute = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split(".") if attribute else ():
        value = getattr(value, part)
    return value


def _say_who_hangs(who: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(
            f"art-crop: still reading {who} after {HANGS_AFTER:.0f} s; stop with Ctrl-C, "
            f"leave it out with the variable {ALLOWED_VARIABLE}\n"
        )


def _flush() -> None:
    for stream in {id(stream): stream for stream in (sys.stdout, sys.__stdout__)}.values():
        if stream is not None:
            with suppress(OSError, ValueError):  # closed
                stream.flush()
