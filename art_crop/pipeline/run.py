"""One photo, from file to file: read, changed, written, read back by the target's own pipeline, recorded."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

import art_crop
from art_crop.checks import check_choice
from art_crop.errors import ImageFileError, InvalidInputError, OutputError
from art_crop.geometry import Region
from art_crop.images import Photo, dropped_metadata, load_photo
from art_crop.images.coefficients import temporary_file
from art_crop.images.encoding import EncodedImage, Jpeg, Png
from art_crop.objectives import Objective, SaliencyOutput
from art_crop.pipeline.craft import Attempt, Crafter, has_budget
from art_crop.pipeline.figure import draw_figure
from art_crop.pipeline.goals import SHOWN_RATIOS, Goal, ResavedView, Score, ShowRegion
from art_crop.pipeline.measure import Change, l2, measure_change, share_within
from art_crop.pipeline.message import explain
from art_crop.pipeline.outputs import (
    OUT_FOLDER,
    Outputs,
    make_folder,
    refuse_existing,
    remove_earlier,
    written_together,
)
from art_crop.pipeline.picture import SaliencyMap
from art_crop.pipeline.record import (
    Record,
    Settings,
    file_sha256,
    json_bytes,
    model_sha256,
    plugin_versions,
    printable,
    read_record,
)
from art_crop.pipeline.verify import Verified, verify
from art_crop.plugins.registry import list_plugins

__all__ = ["MAX_PIXELS", "job_model", "model_name", "output_of_original", "run_job", "saliency_map", "show_region"]

MAX_PIXELS = 50_000_000
"""Largest photo that is changed unless more are allowed; it takes about 30 bytes of memory a pixel."""

Model = Any


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
    png: bool = False,
    jpeg_quality: int | None = None,
    figure: bool = True,
    seed: int = 0,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Record:
    """Change a photo as little as possible so that a cropper shows a region; write it, and say what the file achieves.

    Beside the photo go ``NAME.json``, the record, and ``NAME.figure.png``. A photo that shows the region already keeps
    its pixels. One that cannot be changed enough is written too, and its record says so.

    A JPEG becomes a JPEG with its own quantisation tables and chroma subsampling, and every other photo a PNG, for
    which a smaller change is enough. A JPEG's change is made of steps of its own coefficients, and the rest of them
    stays as it is; one that shows the region already is copied byte for byte.

    Example:
        >>> record = show_region("photo.jpg", Region(0.3, 0.7, 0.6, 0.9), out="results")  # doctest: +SKIP
        >>> record.success, record.change.l2  # doctest: +SKIP
        (True, 0.31)

    Args:
        path: The photo.
        region: What must be shown, in the upright photo: a ``Region``, or text as :meth:`Region.parse` reads it, such
            as ``"bottom"``.
        estimator: The target: a saliency estimator with photos in [0, 1], behind its defences, or a model's name.
        ratios: Aspect ratios (height / width) whose crops must all contain the region; None: the salient point must
            lie in it. Of the default ones, those whose crops cannot contain it are left out.
        out: Folder, or name of the photo to write: .png, or .jpg for a JPEG or with ``jpeg_quality``.
        eps: L2 norm of the change, pixels in [0, 1]; None: the smallest that succeeds. A JPEG's is counted in its
            coefficients, and the decoder's rounding adds to what ``record.change.l2`` says.
        max_eps: Largest L2 norm tried; None: a PSNR of 40 dB.
        steps: Gradient steps, or rounds of the search for the smallest change.
        png: Write a PNG, also of a JPEG.
        jpeg_quality: Write a JPEG of that quality (1 to 100, 4:2:0), whatever the photo is.
        figure: Draw the figure.
        seed: Start of every random stream.
        overwrite: Replace results that are there already.
        max_pixels: Largest photo accepted.

    Raises:
        InvalidInputError: A bad argument; a region that no crop can contain (the message says which ratios can).
        ImageFileError: Not a readable photo, or too large a one.
        OutputError: The results cannot be written, or would replace something.
    """
    shown = None if ratios is None else tuple(ratios)
    settings = Settings(region, shown, eps, max_eps, steps, jpeg_quality, seed, flexible=ratios is SHOWN_RATIOS)
    check_choice(figure, "figure", (True, False))
    check_choice(png, "png", (True, False))
    outputs = Outputs.of(Path(path), Path(out), png=png, jpeg=jpeg_quality is not None)
    if not overwrite:
        refuse_existing(outputs)
    return run_job(
        Path(path), outputs, settings, job_model(estimator, white_box=False), figure=figure, max_pixels=max_pixels
    )


def job_model(estimator: Model, *, task: str = "saliency", white_box: bool = True, **options: Any) -> Any:
    """Load an estimator for a job by its name, or check one.

    Args:
        estimator: A model's name, or an estimator of art_crop.
        task: What it must be for.
        white_box: Whether gradients are needed of it.
        **options: The model's own.

    Raises:
        InvalidInputError: No estimator for that task, without gradients where they are needed, or without photos in
            [0, 1]; an unknown name.
        WeightsError: Its weights are missing or damaged.
    """
    from art_crop.estimators.blackbox import BlackBox
    from art_crop.estimators.torch_estimator import TorchEstimator

    model = art_crop.load_model(estimator, **options) if isinstance(estimator, str) else estimator
    kinds = (TorchEstimator,) if white_box else (TorchEstimator, BlackBox)
    if not isinstance(model, kinds) or model.task != task:
        kind = f"a {task} model with gradients" if white_box else f"a {task} model"
        known = ", ".join(sorted(one.ask_for for one in list_plugins() if one.kind == "model" and one.task == task))
        raise InvalidInputError(f"model: {kind} is needed, not {model_name(model)}; there are: {known or 'none'}")
    if tuple(model.clip_values) != (0, 1):
        raise InvalidInputError(f"model: one with clip_values=(0, 1) is needed, not {tuple(model.clip_values)}")
    return model


def model_name(model: Any) -> str:
    """Give the model's name in the plugin table, or its class."""
    inner = getattr(model, "model", None)
    name = getattr(inner, "__qualname__", type(inner).__name__) if inner is not None else type(model).__name__
    return str(getattr(model, "name", None) or name)


def run_job(
    source: Path,
    outputs: Outputs,
    settings: Settings,
    model: Any,
    *,
    surrogate: Any = None,
    figure: bool = True,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] = lambda done, of: None,
    made_by: Mapping[str, Any] | None = None,
) -> Record:
    """Do one photo and replace whatever lies at ``outputs``; arguments and errors as for :func:`show_region`.

    Args:
        source: The photo.
        outputs: Where its files go, and whether it is written as a JPEG.
        settings: What is asked.
        model: The target: any estimator for the goal's task.
        surrogate: A white box that gives the gradients instead of the target; needed where that is query-only and the
            attack takes gradients.
        figure: Draw the figure.
        max_pixels: Largest photo accepted.
        progress: Told after each step of the search how many of how many are done.
        made_by: What :func:`provenance` says of the models, where it has been asked already.
    """
    settings.check_scale(model)
    made_by = provenance(settings, model, surrogate) if made_by is None else made_by
    started = time.monotonic()
    photo = load_photo(source, max_pixels=max_pixels)
    height, width = photo.pixels.shape[:2]
    encoding = settings.encoding(photo, jpeg=outputs.jpeg)
    with _enough_memory(photo):
        output_before = output_of_original(model, photo)
        goal = settings.goal(width, height, output_before, tuple(getattr(model, "labels", None) or ()))
        goal = goal.fitted(output_before)
        before = goal.view(output_before)
        crafter = Crafter(photo, settings, encoding, model, surrogate or model, progress)
        attempt, verified, change, costs = _first_that_holds(crafter, goal, figure=figure)
        after, decoded, bound = goal.view(verified.output), attempt.encoded.decoded, crafter.bound
    region = goal.region if isinstance(goal, ShowRegion) else None
    written = outputs.photo if after.success else outputs.failed
    copied = attempt.own and attempt.eps == 0  # the file itself, of which nothing is lost
    record = Record(
        success=after.success,
        message=explain(goal, before, after, attempt, change, encoding, limit=_limit(settings))
        + _left_out(settings, goal),
        model=made_by["model"],
        weights_sha256=made_by["weights_sha256"],
        region=None if region is None else (region.x0, region.y0, region.x1, region.y1),
        ratios=settings.ratios,
        eps=settings.eps,
        max_eps=settings.max_eps,
        steps=settings.steps,
        jpeg_quality=settings.jpeg_quality,
        seed=settings.seed,
        norm="2",
        budget=attempt.eps,
        unchanged=attempt.eps == 0,
        success_before=before.success,
        success_before_writing=attempt.success,
        success_after_writing=after.success,
        before=before,
        after=after,
        shown_ratios=goal.shown_ratios if isinstance(goal, ShowRegion) else (),
        change=change,
        l2_before_encoding=_l2_before_encoding(photo, attempt, change.l2),
        gradients=costs[0],
        queries=costs[1],
        files_checked=costs[2],
        seconds=round(time.monotonic() - started, 3),
        width=width,
        height=height,
        input_name=printable(source.name),
        input_sha256=file_sha256(source),
        output_name=printable(written.name),
        output_sha256=hashlib.sha256(attempt.encoded.data).hexdigest(),
        figure_name=printable(outputs.figure.name) if figure else None,
        device=str(model.device),
        versions=dict(made_by["versions"]),
        task=goal.task,
        attack=settings.attack,
        params=dict(settings.params),
        defences=settings.defences,
        surrogate=settings.surrogate,
        surrogate_sha256=made_by["surrogate_sha256"],
        not_kept=() if copied else _not_kept(photo, attempt.encoded),
        notes=photo.notes + ((attempt.note,) if attempt.note else ()),
        encoding=encoding.as_json() | ({"subsampling": photo.jpeg_sampling, "tables": "original"} if copied else {}),
        wanted=settings.as_json()["wanted"],
        condition=settings.condition,
        threshold=settings.threshold,
        within_threshold=None if bound is None else share_within(photo.pixels, decoded, bound),
        resaved=_resaved(model, goal, attempt.encoded),
        score_range=tuple(model.score_range)
        if isinstance(goal, Score) and np.isfinite(model.score_range).all()
        else None,
    )
    # The record first and the photo last: what a kill leaves behind is known for a part of this, and is done again.
    files = {outputs.record: json_bytes(record.to_json())}
    if figure:
        maps = tuple(saliency_map(output) for output in (output_before, verified.output))
        files[outputs.figure] = draw_figure(record, photo.pixels, decoded, (maps[0], maps[1]), bound)
    files[written] = attempt.encoded.data
    make_folder(outputs.photo.parent)
    earlier = read_record(outputs.record)
    with written_together(files):
        # These very bytes were verified: the record speaks of nothing else.
        if written.read_bytes() != attempt.encoded.data:
            raise OutputError(f"{written} was changed by another program while it was written; nothing is kept")
    if earlier is not None:
        remove_earlier(outputs, written, earlier, source)
    return record


def _resaved(model: Any, goal: Goal, encoded: EncodedImage) -> tuple[ResavedView, ...]:
    """What the target makes of a JPEG when it has been encoded again, as platforms do with what is uploaded."""
    if not isinstance(goal, Score) or not isinstance(encoded.encoding, Jpeg):
        return ()
    found = []
    for subsampling in ("4:4:4", "4:2:0"):
        again = Jpeg(encoded.encoding.quality, subsampling)
        view = goal.view(verify(model, goal.objective(), again.encode(encoded.decoded)).output)
        found.append(ResavedView(again.quality, subsampling, view.score, view.success))
    return tuple(found)


def _limit(settings: Settings) -> Literal["eps", "max_eps", "threshold", None]:
    """The setting that says how large a change may be."""
    if has_budget(settings):
        return "max_eps" if settings.eps is None else "eps"
    return None if settings.threshold is None else "threshold"


def _not_kept(photo: Photo, encoded: EncodedImage) -> tuple[str, ...]:
    """What of the original an encoded image does not have."""
    encoding = encoded.encoding
    sampling = encoding.subsampling if isinstance(encoding, Jpeg) and encoding.tables is not None else None
    return dropped_metadata(photo, encoded.suffix, encoded.decoded, subsampling=sampling)


def _left_out(settings: Settings, goal: Goal) -> str:
    """A sentence about the default ratios that were left out."""
    if not isinstance(goal, ShowRegion) or settings.ratios is None:
        return ""
    missing = ", ".join(f"{ratio:g}" for ratio in settings.ratios if ratio not in goal.shown_ratios)
    return f" No crop of ratio {missing} can contain the region; it was left out." if missing else ""


def provenance(settings: Settings, model: Any, surrogate: Any = None) -> dict[str, Any]:
    """Say by what a photo is made, as records hold it: model, weights_sha256, surrogate_sha256 and versions."""
    name = model_name(model)
    versions = {"art_crop": art_crop.__version__, **{name: version(name) for name in ("torch", "numpy", "pillow")}}
    return {
        "model": name,
        "weights_sha256": model_sha256(model),
        "surrogate_sha256": None if surrogate is None else model_sha256(surrogate),
        "versions": versions | plugin_versions(settings, name),
    }


def output_of_original(model: Any, photo: Photo) -> Any:
    """What the target makes of the original, in the frame in which people see it.

    Croppers do not turn a PNG or WebP by its EXIF orientation; what they say of such a file would be about other pixels
    than the record, so that they are asked about the upright photo as a PNG.
    """
    if photo.orientation == 1 or photo.format in ("JPEG", "MPO"):
        return model.output_of_file(photo.path)
    with temporary_file(Png().encode(photo.pixels, photo).data, ".png") as file:
        return model.output_of_file(file)


def _first_that_holds(
    crafter: Crafter, goal: Goal, *, figure: bool
) -> tuple[Attempt, Verified, Change, tuple[int, int, int]]:
    """The first photo whose file meets the goal, else the last one; gradients, queries and files that it took."""
    objective = goal.objective()
    gradients, queries, files = 0, 1, 1
    attempt = crafter.unchanged(objective)
    if attempt is not None:
        already, change = _verified_and_measured(crafter, objective, attempt.encoded, figure=figure)
        if already.success:
            return attempt, already, change(), (gradients, queries, files)
    found: tuple[Verified, Callable[[], Change]] | None = None
    for attempt in crafter.attempts(objective):
        gradients, queries, files = gradients + attempt.gradients, queries + attempt.queries, files + 1
        found = _verified_and_measured(crafter, objective, attempt.encoded, figure=figure)
        if found[0].success:
            break
    assert attempt is not None
    assert found is not None
    verified, change = found
    return attempt, verified, change(), (gradients, queries, files)


def _verified_and_measured(
    crafter: Crafter, objective: Objective, encoded: EncodedImage, *, figure: bool
) -> tuple[Verified, Callable[[], Change]]:
    """Verify a file; return what the target makes of it and a function that gives the change.

    Compressing and decoding a large PNG take seconds in which another core is free: the pixels are compared meanwhile,
    and what draws the figure is imported.
    """
    original = crafter.photo.pixels
    if encoded.encoding.lossy:  # the next file may be another one
        verified = verify(crafter.target, objective, encoded)
        return verified, lambda: measure_change(original, encoded.decoded)
    with ThreadPoolExecutor(1) as beside:
        change = beside.submit(measure_change, original, encoded.decoded)
        if figure:
            beside.submit(import_module, "matplotlib.backends.backend_agg")
        return verify(crafter.target, objective, encoded), change.result


def _l2_before_encoding(photo: Photo, attempt: Attempt, change: float) -> float:
    encoded = attempt.encoded
    if attempt.unmoved is not None and not (attempt.own and photo.orientation == 1):
        return l2(attempt.unmoved.decoded, encoded.decoded)
    return change if encoded.pixels is None else l2(photo.pixels, encoded.pixels)


def saliency_map(output: Any) -> SaliencyMap | None:
    """Make a file's saliency as figures draw it; None where the model gives no map."""
    if not isinstance(output, SaliencyOutput):
        return None
    raw = output.saliency[0].float().cpu().numpy()
    density = np.exp(raw - raw.max()) if output.log_density else raw.clip(0)
    # The first cell stands half a cell from the edge.
    reach = tuple(
        2 * float(where[0]) * count / side
        for where, count, side in zip((output.x, output.y), raw.shape[::-1], output.size, strict=True)
    )
    return SaliencyMap(density, (reach[0], reach[1]))


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
