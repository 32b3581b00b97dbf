"""Model cards: what a run says of one scored model, with all that is needed to tell whether two cards may be compared.

After RobustBench's model info (Croce et al., NeurIPS 2021 Datasets and Benchmarks): who the model is, what was done to
it, and its worst case over attacks, photo by photo: a photo counts as robust where no attack of the suite reached its
goal. Of a photo on which an attack ended with an error nothing is known, unless another attack took it to its goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.bench.completeness import Completeness, completeness
from art_crop.bench.frame import Frame, load_run
from art_crop.bench.measures import measure, reached
from art_crop.bench.resolved import task_sha256
from art_crop.bench.robustness import relative_gains, robustness_scores
from art_crop.bench.statistics import mean_interval, per_photo, share_interval
from art_crop.bench.store import RunInfo
from art_crop.errors import InvalidInputError

__all__ = ["SCHEMA", "card_problem", "model_cards"]

SCHEMA = 1
_SCORES = ("score-before", "score-after")
_FIELDS = ("model", "suite", "suite_sha256", "art_crop", "machine", "versions", "photos", "robust", "attacks")

Mask = NDArray[np.bool_]
NoneType = type(None)


def model_cards(run: Path) -> list[dict[str, Any]]:
    """A card for each model that the run scored.

    Raises:
        InvalidInputError: The folder holds no run.
        MissingDependencyError: Without pyarrow.
    """
    info, frame = load_run(run)
    text, done = frame.text("scored"), completeness(info, frame)
    names = text.present(frame.measured | frame.failed)
    return [_card(info, frame, name, text.equals(name), done) for name in names]


def card_problem(card: Any) -> str:
    """Why something read from a file is no card; "" where it is one."""
    if not isinstance(card, Mapping):
        return "it is no JSON object"
    if card.get("schema") != SCHEMA:
        return f"its schema is {card.get('schema')!r}, and {SCHEMA} is needed"
    missing = [name for name in _FIELDS if name not in card]
    if missing:
        return f"it has no {', '.join(missing)}"
    texts = all(isinstance(card[key], str) for key in ("model", "suite", "suite_sha256", "art_crop"))
    texts &= all(isinstance(card.get(key), (str, NoneType)) for key in ("weights_sha256", "version", "task_sha256"))
    attacks, quality = card["attacks"], card.get("quality")
    sound = _is_estimate(card["robust"]) and isinstance(attacks, list) and all(map(_is_attack, attacks))
    if quality is not None:
        sound &= isinstance(quality, Mapping)
        sound = sound and all(_is_estimate(quality.get(key)) for key in ("robustness_score", "relative_gain"))
    return "" if sound and texts else "its fields have other types"


def _is_attack(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("method"), str)
        and isinstance(value.get("attacked"), (str, NoneType))
        and (value.get("eps") is None or _is_number(value["eps"]))
        and isinstance(value.get("success"), Mapping)
        and (not value["success"].get("n") or _is_estimate(value["success"], ("n", "estimate")))
    )


def _is_estimate(value: Any, keys: Sequence[str] = ("n", "estimate", "low", "high")) -> bool:
    return isinstance(value, Mapping) and all(_is_number(value.get(key)) for key in keys)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _card(info: RunInfo, frame: Frame, name: str, mask: Mask, done: Completeness) -> dict[str, Any]:
    model = info.models.get(name, {})
    card: dict[str, Any] = {
        "schema": SCHEMA,
        "model": name,
        "weights_sha256": model.get("weights_sha256"),
        "distribution": model.get("distribution"),
        "version": model.get("version"),
        "licence": model.get("licence"),
        "suite": info.suite,
        "suite_sha256": info.suite_sha256,
        "task_sha256": task_sha256(info.suite_content, name, _weights(info)),
        "art_crop": info.art_crop,
        "versions": dict(info.versions),
        "machine": dict(info.machine),
        "data": dict(info.data),
        "started": info.started,
        "finished": done.finished,
        "unfinished": done.sentence("its run"),
        "photos": len(np.unique(frame.photos[mask & frame.measured])),
        "errors": int((mask & frame.failed).sum()),
        "robust": _robust(frame, mask),
        "robust_by_budget": _by_budget(frame, mask),
        "attacks": _attacks(frame, mask),
    }
    quality = _quality(info, frame, mask)
    return {**card, "quality": quality} if quality else card


def _weights(info: RunInfo) -> dict[str, Any]:
    return {name: model.get("weights_sha256") for name, model in info.models.items()}


def _robust(frame: Frame, mask: Mask) -> dict[str, Any]:
    """Share of photos that no attack and no seed took to its goal, with its Wilson interval; n is 0: not known.

    ``unknown`` are the photos that are not in it since a result ended with an error, and no other took them.
    """
    good, measured = reached(frame), mask & frame.measured
    count = int(frame.photos.max(initial=-1)) + 1

    def any_of(rows: Mask) -> Mask:
        return np.bincount(frame.photos[rows], minlength=count) > 0

    fallen, held = any_of(measured & (good == 1)), any_of(measured & (good == 0))
    open_ones = any_of(mask & frame.failed) & ~fallen
    # Photos that the rule leaves out, or that were a success before, would be in no number either way.
    before = measured & (frame.numbers("success_before") == 1)
    unknown = int((open_ones & ~any_of(before | (mask & frame.excluded))).sum())
    robust = int((held & ~fallen & ~open_ones).sum())
    n = robust + int(fallen.sum())
    if not n:
        return {"n": 0, "unknown": unknown, "estimate": 0.0, "low": 0.0, "high": 0.0}
    return {"n": n, "unknown": unknown, **share_interval(robust, n)._asdict()}


def _by_budget(frame: Frame, mask: Mask) -> list[dict[str, Any]]:
    eps = frame.numbers("eps")
    budgets = np.unique(eps[mask & ~frame.excluded & ~np.isnan(eps)])
    return [{"eps": float(value), **_robust(frame, mask & (eps == value))} for value in budgets]


def _attacks(frame: Frame, mask: Mask) -> list[dict[str, Any]]:
    """Every attack, attacked model and budget."""
    eps, found = frame.numbers("eps"), []
    mask = mask & ~frame.excluded
    success, change = measure("success"), measure("median l2 of successes")
    if np.isnan(success.values(frame)[mask]).all():
        success = measure("share-at-target")
    good, l2 = success.values(frame), change.values(frame)
    for method in frame.text("method").present(mask):
        of_method = mask & frame.text("method").equals(method)
        for attacked in frame.text("attacked").present(of_method):
            own = of_method & frame.text("attacked").equals(attacked)
            for value in np.unique(eps[own]):  # NaN counts as one value
                cell = own & (np.isnan(eps) if np.isnan(value) else eps == value)
                found.append(
                    {
                        "method": method,
                        "attacked": attacked,
                        "errors": int((cell & frame.failed).sum()),
                        "eps": None if np.isnan(value) else float(value),
                        "success": success.cell(good, frame.photos, cell).as_json(),
                        "median_l2_of_successes": change.cell(l2, frame.photos, cell).as_json(),
                    }
                )
    return found


def _quality(info: RunInfo, frame: Frame, mask: Mask) -> dict[str, Any] | None:
    """Robustness score and relative gain of a model that gives scores, with bootstrap intervals over photos.

    A photo's number is the mean over the attacks, budgets and seeds that it was given.
    """
    before, after = (frame.numbers(name) for name in _SCORES)
    known = mask & frame.measured & ~np.isnan(before) & ~np.isnan(after)
    if not known.any():
        return None
    options = info.suite_content.get("protocol_options") or {}
    try:
        low, high = (float(end) for end in options.get("score_range", (0.0, 1.0)))
        scores = robustness_scores(before[known], after[known], low=low, high=high)
        gains = relative_gains(before[known], after[known], low=low, high=high)
    except (InvalidInputError, TypeError, ValueError) as error:
        raise InvalidInputError(f"protocol_options.score_range of suite {info.suite}: {error}") from error
    found: dict[str, Any] = {"score_range": [low, high]}
    for key, numbers in (("robustness_score", scores), ("relative_gain", gains)):
        of_photos = per_photo(numbers, frame.photos[known])
        found[key] = {"n": len(of_photos), **mean_interval(of_photos)._asdict()}
    return found
