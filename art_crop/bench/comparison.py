"""``art-crop bench compare``: what is different between two runs of one suite, photo by photo.

Only results that both runs have are compared: the same photo (by its content), method, attacked and scored model,
budget, norm and seed. A photo's difference is the mean over its results in a cell, its seeds say. Shares differ by
McNemar's exact test where each photo has one result, all else by the sign-flip permutation test, and p-values are
corrected for their number by Holm's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from art_crop.bench.measures import TASK, Measure, known, measure
from art_crop.bench.results import Frame, completeness, load_run
from art_crop.bench.statistics import holm, mcnemar, sign_flip
from art_crop.bench.store import RunInfo
from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import mean_interval

__all__ = ["LEVEL", "Comparison", "Difference", "compare_runs"]

LEVEL = 0.05
"""Corrected p-values below it are called significant."""
_KEY = ["photo_sha256", "suite_method", "attacked", "scored", "norm", "eps", "seed"]
_CELL = ["scored", "attacked", "method", "eps"]
_METRICS = 6


@dataclass(frozen=True)
class Difference:
    """One measure of one method, budget and pair of models in both runs; ``difference`` is b minus a.

    ``n`` counts photos, ``low`` and ``high`` are the ends of the difference's 95% interval, ``p`` is that of the paired
    test, ``p_corrected`` the same for the number of comparisons, and ``significant`` says that it is below LEVEL.
    """

    method: str
    attacked: str
    scored: str
    eps: float | None
    measure: str
    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    significant: bool


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side: pairs, what only one of them has, differences, and what a reader has to know."""

    pairs: int
    only_a: int
    only_b: int
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give values that JSON can hold."""
        return asdict(self)


def compare_runs(run_a: Path, run_b: Path, *, measures: Sequence[str] = (), across_suites: bool = False) -> Comparison:
    """Compare two runs.

    Args:
        run_a: Folder of a run.
        run_b: Another.
        measures: Shares and means, as suites name them; none: success or the task's verdict, and all means.
        across_suites: Compare what fits even where the suites' hashes differ.

    Raises:
        InvalidInputError: The suites differ, the runs have nothing in common, or a measure is no share or mean.
    """
    (info_a, a), (info_b, b) = load_run(run_a), load_run(run_b)
    if info_a.suite_sha256 != info_b.suite_sha256 and not across_suites:
        raise InvalidInputError(
            f"the runs are of different suites: {_suite(info_a)} and {_suite(info_b)}; their results are not mixed, "
            "unless you ask for it with --across-suites"
        )
    wanted = [_comparable(name) for name in measures or _default_measures(a, b)]
    pairs, doubled = _pairs(_results(a, wanted), _results(b, wanted))
    counts = int(a.measured.sum()), int(b.measured.sum())
    if not len(pairs):
        raise InvalidInputError(
            f"the runs have no result in common ({counts[0]} and {counts[1]} results): no photo with the same content, "
            "method, models, budget and seed"
        )
    found = _differences(pairs, wanted)
    corrected = holm([row["p"] for row in found])
    differences = [
        Difference(**row, p_corrected=p, significant=p < LEVEL) for row, p in zip(found, corrected, strict=True)
    ]
    unfinished = [completeness(info_a, a).sentence("the first run"), completeness(info_b, b).sentence("the second run")]
    notices = [*filter(None, unfinished), *_notices(info_a, info_b)]
    if doubled:
        notices.append(f"{doubled} results have the same photo, method, models and budget as others and are not paired")
    alone = [count - len(pairs) for count in counts]
    return Comparison(len(pairs), alone[0], alone[1], tuple(differences), tuple(notices))


def _comparable(name: str) -> Measure:
    one = measure(name)
    if one.kind in ("median", "largest") or one.of_successes:
        raise InvalidInputError(f"measures: {name!r} cannot be compared in pairs; shares and means can")
    return one


def _default_measures(a: Frame, b: Frame) -> list[str]:
    both = [name for name in ("success", *TASK.summary) if known(a.data, name) and known(b.data, name)]
    both = [name for name in both if name != TASK.verdict or "success" not in both]
    passed = ("l2", "linf", *TASK.percent, *TASK.particular)
    means = sorted(name for name in a.metrics if name in b.metrics and name not in passed)
    return [*both, "mean l2", *(f"mean {name}" for name in means[:_METRICS])]


def _results(frame: Frame, measures: Sequence[Measure]) -> pl.DataFrame:
    """Rows with a number: what tells them apart, and the value of each measure in a column of its name."""
    data = frame.data.filter("_measured")
    own = dict.fromkeys([*_KEY, *_CELL, "params", "group", "photo", "_photo"])
    texts = {name: pl.col(name).cast(pl.String) for name in ("attacked", "scored", "norm", "group")}
    order = {f"_{name}": pl.col(name).to_physical() for name in ("attacked", "scored", "method")}
    return data.select(
        *(texts.get(name, pl.col(name)) for name in own),
        *(expression.alias(name) for name, expression in order.items()),
        *(one.of(data).alias(f"_value {one.name}") for one in measures),
    )


def _pairs(a: pl.DataFrame, b: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Rows of a and of b that belong together, and how many are left out because two answer to one description."""
    keys = [*_KEY]
    for more in (["params"], ["group", "photo"]):  # a method with several parameters, a photo under several names
        if any(one.select(keys).is_duplicated().any() for one in (a, b)):
            keys += more
    first, second = (one.unique(keys, keep="first", maintain_order=True) for one in (a, b))
    doubled = len(a) - len(first) + len(b) - len(second)
    return first.join(second, on=keys, how="inner", suffix=" b", nulls_equal=True, maintain_order="left"), doubled


def _differences(pairs: pl.DataFrame, measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """Numbers of each cell and measure of which some pair has both values."""
    names = [f"_value {one.name}" for one in measures]
    both = [pl.col(name).is_not_null() & pl.col(f"{name} b").is_not_null() for name in names]
    values = [
        pl.when(here).then(pl.col(f"{n}{end}")).mean().alias(f"{n}{end}")
        for n, here in zip(names, both, strict=True)
        for end in ("", " b")
    ]
    order = ["_scored", "_attacked", "_method", "eps"]
    photos = pairs.group_by(*_CELL, *order[:3], "_photo", maintain_order=True).agg(values)
    cells = photos.group_by(*_CELL, *order[:3], maintain_order=True).agg(pl.exclude("_photo").drop_nulls()).sort(order)
    found = []
    for row in cells.iter_rows(named=True):
        for one, name in zip(measures, names, strict=True):
            of_a, of_b = np.array(row[name], np.float64), np.array(row[f"{name} b"], np.float64)
            if not len(of_a):
                continue
            change = of_b - of_a
            mean, low, high = mean_interval(change)
            whole = one.kind == "share" and bool(np.isin(change, (-1, 0, 1)).all())
            p = mcnemar(int((change > 0).sum()), int((change < 0).sum())) if whole else sign_flip(change)
            numbers = {"a": float(of_a.mean()), "b": float(of_b.mean()), "difference": mean, "low": low, "high": high}
            found.append({**{key: row[key] for key in _CELL}, "measure": one.name, "n": len(change), **numbers, "p": p})
    return found


def _notices(a: RunInfo, b: RunInfo) -> list[str]:
    found = []
    if a.suite_sha256 != b.suite_sha256:
        found.append(f"the suites differ: {_suite(a)} and {_suite(b)}")
    if a.art_crop != b.art_crop:
        found.append(f"made by art_crop {a.art_crop} and {b.art_crop}")
    for name in a.models.keys() & b.models.keys():
        weights = [info.models[name].get("weights_sha256") or "" for info in (a, b)]
        if weights[0] != weights[1]:
            found.append(f"{name} has other weights: {weights[0][:12] or 'none'} and {weights[1][:12] or 'none'}")
    return sorted(found)


def _suite(info: RunInfo) -> str:
    return f"{info.suite} ({info.suite_sha256[:12]})"
