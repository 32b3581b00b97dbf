"""A run's results as a Polars data frame: a row is a photo, a setting and a scored model; every metric is a column.

One method with several values of a parameter is several methods to a report: a mean over them would be nobody's.
Budgets have columns of their own, and seeds are repetitions; every other parameter of a grid becomes part of the name.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from art_crop.bench.resolved import settings_of
from art_crop.bench.store import EXCLUDED, RunInfo, arrow, asked_rows, read_run
from art_crop.bench.suite import Setting, canonical
from art_crop.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    import pyarrow as pa

try:
    import polars as pl
except ImportError as error:
    raise MissingDependencyError('benchmark results need polars: pip install "art-crop[bench]"') from error

__all__ = ["LEFT_OUT", "Completeness", "Frame", "Text", "completeness", "load_run"]

LEFT_OUT = (EXCLUDED, "impossible")
"""Kinds of rows that have no number and are no failure: the suite's rule refuses the photo, or no result can exist."""
_HEAVY = ("metrics", "curve", "facts")  # columns that stay in Arrow
_KEYS = ("method", "attacked", "scored", "attack", "group", "norm")
_NAMED = 5

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


class _RunTypes(msgspec.Struct):
    """The types that reports rely on, of what ``run.json`` says."""

    suite: str
    suite_sha256: str
    art_crop: str
    started: str
    command: str
    suite_content: dict[str, Any]
    versions: dict[str, Any]
    machine: dict[str, Any]
    data: dict[str, Any]
    models: dict[str, dict[str, str | None]]


class Text(NamedTuple):
    """A column of strings: ``categories[codes[i]]`` is row i's; null is ""."""

    codes: NDArray[np.int64]
    categories: tuple[str, ...]

    def equals(self, value: str) -> Mask:
        """Tell which rows have this value."""
        code = self.categories.index(value) if value in self.categories else -1
        return np.asarray(self.codes == code)

    def present(self, mask: Mask) -> list[str]:
        """List the values among some rows, in the order of the categories."""
        return [self.categories[code] for code in np.unique(self.codes[mask])]


class Frame:
    """Rows of a run: ``table`` in Arrow as the store gives it, ``data`` in Polars without curves and facts.

    To the store's columns ``data`` adds a column for each metric, ``suite_method`` (what the suite calls the method),
    ``_photo`` (a number, equal where data, name and content of the photo are), and where a row has a number
    (``_measured``), ended with an error (``_failed``) or is no part of any share, and no failure (``_excluded``).
    Numbers that are not finite, the PSNR of equal photos say, are null: they have no mean. ``others`` counts photos
    whose results are in the folder and not here, for the run's last command did not ask for them.
    """

    def __init__(self, table: pa.Table, data: pl.DataFrame, metrics: Sequence[str], others: int = 0) -> None:
        self.table, self.data, self.metrics, self.others = table, data, tuple(metrics), others
        self.excluded, self.failed, self.measured = (
            data[name].to_numpy() for name in ("_excluded", "_failed", "_measured")
        )

    def __len__(self) -> int:
        return self.data.height

    @cached_property
    def photos(self) -> NDArray[np.int64]:
        """A number for each row, equal where the photo is: the same data, name and content."""
        return np.asarray(self.data["_photo"].to_numpy(), dtype=np.int64)

    def text(self, name: str) -> Text:
        """Give a column of strings."""
        column = self.data[name] if name in _KEYS else _ordered(self.data[name])
        codes = np.asarray(column.to_physical().to_numpy(), dtype=np.int64)
        return Text(codes, tuple(cast(pl.Enum, column.dtype).categories))

    def numbers(self, name: str) -> Values:
        """Give a column of numbers or of yes and no, or a metric, float64; NaN where there is none."""
        kind = self.data.schema.get(name, pl.String)
        if not (kind.is_numeric() or kind == pl.Boolean):
            return np.full(len(self), np.nan)
        return np.asarray(self.data[name].cast(pl.Float64).fill_null(float("nan")).to_numpy())

    def curves(self, rows: NDArray[np.intp]) -> list[Values]:
        """Give the curves of some rows, those that have one; an entry that is null or NaN is the one before it."""
        found = self.table.column("curve").take(arrow().array(rows)).to_pylist()
        curves = [np.asarray(curve, dtype=np.float64) for curve in found if curve]
        last = [np.maximum.accumulate(np.where(np.isnan(one), -1, np.arange(len(one)))) for one in curves]
        return [np.where(at < 0, np.inf, one[at]) for one, at in zip(curves, last, strict=True)]

    def rows(self, indices: NDArray[np.intp], columns: list[str] | None = None) -> list[dict[str, Any]]:
        """Give some rows as dictionaries."""
        table = self.table.select(columns) if columns is not None else self.table
        return list(table.take(arrow().array(indices)).to_pylist())


def load_run(run: Path) -> tuple[RunInfo, Frame]:
    """Read a run's description and rows, damaged parts passed over with a warning.

    Raises:
        InvalidInputError: The folder holds no run, or one of another layout.
        MissingDependencyError: Without pyarrow.
    """
    info = read_run(run)
    try:
        msgspec.convert(vars(info), _RunTypes)
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"{run / 'run.json'} is not as art-crop bench wrote it: {error}") from error
    attacks = info.suite_content.get("attacks", ())
    listed = attacks if isinstance(attacks, (list, tuple)) else ()
    methods = [str(attack.get("method", "")) for attack in listed if isinstance(attack, Mapping)]
    table, others = asked_rows(run, info)
    return info, _frame(table, methods, ["", *info.models], others)


def _frame(table: pa.Table, methods: Sequence[str], models: Sequence[str], others: int) -> Frame:
    """Rows with metrics as columns, methods with their parameters, both and the models in the order of the suite."""
    light, pa = pl.DataFrame(pl.from_arrow(table.drop_columns(list(_HEAVY)))), arrow()
    # As a list of pairs: not every version of Polars reads a column of maps.
    pairs = table.column("metrics").cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())])))
    long = pl.DataFrame({"row": np.arange(len(table)), "pair": pl.from_arrow(pairs)}).explode("pair")
    metrics = {}
    for (name,), own in long.drop_nulls("pair").unnest("pair").group_by("key", maintain_order=True):
        metrics[str(name)] = np.full(len(table), np.nan)
        metrics[str(name)][own["row"].to_numpy()] = own["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    taken = (*light.columns, "suite_method")  # what stands in the table itself is what its name means
    added = [pl.Series(name, own) for name, own in metrics.items() if name not in taken and not name.startswith("_")]
    data = _with_variants(light.with_columns(pl.col(pl.String).fill_null(""), *added).with_row_index("_row"))
    finite = [pl.when(one.is_finite()).then(one) for one in data if one.dtype == pl.Float64]
    left_out = pl.col("error_kind").is_in(LEFT_OUT)
    flags = {"_excluded": left_out, "_failed": ~left_out & (pl.col("error_kind") != ""),
             "_measured": pl.col("error_kind") == ""}  # fmt: skip
    named = dict(data.select("method", "suite_method").unique(maintain_order=True).iter_rows())
    order = {"method": _in_order(named, methods), "attacked": models, "scored": models}
    data = data.with_columns(
        *finite, *(_ordered(data[name], order.get(name, ())) for name in _KEYS), **flags,
        _photo=pl.col("_row").first().over("photo_sha256", "photo", "group"),
    )  # fmt: skip
    return Frame(table, data, tuple(metrics), others)


def _ordered(column: pl.Series, first: Iterable[str] = ()) -> pl.Series:
    """A column of strings as categories: those of ``first`` that it has, and the others in order of rows."""
    values = column.unique(maintain_order=True).to_list()
    here = set(values)
    categories = list(dict.fromkeys([*(one for one in first if one in here), *values]))
    return cast(pl.Series, column.cast(pl.Enum(categories)))


def _with_variants(data: pl.DataFrame) -> pl.DataFrame:
    """Name methods with the parameters in which settings differ that reports would put into one cell."""
    settings = data.select("method", "params", "attacked", "scored", "norm", "eps").unique(maintain_order=True)
    cells: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    names, different = {}, dict[str, dict[str, None]]()
    for method, params, *cell in settings.iter_rows():
        names[method, params] = _read(params)
        cells.setdefault((method, *cell), []).append(names[method, params])
    for (method, *_), own in cells.items():
        for name in dict.fromkeys(itertools.chain(*own)):
            if name not in ("eps", "norm") and len({_word(params.get(name)) for params in own}) > 1:
                different.setdefault(method, {})[name] = None
    found = []
    for (method, params), read in names.items():
        words = [f"{name} {_word(read[name])}" for name in different.get(method, ()) if name in read]
        found.append((method, params, ", ".join([method, *words])))
    renamed = pl.DataFrame(found, schema=dict.fromkeys(("method", "params", "_name"), pl.String), orient="row")
    data = data.join(renamed, on=["method", "params"], how="left", maintain_order="left")
    return data.rename({"method": "suite_method", "_name": "method"})


def _in_order(named: Mapping[str, str], methods: Sequence[str]) -> list[str]:
    """Names (name -> method) in the order of the methods, those of one method by the sizes of their numbers."""

    def key(name: str) -> tuple[int, list[tuple[float, str]]]:
        pieces = re.split(r"(\d+(?:\.\d+)?)", name)
        numbers = [(float(piece), "") if k % 2 else (0.0, piece) for k, piece in enumerate(pieces)]
        return methods.index(named[name]), numbers

    return sorted((name for name, method in named.items() if method in methods), key=key)


def _read(text: str) -> Mapping[str, Any]:
    """Parameters by name; those that cannot be read are one of their own."""
    try:
        params = json.loads(text)
    except (ValueError, RecursionError):
        params = None
    return params if isinstance(params, dict) else {"parameters": text[:80]}


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Completeness:
    """Results that are there, those that were to come, and settings of which there is none.

    Attributes:
        found: Results, with those that were left out or ended with an error.
        expected: Photos times settings; None where ``run.json`` does not say.
        without: Settings that have no result at all, in words.
    """

    found: int
    expected: int | None = None
    without: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing is known to be missing."""
        return self.expected is None or self.found >= self.expected

    def sentence(self, of: str = "this run") -> str:
        """Say what a reader has to know; "" for a finished run."""
        if self.finished:
            return ""
        text = f"{self.found:,} of {self.expected:,} results: {of} is not finished. The same command goes on."
        named = "; ".join(self.without[:_NAMED])
        more = f"; and {len(self.without) - _NAMED} more" if len(self.without) > _NAMED else ""
        return f"{text} No result yet of: {named}{more}." if named else text


def completeness(info: RunInfo, frame: Frame) -> Completeness:
    """Compare the rows of a run with what its suite asks for.

    Where the suite cannot be read, the settings that some row has are taken for all that there are.
    """
    photos = info.data.get("photos")
    if not isinstance(photos, int) or isinstance(photos, bool) or photos < 1:
        return Completeness(len(frame))
    numbers = (pl.col(name).cast(pl.Float64).fill_null(-1.0) for name in ("seed", "eps"))
    keys = frame.data.select("suite_method", pl.col("attacked", "scored").cast(pl.String), "params", *numbers)
    counts = {tuple(key): count for *key, count in keys.group_by(keys.columns).len().iter_rows()}
    settings = settings_of(info.suite_content)
    wanted = [_key(one) for one in settings] if settings else list(counts)
    found = sum(min(photos, counts.get(key, 0)) for key in wanted)
    without = [one for one, key in zip(settings, wanted, strict=False) if key not in counts]
    return Completeness(found, photos * len(wanted) if wanted else None, tuple(_labels(without, settings)))


def _key(setting: Setting) -> tuple[Any, ...]:
    eps, params = setting.params.get("eps"), canonical(dict(setting.params))
    eps = float(eps) if isinstance(eps, (int, float)) else -1.0
    return (setting.method, setting.attacked, setting.scored, params, float(setting.seed), eps)


def _labels(some: Sequence[Setting], every: Sequence[Setting]) -> list[str]:
    """Settings in words: the method, and of models, parameters and seeds those that tell it from others."""
    scored, seeds = len({one.scored for one in every}) > 1, len({one.seed for one in every}) > 1
    found = []
    for one in some:
        alike = [other.params for other in every if (other.method, other.attacked) == (one.method, one.attacked)]
        source = f" from {one.attacked}" if one.attacked else ""
        words = [f"{one.method}{source}{f' on {one.scored}' if scored else ''}"]
        for name, value in one.params.items():
            if any(canonical(other.get(name)) != canonical(value) for other in alike):
                shown = f"{value:g}" if isinstance(value, float) else value
                words.append(f"{'budget' if name == 'eps' else name} {shown}")
        found.append(", ".join([*words, *([f"seed {one.seed}"] if seeds else [])]))
    return found
