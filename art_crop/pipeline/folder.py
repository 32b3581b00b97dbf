"""Many photos: what is done already is left alone, a bad file stops nothing, every photo has its own outcome."""

from __future__ import annotations

import hashlib
import os
import traceback
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.datasets.folder import EXTENSIONS, Folder
from art_crop.errors import ArtCropError, InvalidInputError, WrongLabelError, describe
from art_crop.pipeline.outputs import Outputs, finished, names_a_file
from art_crop.pipeline.record import Settings
from art_crop.pipeline.run import MAX_PIXELS, provenance, run_job

__all__ = ["Done", "Job", "collect", "passed_over", "show_in_each", "sources_of"]


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """A photo and where its results go."""

    source: Path
    outputs: Outputs


@dataclass(frozen=True)
class Done:
    """What became of one photo of many: a record, or why there is none."""

    job: Job
    record: dict[str, Any] | None
    """As :meth:`~art_crop.pipeline.record.Record.to_json` gives it."""
    error: str | None = None
    resumed: bool = False
    """An earlier run had done it."""
    crashed: bool = False
    """The error is a bug of the model, the attack or this package, and not of the photo or of what was asked."""
    skipped: bool = False
    """Nothing is wrong with the photo, but it has not the label that was to be taken from it."""

    @property
    def photo(self) -> Path:
        """Where the written photo is."""
        failed = self.record is not None and not self.record["success"]
        return self.job.outputs.failed if failed and self.job.outputs.failed.exists() else self.job.outputs.photo


def collect(paths: Sequence[str | Path], out: str | Path, *, png: bool = False, jpeg: bool = False) -> list[Job]:
    """The photos that were named, those of named folders included, and where the results of each go.

    Photos of one name (``a.jpg`` and ``a.png``) get their suffix into their results' names (``a_jpg``, ``a_png``), and
    where that is not enough (``a.JPG`` and ``a.jpg``, two ways to write an ä) a hash of the photo's name.

    Args:
        paths: Photos and folders of photos.
        out: Folder of the results, or name of the only one.
        png: Whether all are written as PNGs.
        jpeg: Whether all are written as JPEGs; with neither it is decided for each, see :meth:`Outputs.of`.

    Raises:
        InvalidInputError: No photos; several photos for one file name; two photos of one name; a folder without photos
            or that is the folder of results; a photo that its own result would overwrite.
    """
    target = Path(out).expanduser()
    sources = sources_of(paths, apart_from=target)
    if names_a_file(target) and len(sources) > 1:
        raise InvalidInputError(f"out: {out} names one photo, and there are {len(sources)}; name a folder")
    stems, exact = Counter(_same_name(source.stem) for source in sources), Counter(source.name for source in sources)
    jobs, taken = [], dict[str, Path]()
    for source in sources:
        suffixed = f"{source.stem}_{source.suffix.lstrip('.')}"
        names = [suffixed] if stems[_same_name(source.stem)] > 1 else [source.stem, suffixed]
        if exact[source.name] == 1:  # of two in different folders, nobody could tell which result is whose
            names.append(f"{suffixed}~{hashlib.sha256(os.fsencode(source.name)).hexdigest()[:8]}")
        tried = [Outputs.of(source, target, png=png, jpeg=jpeg, stem=name) for name in names]
        # a.figure.png may not be written to the figure of a.jpg.
        free = [outputs for outputs in tried if not taken.keys() & {_same_name(path.name) for path in outputs}]
        if not free:
            clash = next(path for path in tried[-1] if _same_name(path.name) in taken)
            other = taken[_same_name(clash.name)]
            raise InvalidInputError(f"photos: {other} and {source} would both be written to {clash}")
        taken |= {_same_name(path.name): source for path in free[0]}
        jobs.append(Job(source, free[0]))
    _refuse_sources(jobs)
    return jobs


def _same_name(name: str) -> str:
    """The name as the least particular file system has it: A.png and a.png, and both ways to write an ä, are one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _refuse_sources(jobs: Sequence[Job]) -> None:
    """Raise InvalidInputError where a result of one photo would replace another photo."""
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    for job in jobs:
        for path in job.outputs:
            if (other := sources.get(os.path.realpath(path))) is not None:
                raise InvalidInputError(f"out: {path}, of {job.source}, is the photo {other}; name another folder")


def sources_of(paths: Sequence[str | Path], *, apart_from: Path | None = None) -> list[Path]:
    """The photos that were named, those of named folders included.

    Args:
        paths: Photos, which need not exist, and folders.
        apart_from: A folder that must not be among them.

    Raises:
        InvalidInputError: No photos; a folder without photos, or that cannot be read, or that is ``apart_from``.
    """
    sources = [source for path in paths for source in _photos(Path(path).expanduser(), apart_from)]
    if not sources:
        raise InvalidInputError("photos: name at least one photo or folder")
    return sources


def passed_over(paths: Sequence[str | Path]) -> list[Path]:
    """List what is in the named folders and is no photo by its ending, folders included and hidden files excepted."""
    found = []
    for folder in (Path(path).expanduser() for path in paths):
        if folder.is_dir():
            visible = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
            found += [item for item in visible if item.is_dir() or item.suffix.lower() not in EXTENSIONS]
    return found


def _photos(path: Path, out: Path | None) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        if out is not None and out.is_dir() and out.samefile(path):
            raise InvalidInputError(f"out: {out} is the folder of the photos; name another one")
        return [item.path for item in Folder(path)]
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInputError(f"photos: {str(path)!r} cannot be read: {reason}") from error


def show_in_each(
    jobs: Sequence[Job],
    settings: Settings,
    model: Any,
    *,
    surrogate: Any = None,
    figure: bool = True,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Progress = lambda done, of: None,
) -> Iterator[Done]:
    """Do every photo as :func:`~art_crop.pipeline.run.show_region` does one, and yield each outcome as it comes.

    A photo whose record says that the same was done already, with its files untouched, is passed over. Whatever a model
    or an attack raises is that photo's own outcome.
    """
    made_by = provenance(settings, model, surrogate)
    for job in jobs:
        yield _one(
            job,
            settings,
            model,
            figure=figure,
            overwrite=overwrite,
            surrogate=surrogate,
            max_pixels=max_pixels,
            progress=progress,
            made_by=made_by,
        )


def _one(
    job: Job,
    settings: Settings,
    model: Any,
    *,
    figure: bool,
    overwrite: bool,
    made_by: dict[str, Any],
    **options: Any,
) -> Done:
    try:
        if not overwrite:
            record = finished(job.source, job.outputs, settings, made_by, figure=figure)
            if record is not None:
                return Done(job, record, resumed=True)
        run = run_job(job.source, job.outputs, settings, model, figure=figure, made_by=made_by, **options)
        return Done(job, run.to_json())
    except ArtCropError as error:
        # Of many photos one must be named; most errors do.
        text = str(error)
        text = text if job.source.name in text else f"{job.source}: {text}"
        return Done(job, None, text, skipped=isinstance(error, WrongLabelError))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's model may even end the process
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{describe(error)} ({Path(where.filename).name}, line {where.lineno})"
        return Done(job, None, f"{job.source}: {said}", crashed=True)
