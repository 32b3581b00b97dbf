"""Leaderboards of runs with different photos: ranks go by the photos that all models have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from art_crop.bench.cards import model_cards
from art_crop.bench.leaderboard import Board, as_json, board_rows, collect, notices, photos_of, write_boards


def run_of(synthetic: Any, folder: Path, model: str, photos: range, falls: dict[str, set[int]]) -> Path:
    """A run that scored one model: which photos fall to which attack."""
    rows = [
        synthetic.row(i, scored=model, method=method, success=i in fallen, key=f"{model} {method} {i}")
        for method, fallen in falls.items()
        for i in photos
    ]
    return Path(synthetic.write_run(folder, rows))


@pytest.fixture
def overlapping(tmp_path: Path, synthetic: Any) -> tuple[Path, Path]:
    """By its own photos gaze-lite is the more robust, 80% to 50%; by the ten that both have it is not, 70% to 90%."""
    return (
        run_of(synthetic, tmp_path / "a", "fastgaze", range(20), {"x": {*range(9), 11}, "y": {3, 4}}),
        run_of(synthetic, tmp_path / "b", "gaze-lite", range(10, 25), {"x": {12, 13}, "y": {12, 19}}),
    )


def lines(board: Board) -> list[dict[str, str]]:
    head, *rows = board_rows(board)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_ranks_go_by_the_photos_of_all(overlapping: tuple[Path, Path]) -> None:
    own = {card["model"]: card["robust"] for run in overlapping for card in model_cards(run)}
    assert (own["fastgaze"]["estimate"], own["gaze-lite"]["estimate"]) == (0.5, pytest.approx(0.8))
    (board,) = collect(overlapping)
    # The same from the Parquet files.
    tables = [pl.read_parquet(run / "results" / "*.parquet") for run in overlapping]
    both = set(tables[0]["photo_sha256"]) & set(tables[1]["photo_sha256"])
    assert len(both) == 10
    standings = {one.card["model"]: one for one in board.ranking.standings}
    for name, table in zip(("fastgaze", "gaze-lite"), tables, strict=True):
        here = table.filter(pl.col("photo_sha256").is_in(both))
        robust = int((~here.group_by("photo_sha256").agg(pl.col("success").any())["success"]).sum())
        interval = stats.binomtest(robust, 10).proportion_ci(0.95, method="wilson")
        found = standings[name].robust
        assert (found["n"], found["estimate"]) == (10, pytest.approx(robust / 10))
        assert (found["low"], found["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
        for attack in standings[name].attacks:
            share = here.filter(pl.col("method") == attack["method"])["success"].mean()
            assert (attack["success"]["n"], attack["success"]["estimate"]) == (10, pytest.approx(share))
    shown = lines(board)
    assert [(row["rank"], row["model"], row["photos"]) for row in shown] == [
        ("1", "fastgaze", "10"),
        ("2", "gaze-lite", "10"),
    ]
    assert [row["robust"].split()[0] for row in shown] == ["90.0%", "70.0%"]
    assert shown[0]["strongest attack"] == "x from gaze-lite at 10: 10%"
    assert photos_of(board) == "Ranked by 10 photos, those that every model has, of 25."
    assert notices(board) == ["The results are not all of the same photos: of 25 fastgaze lacks 5, gaze-lite lacks 10."]


def test_cards_rank_as_their_runs_do(tmp_path: Path, overlapping: tuple[Path, Path]) -> None:
    boards = collect(overlapping)
    write_boards(boards, tmp_path / "board")
    again = collect([tmp_path / "board" / "cards"])
    assert as_json(again) == as_json(boards)
    (written,) = json.loads((tmp_path / "board" / "leaderboard.json").read_text())["boards"]
    assert [(one["rank"], one["model"], one["robust"]["estimate"]) for one in written["ranks"]] == [
        (1, "fastgaze", 0.9),
        (2, "gaze-lite", 0.7),
    ]
    assert written["photos"] == 10
    assert "Ranked by 10 photos" in (tmp_path / "board" / "leaderboard.md").read_text()


def test_without_common_photos_there_are_no_ranks(tmp_path: Path, synthetic: Any) -> None:
    a = run_of(synthetic, tmp_path / "a", "fastgaze", range(4), {"x": {0}})
    b = run_of(synthetic, tmp_path / "b", "gaze-lite", range(4, 10), {"x": set()})
    (board,) = collect([b, a])
    assert [(row["rank"], row["model"], row["photos"]) for row in lines(board)] == [
        ("–", "fastgaze", "4"),
        ("–", "gaze-lite", "6"),
    ]
    assert notices(board) == [
        "The sets of photos differ and have none in common, so that there are no ranks: of 10 fastgaze lacks 6, "
        "gaze-lite lacks 4."
    ]
    assert photos_of(board) == "No ranks: each number is of the model's own photos."


def test_a_model_of_which_nothing_is_known_takes_no_photo_from_the_others(tmp_path: Path, synthetic: Any) -> None:
    a = run_of(synthetic, tmp_path / "a", "fastgaze", range(4), {"x": {0}})
    nothing = [synthetic.row(9, scored="new", success=None, metrics={})]
    (board,) = collect([a, synthetic.write_run(tmp_path / "b", nothing)])
    assert [(row["rank"], row["model"]) for row in lines(board)] == [("1", "fastgaze"), ("–", "new")]
    assert board.ranking.photos == 4


def test_photos_of_one_content_count_as_often_as_they_are_there(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(0, scored=model, photo=name, success=model == "gaze-lite" and name == "b.jpg", key=model + name)
        for model in ("fastgaze", "gaze-lite")
        for name in ("a.jpg", "b.jpg")
    ]
    (board,) = collect([synthetic.write_run(tmp_path / "a", rows)])
    assert [(row["model"], row["photos"], row["robust"].split()[0]) for row in lines(board)] == [
        ("fastgaze", "2", "100.0%"),
        ("gaze-lite", "2", "50.0%"),
    ]


@pytest.mark.parametrize(("sets", "ranks"), [("11", ["1", "2"]), ("12", ["–", "–"]), ("", ["–", "–"])])
def test_cards_that_do_not_list_their_photos(tmp_path: Path, synthetic: Any, sets: str, ranks: list[str]) -> None:
    """As an earlier version wrote them: ranked where the hash of all photos is the same."""
    for k, model in enumerate(("fastgaze", "gaze-lite")):
        run = run_of(synthetic, tmp_path / model, model, range(5), {"x": {*range(3 * k)}})
        (card,) = model_cards(run)
        del card["by_photo"]
        card["data"] = {"sha256": sets[k] * 64} if sets else {}
        (tmp_path / f"{model}.json").write_text(json.dumps(card))
    (board,) = collect([tmp_path / "fastgaze.json", tmp_path / "gaze-lite.json"])
    assert [row["rank"] for row in lines(board)] == ranks
    said = [text for text in notices(board) if "Make them anew from their runs" in text]
    assert len(said) == (ranks[0] == "–")
    assert all("fastgaze, gaze-lite" in text for text in said)


def test_scores_of_robustness_are_of_the_common_photos_too(tmp_path: Path, synthetic: Any) -> None:
    random = np.random.default_rng(1)
    scores = {"fastgaze": random.uniform(0, 2, 12), "gaze-lite": random.uniform(0, 2, 12)}
    photos = {"fastgaze": range(8), "gaze-lite": range(4, 12)}
    runs = []
    for model, own in photos.items():
        rows = [
            synthetic.row(i, scored=model, metrics={"robustness-score": float(scores[model][i]), "relative-gain": 0.1})
            for i in own
        ]
        runs.append(synthetic.write_run(tmp_path / model, rows))
    (board,) = collect(runs)
    for one in board.ranking.standings:
        expected = scores[one.card["model"]][4:8].mean()
        assert one.quality is not None
        assert one.quality["robustness_score"]["n"] == 4
        assert one.quality["robustness_score"]["estimate"] == pytest.approx(expected)
