"""The base of all tasks: choose a photo's target, build the objective, and name what the written file says of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from art_crop.checks import check_choice, check_int
from art_crop.errors import InvalidInputError

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "4:0:0")

if TYPE_CHECKING:
    import numpy as np

    from art_crop.geometry import Region

    Array = np.ndarray[Any, Any]

__all__ = ["NotMeasured", "Outcome", "Sample", "Target", "Task", "check_quality"]


class NotMeasured(Exception):  # noqa: N818 - no error of the program: the photo has no number, and the row says why
    """This photo has no number under this setting.

    Args:
        kind: ``"excluded"`` (the suite's rule leaves it out) or ``"impossible"``: the row's ``error_kind``.
        reason: In a sentence.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class Sample:
    """A photo and what the scored model makes of its unchanged file.

    Attributes:
        pixels: uint8 (H, W, 3), at the suite's width.
        output: What objectives are called with, for this photo.
        estimator: The scored model.
        selection: The suite's rule for photos, ``"paper-001"`` or ``"all"``.
        limits: Of that rule.
        keep_images: Photos are kept for the report, which then draws what ``details`` hold.
        name: Of the photo in its dataset.
        label: Number of its true class, where the dataset gives one.
    """

    pixels: Array
    output: Any
    estimator: Any
    selection: str = "all"
    limits: Mapping[str, Any] = field(default_factory=dict)
    keep_images: bool = False
    name: str = ""
    label: int | None = None


@dataclass(frozen=True)
class Target:
    """What is wanted of a photo.

    Attributes:
        y: What the attack's ``generate`` is given for it: a region, a bound, a label.
        region: Where, for attacks that a suite confines to a band about it; None: nowhere in particular.
        known: What the task has to remember until the file is there.
    """

    y: Any
    region: Region | None = None
    known: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What the written file says.

    Attributes:
        success: Whether the attack reached its goal.
        success_before: Whether the unchanged photo had reached it.
        metrics: The task's own measures, by the names in :attr:`Task.measures`.
        details: Plain values that the report shows or draws.
    """

    success: bool
    success_before: bool
    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


class Task(ABC):
    """What a suite measures for a photo; a subclass is the target of a ``TaskSpec``, made with a suite's options.

    Args:
        **options: The suite's ``task_options``; :attr:`defaults` are filled in, and :meth:`check` looks at them. Every
            task has ``survives_jpeg``, a list of qualities: the written file is saved as JPEG of each once more, and
            whether that one still meets the objective is a number of its own, ``after-jpeg-75``; see :attr:`survival`.
            ``"90 4:4:4"`` stands for another subsampling than Pillow's 4:2:0; its number is ``after-jpeg-90-444``.

    Raises:
        InvalidInputError: An option that the task does not have, or a value that it cannot use.
    """

    name: ClassVar[str]
    models: ClassVar[str]
    """The task of the models that it measures: ``"saliency"``, ``"quality"`` or ``"classification"``."""
    defaults: ClassVar[Mapping[str, Any]] = {"jpeg_quality": 0}
    measures: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers that it gives for every photo."""
    params: ClassVar[Mapping[str, str]] = {}
    """Options of the task that are parameters of the attack as well: option -> parameter."""
    _shared: ClassVar[Mapping[str, Any]] = {"survives_jpeg": ()}

    def __init__(self, **options: Any) -> None:
        for name in options:
            if name not in (allowed := {**self.defaults, **self._shared}):
                raise InvalidInputError(f"{name!r} is no option of {self.name!r}; allowed: {', '.join(allowed)}")
        self.options = {**self._shared, **self.defaults, **options}
        check_quality(self.options)
        self.survival = _encoders(self.options["survives_jpeg"])
        self.check()

    def check(self) -> None:
        """Raise InvalidInputError where a value of :attr:`options` cannot be used; by default all can."""
        return

    def reached(self) -> str:
        """Say what "reached" means, and what pictures of it show, as a sentence for readers."""
        return ""

    @abstractmethod
    def target(self, sample: Sample) -> Target:
        """Choose what is wanted of a photo.

        Raises:
            NotMeasured: The suite's rule leaves it out, or it cannot be asked for.
        """

    @abstractmethod
    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective of some photos, by which the written files are verified."""

    def y(self, targets: Sequence[Target]) -> Any:
        """Give what the attack's ``generate`` takes as y; by default a list of the targets' own."""
        return [target.y for target in targets]

    @abstractmethod
    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say what became of a photo.

        Args:
            sample: The photo before.
            target: What was wanted.
            output: What the scored model makes of the written file.
            change: Measures of the decoded file against the photo: at least ``"psnr"`` in dB, ``"l2"``, ``"linf"``.
        """


def check_quality(options: Mapping[str, Any]) -> None:
    """Check the option ``jpeg_quality``, which every task has.

    Raises:
        InvalidInputError: It is no whole number from 0 (a PNG is written) to 100.
    """
    quality = options.get("jpeg_quality", 0)
    if isinstance(quality, bool) or not isinstance(quality, int) or not 0 <= quality <= 100:
        raise InvalidInputError(f"jpeg_quality: 0 (a PNG is written) to 100 is needed, not {quality!r}")


def _encoders(given: Any) -> dict[str, tuple[int, str]]:
    """Name of a measure -> quality and subsampling of the JPEG that it is about."""
    if not isinstance(given, (list, tuple)) or len(set(map(str, given))) < len(given):
        raise InvalidInputError(f"survives_jpeg: a list of different qualities is needed, not {given!r}")
    found: dict[str, tuple[int, str]] = {}
    for one in given:
        quality, _, subsampling = one.partition(" ") if isinstance(one, str) else (one, "", "")
        number = check_int(
            int(quality) if isinstance(quality, str) and quality.isdecimal() else quality,
            "survives_jpeg",
            at_least=1,
            at_most=100,
        )
        check_choice(subsampling or "4:2:0", "survives_jpeg", SUBSAMPLINGS)
        name = f"after-jpeg-{number}" + f"-{subsampling.replace(':', '')}" * bool(subsampling)
        found[name] = (number, subsampling or "4:2:0")
    return found
