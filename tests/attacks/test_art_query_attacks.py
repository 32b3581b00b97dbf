"""ART's query-only attacks under our objective: their budget, their count, and what they leave as it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from skimage import data

import art_crop
from art_crop.attacks.art_query_attacks import ARTHopSkipJump, ARTSquareAttack
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.geometry import Region

REGION = Region(0.05, 0.55, 0.45, 1.0)
PHOTOS = np.stack([data.chelsea()[50:242, 100:356], data.coffee()[100:292, 100:356]])
X = PHOTOS.transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.fixture(scope="module")
def cropper() -> Any:
    return art_crop.load_model("gaze-lite", device="cpu")


def counted(cropper: Any) -> tuple[BlackBoxSaliencyRegressor, list[Any]]:
    seen: list[Any] = []

    def answers(x: Any) -> Any:
        seen.extend(x)
        return cropper.predict(x)

    return BlackBoxSaliencyRegressor(answers, log_density=True), seen


@pytest.mark.parametrize("kind", [ARTSquareAttack, ARTHopSkipJump])
def test_queries_are_counted_and_what_is_returned_keeps_the_budget(cropper: Any, kind: Any) -> None:
    victim, seen = counted(cropper)
    state = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]  # noqa: NPY002 - ART's source
    attack = kind(victim, eps=2.0, max_queries=25)
    changed = attack.generate(X, REGION)
    assert victim.query_count == len(seen) == sum(result.queries for result in attack.results)
    assert all(result.queries == len(result.curve) <= 25 for result in attack.results)
    assert all(list(result.curve) == sorted(result.curve, reverse=True) for result in attack.results)
    assert (np.linalg.norm((changed - X).reshape(2, -1), axis=1) <= 2 * (1 + 1e-6)).all()
    np.testing.assert_array_equal(np.rint(changed * 255), (changed * 255).round(3))
    np.testing.assert_array_equal(np.random.get_state()[1], state[0])  # type: ignore[index]  # noqa: NPY002
    assert random.getstate() == state[1]


def test_square_attack_brings_a_score_down_inside_its_budget() -> None:
    victim = BlackBoxQualityRegressor(lambda x: 100 * x[:, 0].mean((1, 2)))
    before = float(victim.predict(X[:1])[0])
    attack = ARTSquareAttack(victim, eps=8.0, max_queries=120)
    changed = attack.generate(X[:1], [before - 0.3])
    assert attack.results[0].success
    assert float(victim.predict(changed)[0]) <= before - 0.3
    again = ARTSquareAttack(victim, eps=8.0, max_queries=120).generate(X[:1], [before - 0.3])
    np.testing.assert_array_equal(changed, again)


def test_a_photo_that_meets_its_objective_is_asked_about_once(cropper: Any) -> None:
    for kind in (ARTSquareAttack, ARTHopSkipJump):
        attack = kind(cropper)
        np.testing.assert_array_equal(attack.generate(X, Region(0, 0, 1, 1)), X)
        assert [(r.success, r.success_before, r.queries) for r in attack.results] == [(True, True, 1)] * 2


def test_bad_parameters_are_refused(cropper: Any) -> None:
    for wrong in ({"max_queries": 0}, {"p_init": 0.0}, {"p_init": 2.0}, {"norm": 2}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            ARTSquareAttack(cropper, **wrong)  # type: ignore[arg-type]
