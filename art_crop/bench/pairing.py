"""Which results of two sides belong together: those that agree in everything but what is compared."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

__all__ = ["Side", "columns_of", "pairs_of"]

_KEY = ["photo_sha256", "_as_method", "_as_attacked", "_as_scored", "_as_norm", "_as_eps", "seed"]
_TEXTS = ("method", "attacked", "scored", "norm", "group")


class Side(NamedTuple):
    """Results of one side; ``model`` and ``method`` are what it was narrowed to, "" for neither."""

    data: pl.DataFrame
    model: str
    method: str
    role: str


def columns_of() -> list[pl.Expr]:
    """What tells results apart, as text, and the order of models and methods; for a frame's rows."""
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
