"""One photo from file to file: changed, written, read back, judged by the cropper's own pipeline, and recorded.

The judgement that counts is made on files. Candidates are judged in a temporary folder, so that nothing appears under
its final name before it has its record; the winner is judged once more where it ends up.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import art_crop
from art_crop.checks import check_choice
from art_crop.errors import ImageFileError, InvalidInputError, OutputError
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.geometry import Region
from art_crop.pipeline.figure import draw_figure
from art_crop.pipeline.goal import SHOWN_RATIOS, Goal, View
from art_crop.pipeline.measure import l2, measure_change
from art_crop.pipeline.message import explain
from art_crop.pipeline.outputs import OUT_FOLDER, Outputs, make_folder, refuse_existing, written_together
from art_crop.pipeline.picture import SaliencyMap
from art_crop.pipeline.record import Record, Settings, file_sha256, json_bytes, printable
from art_crop.pipeline.search import Attempt, as_batch, attempts
from art_crop.models.cropper import FilePrediction
from art_crop.images import Photo, encode_jpeg, encode_png, load_photo, write_atomic

__all__ = ["MAX_PIXELS", "job_model", "model_name", "run_job", "saliency_map", "show_region"]

MAX_PIXELS = 50_000_000
"""Largest photo that is changed unless more are allowed: the search takes about 230 bytes of memory a pixel."""

Model = PyTorchSaliencyRegressor | str


def show_region(
    path: str | Path,
    region: Region | str,
    *,
    estimator: Model = "gaze-lite",
    ratios: Sequence[float] | None = SHOWN_RATIOS,
    out: str | Path = OUT_FOLDER,
    eps: float | None = None,
    max_eps: float | None = None,
    steps: int = 10,
    jpeg_quality: int | None = None,
    figure: bool = True,
    seed: int = 0,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Record:
    """Change a photo as little as possible so that a cropper shows a region; write it, and say what the file achieves.

    Beside the photo go ``NAME.json``, the record, and ``NAME.figure.png``. A photo that shows the region already keeps
    its pixels. One that cannot be changed enough is written too, and its record says so.

    Example:
        >>> record = show_region("photo.jpg", Region(0.3, 0.7, 0.6, 0.9), out="results")  # doctest: +SKIP
        >>> record.success, record.change.l2  # doctest: +SKIP
        (True, 0.31)

    Args:
        path: The photo.
        region: What must be shown, in the upright photo: a ``Region``, or ``"x0,y0,x1,y1"`` in fractions or, with px,
            in pixels.
        estimator: The cropper: a saliency estimator with photos in [0, 1], or a model's name.
        ratios: Aspect ratios (height / width) whose crops must all contain the region; None: the salient point must
            lie in it.
        out: Folder, or name of the photo to write (.png, or .jpg with ``jpeg_quality``).
        eps: L2 norm of the change, pixels in [0, 1]; None: the smallest that succeeds.
        max_eps: Largest L2 norm tried; None: a PSNR of 40 dB.
        steps: Gradient steps, or rounds of the search for the smallest change.
        jpeg_quality: Write a JPEG of that quality instead of a PNG.
        figure: Draw the figure.
        seed: Start of every random stream.
        overwrite: Replace results that are there already.
        max_pixels: Largest photo accepted.

    Raises:
        InvalidInputError: A bad argument; a region that no crop can contain (the message says which ratios can).
        ImageFileError: Not a readable photo, or too large a one.
        OutputError: The results cannot be written, or would replace something.
    """
    settings = Settings(region, None if ratios is None else tuple(ratios), eps, max_eps, steps, jpeg_quality, seed)
    check_choice(figure, "figure", (True, False))
    outputs = Outputs.of(Path(path), Path(out), jpeg=jpeg_quality is not None)
    if not overwrite:
        refuse_existing(outputs)
    return run_job(Path(path), outputs, settings, job_model(estimator), figure=figure, max_pixels=max_pixels)


def job_model(estimator: Model, **options: Any) -> PyTorchSaliencyRegressor:
    """The cropper for a job: loaded by name, or checked.

    Raises:
        InvalidInputError: No saliency model with white-box gradients and photos in [0, 1]; an unknown name.
        WeightsError: Its weights are missing or damaged.
    """
    model = art_crop.load_model(estimator, **options) if isinstance(estimator, str) else estimator
    if not isinstance(model, PyTorchSaliencyRegressor):
        raise InvalidInputError(f"model: a saliency model with gradients is needed, not {type(model).__name__}")
    if tuple(model.clip_values) != (0, 1):
        raise InvalidInputError(f"model: one with clip_values=(0, 1) is needed, not {tuple(model.clip_values)}")
    return model


def model_name(model: PyTorchSaliencyRegressor) -> str:
    """The model's name in the plugin table, or its class."""
    return model.name or type(model.model).__name__


def run_job(
    source: Path,
    outputs: Outputs,
    settings: Settings,
    model: PyTorchSaliencyRegressor,
    *,
    figure: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> Record:
    """Do one photo and replace whatever lies at ``outputs``; arguments and errors as for :func:`show_region`."""
    started = time.monotonic()
    photo = load_photo(source, max_pixels=max_pixels)
    height, width = photo.pixels.shape[:2]
    goal = settings.goal(width, height)
    with _enough_memory(photo):
        seen_before = model.predict_file(source, goal.shown_ratios)
        before = goal.view(model, seen_before)
        found = _search(photo, goal, settings, model)
        change = measure_change(photo.pixels, found.decoded)
        l2_before = l2(photo.pixels, found.last.attempt.pixels)
    attempt, data, seen, after = found.last
    record = Record(
        success=after.success,
        message=explain(
            goal,
            before,
            after,
            attempt,
            change,
            l2_before_encoding=l2_before,
            hopeless=found.hopeless,
            settings=settings,
        ),
        model=model_name(model),
        weights_sha256=model.weights_sha256,
        region=(goal.region.x0, goal.region.y0, goal.region.x1, goal.region.y1),
        ratios=settings.ratios,
        eps=settings.eps,
        max_eps=settings.max_eps,
        steps=settings.steps,
        jpeg_quality=settings.jpeg_quality,
        seed=settings.seed,
        norm="2",
        budget=attempt.eps,
        unchanged=attempt.pixels is photo.pixels,
        success_before=before.success,
        success_before_writing=attempt.success,
        success_after_writing=after.success,
        before=before,
        after=after,
        shown_ratios=goal.shown_ratios,
        change=change,
        l2_before_encoding=l2_before,
        gradients=found.gradients,
        queries=found.queries,
        files_checked=found.files,
        seconds=round(time.monotonic() - started, 3),
        width=width,
        height=height,
        input_name=printable(source.name),
        input_sha256=file_sha256(source),
        output_name=printable(outputs.photo.name),
        output_sha256=hashlib.sha256(data).hexdigest(),
        figure_name=printable(outputs.figure.name) if figure else None,
        device=str(model.device),
        versions={"art_crop": art_crop.__version__, **{name: version(name) for name in ("torch", "numpy", "pillow")}},
    )
    files: dict[Path, bytes] = {}
    if figure:
        maps = (saliency_map(model, seen_before), saliency_map(model, seen))
        files[outputs.figure] = draw_figure(record, photo.pixels, found.decoded, maps)
    files[outputs.record] = json_bytes(record.to_json())
    files[outputs.photo] = data  # last: where a photo is, its record is
    make_folder(outputs.photo.parent)
    with written_together(files):
        # The file itself, where it lies now: the record speaks of nothing else.
        if goal.view(model, model.predict_file(outputs.photo, goal.shown_ratios)) != after:
            raise OutputError(f"{outputs.photo} was changed by another program while it was written; nothing is kept")
    return record


class _Written(NamedTuple):
    """A photo as the bytes of a file, and what the cropper makes of that file."""

    attempt: Attempt
    data: bytes
    seen: FilePrediction
    view: View


@dataclass
class _Found:
    """The last photo that was tried, its file's pixels, and what all of them cost."""

    last: _Written
    decoded: NDArray[np.uint8]
    hopeless: bool
    gradients: int
    queries: int
    files: int


def _search(photo: Photo, goal: Goal, settings: Settings, model: PyTorchSaliencyRegressor) -> _Found:
    """The photo as it is, then changed ones, until one fulfils the goal as a file."""
    output = model.output(as_batch(model, photo.pixels))
    hopeless = goal.out_of_reach(output)
    as_it_is = Attempt(photo.pixels, 0.0, bool(goal.objective()(output).success), gradients=0, queries=1)
    with tempfile.TemporaryDirectory(prefix="art-crop-") as folder:
        file = Path(folder) / ("photo.png" if settings.jpeg_quality is None else "photo.jpg")

        def written(attempt: Attempt) -> _Written:
            if settings.jpeg_quality is None:
                data = encode_png(attempt.pixels, photo)
            else:
                data = encode_jpeg(attempt.pixels, settings.jpeg_quality, photo)
            write_atomic(file, data)
            seen = model.predict_file(file, goal.shown_ratios)
            return _Written(attempt, data, seen, goal.view(model, seen))

        last = written(as_it_is)
        gradients, queries, files = 0, 1, 1
        changed: Iterable[Attempt] = (
            () if last.view.success or hopeless else attempts(model, photo.pixels, goal, settings)
        )
        for attempt in changed:
            gradients, queries, files = gradients + attempt.gradients, queries + attempt.queries, files + 1
            last = written(attempt)
            if last.view.success:
                break
        decoded = load_photo(file, max_pixels=max(1, photo.pixels.size)).pixels
    return _Found(last, decoded, hopeless, gradients, queries, files)


def saliency_map(model: PyTorchSaliencyRegressor, seen: FilePrediction) -> SaliencyMap:
    """A file's saliency as figures draw it."""
    raw = seen.saliency_map
    density = np.exp(raw - raw.max()) if model.rule.log_density else raw.clip(0)
    where = model.rule.positions((raw.shape[0], raw.shape[1]), seen.size)
    # The first cell stands half a cell from the edge.
    reach = (2 * float(where.x[0]) * raw.shape[1] / seen.size[0], 2 * float(where.y[0]) * raw.shape[0] / seen.size[1])
    return SaliencyMap(density, reach)


@contextmanager
def _enough_memory(photo: Photo) -> Iterator[None]:
    """Turn running out of memory into a sentence about the photo."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        height, width = photo.pixels.shape[:2]
        raise ImageFileError(f"{photo.path}: there is not enough memory to change {width}x{height} px") from None
