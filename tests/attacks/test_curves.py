"""How a search went: the curves that attacks record beside their results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from art_crop.attacks import ContrastShift, GaussianNoise, SaliencyPeakFGM
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

REGION = Region(0.5, 0.5, 0.75, 1)


@pytest.fixture
def saliency(tiny: Any) -> Any:
    return tiny.saliency_estimator()


@pytest.fixture
def photos(tiny: Any) -> Any:
    return tiny.photos(5)


def test_least_loss_after_each_pass(saliency: Any, photos: Any) -> None:
    def losses(x: Any) -> Any:
        return saliency.evaluate(saliency.to_tensor(x), PeakInRegion([REGION] * len(x))).loss.numpy()

    attack = SaliencyPeakFGM(saliency, eps=0.3, max_iter=5, quantize=False)
    adversarial = attack.generate(photos, REGION)
    for i, result in enumerate(attack.results):
        assert result.curve_of == "loss"
        assert len(result.curve) == result.gradients + result.queries == 6
        assert list(result.curve) == sorted(result.curve, reverse=True)
        first, last = (losses(x)[i] for x in (photos, adversarial))
        assert result.curve[0] == pytest.approx(float(first), abs=1e-5)
        assert result.curve[-1] <= float(last) + 1e-5


def test_smallest_budget_after_each_query(saliency: Any, photos: Any) -> None:
    attack = SaliencyPeakFGM(saliency, eps=20.0, minimal=True, max_iter=4, quantize=False)
    attack.generate(photos, REGION)
    searched = [result for result in attack.results if not result.success_before]
    assert searched
    for result in searched:
        assert result.curve_of == "budget"
        assert len(result.curve) == result.gradients + result.queries - 1  # the final verdict finds nothing
        assert result.curve[0] == math.inf
        assert list(result.curve) == sorted(result.curve, reverse=True)
        assert result.curve[-1] == pytest.approx(result.l2, rel=1e-3)


def test_a_search_without_success_has_no_budget(saliency: Any, photos: Any) -> None:
    attack = SaliencyPeakFGM(saliency, eps=1e-4, minimal=True, max_iter=2, quantize=False)
    attack.generate(photos, REGION)
    failed = [result for result in attack.results if not result.success]
    assert failed
    assert all(set(result.curve) == {math.inf} for result in failed)


@pytest.mark.parametrize("kind", [GaussianNoise, ContrastShift])
def test_attacks_without_gradients_have_curves_too(saliency: Any, photos: Any, kind: Any) -> None:
    attack = kind(saliency, eps=0.5, quantize=False)
    attack.generate(photos, REGION)
    for result in attack.results:
        assert result.curve_of == "loss"
        assert len(result.curve) == 2
        assert result.curve[1] == min(result.curve[0], result.loss)


@pytest.mark.parametrize("options", [{"features": ["first"]}, {"ensemble": True}])
def test_no_loss_is_told_that_is_not_the_models_own(saliency: Any, photos: Any, options: dict[str, Any]) -> None:
    options = {"ensemble": [saliency]} if "ensemble" in options else options
    attack = SaliencyPeakFGM(saliency, eps=0.5, max_iter=2, quantize=False, **options)
    attack.generate(photos, REGION)
    assert all((result.curve, result.curve_of) == ((), "") for result in attack.results)


def test_an_oracles_loss_is_not_mixed_in(saliency: Any, photos: Any) -> None:
    attack = SaliencyPeakFGM(saliency, eps=0.5, max_iter=3, quantize=False, success_oracle=saliency)
    attack.generate(photos, REGION)
    assert all(len(result.curve) == 3 for result in attack.results)
    assert all(np.isfinite(result.curve).all() for result in attack.results)


@pytest.mark.parametrize(
    "options",
    [
        {"minimal": True, "eps": 20.0, "max_iter": 4},
        {"max_iter": 3, "eps": 0.5},
        {"max_iter": 3, "eps": 0.5, "early_stop": True},
        {"max_iter": 3, "eps": 0.5, "random_init": True},
        {"max_iter": 3, "eps": 0.5, "diversity": 1.0},
    ],
)
@pytest.mark.parametrize("with_oracle", [True, False])
def test_queries_are_the_verdicts_that_were_asked_for(
    tiny: Any, photos: Any, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], with_oracle: bool
) -> None:
    model, oracle = tiny.saliency_estimator(), tiny.saliency_estimator()
    asked, decides = [], oracle if with_oracle else model
    evaluate = decides.evaluate
    monkeypatch.setattr(decides, "evaluate", lambda *a, **k: asked.append(1) or evaluate(*a, **k))
    for photo in photos:
        asked.clear()
        attack = SaliencyPeakFGM(model, success_oracle=oracle if with_oracle else None, quantize=False, **options)
        attack.generate(photo[None], REGION)
        assert attack.results[0].queries == len(asked)
