"""Who is before whom on a leaderboard: models are ranked by their numbers on the photos that all of them have.

A photo is one of a model's where some attack on it has a result that counts, or crashed. A model of which of no photo
it is known whether it is robust has no rank, and takes no photo from the others. Where no photo is common to all, or a
card of an earlier version does not say of which photos it is, nobody has a rank, unless those are known to be the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from art_crop.bench.cards import mean_of, robust_share
from art_crop.bench.measures import measure

__all__ = ["Card", "Ranking", "Standing", "ranking"]

Card = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """A model on a board, with its numbers on the photos by which it is ranked; without a rank, on its own.

    Attributes:
        card: Everything its run says of it.
        rank: From 1 on; None for none.
        robust: As in the card.
        attacks: As in the card, with ``success`` alone.
        quality: As in the card; None for a model that gives no scores.
        lacks: Photos that another model of the board has, and this one has not.
    """

    card: Card
    rank: int | None
    robust: Mapping[str, Any]
    attacks: Sequence[Mapping[str, Any]]
    quality: Mapping[str, Any] | None
    lacks: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give values that JSON can hold, with the model's name and weights in place of its card."""
        who = {name: self.card.get(name) for name in ("model", "weights_sha256", "version", "art_crop")}
        own = {"rank": self.rank, "robust": dict(self.robust), "attacks": [dict(one) for one in self.attacks]}
        return {**own, "quality": dict(self.quality) if self.quality else None, "lacks": self.lacks, **who}


@dataclass(frozen=True)
class Ranking:
    """Models in order; ``photos`` is how many all of them have, of ``of`` that some model has, and None: not known."""

    standings: tuple[Standing, ...]
    ranked: bool
    photos: int | None = None
    of: int | None = None


def ranking(cards: Sequence[Card]) -> Ranking:
    """Order the models of a board, the most robust one first; those without a rank come last, by name."""
    known = [card for card in cards if card["robust"]["n"]]
    others = [_own(card) for card in cards if not card["robust"]["n"]]
    photos: list[set[str]] = []
    common: set[str] = set()
    every: set[str] = set()
    if all(card.get("by_photo") for card in known):
        photos = [_photos(card) for card in known]
        if photos:
            common, every = set.intersection(*photos), set.union(*photos)
        scored = [_scored(card) for card in known if card.get("quality")]
        with_scores = set.intersection(*scored) if scored else set()
        ranked = bool(common) or not known
        found = [_on(card, common, with_scores) if ranked else _own(card) for card in known]
        found = [replace(one, lacks=len(every - own)) for one, own in zip(found, photos, strict=True)]
    else:
        ranked, found = len(known) == 1 or _same_photos(known), [_own(card) for card in known]
    first = sorted((one for one in found if ranked and one.robust["n"]), key=_order)
    last = [one for one in [*found, *others] if not ranked or not one.robust["n"]]
    standings = [replace(one, rank=rank) for rank, one in enumerate(first, 1)]
    standings += sorted(last, key=lambda one: str(one.card["model"]))
    return Ranking(tuple(standings), ranked, len(common) if photos else None, len(every) if photos else None)


def _same_photos(cards: Sequence[Card]) -> bool:
    """Whether cards that do not list their photos say that they are of the same."""
    sets = [card["data"].get("sha256") if isinstance(card.get("data"), Mapping) else None for card in cards]
    return None not in sets and len({str(one) for one in sets}) == len({card["robust"]["n"] for card in cards}) == 1


def _order(one: Standing) -> tuple[float, float, str]:
    score = one.quality["robustness_score"]["estimate"] if one.quality else 0.0
    return (-one.robust["estimate"], -score, one.card["model"])


def _photos(card: Card) -> set[str]:
    own = card["by_photo"]
    return {photo for photo, outcome in zip(own["photos"], own["outcomes"], strict=True) if outcome}


def _scored(card: Card) -> set[str]:
    own = card["by_photo"]
    return {photo for photo, value in zip(own["photos"], own["robustness_score"], strict=True) if value is not None}


def _own(card: Card) -> Standing:
    return Standing(card, None, card["robust"], card["attacks"], card.get("quality"))


def _on(card: Card, photos: set[str], scored: set[str]) -> Standing:
    """A card's numbers on some photos."""
    own = card["by_photo"]
    here = [photo in photos for photo in own["photos"]]
    robust = robust_share(outcome for outcome, wanted in zip(own["outcomes"], here, strict=True) if wanted)
    attacks = []
    for attack, success in zip(card["attacks"], own["success"], strict=True):
        values = [value for value, wanted in zip(success, here, strict=True) if wanted and value is not None]
        share = measure("success").cell(np.array(values, np.float64)).as_json()
        attacks.append(
            {name: attack.get(name) for name in ("method", "attacked", "eps", "errors")} | {"success": share}
        )
    quality = None
    if card.get("quality") and scored:
        rated = [photo in scored for photo in own["photos"]]
        quality = {
            name: mean_of(value for value, wanted in zip(own[name], rated, strict=True) if wanted)
            for name in ("robustness_score", "relative_gain")
        }
    return Standing(card, None, robust, attacks, quality)
