"""Where a photo's results go, what may be replaced, and files that appear all together or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.errors import InvalidInputError, OutputError
from art_crop.images import write_atomic
from art_crop.pipeline.record import Settings, answers, file_sha256, read_record

__all__ = ["OUT_FOLDER", "Outputs", "finished", "make_folder", "names_a_file", "refuse_existing", "written_together"]

OUT_FOLDER = "art-crop-out"
"""Folder that results go to unless another is named."""

_SUFFIXES = {".png": False, ".jpg": True, ".jpeg": True}


@dataclass(frozen=True)
class Outputs:
    """The files of one photo: the photo, its record and its figure, side by side."""

    photo: Path

    @property
    def record(self) -> Path:
        """The JSON record."""
        return self.photo.with_name(self.photo.stem + ".json")

    @property
    def figure(self) -> Path:
        """The figure."""
        return self.photo.with_name(self.photo.stem + ".figure.png")

    def __iter__(self) -> Iterator[Path]:
        return iter((self.photo, self.record, self.figure))

    @classmethod
    def of(cls, source: Path, out: Path, *, jpeg: bool, stem: str | None = None) -> Outputs:
        """Choose the names for a photo.

        Args:
            source: The photo.
            out: A folder, or a file name that ends in .png, .jpg or .jpeg.
            jpeg: Whether a JPEG is written.
            stem: Name without suffix; default: the photo's own.

        Raises:
            InvalidInputError: The file name's suffix does not fit the format, or the photo itself would be overwritten.
        """
        if names_a_file(out):
            if _SUFFIXES[out.suffix.lower()] != jpeg:
                wanted = "a PNG, and a JPEG is asked for" if jpeg else "a JPEG, for which a quality is needed (--jpeg)"
                raise InvalidInputError(f"out: {out} is the name of {wanted}")
            photo = out
        else:
            photo = out / f"{source.stem if stem is None else stem}{'.jpg' if jpeg else '.png'}"
        outputs = cls(photo)
        for path in outputs:
            if _same(path, source):
                raise InvalidInputError(
                    f"out: {path} is the photo itself, which is not overwritten; name another place"
                )
        return outputs


def names_a_file(out: Path) -> bool:
    """Whether ``out`` is the name of a photo to write rather than of a folder."""
    return out.suffix.lower() in _SUFFIXES and not out.is_dir()


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it.

    Raises:
        OutputError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"cannot write into {folder}: it is a file, and a folder is needed") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot make the folder {str(folder)!r}: {reason}") from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}: no permission to write there")


@contextmanager
def written_together(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Write several files, each atomically; where one or the body fails, all are as they were before.

    Raises:
        OutputError: A file cannot be written.
    """
    before: dict[Path, bytes | None] = {}
    try:
        for path, data in contents.items():
            before[path] = path.read_bytes() if path.is_file() else None
            write_atomic(path, data)
        yield
    except BaseException:  # Ctrl-C too must not leave a photo without its record
        for path, data_before in before.items():
            with contextlib.suppress(OSError, OutputError):
                if data_before is None:
                    path.unlink(missing_ok=True)
                elif path.read_bytes() != data_before:
                    write_atomic(path, data_before)
        raise


def refuse_existing(outputs: Outputs) -> None:
    """Raises OutputError where a result would replace something."""
    for path in outputs:
        if path.exists():
            raise OutputError(
                f"{path} exists already, and is not the result of these settings; "
                "replace it with --overwrite (overwrite=True), or name another place (out)"
            )


def finished(
    source: Path, outputs: Outputs, settings: Settings, *, model: str, weights_sha256: str | None, figure: bool
) -> dict[str, Any] | None:
    """The record of an earlier run that did exactly this, its files being there and untouched.

    Returns:
        The record, or None: the photo has to be done.

    Raises:
        OutputError: Doing it would replace something that is not the rest of the same run cut short.
    """
    record = read_record(outputs.record)
    ours = (
        record is not None
        and source.is_file()
        and answers(record, settings, model=model, weights_sha256=weights_sha256, input_sha256=file_sha256(source))
    )
    if record is None or not ours:
        refuse_existing(outputs)
        return None
    if not outputs.photo.exists():
        return None
    if file_sha256(outputs.photo) != record["output_sha256"]:
        refuse_existing(outputs)
    return None if figure and not outputs.figure.exists() else record


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        if one.exists() and other.exists():
            return one.samefile(other)
    return False
