"""Model cards and leaderboards: worst cases counted by hand, and no mixing of suites."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from art_crop.bench.cards import model_cards
from art_crop.bench.leaderboard import as_markdown, collect, notices, write_boards
from art_crop.bench.quality_scores import relative_gains, robustness_scores
from art_crop.bench.resolved import task_sha256
from art_crop.bench.suite_file import load_suite
from art_crop.cli.main import app
from art_crop.errors import InvalidInputError


def scored(synthetic: Any, name: str, falls: dict[tuple[str, float], list[int]], photos: int = 10) -> list[Any]:
    """Rows of one scored model: which photos fall to which attack and budget."""
    return [
        synthetic.row(i, scored=name, method=method, eps=eps, success=i in photos_that_fall, l2=eps * 0.9)
        for (method, eps), photos_that_fall in falls.items()
        for i in range(photos)
    ]


def test_a_photo_is_robust_where_every_attack_failed(tmp_path: Path, synthetic: Any) -> None:
    falls = {("x", 1.0): [0], ("x", 2.0): [0, 1, 2], ("y", 1.0): [3], ("y", 2.0): [2, 3]}
    run = synthetic.write_run(tmp_path / "run", scored(synthetic, "fastgaze", falls))
    (card,) = model_cards(run)
    interval = stats.binomtest(6, 10).proportion_ci(0.95, method="wilson")
    assert card["robust"] == {
        "n": 10,
        "unknown": 0,
        "estimate": 0.6,
        "low": pytest.approx(interval.low),
        "high": pytest.approx(interval.high),
    }
    assert [(one["eps"], one["estimate"]) for one in card["robust_by_budget"]] == [(1.0, 0.8), (2.0, 0.6)]
    attack = next(one for one in card["attacks"] if (one["method"], one["eps"]) == ("x", 2.0))
    assert (attack["success"]["n"], attack["success"]["estimate"]) == (10, 0.3)
    assert attack["median_l2_of_successes"]["estimate"] == pytest.approx(1.8)
    assert (card["suite_sha256"], card["weights_sha256"], card["licence"]) == ("c" * 64, "b" * 64, "Apache-2.0")
    assert card["versions"]["torch"] == "2.13.0"
    assert card["machine"]["cores"] == 2
    assert "quality" not in card


def test_a_photo_that_falls_for_one_seed_falls_and_counts_once(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, seed=s, success=(i, s) in {(0, 0), (0, 1), (1, 2)}) for i in range(5) for s in range(3)]
    (card,) = model_cards(synthetic.write_run(tmp_path / "run", rows))
    assert (card["photos"], card["robust"]["n"], card["robust"]["estimate"]) == (5, 5, 0.6)
    success = card["attacks"][0]["success"]
    assert (success["n"], success["estimate"]) == (5, pytest.approx((2 / 3 + 1 / 3) / 5))
    scores = [
        synthetic.row(i, seed=s, metrics={"relative-gain": 0.1 * (i + s), "robustness-score": 1.0 - s})
        for i in range(3)
        for s in range(2)
    ]
    (card,) = model_cards(synthetic.write_run(tmp_path / "scores", scores))
    assert card["quality"]["relative_gain"]["n"] == 3
    assert card["quality"]["relative_gain"]["estimate"] == pytest.approx(np.mean([0.05, 0.15, 0.25]))
    assert card["quality"]["robustness_score"]["estimate"] == pytest.approx(0.5)


def test_a_photo_that_was_a_success_before_is_neither_robust_nor_fallen(tmp_path: Path, synthetic: Any) -> None:
    """Its shift is 1, whatever the attack did, for its peak was at the target already."""
    rows = [synthetic.row(i, success=i < 6, success_before=i < 5) for i in range(10)]
    (card,) = model_cards(synthetic.write_run(tmp_path / "run", rows))
    assert (card["photos"], card["robust"]["n"], card["robust"]["estimate"]) == (10, 5, 0.8)


def failed(synthetic: Any, photos: list[int], **fields: Any) -> list[Any]:
    wrong = {"success": None, "success_before": None, "metrics": {}, "error": "boom", "error_kind": "RuntimeError"}
    return [synthetic.row(i, method="crashes", **{**wrong, **fields}) for i in photos]


def test_a_photo_on_which_an_attack_failed_is_robust_for_nobody(tmp_path: Path, synthetic: Any) -> None:
    # Photo 0 falls, 1 and 2 hold, and of 0, 1 and 3 an attack has failed: known are 0 and 2, of which 2 is robust.
    rows = scored(synthetic, "fastgaze", {("x", 1.0): [0]}, 3) + failed(synthetic, [0, 1, 3], eps=2.0)
    # Of photo 4 and 5 nothing was to be known: the rule leaves 4 out, and 5 was a success before.
    rows += failed(synthetic, [4, 5], eps=2.0) + failed(synthetic, [4], eps=1.0, error_kind="excluded")
    rows += [synthetic.row(5, method="x", eps=1.0, success_before=True)]
    rows += scored(synthetic, "gaze-lite", {("x", 1.0): []}, 3)
    run = synthetic.write_run(tmp_path / "run", rows)
    cards = {card["model"]: card for card in model_cards(run)}
    robust = cards["fastgaze"]["robust"]
    assert (robust["n"], robust["unknown"], robust["estimate"]) == (2, 2, 0.5)
    by_budget = [(one["eps"], one["n"], one["unknown"]) for one in cards["fastgaze"]["robust_by_budget"]]
    assert by_budget == [(1.0, 3, 0), (2.0, 0, 5)]
    attacks = sorted((one["method"], one["eps"], one["errors"]) for one in cards["fastgaze"]["attacks"])
    assert attacks == [("crashes", 2.0, 5), ("x", 1.0, 0)]
    assert (cards["gaze-lite"]["errors"], cards["gaze-lite"]["robust"]["estimate"]) == (0, 1.0)
    # Ranked are they by 0, 1 and 2, for of 3 gaze-lite has nothing.
    assert [note for note in notices(collect([run])[0]) if "not finished" not in note] == [
        "fastgaze: 5 of its results ended with an error (crashes from gaze-lite); left out: 1 photo that no other "
        "attack took to its goal.",
        "The results are not all of the same photos: of 4 gaze-lite lacks 1.",
    ]
    assert "| 1 | gaze-lite | 100.0% [43.9, 100.0] | 3 | none succeeded |" in as_markdown(collect([run]))


@pytest.mark.parametrize("control", [True, False])
def test_a_model_whose_attacks_all_crash_has_no_rank(tmp_path: Path, synthetic: Any, control: bool) -> None:
    rows = failed(synthetic, [0, 1, 2, 3], scored="breaks", attacked="breaks")
    if control:
        rows += scored(synthetic, "breaks", {("noise", 1.0): []}, 4)
    weak = synthetic.write_run(tmp_path / "weak", scored(synthetic, "fastgaze", {("x", 1.0): [0, 1, 2]}, 4))
    (board,) = collect([synthetic.write_run(tmp_path / "breaks", rows), weak])
    assert [card["model"] for card in board.cards] == ["fastgaze", "breaks"]
    shown = as_markdown([board])
    (line,) = [line for line in shown.splitlines() if line.startswith("| – |")]
    assert line.startswith(f"| – | breaks | – | {4 * control} | {'none succeeded' if control else '–'} |")
    assert notices(board) == [
        "breaks has no rank, for of no photo it is known whether it is robust: 4 of its results ended with an error "
        "(crashes from breaks)."
    ]
    written = write_boards([board], tmp_path / "board")
    assert collect([path for path in written if path.parent.name == "cards"])[0].cards == board.cards


def test_boards_rank_the_more_robust_model_first(tmp_path: Path, synthetic: Any) -> None:
    strong = synthetic.write_run(tmp_path / "a", scored(synthetic, "gaze-lite", {("x", 1.0): [0]}))
    weak = synthetic.write_run(tmp_path / "b", scored(synthetic, "fastgaze", {("x", 1.0): [0, 1, 2]}))
    unknown = synthetic.write_run(tmp_path / "c", [synthetic.row(0, scored="new", success=None, metrics={})])
    (board,) = collect([weak, unknown, strong])
    assert [card["model"] for card in board.cards] == ["gaze-lite", "fastgaze", "new"]
    text = as_markdown([board])
    assert "| 90.0% [59.6, 98.2] |" in text
    assert "x from gaze-lite at 1: 30%" in text


def test_suites_are_not_mixed(tmp_path: Path, synthetic: Any) -> None:
    rows = scored(synthetic, "fastgaze", {("x", 1.0): [0]})
    a = synthetic.write_run(tmp_path / "a", rows)
    b = synthetic.write_run(tmp_path / "b", rows, suite_sha256="d" * 64)
    with pytest.raises(InvalidInputError, match=r"^by_suite: .* 2 different suites"):
        collect([a, b])
    boards = collect([a, b], by_suite=True)
    assert [(board.suite_sha256[0], len(board.cards)) for board in boards] == [("c", 1), ("d", 1)]


SUITE = """
name = "mine"
protocol = "second-peak"
attacked = ["gaze-lite", "MODEL"]
scored = ["MODEL"]
[models.gaze-lite]
[models.MODEL]
[[attack]]
method = "steps"
plugin = "saliency-peak-fgm"
grid = { eps = [1.0, 2.0] }
"""


def task(tmp_path: Path, model: str, old: str = "", new: str = "") -> str:
    text = SUITE.replace("MODEL", model)
    (tmp_path / "mine.toml").write_text(text.replace(old, new) if old else text)
    return task_sha256(load_suite(tmp_path / "mine.toml").resolved(), model, {"gaze-lite": "a" * 64})


def test_a_task_is_the_same_whatever_the_model_is_called(tmp_path: Path) -> None:
    first = task(tmp_path, "fastgaze")
    assert first
    assert task(tmp_path, "gaze-lite-human") == first
    assert task(tmp_path, "fastgaze", 'name = "mine"', 'name = "yours"\nmetrics = ["psnr"]') == first
    assert (
        task(tmp_path, "fastgaze", "[models.fastgaze]", "[models.fastgaze]\noptions = { jpeg_quality = 75 }") == first
    )
    for old, new in (
        ("2.0]", "3.0]"),
        ('attacked = ["gaze-lite", "fastgaze"]', 'attacked = ["fastgaze"]'),
        ("[models.gaze-lite]", "[models.gaze-lite]\noptions = { jpeg_quality = 75 }"),
        ('protocol = "second-peak"', 'protocol = "second-peak"\nprotocol_options = { jpeg_quality = 75 }'),
        ("[[attack]]", "[data]\nwidth = 320\n[[attack]]"),
        ("[[attack]]", "[[attack]]\njudged = true"),
    ):
        assert task(tmp_path, "fastgaze", old, new) != first, new
    content = load_suite(tmp_path / "mine.toml").resolved()
    assert task_sha256(content, "fastgaze", {"gaze-lite": "b" * 64}) != task_sha256(content, "fastgaze", {})
    assert task_sha256({}, "fastgaze", {}) == task_sha256(content, "nobody", {}) == ""


def test_a_model_that_was_added_by_a_suite_of_its_own_stands_beside_the_others(tmp_path: Path, synthetic: Any) -> None:
    runs = []
    for model in ("fastgaze", "gaze-lite-human"):
        (tmp_path / "mine.toml").write_text(SUITE.replace("MODEL", model))
        suite = load_suite(tmp_path / "mine.toml")
        rows = scored(synthetic, model, {("steps", 1.0): [0], ("steps", 2.0): [0, 1]})
        content = {"suite_content": suite.resolved(), "suite_sha256": suite.sha256}
        runs.append(synthetic.write_run(tmp_path / model, rows, **content))
    (board,) = collect(runs)
    assert [card["model"] for card in board.cards] == ["fastgaze", "gaze-lite-human"]
    assert "several hashes, and do the same" in as_markdown([board])
    assert len({path.name for path in write_boards([board], tmp_path / "board")}) == 4


def test_cards_can_be_given_instead_of_runs(tmp_path: Path, synthetic: Any) -> None:
    a = synthetic.write_run(tmp_path / "a", scored(synthetic, "gaze-lite", {("x", 1.0): [0]}))
    b = synthetic.write_run(tmp_path / "b", scored(synthetic, "fastgaze", {("x", 1.0): [0, 1]}))
    written = write_boards(collect([a]), tmp_path / "board")
    assert [path.name.rpartition("-")[0] for path in written[2:]] == ["gaze-lite"]
    (board,) = collect([tmp_path / "board" / "cards", b, written[2]])
    assert [card["model"] for card in board.cards] == ["gaze-lite", "fastgaze"]
    assert board.cards[0] == collect([a])[0].cards[0]


@pytest.mark.parametrize(
    "changes",
    [
        [{"version": version} for version in ("1.0", "1.1", "2.0")],
        [{"model": name, "weights_sha256": None} for name in ("Model A", "model-a", "MODEL-A", "модель", "模型")],
        [{"art_crop": version} for version in ("0.1", "0.2")],
        [{"weights_sha256": f"aaaaaaaa{k}"} for k in range(2)],
    ],
)
def test_cards_that_a_board_tells_apart_have_files_of_their_own(
    tmp_path: Path, synthetic: Any, changes: list[dict[str, Any]]
) -> None:
    run = synthetic.write_run(tmp_path / "a", scored(synthetic, "gaze-lite", {("x", 1.0): [0]}))
    (card,) = collect([run])[0].cards
    for k, change in enumerate(changes):
        (tmp_path / f"{k}.json").write_text(json.dumps({**card, **change}))
    boards = collect([tmp_path / f"{k}.json" for k in range(len(changes))])
    names = [path.name for path in write_boards(boards, tmp_path / "board")[2:]]
    assert len({name.lower() for name in names}) == len(changes)
    assert all(name.isascii() for name in names)
    read = collect([tmp_path / "board" / "cards"])[0].cards
    assert sorted(map(json.dumps, read)) == sorted(map(json.dumps, boards[0].cards))


def test_a_card_with_half_a_letter_is_no_card(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "a", scored(synthetic, "gaze-lite", {("x", 1.0): [0]}))
    (card,) = collect([run])[0].cards
    (tmp_path / "card.json").write_text(json.dumps({**card, "version": "\ud800"}))
    with pytest.raises(InvalidInputError, match="is no model card"):
        collect([tmp_path / "card.json"])


def test_of_two_cards_of_one_model_the_later_counts(tmp_path: Path, synthetic: Any) -> None:
    rows = [scored(synthetic, "fastgaze", {("x", 1.0): list(range(k))}) for k in (1, 5)]
    late = synthetic.write_run(tmp_path / "late", rows[0], started="2026-11-21T00:00:00+00:00")
    early = synthetic.write_run(tmp_path / "early", rows[1], started="2026-11-20T00:00:00+00:00")
    (board,) = collect([late, early])
    assert [card["robust"]["estimate"] for card in board.cards] == [0.9]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "model": "m"}', "[" * 3000])
def test_what_is_no_card_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(InvalidInputError, match="no model card"):
        collect([tmp_path / "card.json"])


@pytest.mark.parametrize("weird", [None, "x", [], [[]], {"a": [1]}, float("nan"), 10**400, True])
def test_a_card_with_anything_anywhere_is_refused_or_shown(tmp_path: Path, synthetic: Any, weird: Any) -> None:
    rows = [synthetic.row(i, metrics={"relative-gain": 0.1, "robustness-score": 0.6}) for i in range(3)]
    (card,) = model_cards(synthetic.write_run(tmp_path / "run", rows))
    file = tmp_path / "card.json"
    for path in places(card):
        file.write_text(json.dumps(changed(card, path, weird)))
        with contextlib.suppress(InvalidInputError):
            as_markdown(collect([file]))


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*above, key)
        yield from places(value[key], (*above, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    own = dict(value) if isinstance(value, dict) else list(value)
    own[path[0]] = changed(value[path[0]], path[1:], new)
    return own


def test_errors_and_other_photos_are_told_beside_the_ranks(tmp_path: Path, synthetic: Any) -> None:
    rows = scored(synthetic, "fastgaze", {("x", 1.0): [0]})
    wrong = {"success": None, "error": "no gradient", "error_kind": "attack"}
    rows += [synthetic.row(i, scored="fastgaze", method="strong", **wrong) for i in range(10)]
    first = synthetic.write_run(tmp_path / "a", rows, data={"photos": 10, "sha256": "1" * 64})
    rows = scored(synthetic, "gaze-lite", {("x", 1.0): [0]})
    same = synthetic.write_run(tmp_path / "b", rows, data={"photos": 10, "sha256": "1" * 64})
    other = synthetic.write_run(tmp_path / "c", rows[:8], data={"photos": 8, "sha256": "2" * 64})
    assert notices(collect([same])[0]) == []
    (errors,) = notices(collect([first, same])[0])
    assert errors == (
        "fastgaze: 10 of its results ended with an error (strong from gaze-lite); left out: 9 photos that no other "
        "attack took to its goal."
    )
    assert "not all of the same photos: of 10 gaze-lite lacks 2" in as_markdown(collect([first, other]))
    shown = CliRunner().invoke(app, ["bench", "leaderboard", str(first), str(other)], env={"COLUMNS": "200"})
    assert "not all of the same photos: of 10 gaze-lite lacks 2" in shown.output
    assert "Ranked by 8 photos, those that every model has, of 10." in shown.output


def test_hostile_names_of_models_stay_inside_the_folder(tmp_path: Path, synthetic: Any) -> None:
    name = "../../<script>|evil"
    run = synthetic.write_run(tmp_path / "run", scored(synthetic, name, {("x", 1.0): [0]}))
    written = write_boards(collect([run]), tmp_path / "board")
    assert all(path.resolve().is_relative_to(tmp_path / "board") for path in written)
    assert "<script>" not in written[0].read_text(encoding="utf-8")


def test_a_run_without_results_has_no_cards(tmp_path: Path, synthetic: Any) -> None:
    with pytest.raises(InvalidInputError, match="no model has been scored"):
        collect([synthetic.write_run(tmp_path / "run", [])])


def test_robustness_score_is_the_formula() -> None:
    # Zhang et al. 2022: the model's range is 0 to 10, of which 8 are possible from 2 on.
    before, after = [2.0, 9.0, 5.0], [2.8, 0.0, 5.0]
    found = robustness_scores(before, after, low=0.0, high=10.0)
    assert found == pytest.approx([1.0, 0.0, np.log10(0.5 / 1e-6)], abs=1e-5)
    assert relative_gains(before, after, low=0.0, high=10.0) == pytest.approx([0.08 / 1.2, -0.9 / 1.9, 0.0])
    for bad in ({"low": 1.0, "high": 1.0}, {"low": 0.0, "high": 1.0}, {"low": np.nan, "high": 1.0}):
        with pytest.raises(InvalidInputError):
            robustness_scores(before, after, **bad)


def test_with_the_range_of_the_clean_scores_they_are_the_benchmarks_numbers() -> None:
    """By the steps of the MSU benchmark's published code: min-max scaling by the clean scores, 1e-6 and 1 added."""
    before, after = np.array([31.0, 47.5, 62.0, 58.25]), np.array([44.0, 47.5, 91.0, 49.0])
    scale = np.polynomial.Polynomial.fit([before.min(), before.max()], [0, 1], 1)
    clean, attacked = scale(before), scale(after)
    low, high = before.min(), before.max()
    expected = [np.log10(max(1 - c, c) / (abs(c - a) + 1e-6)) for c, a in zip(clean, attacked, strict=True)]
    assert robustness_scores(before, after, low=low, high=high) == pytest.approx(expected)
    expected = [((a + 1) - (c + 1)) / (c + 1) for c, a in zip(clean, attacked, strict=True)]
    assert relative_gains(before, after, low=low, high=high) == pytest.approx(expected)


def test_quality_models_get_robustness_scores(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(i, metrics={"robustness-score": score, "relative-gain": gain}, success=gain > 0.1)
        for i, (score, gain) in enumerate([(1.5, 0.02), (1.0, 0.08), (0.2, 0.5)])
    ]
    run = synthetic.write_run(tmp_path / "run", rows)
    (card,) = model_cards(run)
    assert card["quality"]["robustness_score"]["estimate"] == pytest.approx(0.9)
    assert card["quality"]["relative_gain"]["estimate"] == pytest.approx(0.2)
    assert "| R | relative gain |" in as_markdown(collect([run]))


def test_the_command_writes_and_prints(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", scored(synthetic, "fastgaze", {("x", 1.0): [0]}))
    out = tmp_path / "board"
    shown = CliRunner().invoke(app, ["bench", "leaderboard", str(run), "--out", str(out)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "90.0%" in shown.output
    assert json.loads((out / "leaderboard.json").read_text())["boards"][0]["cards"][0]["model"] == "fastgaze"
    printed = CliRunner().invoke(app, ["bench", "leaderboard", str(run), "--json"])
    assert json.loads(printed.output)["boards"][0]["suite"] == "table"
    report = CliRunner().invoke(app, ["bench", "report", str(run), "--out", str(out)])
    assert report.exit_code == 0
    assert (out / "report.html").stat().st_size > 10_000
