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
from art_crop.bench.suite import digest
from art_crop.errors import InvalidInputError

__all__ = ["Board", "as_markdown", "board_rows", "collect", "notices", "write_boards"]

_NUMBERS = ("robust", "R", "relative gain")

Card = Mapping[str, Any]


@dataclass(frozen=True)
class Board:
    """Cards that may be compared, the most robust model first; the suite is that of the first one read."""

    suite: str
    suite_sha256: str
    cards: tuple[Card, ...]


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
    return [Board(own[0]["suite"], own[0]["suite_sha256"], tuple(sorted(_latest(own), key=_rank))) for own in groups]


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
    content = [{"suite": b.suite, "suite_sha256": b.suite_sha256, "cards": list(b.cards)} for b in boards]
    write_atomic_json(written[1], {"schema": 1, "boards": content})
    for card in (card for board in boards for card in board.cards):
        # What tells cards apart on a board is in the hash: names differ by more than letters that a file name may have.
        own = [card["suite_sha256"], *(card.get(name) for name in ("model", "weights_sha256", "version", "art_crop"))]
        word = re.sub(r"[^a-z0-9._-]+", "-", card["model"].lower()).strip(".-")[:60] or "model"
        written.append(out / "cards" / f"{word}-{digest(own)[:16]}.json")
        write_atomic_json(written[-1], dict(card))
    return written


def as_markdown(boards: Sequence[Board]) -> str:
    """Show every board as a table."""
    from art_crop.bench.reporting import plain_markdown

    lines = ["# Leaderboard", ""]
    for board in boards:
        lines += [f"## {plain_markdown(board.suite)} (`{plain_markdown(board.suite_sha256[:12])}`)", ""]
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


def notices(board: Board) -> list[str]:
    """List what a reader of the ranks has to know: runs that lack something, and photos that are not the same."""
    found = []
    for card in board.cards:
        if card.get("finished") is False:
            text = card.get("unfinished")
            found.append(f"{card['model']}: {text if isinstance(text, str) and text else 'its run is not finished.'}")
        found += _doubts(card)
    if len({card["suite_sha256"] for card in board.cards}) > 1:
        found.append("The suites have several hashes, and do the same to each model: protocol, attacks and surrogates.")
    data = [card["data"] for card in board.cards if isinstance(card.get("data"), Mapping)]
    if len({str(one["sha256"]) for one in data if one.get("sha256")}) > 1:
        found.append("The results are not of the same photos; ranks by different photos say little.")
    return found


def board_rows(board: Board) -> list[list[str]]:
    """Give heading and lines of a board as text; columns of quality models only where there is one."""
    quality = any(card.get("quality") for card in board.cards)
    head = ["rank", "model", "robust", "photos", "strongest attack", "weights", "art_crop", "machine"]
    rows = [head + (["R", "relative gain"] if quality else [])]
    for rank, card in enumerate(board.cards, 1):  # those of which nothing is known are last
        robust = card["robust"]
        share = f"{100 * robust['estimate']:.1f}%" if robust["n"] else "–"
        if robust["n"] and "low" in robust:
            share += f" [{100 * robust['low']:.1f}, {100 * robust['high']:.1f}]"
        machine = card["machine"] if isinstance(card["machine"], Mapping) else {}
        row = [
            str(rank) if robust["n"] else "–",
            card["model"],
            share,
            str(card["photos"]),
            _strongest(card),
            str(card.get("weights_sha256") or "–")[:12],
            card["art_crop"],
            ", ".join(str(machine[key]) for key in ("processor", "gpu") if machine.get(key)),
        ]
        if quality:
            own = card.get("quality") or {}
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


def _rank(card: Card) -> tuple[float, float, str]:
    """Most robust first; models of which that is not known last."""
    robust, quality = card["robust"], card.get("quality")
    score = quality["robustness_score"]["estimate"] if quality else 0.0
    return (-robust["estimate"] if robust["n"] else 1.0, -score, card["model"])


def _doubts(card: Card) -> list[str]:
    """Why this model has no rank, or what errors leave open."""
    errors, unknown = card.get("errors"), card["robust"].get("unknown")
    failed = (one for one in card["attacks"] if one.get("errors"))
    named = dict.fromkeys(f"{one['method']}{_source(one)}" for one in failed)
    which = f" ({', '.join(named)})" if named else ""
    why = f"{errors} of its results ended with an error{which}" if errors else ""
    if not card["robust"]["n"]:
        reason = why or "no result says whether an attack reached its goal"
        return [f"{card['model']} has no rank, for of no photo it is known whether it is robust: {reason}."]
    if not errors:
        return []
    if unknown is None:  # an older card, which counts an attack that failed as one that took no photo
        return [f"{card['model']}: {why}, and these took no photo: it may look more robust than it is."]
    left = f"left out: {unknown} photo{'' if unknown == 1 else 's'} that no other attack took to its goal"
    return [f"{card['model']}: {why}; {left if unknown else 'what is robust does not depend on them'}."]


def _strongest(card: Card) -> str:
    known = [one for one in card["attacks"] if one.get("success", {}).get("n")]
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
