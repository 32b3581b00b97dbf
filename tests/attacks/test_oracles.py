"""Another model decides success: any estimator of the task, white box or query-only, with its queries counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from art_crop.attacks import ContrastShift, GaussianNoise, SaliencyPeakFGM
from art_crop.errors import QueryLimitError
from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.geometry import Region, crop_window
from art_crop.objectives import ScoreBeyond

REGION = Region(0.5, 0.5, 0.75, 1)
ATTACKS: list[Any] = [SaliencyPeakFGM, GaussianNoise, ContrastShift]


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("task", ["saliency", "quality"])
@pytest.mark.parametrize("kind", ATTACKS)
def test_a_query_only_oracle(tiny: Any, kind: Callable[..., Any], task: str, minimal: bool) -> None:
    """It decides as the same model in the open would, and is asked as often as the records say."""
    x = tiny.photos(3)
    white: Any = tiny.saliency_estimator() if task == "saliency" else tiny.quality_estimator()
    black = (
        BlackBoxSaliencyRegressor(white.predict, log_density=True)
        if task == "saliency"
        else BlackBoxQualityRegressor(white.predict)
    )
    y = REGION if task == "saliency" else ScoreBeyond([float(score) - 0.3 for score in white.predict(x)], "below")
    photos, records = [], []
    for oracle in (white, black):
        attack = kind(white, success_oracle=oracle, eps=3.0, minimal=minimal)
        black.reset_queries()
        photos.append(attack.generate(x, y))
        records.append([(r.success, r.success_before, r.l2, r.gradients, r.queries) for r in attack.results])
    assert np.array_equal(*photos)
    assert records[0] == records[1]
    located = 3 if kind is ContrastShift and task == "saliency" else 0  # the map that tells where the peaks are
    assert black.query_count - located == sum(queries for *_, queries in records[1])


def test_a_limit_of_queries_ends_the_attack(tiny: Any) -> None:
    white = tiny.saliency_estimator()
    black = BlackBoxSaliencyRegressor(white.predict, log_density=True, max_queries=4)
    with pytest.raises(QueryLimitError, match="max_queries"):
        SaliencyPeakFGM(white, success_oracle=black, eps=9.0, minimal=True).generate(tiny.photos(1), REGION)


def test_an_oracle_that_shows_crops_alone(tiny: Any) -> None:
    """Gradients of a surrogate, success by the windows of a service."""
    white, ratios, region = tiny.saliency_estimator(), (0.5, 1.0), Region(0.6, 0.65, 0.9, 0.9)

    def crops(x: Any) -> Any:
        return np.array(
            [[crop_window(32, 24, (int(px), int(py)), r) for r in ratios] for px, py in white.salient_points(x)]
        )

    service = BlackBoxSaliencyRegressor(crops, returns="crops", ratios=ratios)
    attack = SaliencyPeakFGM(white, success_oracle=service, eps=6.0, minimal=True, ratios=ratios)
    found = attack.generate(tiny.photos(4), region)
    for windows, result in zip(crops(found), attack.results, strict=True):
        shown = [
            left <= 0.6 * 32 and top <= 0.65 * 24 and left + width >= 0.9 * 32 and top + height >= 0.9 * 24
            for left, top, width, height in windows
        ]
        assert result.success == all(shown)
    assert all(result.success for result in attack.results)
