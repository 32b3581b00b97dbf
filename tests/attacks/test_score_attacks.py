"""The attacks and edits by which quality models are measured, against ART, float64 loops, scikit-image and Pillow."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import BasicIterativeMethod, MomentumIterativeMethod
from PIL import Image
from skimage import filters

import art_crop
from art_crop.attacks import PerPixelBound
from art_crop.attacks.maximum_differentiation import turned
from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor
from art_crop.functional.filters import spatial_activity
from art_crop.objectives import ScoreBeyond
from art_crop.testing.doubles import photos

Array = np.ndarray[Any, Any]
EPS = 6 / 255
WAYS = ("below", "above")
GRADIENTS = ("i-fgsm", "mi-fgsm", "ami-fgsm", "korhonen-you", "madc", "universal-perturbation")
EDITS = ("unsharp-mask", "contrast-change", "jpeg-compression")


class Filters(torch.nn.Module):
    """A score about 50 from the answers of fixed random filters; it moves by a few points within the budget."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.filters = torch.nn.Parameter(torch.randn(8, 3, 5, 5, generator=generator) / 4)
        self.weights = torch.nn.Parameter(torch.randn(8, generator=generator) * 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = torch.nn.functional.conv2d(x - 0.5, self.filters, stride=2).tanh().mean((2, 3))
        return 50 + answers @ self.weights


@pytest.fixture(scope="module")
def estimator() -> Any:
    return PyTorchQualityRegressor(Filters().eval(), clip_values=(0, 1))


@pytest.fixture(scope="module")
def x() -> Array:
    return photos(3, 32, 48)


def beyond(way: str, count: int = 3) -> ScoreBeyond:
    """A bound at the end of the scale: as far as it goes."""
    return ScoreBeyond([0.0 if way == "below" else 100.0] * count, way)  # type: ignore[arg-type]


def made(estimator: Any, name: str, **kwargs: Any) -> Any:
    own: dict[str, Any] = {"eps": 1.5} if name == "madc" else {"norm": "inf", "eps": EPS}
    if name == "universal-perturbation":
        own |= {"photos": training(), "max_iter": 8}
    return art_crop.load_attack(name)(estimator, **{**own, **kwargs})


def training() -> list[Array]:
    return [np.rint(one * 255).astype(np.uint8).transpose(1, 2, 0) for one in photos(8, 40, 40)[3:]]


# -- each against something else ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "theirs"), [("i-fgsm", BasicIterativeMethod), ("mi-fgsm", MomentumIterativeMethod)])
def test_plain_and_with_momentum_they_are_arts(estimator: Any, x: Array, way: str, name: str, theirs: Any) -> None:
    """ART is given the end of the scale as its target; where a gradient is nearly 0 its sign is anybody's guess."""
    more = {"decay": 0.7} if name == "mi-fgsm" else {}
    settings = {"eps": EPS, "eps_step": 2 / 255, "max_iter": 5, **more}
    goal = np.full(3, 0.0 if way == "below" else 100.0, np.float32)
    expected = theirs(estimator, targeted=True, verbose=False, **settings).generate(x, goal)
    found = made(estimator, name, quantize=False, **settings).generate(x, beyond(way))
    assert np.isclose(found, expected, atol=1e-6).mean() > 0.999
    moved = (estimator.predict(found) - estimator.predict(x)) * (-1 if way == "below" else 1)
    assert (moved > 1).all()


def test_the_adaptive_step_and_momentum_of_gradients_as_they_are(estimator: Any, x: Array) -> None:
    model = Filters().double()
    photo = torch.from_numpy(x[:1]).double()
    change, momentum = torch.zeros_like(photo), torch.zeros_like(photo)
    for _ in range(6):
        seen = (photo + change).requires_grad_()
        (gradient,) = torch.autograd.grad(model(seen).sum(), seen)
        momentum = 0.8 * momentum + gradient
        change = (photo + change - EPS / 6 * momentum.sign()).clamp(0, 1) - photo
    found = made(estimator, "ami-fgsm", max_iter=6, decay=0.8, quantize=False).generate(x[:1], beyond("below", 1))
    assert np.isclose(found, (photo + change).numpy(), atol=1e-6).mean() > 0.999
    with pytest.raises(InvalidInputError, match="eps_step"):
        made(estimator, "ami-fgsm", eps_step=0.1)


def test_an_l2_budget_is_kept_and_spent(estimator: Any, x: Array) -> None:
    for name in ("i-fgsm", "mi-fgsm", "ami-fgsm"):
        attack = made(estimator, name, norm=2, eps=1.0)
        attack.generate(x, beyond("below"))
        assert [result.l2 for result in attack.results] == pytest.approx([1.0] * 3, rel=0.01)


def test_spatial_activity_is_scikit_images_sobel_widened() -> None:
    """The largest of a window is taken by scipy; a photo of one colour has activity everywhere."""
    from scipy.ndimage import grey_dilation

    photo = np.random.default_rng(0).random((3, 21, 30))
    luma = np.tensordot([0.299, 0.587, 0.114], photo, 1)
    size = np.zeros_like(luma)
    size[1:-1, 1:-1] = np.hypot(filters.sobel_h(luma), filters.sobel_v(luma))[1:-1, 1:-1]
    window = np.ones((5, 5), bool)
    window[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    expected = grey_dilation(size / size.max(), footprint=window, mode="constant")
    assert spatial_activity(torch.from_numpy(photo)[None])[0, 0].numpy() == pytest.approx(expected, abs=1e-6)
    for flat in (torch.full((1, 3, 9, 9), 0.3), torch.zeros(1, 3, 9, 9), torch.rand(1, 3, 2, 9)):
        assert bool((spatial_activity(flat) == 1).all())


def test_smooth_areas_stay_where_gradients_are_weighted_by_activity(estimator: Any) -> None:
    photo = photos(1, 32, 48)
    photo[..., :24] = 0.5
    found = made(estimator, "korhonen-you", quantize=False).generate(photo, beyond("below", 1))
    change = np.abs(found - photo)
    assert change[..., :21].max() < 1e-6  # the edge itself, and two pixels about it
    assert change[..., 24:].max() == pytest.approx(EPS, rel=0.01)
    activity = spatial_activity(torch.from_numpy(photo)).numpy()
    assert (change <= EPS * activity + 1e-6).all()


def test_maximum_differentiation_turns_at_right_angles_to_the_error() -> None:
    rng = np.random.default_rng(0)
    change, gradient = rng.normal(size=(2, 2, 3, 8, 9))
    ours = turned(torch.from_numpy(change), torch.from_numpy(gradient), 0.3).numpy()
    for old, slope, new in zip(change.reshape(2, -1), gradient.reshape(2, -1), ours.reshape(2, -1), strict=True):
        assert np.linalg.norm(new) == pytest.approx(np.linalg.norm(old))
        across = slope - slope @ old / (old @ old) * old  # equation of the paper's appendix
        step = new - math.cos(0.3) * old
        assert step @ old == pytest.approx(0, abs=1e-9)
        assert step / np.linalg.norm(step) == pytest.approx(-across / np.linalg.norm(across))
    same = torch.from_numpy(change)
    assert torch.equal(turned(same, 3 * same, 0.3), same)


@pytest.mark.parametrize("way", WAYS)
def test_maximum_differentiation_keeps_the_squared_error(estimator: Any, x: Array, way: str) -> None:
    attack = made(estimator, "madc", eps=3.0)
    found = attack.generate(x, beyond(way))
    errors = np.square((found - x).astype(np.float64)).reshape(3, -1).sum(1)
    assert errors == pytest.approx(9.0, rel=0.01)  # of whole grey levels
    noise = art_crop.load_attack("gaussian-noise")(estimator, eps=3.0).generate(x, beyond(way))
    sign = -1 if way == "below" else 1
    gained = sign * (estimator.predict(found) - estimator.predict(noise))
    assert (gained > 1).all(), "at the same error, further than noise"


@pytest.mark.parametrize("way", WAYS)
def test_one_perturbation_moves_photos_that_it_has_not_seen(estimator: Any, x: Array, way: str) -> None:
    attack = made(estimator, "universal-perturbation")
    found = attack.generate(x, beyond(way))
    change = estimator.predict(found) - estimator.predict(x)
    assert (change.mean() < -1) if way == "below" else (change.mean() > 1)
    inner = (x > EPS) & (x < 1 - EPS)  # elsewhere the range of pixels ends it
    for one in range(1, 3):
        both = inner[0] & inner[one]
        assert np.allclose((found - x)[0][both], (found - x)[one][both], atol=1e-6)
    assert [(result.gradients, result.queries) for result in attack.results] == [(0, 2)] * 3


def test_a_universal_perturbation_is_trained_once(estimator: Any, x: Array) -> None:
    attack = made(estimator, "universal-perturbation")
    asked, real = [], attack._train
    attack._train = lambda *args: asked.append(1) or real(*args)
    first = attack.generate(x, beyond("below"))
    assert np.array_equal(attack.generate(x, beyond("below")), first)
    assert len(asked) == 1
    attack.generate(x, beyond("above"))
    assert len(asked) == 2
    attack.set_params(max_iter=2)
    assert not np.array_equal(attack.generate(x, beyond("below")), first)


def test_a_universal_perturbation_from_a_folder(estimator: Any, x: Array, tmp_path: Any) -> None:
    for k, pixels in enumerate(training()):
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    expected = made(estimator, "universal-perturbation").generate(x, beyond("below"))
    found = made(estimator, "universal-perturbation", photos=str(tmp_path)).generate(x, beyond("below"))
    assert np.array_equal(found, expected)
    for bad in ("no/such/folder", []):
        with pytest.raises(InvalidInputError):
            made(estimator, "universal-perturbation", photos=bad).generate(x, beyond("below"))
    with pytest.raises(InvalidInputError, match="bound on scores"):
        made(estimator, "universal-perturbation").generate(x, beyond("below") & beyond("below"))


# -- edits -------------------------------------------------------------------------------------------------------------


def test_sharpening_is_scikit_images(estimator: Any, x: Array) -> None:
    attack = made(estimator, "unsharp-mask", eps=None, amount=0.7, sigma=1.5, quantize=False)
    found = attack.generate(x, beyond("above"))
    for one, photo in zip(found, x, strict=True):
        expected = filters.unsharp_mask(photo.transpose(1, 2, 0), radius=1.5, amount=0.7, channel_axis=2)
        assert one.transpose(1, 2, 0)[8:-8, 8:-8] == pytest.approx(expected[8:-8, 8:-8], abs=1e-5)  # another border


def test_a_jpeg_is_pillows(estimator: Any, x: Array) -> None:
    found = made(estimator, "jpeg-compression", eps=None, quality=80).generate(x, beyond("above"))
    for one, photo in zip(found, x, strict=True):
        file = io.BytesIO()
        Image.fromarray(np.rint(photo * 255).astype(np.uint8).transpose(1, 2, 0)).save(file, "jpeg", quality=80)
        expected = np.asarray(Image.open(file)).transpose(2, 0, 1)
        assert np.array_equal(np.rint(one * 255), expected)


def test_contrast_is_a_factor_about_the_mean_luma(estimator: Any) -> None:
    photo = 0.25 + 0.5 * photos(1, 16, 16)
    found = made(estimator, "contrast-change", eps=None, factor=1.2, quantize=False).generate(photo, beyond("above", 1))
    luma = np.tensordot([0.299, 0.587, 0.114], photo[0], 1)
    assert found[0] == pytest.approx(np.clip(luma.mean() + 1.2 * (photo[0] - luma.mean()), 0, 1), abs=1e-5)


@pytest.mark.parametrize("name", EDITS)
def test_edits_keep_to_a_budget_and_ask_for_no_gradient(estimator: Any, x: Array, name: str) -> None:
    free, held = (made(estimator, name, eps=eps) for eps in (None, 2 / 255))
    for way in WAYS:
        far, near = free.generate(x, beyond(way)), held.generate(x, beyond(way))
        assert np.abs(far - x).max() > 2.5 / 255
        assert near == pytest.approx(x + np.clip(far - x, -2 / 255, 2 / 255), abs=1e-6)
        assert [result.gradients for result in held.results] == [0] * 3
        assert [result.success for result in free.results] == [False] * 3


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", GRADIENTS)
def test_scores_go_where_they_should_in_whole_grey_levels(estimator: Any, x: Array, name: str, way: str) -> None:
    attack = made(estimator, name)
    steps: list[tuple[int, int]] = []
    attack.on_step = lambda done, of: steps.append((done, of))
    found = attack.generate(x, beyond(way))
    levels = found.astype(np.float64) * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    after, before = estimator.predict(found), estimator.predict(x)
    assert (after - before).mean() * (-1 if way == "below" else 1) > 1
    assert [result.loss for result in attack.results] == pytest.approx(
        after if way == "below" else 100 - after, abs=1e-3
    )
    assert steps[-1] == (attack.max_iter, attack.max_iter)
    if name != "madc":
        assert np.abs(found - x).max() == pytest.approx(EPS, abs=1e-6)


@pytest.mark.parametrize("name", [*GRADIENTS, *EDITS])
def test_bounds_of_pixels_and_a_budget_for_each_photo(estimator: Any, x: Array, name: str) -> None:
    bound = np.zeros((32, 48), np.float32)
    bound[:, 10:30] = 3 / 255
    budgets = {} if name == "madc" else {"eps": [0.01, EPS, EPS]}
    attack = made(estimator, name, constraint=PerPixelBound(bound), **budgets)
    change = np.abs(attack.generate(x, beyond("below")) - x)
    assert (change <= bound + 1e-6).all()
    assert change.max() > 1 / 255
    if name != "madc":
        assert change[0].max() == pytest.approx(2 / 255, abs=1e-6), "two whole levels are within 0.01"


@pytest.mark.parametrize("name", GRADIENTS[:4])
def test_a_model_that_does_not_move_leaves_the_photo(x: Array, name: str) -> None:
    class Constant(torch.nn.Module):
        def forward(self, photo: torch.Tensor) -> torch.Tensor:
            return photo.sum((1, 2, 3)) * 0 + 5

    flat = PyTorchQualityRegressor(Constant(), clip_values=(0, 1))
    attack = made(flat, name)
    assert np.array_equal(attack.generate(x, beyond("below")), np.rint(x * 255).astype(np.float32) / np.float32(255))
