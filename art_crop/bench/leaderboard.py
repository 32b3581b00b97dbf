"""``art-crop bench leaderboard``: model cards of several runs, merged; a table holds what may be compared.

That is the models of one suite, and of suites that do the same to a model, whatever it is called: somebody who puts a
model in the place of another has a suite of another hash, and may still stand in the same table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from art_crop.bench.cards import card_problem, model_cards
from art_crop.bench.ranking import Card, Ranking, Standing, ranking
from art_crop.bench.suite import digest
from art_crop.errors import InvalidInputError

__all__ = ["Board", "as_json", "as_markdown", "board_rows", "collect", "notices", "photos_of", "write_boards"]

_NUMBERS = ("robust", "R", "relative gain")


@dataclass(frozen=True)
class Board:
    """Models that may be compared, the most robust first; the suite is that of the first card read."""

    suite: str
    suite_sha256: str
    ranking: Ranking

    @property
    def cards(self) -> tuple[Card, ...]:
        """Of each model all that its run says, in the order of the ranks."""
        return tuple(one.card for one in self.ranking.standings)

    def as_json(self) -> dict[str, Any]:
        """Give values that JSON can hold: the ranks with what they go by, and the whole cards."""
        own = {"suite": self.suite, "suite_sha256": self.suite_sha256, "photos": self.ranking.photos}
        ranks = [one.as_json() for one in self.ranking.standings]
        return {**own, "notices": notices(self), "ranks": ranks, "cards": list(self.cards)}


def collect(sources: Sequence[Path], *, by_suite: bool = False) -> list[Board]:
    """Read runs and cards, and order them.

    Of several cards of one model (name, weights, version) the one of the latest run is kept.

    Args:
        sources: Folders of runs, card files, or folders of card files.
        by_suite: Several boards instead of an error where the suites do different things.

    Raises:
        InvalidInputError: No source, one that holds neither a run nor cards, or suites that do different things.
    """
    cards = [card for source in sources for card in _cards(source)]
    if not cards:
        raise InvalidInputError("there is no result in what was given: no model has been scored yet")
    groups = _comparable(cards)
    if len(groups) > 1 and not by_suite:
        named = ", ".join(f"{own[0]['suite']} ({own[0]['suite_sha256'][:12]})" for own in groups)
        raise InvalidInputError(
            f"by_suite: the results are of {len(groups)} different suites: {named}; they do not belong in one table. "
            "With it there is one table each"
        )
    return [Board(own[0]["suite"], own[0]["suite_sha256"], ranking(_latest(own))) for own in groups]


def write_boards(boards: Sequence[Board], out: Path) -> list[Path]:
    """Write ``leaderboard.md``, ``leaderboard.json`` and a file for each card below ``cards/``.

    Raises:
        OutputError: A file cannot be written.
    """
    from art_crop.bench.reporting import make_folder
    from art_crop.images import write_atomic_json, write_atomic_text

    make_folder(out / "cards")
    written = [out / "leaderboard.md", out / "leaderboard.json"]
    write_atomic_text(written[0], as_markdown(boards))
    write_atomic_json(written[1], as_json(boards))
    for card in (card for board in boards for card in board.cards):
        # What tells cards apart on a board is in the hash: names differ by more than letters that a file name may have.
        own = [card["suite_sha256"], *(card.get(name) for name in ("model", "weights_sha256", "version", "art_crop"))]
        word = re.sub(r"[^a-z0-9._-]+", "-", card["model"].lower()).strip(".-")[:60] or "model"
        written.append(out / "cards" / f"{word}-{digest(own)[:16]}.json")
        write_atomic_json(written[-1], dict(card))
    return written


def as_json(boards: Sequence[Board]) -> dict[str, Any]:
    """Give what ``leaderboard.json`` holds."""
    return {"schema": 1, "boards": [board.as_json() for board in boards]}


def as_markdown(boards: Sequence[Board]) -> str:
    """Show every board as a table."""
    from art_crop.bench.reporting import plain_markdown

    lines = ["# Leaderboard", ""]
    for board in boards:
        lines += [
            f"## {plain_markdown(board.suite)} (`{plain_markdown(board.suite_sha256[:12])}`)",
            "",
            photos_of(board),
            "",
        ]
        head, *rows = board_rows(board)
        lines += [_markdown(head, head), "|" + "---|" * len(head), *(_markdown(row, head) for row in rows), ""]
        lines += [line for text in notices(board) for line in (f"> {plain_markdown(text)}", "")]
    lines.append(
        "Robust: share of photos that no attack of the suite took to its goal, with the 95% Wilson interval; a photo "
        "on which an attack ended with an error counts only where another took it. Strongest attack: the one that "
        "reached its goal most often. R: robustness score, higher is more robust."
    )
    return "\n".join([*lines, ""])


def _markdown(row: Sequence[str], head: Sequence[str]) -> str:
    """A line of a table; brackets of an interval stand in a cell of their own, which makes no link."""
    from art_crop.bench.reporting import plain_markdown

    cells = (text if own in _NUMBERS else plain_markdown(text) for text, own in zip(row, head, strict=True))
    return f"| {' | '.join(cells)} |"


def photos_of(board: Board) -> str:
    """Say in one sentence by which photos the models are ranked."""
    rank = board.ranking
    if not rank.ranked:
        return "No ranks: each number is of the model's own photos."
    if rank.photos is None:
        return "Ranked by the photos of the cards, which are the same for all."
    same = "the same for every model" if rank.photos == rank.of else f"those that every model has, of {rank.of}"
    return f"Ranked by {rank.photos} photo{'' if rank.photos == 1 else 's'}, {same}."


def notices(board: Board) -> list[str]:
    """List what a reader of the ranks has to know: runs that lack something, and photos that are not the same."""
    found = []
    for one in board.ranking.standings:
        card = one.card
        if card.get("finished") is False:
            text = card.get("unfinished")
            found.append(f"{card['model']}: {text if isinstance(text, str) and text else 'its run is not finished.'}")
        found += _doubts(one)
    if len({card["suite_sha256"] for card in board.cards}) > 1:
        found.append("The suites have several hashes, and do the same to each model: protocol, attacks and surrogates.")
    return [*found, *_other_photos(board.ranking)]


def _other_photos(rank: Ranking) -> list[str]:
    """Say where the models are not of the same photos, and who lacks some."""
    lacking = ", ".join(f"{one.card['model']} lacks {one.lacks}" for one in rank.standings if one.lacks)
    if rank.ranked:
        return [f"The results are not all of the same photos: of {rank.of} {lacking}."] if lacking else []
    if rank.photos is not None:
        return [
            f"The sets of photos differ and have none in common, so that there are no ranks: of {rank.of} {lacking}."
        ]
    silent = [card["model"] for card in (one.card for one in rank.standings) if not card.get("by_photo")]
    return [
        "The sets of photos may differ, so that there are no ranks: it is not known of which photos these cards are: "
        f"{', '.join(silent)}. Make them anew from their runs."
    ]


def board_rows(board: Board) -> list[list[str]]:
    """Give heading and lines of a board as text; columns of quality models only where there is one."""
    quality = any(one.quality for one in board.ranking.standings)
    head = ["rank", "model", "robust", "photos", "strongest attack", "weights", "art_crop", "machine"]
    rows = [head + (["R", "relative gain"] if quality else [])]
    for one in board.ranking.standings:
        card, robust = one.card, one.robust
        share = f"{100 * robust['estimate']:.1f}%" if robust["n"] else "–"
        if robust["n"] and "low" in robust:
            share += f" [{100 * robust['low']:.1f}, {100 * robust['high']:.1f}]"
        machine = card["machine"] if isinstance(card["machine"], Mapping) else {}
        row = [
            "–" if one.rank is None else str(one.rank),
            card["model"],
            share,
            str(robust["n"] if robust["n"] else card["photos"]),
            _strongest(one.attacks),
            str(card.get("weights_sha256") or "–")[:12],
            card["art_crop"],
            ", ".join(str(machine[key]) for key in ("processor", "gpu") if machine.get(key)),
        ]
        if quality:
            own = one.quality or {}
            row += [_estimate(own.get("robustness_score")), _estimate(own.get("relative_gain"))]
        rows.append(row)
    return rows


def _cards(source: Path) -> list[Card]:
    if source.is_dir() and not (source / "run.json").exists():
        files = sorted(source.glob("*.json"))
        if files:
            return [card for file in files for card in _cards(file)]
    if not source.is_file():
        return list(model_cards(source))
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{source} is no model card: {error}") from error
    problem = card_problem(content)
    if problem:
        raise InvalidInputError(f"{source} is no model card: {problem}")
    return [content]


def _comparable(cards: Sequence[Card]) -> list[list[Card]]:
    """Cards that belong in one table: of one suite, or of suites that do the same to some model."""
    groups: list[tuple[set[str], list[Card]]] = []
    for card in cards:
        keys, own = {card["suite_sha256"], card.get("task_sha256") or card["suite_sha256"]}, [card]
        for group in [group for group in groups if group[0] & keys]:
            groups.remove(group)
            keys, own = keys | group[0], [*group[1], *own]
        groups.append((keys, own))
    return [own for _, own in groups]


def _latest(cards: Sequence[Card]) -> list[Card]:
    """One card for each model, the others being of earlier runs."""
    kept: dict[tuple[Any, ...], Card] = {}
    for card in sorted(cards, key=lambda card: str(card.get("started", ""))):
        kept[card["model"], card.get("weights_sha256"), card.get("version"), card["art_crop"]] = card
    return list(kept.values())


def _doubts(one: Standing) -> list[str]:
    """Why this model has no rank, or what errors leave open."""
    card, unknown = one.card, one.robust.get("unknown")
    errors = card.get("errors")
    failed = (attack for attack in card["attacks"] if attack.get("errors"))
    named = dict.fromkeys(f"{attack['method']}{_source(attack)}" for attack in failed)
    which = f" ({', '.join(named)})" if named else ""
    why = f"{errors} of its results ended with an error{which}" if errors else ""
    if not one.robust["n"]:
        reason = why or "no result says whether an attack reached its goal"
        return [f"{card['model']} has no rank, for of no photo it is known whether it is robust: {reason}."]
    if not errors:
        return []
    if unknown is None:  # an older card, which counts an attack that failed as one that took no photo
        return [f"{card['model']}: {why}, and these took no photo: it may look more robust than it is."]
    left = f"left out: {unknown} photo{'' if unknown == 1 else 's'} that no other attack took to its goal"
    return [f"{card['model']}: {why}; {left if unknown else 'what is robust does not depend on them'}."]


def _strongest(attacks: Sequence[Mapping[str, Any]]) -> str:
    known = [one for one in attacks if one.get("success", {}).get("n")]
    if not known:
        return "–"
    best = max(known, key=lambda one: one["success"]["estimate"])
    if best["success"]["estimate"] <= 0:
        return "none succeeded"
    budget = "" if best.get("eps") is None else f" at {best['eps']:g}"
    return f"{best['method']}{_source(best)}{budget}: {100 * best['success']['estimate']:.0f}%"


def _source(attack: Mapping[str, Any]) -> str:
    return f" from {attack['attacked']}" if attack.get("attacked") else ""


def _estimate(numbers: Mapping[str, float] | None) -> str:
    if not numbers:
        return "–"
    return f"{numbers['estimate']:.2f} [{numbers['low']:.2f}, {numbers['high']:.2f}]"
