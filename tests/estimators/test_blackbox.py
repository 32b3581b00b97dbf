"""Query-only estimators: three kinds of answers, counted and limited queries, and nothing trusted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from art_crop.errors import InvalidInputError, QueryLimitError
from art_crop.estimators import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor, PyTorchSaliencyRegressor
from art_crop.geometry import Region
from art_crop.objectives import CropContainsRegion, PeakInRegion, ScoreBeyond

Array = np.ndarray[Any, Any]
RATIOS = (0.5, 1.0)


def tile_means(x: Array) -> Array:
    """A map of the mean of each 8 x 8 tile, (n, 3, 48, 64) -> (n, 6, 8)."""
    n, _, height, width = x.shape
    return x.mean(1).reshape(n, height // 8, 8, width // 8, 8).mean((2, 4))


def spots(*corners: tuple[int, int]) -> Array:
    """Grey photos of 64 x 48, each with a bright tile."""
    x = np.full((len(corners), 3, 48, 64), 0.3, np.float32)
    for i, (left, top) in enumerate(corners):
        x[i, :, top : top + 8, left : left + 8] = 0.9
    return x


def points(x: Array) -> Array:
    flat = tile_means(x).reshape(len(x), -1).argmax(1)
    return np.stack([flat % 8 * 8 + 4, flat // 8 * 8 + 4], 1)


def scores(x: Array) -> Array:
    return x.mean((1, 2, 3)) * 100


def test_the_three_answers_of_one_cropper_agree() -> None:
    x = spots((0, 0), (56, 40), (24, 16), (40, 8))
    by_map = BlackBoxSaliencyRegressor(tile_means, ratios=RATIOS)
    by_point = BlackBoxSaliencyRegressor(points, returns="point", ratios=RATIOS)
    by_crops = BlackBoxSaliencyRegressor(lambda x: by_point.crop(x), returns="crops", ratios=RATIOS)
    assert by_map.predict(x).shape == (4, 6, 8)
    assert by_point.predict(x).tolist() == [[4, 4], [60, 44], [28, 20], [44, 12]]
    expected = by_map.crop(x)
    assert expected[:, 1].tolist() == [[0, 0, 48, 48], [16, 0, 48, 48], [4, 0, 48, 48], [16, 0, 48, 48]]
    assert expected[:, 0].tolist() == [[0, 0, 64, 32], [0, 16, 64, 32], [0, 4, 64, 32], [0, 0, 64, 32]]
    assert by_point.crop(x).tolist() == by_crops.crop(x).tolist() == expected.tolist()
    assert by_crops.crop(x, (1.0,)).tolist() == expected[:, 1:].tolist()
    with pytest.raises(InvalidInputError, match=r"ratios: this model answers for \(0.5, 1.0\) only"):
        by_crops.crop(x, (2.0,))
    for left in np.arange(0, 0.8, 0.1):
        objective = CropContainsRegion([Region(left, 0.4, left + 0.2, 0.6)] * 4, RATIOS)
        verdicts = [model.evaluate(x, objective).success.tolist() for model in (by_map, by_point, by_crops)]
        assert verdicts[0] == verdicts[1] == verdicts[2]
        by_hand = [
            all(w[0] <= left * 64 + 1e-6 and (left + 0.2) * 64 <= w[0] + w[2] + 1e-6 for w in row)
            and all(w[1] <= 0.4 * 48 and w[1] + w[3] >= 0.6 * 48 for w in row)
            for row in expected
        ]
        assert verdicts[0] == by_hand
    peak = PeakInRegion([Region(0, 0, 0.5, 0.5)] * 4)
    assert (
        by_map.evaluate(x, peak).success.tolist()
        == by_point.evaluate(x, peak).success.tolist()
        == [True, False, True, False]
    )


def test_a_white_box_asked_as_a_black_box_gives_the_same(tiny: Any) -> None:
    white: PyTorchSaliencyRegressor = tiny.saliency_estimator()
    black = BlackBoxSaliencyRegressor(white.predict, log_density=True, ratios=RATIOS)
    x = tiny.photos(3)
    assert np.array_equal(black.predict(x), white.predict(x))
    assert np.array_equal(black.crop(x), white.crop(x, RATIOS))
    objective = PeakInRegion([Region(0, 0, 0.5, 0.7)] * 3, by="column")
    assert (
        black.evaluate(x, objective).success.tolist() == white.evaluate(torch.from_numpy(x), objective).success.tolist()
    )


def test_answers_that_cannot_decide() -> None:
    x = spots((0, 0))
    region = [Region(0, 0, 0.5, 0.5)]
    by_crops = BlackBoxSaliencyRegressor(lambda x: np.zeros((len(x), 2, 4)), returns="crops", ratios=RATIOS)
    by_point = BlackBoxSaliencyRegressor(points, returns="point")
    with pytest.raises(InvalidInputError, match=r"returns no saliency map cannot tell where its map has a peak$"):
        by_crops.evaluate(x, PeakInRegion(region))
    with pytest.raises(InvalidInputError, match="cannot tell where its map has a peak by column"):
        by_point.evaluate(x, PeakInRegion(region, by="column"))
    with pytest.raises(InvalidInputError, match="ratios: this model answers for"):
        by_crops.evaluate(x, CropContainsRegion(region, (2.0,)))
    for count in (1, 3):
        with pytest.raises(InvalidInputError, match=f"it speaks of {count} photos, x holds 2"):
            by_point.evaluate(spots((0, 0), (8, 8)), PeakInRegion(region * count))
    assert by_point.query_count == 1  # only the one that could not be known beforehand to be useless


class TestQueries:
    def test_every_photo_counts(self) -> None:
        asked: list[int] = []

        def count(x: Array) -> Array:
            asked.append(len(x))
            return tile_means(x)

        model = BlackBoxSaliencyRegressor(count)
        x = spots((0, 0), (8, 8), (16, 16))
        model.predict(x, batch_size=2)
        assert (asked, model.query_count) == ([2, 1], 3)
        model.crop(x)
        model.evaluate(x, PeakInRegion([Region(0, 0, 1, 1)] * 3))
        model.compute_loss(x, tile_means(x))
        assert model.query_count == sum(asked) == 12
        model.reset_queries()
        assert model.query_count == 0

    def test_a_limit_is_kept_before_anything_is_asked(self) -> None:
        asked: list[int] = []

        def count(x: Array) -> Array:
            asked.append(len(x))
            return scores(x)

        model = BlackBoxQualityRegressor(count, max_queries=3)
        x = spots((0, 0), (8, 8))
        model.predict(x)
        with pytest.raises(QueryLimitError, match="2 more queries after 2 would exceed the limit of 3"):
            model.predict(x)
        assert (asked, model.query_count) == ([2], 2)
        model.predict(x[:1])
        with pytest.raises(QueryLimitError):
            model.predict(x[:1])
        model.set_params(max_queries=4)
        model.predict(x[:1])
        assert model.query_count == 4

    def test_a_question_that_fails_has_been_asked(self) -> None:
        def broken(x: Array) -> Array:
            raise OSError("service unavailable")

        model = BlackBoxQualityRegressor(broken)
        with pytest.raises(OSError, match="service unavailable"):
            model.predict(spots((0, 0), (8, 8)))
        assert model.query_count == 2

    def test_refused_photos_are_not_asked_about(self) -> None:
        model = BlackBoxQualityRegressor(scores)
        for bad in (spots((0, 0)) * 255, spots((0, 0))[0], spots((0, 0)).transpose(0, 2, 3, 1), spots()):
            with pytest.raises(InvalidInputError, match=r"^x: "):
                model.predict(bad)
        assert model.query_count == 0

    @pytest.mark.parametrize("limit", [0, -1, 1.5, "10"])
    def test_bad_limits(self, limit: Any) -> None:
        with pytest.raises(InvalidInputError, match="max_queries: a whole number >= 1"):
            BlackBoxQualityRegressor(scores, max_queries=limit)
        model = BlackBoxQualityRegressor(scores, max_queries=5)
        with pytest.raises(InvalidInputError, match="max_queries"):
            model.set_params(clip_values=(0, 2), max_queries=limit)
        assert model.max_queries == 5
        assert tuple(model.clip_values) == (0, 1)


def test_nothing_that_the_function_does_reaches_the_caller() -> None:
    kept: list[Array] = []

    def rude(x: Array) -> Array:
        answer = scores(x)
        x[:] = 0
        kept.append(x)
        return answer

    model = BlackBoxQualityRegressor(rude)
    x = spots((0, 0), (8, 8))
    before = x.copy()
    assert model.predict(x, batch_size=1) == pytest.approx(scores(before))
    assert np.array_equal(x, before)
    assert not any(np.shares_memory(one, x) for one in kept)


def test_a_buffer_used_again_does_not_spoil_earlier_answers() -> None:
    buffer = np.zeros(1, np.float32)

    def reusing(x: Array) -> Array:
        buffer[:] = scores(x)
        return buffer

    x = spots((0, 0), (8, 8)) * np.array([1, 0.5], np.float32).reshape(2, 1, 1, 1)
    assert BlackBoxQualityRegressor(reusing).predict(x, batch_size=1) == pytest.approx(scores(x))


@pytest.mark.parametrize(
    ("answer", "kwargs"),
    [
        (lambda x: np.zeros((len(x), 4)), {}),
        (lambda x: np.zeros((len(x) + 1, 4, 4)), {}),
        (lambda x: np.full((len(x), 4, 4), np.nan), {}),
        (lambda x: "a map", {}),
        (lambda x: None, {}),
        (lambda x: [[1, 2], [3]], {}),
        (lambda x: np.zeros((len(x), 3)), {"returns": "point"}),
        (lambda x: np.full((len(x), 2), np.inf), {"returns": "point"}),
        (lambda x: np.zeros((len(x), 3, 4)), {"returns": "crops", "ratios": RATIOS}),
        (lambda x: np.zeros((len(x), 4)), {"returns": "crops", "ratios": RATIOS}),
    ],
)
def test_answers_of_a_wrong_shape(answer: Callable[[Array], Any], kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="predict_fn: "):
        BlackBoxSaliencyRegressor(answer, **kwargs).predict(spots((0, 0), (8, 8)))


def test_maps_that_change_their_size() -> None:
    sizes = iter((4, 5))

    def moody(x: Array) -> Array:
        return np.zeros((len(x), next(sizes), 4))

    with pytest.raises(InvalidInputError, match="predict_fn: answers of one shape"):
        BlackBoxSaliencyRegressor(moody).predict(spots((0, 0), (8, 8)), batch_size=1)


@pytest.mark.parametrize("answer", [lambda x: np.zeros((len(x), 2)), lambda x: 3.0, lambda x: [np.nan] * len(x)])
def test_scores_of_a_wrong_shape(answer: Callable[[Array], Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"predict_fn: finite answers of shape \(2,\) or \(2, 1\)"):
        BlackBoxQualityRegressor(answer).predict(spots((0, 0), (8, 8)))


def test_scores_and_losses() -> None:
    x = spots((0, 0), (8, 8), (16, 0))
    column = BlackBoxQualityRegressor(lambda x: scores(x)[:, None])
    found = column.predict(x)
    assert found.shape == (3,)
    assert found == pytest.approx(scores(x))
    y = np.array([30, 31, 40], np.float32)
    expected = (scores(x) - y) ** 2
    for target in (y, y[:, None]):
        np.testing.assert_allclose(column.compute_loss(x, target), expected, rtol=1e-4)
        np.testing.assert_allclose(column.compute_loss_from_predictions(found, target), expected, rtol=1e-4)
    np.testing.assert_allclose(column.compute_loss(x, y, "sum"), expected.sum(), rtol=1e-4)
    np.testing.assert_allclose(column.compute_loss(x, y, "mean"), expected.mean(), rtol=1e-4)
    for bad in (y[:2], y[None], np.float32(3)):
        with pytest.raises(InvalidInputError, match=r"^y: shape \(3,\) is needed"):
            column.compute_loss(x, bad)
    bounds = [float(s) + d for s, d in zip(scores(x), (1, -1, 1), strict=True)]
    assert column.evaluate(x, ScoreBeyond(bounds, "below")).success.tolist() == [True, False, True]


def test_maps_as_targets() -> None:
    x, model = spots((0, 0), (8, 8)), BlackBoxSaliencyRegressor(tile_means)
    y = np.zeros((2, 6, 8), np.float32)
    np.testing.assert_allclose(model.compute_loss(x, y), (tile_means(x) ** 2).sum((1, 2)), rtol=1e-5)


def test_layout_range_and_preprocessing_are_the_functions() -> None:
    from art.defences.preprocessor import FeatureSqueezing

    seen: list[Array] = []

    def look(x: Array) -> Array:
        seen.append(x.copy())
        return x.mean((1, 2, 3))

    x = (spots((0, 0)) * 255).transpose(0, 2, 3, 1)
    model = BlackBoxQualityRegressor(
        look,
        channels_first=False,
        clip_values=(0, 255),
        preprocessing_defences=FeatureSqueezing(clip_values=(0, 255), bit_depth=1),
    )
    model.predict(x)
    assert seen[0].shape == (1, 48, 64, 3)
    assert seen[0].dtype == np.float32
    assert set(np.unique(seen[0])) == {0, 255}
    assert model.input_shape == (-1, -1, 3)


def test_pickling(tiny: Any) -> None:
    model = BlackBoxSaliencyRegressor(tiny.saliency_estimator().predict, max_queries=7, returns="map")
    model.predict(tiny.photos(2))
    again = pickle.loads(pickle.dumps(model))
    assert (again.query_count, again.max_queries) == (2, 7)
    assert np.array_equal(again.predict(tiny.photos(2)), model.predict(tiny.photos(2)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: BlackBoxQualityRegressor(3), "predict_fn"),
        (lambda: BlackBoxSaliencyRegressor(tile_means, returns="box"), "returns"),
        (lambda: BlackBoxSaliencyRegressor(tile_means, ratios=(0,)), "ratios"),
        (lambda: BlackBoxQualityRegressor(scores, score_range=(1, 1)), "score_range"),
        (lambda: BlackBoxQualityRegressor(scores, clip_values=(1, 0)), "clip_values"),
        (lambda: BlackBoxQualityRegressor(scores, input_shape=(3, 0, 4)), "input_shape"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{name}: "):
        make()


def test_what_cannot_be_done_says_so() -> None:
    model = BlackBoxQualityRegressor(scores)
    x = spots((0, 0))
    with pytest.raises(NotImplementedError, match="cannot be trained"):
        model.fit(x, scores(x))
    with pytest.raises(NotImplementedError, match="no layers"):
        model.get_activations(x, 0)
    with pytest.raises(InvalidInputError, match="unknown keyword"):
        model.predict(x, batchsize=2)
    assert model.get_params()["max_queries"] is None
