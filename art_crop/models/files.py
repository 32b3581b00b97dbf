"""Weight files as bytes: regular files of a bounded size, nothing else."""

from __future__ import annotations

from pathlib import Path

from art_crop.errors import WeightsError

__all__ = ["read_bytes"]


def read_bytes(path: str | Path, at_most: int) -> bytes:
    """Content of a weight file.

    Raises:
        WeightsError: Missing, unreadable, not a regular file, or longer than ``at_most`` bytes.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():  # a pipe would block, a device might never end
            raise WeightsError(f"cannot read weights {path}: it is no regular file")
        with file.open("rb") as stream:
            data = stream.read(at_most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"cannot read weights {str(path)!r}: {reason}") from error
    if len(data) > at_most:
        raise WeightsError(f"{path} is longer than the {at_most} bytes that such a weight file may have")
    return data
