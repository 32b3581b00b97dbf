"""Model cards: what a run says of one scored model, with all that is needed to tell whether two cards may be compared.

After RobustBench's model info (Croce et al., NeurIPS 2021 Datasets and Benchmarks): who the model is, what was done to
it, and its worst case over attacks, photo by photo: a photo counts as robust where no attack of the suite reached its
goal. Of a photo on which an attack ended with an error nothing is known, unless another attack took it to its goal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

from art_crop.bench.measures import TASK, known, measure, reached
from art_crop.bench.resolved import task_sha256
from art_crop.bench.results import Completeness, completeness, load_run
from art_crop.bench.store import RunInfo
from art_crop.bench.suite import digest
from art_crop.bench.tables import grouped
from art_crop.metrics.intervals import mean_interval, wilson_interval

__all__ = ["SCHEMA", "card_problem", "mean_of", "model_cards", "robust_share"]

SCHEMA = 1


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


class _ByPhoto(msgspec.Struct):
    photos: list[str]
    outcomes: list[Literal["robust", "fallen", "unknown", ""]]
    success: list[list[float | None]]
    robustness_score: list[float | None] = []
    relative_gain: list[float | None] = []


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
    by_photo: _ByPhoto | None = None


def card_problem(card: Any) -> str:
    """Say why something read from a file is no card; "" where it is one."""
    try:
        msgspec.json.encode(card)  # JSON may spell half of a letter, which no file can hold
        found = msgspec.convert(card, _Card)
    except UnicodeEncodeError:
        return "a text in it is no Unicode"
    except (msgspec.ValidationError, OverflowError, RecursionError, TypeError) as error:
        return str(error)
    if any(one.success.n and math.isnan(one.success.estimate) for one in found.attacks):
        return "a success has no estimate"
    own = found.by_photo
    if own is not None:
        quality = [own.robustness_score, own.relative_gain] if found.quality else []
        lengths = {len(own.outcomes), *map(len, own.success), *map(len, quality)}
        if len(own.success) != len(found.attacks) or lengths != {len(own.photos)}:
            return "by_photo has not one value for each photo and attack"
    return ""


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
    kept = data.filter(~pl.col("_excluded"))
    budgets = kept["eps"].drop_nulls().unique().sort()
    photos, outcomes = _names_of(kept), _outcomes(data)
    attacks, success = _attacks(kept, list(photos))
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
        "robust": robust_share(outcomes.values()),
        "robust_by_budget": [
            {"eps": eps, **robust_share(_outcomes(data.filter(pl.col("eps") == eps)).values())} for eps in budgets
        ],
        "attacks": attacks,
        "by_photo": {
            "photos": [*photos.values()],
            "outcomes": [outcomes.get(photo, "") for photo in photos],
            "success": success,
        },
    }
    quality, scores = _quality(data, list(photos))
    if quality:
        card["quality"] = quality
        card["by_photo"] |= scores
    return card


def _names_of(data: pl.DataFrame) -> dict[int, str]:
    """What each photo is called by cards of other runs: by its content, and where several have one, by number."""
    columns = ("photo_sha256", "group", "photo", "_photo")
    found: dict[int, str] = {}
    seen: dict[str, int] = {}
    for sha256, group, name, photo in (
        data.select(pl.col(columns[:3]).cast(pl.String), "_photo").unique().sort(columns).iter_rows()
    ):
        content = sha256 or f"unread-{digest([group, name])}"
        seen[content] = seen.get(content, 0) + 1
        found[photo] = content if seen[content] == 1 else f"{content}-{seen[content]}"
    return found


def robust_share(outcomes: Iterable[str]) -> dict[str, Any]:
    """Share of photos that no attack and no seed took to its goal, with its Wilson interval; n is 0: not known.

    ``outcomes`` are "robust", "fallen", "unknown" or "", a photo each. Unknown are those that are not in the share
    since a result ended with an error, and no other took them; "" those that would be in no number either way.
    """
    counts = Counter(outcomes)
    robust, n = counts["robust"], counts["robust"] + counts["fallen"]
    estimate = wilson_interval(robust, n)._asdict() if n else {"estimate": 0.0, "low": 0.0, "high": 0.0}
    return {"n": n, "unknown": counts["unknown"], **estimate}


def _outcomes(data: pl.DataFrame) -> dict[int, str]:
    """What became of each photo; see :func:`robust_share`. "": the rule leaves it out, or it was a success before."""
    good, failed = pl.col("_measured") & (pl.col("_reached") == 1), pl.col("_failed")
    photos = data.group_by("_photo").agg(
        fallen=good.any(),
        held=(pl.col("_measured") & (pl.col("_reached") == 0)).any(),
        open=failed.any() & ~good.any(),
        out=(pl.col("_excluded") | (pl.col("_measured") & pl.col("success_before"))).any(),
    )
    outcome = (
        pl.when("fallen").then(pl.lit("fallen"))
        .when(pl.col("held") & ~pl.col("open")).then(pl.lit("robust"))
        .when(pl.col("open") & ~pl.col("out")).then(pl.lit("unknown"))
        .otherwise(pl.lit(""))
    )  # fmt: skip
    return dict(photos.select("_photo", outcome).iter_rows())


def _attacks(kept: pl.DataFrame, photos: Sequence[int]) -> tuple[list[dict[str, Any]], list[list[float | None]]]:
    """Every attack, attacked model and budget; and of each the share of successes on each photo."""
    keys = ("method", "attacked", "eps")
    measures = [measure(*known(kept, "success") or [TASK.verdict]), measure("median l2 of successes")]
    own: dict[tuple[Any, ...], dict[int, float]] = {}
    shares = kept.select(*keys, "_photo", success=measures[0].of(kept)).group_by(*keys, "_photo").mean()
    for *key, photo, share in shares.iter_rows():
        own.setdefault(tuple(key), {})[photo] = share
    attacks = [
        {
            **dict(zip(keys, group.keys, strict=True)),
            "errors": group.failed_rows,
            "success": group.cells[0].as_json(),
            "median_l2_of_successes": group.cells[1].as_json(),
        }
        for group in grouped(kept, keys, [(one, one.of(kept)) for one in measures])
    ]
    return attacks, [
        [own[attack["method"], attack["attacked"], attack["eps"]].get(photo) for photo in photos] for attack in attacks
    ]


def _quality(data: pl.DataFrame, photos: Sequence[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Robustness score and relative gain of a model that gives scores: with intervals over photos, and by photo."""
    found: dict[str, Any] = {}
    by_photo: dict[str, Any] = {}
    for key, column in (("robustness_score", "robustness-score"), ("relative_gain", "relative-gain")):
        if column not in data.columns:
            return {}, {}
        kept = data.filter(pl.col("_measured") & pl.col(column).is_not_null())
        means = dict(kept.group_by("_photo").agg(pl.col(column).mean()).iter_rows())
        by_photo[key] = [means.get(photo) for photo in photos]
        found[key] = mean_of(by_photo[key])
    return (found, by_photo) if found["robustness_score"]["n"] else ({}, {})


def mean_of(values: Iterable[float | None]) -> dict[str, float]:
    """Average photos' own values, those that have one, with the 95% interval."""
    known_values = [value for value in values if value is not None]
    return {"n": len(known_values), **mean_interval(known_values)._asdict()}
