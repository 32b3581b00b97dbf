"""Running foreign code so that nothing it does stops the program or speaks in its place."""

from __future__ import annotations

import atexit
import importlib
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any

from art_crop.errors import describe, printable
from art_crop.plugins.discovery import ALLOWED_VARIABLE

__all__ = ["HANGS_AFTER", "Report", "contained", "explain", "import_target", "state_kept", "stdout_is_not_ours"]

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
        with _interrupts() as interrupted:
            try:
                yield
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and interrupted():
                    raise
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
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Tell whether a KeyboardInterrupt was the user's: foreign code may raise one itself.

    Where that cannot be told, in another thread than the main one or under another handler of the signal, it was. A
    process that ignores the signal, as those that shells start in the background do, has no user who could.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield lambda: False
        return
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield lambda: True
        return
    seen: list[int] = []

    def note(number: int, frame: Any) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def state_kept() -> Iterator[list[str]]:
    """Give back what foreign code may change of this process in passing; yields what it had changed, in words.

    These are filters of warnings, ``sys.path``, ``sys.argv``, the standard streams and hooks, the working folder, the
    limit of recursion, and handlers of signals. What it registers with ``atexit`` runs, but not on standard output.
    """
    changed: list[str] = []
    main = threading.current_thread() is threading.main_thread()
    lists = {"sys.path": (sys.path, [*sys.path]), "sys.argv": (sys.argv, [*sys.argv])}
    named = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook")}
    handlers = {one: signal.getsignal(one) for one in signal.valid_signals()} if main else {}
    limit, register, folder = sys.getrecursionlimit(), atexit.register, _folder()
    atexit.register = _quiet(register)
    try:
        with warnings.catch_warnings():
            filters = [*warnings.filters]
            yield changed
            if [*warnings.filters] != filters:
                changed.append("filters of warnings")
    finally:
        atexit.register = register
        for what, (own, before) in lists.items():
            name = what.partition(".")[2]
            if getattr(sys, name) is not own or own != before:
                changed.append(what)
                own[:] = before
                setattr(sys, name, own)
        for name, value in named.items():
            if getattr(sys, name) is not value:
                changed.append(f"sys.{name}")
                setattr(sys, name, value)
        if sys.getrecursionlimit() != limit:
            changed.append("the limit of recursion")
            sys.setrecursionlimit(limit)
        if folder and _folder() != folder:
            changed.append("the working folder")
            os.chdir(folder)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                changed.append(f"the handler of {signal.Signals(number).name}")
                signal.signal(number, handler)


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - to be given back as it is
    except OSError:
        return ""


def _quiet(register: Callable[..., Any]) -> Callable[..., Any]:
    """``atexit.register`` for functions that may print when a command has written its JSON."""

    def registered(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        register(_AtExit(function), *args, **kwargs)
        return function

    return registered


class _AtExit:
    """A function that runs without standard output; equal to the function itself, for ``atexit.unregister``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        with redirect_stdout(sys.stderr), suppress(SystemExit):
            self._function(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return bool(self._function == (other._function if isinstance(other, _AtExit) else other))

    def __hash__(self) -> int:
        return hash(self._function)


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
        return f"called sys.exit({printable(error.code, text=repr)})"
    return f"raised {describe(error)}"


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
