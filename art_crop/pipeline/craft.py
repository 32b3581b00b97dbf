"""Craft changed photos for a goal, in the order of trying them; the first whose file holds wins."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from art_crop.attacks.base import PhotoAttack
from art_crop.attacks.color_variance import color_threshold
from art_crop.attacks.constraints import PerPixelBound
from art_crop.attacks.dct_quantization import DCTQuantizationAttack
from art_crop.attacks.space import CoefficientSpace
from art_crop.attacks.tpe_pixel_search import TPEPixelSearch
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.functional.resize import halve, target_size
from art_crop.images import JpegCoefficients, Photo, apply_orientation, decode_reduced
from art_crop.images.encoding import EncodedImage, Encoding, Jpeg
from art_crop.models.cropper import Cropper
from art_crop.models.jpeg_path import draft_scale
from art_crop.objectives import LabelOut, Objective
from art_crop.pipeline.measure import l2
from art_crop.pipeline.record import Settings
from art_crop.plugins.registry import load_attack

__all__ = ["Attempt", "Crafter", "attack_class", "default_max_eps", "default_steps", "has_budget"]

STEPS = 10
_GROWTH = 1.5
_GAPS = 0.5, 0.8, 0.95
"""Confidence gaps that are tried one after the other where a label comes back in a lossy file."""
_LEAST_PSNR = 40.0
Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Attempt:
    """A photo to write, and what it took to find it."""

    encoded: EncodedImage
    eps: float
    """L2 budget that it was given or, where an attack has none, the norm of its change, pixels in [0, 1]; 0: unchanged.
    """
    success: bool
    """What the model that decides says before the photo is written."""
    gradients: int
    queries: int
    unmoved: EncodedImage | None = None
    """For moved coefficients, the file without the moves."""
    own: bool = False
    """What is not moved are the photo's own coefficients: the encoder has added no loss."""
    note: str = ""
    """What the attack says of this photo."""


def default_max_eps(width: int, height: int) -> float:
    """Give the largest L2 norm that is tried unless another is asked for: a PSNR of 40 dB, 9.6 for 640 x 480."""
    return math.sqrt(3 * width * height) * 10 ** (-_LEAST_PSNR / 20)


@dataclass(frozen=True)
class Crafter:
    """Everything that changed photos of one photo are made from.

    Attributes:
        photo: The photo.
        settings: Attack, budgets, steps and seed.
        encoding: How it will be written.
        target: The estimator that must be convinced.
        source: The white box that gives the gradients; the target itself where there is no surrogate.
        progress: Told after each step.
    """

    photo: Photo
    settings: Settings
    encoding: Encoding
    target: Any
    source: Any
    progress: Progress = lambda done, of: None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright photo."""
        height, width = self.photo.pixels.shape[:2]
        return width, height

    def unchanged(self, objective: Objective) -> Attempt | None:
        """The photo as it is, where that meets the objective already; else None.

        A JPEG that is written like itself is its file, byte for byte; else it is encoded anew. A lossless file holds
        the pixels, so that it is only encoded where they do.
        """
        pixels, encoding, like = self.photo.pixels, self.encoding, self._like_the_photo
        if not isinstance(encoding, Jpeg):
            success = self._holds(pixels, objective)
            return Attempt(encoding.encode(pixels, self.photo), 0.0, True, 0, 1) if success else None
        from art_crop.pipeline.verify import verify

        encoded = EncodedImage.of_file(self.photo, encoding) if like else encoding.encode(pixels, self.photo)
        success = verify(self.target, objective, encoded).success
        return Attempt(encoded, 0.0, True, 0, 1, own=like) if success else None

    def attempts(self, objective: Objective) -> Iterator[Attempt]:
        """Changed photos, gentlest first; the last one is written where none holds."""
        settings = self.settings
        if not has_budget(settings):
            yield from self._without_budget(objective)
            return
        most = settings.max_eps or default_max_eps(*self.size)
        if settings.eps is not None:
            yield self._attack(objective, settings.eps, minimal=False)
            return
        smallest = self._attack(objective, most, minimal=True)
        yield smallest
        if not self.encoding.lossy or not smallest.success or issubclass(attack_class(settings), TPEPixelSearch):
            return  # queries are limited
        # Metadata or another cropper's decoder may make the file differ from what the attack saw: more of the same.
        eps = max(smallest.eps, most / 64)
        while eps < most:
            eps = min(most, eps * _GROWTH)
            yield self._attack(objective, eps, minimal=False)

    @cached_property
    def bound(self) -> NDArray[np.float32] | None:
        """The largest change of each pixel in grey levels, (H, W), where the settings give a threshold."""
        if self.settings.threshold is None:
            return None
        shape = {name: value for name, value in self.settings.params.items() if name in ("window", "sigma")}
        x = torch.from_numpy(np.ascontiguousarray(self.photo.pixels.transpose(2, 0, 1)))[None].float() / 255
        bound: NDArray[np.float32] = color_threshold(x, self.settings.threshold, **shape).bound[0, 0].numpy()
        return bound

    # -- the pieces ----------------------------------------------------------------------------------------------------

    def _without_budget(self, objective: Objective) -> Iterator[Attempt]:
        """The photo of an attack whose limits are others; stricter ones where a lossy file gives the label back."""
        if self.settings.eps is not None or self.settings.max_eps is not None:
            name = "max_eps" if self.settings.eps is None else "eps"
            raise InvalidInputError(f"{name}: {self.settings.attack} has no budget; its limits are its parameters")
        attempt = self._attack(objective, None, minimal=False)
        yield attempt
        if not isinstance(objective, LabelOut) or not self.encoding.lossy:
            return
        for gap in _GAPS:
            if attempt.success and gap > objective.confidence_gap:
                stricter = LabelOut(objective.labels, k=objective.k, loss=objective.loss, confidence_gap=gap)
                attempt = self._attack(stricter, None, minimal=False)
                yield attempt

    def _attack(self, objective: Objective, eps: float | None, *, minimal: bool) -> Attempt:
        # Coefficients are moved under a budget; what has none makes pixels.
        by_coefficients = 0 if eps is None else self._decoder_scale()
        own_encoder = issubclass(attack_class(self.settings), DCTQuantizationAttack)
        through = self.encoding if isinstance(self.encoding, Jpeg) and not (by_coefficients or own_encoder) else None
        attack = self._made(eps, minimal=minimal, seen_through=through)
        if eps is None and isinstance(objective, LabelOut):  # with the attack's own loss
            objective = LabelOut(
                objective.labels,
                k=objective.k,
                loss=getattr(attack, "loss", objective.loss),
                confidence_gap=objective.confidence_gap,
            )
        unmoved = None
        if by_coefficients and isinstance(attack, PhotoAttack):
            encoded, unmoved, spent = self._move_coefficients(attack, objective, by_coefficients)
        else:
            changed = self._move_pixels(attack, objective)
            quantised = attack.coefficients[0] if isinstance(attack, DCTQuantizationAttack) else None
            if quantised is None:
                encoded = self.encoding.encode(changed, self.photo)
            else:
                assert isinstance(self.encoding, Jpeg)
                encoded = EncodedImage.from_coefficients(quantised, self.photo, encoding=self.encoding)
                unmoved = self.encoding.encode(self.photo.pixels, self.photo)
            spent = float(attack.results[0].l2) if getattr(attack, "results", None) else eps or 0.0
            spent = spent if unmoved is None else l2(unmoved.decoded, encoded.decoded)
        results = getattr(attack, "results", None)
        found = results[0] if results else None
        success = self._holds(encoded.decoded, objective) if found is None else found.success
        return Attempt(
            encoded,
            spent if minimal or eps is None else eps,
            success,
            getattr(found, "gradients", 0),
            getattr(found, "queries", 0),
            unmoved,
            own=unmoved is not None and self._own_coefficients is not None,
            note=getattr(found, "note", ""),
        )

    def _made(self, eps: float | None, *, minimal: bool, seen_through: Jpeg | None) -> Any:
        """The attack by its name, on models that see photos through the encoder where that is lossy."""
        kind = attack_class(self.settings)
        known = list(getattr(kind, "attack_params", []))
        source, target = self.source, self.target
        if seen_through is not None:
            source, target = (_through_jpeg(model, seen_through) for model in (source, target))
        params: dict[str, Any] = {"eps": eps, "seed": self.settings.seed}
        params |= {"minimal": minimal} if minimal else {}
        params |= {"max_iter": self.settings.steps} if self.settings.steps is not None else {}
        if self.source is not self.target and "surrogate" in known:
            source, params = target, params | {"surrogate": source}
        elif self.source is not self.target:
            params |= {"success_oracle": target}
        if issubclass(kind, DCTQuantizationAttack):
            params |= self._quantisation()
        if "threshold" in known and self.settings.threshold is not None:
            params["threshold"] = self.settings.threshold / 255
        elif self.bound is not None:
            params["constraint"] = PerPixelBound(self.bound / 255)
        chosen = {name: value for name, value in params.items() if name in known} | dict(self.settings.params)
        if minimal and "minimal" not in known:
            raise InvalidInputError(f"eps: {self.settings.attack} cannot search the smallest change; give a budget")
        try:
            attack = kind(source, **chosen)
        except TypeError as error:
            raise InvalidInputError(f"attack: {self.settings.attack} cannot be made: {error}") from error
        if isinstance(attack, PhotoAttack):
            attack.on_step = self.progress
        return attack

    def _quantisation(self) -> dict[str, Any]:
        """How the file is written, as parameters of the attack that chooses what it holds."""
        if not isinstance(self.encoding, Jpeg):
            return {"domain": "spatial"}
        if self.encoding.tables is not None:
            raise InvalidInputError(f"jpeg_quality: {self.settings.attack} writes JPEGs of a quality, so one is needed")
        return {"domain": "dct", "quality": self.encoding.quality, "subsampling": self.encoding.subsampling}

    def _move_pixels(self, attack: Any, objective: Objective) -> Pixels:
        pixels = self.photo.pixels
        visible = None if isinstance(attack, DCTQuantizationAttack) else self.photo.visible
        if isinstance(attack, PhotoAttack) and visible is None:
            return attack.generate_levels(pixels, objective)
        x = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
        first = getattr(self.source, "channels_first", True)
        x = x if first else x.transpose(0, 2, 3, 1)
        # What is wholly transparent stays as it is: a change there would be seen by the cropper and by nobody else.
        where = {}
        if visible is not None and isinstance(attack, PhotoAttack):
            where = {"mask": visible if first else visible[:, :, None]}
        found = np.asarray(attack.generate(x, objective, **where))[0]
        levels: Pixels = np.rint(found.clip(0, 1) * 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0) if first else levels)

    def _decoder_scale(self) -> int:
        """1/n of the size at which the croppers decode a JPEG; 0 where its coefficients cannot be searched so."""
        models = {id(model): model for model in (self.source, self.target)}.values()
        deployed = all(
            isinstance(model, PyTorchSaliencyRegressor)
            and isinstance(model.model, Cropper)
            and model.model.jpeg_quality is None
            and not model.preprocessing_operations
            for model in models
        )
        return draft_scale(self.size, target_size(*self.size)) if isinstance(self.encoding, Jpeg) and deployed else 0

    def _move_coefficients(
        self, attack: PhotoAttack, objective: Objective, scale: int
    ) -> tuple[EncodedImage, EncodedImage, float]:
        """The file with the moves, the file without them, and the size of the moves."""
        encoding, pixels, own = self.encoding, self.photo.pixels, self._own_coefficients
        assert isinstance(encoding, Jpeg)
        if own is not None:
            space = CoefficientSpace(None, own.to_bytes(), scale)
        else:
            planar = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
            space = CoefficientSpace(planar, encoding.encode(pixels).data, scale)
        candidate = attack.search_in(space, objective, self.size)
        encoded, unmoved = (
            EncodedImage.from_coefficients(coefficients, self.photo, encoding=encoding)
            for coefficients in (space.coefficients(candidate), space.base)
        )
        return encoded, unmoved, space.size(candidate)

    @property
    def _like_the_photo(self) -> bool:
        """Whether it is written as the JPEG that it is."""
        return isinstance(self.encoding, Jpeg) and self.settings.jpeg_quality is None

    @cached_property
    def _own_coefficients(self) -> JpegCoefficients | None:
        """The photo's own coefficients, upright, where it is written as the JPEG that it is and they can be had.

        They are only taken where they decode to the pixels that were read: a progressive file that stops early is
        smoothed by decoders.
        """
        if not self._like_the_photo:
            return None
        try:
            stored = JpegCoefficients.from_bytes(self.photo.path.read_bytes())
            stored = stored.with_components(stored.components)  # within what a baseline file holds
            pixels = apply_orientation(decode_reduced(stored.to_bytes(), 1), self.photo.orientation)
        except (ImageFileError, InvalidInputError, OSError):
            return None
        return stored.upright(self.photo.orientation) if np.array_equal(pixels, self.photo.pixels) else None

    def _holds(self, pixels: Pixels, objective: Objective) -> bool:
        """Whether the target, shown these pixels, meets the objective; at the size at which it sees them."""
        levels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        target, halvings = self.target, getattr(self.target, "halvings", lambda size: 0)(self.size)
        for _ in range(halvings):
            levels = halve(levels)
        if halvings:
            target = target.at_reduced_size(self.size)
        return bool(target.evaluate(levels.float() / 255, objective).success[0])


def attack_class(settings: Settings) -> Any:
    """Find the attack that is asked for, and check that it has the parameters that it is given.

    Raises:
        InvalidInputError: No such attack, or no such parameter; the message names the nearest.
    """
    kind = load_attack(settings.attack)
    known = list(getattr(kind, "attack_params", []))
    for name in settings.params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidInputError(
                f"param: {settings.attack} has no parameter {name!r}; {hint}it has {', '.join(known)}"
            )
    return kind


def has_budget(settings: Settings) -> bool:
    """Whether the attack keeps to a norm; some have limits of another kind."""
    return "eps" in getattr(attack_class(settings), "attack_params", ["eps"])


def default_steps(attack: str) -> int:
    """Give the steps that are taken unless another number is asked for: 10, or an attack's own where it has no budget.

    Raises:
        InvalidInputError: No such attack.
    """
    kind = load_attack(attack)
    if "eps" not in getattr(kind, "attack_params", ["eps"]):
        for base in kind.__mro__:
            made = vars(base).get("__init__")
            named = {} if made is None else inspect.signature(made).parameters
            if "max_iter" in named:
                return int(named["max_iter"].default)
    return STEPS


def _through_jpeg(model: Any, encoding: Jpeg) -> Any:
    """The model as it sees photos after a JPEG, where it can say so; a query-only one is asked about pixels."""
    return model.after_jpeg(encoding) if hasattr(model, "after_jpeg") else model
