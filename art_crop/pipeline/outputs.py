"""Where a photo's results go, what may be replaced, and files that appear all together or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.errors import InvalidInputError, OutputError
from art_crop.images import is_jpeg, remove_abandoned, write_atomic
from art_crop.pipeline.record import Settings, differences, file_sha256, printable, read_record

__all__ = [
    "OUT_FOLDER",
    "Outputs",
    "finished",
    "make_folder",
    "names_a_file",
    "refuse_existing",
    "remove_earlier",
    "written_photo",
    "written_together",
]

OUT_FOLDER = "art-crop-out"
"""Folder that results go to unless another is named."""

_LONGEST_NAME, _LONGEST_SUFFIX = 255, ".figure.png"
_SUFFIXES = {".png": False, ".jpg": True, ".jpeg": True}


@dataclass(frozen=True)
class Outputs:
    """The files of one photo: the photo, its record and its figure, side by side.

    A photo that does not reach the goal goes to ``failed`` instead, so that nobody takes it for one that does.
    """

    photo: Path

    @property
    def failed(self) -> Path:
        """The photo, where it does not reach the goal."""
        return self.photo.with_name(f"{self.photo.stem}.failed{self.photo.suffix}")

    @property
    def record(self) -> Path:
        """The JSON record."""
        return self.photo.with_name(self.photo.stem + ".json")

    @property
    def figure(self) -> Path:
        """The figure."""
        return self.photo.with_name(self.photo.stem + ".figure.png")

    def __iter__(self) -> Iterator[Path]:
        return iter((self.photo, self.record, self.figure, self.failed))

    @property
    def jpeg(self) -> bool:
        """Whether the photo is written as a JPEG; its name says it."""
        return _SUFFIXES[self.photo.suffix.lower()]

    @classmethod
    def of(cls, source: Path, out: Path, *, png: bool = False, jpeg: bool = False, stem: str | None = None) -> Outputs:
        """Choose the names for a photo, and with them whether it is written as a PNG or as a JPEG.

        Args:
            source: The photo.
            out: A folder, or a file name that ends in .png, .jpg or .jpeg.
            png: A PNG is asked for.
            jpeg: A JPEG of some quality is asked for; with neither, a JPEG becomes a JPEG and all else a PNG, unless
                ``out`` is the name of a PNG.
            stem: Name without suffix; default: the photo's own.

        Raises:
            InvalidInputError: Both are asked for; the file name's suffix does not fit the format, or the photo itself
                would be overwritten.
        """
        if png and jpeg:
            raise InvalidInputError("png: it cannot go with a quality of a JPEG (--jpeg, jpeg_quality)")
        own = is_jpeg(source)
        if names_a_file(out):
            named = _SUFFIXES[out.suffix.lower()]
            if jpeg and not named:
                raise InvalidInputError(f"out: {out} is the name of a PNG, and a JPEG is asked for")
            if named and (png or not (jpeg or own)):
                why = "and a PNG is asked for" if png else "for which a quality is needed (--jpeg): the photo is none"
                raise InvalidInputError(f"out: {out} is the name of a JPEG, {why}")
            photo = out
        else:
            suffix = ".jpg" if jpeg or (own and not png) else ".png"
            photo = out / f"{_short(source.stem if stem is None else stem)}{suffix}"
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
    """Make a folder, with those above it, and remove what killed processes of ours have left in it.

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
    remove_abandoned(folder)


@contextmanager
def written_together(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Write several files, each atomically; where one or the body fails, all are as they were before.

    Raises:
        OutputError: A file cannot be written.
    """
    before: dict[Path, bytes | None] = {}
    for path in contents:
        if path.is_symlink() and not path.exists():
            raise OutputError(f"cannot write {path}: it is a symbolic link to nothing")
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


def refuse_existing(outputs: Outputs, differing: Sequence[str] = ()) -> None:
    """Refuse to replace anything.

    Args:
        outputs: What would be written.
        differing: Fields of the record that lies there in which it differs from what is asked now.

    Raises:
        OutputError: Something is there.
    """
    other = f" (different are: {', '.join(differing)})" if differing else ""
    for path in outputs:
        if os.path.lexists(path):  # a symbolic link to nothing is something
            raise OutputError(
                f"{path} exists already, and is not the result of these settings{other}; "
                "replace it with --overwrite (overwrite=True), or name another place (out)"
            )


def finished(
    source: Path, outputs: Outputs, settings: Settings, made_by: Mapping[str, Any], *, figure: bool
) -> dict[str, Any] | None:
    """Find the record of an earlier run that did exactly this, its files being there and untouched.

    What failed by other settings may be done again: the files are replaced.

    Args:
        source: The photo.
        outputs: Where its results are.
        settings: What is asked.
        made_by: As :func:`~art_crop.pipeline.record.differences` takes it, without input_sha256.
        figure: Whether there must be a figure.

    Returns:
        The record, or None: the photo has to be done.

    Raises:
        OutputError: Doing it would replace something that is not the rest of the same run cut short.
    """
    record = read_record(outputs.record)
    if record is None or not source.is_file():
        refuse_existing(outputs)
        return None
    written = written_photo(outputs, record)
    untouched = written is not None and file_sha256(written) == record["output_sha256"]
    differing = differences(record, settings, {**made_by, "input_sha256": file_sha256(source)})
    if _SUFFIXES.get(Path(record["output_name"]).suffix.lower()) != outputs.jpeg:
        differing.append("encoding")
    if written is not None and not untouched:
        refuse_existing(outputs, ["output_sha256"])
    if differing:
        if written is None or record["success"]:
            refuse_existing(outputs, differing)
        return None
    return record if written is not None and (outputs.figure.exists() or not figure) else None


def written_photo(outputs: Outputs, record: Mapping[str, Any]) -> Path | None:
    """Find the photo that a record speaks of beside it, a PNG or a JPEG; None where it is not there."""
    for suffix in (outputs.photo.suffix, *_SUFFIXES):
        named = Outputs(outputs.photo.with_name(outputs.photo.stem + suffix))
        for path in (named.photo, named.failed):
            if printable(path.name) == record["output_name"] and path.is_file():
                return path
    return None


def remove_earlier(outputs: Outputs, written: Path, record: Mapping[str, Any], source: Path) -> None:
    """Remove the photo of an earlier run whose record has been replaced: a failed one, or a JPEG where a PNG is now.

    Args:
        outputs: Where the results go.
        written: The photo that was written now.
        record: The earlier record.
        source: The photo that was changed, which stays whatever the record says.
    """
    path = written_photo(outputs, record)
    if path is None or path == written or _same(path, source):
        return
    if path in outputs or file_sha256(path) == record["output_sha256"]:
        path.unlink(missing_ok=True)


def _short(stem: str) -> str:
    """The stem, cut where a name made of it would be longer than file systems allow; a hash then keeps it unique."""
    room = _LONGEST_NAME - len(_LONGEST_SUFFIX)
    data = os.fsencode(stem)
    if len(data) <= room:
        return stem
    kept = data[: room - 9].decode("utf-8", "ignore")
    return f"{kept}~{hashlib.sha256(data).hexdigest()[:8]}"


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        if one.exists() and other.exists():
            return one.samefile(other)
    return False
