"""What ``from art_crop import bench`` offers: suites run, reported and compared as from the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import polars as pl

    from art_crop.bench.comparison import Comparison, Role
    from art_crop.bench.reporting import ReportFiles
    from art_crop.bench.runner import Progress, Summary
    from art_crop.bench.suite import Suite

__all__ = ["Run", "RunStopped", "compare", "report", "run"]

Folder: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Run:
    """A run's folder and what was done in it; it can be given wherever a run's folder can.

    Attributes:
        folder: Where its results are.
        summary: Counts of results, in photos times settings: ``rows`` in all, ``kept`` from before, ``done`` now, of
            these ``failed`` and ``excluded`` by the suite's rule.
    """

    folder: Path
    summary: Summary

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def results(self) -> pl.DataFrame:
        """All results as a Polars data frame, a row for each photo, setting and scored model, metrics as columns."""
        from art_crop.bench.results import load_run

        data = load_run(self.folder)[1].data
        return data.select(name for name in data.columns if not name.startswith("_"))


class RunStopped(KeyboardInterrupt):
    """A run was stopped by Ctrl-C; what was done is kept, in :attr:`run`, and the same call goes on."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"stopped; the same call goes on with what is missing in {run.folder}")
        self.run = run


def run(
    suite: str | Path | Suite,
    *,
    out: Folder,
    images: Folder | None = None,
    models: Mapping[str, str] | None = None,
    weights: Mapping[str, Folder] | None = None,
    limit: int | None = None,
    every: int = 1,
    executor: str = "in-process",
    workers: int | None = None,
    address: str | None = None,
    device: str = "auto",
    keep_images: bool = False,
    retry_failed: bool = False,
    progress: bool | Progress = True,
    command: str | None = None,
) -> Run:
    """Run a benchmark suite, or what is missing of it: the same call goes on where an earlier one was stopped.

    Args:
        suite: A TOML file, the name of a suite that is shipped, or one that was read.
        out: Folder of the results.
        images: Folder of the photos, or of the dataset that the suite names; None where it needs none.
        models: A model of the suite -> the name of a model that takes its place. Not for a suite that was read.
        weights: A model's name -> its weight file.
        limit: At most so many photos.
        every: Only every n-th of the suite's photos.
        executor: "in-process", "local", "ray", or a plugin's. "local" starts processes, which import the script that
            calls this: there it must stand below ``if __name__ == "__main__":``.
        workers: Of the executor; None: its default.
        address: Of a running Ray cluster.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        keep_images: Keep the changed photos, for the report.
        retry_failed: Compute photos that ended with an error anew.
        progress: Show a progress bar, or a function that is told results done, results in all and a note.
        command: What ``run.json`` says of how it was started; None: this call, without folders.

    Returns:
        The run: its folder, its counts, its results as a data frame. Photos that failed raise nothing; see
        ``run.summary.failed``.

    Raises:
        ArtCropError: Something cannot be as the suite or the arguments want it; the message names the argument.
        RunStopped: Ctrl-C; a KeyboardInterrupt.

    Example:
        >>> from art_crop import bench
        >>> run = bench.run("smoke", out="smoke-run", limit=2)  # doctest: +SKIP
        >>> run.summary.rows  # doctest: +SKIP
        12
    """
    from art_crop.bench.runner import run_suite
    from art_crop.bench.suite import Suite
    from art_crop.bench.suite_file import find_suite, load_suite
    from art_crop.checks import check_int
    from art_crop.errors import InvalidInputError

    for name, number in (("limit", limit), ("every", every), ("workers", workers)):
        if number is not None:
            check_int(number, name, at_least=1)
    if isinstance(suite, Suite):
        if models:
            raise InvalidInputError(
                "models: a suite that was read has its models; give load_suite(..., instead=models)"
            )
        chosen = suite
    else:
        chosen = load_suite(find_suite(suite), instead=models)
    options = {"workers": workers, "address": address}
    folder = Path(out).expanduser()
    with _told(progress, chosen.name) as tell:
        summary = run_suite(
            chosen,
            images=None if images is None else Path(images).expanduser(),
            out=folder,
            weights={name: os.fspath(path) for name, path in (weights or {}).items()},
            executor=executor,
            executor_options={name: value for name, value in options.items() if value is not None},
            keep_images=keep_images,
            every=every,
            limit=limit,
            device=device,
            retry=retry_failed,
            command=_call(chosen, models, limit, every) if command is None else command,
            progress=tell,
        )
    done = Run(folder, summary)
    if summary.stopped:
        raise RunStopped(done)
    return done


def report(run: Folder, out: Folder | None = None, *, photos: int = 36) -> ReportFiles:
    """Write a run, finished or not, as a page (report.html), as Markdown (report.md) and as JSON (report.json).

    Args:
        run: Folder of a run, or what :func:`run` returned.
        out: Folder to write to; None: the run's.
        photos: At most so many pairs of kept photos in the page.

    Returns:
        The files: ``html``, ``markdown``, ``json``.

    Raises:
        InvalidInputError: ``run`` holds no run, or ``photos`` is negative.
        OutputError: A file cannot be written.
        MissingDependencyError: Without what ``pip install "art-crop[bench]"`` brings.

    Example:
        >>> from art_crop import bench
        >>> bench.report("smoke-run").html  # doctest: +SKIP
        PosixPath('smoke-run/report.html')
    """
    from art_crop.bench.reporting import write_report

    return write_report(Path(run).expanduser(), None if out is None else Path(out).expanduser(), photos=photos)


def compare(
    a: Folder,
    b: Folder | None = None,
    *,
    models: Sequence[str] = (),
    methods: Sequence[str] = (),
    role: Role = "scored",
    measures: Sequence[str] = (),
    across_suites: bool = False,
) -> Comparison:
    """Compare two models, two attack methods or two runs on the same photos, paired photo by photo.

    Args:
        a: A run.
        b: Another, whose results are the second side; None: the same run.
        models: Two models, the first in ``a``, the second in ``b``. Results are paired that agree in photo, method,
            budget and seed; what was made by attacking a model itself is paired with the same of the other. Default: of
            two runs that scored one model each, and not the same, these.
        methods: Two attack methods, as reports name them, instead of models.
        role: Whether ``models`` are those that were "scored" or those that were "attacked".
        measures: Shares and means, as suites name them, such as "success" or "mean l2"; none: the usual ones.
        across_suites: Compare what fits even where the suites of two runs do different things.

    Returns:
        The comparison: ``differences``, each with n, both means, their difference, its 95% interval, p and p corrected
        by Holm's method; ``table``, the same as a Polars data frame; ``notices``, what a reader has to know.

    Raises:
        InvalidInputError: It is not clear what to compare, a name is not known (the message lists those that are), the
            suites differ, or there is nothing in common.
        MissingDependencyError: Without what ``pip install "art-crop[bench]"`` brings.

    Example:
        >>> from art_crop import bench
        >>> found = bench.compare("smoke-run", methods=("FGM", "noise"))  # doctest: +SKIP
        >>> [(one.measure, one.n, one.difference, one.p_corrected) for one in found.differences]  # doctest: +SKIP
    """
    from art_crop.bench.comparison import compare_runs

    return compare_runs(
        Path(a).expanduser(),
        None if b is None else Path(b).expanduser(),
        models=models,
        methods=methods,
        role=role,
        measures=measures,
        across_suites=across_suites,
    )


@contextmanager
def _told(progress: bool | Progress, name: str) -> Iterator[Progress | None]:
    """What is told how far a run is: a bar, the caller's function, or nothing."""
    if not isinstance(progress, bool):
        yield progress
        return
    from tqdm.auto import tqdm

    with tqdm(desc=name, unit="result", disable=not progress) as bar:

        def tell(done: int, total: int, note: str) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(note, refresh=False)
            bar.refresh()

        yield tell


def _call(suite: Suite, models: Mapping[str, str] | None, limit: int | None, every: int) -> str:
    """The call as ``run.json`` keeps it: nothing of where things lie on this machine."""
    given: dict[str, Any] = {"models": dict(models or {}), "limit": limit, "every": every if every > 1 else None}
    more = "".join(f", {name}={value!r}" for name, value in given.items() if value)
    return f"art_crop.bench.run({suite.name!r}{more})"
