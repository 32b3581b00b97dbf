"""What a stranger writes, on top of art_crop and without touching it: an attack, a constraint, a cropper."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.nn import functional as F

from art_crop.attacks import Constraint, GaussianNoise, LInf, SaliencyPeakFGM
from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import photo_stream
from art_crop.errors import InvalidInputError, QueryLimitError
from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.geometry import Region, crop_window
from art_crop.objectives import CropContainsRegion, PeakInRegion, ScoreBeyond

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)


# -- an attack that only asks ------------------------------------------------------------------------------------------


class RandomSearch(PhotoAttack):
    """Squares of random place and colour; one is kept where the loss falls."""

    attack_params: ClassVar[list[str]] = [*PhotoAttack.attack_params, "max_iter"]

    def __init__(self, estimator: Any, *, max_iter: int = 60, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.max_iter = max_iter
        self._check_params()

    def _search(self, batch: Batch) -> list[Any]:
        kept, ways = [space.start for space in batch.spaces], torch.zeros_like(batch.start)
        streams = [photo_stream(space.start.seen, self.seed) for space in batch.spaces]
        first = batch.evaluate(batch.start)
        losses = first.loss.tolist()
        curves = [[loss] for loss in losses]
        for _ in range(self.max_iter):
            tries = ways.clone()
            for way, stream in zip(tries, streams, strict=True):
                top, left = (int(stream.integers(0, side - 7)) for side in way.shape[1:])
                way[:, top : top + 8, left : left + 8] = torch.from_numpy(stream.choice([-1.0, 1.0], (3, 1, 1)))
            found = [space.at(way, eps) for space, way, eps in zip(batch.spaces, tries, batch.eps, strict=True)]
            answers = batch.evaluate(torch.stack([candidate.seen for candidate in found])).loss.tolist()
            for i, loss in enumerate(answers):
                curves[i].append(loss)
                if loss < losses[i]:
                    losses[i], kept[i], ways[i] = loss, found[i], tries[i]
        asked = [1 + self.max_iter] * len(batch)
        return self._records(batch, kept, first.success.tolist(), [0] * len(batch), asked, curves)


def test_an_attack_that_only_asks(tiny: Any) -> None:
    """On white boxes and query-only models of every task; budgets, whole levels and records come with the base."""
    x = np.rint(tiny.photos(2) * 255).astype(np.float32) / np.float32(255)
    saliency, quality, classifier = tiny.saliency_estimator(), tiny.quality_estimator(), tiny.classifier()
    bounds = ScoreBeyond([float(score) - 0.05 for score in quality.predict(x)], "below")
    for estimator, y, succeeds in (
        (saliency, REGION, True),
        (BlackBoxSaliencyRegressor(saliency.predict, log_density=True), REGION, True),
        (quality, bounds, True),
        (BlackBoxQualityRegressor(quality.predict), bounds, True),
        (classifier, classifier.predict(x).argmax(1), False),
    ):
        attack = RandomSearch(estimator, eps=6.0)
        found = attack.generate(x, y)
        assert np.array_equal(found, np.rint(found * 255) / np.float32(255))
        assert (np.linalg.norm((found - x).reshape(2, -1), axis=1) <= 6.0 * (1 + 1e-5)).all()
        for result in attack.results:
            assert result.success or not succeeds
            assert result.loss < result.curve[0]
            assert (result.gradients, result.queries) == (0, 62)


def test_the_same_answers_lead_to_the_same_photos(tiny: Any) -> None:
    """A model behind a wall of queries is attacked exactly as the same one in the open."""
    x, white = tiny.photos(3), tiny.saliency_estimator()
    black = BlackBoxSaliencyRegressor(white.predict, log_density=True)
    assert np.array_equal(*(RandomSearch(model, eps=1.0).generate(x, REGION) for model in (white, black)))  # type: ignore[arg-type]
    assert black.query_count == 3 * 62
    with pytest.raises(QueryLimitError):
        RandomSearch(BlackBoxSaliencyRegressor(white.predict, max_queries=5)).generate(x, REGION)
    with pytest.raises(InvalidInputError, match="epsilon"):
        RandomSearch(white).set_params(epsilon=1)


# -- a bound of its own for each pixel ---------------------------------------------------------------------------------


class Texture(Constraint):
    """A pixel may change by a share of the contrast about it, where the eye would not notice."""

    def __init__(self, share: float) -> None:
        self.share = share

    def interval(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
        mean, square = (F.avg_pool2d(values, 5, 1) for values in (padded, padded.square()))
        bound = self.share * (square - mean.square()).clamp_min(0).sqrt()
        return x - bound, x + bound

    def project(self, x: Tensor, changed: Tensor) -> Tensor:
        return changed.clamp(*self.interval(x))


@pytest.mark.parametrize("quantize", [True, False, "round"])
@pytest.mark.parametrize(
    "options", [{}, {"minimal": True, "eps": 20.0}, {"norm": "inf", "eps": 0.2}, {"constraint": LInf(0.05)}]
)
@pytest.mark.parametrize("kind", [SaliencyPeakFGM, GaussianNoise])
def test_a_bound_for_each_pixel(tiny: Any, kind: Any, options: dict[str, Any], quantize: Any) -> None:
    x = np.rint(tiny.photos(2) * 255).astype(np.float32) / np.float32(255)
    x[:, :, :12, :16] = np.float32(128 / 255)  # flat: nothing may change well inside
    attack = kind(tiny.saliency_estimator(), quantize=quantize, **{"eps": 2.0, **options})
    change = attack.generate(x, REGION, constraint=Texture(0.3)) - x
    wide = x.astype(np.float64)
    mean, square = (uniform_filter(v, (0, 0, 5, 5), mode="nearest") for v in (wide, wide**2))
    bound = 0.3 * np.sqrt(np.maximum(square - mean**2, 0))
    assert (np.abs(change) <= bound + 1e-4).all()
    assert not change[:, :, :9, :13].any()
    assert (np.abs(change).reshape(2, -1).max(1) > 0.01).all()
    if "constraint" in options:
        assert np.abs(change).max() <= 0.05 + 1e-5
    free = kind(tiny.saliency_estimator(), quantize=quantize, eps=4.0).generate(x, REGION) - x
    assert (np.abs(free) > bound + 1e-3).any(), "without it, the attack would do what it forbids"


# -- a cropper that answers with boxes ---------------------------------------------------------------------------------


def brightest_crops(x: Array) -> Array:
    """Two windows about the brightest of 8 x 8 tiles: what somebody's service might return."""
    n, _, height, width = x.shape
    tiles = x.mean(1).reshape(n, height // 8, 8, width // 8, 8).mean((2, 4)).reshape(n, -1).argmax(1)
    points = [(int(k) % (width // 8) * 8 + 4, int(k) // (width // 8) * 8 + 4) for k in tiles]
    return np.array([[crop_window(width, height, point, ratio) for ratio in (0.5, 1.0)] for point in points])


def test_a_cropper_that_answers_with_boxes() -> None:
    cropper = BlackBoxSaliencyRegressor(brightest_crops, returns="crops", ratios=(0.5, 1.0))
    x = np.random.default_rng(0).integers(90, 110, (2, 3, 48, 64)).astype(np.float32) / np.float32(255)
    x[:, :, 8:16, 8:16] += np.float32(20 / 255)
    region = Region(0.65, 0.6, 0.9, 0.9)
    attack = RandomSearch(cropper, eps=2.5, ratios=(0.5, 1.0), max_iter=80)
    found = attack.generate(x, region)
    for windows, before in zip(brightest_crops(found), brightest_crops(x), strict=True):
        assert all(left <= 0.65 * 64 and left + width >= 0.9 * 64 for left, _, width, _ in windows)
        assert all(top <= 0.6 * 48 and top + height >= 0.9 * 48 for _, top, _, height in windows)
        assert not all(left + width >= 0.9 * 64 for left, _, width, _ in before)
    assert [(result.success, result.success_before) for result in attack.results] == [(True, False)] * 2
    loss = cropper.evaluate(x, CropContainsRegion([region] * 2, (1.0,))).loss
    expected = [(0.9 * 64 - (row[1][0] + row[1][2])) / 64 for row in brightest_crops(x)]
    assert loss.tolist() == pytest.approx(expected), "how far the region reaches out, in shares of the longer side"
    with pytest.raises(InvalidInputError, match="no saliency map"):
        attack.generate(x, PeakInRegion([region] * 2))
    with pytest.raises(InvalidInputError, match="answers for"):
        RandomSearch(cropper, ratios=(2.0,)).generate(x, region)
