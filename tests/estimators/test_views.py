"""Views decide as their regressors do, and their gradients are those of their logits."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, DeepFool, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from art_crop.errors import InvalidInputError
from art_crop.estimators import (
    PyTorchQualityRegressor,
    PyTorchSaliencyRegressor,
    QualityClassifierView,
    SaliencyClassifierView,
    region_grid,
)
from art_crop.geometry import Region
from art_crop.objectives import LabelIs

EDGES = (49.0, 50.0, 51.5)


class Given(nn.Module):
    """Gives a fixed output for every photo, plus nothing of the photo."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.register_buffer("output", output)

    def forward(self, x: Tensor) -> Tensor:
        return self.output + 0 * x.mean((1, 2, 3)).reshape(-1, *[1] * (self.output.ndim - 1))  # type: ignore[operator]


def tiles(columns: int, rows: int, cells: tuple[int, int]) -> Any:
    """Which tile of a grid each map cell is in, by hand."""
    row = (np.arange(cells[0]) + 0.5) / cells[0] * rows
    column = (np.arange(cells[1]) + 0.5) / cells[1] * columns
    return row.astype(int)[:, None] * columns + column.astype(int)[None]


@pytest.mark.parametrize(("columns", "rows"), [(3, 1), (1, 3), (3, 3), (4, 2)])
def test_the_first_class_is_the_region_of_the_salient_point(tiny: Any, columns: int, rows: int) -> None:
    estimator = tiny.saliency_estimator()
    view = SaliencyClassifierView(estimator, region_grid(columns, rows))
    x = np.concatenate([tiny.photos(20, seed=seed) for seed in range(3)])
    maps = estimator.predict(x)
    expected = tiles(columns, rows, maps.shape[1:]).reshape(-1)[maps.reshape(len(x), -1).argmax(1)]
    logits = view.predict(x)
    assert len(np.unique(expected)) > 1
    assert np.array_equal(logits.argmax(1), expected)
    which = tiles(columns, rows, maps.shape[1:])
    best = np.stack([np.where(which == k, maps, -np.inf).max((1, 2)) for k in range(columns * rows)], 1)
    np.testing.assert_allclose(logits, best, atol=1e-5)
    width, height = 32, 24
    points = estimator.salient_points(x)
    for point, label in zip(points, logits.argmax(1), strict=True):
        left, top, right, bottom = view.regions[label].pixels(width, height)
        assert left <= point[0] <= right
        assert top <= point[1] <= bottom


def test_equal_cells_are_decided_as_argmax_decides() -> None:
    maps = torch.zeros(4, 6, 6)
    maps[1, 0, 4] = maps[1, 3, 0] = 1  # first in reading order: the right column
    maps[2, 5, 5] = maps[2, 2, 1] = maps[2, 4, 0] = -0.0
    maps[3, 2, 3] = 7
    estimator = PyTorchSaliencyRegressor(Given(maps), log_density=True, device="cpu", micro_batch=4)
    view = SaliencyClassifierView(estimator, region_grid(3, 1))
    x = np.full((4, 3, 24, 24), 0.5, np.float32)
    assert view.predict(x).argmax(1).tolist() == [0, 2, 0, 1]
    swapped = SaliencyClassifierView(estimator, region_grid(3, 1)[::-1])
    assert swapped.predict(x).argmax(1).tolist() == [2, 0, 2, 1]


def test_columns_as_peaks(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(20)
    maps = estimator.predict(x).astype(np.float64)
    for by, profile in (("column", np.exp(maps).sum(1)), ("map-column", maps.sum(1))):
        view = SaliencyClassifierView(estimator, region_grid(4, 1), by=by)  # type: ignore[arg-type]
        assert np.array_equal(view.predict(x).argmax(1), profile.argmax(1) // 2)


def test_regions_that_leave_the_peak_out(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(6)
    view = SaliencyClassifierView(estimator, [Region(0, 0, 0.2, 0.2), Region(0.4, 0, 0.6, 0.2), Region(0.8, 0, 1, 0.2)])
    assert np.isfinite(view.predict(x)).all()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8),
    st.lists(st.floats(-1e3, 1e3).map(lambda e: round(e, 1)), min_size=2, max_size=6, unique=True),
)
def test_the_first_class_is_the_bin_of_the_score(scores: list[float], edges: list[float]) -> None:
    edges = sorted(edges)
    scores = [*scores, *edges, *(float(np.nextafter(np.float32(e), np.float32(np.inf))) for e in edges)]
    estimator = PyTorchQualityRegressor(Given(torch.tensor(scores)), device="cpu", micro_batch=len(scores))
    view = QualityClassifierView(estimator, edges)
    x = np.full((len(scores), 3, 8, 8), 0.5, np.float32)
    expected = np.digitize(estimator.predict(x), edges, right=True)
    assert np.array_equal(view.predict(x).argmax(1), expected)


def test_quality_logits_by_hand(tiny: Any) -> None:
    estimator, x = tiny.quality_estimator(), tiny.photos(5)
    view, scores = QualityClassifierView(estimator, EDGES), estimator.predict(tiny.photos(5))
    steps = (scores[:, None] - np.array(EDGES)) / 1.25
    np.testing.assert_allclose(view.predict(x)[:, 1:], np.cumsum(steps, 1), rtol=1e-4, atol=1e-4)
    assert view.labels == ("up to 49", "49 to 50", "50 to 51.5", "above 51.5")


def views(tiny: Any) -> list[Any]:
    return [
        SaliencyClassifierView(tiny.saliency_estimator(), region_grid(3, 1)),
        QualityClassifierView(tiny.quality_estimator(), EDGES),
    ]


def test_gradients_against_float64_finite_differences(tiny: Any) -> None:
    x = torch.from_numpy(tiny.photos(2))
    labels = torch.tensor([2, 1])
    for view in views(tiny):
        network, saliency = copy.deepcopy(view.model.network).double().eval(), isinstance(view, SaliencyClassifierView)

        def loss(photos: Tensor, network: nn.Module = network, saliency: bool = saliency) -> Tensor:
            with torch.no_grad():
                out = network(photos)
            if saliency:
                which = torch.from_numpy(tiles(3, 1, out.shape[2:])).flatten()
                logits = torch.stack([out.flatten(1)[:, which == k].amax(1) for k in range(3)], 1)
            else:
                steps = (out - torch.tensor(EDGES, dtype=torch.float64)) / 1.25
                logits = torch.cat([torch.zeros_like(out), steps.cumsum(1)], 1)
            return nn.functional.cross_entropy(logits, labels, reduction="none")

        found = view.value_and_gradient(x, LabelIs(labels.tolist(), loss="cross_entropy"))
        np.testing.assert_allclose(found.loss.numpy(), loss(x.double()).numpy(), rtol=1e-4)
        np.testing.assert_array_equal(view.loss_gradient(x.numpy(), labels.numpy()), found.gradient.numpy())
        biggest = found.gradient.abs().flatten().topk(40).indices[::4]
        for flat in biggest.tolist():
            step = torch.zeros(x.numel(), dtype=torch.float64)
            step[flat] = 1e-5
            sample = flat // x[0].numel()
            difference = (loss(x + step.view_as(x)) - loss(x - step.view_as(x)))[sample] / 2e-5
            assert float(found.gradient.flatten()[flat]) == pytest.approx(float(difference), rel=5e-3, abs=1e-6)


def test_a_view_takes_over_the_regressors_settings_and_defences(tiny: Any) -> None:
    estimator = tiny.saliency_estimator(
        clip_values=(0, 255), preprocessing=(0.0, 255.0), channels_first=False, input_shape=(24, 32, 3), micro_batch=2
    )
    view = SaliencyClassifierView(estimator, region_grid(3, 1))
    assert isinstance(view, PyTorchClassifier)
    assert (view.input_shape, view.channels_first, view.micro_batch) == ((24, 32, 3), False, 2)
    x = np.ascontiguousarray(tiny.photos(3).transpose(0, 2, 3, 1)) * 255
    logits = view.predict(x)
    reference = SaliencyClassifierView(tiny.saliency_estimator(), region_grid(3, 1))
    np.testing.assert_allclose(logits, reference.predict(tiny.photos(3)), atol=1e-4)
    estimator.set_params(preprocessing=(0.0, 100.0))  # later settings of the regressor are its own
    assert np.array_equal(view.predict(x), logits)


def test_the_network_is_shared_and_copies_have_one_of_their_own(tiny: Any) -> None:
    for view in views(tiny):
        x, before = tiny.photos(2), view.predict(tiny.photos(2))
        assert view.model.network is view.model.regressor.model
        for again in (copy.deepcopy(view), pickle.loads(pickle.dumps(view)), copy.deepcopy(view.model)):
            model = getattr(again, "model", again)
            assert model.network is model.regressor.model
            assert model.network is not view.model.network
        assert np.array_equal(pickle.loads(pickle.dumps(view)).predict(x), before)
        clone = view.clone_for_refitting()
        assert not np.allclose(clone.predict(x), before)
        assert np.array_equal(view.predict(x), before)


def test_what_is_refused(tiny: Any) -> None:
    saliency, quality = tiny.saliency_estimator(), tiny.quality_estimator()
    for regions in (region_grid(2, 1), [], [Region(0, 0, 1, 1)] * 2, ["left"] * 3, 3):
        with pytest.raises(InvalidInputError, match=r"^regions: "):
            SaliencyClassifierView(saliency, regions)  # type: ignore[arg-type]
    for edges in ((50.0,), (), (50.0, 50.0), (60.0, 50.0), (1.0, float("nan")), "12", 3):
        with pytest.raises(InvalidInputError, match=r"^edges: "):
            QualityClassifierView(quality, edges)  # type: ignore[arg-type]
    for make in (lambda: SaliencyClassifierView(quality), lambda: QualityClassifierView(saliency, EDGES)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=r"^estimator: "):
            make()
    with pytest.raises(InvalidInputError, match=r"^by: "):
        SaliencyClassifierView(saliency, by="row")  # type: ignore[arg-type]
    assert SaliencyClassifierView(saliency).nb_classes == 9


@pytest.mark.parametrize("attack", [ProjectedGradientDescent, DeepFool, AutoProjectedGradientDescent])
def test_arts_attacks_move_the_score_into_another_bin_and_the_peak_into_another_region(tiny: Any, attack: Any) -> None:
    options: dict[Any, dict[str, Any]] = {
        ProjectedGradientDescent: {"eps": 0.3, "eps_step": 0.05, "max_iter": 10},
        DeepFool: {"max_iter": 20, "nb_grads": 3, "epsilon": 0.05},  # its default overshoot is lost in float32
        AutoProjectedGradientDescent: {"eps": 0.3, "eps_step": 0.05, "max_iter": 5, "nb_random_init": 1},
    }
    for kind in ("saliency", "quality"):
        shape = (3, 24, 32)
        if kind == "saliency":
            regressor = tiny.saliency_estimator(input_shape=shape)
            view: Any = SaliencyClassifierView(regressor, region_grid(3, 1))
        else:
            regressor = tiny.quality_estimator(input_shape=shape)
            scores = regressor.predict(tiny.photos(2))
            view = QualityClassifierView(regressor, [float(scores.mean() - 2), float(scores.mean() + 2)])
        x, before = tiny.photos(2), view.predict(tiny.photos(2)).argmax(1)
        np.random.seed(0)  # noqa: NPY002  ART draws from the global state
        found = attack(view, verbose=False, **options[attack]).generate(x)
        assert (view.predict(found).argmax(1) != before).all()
        if kind == "quality":
            bins = np.digitize(regressor.predict(found), view.edges, right=True)
        else:
            maps = regressor.predict(found)
            bins = tiles(3, 1, maps.shape[1:]).reshape(-1)[maps.reshape(2, -1).argmax(1)]
        assert np.array_equal(view.predict(found).argmax(1), bins)


def test_a_query_attack_of_art_runs_where_the_size_is_stated(tiny: Any) -> None:
    from art.attacks.evasion import HopSkipJump

    x = tiny.photos(1)
    view = SaliencyClassifierView(tiny.saliency_estimator(), region_grid(3, 1), input_shape=x.shape[1:])
    assert view.input_shape == x.shape[1:]
    attack = HopSkipJump(view, max_iter=1, max_eval=10, init_eval=5, init_size=20, verbose=False)
    assert attack.generate(x).shape == x.shape
