"""Every error this package raises on purpose; each message is one sentence that says what is allowed."""

from __future__ import annotations


class ArtCropError(Exception):
    """Base of all errors raised by art_crop."""


class InvalidInputError(ArtCropError, ValueError):
    """An argument is not usable; the message names it and the allowed values."""


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
