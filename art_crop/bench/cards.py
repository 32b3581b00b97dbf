"""Model cards: what a run says of one scored model, with all that is needed to tell whether two cards may be compared.

After RobustBench's model info (Croce et al., NeurIPS 2021 Datasets and Benchmarks): who the model is, what was done to
it, and its worst case over attacks, photo by photo: a photo counts as robust where no attack of the suite reached its
goal. Of a photo on which an attack ended with an error nothing is known, unless another attack took it to its goal.

Models that give scores have the measures of Antsiferova et al., "Comparing the Robustness of Modern No-Reference Image-
and Video-Quality Metrics to Adversarial Attacks", AAAI 2024, by the benchmark's published code (``score_methods.py`` of
https://github.com/msu-video-group/MSU_Metrics_Robustness_Benchmark), the score going back to Zhang et al., "Perceptual
Attacks of No-Reference Image Quality Models with Human-in-the-Loop", NeurIPS 2022. The benchmark scales by the scores
of its clean photos; here the suite names the range, so that a photo's number does not depend on the other photos.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from art_crop.bench.measures import TASK, known, measure, reached
from art_crop.bench.resolved import task_sha256
from art_crop.bench.results import Completeness, completeness, load_run
from art_crop.bench.statistics import per_photo
from art_crop.bench.store import RunInfo
from art_crop.bench.tables import grouped
from art_crop.errors import InvalidInputError
from art_crop.metrics.intervals import mean_interval, wilson_interval

__all__ = ["SCHEMA", "card_problem", "model_cards", "relative_gains", "robustness_scores"]

SCHEMA = 1

Values = NDArray[np.float64]


class _Estimate(msgspec.Struct):
    n: float
    estimate: float
    low: float
    high: float


class _Success(msgspec.Struct):
    n: float = 0.0
    estimate: float = math.nan


class _Attack(msgspec.Struct):
    method: str
    success: _Success
    attacked: str | None = None
    eps: float | None = None


class _Quality(msgspec.Struct):
    robustness_score: _Estimate
    relative_gain: _Estimate


class _Card(msgspec.Struct):
    """What a leaderboard takes from a card; cards have more."""

    schema: Literal[1]
    model: str
    suite: str
    suite_sha256: str
    art_crop: str
    machine: Any
    versions: Any
    photos: Any
    robust: _Estimate
    attacks: list[_Attack]
    weights_sha256: str | None = None
    version: str | None = None
    task_sha256: str | None = None
    quality: _Quality | None = None


def card_problem(card: Any) -> str:
    """Say why something read from a file is no card; "" where it is one."""
    try:
        msgspec.json.encode(card)  # JSON may spell half of a letter, which no file can hold
        found = msgspec.convert(card, _Card)
    except UnicodeEncodeError:
        return "a text in it is no Unicode"
    except (msgspec.ValidationError, OverflowError, RecursionError, TypeError) as error:
        return str(error)
    missing = any(one.success.n and math.isnan(one.success.estimate) for one in found.attacks)
    return "a success has no estimate" if missing else ""


def model_cards(run: Path) -> list[dict[str, Any]]:
    """Make a card for each model that the run scored.

    Raises:
        InvalidInputError: The folder holds no run.
        MissingDependencyError: Without pyarrow or Polars.
    """
    info, frame = load_run(run)
    done = completeness(info, frame)
    data = frame.data.with_columns(_reached=pl.Series(reached(frame)).fill_nan(None))
    names = frame.text("scored").present(frame.measured | frame.failed)
    return [_card(info, name, data.filter(pl.col("scored") == name), done) for name in names]


def _card(info: RunInfo, name: str, data: pl.DataFrame, done: Completeness) -> dict[str, Any]:
    model = info.models.get(name, {})
    weights = {other: own.get("weights_sha256") for other, own in info.models.items()}
    budgets = data.filter(~pl.col("_excluded"))["eps"].drop_nulls().unique().sort()
    card: dict[str, Any] = {
        "schema": SCHEMA,
        "model": name,
        **{key: model.get(key) for key in ("weights_sha256", "distribution", "version", "licence")},
        "suite": info.suite,
        "suite_sha256": info.suite_sha256,
        "task_sha256": task_sha256(info.suite_content, name, weights),
        "art_crop": info.art_crop,
        "versions": dict(info.versions),
        "machine": dict(info.machine),
        "data": dict(info.data),
        "started": info.started,
        "finished": done.finished,
        "unfinished": done.sentence("its run"),
        "photos": data.filter("_measured")["_photo"].n_unique(),
        "errors": int(data["_failed"].sum()),
        "robust": _robust(data),
        "robust_by_budget": [{"eps": eps, **_robust(data.filter(pl.col("eps") == eps))} for eps in budgets],
        "attacks": _attacks(data),
    }
    quality = _quality(info, data)
    return {**card, "quality": quality} if quality else card


def _robust(data: pl.DataFrame) -> dict[str, Any]:
    """Share of photos that no attack and no seed took to its goal, with its Wilson interval; n is 0: not known.

    ``unknown`` are the photos that are not in it since a result ended with an error, and no other took them. Photos
    that the rule leaves out, or that were a success before, would be in no number either way.
    """
    good, failed = pl.col("_measured") & (pl.col("_reached") == 1), pl.col("_failed")
    photos = data.group_by("_photo").agg(
        fallen=good.any(),
        held=(pl.col("_measured") & (pl.col("_reached") == 0)).any(),
        open=failed.any() & ~good.any(),
        out=(pl.col("_excluded") | (pl.col("_measured") & pl.col("success_before"))).any(),
    )
    fallen, robust, unknown = photos.select(
        pl.col("fallen").sum(),
        robust=(pl.col("held") & ~pl.col("fallen") & ~pl.col("open")).sum(),
        unknown=(pl.col("open") & ~pl.col("out")).sum(),
    ).row(0)
    n = robust + fallen
    estimate = wilson_interval(robust, n)._asdict() if n else {"estimate": 0.0, "low": 0.0, "high": 0.0}
    return {"n": n, "unknown": unknown, **estimate}


def _attacks(data: pl.DataFrame) -> list[dict[str, Any]]:
    """Every attack, attacked model and budget."""
    kept, keys = data.filter(~pl.col("_excluded")), ("method", "attacked", "eps")
    measures = [measure(*known(kept, "success") or [TASK.verdict]), measure("median l2 of successes")]
    return [
        {
            **dict(zip(keys, group.keys, strict=True)),
            "errors": group.failed_rows,
            "success": group.cells[0].as_json(),
            "median_l2_of_successes": group.cells[1].as_json(),
        }
        for group in grouped(kept, keys, [(one, one.of(kept)) for one in measures])
    ]


def _quality(info: RunInfo, data: pl.DataFrame) -> dict[str, Any] | None:
    """Robustness score and relative gain of a model that gives scores, with intervals over photos."""
    if not {"score-before", "score-after"} <= set(data.columns):
        return None
    kept = data.filter("_measured").drop_nulls(["score-before", "score-after"])
    if not len(kept):
        return None
    before, after = (kept[name].to_numpy() for name in ("score-before", "score-after"))
    options = info.suite_content.get("protocol_options") or {}
    try:
        low, high = (float(end) for end in options.get("score_range", (0.0, 1.0)))
        scores = robustness_scores(before, after, low=low, high=high)
        gains = relative_gains(before, after, low=low, high=high)
    except (InvalidInputError, TypeError, ValueError) as error:
        raise InvalidInputError(f"protocol_options.score_range of suite {info.suite}: {error}") from error
    found: dict[str, Any] = {"score_range": [low, high]}
    for key, numbers in (("robustness_score", scores), ("relative_gain", gains)):
        of_photos = per_photo(numbers, np.asarray(kept["_photo"].to_numpy(), dtype=np.int64))
        found[key] = {"n": len(of_photos), **mean_interval(of_photos)._asdict()}
    return found


def robustness_scores(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """Compute log10(max(1 - f, f) / (|f' - f| + 0.000001)) for each photo (n,), of scores f before and f' after.

    Scores are scaled so that ``low``, the least that the model gives, is 0 and ``high`` is 1. 0: the attack did all it
    could; 1: a tenth of it; higher is more robust. The mean over photos is the benchmark's robustness score.

    Raises:
        InvalidInputError: Other shapes, values that are not finite, or scores before the attack beyond the range.
    """
    f, attacked = _scaled(before, after, low, high)
    return np.asarray(np.log10(np.maximum(1 - f, f) / (np.abs(attacked - f) + 1e-6)))


def relative_gains(before: ArrayLike, after: ArrayLike, *, low: float = 0.0, high: float = 1.0) -> Values:
    """Compute (f' - f) / (f + 1) for each photo (n,); arguments and errors are those of :func:`robustness_scores`."""
    f, attacked = _scaled(before, after, low, high)
    return np.asarray((attacked - f) / (f + 1))


def _scaled(before: ArrayLike, after: ArrayLike, low: float, high: float) -> tuple[Values, Values]:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInputError(f"low and high must be finite, low below high, got {low} and {high}")
    f, attacked = (np.asarray(values, dtype=np.float64) for values in (before, after))
    if f.ndim != 1 or f.shape != attacked.shape or not (np.isfinite(f).all() and np.isfinite(attacked).all()):
        raise InvalidInputError(f"before and after must be finite, of one shape (n,), got {f.shape}, {attacked.shape}")
    f, attacked = (f - low) / (high - low), (attacked - low) / (high - low)
    if f.size and (f.min() < -1e-9 or f.max() > 1 + 1e-9):
        raise InvalidInputError(f"before must lie between low and high, {low} and {high}")
    return f.clip(0, 1), attacked
