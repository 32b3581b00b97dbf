"""What was asked and what became of it, as JSON beside the photo; by it a later run knows what is done already."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.checks import check_int, check_number
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.geometry import Region, check_ratios
from art_crop.pipeline.goal import SHOWN_RATIOS, Goal, View
from art_crop.pipeline.measure import Change

__all__ = ["FORMAT", "Record", "Settings", "answers", "file_sha256", "json_bytes", "printable", "read_record"]

FORMAT = 1
"""Version of the record's layout."""


@dataclass(frozen=True)
class Settings:
    """What is asked of every photo of a run.

    Args:
        region: What must be shown: a :class:`~art_crop.geometry.Region`, or text as ``Region.parse`` reads it.
        ratios: Aspect ratios (height / width) whose crops must all contain the region; None: the salient point must
            lie in it.
        eps: L2 norm of the change, pixels in [0, 1]; None: the smallest that succeeds.
        max_eps: Largest L2 norm that is tried; None: a PSNR of 40 dB.
        steps: Gradient steps, or rounds of the search for the smallest change.
        jpeg_quality: Write a JPEG of that quality (1 to 100), as Pillow does by default; None: a PNG.
        seed: Start of every random stream.

    Raises:
        InvalidInputError: A value outside its range.
    """

    region: Region | str
    ratios: tuple[float, ...] | None = SHOWN_RATIOS
    eps: float | None = None
    max_eps: float | None = None
    steps: int = 10
    jpeg_quality: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.region, (Region, str)):
            raise InvalidInputError(f"region: a Region or x0,y0,x1,y1 as text is needed, not {self.region!r}")
        if self.ratios is not None:
            object.__setattr__(self, "ratios", check_ratios(self.ratios))
        for name in ("eps", "max_eps"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, above=0)
        if self.eps is not None and self.max_eps is not None:
            raise InvalidInputError("max_eps: it bounds the search for the smallest change, so it cannot go with eps")
        check_int(self.steps, "steps", at_least=1)
        check_int(self.seed, "seed", at_least=0, at_most=2**32 - 1)
        if self.jpeg_quality is not None:
            check_int(self.jpeg_quality, "jpeg_quality", at_least=1, at_most=100)

    def goal(self, width: int, height: int) -> Goal:
        """The goal for an upright photo of that size.

        Raises:
            InvalidInputError: The region is empty, inverted or outside the photo.
        """
        region = self.region if isinstance(self.region, Region) else Region.parse(self.region, width, height)
        return Goal(region, self.ratios)


@dataclass(frozen=True)
class Record:
    """What became of one photo; :meth:`to_json` is what lies beside it."""

    success: bool
    """The written file, read back through the cropper's own pipeline, shows the region."""
    message: str
    """The outcome in a sentence or two."""
    model: str
    weights_sha256: str | None
    region: tuple[float, float, float, float]
    """x0, y0, x1, y1 as fractions of the upright photo."""
    ratios: tuple[float, ...] | None
    eps: float | None
    max_eps: float | None
    steps: int
    jpeg_quality: int | None
    seed: int
    norm: str
    budget: float
    """L2 budget of the photo that was written; 0 where nothing was changed."""
    unchanged: bool
    """The pixels are the original's."""
    success_before: bool
    """The original file shows the region as it is."""
    success_before_writing: bool
    """What the model says of the pixels before they are encoded."""
    success_after_writing: bool
    before: View
    after: View
    change: Change
    """Of the written file's pixels against the original's."""
    l2_before_encoding: float
    """The same as ``change.l2`` for a PNG; without the encoder's own loss for a JPEG."""
    gradients: int
    queries: int
    files_checked: int
    seconds: float
    width: int
    height: int
    input_name: str
    input_sha256: str
    output_name: str
    output_sha256: str
    figure_name: str | None
    device: str
    versions: dict[str, str]
    shown_ratios: tuple[float, ...] = SHOWN_RATIOS
    """The ratio of each window in ``before`` and ``after``."""
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; windows as left, top, width, height."""
        return dataclasses.asdict(self) | {
            name: dataclasses.asdict(view) | {"crops": [window._asdict() for window in view.crops]}
            for name, view in (("before", self.before), ("after", self.after))
        }


def read_record(path: str | Path) -> dict[str, Any] | None:
    """The record in a file, as plain values; None where there is none that this version wrote."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT and "output_sha256" in value else None


def json_bytes(value: dict[str, Any]) -> bytes:
    """A record as the bytes of its file."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def answers(
    record: dict[str, Any], settings: Settings, *, model: str, weights_sha256: str | None, input_sha256: str
) -> bool:
    """Whether a record is about the same photo and the same wish."""
    try:
        goal = settings.goal(record["width"], record["height"])
    except (InvalidInputError, KeyError, TypeError):
        return False
    asked: dict[str, Any] = {
        "model": model,
        "weights_sha256": weights_sha256,
        "input_sha256": input_sha256,
        "region": list(dataclasses.astuple(goal.region)),
        "ratios": None if settings.ratios is None else list(settings.ratios),
    }
    asked |= {name: getattr(settings, name) for name in ("eps", "max_eps", "steps", "jpeg_quality", "seed")}
    return all(record.get(name, _MISSING) == value for name, value in asked.items())


_MISSING = object()


def printable(name: str) -> str:
    """A file name as UTF-8 can hold it: bytes that are none become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        ImageFileError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageFileError(f"{str(path)!r} cannot be read ({reason})") from error
    return digest.hexdigest()
