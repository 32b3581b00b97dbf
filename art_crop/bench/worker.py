"""A worker: models and attacks loaded once, and a row for each photo under a setting, verified on the written file."""

from __future__ import annotations

import difflib
import errno
import hashlib
import math
import multiprocessing
import os
import re
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps

from art_crop.bench.scratch import Scratch
from art_crop.bench.suite import ModelUse, Setting, Suite, canonical
from art_crop.bench.tasks import NotMeasured, Sample, Target
from art_crop.bench.units import UNAVAILABLE, Finished, PhotoRef, WorkItem, blank_row
from art_crop.errors import (
    ArtCropError,
    ImageFileError,
    InvalidInputError,
    OutputError,
    PluginError,
    WeightsError,
    class_name,
    describe,
    printable,
)
from art_crop.estimators.quality import on_scale_of
from art_crop.images import encode_png, load_photo
from art_crop.images.coefficients import JpegCoefficients
from art_crop.images.encoding import EncodedImage, Encoding, Jpeg, Png
from art_crop.models.weights import file_sha256
from art_crop.pipeline.verify import verify
from art_crop.plugins.registry import load_attack, load_defence, load_metric, load_model, load_task

__all__ = ["OtherWeightsError", "Recipe", "ReplacedError", "SuiteWorker", "TimeLimitError"]

_IGNORED = 10  # alarms that a model may catch before its worker is ended
_WANTS = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "ENOMEM", "EMFILE", "ENFILE", "EIO", "EROFS", "ESTALE", "EAGAIN")
    if hasattr(errno, name)
}
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|cannot allocate memory", re.IGNORECASE)

Array = np.ndarray[Any, Any]
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to make itself ready."""

    suite: Suite
    weights: Mapping[str, str]
    device: str
    keep_images: bool
    run: str = ""  # the folder of results
    hashes: Mapping[str, str] | None = None  # of models' weights, as the run began


class TimeLimitError(BaseException):
    """A photo took longer than the suite allows; no Exception, for a model that catches those would not be ended."""


class ReplacedError(ArtCropError):
    """A photo is not what it was when the run began; nothing that comes of it is a result."""


class OtherWeightsError(ArtCropError):
    """Weights are not what they were when the run began; all that would follow were results of others."""


@dataclass
class _Work:
    """One photo under one setting, on its way to a row."""

    photo: PhotoRef
    row: dict[str, Any]
    sample: Sample | None = None
    target: Target | None = None
    changed: Array | None = None
    result: Any = None
    coefficients: JpegCoefficients | None = None
    error: BaseException | None = None
    files: dict[str, bytes] = field(default_factory=dict)


class SuiteWorker:
    """Computes the rows of work items.

    Args:
        recipe: What to make ready. The threads of torch are set for the whole process.

    Raises:
        ArtCropError: A model or a metric cannot be loaded; when it is first needed, or in :meth:`check`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.suite = recipe, recipe.suite
        torch.set_num_threads(self.suite.threads)
        self.task = load_task(self.suite.protocol, **self.suite.protocol_options)
        quality = self.task.options["jpeg_quality"]
        self.encoding: Encoding = Jpeg(quality) if quality else Png()
        self._models: dict[str, Any] = {}
        self._attack: tuple[Setting, Any] | None = None
        self._pixels: OrderedDict[Any, Array] = OrderedDict()
        self._outputs: OrderedDict[Any, Any] = OrderedDict()
        self._originals: OrderedDict[Any, bytes] = OrderedDict()
        self._scratch = Scratch(recipe.run)

    # -- what is loaded once -------------------------------------------------------------------------------------------

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The suite's measures of two photos; of the optional ones those that can be used here."""
        found, blank = {name: load_metric(name) for name in self.suite.metrics}, np.zeros((64, 64, 3), np.uint8)
        for name in self.suite.optional_metrics:
            with suppress(ArtCropError):  # no such plugin, or its weights are not there, which a first call tells
                metric = load_metric(name)
                metric(blank, blank)
                found[name] = metric
        return found

    def model(self, name: str) -> Any:
        """The estimator that the suite calls so, behind its defences."""
        if name not in self._models:
            self._models[name] = self._load(self.suite.model(name))
        return self._models[name]

    def task_of(self, setting: Setting) -> Any:
        """The task, with the options that the setting has of its own."""
        if not setting.task_options:
            return self.task
        return load_task(self.suite.protocol, **{**self.suite.protocol_options, **setting.task_options})

    def _load(self, use: ModelUse) -> Any:
        options = {"device": self.recipe.device, **use.options}
        for given in (use.name, use.plugin):
            if given in self.recipe.weights:
                options["weights"] = self.recipe.weights[given]
                break
        if use.defences:
            uses = {defence.name: defence for defence in self.suite.defences}
            chain = [load_defence(uses[name].plugin, **uses[name].options) for name in use.defences]
            options["preprocessing_defences"] = chain
        try:
            model = load_model(use.plugin, **options)
        except ArtCropError:
            raise
        except TypeError as error:
            raise InvalidInputError(f"models.{use.name}.options: {printable(error)}") from error
        except Exception as error:  # a third party's model may refuse in any words
            raise PluginError(f"models.{use.name}: {use.plugin} cannot be loaded: {describe(error)}") from error
        before = (self.recipe.hashes or {}).get(use.name)
        if before is not None and before != _hash_of(model):
            raise OtherWeightsError(
                f"the weights of {use.name} were replaced while the run went on; choose another folder"
            )
        if not use.after_jpeg:
            return model
        if not hasattr(model, "after_jpeg"):
            raise InvalidInputError(f"models.{use.name}.after_jpeg: {use.plugin} is no white box")
        return model.after_jpeg(use.after_jpeg)

    def check(self) -> dict[str, str]:
        """Load every model and build every attack; what cannot be done is found here, before anything runs.

        Returns:
            Model -> SHA-256 of its weights, "" where it does not say.

        Raises:
            ArtCropError: Something cannot be loaded or built; the message names it.
        """
        _ = self.metrics
        for setting in self.suite.settings():
            self.model(setting.scored)
            self.attack(setting)
        self._attack = None
        return {name: _hash_of(model) for name, model in self._models.items()}

    def close(self) -> None:
        """Remove temporary files."""
        self._scratch.close()

    def attack(self, setting: Setting) -> Any:
        """The attack of a setting."""
        if self._attack is not None and self._attack[0] == setting:
            return self._attack[1]
        kind = load_attack(setting.plugin)
        known, task = list(getattr(kind, "attack_params", [])), self.task_of(setting)
        where, params = self._where(setting), dict(setting.params)
        for name in params:
            if name not in known:
                raise _unknown(where, name, setting.plugin, known)
        for option, name in task.params.items():
            if name in params:
                raise InvalidInputError(f"{where}: {name} is an option of the task ({option}), no parameter here")
            if name in known:
                params[name] = task.options[option]
        if "seed" in known:
            params["seed"] = setting.seed
        scored = self.model(setting.scored)  # objectives are on its scale
        if setting.success_oracle:
            oracle = next((name for name in ("success_oracle", "judge") if name in known), None)
            if oracle is None:
                raise InvalidInputError(f"{where}: success_oracle: {setting.plugin} has no such parameter")
            params[oracle] = scored
        if setting.ensemble:
            if "ensemble" not in known:
                raise InvalidInputError(f"{where}: ensemble: {setting.plugin} has no such parameter")
            params["ensemble"] = [on_scale_of(self.model(name), scored) for name in setting.ensemble]
        try:
            attack = kind(on_scale_of(self.model(setting.attacked or setting.scored), scored), **params)
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error}") from error
        except ArtCropError:
            raise
        except (Exception, SystemExit) as error:  # a third party's attack may refuse in any words
            raise InvalidInputError(f"{where}: {setting.plugin} cannot be made: {describe(error)}") from error
        self._attack = (setting, attack)
        return attack

    def _where(self, setting: Setting) -> str:
        """The attack as the suite's file counts it, with its title."""
        wanted = (setting.method, setting.attacked)
        uses = [[(use.method, name) for name in use.attacked or ("",)] for use in self.suite.attacks]
        i = next(i for i, pairs in enumerate(uses) if wanted in pairs)
        return f"{self.suite.name}: attack[{i}] ({setting.method})"

    # -- from photos to rows -------------------------------------------------------------------------------------------

    def work(self, item: WorkItem) -> Finished:
        """Compute the rows of a work item; what goes wrong with a photo stands in its row.

        Photos of one size are attacked together where the source model gains from that.
        """
        setting = item.setting
        works = [_Work(photo, blank_row(item, photo, self.suite.data.dataset)) for photo in item.photos]
        for group in self._groups(works, setting):
            limit = self.suite.limits.photo_seconds
            with self._noted(group):
                # What is loaded once is no photo's time: a limit below that would fail every photo of a new worker.
                _ = self.metrics, self.model(setting.scored), self.attack(setting)
                with _time_limit(limit):
                    for one in group:
                        self._choose(one, setting)
                    self._change(group, setting)
                    for one in group:
                        self._measure(one, setting)
            if len(group) > 1 and any(one.error for one in group):
                for one in group:  # again, each by itself: one photo's fault is not the others'
                    self._redo(one, item, limit)
        finished = Finished(item)
        for one in works:
            finished.rows.append(one.row)
            finished.files.update(one.files)
        return finished

    def _redo(self, one: _Work, item: WorkItem, limit: float) -> None:
        one.error, one.row = None, blank_row(item, one.photo, self.suite.data.dataset)
        with self._noted([one]), _time_limit(limit):
            self._choose(one, item.setting)
            self._change([one], item.setting)
            self._measure(one, item.setting)

    def _groups(self, works: list[_Work], setting: Setting) -> Iterator[list[_Work]]:
        """Photos that are worked on together: those of one size, or each alone."""
        source = self._models.get(setting.attacked or setting.scored)
        gains = source is not None and len(source.chunks(2)) == 1 and not self.suite.limits.photo_seconds
        if not gains or setting.mask:
            yield from ([one] for one in works)
            return
        sizes: dict[Any, list[_Work]] = {}
        for one in works:
            key: Any = one.photo  # one that cannot be read stays alone
            with suppress(ImageFileError):
                key = self._photo(one.photo).shape
            sizes.setdefault(key, []).append(one)
        yield from sizes.values()

    def _choose(self, one: _Work, setting: Setting) -> None:
        pixels, data = self._photo(one.photo), self.suite.data
        one.row["height"], one.row["width"] = pixels.shape[:2]
        output = self._output_before(one.photo, pixels, setting)
        scored, keep = self.model(setting.scored), self.recipe.keep_images
        rule, photo = (data.selection, data.selection_options), one.photo
        one.sample = Sample(pixels, output, scored, *rule, keep, name=photo.name, label=photo.label)
        one.target = self.task_of(setting).target(one.sample)

    def _change(self, group: Sequence[_Work], setting: Setting) -> None:
        """Run the attack on photos of one size."""
        attack, targets = self.attack(setting), [one.target for one in group if one.target is not None]
        pixels = np.stack([one.sample.pixels for one in group if one.sample is not None])
        x = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        options: dict[str, Any] = {}
        if setting.mask == "band":
            from art_crop.attacks.gaussian_noise import band_mask

            regions = [target.region for target in targets if target.region is not None]
            if len(regions) < len(targets):
                raise InvalidInputError(f"mask: the task {self.task.name} has no regions about which a band could lie")
            options["mask"] = band_mask(regions, pixels.shape[1:3])
        start = time.perf_counter()
        try:
            adversarial = np.asarray(attack.generate(x, self.task_of(setting).y(targets), **options), np.float64)
        finally:
            for one in group:
                one.row["seconds"] = (time.perf_counter() - start) / len(group)
        if adversarial.shape != x.shape:
            raise ValueError(f"the attack gave photos of shape {adversarial.shape} for {x.shape}")
        results = getattr(attack, "results", None) or [None] * len(group)
        levels = (np.clip(adversarial, 0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
        held = getattr(attack, "coefficients", None) or [None] * len(group)
        for one, changed, result, coefficients in zip(group, levels, results, held, strict=True):
            one.changed, one.result, one.coefficients = np.ascontiguousarray(changed), result, coefficients

    def _measure(self, one: _Work, setting: Setting) -> None:
        """Write the photo, verify the file, and fill the row in; all measures are of the decoded file."""
        assert one.sample is not None
        assert one.target is not None
        assert one.changed is not None
        encoded = self._encoded(one.changed, one.coefficients)
        scored, task = self.model(setting.scored), self.task_of(setting)
        objective = task.objective([one.target])
        verified = verify(scored, objective, encoded)
        pixels, decoded, row = one.sample.pixels, encoded.decoded, one.row
        change = _change_of(pixels, decoded)
        outcome = task.outcome(one.sample, one.target, verified.output, change)
        metrics = {
            **{name: float(of) for name, of in outcome.metrics.items()},
            **{name: float(of(pixels, decoded)) for name, of in self.metrics.items()},
        }
        for name, encoder in self.task.survival.items():
            metrics[name] = float(verify(scored, objective, Jpeg(*encoder).encode(decoded)).success)
        if self.encoding.lossy:
            metrics["l2-before-encoding"] = _change_of(pixels, one.changed)["l2"]
        found: dict[str, Any] = {
            "success": None if outcome.success is None else bool(outcome.success),
            "success_before": None if outcome.success_before is None else bool(outcome.success_before),
            "l2": change["l2"],
            "linf": change["linf"],
            "metrics": metrics,
            "facts": canonical(outcome.details),
        }
        # As the table of results has them, whatever a third party's attack says.
        found |= {name: int(getattr(one.result, name, 0)) for name in ("gradients", "queries")}
        found["curve"] = [float(value) for value in getattr(one.result, "curve", ())]
        found["curve_of"] = printable(getattr(one.result, "curve_of", ""))
        if self.recipe.keep_images:
            original = self._original(one.photo, pixels)
            found["image"] = _named(f"images/{row['key'][:24]}", encoded.data, encoded.suffix)
            found["original"] = _named(f"images/original-{one.photo.sha256[:16]}", original, ".png")
            one.files = {found["image"]: encoded.data, found["original"]: original}
        row.update(found)

    def _encoded(self, changed: Array, coefficients: JpegCoefficients | None) -> EncodedImage:
        """The file: of an attack that chooses a JPEG's coefficients these, else the photo as the suite encodes it."""
        if coefficients is None:
            return self.encoding.encode(changed)
        if not isinstance(self.encoding, Jpeg):
            raise InvalidInputError("jpeg_quality: this attack makes JPEGs, so the task's option must be its quality")
        return EncodedImage.from_coefficients(coefficients, encoding=self.encoding)

    @contextmanager
    def _noted(self, group: Sequence[_Work]) -> Iterator[None]:
        """Turn what goes wrong into the rows' error."""
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit, OtherWeightsError):
            raise
        except BaseException as error:  # sys.exit() in a model ends no run
            self._note(group, error)

    def _note(self, group: Sequence[_Work], error: BaseException) -> None:
        for one in group:
            one.error, one.files = error, {}
            one.row["error_kind"], one.row["error"] = self._kind_of(error), _sentence(error, one.photo)

    def _kind_of(self, error: BaseException) -> str:
        if isinstance(error, NotMeasured):
            return error.kind
        if isinstance(error, ReplacedError) or _of_the_machine(error):
            return UNAVAILABLE
        return (
            "photo" if isinstance(error, ImageFileError) else "time" if isinstance(error, TimeLimitError) else "attack"
        )

    # -- what is kept for a while --------------------------------------------------------------------------------------

    def _photo(self, photo: PhotoRef) -> Array:
        """uint8 (H, W, 3) at the suite's width."""
        # Items of one batch follow one another, so that nothing older is worth its memory.
        most = self.suite.limits.batch
        return _kept(self._pixels, photo, most, lambda: self._resized(self._read(photo)))

    def _read(self, photo: PhotoRef) -> Array:
        pixels = load_photo(photo.path).pixels
        # Afterwards: who replaces a file in the meantime is found out, and a file of which there was no hash as well.
        try:
            unchanged = file_sha256(Path(photo.path)) == photo.sha256
        except WeightsError:
            unchanged = False
        if not unchanged:
            raise ReplacedError("it was replaced while the run went on; the same command goes on with the new one")
        return pixels

    def _resized(self, pixels: Array) -> Array:
        width, height = self.suite.data.width, self.suite.data.height
        if height:
            return np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS))
        if width in (0, pixels.shape[1]):
            return pixels
        height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))

    def _output_before(self, photo: PhotoRef, pixels: Array, setting: Setting) -> Any:
        """What the scored model makes of the unchanged photo's file."""
        most = self.suite.limits.batch * len(self.suite.models)

        def ask() -> Any:
            path, data = self._scratch.path / f"photo{self.encoding.suffix}", self.encoding.encode(pixels).data
            try:
                path.write_bytes(data)
            except OSError as error:
                raise OutputError(f"no temporary files can be written: {error.strerror or error}") from error
            return self.model(setting.scored).output_of_file(path)

        return _kept(self._outputs, (photo, setting.scored), most, ask)

    def _original(self, photo: PhotoRef, pixels: Array) -> bytes:
        return _kept(self._originals, photo, self.suite.limits.batch, lambda: encode_png(pixels))


def _change_of(pixels: Array, changed: Array) -> dict[str, float]:
    delta = changed.astype(np.int32) - pixels
    squares = int((delta * delta).sum(dtype=np.int64))
    return {
        "l2": math.sqrt(squares) / 255,
        "linf": int(np.abs(delta).max()) / 255,
        "psnr": math.inf if squares == 0 else 10 * math.log10(255**2 * delta.size / squares),
    }


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeLimitError` after so many seconds; 0, or a thread or system without alarms: no limit."""
    if not seconds or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    ignored = 0

    def ring(*_: Any) -> None:
        nonlocal ignored
        ignored += 1
        if ignored > _IGNORED and multiprocessing.parent_process() is not None:
            os._exit(1)  # a worker of which nothing else ends the photo; it is replaced, and the photo given up
        raise TimeLimitError(text)

    text = f"took more than {seconds:g} s, the suite's limits.photo_seconds"
    before, began = signal.signal(signal.SIGALRM, ring), time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again and again, for a model may catch what is raised
    try:
        yield
        if time.monotonic() - began > seconds:
            raise TimeLimitError(text)
    except Exception as error:  # what comes of an alarm that was caught may be anything
        if time.monotonic() - began > seconds:
            raise TimeLimitError(text) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _of_the_machine(error: BaseException) -> bool:
    """Whether an error, or what it comes of, is want of disk or memory, which is no result of any attack."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        if isinstance(one, (MemoryError, OutputError, torch.cuda.OutOfMemoryError)):
            return True
        if isinstance(one, OSError) and one.errno in _WANTS:
            return True
        if isinstance(one, RuntimeError) and _NO_MEMORY.search(describe(one)):
            return True
        seen.append(one)
        one = one.__cause__ or one.__context__
    return False


def _hash_of(model: Any) -> str:
    return printable(getattr(model, "weights_sha256", "") or "")


def _named(start: str, data: bytes, suffix: str) -> str:
    """A file's name with a hash of its content, with which readers compare it."""
    return f"{start}-{hashlib.sha256(data).hexdigest()[:16]}{suffix}"


def _sentence(error: BaseException, photo: PhotoRef) -> str:
    """One line, with the photo's name instead of where it lies on this machine."""
    text = printable(error, 1000, lambda one: str(one).replace(photo.path, photo.name)) or "no message"
    named = isinstance(error, (NotMeasured, ImageFileError, TimeLimitError, InvalidInputError, ReplacedError))
    return text if named else f"{class_name(error)}: {text}"


def _kept(store: OrderedDict[Any, Kept], key: Any, most: int, make: Callable[[], Kept]) -> Kept:
    if key not in store:
        store[key] = make()
        if len(store) > most:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]


def _unknown(where: str, name: str, plugin: str, known: list[str]) -> InvalidInputError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return InvalidInputError(f"{where}: params.{name}: {plugin} has no such parameter; {hint}known: {', '.join(known)}")
