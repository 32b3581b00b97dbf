"""What was asked and what became of it, as JSON beside the photo; by it a later run knows what is done already."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import torch

from art_crop.attacks.color_variance import CONDITIONS
from art_crop.checks import check_choice, check_int, check_number
from art_crop.errors import ImageFileError, InvalidInputError
from art_crop.geometry import Region, check_ratios
from art_crop.images import Photo
from art_crop.images.encoding import Encoding, Jpeg, Png
from art_crop.objectives import ScoreBeyond
from art_crop.pipeline.goals import SHOWN_RATIOS, CropView, Goal, Label, ResavedView, Score, ShowRegion, View
from art_crop.pipeline.measure import Change
from art_crop.plugins.registry import list_plugins

__all__ = [
    "FORMAT",
    "Record",
    "Settings",
    "differences",
    "file_sha256",
    "json_bytes",
    "model_sha256",
    "plugin_versions",
    "printable",
    "read_record",
]

FORMAT = 1
"""Version of the record's layout."""

_LARGEST = 1 << 24
"""Bytes of a record that is read again, at most."""


@dataclass(frozen=True)
class Settings:
    """What is asked of every photo of a run; the goal is one of ``region``, ``score`` and ``label``.

    Args:
        region: What must be shown: a :class:`~art_crop.geometry.Region`, or text as ``Region.parse`` reads it.
        ratios: Aspect ratios (height / width) whose crops must all contain the region; None: the salient point must
            lie in it.
        eps: L2 norm of the change, pixels in [0, 1]; None: the smallest that succeeds.
        max_eps: Largest L2 norm that is tried; None: a PSNR of 40 dB.
        steps: Gradient steps, or rounds of the search for the smallest change.
        jpeg_quality: Quality (1 to 100) of a JPEG as Pillow writes it by default; None: a JPEG is written like the
            photo, which must be one. Whether it is a JPEG or a PNG is said by the name of the result.
        seed: Start of every random stream.
        score: Bound that a quality score must pass.
        direction: ``"below"`` or ``"above"`` that bound.
        label: Class that must become the first; ``"other"``: any but the photo's own. With a condition, the class that
            must be left instead; ``"other"``: the one that the target gives the photo.
        condition: How far that class must be left: ``"top1"``, ``"top1-50"`` or ``"top5"``, as
            :class:`~art_crop.attacks.color_variance.PerceptualAttack` has them.
        threshold: Largest change of a pixel where the photo's colours vary most, in grey levels; elsewhere less, see
            :func:`~art_crop.attacks.color_variance.color_threshold`. None: what the attack does by itself.
        attack: Name of the attack.
        params: Its further parameters.
        defences: Names of the defences before the target.
        surrogate: Name of the model that gives the gradients; None: the target itself.
        flexible: The ratios are a default: those whose crops cannot contain the region are left out.

    Raises:
        InvalidInputError: A value outside its range, or no goal, or more than one.
    """

    region: Region | str | None = None
    ratios: tuple[float, ...] | None = SHOWN_RATIOS
    eps: float | None = None
    max_eps: float | None = None
    steps: int = 10
    jpeg_quality: int | None = None
    seed: int = 0
    score: float | None = None
    direction: Literal["below", "above"] = "below"
    label: int | str | None = None
    condition: str | None = None
    threshold: float | None = None
    attack: str = "saliency-peak-fgm"
    params: Mapping[str, Any] = field(default_factory=dict)
    defences: tuple[str, ...] = ()
    surrogate: str | None = None
    flexible: bool = False

    def __post_init__(self) -> None:
        if sum(goal is not None for goal in (self.region, self.score, self.label)) != 1:
            raise InvalidInputError("goal: one of a region to show, a score to pass and a label to reach is needed")
        if self.region is not None and not isinstance(self.region, (Region, str)):
            raise InvalidInputError(f"region: a Region or x0,y0,x1,y1 as text is needed, not {self.region!r}")
        if self.ratios is not None:  # crops are of no matter to scores and labels
            object.__setattr__(self, "ratios", None if self.region is None else check_ratios(self.ratios))
        if self.score is not None:
            check_number(self.score, "score")
        check_choice(self.direction, "direction", ("below", "above"))
        if self.label is not None and self.label != "other":
            check_int(self.label, "label", at_least=0)
        check_choice(self.condition, "condition", (None, *CONDITIONS))
        if self.condition is not None and self.label is None:
            raise InvalidInputError("condition: it is about a label, so it needs one")
        if self.threshold is not None:
            check_number(self.threshold, "threshold", above=0, at_most=255)
        for name in ("eps", "max_eps"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, above=0)
        if self.eps is not None and self.max_eps is not None:
            raise InvalidInputError("max_eps: it bounds the search for the smallest change, so it cannot go with eps")
        check_int(self.steps, "steps", at_least=1)
        check_int(self.seed, "seed", at_least=0, at_most=2**32 - 1)
        if self.jpeg_quality is not None:
            check_int(self.jpeg_quality, "jpeg_quality", at_least=1, at_most=100)

    @property
    def task(self) -> str:
        """The task of the models that can be asked about the goal."""
        return "saliency" if self.region is not None else "quality" if self.score is not None else "classification"

    def encoding(self, photo: Photo, *, jpeg: bool) -> Encoding:
        """How a photo is written.

        Args:
            photo: The photo.
            jpeg: As a JPEG: of the quality that is asked for, else with the photo's own tables and subsampling.

        Raises:
            InvalidInputError: A JPEG without a quality, and the photo is none.
        """
        if not jpeg:
            return Png()
        return Jpeg.like(photo) if self.jpeg_quality is None else Jpeg(self.jpeg_quality)

    def goal(self, width: int, height: int, output: Any = None, names: tuple[str, ...] = ()) -> Goal:
        """Make the goal for an upright photo of that size.

        Args:
            width: In pixels.
            height: In pixels.
            output: What the target makes of the original; needed where the label is "other" than that.
            names: Of the target's classes.

        Raises:
            InvalidInputError: The region is empty, inverted or outside the photo; a class that the
                target does not have.
        """
        if self.region is not None:
            region = self.region if isinstance(self.region, Region) else Region.parse(self.region, width, height)
            return ShowRegion(region, self.ratios, self.flexible)
        if self.score is not None:
            return Score(self.score, self.direction)
        if self.label == "other":
            return Label(int(output[0].argmax()), False, names, self.condition)
        assert isinstance(self.label, int)
        if output is not None and self.label >= output.shape[1]:
            raise InvalidInputError(f"label: this model has the classes 0 to {output.shape[1] - 1}, not {self.label}")
        return Label(self.label, self.condition is None, names, self.condition)

    def check_scale(self, model: Any, name: str = "score") -> None:
        """Refuse a score that is not on the target's scale.

        Args:
            model: The target.
            name: What messages call the score.

        Raises:
            InvalidInputError: It is not.
        """
        if self.score is not None:
            ScoreBeyond([self.score], self.direction).check_scale(model.score_range, name)

    def as_json(self) -> dict[str, Any]:
        """What of the settings stands in a record, but for the goal's own numbers."""
        names = ("eps", "max_eps", "steps", "jpeg_quality", "seed", "attack", "surrogate", "condition", "threshold")
        return {name: getattr(self, name) for name in names} | {
            "ratios": None if self.ratios is None else list(self.ratios),
            "params": dict(self.params),
            "defences": list(self.defences),
            "wanted": self._wanted(),
        }

    def _wanted(self) -> Any:
        """The goal, where it is no region: that stands in the record in fractions."""
        if self.score is not None:
            return {self.direction: self.score}
        if self.label is None:
            return None
        return {"label": self.label} if self.condition is None else {"leave": self.label}


@dataclass(frozen=True)
class Record:
    """What became of one photo; :meth:`to_json` is what lies beside it."""

    success: bool
    """The written file, read back through the cropper's own pipeline, shows the region."""
    message: str
    """The outcome in a sentence or two."""
    model: str
    weights_sha256: str | None
    """Of the weight file, else of the parameters and the class; None for what cannot be hashed."""
    region: tuple[float, float, float, float] | None
    """x0, y0, x1, y1 as fractions of the upright photo; None where the goal is none."""
    ratios: tuple[float, ...] | None
    eps: float | None
    max_eps: float | None
    steps: int
    jpeg_quality: int | None
    """The quality that was asked for; None: a PNG, or a JPEG like the original."""
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
    """The same as ``change.l2`` for a PNG; for a JPEG, against the photo as the encoder alone would leave it. A JPEG's
    own coefficients are not encoded again, so that nothing but decoders' rounding of a turned photo is left out."""
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
    task: str = "saliency"
    attack: str = "saliency-peak-fgm"
    params: dict[str, Any] = field(default_factory=dict)
    defences: tuple[str, ...] = ()
    surrogate: str | None = None
    """The model that gave the gradients, where it was not the target."""
    surrogate_sha256: str | None = None
    not_kept: tuple[str, ...] = ()
    """What of the original the written file does not have: metadata, transparency, bits."""
    notes: tuple[str, ...] = ()
    """What is wrong with the original and did not keep it from being read; what the attack says of it."""
    encoding: dict[str, Any] = field(default_factory=dict)
    """Of the written photo: format; for a JPEG quality (the nearest of libjpeg), subsampling and whether its tables are
    "standard" or the "original"'s."""
    wanted: Any = None
    """The goal, where it is no region: {"below": bound}, {"above": bound}, {"label": class} or {"leave": class}."""
    condition: str | None = None
    """How far a class must be left: "top1", "top1-50", "top5"."""
    threshold: float | None = None
    """Largest change where the photo's colours vary most, in grey levels."""
    within_threshold: float | None = None
    """Share of the written file's pixels whose change is within the threshold map."""
    resaved: tuple[ResavedView, ...] = ()
    """Of a JPEG for a score: after Pillow has decoded it and encoded it again at the same quality, 4:4:4 and 4:2:0."""
    score_range: tuple[float, float] | None = None
    """Lowest and highest score of the model's scale, where the goal is a score."""
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; windows as left, top, width, height."""
        return dataclasses.asdict(self) | {"before": _plain(self.before), "after": _plain(self.after)}


def _plain(view: View) -> dict[str, Any]:
    windows = {"crops": [window._asdict() for window in view.crops]} if isinstance(view, CropView) else {}
    return dataclasses.asdict(view) | windows


class _Change(msgspec.Struct):
    l2: float
    psnr_db: float | None


class _Kept(msgspec.Struct):
    """What is asked of a record that is read again; more may stand in it."""

    format: Literal[1]
    success: bool
    message: str
    unchanged: bool
    seconds: float
    width: Annotated[int, msgspec.Meta(gt=0)]
    height: Annotated[int, msgspec.Meta(gt=0)]
    output_name: str
    output_sha256: str
    device: str
    versions: dict[str, str]
    before: dict[str, Any]
    after: dict[str, Any]
    change: _Change


def read_record(path: str | Path) -> dict[str, Any] | None:
    """Read the record in a file as plain values; None where there is none that is whole and of this layout."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:  # reading a pipe would wait for ever
            return None
        data = Path(path).read_bytes()
        msgspec.json.decode(data, type=_Kept)
        value: dict[str, Any] = json.loads(data)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return value


def json_bytes(value: dict[str, Any]) -> bytes:
    """A record as the bytes of its file."""
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def differences(record: dict[str, Any], settings: Settings, made_by: Mapping[str, Any]) -> list[str]:
    """Name the fields in which a record is about another photo, model, version or setting; none: it is the same.

    Args:
        record: As :func:`read_record` gives it.
        settings: What is asked now.
        made_by: The record's fields that say what the photo and the models are: model, weights_sha256, input_sha256,
            surrogate_sha256, and versions, of which torch, numpy and Pillow do not count. A model without a hash is
            never the same as another.
    """
    asked: dict[str, Any] = dict(made_by)
    ours = _counting(asked.pop("versions"))
    asked |= settings.as_json()
    if settings.region is not None:
        try:
            goal = settings.goal(record["width"], record["height"])
        except (InvalidInputError, KeyError, TypeError):
            return ["region"]
        assert isinstance(goal, ShowRegion)
        asked["region"] = list(dataclasses.astuple(goal.region))
    differing = [name for name, value in asked.items() if record.get(name, _SINCE.get(name, _MISSING)) != value]
    left_out = settings.ratios is not None and list(settings.ratios) != record.get("shown_ratios", asked["ratios"])
    if left_out and not settings.flexible and "ratios" not in differing:
        differing.append("ratios")
    if asked["weights_sha256"] is None and "weights_sha256" not in differing:
        differing.append("weights_sha256")
    return differing + ["versions"] * (_counting(record["versions"]) != ours)


def _counting(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: version for name, version in versions.items() if name not in ("torch", "numpy", "pillow")}


def model_sha256(model: Any) -> str | None:
    """Hash what makes a model: its weight file where it has one, else its parameters and its class.

    Returns:
        SHA-256, hexadecimal; None for a model whose parameters cannot be seen.
    """
    if (known := getattr(model, "weights_sha256", None)) is not None:
        return str(known)
    module = getattr(model, "model", None)
    if not isinstance(module, torch.nn.Module):
        return None
    digest = hashlib.sha256(f"{type(module).__module__}.{type(module).__qualname__}".encode())
    for name, value in module.state_dict().items():
        digest.update(f"|{name}|{getattr(value, 'dtype', '')}|{tuple(getattr(value, 'shape', ()))}|".encode())
        if hasattr(value, "detach"):
            array = value.detach().cpu().contiguous().flatten()
            digest.update(array.view(torch.uint8).numpy().tobytes() if array.numel() else b"")
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def plugin_versions(settings: Settings, model: str) -> dict[str, str]:
    """Look up the versions of the distributions that the model, the attack and the defences come from."""
    names = {("model", model), ("attack", settings.attack)}
    names |= {("model", settings.surrogate)} if settings.surrogate else set()
    names |= {("defence", text.partition(":")[0]) for text in settings.defences}
    return {
        record.distribution: record.version or ""
        for record in list_plugins()
        if any(record.kind == kind and name in (record.name, record.ask_for) for kind, name in names)
        and record.distribution != "art-crop"
    }


_SINCE: dict[str, Any] = {
    "attack": "saliency-peak-fgm",
    "params": {},
    "defences": [],
    "surrogate": None,
    "wanted": None,
    "surrogate_sha256": None,
    "condition": None,
    "threshold": None,
}
"""What records of before these fields meant."""
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
