"""Search by asking alone: what is asked about, how often, and that it leads to the objective."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from skimage.filters import gabor_kernel

import art_crop
from art_crop.attacks import TPEPixelSearch
from art_crop.attacks.trials import SAMPLERS
from art_crop.errors import InvalidInputError, MissingDependencyError
from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.functional.gabor import OPPONENT, add_gabor
from art_crop.geometry import Region

REGION = Region(0.05, 0.55, 0.45, 1.0)
PHOTOS = np.stack([data.chelsea()[50:242, 100:356], data.coffee()[100:292, 100:356]])
X = PHOTOS.transpose(0, 3, 1, 2).astype(np.float32) / 255


@pytest.fixture(scope="module")
def cropper() -> Any:
    return art_crop.load_model("gaze-lite", device="cpu")


def asked_only(cropper: Any, answer: str = "map") -> tuple[BlackBoxSaliencyRegressor, list[Any]]:
    """A cropper that answers and is not looked into, and the photos that it was asked about."""
    seen: list[Any] = []

    def answers(x: Any) -> Any:
        seen.extend(x)
        if answer == "map":
            return cropper.predict(x)
        output = cropper.output(x)
        rows, columns = np.unravel_index(output.saliency.flatten(1).argmax(1).numpy(), output.saliency.shape[1:])
        return np.stack([output.x[columns], output.y[rows]], 1)

    return BlackBoxSaliencyRegressor(answers, returns=answer, log_density=True), seen  # type: ignore[arg-type]


def test_it_moves_the_peak_of_a_cropper_that_only_answers(cropper: Any) -> None:
    victim, seen = asked_only(cropper)
    attack = TPEPixelSearch(victim, eps=12.0, max_queries=150, seed=1)
    changed = attack.generate(X, REGION)
    for k, result in enumerate(attack.results):
        assert result.success
        assert not result.success_before
        assert result.l2 <= 12 * (1 + 1e-6)
        assert result.queries <= 150
        assert any(np.array_equal(changed[k], photo) for photo in seen), "the photo that is returned was asked about"
        assert list(result.curve) == sorted(result.curve, reverse=True)
    assert len(seen) == victim.query_count == sum(result.queries for result in attack.results)
    np.testing.assert_array_equal(np.rint(changed * 255), (changed * 255).round(3))  # whole grey levels
    output = cropper.output(changed)
    for saliency in output.saliency.numpy():
        row, column = np.unravel_index(saliency.argmax(), saliency.shape)
        assert 0.05 * 256 <= output.x[column] <= 0.45 * 256
        assert output.y[row] >= 0.55 * 192


def test_one_at_a_time_patches_and_their_combinations_are_asked_about(cropper: Any) -> None:
    victim, seen = asked_only(cropper)
    attack = TPEPixelSearch(victim, eps=0.5, max_queries=40, batch=1)
    attack.generate(X[:1], Region(0.02, 0.02, 0.2, 0.2))
    changed = [(photo != X[0]).any(0).mean() for photo in seen[1:]]
    assert len({photo.tobytes() for photo in seen}) == 40
    assert sum(share > 1.5 * np.median(changed) for share in changed) >= 2, (
        "sums of patches cover more than two of them"
    )


def test_a_single_query_is_the_photo_itself(cropper: Any) -> None:
    attack = TPEPixelSearch(cropper, max_queries=1)
    np.testing.assert_array_equal(attack.generate(X, REGION), X)
    assert [(result.success, result.queries) for result in attack.results] == [(False, 1)] * 2


def test_every_photo_that_is_asked_about_keeps_to_the_budget_and_the_limit_of_queries(cropper: Any) -> None:
    victim, seen = asked_only(cropper)
    attack = TPEPixelSearch(victim, eps=0.8, max_queries=21, batch=4, trials=8)
    attack.generate(X[:1], REGION)
    assert [attack.results[0].queries, victim.query_count] == [21, 21]
    assert len(attack.results[0].curve) == 21
    norms = [float(np.linalg.norm(photo.astype(np.float64) - X[0])) for photo in seen]
    assert norms[0] == 0
    assert all(0.5 < norm <= 0.8 * (1 + 1e-6) for norm in norms[1:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_photos_result_is_the_same_alone_and_again_and_another_seeds_is_another(cropper: Any, sampler: Any) -> None:
    options = {"eps": 1.5, "max_queries": 17, "trials": 8, "sampler": sampler}
    both = TPEPixelSearch(cropper, **options).generate(X, REGION)
    alone = TPEPixelSearch(cropper, **options).generate(X[1:], REGION)
    np.testing.assert_array_equal(both[1:], alone)
    assert (TPEPixelSearch(cropper, seed=1, **options).generate(X[1:], REGION) != alone).any()


def test_salient_points_alone_are_enough(cropper: Any) -> None:
    victim, seen = asked_only(cropper, "point")
    attack = TPEPixelSearch(victim, eps=12.0, max_queries=200)
    changed = attack.generate(X, REGION)
    for photo, result in zip(changed - X, attack.results, strict=True):
        assert result.success
        assert float(np.linalg.norm(photo)) <= 12 * (1 + 1e-6)
    norms = [float(np.linalg.norm(photo - X[0])) for photo in seen if np.abs(photo - X[0]).mean() < 0.1]
    assert max(norms) > 13, "larger changes are asked about, and not returned"


def test_scores_that_are_only_answered_fall() -> None:
    """Of a model that likes red and green apart by the same everywhere; patches need not lie at any place for it."""
    victim = BlackBoxQualityRegressor(lambda x: 100 * (1 - (x[:, 0] - x[:, 1]).std((1, 2))))
    before = float(victim.predict(X[:1])[0])
    attack = TPEPixelSearch(victim, eps=10.0, max_queries=60)
    changed = attack.generate(X[:1], [before - 0.5])
    assert attack.results[0].success
    assert float(victim.predict(changed)[0]) <= before - 0.5


@pytest.mark.parametrize("answer", ["map", "point"])
def test_the_smallest_change_is_searched_with_the_queries_that_are_left(cropper: Any, answer: str) -> None:
    victim, seen = asked_only(cropper, answer)
    options = {"eps": 12.0, "max_queries": 120, "seed": 1}
    first = TPEPixelSearch(victim, **options)
    first.generate(X[:1], REGION)
    attack = TPEPixelSearch(victim, minimal=True, **options)
    del seen[:]
    changed = attack.generate(X[:1], REGION)
    (result,) = attack.results
    assert result.success
    assert result.queries == len(seen) == 120
    assert result.l2 < 0.9 * first.results[0].l2
    assert result.curve_of == "budget"
    assert result.curve[-1] == pytest.approx(result.l2, rel=0.02)
    assert list(result.curve) == sorted(result.curve, reverse=True)
    output = cropper.output(changed)
    row, column = np.unravel_index(output.saliency[0].argmax(), output.saliency[0].shape)
    assert 0.05 * 256 <= output.x[column] <= 0.45 * 256
    assert output.y[row] >= 0.55 * 192


def test_what_meets_the_objective_already_is_asked_about_once_and_returned(cropper: Any) -> None:
    attack = TPEPixelSearch(cropper)
    changed = attack.generate(X, Region(0, 0, 1, 1))
    np.testing.assert_array_equal(changed, X)
    assert [(r.success, r.success_before, r.queries, r.l2) for r in attack.results] == [(True, True, 1, 0.0)] * 2


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.0])
def test_a_patch_is_a_gabor_of_its_colour_and_norm(turn: float) -> None:
    change = torch.zeros(3, 61, 81, dtype=torch.float64)
    add_gabor(change, (0.5, 0.5), sigma=6.0, wave=15.0, turn=turn, phase=0.4, hue=0.3, size=2.5)
    kernel = np.real(gabor_kernel(1 / 15, theta=turn, sigma_x=6, sigma_y=6, n_stds=5, offset=0.4))
    rows, columns = (side // 2 for side in kernel.shape)
    expected = np.zeros((61, 81))
    expected[:] = np.pad(kernel, ((40, 40), (40, 40)))[rows + 10 : rows + 71, columns : columns + 81]
    window = slice(30 - 18, 30 + 19), slice(40 - 18, 40 + 19)
    colour = np.cos(0.3) * np.array(OPPONENT[0]) + np.sin(0.3) * np.array(OPPONENT[1])
    part = expected[window] / np.linalg.norm(expected[window]) * 2.5
    np.testing.assert_allclose(change[(slice(None), *window)], colour[:, None, None] * part, atol=1e-9)
    assert float(change.norm()) == pytest.approx(2.5)
    assert float(change.sum(0).abs().max()) < 1e-9  # lightness stays


def test_bad_parameters_are_refused(cropper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ({"max_queries": 0}, {"batch": -1}, {"trials": 1.5}, {"sampler": "grid"}, {"eps": 0.0}, {"mask": 1}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            TPEPixelSearch(cropper, **wrong)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"art-crop\[tpe\]"):
        TPEPixelSearch(cropper)
