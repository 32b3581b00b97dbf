"""SaliencyPeakFGM against the paper's loop written out in float64, and what it promises of every photo."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod
from torch import Tensor

from art_crop.attacks import SaliencyPeakFGM
from art_crop.geometry import Region
from art_crop.objectives import CropContainsRegion, PeakInRegion

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)
REGIONS = [REGION, Region(0, 0, 0.25, 0.34), Region(0.6, 0, 1, 0.4), Region(0, 0.6, 0.3, 1)]


def norms(delta: Array) -> Array:
    return np.sqrt((delta.astype(np.float64) ** 2).sum((1, 2, 3)))


class Slow:
    """The tiny network in float64, one photo at a time, its loss and gradient written down anew."""

    def __init__(self, tiny: Any) -> None:
        self.model = tiny.seeded(tiny.TinySaliency).double().eval()

    def inside(self, region: Region) -> Array:
        x, y = (np.arange(8) + 0.5) / 8, (np.arange(6) + 0.5) / 6
        columns, rows = (x >= region.x0) & (x <= region.x1), (y >= region.y0) & (y <= region.y1)
        return rows[:, None] & columns[None]

    def look(self, x: Array, region: Region, loss: str = "margin") -> tuple[bool, Array]:
        photo = torch.from_numpy(x)[None].requires_grad_()
        saliency = self.model(photo)[0, 0]
        inside = torch.from_numpy(self.inside(region))
        if loss == "margin":
            value = saliency[~inside].max() - saliency[inside].max()
        else:
            value = -torch.log(saliency.exp()[inside].sum() / saliency.exp().sum())
        (gradient,) = torch.autograd.grad(value, photo)
        success = bool(inside.flatten()[saliency.detach().flatten().argmax()])
        return success, gradient[0].numpy()

    def attack(
        self, x: Array, region: Region, eps: float, steps: int, *, mask: Array | None = None, momentum: float = 0.0
    ) -> Array:
        """Algorithm 1, the perturbation after step k scaled to eps * sqrt(k / N)."""
        x = x.astype(np.float64)
        moved, step, total = x, np.zeros_like(x), np.zeros_like(x)
        for k in range(1, steps + 1):
            gradient = self.look(moved, region)[1] * (1.0 if mask is None else mask)
            step = momentum * step - gradient / np.linalg.norm(gradient)
            total = total + step
            moved = x + eps * math.sqrt(k / steps) * total / np.linalg.norm(total)
        assert moved.min() >= 0, "clipping would need rescaling"
        assert moved.max() <= 1, "clipping would need rescaling"
        return moved


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("region", REGIONS[:3])
def test_the_papers_loop(tiny: Any, region: Region, steps: int) -> None:
    x = tiny.photos(3)
    found = SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.4, max_iter=steps, quantize=False).generate(x, region)
    slow = Slow(tiny)
    for one, result in zip(x, found, strict=True):
        assert result == pytest.approx(slow.attack(one, region, 0.4, steps), abs=2e-5)


def test_with_momentum_and_a_mask(tiny: Any) -> None:
    x, slow = tiny.photos(3), Slow(tiny)
    mask = np.random.default_rng(1).uniform(0, 1, (3, 1, 24, 32)).astype(np.float32)
    mask[:, :, :5] = 0
    attack = SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.4, max_iter=4, momentum=0.7, quantize=False)
    found = attack.generate(x, REGION, mask=mask)
    for one, weight, result in zip(x, mask, found, strict=True):
        expected = slow.attack(one, REGION, 0.4, 4, mask=weight, momentum=0.7)
        assert result == pytest.approx(expected, abs=2e-5)
    assert np.array_equal(found[:, :, :5], x[:, :, :5])


def test_the_papers_mask_is_grad_cams(tiny: Any) -> None:
    estimator, x, slow = tiny.saliency_estimator(), tiny.photos(2), Slow(tiny)
    attack = SaliencyPeakFGM(estimator, eps=0.3, quantize=False, mask="grad-cam", layer="act")
    found = attack.generate(x, REGION)
    cams = estimator.grad_cam(torch.from_numpy(x), PeakInRegion([REGION] * 2), "act").numpy()
    for one, cam, result in zip(x, cams, found, strict=True):
        assert result == pytest.approx(slow.attack(one, REGION, 0.3, 3, mask=cam), abs=2e-5)
    half = np.zeros((24, 32), np.float32)
    half[:, 16:] = 1
    both = attack.generate(x, REGION, mask=half)
    assert np.array_equal(both[..., :16], x[..., :16])
    for one, cam, result in zip(x, cams, both, strict=True):
        assert result == pytest.approx(slow.attack(one, REGION, 0.3, 3, mask=cam * half), abs=2e-5)
    assert [result.gradients for result in attack.results] == [4, 4]  # Grad-CAM's pass is counted


def test_one_step_is_arts_fgm(tiny: Any) -> None:
    """Distance to the map with a bump in the best cell inside and a dent in the best outside: the margin's gradient."""
    estimator, x, slow = tiny.saliency_estimator(), tiny.photos(3), Slow(tiny)
    inside = slow.inside(REGION)
    y = estimator.predict(x)
    for saliency in y:
        flat = saliency.copy()
        best_in = np.where(inside, flat, -np.inf).argmax()
        best_out = np.where(inside, -np.inf, flat).argmax()
        saliency.flat[best_in] += 0.5
        saliency.flat[best_out] -= 0.5
    theirs = FastGradientMethod(estimator, norm=2, eps=0.4, targeted=True).generate(x, y)
    ours = SaliencyPeakFGM(estimator, eps=0.4, max_iter=1, quantize=False).generate(x, REGION)
    assert norms(ours - x) == pytest.approx(0.4, rel=1e-4)
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_norm_inf_is_a_step_of_signs(tiny: Any) -> None:
    x, slow = tiny.photos(3), Slow(tiny)
    attack = SaliencyPeakFGM(tiny.saliency_estimator(), norm=np.inf, eps=0.03, max_iter=1, quantize=False)
    found = attack.generate(x, REGION)
    for one, result in zip(x, found, strict=True):
        gradient = slow.look(one.astype(np.float64), REGION)[1]
        clear = np.abs(gradient) > 1e-7  # two cells of a small network see a part of the photo
        assert clear.mean() > 0.1
        assert result[clear] == pytest.approx((one - 0.03 * np.sign(gradient))[clear], abs=1e-6)
    assert [result.linf for result in attack.results] == pytest.approx([0.03] * 3, rel=1e-4)
    several = SaliencyPeakFGM(tiny.saliency_estimator(), norm="inf", eps=0.03, max_iter=5, quantize=False)
    assert np.abs(several.generate(x, REGION) - x).max() <= 0.03 + 1e-6


@pytest.mark.parametrize("by", ["cell", "column", "map-column"])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
@pytest.mark.parametrize("norm", [2, "2", "inf", np.inf])
def test_every_wish_can_be_fulfilled(tiny: Any, by: Any, loss: Any, norm: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(3)
    eps = 2.0 if norm in (2, "2") else 0.15
    attack = SaliencyPeakFGM(estimator, norm=norm, eps=eps, max_iter=8, by=by, loss=loss)
    found = attack.generate(x, REGION)
    output = estimator.output(found)
    verdict = PeakInRegion([REGION] * 3, by=by, loss=loss)(output)
    assert [result.success for result in attack.results] == [True] * 3 == verdict.success.tolist()
    assert [result.loss for result in attack.results] == pytest.approx(verdict.loss.tolist(), abs=1e-5)


class TestEachPhotoForItself:
    settings = (
        {"eps": 0.4},
        {"eps": 0.4, "quantize": False, "momentum": 0.5, "random_init": True},
        {"eps": 0.9, "max_iter": 10, "early_stop": True},
        {"eps": 5.0, "minimal": True},
        {"eps": 0.2, "norm": "inf", "minimal": True, "mask": "grad-cam", "layer": "act"},
    )

    @pytest.mark.parametrize("kwargs", settings)
    def test_alone_and_in_any_order_bit_by_bit(self, tiny: Any, kwargs: dict[str, Any]) -> None:
        x = tiny.photos(4)
        attack = SaliencyPeakFGM(tiny.saliency_estimator(), **kwargs)
        together, results = attack.generate(x, REGIONS), attack.results
        for i in range(4):
            assert np.array_equal(attack.generate(x[i : i + 1], REGIONS[i : i + 1])[0], together[i])
            assert attack.results == results[i : i + 1]
        order = [2, 0, 3, 1]
        assert np.array_equal(attack.generate(x[order], [REGIONS[i] for i in order]), together[order])
        assert attack.results == [results[i] for i in order]

    @pytest.mark.parametrize("kwargs", settings)
    def test_in_micro_batches_of_any_size(self, tiny: Any, kwargs: dict[str, Any]) -> None:
        """Sums in another order may round one pixel differently, no more."""
        x = tiny.photos(4)
        one = SaliencyPeakFGM(tiny.saliency_estimator(), **kwargs)
        many = SaliencyPeakFGM(tiny.saliency_estimator(micro_batch=3), **kwargs)
        a, b = one.generate(x, REGIONS), many.generate(x, REGIONS)
        assert norms(a - b).max() < 0.03
        for left, right in zip(one.results, many.results, strict=True):
            assert (left.success, left.success_before) == (right.success, right.success_before)
            assert left.l2 == pytest.approx(right.l2, rel=0.02, abs=0.01)
            if not kwargs.get("minimal"):
                assert left.gradients == right.gradients

    def test_budgets(self, tiny: Any) -> None:
        x, eps = tiny.photos(3), [0.2, 0.5, 1.0]
        attack = SaliencyPeakFGM(tiny.saliency_estimator(), eps=eps, quantize=False)
        found = attack.generate(x, REGION)
        assert norms(found - x) == pytest.approx(eps, rel=1e-3)
        attack.set_params(eps=np.array(eps[:1]))
        assert np.array_equal(attack.generate(x, REGION)[0], found[0])

    def test_regions_as_an_array_a_list_or_an_objective(self, tiny: Any) -> None:
        x, attack = tiny.photos(4), SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.5)
        expected = attack.generate(x, REGIONS)
        array = np.array([[r.x0, r.y0, r.x1, r.y1] for r in REGIONS])
        for y in (tuple(REGIONS), array, array.tolist(), PeakInRegion(REGIONS)):
            assert np.array_equal(attack.generate(x, y), expected)

    def test_noise_to_begin_with(self, tiny: Any) -> None:
        x = np.concatenate([tiny.photos(2), tiny.photos(1)])  # the last is the first again
        plain = SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.5, quantize=False).generate(x, REGION)
        attack = SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.5, quantize=False, random_init=True)
        first = attack.generate(x, REGION)
        assert np.array_equal(first, attack.generate(x, REGION))
        assert np.array_equal(first[0], first[2])
        attack.set_params(seed=1)
        other = attack.generate(x, REGION)
        assert not np.array_equal(first, other)
        for found in (first, other):  # it begins elsewhere, by a hundredth of the budget, and is not part of the result
            assert norms(found - plain).max() < 0.05
            assert (norms(found - plain) > 0).all()

    def test_success_before_is_the_photos_own(self, tiny: Any) -> None:
        """Not that of the noise which it begins with."""
        estimator = tiny.saliency_estimator()
        x = tiny.photos(24, seed=4)
        clean = PeakInRegion([REGION] * 24)(estimator.output(x)).success.tolist()
        assert 0 < sum(clean) < 24
        for kwargs in ({}, {"random_init": True, "eps": 40.0}, {"minimal": True}, {"early_stop": True}):
            attack = SaliencyPeakFGM(estimator, **{"eps": 0.1, "quantize": False, **kwargs})
            attack.generate(x, REGION)
            assert [result.success_before for result in attack.results] == clean


class TestEarlyStop:
    def test_a_photo_stops_where_it_succeeds(self, tiny: Any) -> None:
        """With the budget of that step, and no step earlier had succeeded."""
        estimator, x = tiny.saliency_estimator(), tiny.photos(6)
        attack = SaliencyPeakFGM(estimator, eps=1.2, max_iter=40, early_stop=True, quantize=False)
        found = attack.generate(x, REGION)
        counts = [result.gradients for result in attack.results]
        assert len(set(counts)) > 2, "photos should differ"
        slow = Slow(tiny)
        for one, result, record in zip(x, found, attack.results, strict=True):
            assert record.success
            assert slow.look(result.astype(np.float64), REGION)[0]
            steps = record.gradients - 1  # the last look found that nothing more is needed
            for k in range(1, steps + 1):
                part = slow.attack(one, REGION, 1.2 * math.sqrt(k / 40), k)
                assert slow.look(part, REGION)[0] == (k == steps)
            assert result == pytest.approx(part, abs=2e-5)

    def test_what_succeeds_already_is_returned_as_it_is(self, tiny: Any) -> None:
        estimator, x = tiny.saliency_estimator(), tiny.photos(1)
        x = (x * 255).round() / np.float32(255)
        point = estimator.salient_points(x)[0] / (32, 24)
        region = Region(max(point[0] - 0.1, 0), max(point[1] - 0.1, 0), min(point[0] + 0.1, 1), min(point[1] + 0.1, 1))
        for kwargs in ({"early_stop": True}, {"minimal": True}):
            attack = SaliencyPeakFGM(estimator, eps=1.0, **kwargs)
            assert np.array_equal(attack.generate(x, region), x)
            (record,) = attack.results
            assert (record.success, record.success_before, record.l2, record.linf) == (True, True, 0.0, 0.0)
            assert (record.gradients, record.queries) == (1, 1)


class TestOtherEstimators:
    @pytest.mark.parametrize("kwargs", [{"eps": 0.5}, {"eps": 3.0, "minimal": True}])
    def test_channels_last(self, tiny: Any, kwargs: dict[str, Any]) -> None:
        x = tiny.photos(2)
        mask = np.random.default_rng(0).random((24, 32)).astype(np.float32)
        mask[:, 20:] = 0
        plain = SaliencyPeakFGM(tiny.saliency_estimator(), **kwargs).generate(x, REGION, mask=mask)
        turned = SaliencyPeakFGM(tiny.saliency_estimator(channels_first=False), **kwargs)
        found = turned.generate(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), REGION, mask=mask[:, :, None])
        assert np.array_equal(found.transpose(0, 3, 1, 2), plain)

    @pytest.mark.parametrize(
        "kwargs", [{"eps": 0.5}, {"eps": 3.0, "minimal": True}, {"eps": 0.03, "norm": "inf"}, {"random_init": True}]
    )
    def test_another_range_of_pixels(self, tiny: Any, kwargs: dict[str, Any]) -> None:
        """The same model in other units gives the same photo in those units."""
        kwargs = {"eps": 0.4, "quantize": False, **kwargs}
        x = tiny.photos(2)
        plain = SaliencyPeakFGM(tiny.saliency_estimator(), **kwargs)
        wide_estimator = tiny.saliency_estimator(clip_values=(0, 255), preprocessing=(0.0, 255.0))
        wide = SaliencyPeakFGM(wide_estimator, **{**kwargs, "eps": 255 * kwargs["eps"]})
        a, b = plain.generate(x, REGION), wide.generate(x * 255, REGION)
        assert np.mean(np.abs(b / 255 - a) > 1e-3) < 2e-3  # signs of next to no gradient may differ
        for small, large in zip(plain.results, wide.results, strict=True):
            assert large.l2 / 255 == pytest.approx(small.l2, rel=0.01)
            assert large.success == small.success

    def test_whole_levels_need_the_range_of_0_to_1(self, tiny: Any) -> None:
        from art_crop.errors import InvalidInputError

        with pytest.raises(InvalidInputError, match="quantize=False"):
            SaliencyPeakFGM(tiny.saliency_estimator(clip_values=(0, 255), preprocessing=(0.0, 255.0)))

    def test_gradients_in_bfloat16(self, tiny: Any) -> None:
        x = tiny.photos(3)
        attack = SaliencyPeakFGM(tiny.saliency_estimator(gradient_dtype="bfloat16"), eps=2.0, max_iter=8)
        found = attack.generate(x, REGION)
        verdict = PeakInRegion([REGION] * 3)(tiny.saliency_estimator().output(found))
        assert [result.success for result in attack.results] == verdict.success.tolist() == [True] * 3

    def test_the_crop_of_every_ratio(self, tiny: Any) -> None:
        estimator, x, region = tiny.saliency_estimator(), tiny.photos(4), Region(0.6, 0.65, 0.9, 0.9)
        ratios = (0.5, 1.0, 1.6)
        attack = SaliencyPeakFGM(estimator, eps=6.0, minimal=True, ratios=ratios)
        found = attack.generate(x, region)
        for windows, result in zip(estimator.crop(found, ratios), attack.results, strict=True):
            shown = [
                left <= 0.6 * 32 and top <= 0.65 * 24 and left + width >= 0.9 * 32 and top + height >= 0.9 * 24
                for left, top, width, height in windows
            ]
            assert result.success
            assert all(shown)
        assert not all(result.success_before for result in attack.results)
        same = SaliencyPeakFGM(estimator, eps=6.0, minimal=True)
        assert np.array_equal(same.generate(x, CropContainsRegion([region] * 4, ratios)), found)


class TestSuccessOracle:
    def test_it_decides(self, tiny: Any) -> None:
        """Gradients of one network, success on another."""
        model = tiny.seeded(tiny.TinySaliency)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
        oracle = type(tiny.saliency_estimator())(model, log_density=True, device="cpu")
        x = tiny.photos(6)
        attack = SaliencyPeakFGM(tiny.saliency_estimator(), success_oracle=oracle, eps=10.0, minimal=True)
        found = attack.generate(x, REGION)
        own = SaliencyPeakFGM(tiny.saliency_estimator(), eps=10.0, minimal=True)
        own.generate(x, REGION)
        verdict = PeakInRegion([REGION] * 6)(oracle.output(found))
        assert [result.success for result in attack.results] == verdict.success.tolist() == [True] * 6
        assert [result.l2 for result in attack.results] != [result.l2 for result in own.results]


@pytest.mark.parametrize("quantize", [True, False, "round"])
@pytest.mark.parametrize("minimal", [True, False])
def test_results_say_what_was_returned(tiny: Any, quantize: Any, minimal: bool) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(4)
    attack = SaliencyPeakFGM(estimator, eps=0.3, minimal=minimal, quantize=quantize)
    found = attack.generate(x, REGIONS)
    verdict = PeakInRegion(REGIONS)(estimator.output(found))
    assert [result.success for result in attack.results] == verdict.success.tolist()
    assert [result.l2 for result in attack.results] == pytest.approx(norms(found - x), rel=1e-4)
    assert [result.linf for result in attack.results] == pytest.approx(np.abs(found - x).max((1, 2, 3)), rel=1e-4)
    if quantize:
        assert np.array_equal(found, (found * 255).round() / np.float32(255))


def test_the_model_is_left_as_it_was(tiny: Any) -> None:
    estimator = tiny.saliency_estimator()
    model: Any = estimator.model
    model.train()
    model.first.weight.requires_grad_(False)
    before: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}
    attack = SaliencyPeakFGM(estimator, eps=0.5, mask="grad-cam", layer="act", minimal=True)
    attack.generate(tiny.photos(2), REGION)
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, *[True] * 5]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_global_random_state_is_left_alone(tiny: Any) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.5, random_init=True).generate(tiny.photos(1), REGION)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
