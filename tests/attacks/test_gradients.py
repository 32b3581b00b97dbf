"""The options for transfer, each against the same thing written out by hand."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import art_crop
from art_crop.attacks import ContrastShift, SaliencyPeakFGM
from art_crop.attacks.gradients import (
    COPIES,
    averaged,
    diverse,
    ensembled,
    plain,
    smoothed,
    spread_layers,
    with_contrast,
    with_features,
)
from art_crop.attacks.targets import Located, PeakMove, peak_moves
from art_crop.errors import InvalidInputError
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)
CLIP = (0.0, 1.0)


def in_region(count: int, loss: Any = "cross_entropy") -> PeakInRegion:
    return PeakInRegion([REGION] * count, loss=loss)


def located(estimator: Any, x: Array, loss: Any = "cross_entropy") -> Located:
    return Located(in_region(len(x), loss), peak_moves(estimator.output(x), [REGION] * len(x)))


def along(estimator: Any, x: Array, objective: Any, direction: Array, step: float = 1e-3) -> Array:
    """Slope of the loss along a direction, by central differences."""
    up, down = (torch.from_numpy(x + sign * step * direction) for sign in (1, -1))
    losses = [estimator.evaluate(photos, objective).loss.numpy().astype(np.float64) for photos in (up, down)]
    slope: Array = (losses[0] - losses[1]) / (2 * step)
    return slope


def test_smoothing_is_scipys_filter_on_the_gradient(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(2))
    raw = plain(estimator)(x, in_region(2), True)
    seen = smoothed(plain(estimator), 1.7)(x, in_region(2), True)
    expected = gaussian_filter(raw.gradient.numpy().astype(np.float64), (0, 0, 1.7, 1.7), mode="mirror")
    assert seen.gradient.numpy() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(seen.success, raw.success)  # type: ignore[arg-type]


def test_one_smoothed_step(tiny: Any) -> None:
    """The whole attack: the step is the filtered gradient, scaled to the budget."""
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)
    found = SaliencyPeakFGM(estimator, eps=0.3, max_iter=1, smoothing=2.0, quantize=False).generate(x, REGION)
    gradient = estimator.value_and_gradient(torch.from_numpy(x), in_region(2, "margin")).gradient.numpy()
    step = -gaussian_filter(gradient.astype(np.float64), (0, 0, 2, 2), mode="mirror")
    step /= np.sqrt((step**2).sum((1, 2, 3), keepdims=True))
    assert found == pytest.approx(x + 0.3 * step, abs=1e-5)


def test_an_ensemble_adds_gradients_of_norm_one(tiny: Any) -> None:
    one, other = tiny.saliency_estimator(), tiny.saliency_estimator()
    with torch.no_grad():
        other.model.second.weight.mul_(-3)  # another scale and another opinion
    x = torch.from_numpy(tiny.photos(2))
    seen = ensembled([plain(one), plain(other)])(x, in_region(2), False).gradient
    parts = [model.value_and_gradient(x, in_region(2)).gradient for model in (one, other)]
    expected = sum(part / part.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for part in parts)
    assert seen.numpy() == pytest.approx(torch.as_tensor(expected).numpy(), abs=1e-6)


def test_features_have_their_term_in_the_gradient(tiny: Any) -> None:
    """Slope of loss + weight * log(energy at the old peak / at the target), from the layer's own activations."""
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)
    objective, weight = located(estimator, x), 2.5
    seen = with_features(estimator, ["act"], weight)(torch.from_numpy(x), objective, False).gradient.numpy()
    direction = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)

    def energy(photos: Array) -> Array:
        activations = estimator.get_activations(photos.astype(np.float32), "act").astype(np.float64)
        height, width = activations.shape[2:]
        rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        ratios = []
        for one, move in zip(activations, objective.moves, strict=True):
            spots = [
                np.exp(
                    -(((rows[:, None] - py) * height) ** 2 + ((columns[None] - px) * width) ** 2)
                    / (2 * (0.06 * max(height, width)) ** 2)
                )
                for px, py in (move.old, move.target)
            ]
            old, target = ((one**2).sum(0)[None] * np.stack(spots)).sum((1, 2)) / np.stack(spots).sum((1, 2))
            ratios.append(np.log(old / target))
        return np.array(ratios)

    step = 1e-3
    slope = (energy(x + step * direction) - energy(x - step * direction)) / (2 * step)
    expected = along(estimator, x, objective, direction) + weight * slope
    assert (seen * direction).sum((1, 2, 3)) == pytest.approx(expected, rel=2e-2, abs=2e-3)


def test_copies_pull_the_gradient_back_to_the_photo(tiny: Any) -> None:
    """One blurred copy: the mean of the photo's gradient and of the gradient through the blur."""
    estimator, x = tiny.saliency_estimator(), tiny.photos(1)
    seen = averaged(plain(estimator), ["blur"], 1, 0, CLIP)(torch.from_numpy(x), in_region(1), False).gradient.numpy()
    raw = plain(estimator)(torch.from_numpy(x), in_region(1), False).gradient.numpy()
    through = 2 * seen - raw
    sigmas = np.linspace(0.3, 1.5, 200)
    direction = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    slopes = []
    for sigma in sigmas:
        blurred, way = (gaussian_filter(a, (0, 0, sigma, sigma), mode="mirror") for a in (x, direction))
        slopes.append(along(estimator, blurred, in_region(1), way)[0])
    found = float((through * direction).sum())
    assert min(abs(found - slope) for slope in slopes) < 0.02 * max(map(abs, slopes))


@pytest.mark.parametrize("kind", ["resize", "jpeg", "blur"])
def test_copies_are_the_photos_own(tiny: Any, kind: str) -> None:
    """The same for a photo alone and in a batch, by the seed; another with another seed."""
    x = tiny.photos(3)
    options: Any = {"eps": 0.5, "max_iter": 2, "averaging": [kind], "draws": 2, "diversity": 0.5, "quantize": False}
    attack = SaliencyPeakFGM(tiny.saliency_estimator(), **options)
    together = attack.generate(x, REGION)
    assert attack.results[0].gradients == 2 * 3
    alone = np.concatenate([attack.generate(x[i : i + 1], REGION) for i in (2, 0, 1)])[[1, 2, 0]]
    assert alone == pytest.approx(together, abs=1e-6)
    attack.set_params(seed=5)
    assert np.abs(attack.generate(x, REGION) - together).max() > 1e-4


def test_diversity_is_a_share_of_the_steps(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(40))
    raw = plain(estimator)(x, in_region(40), False).gradient
    seen = diverse(plain(estimator), 0.5, 0, CLIP)(x, in_region(40), False).gradient
    changed = int(((seen - raw).flatten(1).norm(dim=1) > 1e-6).sum())
    assert 10 <= changed <= 30
    never = diverse(plain(estimator), 0.0, 0, CLIP)(x, in_region(40), False).gradient
    assert torch.equal(never, raw)


def test_budgets_hold_and_the_model_is_left_alone(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)
    hooks = {name: len(module._forward_hooks) for name, module in estimator.model.named_modules()}
    attack = SaliencyPeakFGM(
        estimator,
        eps=1.0,
        max_iter=3,
        smoothing=1.0,
        averaging=("resize", "jpeg", "blur"),
        features=["act"],
        ensemble=[tiny.saliency_estimator()],
        loss="cross_entropy",
    )
    grid = (x * 255).round() / 255
    found = attack.generate(x, REGION)
    sizes = np.sqrt(((found - grid).astype(np.float64) ** 2).sum((1, 2, 3)))
    assert (sizes <= 1.0 + 1e-6).all()
    assert (sizes >= 0.98).all()
    assert (found * 255) == pytest.approx(np.round(found * 255), abs=1e-3)
    assert hooks == {name: len(module._forward_hooks) for name, module in estimator.model.named_modules()}
    assert all(parameter.grad is None for parameter in estimator.model.parameters())


def test_peaks_move_from_best_cell_to_best_cell(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)
    maps = estimator.predict(x)
    rows, columns = (np.arange(6) + 0.5) / 6, (np.arange(8) + 0.5) / 8
    inside = ((rows >= 0.5) & (rows <= 1))[:, None] & ((columns >= 0.5) & (columns <= 0.75))[None]
    for move, saliency in zip(peak_moves(estimator.output(x), [REGION] * 2), maps, strict=True):
        for (px, py), where in ((move.target, inside), (move.old, ~inside)):
            row, column = np.unravel_index(np.where(where, saliency, -np.inf).argmax(), saliency.shape)
            assert (px, py) == pytest.approx((columns[column], rows[row]), abs=1e-6)


def test_automatic_layers_are_convolutions_that_see_where_things_are(tiny: Any) -> None:
    estimator = art_crop.load_model("gaze-lite", device="cpu")
    layers = spread_layers(estimator, torch.from_numpy(tiny.photos(1, 96, 128)))
    modules = dict(estimator.model.named_modules())
    assert len(layers) == 4
    assert all(isinstance(modules[name], torch.nn.Conv2d) for name in layers)
    assert all(min(estimator.get_activations(tiny.photos(1, 96, 128), name).shape[2:]) > 1 for name in layers)
    with pytest.raises(InvalidInputError, match="8 or more channels"):
        spread_layers(tiny.saliency_estimator(), torch.from_numpy(tiny.photos(1)))


def test_an_oracle_of_another_layout_tells_the_peaks(tiny: Any) -> None:
    x = tiny.photos(2)
    found = [
        SaliencyPeakFGM(
            tiny.saliency_estimator(),
            success_oracle=tiny.saliency_estimator(channels_first=first),
            features=["act"],
            eps=0.5,
        ).generate(x, REGION)
        for first in (True, False)
    ]
    assert np.array_equal(*found)  # type: ignore[arg-type]


def test_automatic_layers_are_chosen_once_a_call(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def chosen(estimator: Any, photos: Any) -> list[str]:
        calls.append(len(photos))
        return ["act"]

    monkeypatch.setattr("art_crop.attacks.gradients.spread_layers", chosen)
    SaliencyPeakFGM(tiny.saliency_estimator(), features="auto", eps=0.5).generate(tiny.photos(3), REGION)
    assert calls == [1]


def test_the_spots_mask_is_two_spots(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(1)
    found = SaliencyPeakFGM(estimator, eps=0.3, max_iter=1, mask="spots", quantize=False).generate(x, REGION)
    move = peak_moves(estimator.output(x), [REGION])[0]
    rows, columns = np.arange(24) + 0.5, np.arange(32) + 0.5
    spots = [
        np.exp(-((rows[:, None] - py * 24) ** 2 + (columns[None] - px * 32) ** 2) / (2 * (0.15 * 32) ** 2))
        for px, py in move
    ]
    step = -estimator.value_and_gradient(torch.from_numpy(x), in_region(1, "margin")).gradient.numpy() * np.maximum(
        *spots
    )
    assert found == pytest.approx(x + 0.3 * step / np.linalg.norm(step), abs=1e-5)


def test_contrast_joins_the_gradient(tiny: Any) -> None:
    """With a weight of 1: the sum of the gradient's step and of ContrastShift's, both of norm 1."""
    estimator, x = tiny.saliency_estimator(), tiny.photos(2)
    objective = located(estimator, x)
    seen = with_contrast(plain(estimator), 1.0)(torch.from_numpy(x), objective, False).gradient.numpy()
    gradient = estimator.value_and_gradient(torch.from_numpy(x), objective).gradient.numpy()
    edit = ContrastShift(estimator, eps=1e-2, quantize=False).generate(x, REGION) - x
    expected = gradient / np.sqrt((gradient**2).sum((1, 2, 3), keepdims=True)) - 100 * edit
    assert seen == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"smoothing": -1}, "smoothing"),
        ({"smoothing": float("nan")}, "smoothing"),
        ({"diversity": 1.5}, "diversity"),
        ({"averaging": ["rotate"]}, "averaging"),
        ({"averaging": "jpeg"}, "averaging"),
        ({"draws": 0}, "draws"),
        ({"features": ["no-such-layer"]}, "no-such-layer"),
        ({"features": "all"}, "features"),
        ({"feature_weight": -1}, "feature_weight"),
        ({"contrast": -1}, "contrast"),
        ({"ensemble": [1]}, "ensemble"),
        ({"ensemble": 1}, "ensemble"),
    ],
)
def test_bad_options(tiny: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        SaliencyPeakFGM(tiny.saliency_estimator(), **options)
    attack = SaliencyPeakFGM(tiny.saliency_estimator())
    with pytest.raises(InvalidInputError, match=said):
        attack.set_params(**options)
    assert attack.smoothing == 0
    assert attack.ensemble == ()


def test_features_need_regions(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(1)
    from art_crop.objectives import MapDistance

    attack = SaliencyPeakFGM(estimator, features=["act"])
    with pytest.raises(InvalidInputError, match="regions"):
        attack.generate(x, MapDistance(torch.zeros(1, 6, 8)))


def test_spots_stand_where_they_should() -> None:
    target, old = Located(in_region(1), [PeakMove((0.25, 0.5), (0.75, 0.25))]).spots((40, 80), torch.zeros(1), 0.05)
    assert np.unravel_index(int(target[0].argmax()), (40, 80)) in {(19, 19), (20, 19), (19, 20), (20, 20)}  # type: ignore[comparison-overlap]
    assert abs(float((old[0].sum(0) * (torch.arange(80) + 0.5)).sum() / old.sum()) - 60) < 0.1
    assert float(target.max()) == pytest.approx(1, abs=0.05)


def test_resized_copies_have_70_to_100_percent_of_the_size() -> None:
    """Evenly spread; a pixel of a resized plane is a mean of the photo's, so a grey photo stays grey."""
    x, stream = torch.full((1, 3, 100, 200), 0.25), np.random.default_rng(3)
    copies = [COPIES["resize"](x, stream, CLIP) for _ in range(300)]
    heights = np.array([copy.shape[2] for copy in copies])
    assert (heights.min(), heights.max()) == (70, 100)
    assert np.histogram(heights, bins=[69.5, 77.5, 85.5, 92.5, 100.5])[0].min() > 45
    assert all(abs(copy.shape[3] - 2 * copy.shape[2]) <= 1 for copy in copies)
    assert all(torch.allclose(copy, torch.tensor(0.25)) for copy in copies)


def test_other_copies_stay_in_their_ranges() -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for kind, low, high in (("jpeg", 50, 95), ("blur", 0.3, 1.5)):
        drawn: list[float] = []

        class Recorder:
            def integers(self, a: int, b: int, kept: list[float] = drawn) -> int:
                kept += [a, b - 1]
                return a

            def uniform(self, a: float, b: float, kept: list[float] = drawn) -> float:
                kept += [a, b]
                return b

        assert COPIES[kind](x, Recorder(), CLIP).shape == x.shape  # type: ignore[arg-type]
        assert drawn == [low, high]


def test_diversity_and_averaging_draw_from_streams_of_their_own(tiny: Any) -> None:
    """The sizes at which a step sees the photo are not those of the copies that it is averaged over."""
    sizes: dict[str, list[tuple[int, ...]]] = {"diverse": [], "averaged": []}
    estimator, x = tiny.saliency_estimator(), torch.from_numpy(tiny.photos(12, 96, 128))

    def recording(name: str) -> Any:
        def source(photos: torch.Tensor, objective: Any, decide: bool) -> Any:
            if photos.shape[2:] != x.shape[2:]:
                sizes[name].append(tuple(photos.shape[2:]))
            return plain(estimator)(photos, objective, decide)

        return source

    diverse(recording("diverse"), 1.0, 4, CLIP)(x, in_region(12), False)
    averaged(recording("averaged"), ["resize"], 2, 4, CLIP)(x, in_region(12), False)
    own = [factor_of(photo, 5) for photo in x]
    assert sizes["diverse"] == [(round(96 * factor), round(128 * factor)) for factor in own]
    assert not set(sizes["diverse"]) <= set(sizes["averaged"])


def factor_of(photo: torch.Tensor, seed: int) -> float:
    """First a coin, then the factor, from the stream of seed and levels."""
    levels = (photo.numpy() * 255).round().astype(np.uint8).tobytes()
    stream = np.random.default_rng([seed, zlib.crc32(levels)])
    stream.random()
    return float(stream.uniform(0.7, 1.0))
