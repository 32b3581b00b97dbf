"""Every evasion attack of ART on a real cropper and a real photo: what runs must run, what does not must be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from art.attacks.attack import Attack
from art_attack_rows import ROWS
from art_attacks import Row, Setting, attempt, available, evasion_classes, expected

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "art-attacks.md"


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting()


def name(row: Row) -> str:
    return f"{row.attack}-{row.on}"


@pytest.mark.parametrize("row", [pytest.param(r, marks=[pytest.mark.slow] if r.slow else [], id=name(r)) for r in ROWS])
def test_what_becomes_of_an_attack(row: Row, setting: Setting) -> None:
    if row.attack not in evasion_classes():
        pytest.skip(f"ART offers {row.attack} only where {', '.join(row.needs)} is installed")
    outcome = attempt(row, setting)
    assert outcome.status == expected(row), f"{outcome.detail}\n{outcome.trace}"
    if outcome.status != row.status:
        assert any(package in outcome.detail for package in row.needs)
        return
    assert row.error in outcome.detail
    assert outcome.left == row.leaves
    if row.moves is not None:
        assert (outcome.changed > 1e-6) == (row.moves and row.status == "runs")


@pytest.mark.parametrize(
    "row", [pytest.param(r, id=name(r)) for r in ROWS if r.status == "fails in ART" and r.on == "view"]
)
def test_what_fails_in_art_fails_on_arts_own_classifier_too(row: Row, setting: Setting) -> None:
    outcome = attempt(replace(row, on="plain"), setting)
    assert outcome.status == expected(row), outcome.trace
    assert outcome.detail == attempt(row, setting).detail


def test_no_attack_of_art_is_missing() -> None:
    optional = {row.attack for row in ROWS if not all(map(available, row.needs))}
    listed = {row.attack for row in ROWS}
    assert set(evasion_classes()) <= listed
    assert listed - optional <= set(evasion_classes())


def test_the_page_lists_the_same_rows() -> None:
    if not RESULTS.is_file():
        pytest.skip("the results are not part of an sdist")
    page = RESULTS.read_text(encoding="utf-8")
    for attack in {row.attack for row in ROWS}:
        assert f"| {attack} |" in page


def test_an_attack_that_breaks_its_promise_is_noticed(setting: Setting) -> None:
    good = next(row for row in ROWS if row.attack == "FastGradientMethod" and row.on == "view")
    spoils = {
        "not a photo": lambda attack, x, kwargs: x[0],
        "not finite": lambda attack, x, kwargs: x * np.nan,
        "returns pixels in": lambda attack, x, kwargs: x + 1,
        "changes the photo": lambda attack, x, kwargs: np.multiply(x, 0.5, out=x),
        "ValueError: no": lambda attack, x, kwargs: (_ for _ in ()).throw(ValueError("no")),
    }
    for text, run in spoils.items():
        outcome = attempt(Row("FastGradientMethod", good.make, run=run), setting)
        assert outcome.status == "fails in ART"
        assert text in outcome.detail


def test_what_art_lets_onto_a_regressor(setting: Setting) -> None:
    """ART's own requirement check, which walks the classes of the estimator."""
    accepted = {
        n for n, c in evasion_classes().items() if Attack.is_estimator_valid(setting.cropper, c._estimator_requirements)
    }  # type: ignore[attr-defined]
    gradient = {"FastGradientMethod", "BasicIterativeMethod", "MomentumIterativeMethod", "ProjectedGradientDescent"}
    assert gradient | {"ProjectedGradientDescentNumpy", "SquareAttack", "FeatureAdversariesPyTorch"} <= accepted
    assert accepted & {"CarliniL2Method", "DeepFool", "AutoProjectedGradientDescent", "HopSkipJump"} == set()
