"""Which results of two sides belong together, those that agree in all but what is compared; and how they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from art_crop.bench.measures import Measure
from art_crop.bench.statistics import mcnemar, sign_flip
from art_crop.metrics.intervals import mean_interval

__all__ = ["Side", "columns_of", "differences_of", "pairs_of"]

_KEY = ["photo_sha256", "_as_method", "_as_attacked", "_as_scored", "_as_norm", "_as_eps", "seed"]
_TEXTS = ("method", "attacked", "scored", "norm", "group")


class Side(NamedTuple):
    """Results of one side; ``model`` and ``method`` are what it was narrowed to, "" for neither."""

    data: pl.DataFrame
    model: str
    method: str
    role: str


def columns_of() -> list[pl.Expr]:
    """Give what tells a frame's rows apart, as text, and the order of models and methods."""
    plain = ["photo_sha256", "suite_method", "eps", "seed", "params", "photo", "_photo", "_row"]
    order = [pl.col(name).to_physical().alias(f"_{name}") for name in ("attacked", "scored", "method")]
    return [*(pl.col(name) for name in plain), *(pl.col(name).cast(pl.String) for name in _TEXTS), *order]


def pairs_of(a: Side, b: Side) -> tuple[pl.DataFrame, tuple[int, int], int]:
    """Join the rows of two sides that belong together; the second's columns end in " b".

    Returns:
        The pairs; how many rows of each side are in none; and how many rows are left out because two answer to one
        description.
    """
    first, second = (side.data.with_columns(**_as(side, other)) for side, other in ((a, b), (b, a)))
    keys = [*_KEY]
    # A method with several parameters; a photo under several names.
    for more in ([] if a.method else ["params"], ["group", "photo"]):
        if any(one.select(*keys, "attacked", "scored").is_duplicated().any() for one in (first, second)):
            keys += more
    alike = [*keys, "attacked", "scored"]
    left, right = (one.unique(alike, keep="first", maintain_order=True) for one in (first, second))
    doubled = len(first) - len(left) + len(second) - len(right)
    right = right.rename({name: f"{name} b" for name in right.columns if name not in keys})
    pairs = left.join(right, on=keys, how="inner", nulls_equal=True, maintain_order="left")
    if not (a.method and b.method):  # the second run may have more parameters to tell apart, and so a longer name
        pairs = pairs.with_columns(pl.col("method").alias("method b"), pl.col("_method").alias("_method b"))
    alone = len(first) - pairs["_row"].n_unique(), len(second) - pairs["_row b"].n_unique()
    return pairs, alone, doubled


def _as(side: Side, other: Side) -> dict[str, Any]:
    """What a side's results are paired by: its own values, or the same for all where that is compared."""
    same = pl.lit("")
    found: dict[str, Any] = {f"_as_{name}": pl.col(name) for name in ("attacked", "scored", "norm", "eps")}
    found["_as_method"] = pl.col("suite_method")
    if side.model and side.model != other.model:
        found[f"_as_{side.role}"] = same
        if side.role == "scored" and all((one.data["attacked"] == one.model).any() for one in (side, other)):
            # Each was attacked itself: that belongs together, and so does what was made for the other of the two.
            names = {side.model: "\0itself", other.model: "\0the other"}
            found["_as_attacked"] = pl.col("attacked").replace(names)
    if side.method and side.method != other.method:
        found["_as_method"] = same
        sides = (side.data, other.data)
        if any(one["attacked"].unique().to_list() == [""] for one in sides):  # it knows no network: beside each
            found["_as_attacked"] = same
        if all(one.select("norm", "eps").n_unique() == 1 for one in sides):  # the method's own budget, not a grid's
            found |= {"_as_norm": same, "_as_eps": pl.lit(None, pl.Float64)}
    return found


def differences_of(pairs: pl.DataFrame, measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """Compute the numbers of each cell, seeds averaged by photo, and measure of which some pair has both values."""
    names = [f"_value {one.name}" for one in measures]
    both = [pl.col(name).is_not_null() & pl.col(f"{name} b").is_not_null() for name in names]
    values = [
        pl.when(here).then(pl.col(f"{n}{end}")).mean().alias(f"{n}{end}")
        for n, here in zip(names, both, strict=True)
        for end in ("", " b")
    ]
    of_a, of_b = ["scored", "attacked", "method", "norm", "eps"], ["scored b", "attacked b", "method b", "eps b"]
    order = [
        column for end in ("", " b") for column in (f"_scored{end}", f"_attacked{end}", f"_method{end}", f"eps{end}")
    ]
    cell = list(dict.fromkeys([*of_a, *of_b, *order]))
    photos = pairs.group_by(*cell, "_photo", maintain_order=True).agg(values)
    cells = photos.group_by(*cell, maintain_order=True).agg(pl.exclude("_photo").drop_nulls()).sort(order)
    found = []
    for row in cells.iter_rows(named=True):
        own = {key.replace(" ", "_"): row[key] for key in (*of_a, *of_b)}
        for one, name in zip(measures, names, strict=True):
            a, b = np.array(row[name], np.float64), np.array(row[f"{name} b"], np.float64)
            if not len(a):
                continue
            change = b - a
            mean, low, high = mean_interval(change)
            if one.kind in ("share", "clipped mean"):
                low, high = max(-1.0, low), min(1.0, high)
            whole = one.kind == "share" and bool(np.isin(change, (-1, 0, 1)).all())
            p = mcnemar(int((change > 0).sum()), int((change < 0).sum())) if whole else sign_flip(change)
            numbers = {"a": float(a.mean()), "b": float(b.mean()), "difference": mean, "low": low, "high": high}
            found.append({**own, "measure": one.name, "n": len(change), **numbers, "p": p})
    return found
