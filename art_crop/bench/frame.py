"""A run's rows as numpy columns: strings as codes of categories, numbers with NaN for "none", metrics by name.

Everything that reports compute goes through these arrays; Python sees cells and categories, never 100,000 rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.store import EXCLUDED, RunInfo, arrow, read_rows, read_run
from art_crop.bench.variants import in_order, variant_names
from art_crop.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LEFT_OUT", "Frame", "Text", "load_run"]

LEFT_OUT = (EXCLUDED, "impossible")
"""Kinds of rows that have no number and are no failure: the suite's rule refuses the photo, or no result can exist."""

_TEXTS = ("suite", "suite_sha256", "art_crop", "started", "command")
_KINDS: dict[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("suite_content", "versions", "machine", "models", "data"), dict),
}

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Text:
    """A column of strings: ``categories[codes[i]]`` is row i's; null is ""."""

    codes: NDArray[np.int64]
    categories: tuple[str, ...]

    def equals(self, value: str) -> Mask:
        """Which rows have this value."""
        if value not in self.categories:
            return np.zeros(len(self.codes), bool)
        return np.asarray(self.codes == self.categories.index(value))

    def present(self, mask: Mask) -> list[str]:
        """The values among some rows, in the order of the categories."""
        return [self.categories[code] for code in np.unique(self.codes[mask])]


class Frame:
    """Rows of a run.

    Args:
        table: As :func:`art_crop.bench.store.read_rows` gives it.
        order: Values of columns of strings in the order that reports show them; others follow in order of rows.
    """

    def __init__(self, table: pa.Table, order: Mapping[str, Sequence[str]] | None = None) -> None:
        self.table = table.combine_chunks()
        self._order = order or {}
        self._text: dict[str, Text] = {}
        self._numbers: dict[str, Values] = {}
        self._metrics: dict[str, Values] | None = None
        self._photos: NDArray[np.int64] | None = None
        kinds = self.text("error_kind")
        self.excluded = np.any([kinds.equals(kind) for kind in LEFT_OUT], axis=0)
        """Rows that are no part of any share, and no failure."""
        self.failed = ~kinds.equals("") & ~self.excluded
        """Rows whose computation ended with an error."""
        self.measured = ~self.excluded & ~self.failed

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def text(self, name: str) -> Text:
        """A column of strings."""
        if name not in self._text:
            pc = arrow().compute
            column = pc.fill_null(self.table.column(name), "").combine_chunks()
            encoded = column.dictionary_encode()
            if hasattr(encoded, "combine_chunks"):
                encoded = encoded.combine_chunks()
            if hasattr(encoded, "chunks"):
                encoded = encoded.chunk(0) if encoded.num_chunks else arrow().array([], "string").dictionary_encode()
            codes, categories = np.asarray(encoded.indices, dtype=np.int64), encoded.dictionary.to_pylist()
            wanted = {value: k for k, value in enumerate(self._order.get(name, ()))}
            places = sorted(range(len(categories)), key=lambda k: wanted.get(categories[k], len(wanted)))
            rank = np.empty(len(categories), np.int64)
            rank[places] = np.arange(len(categories))
            self._text[name] = Text(rank[codes], tuple(categories[k] for k in places))
        return self._text[name]

    @property
    def photos(self) -> NDArray[np.int64]:
        """A number for each row, equal where the photo is: the same data, name and content."""
        if self._photos is None:
            self._photos = self.groups(("photo_sha256", "photo", "group"))
        return self._photos

    def groups(self, texts: Sequence[str], numbers: Sequence[str] = ()) -> NDArray[np.int64]:
        """A number for each row, from 0 on, equal where all of these columns are; NaN is equal to NaN."""
        combined = np.zeros(len(self), np.int64)
        columns = [self.text(name).codes for name in texts]
        columns += [np.unique(self.numbers(name), return_inverse=True)[1].ravel() for name in numbers]
        for codes in columns:  # one after another: unique rows of a matrix take ten times as long
            _, place = np.unique(combined * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
            combined = place.ravel().astype(np.int64)
        return combined

    def numbers(self, name: str) -> Values:
        """A column of numbers or of yes and no, float64, or else the metric of that name; NaN where there is none."""
        if name not in self._numbers:
            if name in self.table.column_names and name != "metrics":
                pa = arrow()
                # Integers beyond 2**53 become the nearest that there is.
                column = pa.compute.cast(self.table.column(name), pa.float64(), safe=False)
                values = np.asarray(pa.compute.fill_null(column, float("nan")), dtype=np.float64)
            else:
                values = self.metrics.get(name, np.full(len(self), np.nan))
            # An infinite PSNR (equal photos) has no mean; such rows are left out of means, and counted by their n.
            self._numbers[name] = np.where(np.isfinite(values), values, np.nan)
        return self._numbers[name]

    @property
    def metrics(self) -> dict[str, Values]:
        """Every metric that some row has."""
        if self._metrics is None:
            self._metrics = {}
            rows, keys, items = self._pairs()
            for code, name in enumerate(keys.categories):
                values = np.full(len(self), np.nan)
                chosen = keys.codes == code
                values[rows[chosen]] = items[chosen]
                self._metrics[name] = values
        return self._metrics

    def _pairs(self) -> tuple[NDArray[np.int64], Text, Values]:
        """Row, name and value of every entry of the column of maps."""
        pa = arrow()
        column = self.table.column("metrics").combine_chunks()
        chunks = column.chunks if hasattr(column, "chunks") else [column]
        rows, names, values, start = [np.zeros(0, np.int64)], [], [np.zeros(0)], 0
        for chunk in chunks:
            offsets = np.asarray(chunk.offsets, dtype=np.int64)
            lengths = np.diff(offsets)
            rows.append(start + np.repeat(np.arange(len(chunk)), lengths))
            kept = slice(int(offsets[0]), int(offsets[-1]))
            names.append(chunk.keys[kept])
            values.append(np.asarray(pa.compute.fill_null(chunk.items[kept], float("nan")), dtype=np.float64))
            start += len(chunk)
        encoded = pa.chunked_array(names, pa.string()).combine_chunks().dictionary_encode() if names else None
        if encoded is None or not len(encoded):
            return np.zeros(0, np.int64), Text(np.zeros(0, np.int64), ()), np.zeros(0)
        encoded = encoded.chunk(0) if hasattr(encoded, "chunks") else encoded
        text = Text(np.asarray(encoded.indices, dtype=np.int64), tuple(encoded.dictionary.to_pylist()))
        return np.concatenate(rows), text, np.concatenate(values)

    @property
    def ratio(self) -> Values:
        """Second peak over first peak of the clean photo, from the metrics or from the facts."""
        if "_ratio" not in self._numbers:
            if "ratio" in self.metrics:
                values = self.metrics["ratio"]
            else:
                pa = arrow()
                found = pa.compute.extract_regex(
                    self.table.column("facts"), r'"ratio": ?(?P<ratio>[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?)'
                )
                text = pa.compute.struct_field(found, "ratio")
                values = np.asarray(
                    pa.compute.fill_null(pa.compute.cast(text, pa.float64()), float("nan")), dtype=np.float64
                )
            self._numbers["_ratio"] = values
        return self._numbers["_ratio"]

    def curves(self, rows: NDArray[np.intp]) -> list[Values]:
        """The curves of some rows, those that have one; an entry that is null or NaN is the one before it."""
        found = self.table.column("curve").take(arrow().array(rows)).to_pylist()
        return [_steady(np.asarray(curve, dtype=np.float64)) for curve in found if curve]

    def rows(self, indices: NDArray[np.intp], columns: list[str] | None = None) -> list[dict[str, Any]]:
        """Some rows as dictionaries."""
        table = self.table.select(columns) if columns is not None else self.table
        return list(table.take(arrow().array(indices)).to_pylist())


def _steady(curve: Values) -> Values:
    known = ~np.isnan(curve)
    if bool(known.all()):
        return curve
    last = np.maximum.accumulate(np.where(known, np.arange(len(curve)), -1))
    return np.where(last < 0, np.inf, curve[np.maximum(last, 0)])


def load_run(run: Path) -> tuple[RunInfo, Frame]:
    """A run's description and rows, damaged parts passed over with a warning.

    Where a method has several values of a parameter, the column ``method`` tells them apart, and ``suite_method`` is
    what the suite calls it.

    Raises:
        InvalidInputError: The folder holds no run, or one of another layout.
        MissingDependencyError: Without pyarrow.
    """
    info = read_run(run)
    for name, kind in _KINDS.items():
        if not isinstance(getattr(info, name), kind):
            raise InvalidInputError(
                f"{run / 'run.json'} is not as art-crop bench wrote it: {name} is no {kind.__name__}"
            )
    if not all(isinstance(model, dict) for model in info.models.values()):
        raise InvalidInputError(
            f"{run / 'run.json'} is not as art-crop bench wrote it: models has no dict for each model"
        )
    for model in info.models.values():
        for name, value in model.items():
            if value is not None and not isinstance(value, str):
                raise InvalidInputError(f"{run / 'run.json'} is not as art-crop bench wrote it: {name} is no text")
    attacks = info.suite_content.get("attacks", ())
    listed = attacks if isinstance(attacks, (list, tuple)) else ()
    methods = [str(attack.get("method", "")) for attack in listed if isinstance(attack, Mapping)]
    models = ["", *info.models]
    table, named = _with_variants(read_rows(run))
    order = {"method": in_order(named, methods), "suite_method": methods, "attacked": models, "scored": models}
    return info, Frame(table, order)


def _with_variants(table: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """The rows with ``method`` as reports name it, and as ``suite_method`` what the suite calls it; name -> method."""
    pa, frame = arrow(), Frame(table)
    table = table.append_column("suite_method", table.column("method"))
    alike = ("method", "attacked", "scored", "norm")
    cells, settings = frame.groups(alike, ("eps",)), frame.groups((*alike, "params"), ("eps",))
    _, first = np.unique(settings, return_index=True)
    methods, params = (
        [text.categories[code] for code in text.codes[first]] for text in (frame.text("method"), frame.text("params"))
    )
    names = variant_names(methods, params, cells[first])
    if names != methods:
        renamed = pa.array(names, pa.string()).take(pa.array(settings))
        table = table.set_column(table.column_names.index("method"), "method", renamed)
    return table, dict(zip(names, methods, strict=True))
