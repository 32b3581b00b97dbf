"""What a benchmark suite says, as typed records; :mod:`art_crop.bench.suite_file` reads them from TOML.

Records hold plain values only, so that they can be hashed, kept as JSON and sent to other machines. Bounds and
descriptions of fields are those of the file; what a suite can say is told in ``benchmarks/suites/README.md``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, to_builtins

__all__ = ["MOST_SETTINGS", "AttackUse", "Data", "DefenceUse", "Limits", "ModelUse", "Setting", "Special", "Suite"]
__all__ += ["canonical", "digest"]

MOST_SETTINGS = 100_000
"""Of a suite; the grid of a file may have more combinations than there is time or memory for."""
PRESENTATION = ("title", "paper", "tables", "requirements")
"""Fields that decide no number; they are no part of a suite's hash."""
GIVEN_BY_RUNNER = {"root": "--images DIR", "weights": "--weights NAME=PATH", "device": "--device"}
SELECTION_OPTIONS = ("max_maxima", "max_height_over_width", "min_distance", "min_ratio")
NOT_PARAMETERS = ("judge", "seed", "verbose", "ensemble", "summary_writer")

Flag = Annotated[bool, Meta(description="true or false")]
Text = Annotated[str, Meta(description="a text")]
Texts = Annotated[tuple[str, ...], Meta(description="a list of different texts")]
Table = Annotated[dict[str, Any], Meta(description="a table")]
_Pair = Annotated[tuple[str, str], Meta(description="a pair of texts")]
Pairs = Annotated[tuple[_Pair, ...], Meta(description="a list of different pairs of texts")]
Count = Annotated[int, Meta(ge=0, description="a whole number of at least 0")]
Positive = Annotated[int, Meta(ge=1, description="a whole number of at least 1")]
Seconds = Annotated[float, Meta(ge=0, description="a number of at least 0")]
_Whole = Annotated[int, Meta(ge=0, le=2**53)]  # tables of results hold them as floating-point numbers
_WHOLES = "a list of different whole numbers from 0 to 2**53"
_SCORED = "a list of at least one model, here or at the top of the file,"
_NAME = "a text of lower-case words joined by - or _"
Wholes = Annotated[tuple[_Whole, ...], Meta(min_length=1, description=_WHOLES)]


def canonical(value: Any) -> str:
    """Write JSON with sorted keys and no spaces: the same text for the same content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Hash :func:`canonical` by SHA-256, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold a table of a suite. What is wrong with a key is a ValueError that begins with the key and a colon."""

    def __post_init__(self) -> None:
        """Refuse lists that say something twice, and options that do not belong into a file."""
        for name in self.__struct_fields__:
            values = getattr(self, name)
            plain = isinstance(values, tuple) and not any(isinstance(one, (dict, Struct)) for one in values)
            if plain and not different(values):
                raise ValueError(f"{name}: different values are needed, and {list(values)!r} has one twice")
        for name in getattr(self, "options", ()):
            if name in GIVEN_BY_RUNNER:
                text = f"has no place in a suite; it is given on the command line: {GIVEN_BY_RUNNER[name]}"
                raise ValueError(f"options.{name}: {text}")


def different(values: Any) -> bool:
    """Tell whether no value of a list is there twice; 1 and 1.0 are one value."""
    texts = [value if isinstance(value, (str, int, float)) else repr(value) for value in values]
    return len(set(texts)) == len(texts)


class DefenceUse(Record, frozen=True):
    """A defence by the name that the suite gives it: a plugin and its options."""

    name: Text
    plugin: Text
    options: Table = {}


class ModelUse(Record, frozen=True):
    """A model by the name that the suite gives it: a plugin, its options, and the defences before it, in order."""

    name: Text
    plugin: Text
    options: Table = {}
    defences: Texts = ()
    after_jpeg: Annotated[int, Meta(ge=0, le=100, description="a whole number from 0 to 100")] = 0
    """It sees photos as after they were saved as JPEGs of this quality, with gradients; 0: as they are."""


class Special(Record, frozen=True):
    """Parameters that an attack has where ``when`` holds: names of parameters, or "attacked" and "scored"."""

    when: Annotated[dict[str, Any], Meta(min_length=1, description="a table that is not empty")]
    params: Annotated[dict[str, Any], Meta(min_length=1, description="a table that is not empty")]


class AttackUse(Record, frozen=True):
    """A row of a table: an attack, its parameters, and on which models; ``grid`` holds lists of parameters' values."""

    method: Text
    plugin: Text
    attacked: Texts  # models whose gradients it takes; empty: none, it only knows the model that is scored
    scored: Annotated[tuple[str, ...], Meta(min_length=1, description=_SCORED)]
    skip: Pairs = ()  # of attacked and scored
    success_oracle: Flag = field(default=False, name="judged")  # it may ask the scored model whether it has succeeded
    ensemble: Texts = ()  # further models whose gradients it takes
    mask: Annotated[Literal["", "band"], Meta(description="a text")] = ""
    task_options: Table = {}  # of this attack alone, beside and before those of the suite
    params: Table = {}
    grid: Table = {}
    special: Annotated[tuple[Special, ...], Meta(description="a list of tables")] = ()  # later ones win

    def __post_init__(self) -> None:
        """Refuse parameters that are no lists in the grid, are given twice or are the runner's."""
        super().__post_init__()
        for name, values in self.grid.items():
            if not isinstance(values, (list, tuple)) or not values or not different(values):
                raise ValueError(f"grid.{name}: a list of different values is needed, not {values!r}")
            if name in self.params:
                raise ValueError(f"grid.{name}: is in params as well; a parameter stands in one of the two")
        specials = [(f"special[{k}].params", special.params) for k, special in enumerate(self.special)]
        for key, some in [("params", self.params), ("grid", self.grid), *specials]:
            for name in some:
                if name in NOT_PARAMETERS:
                    raise ValueError(f"{key}.{name}: is set by the runner; see seeds, success_oracle and ensemble")

    @property
    def size(self) -> int:
        """How many settings it has for one seed, those that are left out by ``skip`` included."""
        return max(1, len(self.attacked)) * len(self.scored) * math.prod(map(len, self.grid.values()))


class Data(Record, frozen=True):
    """Which photos: a dataset plugin and its options, every n-th photo from ``first`` on, selected by a rule."""

    dataset: Text = "folder"
    options: Table = {}
    width: Count = 640  # to which photos are resized (Lanczos), in pixels; 0: left as they are
    height: Count = 0  # with it the photo's middle is cut to width:height first; 0: nothing is cut
    first: Wholes = (0,)
    every: Positive = 1
    selection: Annotated[Literal["paper-001", "all"], Meta(description="a text")] = "paper-001"
    selection_options: Table = {}  # of art_crop.datasets.selection.select_target

    def __post_init__(self) -> None:
        """Refuse limits of the selection that are no numbers, and a height of photos that are left as they are."""
        super().__post_init__()
        if self.height and not self.width:
            raise ValueError("height: a width is needed with it")
        for name, value in self.selection_options.items():
            if name in SELECTION_OPTIONS and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise ValueError(f"selection_options.{name}: a number is needed, not {value!r}")


class Limits(Record, frozen=True):
    """At most so many photos (0: all), seconds for a photo and setting (0: no limit), photos in a work item."""

    photos: Count = 0
    photo_seconds: Seconds = 0.0
    batch: Positive = 8


class Setting(Struct, frozen=True, omit_defaults=True):  # fields that came later are no part of earlier keys
    """One attack with all its parameters, on one attacked and one scored model; attacked "" is none."""

    method: str
    plugin: str
    attacked: str
    scored: str
    success_oracle: bool = field(name="judged")  # as keys of results have it
    ensemble: tuple[str, ...]
    mask: str
    params: dict[str, Any]
    seed: int
    task_options: dict[str, Any] = {}

    judged = property(lambda self: self.success_oracle, doc="The earlier name of ``success_oracle``.")


class Suite(Record, frozen=True):
    """A whole suite; each seed is a setting of its own, and ``tables`` are what reports show."""

    name: Annotated[str, Meta(pattern="^[a-z0-9]+([_-][a-z0-9]+)*$", description=_NAME)]
    protocol: Text  # the task: what is measured for a photo
    models: Annotated[tuple[ModelUse, ...], Meta(description="a list of tables")]
    attacks: Annotated[tuple[AttackUse, ...], Meta(description="a list of tables")]
    title: Text = ""
    paper: Text = ""
    protocol_options: Table = {}
    metrics: Texts = ()  # plugins of measures of two photos, beside what the task measures
    optional_metrics: Texts = ()  # further ones, each left out where it cannot be loaded
    seeds: Wholes = (0,)
    threads: Positive = 1  # of torch, so that results are the same to the last bit wherever they are computed
    data: Annotated[Data, Meta(description="a table")] = Data()
    limits: Annotated[Limits, Meta(description="a table")] = Limits()
    defences: tuple[DefenceUse, ...] = ()
    tables: tuple[Table, ...] = ()
    requirements: Texts = ()  # distributions with plugins that it needs, as pip writes them

    def resolved(self) -> dict[str, Any]:
        """Return everything the suite says, defaults filled in, as values that JSON can hold.

        Fields that came later are left out where they say nothing: results of earlier versions stay those of the suite.
        """
        content: dict[str, Any] = json.loads(canonical(to_builtins(self)))
        later = [(content["data"], "height"), (content, "optional_metrics")]
        later += [(attack, "task_options") for attack in content["attacks"]]
        for table, name in (*later, *((model, "after_jpeg") for model in content["models"])):
            if not table[name]:
                del table[name]
        return content

    @property
    def sha256(self) -> str:
        """Hash of all that decides a number; title, paper and tables are free to change."""
        return digest({key: value for key, value in self.resolved().items() if key not in PRESENTATION})

    @property
    def size(self) -> int:
        """How many settings it has at most, without going through them."""
        return len(self.seeds) * sum(attack.size for attack in self.attacks)

    def model(self, name: str) -> ModelUse:
        """Return the model of that name."""
        return next(model for model in self.models if model.name == name)

    def settings(self) -> Iterator[Setting]:
        """Go through every setting, in the order of the file."""
        for use in self.attacks:
            axes = [[(name, value) for value in values] for name, values in use.grid.items()]
            shared, skipped = (use.success_oracle, use.ensemble, use.mask), set(use.skip)
            pairs = itertools.product(use.attacked or ("",), use.scored)
            for attacked, scored in (pair for pair in pairs if pair not in skipped):
                for point in itertools.product(*axes):
                    params = {**use.params, **dict(point)}
                    known = {**params, "attacked": attacked, "scored": scored}
                    for special in use.special:
                        if all(known.get(name) == value for name, value in special.when.items()):
                            params = {**params, **special.params}
                    for seed in self.seeds:
                        own = (params, seed, use.task_options)
                        yield Setting(use.method, use.plugin, attacked, scored, *shared, *own)
