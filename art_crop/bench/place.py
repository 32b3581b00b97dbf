"""A worker's place: models and attacks loaded once, photos and what models say of them kept for a while."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from PIL import Image

from art_crop.bench.case import Case, TimeLimitError, blank_row, time_limit
from art_crop.bench.protocols import NotMeasured, Outcome, protocol_called
from art_crop.bench.suite import ModelUse, Setting, Suite, canonical
from art_crop.bench.units import Finished, PhotoRef, Unit
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.images import encode_png, load_photo
from art_crop.plugins.registry import load_attack, load_defence, load_metric, load_model

if TYPE_CHECKING:
    from art_crop.models.cropper import FilePrediction

__all__ = ["Recipe", "Workplace"]

Array = np.ndarray[Any, Any]
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Recipe:
    """All that a worker needs to set up its place."""

    suite: Suite
    weights: Mapping[str, str]
    device: str
    keep_images: bool


class Workplace:
    """Computes units, one photo after another.

    Args:
        recipe: What to set up. The threads of torch are set for the whole process.

    Raises:
        ArtCropError: A model or a metric cannot be loaded; when it is first needed, or in :meth:`check`.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.suite = recipe, recipe.suite
        torch.set_num_threads(self.suite.threads)
        self.protocol = protocol_called(self.suite.protocol)
        self._models: dict[str, Any] = {}
        self._attack: tuple[Setting, Any] | None = None
        self._pixels: OrderedDict[Any, Array] = OrderedDict()
        self._clean: OrderedDict[Any, FilePrediction] = OrderedDict()
        self._originals: OrderedDict[Any, bytes] = OrderedDict()
        self._folder = tempfile.TemporaryDirectory(prefix="art-crop-bench-")
        self.folder = Path(self._folder.name)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The suite's measures of two photos."""
        return {name: load_metric(name) for name in self.suite.metrics}

    def model(self, name: str) -> Any:
        """The estimator that the suite calls so, behind its defences."""
        if name not in self._models:
            self._models[name] = self._load(self.suite.model(name))
        return self._models[name]

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
            return load_model(use.plugin, **options)
        except TypeError as error:
            raise InvalidInputError(f"models.{use.name}.options: {error}") from error

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
        return {name: str(getattr(model, "weights_sha256", "") or "") for name, model in self._models.items()}

    def attack(self, setting: Setting) -> Any:
        """The attack of a setting."""
        if self._attack is not None and self._attack[0] == setting:
            return self._attack[1]
        kind = load_attack(setting.plugin)
        known = list(getattr(kind, "attack_params", []))
        where = self._where(setting)
        params = dict(setting.params)
        for name in params:
            if name not in known:
                raise _unknown(where, name, setting.plugin, known)
        options = {**self.protocol.options, **self.suite.protocol_options}
        for option, name in self.protocol.params.items():
            if name in params:
                raise InvalidInputError(f"{where}: {name} is an option of the protocol ({option}), no parameter here")
            if name in known:
                params[name] = options[option]
        if "seed" in known:
            params["seed"] = setting.seed
        if setting.judged:
            if "judge" not in known:
                raise InvalidInputError(f"{where}: judged: {setting.plugin} has no parameter judge")
            params["judge"] = self.model(setting.scored)
        if setting.ensemble:
            if "ensemble" not in known:
                raise InvalidInputError(f"{where}: ensemble: {setting.plugin} has no such parameter")
            params["ensemble"] = [self.model(name) for name in setting.ensemble]
        try:
            attack = kind(self.model(setting.attacked or setting.scored), **params)
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error}") from error
        except Exception as error:  # a third party's attack may refuse in any words
            raise InvalidInputError(f"{where}: {setting.plugin} cannot be made: {error}") from error
        self._attack = (setting, attack)
        return attack

    def _where(self, setting: Setting) -> str:
        """The attack as the suite's file counts it, with its title."""
        wanted = (setting.method, setting.attacked)
        uses = [[(use.method, name) for name in use.attacked or ("",)] for use in self.suite.attacks]
        i = next(i for i, pairs in enumerate(uses) if wanted in pairs)
        return f"{self.suite.name}: attack[{i}] ({setting.method})"

    def photo(self, photo: PhotoRef) -> Array:
        """uint8 (H, W, 3) at the suite's width."""
        # Units of one batch follow one another, so that nothing older is worth its memory.
        most = self.suite.limits.batch
        return _kept(self._pixels, photo.path, most, lambda: self._resized(load_photo(photo.path).pixels))

    def _resized(self, pixels: Array) -> Array:
        width = self.suite.data.width
        if width in (0, pixels.shape[1]):
            return pixels
        height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))

    def clean(self, photo: PhotoRef, setting: Setting, case: Case) -> FilePrediction:
        """What the scored model makes of the photo as it is."""
        most = self.suite.limits.batch * len(self.suite.models)
        return _kept(self._clean, (photo.path, setting.scored), most, lambda: case.seen(case.pixels))

    def _original(self, photo: PhotoRef, pixels: Array) -> bytes:
        make = partial(encode_png, pixels, quick=True)
        return _kept(self._originals, photo.path, self.suite.limits.batch, make)

    def work(self, unit: Unit) -> Finished:
        """Rows of a unit; what goes wrong with a photo stands in its row."""
        finished = Finished(unit)
        for photo in unit.photos:
            finished.rows.append(self._row(unit, photo, finished.files))
        return finished

    def _row(self, unit: Unit, photo: PhotoRef, files: dict[str, bytes]) -> dict[str, Any]:
        setting = unit.setting
        row = blank_row(unit, photo, self.suite.data.dataset)
        case = Case(self, setting, photo)
        kept: dict[str, bytes] = {}
        try:
            # What is loaded once is no photo's time: a limit below that would fail every photo of a new worker.
            _ = self.metrics, self.model(setting.scored), self.attack(setting)
            with time_limit(self.suite.limits.photo_seconds):
                outcome = self.protocol.measure(case)
                measured = {name: float(metric(case.pixels, case.written)) for name, metric in self.metrics.items()}
            found = _numbers(case, outcome, measured)
            if self.recipe.keep_images:
                found["image"] = f"images/{row['key'][:24]}{case.suffix}"
                found["original"] = f"images/original-{photo.sha256[:16]}-{case.pixels.shape[1]}.png"
                kept = {found["image"]: case.file, found["original"]: self._original(photo, case.pixels)}
        except Exception as error:
            row["error_kind"], row["error"] = _kind_of(error), _sentence(error, photo)
        else:
            row.update(found)
            files.update(kept)
        if case.loaded:
            row["height"], row["width"] = case.pixels.shape[:2]
        row["seconds"] = case.seconds
        return row


def _numbers(case: Case, outcome: Outcome, measured: Mapping[str, float]) -> dict[str, Any]:
    """What a row says of a case that went well.

    Raises:
        ValueError: The attack gave a photo of another size, or facts that JSON cannot hold.
    """
    if case.written.shape != case.pixels.shape:
        raise ValueError(f"the attack gave a photo of shape {case.written.shape} for one of {case.pixels.shape}")
    change = (case.written.astype(np.float64) - case.pixels) / 255
    return {
        "success": outcome.success,
        "success_before": outcome.success_before,
        # Not numpy's norm: BLAS sums in an order that depends on its threads.
        "l2": float(np.sqrt(np.square(change).sum())),
        "linf": float(np.abs(change).max()),
        "gradients": getattr(case.result, "gradients", 0),
        "queries": getattr(case.result, "queries", 0),
        "curve": list(getattr(case.result, "curve", ())),
        "curve_of": getattr(case.result, "curve_of", ""),
        "metrics": {**outcome.metrics, **measured},
        "facts": canonical({**outcome.facts, "ratios": list(case.option("ratios"))}),
    }


def _kind_of(error: Exception) -> str:
    if isinstance(error, NotMeasured):
        return error.kind
    return "photo" if isinstance(error, ImageFileError) else "time" if isinstance(error, TimeLimitError) else "attack"


def _sentence(error: Exception, photo: PhotoRef) -> str:
    """One line, with the photo's name instead of where it lies on this machine."""
    text = " ".join(str(error).replace(photo.path, photo.name).split()) or "no message"
    text = text.encode("utf-8", "replace").decode()  # a path in it may hold bytes that no table can
    named = isinstance(error, (NotMeasured, ImageFileError, TimeLimitError, InvalidInputError))
    return text if named else f"{type(error).__name__}: {text}"


def _kept(store: OrderedDict[Any, Kept], key: Any, most: int, make: Callable[[], Kept]) -> Kept:
    if key not in store:
        store[key] = make()
        if len(store) > most:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]


def _unknown(where: str, name: str, plugin: str, known: list[str]) -> InvalidInputError:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return InvalidInputError(f"{where}: params.{name}: {plugin} has no such parameter; {hint}known: {', '.join(known)}")
