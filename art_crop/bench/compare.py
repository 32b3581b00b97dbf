"""``art-crop bench compare``: what is different between two runs of one suite, photo by photo.

Only results that both runs have are compared: the same photo (by its content), method, attacked and scored model,
budget, norm and seed. A photo's difference is the mean over its results in a cell, its seeds say. Shares differ by
McNemar's exact test where each photo has one result, all else by the sign-flip permutation test, and p-values are
corrected for their number by Holm's method; intervals of differences are bootstrapped over photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.completeness import completeness
from art_crop.bench.frame import Frame, load_run
from art_crop.bench.measures import Measure, measure
from art_crop.bench.statistics import holm, mcnemar, mean_interval, per_photo, sign_flip
from art_crop.bench.store import RunInfo
from art_crop.errors import InvalidInputError

__all__ = ["LEVEL", "Comparison", "Difference", "compare_runs"]

LEVEL = 0.05
"""Corrected p-values below it are called significant."""
_KEY = ("photo_sha256", "suite_method", "attacked", "scored", "norm")
_CELL = ("scored", "attacked", "method")
_NEVER = ("ratio", "way", "shown", "symmetric", "shift", "l2", "linf")
_METRICS = 6

Rows = NDArray[np.intp]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One measure of one method, budget and pair of models in both runs; ``difference`` is b minus a.

    Attributes:
        n: Photos.
        low: Lower end of the difference's 95% interval.
        high: Its upper end.
        p: Of the paired test.
        p_corrected: The same, corrected for the number of comparisons.
        significant: Whether that is below :data:`LEVEL`.
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
        """Values that JSON can hold."""
        return asdict(self)


def compare_runs(run_a: Path, run_b: Path, *, measures: Sequence[str] = (), across_suites: bool = False) -> Comparison:
    """Compare two runs.

    Args:
        run_a: Folder of a run.
        run_b: Another.
        measures: Shares and means, as suites name them; none: success or share-at-target, and all means.
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
    rows_a, rows_b, doubled = _pairs(a, b)
    counts = int(a.measured.sum()), int(b.measured.sum())
    if not len(rows_a):
        raise InvalidInputError(
            f"the runs have no result in common ({counts[0]} and {counts[1]} results): no photo with the same content, "
            "method, models, budget and seed"
        )
    wanted = [_comparable(name) for name in measures] or _default_measures(a, b)
    values = [(one, one.values(a)[rows_a], one.values(b)[rows_b]) for one in wanted]
    photos = a.photos[rows_a]
    groups = [a.text(key).codes[rows_a] for key in _CELL] + [np.nan_to_num(a.numbers("eps")[rows_a], nan=-1.0)]
    _, first, cell = np.unique(np.column_stack(groups), axis=0, return_index=True, return_inverse=True)
    found = []
    for number, start in enumerate(first):
        here = cell.ravel() == number
        where = {key: a.text(key).categories[a.text(key).codes[rows_a[start]]] for key in _CELL}
        eps = float(a.numbers("eps")[rows_a[start]])
        for one, of_a, of_b in values:
            difference = _difference(one, of_a[here], of_b[here], photos[here])
            if difference is not None:
                found.append({**where, "eps": None if np.isnan(eps) else eps, "measure": one.name, **difference})
    corrected = holm([row["p"] for row in found])
    differences = tuple(
        Difference(**row, p_corrected=p, significant=p < LEVEL) for row, p in zip(found, corrected, strict=True)
    )
    unfinished = [
        completeness(info, frame).sentence(of)
        for of, info, frame in (("the first run", info_a, a), ("the second run", info_b, b))
    ]
    notices = [*filter(None, unfinished), *_notices(info_a, info_b)]
    if doubled:
        notices.append(f"{doubled} results have the same photo, method, models and budget as others and are not paired")
    return Comparison(len(rows_a), counts[0] - len(rows_a), counts[1] - len(rows_b), differences, tuple(notices))


def _comparable(name: str) -> Measure:
    one = measure(name)
    if one.kind in ("median", "largest") or one.of_successes:
        raise InvalidInputError(f"measures: {name!r} cannot be compared in pairs; shares and means can")
    return one


def _default_measures(a: Frame, b: Frame) -> list[Measure]:
    def known(frame: Frame, name: str) -> bool:
        return bool((~np.isnan(frame.numbers(name)[frame.measured])).any())

    names = ["success"] if known(a, "success") and known(b, "success") else []
    if known(a, "shift") and known(b, "shift"):
        names += [] if names else ["share-at-target"]
        names.append("clipped mean shift")
    metrics = [name for name in a.metrics if name in b.metrics and name not in _NEVER and not name.startswith("shift")]
    names += ["mean l2", *(f"mean {name}" for name in sorted(metrics)[:_METRICS])]
    return [measure(name) for name in names]


def _pairs(a: Frame, b: Frame) -> tuple[Rows, Rows, int]:
    """Rows of a and of b that belong together, and how many are left out because two answer to one description."""
    in_a, in_b = np.flatnonzero(a.measured), np.flatnonzero(b.measured)
    keys = list(_KEY)
    codes = _codes(a, b, in_a, in_b, keys)
    if any(len(np.unique(one)) < len(one) for one in codes):  # one method with several values of a parameter
        keys.append("params")
        codes = _codes(a, b, in_a, in_b, keys)
    if any(len(np.unique(one)) < len(one) for one in codes):  # the same photo under several names
        codes = _codes(a, b, in_a, in_b, [*keys, "group", "photo"])
    (code_a, first_a), (code_b, first_b) = (np.unique(one, return_index=True) for one in codes)
    doubled = len(in_a) - len(code_a) + len(in_b) - len(code_b)
    _, place_a, place_b = np.intersect1d(code_a, code_b, assume_unique=True, return_indices=True)
    return in_a[first_a[place_a]], in_b[first_b[place_b]], doubled


def _codes(a: Frame, b: Frame, in_a: Rows, in_b: Rows, keys: Sequence[str]) -> list[NDArray[np.int64]]:
    """One number for each row, equal where all keys are."""
    combined = np.zeros(len(in_a) + len(in_b), np.int64)
    for key in (*keys, "eps", "seed"):
        if key in ("eps", "seed"):
            both = np.concatenate([np.nan_to_num(f.numbers(key)[i], nan=-1.0) for f, i in ((a, in_a), (b, in_b))])
            _, codes = np.unique(both, return_inverse=True)
        else:
            names = {
                name: k for k, name in enumerate(dict.fromkeys((*a.text(key).categories, *b.text(key).categories)))
            }
            parts = []
            for frame, rows in ((a, in_a), (b, in_b)):
                text = frame.text(key)
                places = np.array([names[name] for name in text.categories], np.int64)
                parts.append(places[text.codes[rows]] if len(rows) else np.zeros(0, np.int64))
            codes = np.concatenate(parts)
        _, combined = np.unique(combined * (int(codes.max(initial=0)) + 1) + codes.ravel(), return_inverse=True)
        combined = combined.ravel().astype(np.int64)
    return [combined[: len(in_a)], combined[len(in_a) :]]


def _difference(one: Measure, of_a: Values, of_b: Values, photos: NDArray[np.int64]) -> dict[str, Any] | None:
    """Numbers of one cell; None where no pair has both values."""
    known = ~np.isnan(of_a) & ~np.isnan(of_b)
    if not known.any():
        return None
    of_a, of_b = (per_photo(values[known], photos[known]) for values in (of_a, of_b))
    change = of_b - of_a
    mean, low, high = mean_interval(change)
    if one.kind == "share" and bool(np.isin(change, (-1, 0, 1)).all()):
        p = mcnemar(int((change > 0).sum()), int((change < 0).sum()))
    else:
        p = sign_flip(change)
    means = {"a": float(of_a.mean()), "b": float(of_b.mean())}
    return {"n": len(change), **means, "difference": mean, "low": low, "high": high, "p": p}


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
