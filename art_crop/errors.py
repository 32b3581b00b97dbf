"""Every error this package raises on purpose; each message is one sentence that says what is allowed."""

from __future__ import annotations

from collections.abc import Callable


class ArtCropError(Exception):
    """Base of all errors raised by art_crop."""


class InvalidInputError(ArtCropError, ValueError):
    """An argument is not usable; the message names it and the allowed values."""


class WrongLabelError(InvalidInputError):
    """A classifier does not give a photo the label that it is said to have, so there is none to take from it."""


class ImageFileError(ArtCropError):
    """A photo cannot be read, or is not safe to read."""


class WeightsError(ArtCropError):
    """A weight file is missing, malformed or not the expected one."""


class DownloadError(ArtCropError):
    """A file could not be fetched, or is not the file that was expected."""


class MissingDependencyError(ArtCropError, ImportError):
    """An optional package is needed; the message names the ``pip install`` that provides it."""


class QueryLimitError(ArtCropError):
    """A query-only model was asked more often than its budget allows."""


class OutputError(ArtCropError):
    """A result cannot be written; what existed before is untouched."""


class PluginError(ArtCropError):
    """A plugin is broken, or two of them own one name; the message names the distributions and what to do."""


class PluginWarning(UserWarning):
    """Some installed plugin is broken, and what it breaks is left out; given once a process."""


def describe(error: BaseException, limit: int = 300) -> str:
    """Say what an error is, ``Class: text``, in one printable line; never raises, whatever class the error is of.

    Errors of foreign code may have texts that raise or exit, and texts and names that hold a terminal's control codes.
    """
    text = printable(error, limit)
    return f"{class_name(error)}: {text}" if text else class_name(error)


def class_name(value: object) -> str:
    """Name an object's class in one printable line; never raises."""
    return printable(type.__dict__["__name__"].__get__(type(value)), 80)  # a metaclass may give another, or exit


def printable(value: object, limit: int = 300, text: Callable[[object], str] = str) -> str:
    """Show any object in one line of at most ``limit`` letters without control codes; "" where its text raises."""
    try:
        shown = str.__str__(text(value))[: 10 * limit]  # of a subclass of str, no method of its own is asked
    except BaseException:  # what a foreign __str__ raises, exits included, says nothing of the object itself
        return ""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(shown.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
