"""What the commands share: consoles, progress bars, and errors as one sentence with exit code 2."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console

from art_crop.errors import ArtCropError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "BAD_INPUT",
    "CRASHED",
    "FAILED",
    "err",
    "errors_as_sentences",
    "in_options",
    "out",
    "plain",
    "progress",
    "progress_bar",
    "steps_of",
    "terminated_like_interrupted",
    "tracked",
    "training_bar",
]

Item = TypeVar("Item")

FAILED = 1
"""Exit code: everything was readable, and something did not succeed."""
BAD_INPUT = 2
"""Exit code: something the user gave cannot be used."""
CRASHED = 3
"""Exit code: a model, an attack or this package failed with an error that it should not have."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
_PARAMETERS = {
    "out": "--out",
    "eps": "--eps",
    "max_eps": "--max-eps",
    "steps": "--steps",
    "seed": "--seed",
    "max_queries": "--max-queries",
    "storage": "--storage",
    "png": "--png",
    "jpeg_quality": "--jpeg",
    "ratios": "--ratio",
    "region": "--show",
    "label": "--label",
    "param": "--param",
    "model": "--model",
    "target": "--target",
    "defence": "--defence",
    "device": "--device",
    "weights": "--weights",
    "max_pixels": "--max-pixels",
}
"""Options by the parameters of Python of which the package's messages speak."""
_IN_FILES = 160
"""Columns of what goes to a file or another program, where tables need not fit a screen."""
for _name in ("stdin", "stdout", "stderr"):
    # Daemons and windowed Pythons close them; what is written then goes nowhere, and not into the next file opened.
    if getattr(sys, _name) is None:
        setattr(sys, _name, Path(os.devnull).open("r" if _name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115 - for good
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _IN_FILES)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Turn the package's own errors into one line on the error stream and exit code 2; let bugs show themselves."""
    try:
        yield
    except ArtCropError as error:
        err.print(f"[red]error:[/red] {_escaped(plain(in_options(str(error))))}")
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt:
        err.print("stopped")
        raise typer.Exit(130) from None


def in_options(message: str) -> str:
    """Let a message of the package speak of options instead of Python's parameters.

    ``eps: a number above 0 is needed`` becomes ``--eps: ...``, and ``Try a larger max_eps`` ``Try a larger --max-eps``.
    """
    for name, option in _PARAMETERS.items():
        message = re.sub(rf"(?:^|(?<=: )){name}(?=: )|(?<=[Tt]ry a larger ){name}\b", option, message)
    return message


def plain(text: object) -> str:
    """Text that every console can print and none obeys.

    Bytes of a file name that are no UTF-8 become question marks, and control characters, with which a name could
    command a terminal, are written out.
    """
    return str(text).encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM, by which batch systems end a job, do what Ctrl-C does: nothing is lost, and the user is told."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def progress_bar() -> Progress:
    """A progress bar on the error stream: done, how many, time gone and left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def progress(description: str, note: str, *, every: float = 60.0) -> Iterator[Callable[[int, int, str], None]]:
    """A function that is told what is done, of how many, with a note, and shows it.

    On a terminal it moves a bar; in a log it writes a line now and then, with an estimate of the time left.

    Args:
        description: What is under way.
        note: Shown until the first call.
        every: Seconds between lines of a log.
    """
    if sys.stderr.isatty():
        with progress_bar() as bar:
            task = bar.add_task(description, total=None, note=note)
            yield lambda done, total, text: bar.update(task, completed=done, total=total, note=text)
        return
    began, last, at_first = time.monotonic(), time.monotonic(), -1

    def tell(done: int, total: int, text: str) -> None:
        nonlocal began, last, at_first
        now = time.monotonic()
        if at_first < 0:  # what was there already tells nothing about how fast it goes
            began, at_first = now, done
        elif done < total and now - last < every:
            return
        last, fresh = now, done - at_first
        left = f", about {_duration((now - began) * (total - done) / fresh)} left" if fresh > 0 and done < total else ""
        err.print(f"{description}: {done} of {total}{left}{f', {text}' if text else ''}", markup=False)

    yield tell


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def tracked(items: Iterable[Item], total: int, description: str) -> Iterator[Item]:
    """The same items, with a progress bar while they are gone through."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, note="")
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def training_bar(steps: int, words: Callable[[dict[str, float]], str]) -> Iterator[tuple[Any, Any]]:
    """What a training run is given as ``progress`` and ``report``: a bar with its latest figures, or lines in a log.

    Args:
        steps: Of the run.
        words: Figures as a reader would have them.
    """
    with progress_bar() as bar:
        task = bar.add_task("training", total=steps, note="")

        def wrap(batches: Iterable[Item], total: int, done: int) -> Iterator[Item]:
            bar.update(task, completed=done)
            for batch in batches:
                yield batch
                bar.advance(task)

        def report(figures: dict[str, float]) -> None:
            bar.update(task, note=words(figures))
            if bar.disable:
                err.print(f"step {figures['step']}/{steps} {words(figures)}")

        yield wrap, report


@contextmanager
def steps_of(alone: bool, *, after: float = 2.0) -> Iterator[Callable[[int, int], None]]:
    """A function that is told the steps on one photo, and shows a bar once they take more than two seconds.

    Args:
        alone: There is one photo; of several their own bar tells enough.
        after: Seconds before the bar appears.
    """
    if not alone or not sys.stderr.isatty():
        yield lambda done, of: None
        return
    began, bar = time.monotonic(), progress_bar()
    task: Any = None

    def tell(done: int, of: int) -> None:
        nonlocal task
        if task is None and time.monotonic() - began >= after:
            bar.start()
            task = bar.add_task("steps", total=of, note="")
        if task is not None:
            bar.update(task, completed=done, total=of)

    try:
        yield tell
    finally:
        if task is not None:
            bar.stop()
