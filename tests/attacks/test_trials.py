"""Trials: proposals that follow from what was asked, kept in files that outlive a kill, shared by workers."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from skimage import data

import art_crop
from art_crop.attacks import TPEPixelSearch
from art_crop.attacks.trials import SAMPLERS, Range, StudyLog, Suggestions, Trial, TrialLog
from art_crop.errors import InvalidInputError, MissingDependencyError, OutputError
from art_crop.estimators import BlackBoxSaliencyRegressor
from art_crop.geometry import Region

REGION = Region(0.02, 0.02, 0.2, 0.2)
X = data.chelsea()[None, 50:242, 100:356].transpose(0, 3, 1, 2).astype(np.float32) / 255
RANGES = {"a": Range(0.0, 1.0), "b": Range(0.01, 1.0, log=True), "c": Range(-2.0, 2.0)}
OPTIONS: dict[str, Any] = {"eps": 0.7, "max_queries": 41, "trials": 20}


def storages(folder: Path) -> list[str]:
    return [f"sqlite:///{folder / 'search.db'}", str(folder / "search.log")]


def no_more(x: Any) -> None:
    """Called with what the model is about to be asked; a process of its own puts something else here."""


@functools.cache
def cropper() -> Any:
    return art_crop.load_model("gaze-lite", device="cpu")


def answer(x: Any) -> Any:
    no_more(x)
    return cropper().predict(x)


@pytest.fixture(scope="module")
def victim() -> BlackBoxSaliencyRegressor:
    return BlackBoxSaliencyRegressor(answer, log_density=True)


@pytest.fixture(scope="module")
def uninterrupted(victim: Any) -> Any:
    attack = TPEPixelSearch(victim, **OPTIONS)
    return attack.generate(X, REGION), attack.results[0]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_follow_from_history_and_seeds_and_come_nearer(sampler: Any) -> None:
    def value(params: dict[str, float]) -> float:
        return (params["a"] - 0.7) ** 2 + np.log10(params["b"] / 0.1) ** 2 + (params["c"] + 1) ** 2

    history: list[Any] = []
    suggest = Suggestions(sampler)
    for start in range(0, 120, 8):
        seeds = list(range(start, start + 8))
        found = suggest(RANGES, history, seeds)
        assert found == Suggestions(sampler)(RANGES, history, seeds)
        assert len({tuple(params.values()) for params in found}) == 8
        for params in found:
            assert all(low <= params[name] <= high for name, (low, high, _) in RANGES.items())
        history += [(params, value(params)) for params in found]
    early, late = (np.median([v for _, v in part]) for part in (history[:24], history[-24:]))
    assert (late < 0.4 * early) == (sampler != "random")


def test_history_of_other_ranges_is_left_out() -> None:
    odd: list[Any] = [({"a": 3.0, "b": 0.1, "c": 0.0}, 0.0), ({"a": 0.5}, 0.0)]
    for sampler in SAMPLERS:
        suggest = Suggestions(sampler)  # type: ignore[arg-type]
        assert suggest(RANGES, odd, [4]) == suggest(RANGES, [], [4])


@pytest.mark.parametrize("kind", [0, 1], ids=["sqlite", "journal"])
def test_a_stored_search_is_the_one_in_memory_and_goes_on_where_it_stopped(
    kind: int, tmp_path: Path, victim: Any, uninterrupted: Any
) -> None:
    storage = storages(tmp_path)[kind]
    victim.reset_queries()
    TPEPixelSearch(victim, storage=storage, **{**OPTIONS, "max_queries": 17}).generate(X, REGION)
    assert victim.query_count == 17
    attack = TPEPixelSearch(victim, storage=storage, **OPTIONS)
    changed = attack.generate(X, REGION)
    assert victim.query_count == 41, "nothing is asked about again, the photo itself included"
    np.testing.assert_array_equal(changed, uninterrupted[0])
    assert attack.results[0] == uninterrupted[1]
    attack.generate(X, REGION)
    assert victim.query_count == 41
    study = optuna.load_study(study_name=None, storage=storage if kind == 0 else _journal(storage))
    trials = [trial for trial in study.trials if trial.params]
    assert len(study.trials) == 40
    assert {"sigma", "x0", "hue1"} <= trials[0].params.keys(), "Optuna's own tools can show them"


def _journal(path: str) -> Any:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))


def test_after_a_kill_no_finished_trial_is_lost_and_the_result_is_the_same(
    tmp_path: Path, victim: Any, uninterrupted: Any
) -> None:
    storage = storages(tmp_path)[0]
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        sys.path.insert(0, {os.fspath(Path(__file__).parent)!r})
        import test_trials
        asked = 0
        def killer(x):
            global asked
            asked += len(x)
            if asked > 25:
                os.kill(os.getpid(), signal.SIGKILL)  # in the midst of a batch: its trials have no answer
        test_trials.no_more = killer
        victim = test_trials.BlackBoxSaliencyRegressor(test_trials.answer, log_density=True)
        attack = test_trials.TPEPixelSearch(victim, storage={storage!r}, **test_trials.OPTIONS)
        attack.generate(test_trials.X, test_trials.REGION)
        """
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    states = [trial.state.name for trial in optuna.load_study(study_name=None, storage=storage).trials]
    assert states == ["COMPLETE"] * 24 + ["RUNNING"] * 8
    victim.reset_queries()
    attack = TPEPixelSearch(victim, storage=storage, **OPTIONS)
    changed = attack.generate(X, REGION)
    assert victim.query_count == 41 - 25
    np.testing.assert_array_equal(changed, uninterrupted[0])
    assert attack.results[0].curve == uninterrupted[1].curve


def test_workers_share_a_study_and_its_limit_of_queries(tmp_path: Path) -> None:
    storage = storages(tmp_path)[0]
    seen: list[bytes] = []

    def work(number: int) -> Any:
        def answer(x: Any) -> Any:
            seen.extend(photo.tobytes() for photo in x)
            time.sleep(0.05)
            return cropper().predict(x)

        attack = TPEPixelSearch(
            BlackBoxSaliencyRegressor(answer, log_density=True), storage=storage, batch=3 + number, **OPTIONS
        )
        attack.generate(X, REGION)
        return attack.results[0]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, range(2)))
    assert len(set(seen)) == len([one for one in seen if one != X[0].tobytes()]) + 1, "no change is asked about twice"
    assert [result.queries for result in results] == [41, 41]
    assert results[0].loss == results[1].loss
    complete = [t for t in optuna.load_study(study_name=None, storage=storage).trials if t.state.name == "COMPLETE"]
    assert len(complete) == 40


def test_a_model_that_raises_leaves_its_trials_to_the_next_run(tmp_path: Path, victim: Any) -> None:
    storage = storages(tmp_path)[1]
    asked = []

    def falters(x: Any) -> Any:
        asked.append(len(x))
        if len(asked) == 4:
            raise RuntimeError("the service is down")
        return cropper().predict(x)

    flaky = BlackBoxSaliencyRegressor(falters, log_density=True)
    with pytest.raises(RuntimeError, match="the service is down"):
        TPEPixelSearch(flaky, storage=storage, **OPTIONS).generate(X, REGION)
    attack = TPEPixelSearch(flaky, storage=storage, **OPTIONS)
    attack.generate(X, REGION)
    assert attack.results[0].queries == 41
    assert sum(asked) == 41 + 8


def test_searches_that_differ_are_studies_of_their_own(tmp_path: Path, victim: Any) -> None:
    storage = storages(tmp_path)[1]
    short = {**OPTIONS, "max_queries": 3}
    for extra in ({}, {"seed": 1}, {"eps": 0.8}, {"sampler": "random"}, {"combine": False}, {"loss": "cross_entropy"}):
        TPEPixelSearch(victim, storage=storage, **{**short, **extra}).generate(X, REGION)
    TPEPixelSearch(victim, storage=storage, **short).generate(X, Region(0.1, 0.02, 0.2, 0.2))
    TPEPixelSearch(victim, storage=storage, **short).generate(X[..., ::-1].copy(), REGION)
    assert len(_journal(storage).get_all_studies()) == 8


def test_what_cannot_be_used_is_said_in_a_sentence_without_the_password(tmp_path: Path, victim: Any) -> None:
    broken, torn = tmp_path / "broken.db", tmp_path / "torn.log"
    broken.write_bytes(b"no database at all" * 100)
    torn.write_text("{ this is no journal\n" * 3)
    cases = {
        f"sqlite:///{broken}": (OutputError, "broken.db cannot be used"),
        str(torn): (OutputError, "torn.log cannot be used"),
        str(tmp_path / "none" / "x.log"): (OutputError, "there is no folder"),
        f"sqlite:///{tmp_path / 'none' / 'x.db'}": (OutputError, "cannot be used"),
        "nosuch://somewhere/x": (InvalidInputError, "sqlite:///FILE"),
        "postgresql+nodriver://user:secret@host/x": ((InvalidInputError, MissingDependencyError), "storage"),
    }
    for storage, (kind, message) in cases.items():
        with pytest.raises(kind, match=message) as caught:  # type: ignore[call-overload]
            TPEPixelSearch(victim, storage=storage, **OPTIONS).generate(X, REGION)
        assert "secret" not in str(caught.value)
    for wrong in (3, "", " "):
        with pytest.raises(InvalidInputError, match="storage"):
            TPEPixelSearch(victim, storage=wrong)  # type: ignore[arg-type]


def test_a_locked_database_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    storage = storages(tmp_path)[0]
    log = StudyLog(storage, "mine")
    monkeypatch.setattr("art_crop.attacks.trials.PATIENCE", 0.1)
    holder = sqlite3.connect(tmp_path / "search.db")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OutputError, match="locked"):
        StudyLog(storage, "mine").reserve([Trial()], 10)
    holder.rollback()
    holder.close()
    assert log.reserve([Trial()], 10)[0].number == 0


def test_no_more_trials_are_numbered_than_the_limit_allows(tmp_path: Path) -> None:
    for log in (TrialLog(), StudyLog(storages(tmp_path)[1], "mine")):
        first, second = (log.reserve([Trial(params={"a": k}), Trial(params={"a": k + 1.0})], 3) for k in (1.0, 3.0))
        assert [trial.number for trial in (*first, *second)] == [0, 1, 2]
