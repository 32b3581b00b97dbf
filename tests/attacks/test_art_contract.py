"""What ART asks of every attack.

Ported from ART's own test-suite (https://github.com/Trusted-AI/adversarial-robustness-toolbox, tests/attacks/utils.py
and the ``test_check_params`` of its attacks, MIT licence), which cannot be imported from outside; for maps, not labels.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.attack import EvasionAttack
from art.estimators.estimator import BaseEstimator, LossGradientsMixin
from art.exceptions import EstimatorError

import art_crop
from art_crop.attacks import ContrastShift, EstimatorRequirementError, GaussianNoise, SaliencyPeakFGM
from art_crop.attacks.base import PhotoAttack
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxQualityRegressor
from art_crop.geometry import Region
from art_crop.objectives import PeakInRegion

Array = np.ndarray[Any, Any]
REGION = Region(0.5, 0.5, 0.75, 1)
ATTACKS: dict[str, Any] = {
    "saliency-peak-fgm": SaliencyPeakFGM,
    "gaussian-noise": GaussianNoise,
    "contrast-shift": ContrastShift,
}
every = pytest.mark.parametrize("attack_class", ATTACKS.values(), ids=ATTACKS)


def check_adverse_example_x(x_adv: Array, x_original: Array, maximum: float = 1.0, minimum: float = 0.0) -> None:
    """ART's: something changed, everything is in range; and here also type, shape, and finite values."""
    assert x_adv.dtype == np.float32
    assert x_adv.shape == x_original.shape
    assert np.isfinite(x_adv).all()
    assert (np.abs(x_adv - x_original).reshape(len(x_adv), -1).sum(1) > 0).all()
    assert x_adv.max() <= maximum
    assert x_adv.min() >= minimum


@every
def test_attacks_are_found_by_name(attack_class: type[PhotoAttack]) -> None:
    name = next(key for key, value in ATTACKS.items() if value is attack_class)
    assert art_crop.load_attack(name) is attack_class
    assert art_crop.load_attack(attack_class.__name__) is attack_class
    assert issubclass(attack_class, EvasionAttack)


@every
def test_classifier_type_check_fail(attack_class: type[PhotoAttack]) -> None:
    said = "white box of art_crop, not" if attack_class is SaliencyPeakFGM else "white box or query-only, not"
    message = f"^estimator: {attack_class.__name__} takes .*{said}"

    class NotASaliencyModel(LossGradientsMixin, BaseEstimator):  # type: ignore[misc]
        estimator_params = BaseEstimator.estimator_params

        def fit(self, x: Any, y: Any, **kwargs: Any) -> None: ...

        def predict(self, x: Any, **kwargs: Any) -> Any: ...

        def loss_gradient(self, x: Any, y: Any, **kwargs: Any) -> Any: ...

        @property
        def input_shape(self) -> Any: ...

    for estimator in (NotASaliencyModel(model=None, clip_values=(0, 1)), None):
        with pytest.raises(EstimatorRequirementError, match=message) as seen:
            attack_class(estimator)
        assert isinstance(seen.value, EstimatorError), "what ART raises, for those who catch that"
        assert isinstance(seen.value, InvalidInputError)
        assert str(pickle.loads(pickle.dumps(seen.value))) == str(seen.value) == seen.value.message


@every
@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("channels_first", [True, False])
def test_adverse_examples(tiny: Any, attack_class: type[PhotoAttack], channels_first: bool, minimal: bool) -> None:
    estimator = tiny.saliency_estimator(channels_first=channels_first)
    x = tiny.photos(2)
    x = x if channels_first else np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    kept = x.copy()
    for given in (x, x.astype(np.float64), np.asfortranarray(x)):
        attack = attack_class(estimator, eps=1.0, minimal=minimal)
        adversarial = attack.generate(given, REGION)
        check_adverse_example_x(adversarial, x)
        assert np.array_equal(given, kept)
        assert not np.shares_memory(adversarial, given)
        assert len(attack.results) == 2
    read_only = x.copy()
    read_only.flags.writeable = False
    attack_class(estimator, eps=1.0).generate(read_only, REGION)


@every
@pytest.mark.parametrize("quantize", [True, False])
def test_masked_images(tiny: Any, attack_class: type[PhotoAttack], quantize: bool) -> None:
    """One mask for all, one for each photo, and one for each channel, as ART has them; and all of a photo masked."""
    x = np.rint(tiny.photos(3) * 255).astype(np.float32) / np.float32(255)
    rng = np.random.default_rng(0)
    attack = attack_class(tiny.saliency_estimator(), eps=1.0, quantize=quantize)
    for shape in ((24, 32), (3, 24, 32), (3, 1, 24, 32), x.shape):
        mask = rng.binomial(1, 0.5, shape).astype(np.float32)
        change = attack.generate(x, REGION, mask=mask) - x
        masked = np.broadcast_to(mask == 0, x.shape)
        assert not change[masked].any()
        assert (np.abs(change[~masked]) > 0).any()
    mask = np.ones(x.shape, bool)
    mask[1] = False
    change = attack.generate(x, REGION, mask=mask) - x
    assert change.reshape(3, -1).any(1).tolist() == [True, False, True]
    for bad in (np.full((24, 32), 1.5), np.full((24, 32), np.nan), np.ones((7, 7)), "all", -np.ones((24, 32))):
        with pytest.raises(InvalidInputError, match="mask"):
            attack.generate(x, REGION, mask=bad)


def test_random_initialisation_images(tiny: Any) -> None:
    x = tiny.photos(3)
    attack = SaliencyPeakFGM(tiny.saliency_estimator(), eps=0.5, quantize=False)
    adversarial = attack.generate(x, REGION)
    attack.set_params(random_init=True)
    with_noise = attack.generate(x, REGION)
    check_adverse_example_x(with_noise, x)
    assert not np.array_equal(adversarial, with_noise)


def test_random_initialisation_is_a_hundredth_of_the_budget(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first gradient is taken: noise of that norm away, another for each photo and seed."""
    estimator, x, starts = tiny.saliency_estimator(), tiny.photos(2), []
    gradient_at = estimator.value_and_gradient
    monkeypatch.setattr(estimator, "value_and_gradient", lambda p, *a, **k: starts.append(p) or gradient_at(p, *a, **k))  # type: ignore[func-returns-value]
    for seed in (0, 1):
        attack = SaliencyPeakFGM(estimator, eps=[0.5, 4.0], max_iter=1, quantize=False, random_init=True, seed=seed)
        attack.generate(x, REGION)
    noise = torch.cat(starts).double().numpy() - np.concatenate([x, x])
    assert np.sqrt((noise**2).sum((1, 2, 3))) == pytest.approx([0.005, 0.04] * 2, rel=1e-3)
    units = noise.reshape(4, -1) / np.linalg.norm(noise.reshape(4, -1), axis=1)[:, None]
    assert np.abs(np.triu(units @ units.T, 1)).max() < 0.1


BAD: dict[str, list[Any]] = {
    "norm": [1, 0, "1", "l2", None, True, [2]],
    "eps": [0, -1.0, np.nan, np.inf, "1", None, [], [1.0, 0.0], [[1.0, 2.0]], True],
    "max_iter": [0, -1, 1.5, "3", True],
    "minimal": [1, 0, "yes", None],
    "mask": ["gradcam", True, 1],
    "momentum": [-0.1, 1.1, np.nan, "0", None],
    "by": ["row", None, 1],
    "ratios": [[], [0.0], [-1.0], [np.nan], "square", 1.0],
    "loss": ["mse", None],
    "quantize": [1, "floor", None],
    "success_oracle": ["fastgaze", 1],
    "early_stop": [1, None],
    "random_init": ["False", None],
    "seed": [-1, 0.5, None, "0"],
    "verbose": [2, "True"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_check_params(tiny: Any, name: str, value: Any) -> None:
    estimator = tiny.saliency_estimator()
    with pytest.raises(InvalidInputError, match=name[:-1]):
        SaliencyPeakFGM(estimator, **{name: value})
    attack = SaliencyPeakFGM(estimator, eps=3.0, ratios=(1.0,))
    before = dict(vars(attack))
    with pytest.raises(InvalidInputError, match=name[:-1]):
        attack.set_params(seed=5, **{name: value}) if name != "seed" else attack.set_params(eps=1.0, seed=value)
    assert vars(attack) == before, "all or none"
    if name in GaussianNoise.attack_params:
        with pytest.raises(InvalidInputError, match=name[:-1]):
            GaussianNoise(estimator, **{name: value})


def test_oracles_of_another_range_or_task_are_refused(tiny: Any) -> None:
    wide = tiny.saliency_estimator(clip_values=(0, 255), preprocessing=(0.0, 255.0))
    for oracle, said in ((wide, "clip_values"), (tiny.quality_estimator(), "saliency estimator of art_crop is needed")):
        with pytest.raises(InvalidInputError, match=f"^success_oracle: .*{said}"):
            SaliencyPeakFGM(tiny.saliency_estimator(), success_oracle=oracle)


def test_query_only_models_have_no_gradients_to_give() -> None:
    asked = BlackBoxQualityRegressor(lambda x: x.mean((1, 2, 3)))
    with pytest.raises(EstimatorRequirementError, match="SaliencyPeakFGM takes a white box of art_crop, not BlackBox"):
        SaliencyPeakFGM(asked)
    with pytest.raises(InvalidInputError, match="mask: Grad-CAM needs a white box"):
        GaussianNoise(asked, mask="grad-cam")


def test_the_old_name_of_the_success_oracle(tiny: Any) -> None:
    oracle = tiny.saliency_estimator()
    for kind in (SaliencyPeakFGM, GaussianNoise):
        with pytest.warns(DeprecationWarning, match="judge: it is called success_oracle now"):
            attack = kind(tiny.saliency_estimator(), judge=oracle)
        assert attack.success_oracle is oracle


def test_the_old_name_of_the_spots_mask(tiny: Any) -> None:
    estimator, x = tiny.saliency_estimator(), tiny.photos(1)
    with pytest.warns(DeprecationWarning, match="mask: 'places' is called 'spots' now"):
        old = SaliencyPeakFGM(estimator, eps=0.3, mask="places")
    assert np.array_equal(
        old.generate(x, REGION), SaliencyPeakFGM(estimator, eps=0.3, mask="spots").generate(x, REGION)
    )


@every
def test_every_parameter_can_be_read_and_set(tiny: Any, attack_class: type[PhotoAttack]) -> None:
    attack = attack_class(tiny.saliency_estimator())
    for name in attack.attack_params:
        attack.set_params(**{name: getattr(attack, name)})
        assert f"{name}={getattr(attack, name)}" in repr(attack)
    with pytest.raises(InvalidInputError, match="epsilon"):
        attack.set_params(epsilon=1.0)
    assert attack.targeted


@every
def test_unknown_keywords_are_refused(tiny: Any, attack_class: type[PhotoAttack]) -> None:
    with pytest.raises((InvalidInputError, TypeError), match="epsilon"):
        attack_class(tiny.saliency_estimator(), epsilon=1.0)  # type: ignore[call-arg]
    with pytest.raises(InvalidInputError, match="batch_size"):
        attack_class(tiny.saliency_estimator()).generate(tiny.photos(1), REGION, batch_size=2)


BAD_X = {
    "uint8": (np.zeros((1, 3, 24, 32), np.uint8), "255"),
    "NaN": (np.full((1, 3, 24, 32), np.nan, np.float32), "finite"),
    "range": (np.full((1, 3, 24, 32), 2.0, np.float32), "clip_values"),
    "layout": (np.zeros((1, 24, 32, 3), np.float32), "shape"),
    "empty": (np.zeros((0, 3, 24, 32), np.float32), "at least one"),
    "list": ([[0.0]], "numpy"),
}
BAD_Y = {
    "none": None,
    "number": 3,
    "text": "left",
    "flat": [0.1, 0.1, 0.2, 0.2],
    "few": np.array([[0.1, 0.1, 0.2, 0.2]]),
    "empty list": [],
    "ragged": [[0.1, 0.1, 0.2, 0.2], [0.1]],
    "inverted": np.array([[0.5, 0.1, 0.2, 0.2]] * 2),
    "outside": np.array([[0.5, 0.1, 1.2, 0.2]] * 2),
    "NaN": np.array([[np.nan, 0.1, 0.2, 0.2]] * 2),
    "mixed": [REGION, (0.1, 0.1, 0.2, 0.2)],
    "an objective for more": PeakInRegion([REGION] * 3),
    "an objective for fewer": PeakInRegion([REGION]),
}


@every
@pytest.mark.parametrize("case", BAD_X)
def test_bad_photos(tiny: Any, attack_class: type[PhotoAttack], case: str) -> None:
    x, message = BAD_X[case]
    with pytest.raises(InvalidInputError, match=message):
        attack_class(tiny.saliency_estimator()).generate(x, REGION)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_regions(tiny: Any, case: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^(y|region|objective)"):
        SaliencyPeakFGM(tiny.saliency_estimator()).generate(tiny.photos(2), BAD_Y[case])


def test_as_many_budgets_as_photos(tiny: Any) -> None:
    attack = SaliencyPeakFGM(tiny.saliency_estimator(), eps=[1.0, 2.0])
    with pytest.raises(InvalidInputError, match="eps"):
        attack.generate(tiny.photos(3), REGION)


def test_a_progress_bar_only_when_asked_for(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    SaliencyPeakFGM(tiny.saliency_estimator()).generate(tiny.photos(2), REGION)
    assert capsys.readouterr() == ("", "")
    SaliencyPeakFGM(tiny.saliency_estimator(), verbose=True).generate(tiny.photos(2), REGION)
    assert "2/2" in capsys.readouterr().err


def test_a_model_that_does_not_look_at_the_photo(tiny: Any) -> None:
    """Its gradient is 0: the photo comes back as it was, and no NaN with it."""

    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ramp = torch.arange(48.0, device=x.device).view(1, 6, 8)
            return ramp + 0 * x.mean((1, 2, 3))[:, None, None]

    estimator = type(tiny.saliency_estimator())(Fixed(), log_density=True, device="cpu")
    x = np.rint(tiny.photos(2) * 255).astype(np.float32) / np.float32(255)
    for kwargs in ({}, {"minimal": True}, {"quantize": False}, {"norm": "inf"}, {"eps": 1000.0, "quantize": False}):
        attack = SaliencyPeakFGM(estimator, **{"eps": 1.0, **kwargs})  # type: ignore[arg-type]
        assert np.array_equal(attack.generate(x, Region(0, 0, 0.2, 0.2)), x)
        assert [result.success for result in attack.results] == [False, False]
