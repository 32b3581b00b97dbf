"""One photo under one setting: what a protocol's function works with, and the row that tells of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from art_crop.bench.suite import Setting, canonical
from art_crop.bench.units import PhotoRef, Unit, row_key
from art_crop.images import encode_jpeg, encode_png

if TYPE_CHECKING:
    from art_crop.attacks.results import AttackResult
    from art_crop.bench.place import Workplace
    from art_crop.geometry import Region
    from art_crop.models.cropper import FilePrediction

__all__ = ["Case", "TimeLimitError", "blank_row", "time_limit"]

Array = np.ndarray[Any, Any]


class Case:
    """One photo under one setting: what a protocol's function works with."""

    def __init__(self, place: Workplace, setting: Setting, photo: PhotoRef) -> None:
        self.place, self.setting, self.photo = place, setting, photo
        self.suite = place.suite
        self.seconds = 0.0
        self.result: AttackResult | None = None
        self.written: Array = np.empty(0)
        self.file = b""
        """Of the photo that the model has seen last."""

    def option(self, name: str) -> Any:
        """An option of the protocol."""
        return self.suite.protocol_options.get(name, self.place.protocol.options[name])

    @property
    def scored(self) -> Any:
        """The model that is scored."""
        return self.place.model(self.setting.scored)

    @cached_property
    def pixels(self) -> Array:
        """The photo, uint8 (H, W, 3)."""
        return self.place.photo(self.photo)

    @property
    def loaded(self) -> bool:
        """Whether the photo could be read."""
        return "pixels" in self.__dict__

    @property
    def before(self) -> FilePrediction:
        """What the scored model makes of the photo as it is."""
        return self.place.clean(self.photo, self.setting, self)

    @property
    def suffix(self) -> str:
        """Of the files that are written."""
        return ".jpg" if self.option("jpeg_quality") else ".png"

    def seen(self, pixels: Array) -> FilePrediction:
        """What the scored model makes of the written file, by its exact pipeline."""
        path, quality = self.place.folder / f"photo{self.suffix}", self.option("jpeg_quality")
        self.file = encode_jpeg(pixels, quality) if quality else encode_png(pixels, quick=True)
        path.write_bytes(self.file)
        ratios = tuple(self.option("ratios"))
        seen: FilePrediction = self.scored.predict_file(path, ratios)
        return seen

    def attack(self, region: Region) -> Array:
        """Run the attack; the changed photo as it will be written, uint8 (H, W, 3)."""
        pixels = self.pixels
        attack = self.place.attack(self.setting)
        x = pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
        options: dict[str, Any] = {}
        if self.setting.mask == "band":
            from art_crop.attacks.gaussian_noise import band_mask

            options["mask"] = band_mask([region], pixels.shape[:2])
        start = time.perf_counter()
        try:
            adversarial = attack.generate(x, [region], **options)
        finally:
            self.seconds = time.perf_counter() - start
        if hasattr(attack, "results") and attack.results:
            self.result = attack.results[0]
        levels = (np.clip(np.asarray(adversarial[0], np.float64), 0, 1) * 255).round().astype(np.uint8)
        self.written = np.ascontiguousarray(levels.transpose(1, 2, 0))
        return self.written


def blank_row(unit: Unit, photo: PhotoRef, group: str) -> dict[str, Any]:
    """A row that says which photo and setting it is about, and nothing yet of what was found."""
    setting = unit.setting
    eps, norm = setting.params.get("eps"), setting.params.get("norm", 2)
    return {
        "key": row_key(unit.setting_key, photo),
        "unit": unit.key,
        "photo": photo.name,
        "photo_sha256": photo.sha256,
        "width": 0,
        "height": 0,
        "group": group,
        "attacked": setting.attacked,
        "scored": setting.scored,
        "attack": setting.plugin,
        "method": setting.method,
        "params": canonical(dict(setting.params)),
        "eps": float(eps) if isinstance(eps, (int, float)) else None,
        "norm": str(norm),
        "seed": setting.seed,
        "success": None,
        "success_before": None,
        "l2": None,
        "linf": None,
        "gradients": 0,
        "queries": 0,
        "seconds": 0.0,
        "metrics": {},
        "curve": [],
        "curve_of": "",
        "facts": "{}",
        "image": "",
        "original": "",
        "error": "",
        "error_kind": "",
    }


class TimeLimitError(Exception):
    """A photo took longer than the suite allows."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TimeLimitError` after so many seconds; 0, or a thread or system without alarms: no limit."""
    if not seconds or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeLimitError(f"took more than {seconds:g} s, the suite's limits.photo_seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
