"""The kit on our attacks, in several configurations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from art.estimators.classification import PyTorchClassifier
from art.exceptions import EstimatorError

import art_crop
from art_crop.errors import InvalidInputError
from art_crop.objectives import PeakInRegion
from art_crop.testing import AttackConformance
from art_crop.testing.doubles import TinyClassifier, filled, one_of_each

ON_ANYTHING = ("gaussian-noise", "contrast-shift")


def made(named: str, options: dict[str, Any]) -> Any:
    kind = art_crop.load_attack(named)
    return lambda estimator, **kwargs: kind(estimator, **{"eps": 1.0, **options, **kwargs})


class OfThePeak(AttackConformance):
    """Attacks on where the salient point lies; the records' successes are checked with the model."""

    named = "saliency-peak-fgm"
    options: dict[str, Any] = {}
    bad_parameters = {
        "mask": ("gradcam", 1),
        "by": ("row", None),
        "ratios": ((), (0.0,), "square"),
        "loss": ("mse", None),
        "judge": ("fastgaze",),
    }

    @pytest.fixture
    def make_attack(self) -> Any:
        return made(self.named, self.options)

    def succeeded(self, estimator: Any, photo: Any, y: Any) -> bool | None:
        verdict = estimator.evaluate(estimator.to_tensor(photo), PeakInRegion(y, by=self.options.get("by", "cell")))
        return bool(verdict.success[0])


class TestThreeSteps(OfThePeak):
    pass


class TestManyStepsThatEndEarly(OfThePeak):
    options = {"max_iter": 8, "momentum": 0.9, "early_stop": True, "random_init": True, "seed": 3}


class TestMaximumNorm(OfThePeak):
    options = {"norm": "inf", "quantize": False, "by": "column", "loss": "cross_entropy"}
    budgets = (2 / 255, 0.1)


class TestMaximumNormInWholeLevels(OfThePeak):
    options = {"norm": np.inf, "eps": 4 / 255, "quantize": "round"}
    budgets = (2 / 255, 0.05)

    @pytest.mark.skip(reason="noise of a hundredth of the budget changes no sign of so smooth a model's gradient")
    def test_random_initialisation_changes_the_result(self) -> None: ...


class TestMinimal(OfThePeak):
    options = {"minimal": True, "eps": 8.0, "max_iter": 2}
    always_changes = False


class TestGradCam(OfThePeak):
    options = {"mask": "grad-cam", "quantize": False}


class TestOptionsForTransfer(OfThePeak):
    options = {"smoothing": 2.0, "diversity": 0.5, "momentum": 1.0, "averaging": ("resize", "blur"), "max_iter": 2}


class TestGaussianNoise(OfThePeak):
    named = "gaussian-noise"


class TestContrastShift(OfThePeak):
    named = "contrast-shift"


class OfPerception(OfThePeak):
    """Attacks without a budget, whose limits are perceptual."""

    always_changes = False
    bad_parameters = {
        "condition": ("top3", 1),
        "max_iter": (0, -1, 1.5),
        "loss": ("mse", None),
        "threshold": (0.0, -1.0, "1"),
        "window": (4, 1, 5.5),
        "sigma": (0.0, None),
        "learning_rate": (0.0, "fast"),
        "optimizer": ("sgd", None),
        "l1_weight": (-1.0, (1.0,), (0.0, 1.0), "much"),
        "max_difference": (0.0, "5"),
    }

    @pytest.fixture
    def make_attack(self) -> Any:
        kind = art_crop.load_attack(self.named)
        return lambda estimator, **kwargs: kind(estimator, **{**self.options, **kwargs})


class TestColorVariance(OfPerception):
    named = "color-variance"
    options = {"max_iter": 6, "learning_rate": 0.02, "l1_weight": 0.0}


class TestColorVarianceAlongTheGradient(OfPerception):
    named = "color-variance"
    options = {"max_iter": 4, "optimizer": "gradient", "learning_rate": 0.02, "quantize": False, "by": "column"}


class TestSmallestColorDifference(OfPerception):
    named = "minimum-color-difference"
    options = {"max_iter": 8}


class TestSmallestColorDifferenceUnrounded(OfPerception):
    named = "minimum-color-difference"
    options = {"max_iter": 8, "quantize": False}


class OnOtherTasks(AttackConformance):
    """Attacks on a quality model or a classifier: scores to fall below, labels to leave."""

    named = "gaussian-noise"
    options: dict[str, Any] = {}

    @pytest.fixture
    def make_attack(self) -> Any:
        return made(self.named, self.options)

    @pytest.fixture
    def targets(self, estimator: Any, photos: Any) -> Any:
        answers = estimator.predict(photos)
        if self.victim == "quality":
            return lambda count: answers[:count] - 0.2
        return lambda count: answers[:count].argmax(1)  # or some photos would have left their labels before

    def succeeded(self, estimator: Any, photo: Any, y: Any) -> bool | None:
        answer = estimator.predict(photo)[0]
        return bool(answer < y[0]) if self.victim == "quality" else bool(answer.argmax() != y[0])


class TestNoiseOnQuality(OnOtherTasks):
    named, victim = "gaussian-noise", "quality"


class TestSmallestNoiseOnQuality(OnOtherTasks):
    named, victim = "gaussian-noise", "quality"
    options = {"minimal": True, "eps": 8.0, "smooth": 4.0}  # two of three photos can be reached so


class TestNoiseOnClassifiers(OnOtherTasks):
    named, victim = "gaussian-noise", "classifier"


class TestContrastShiftOnQuality(OnOtherTasks):
    named, victim = "contrast-shift", "quality"


class TestContrastShiftOnClassifiers(OnOtherTasks):
    named, victim = "contrast-shift", "classifier"


class TestGradientsOnQuality(OnOtherTasks):
    named, victim = "saliency-peak-fgm", "quality"


class TestGradientsOnClassifiers(OnOtherTasks):
    named, victim = "saliency-peak-fgm", "classifier"
    options = {"minimal": True, "eps": 8.0}


class TestColorVarianceOnClassifiers(OnOtherTasks):
    named, victim = "color-variance", "classifier"
    options = {"max_iter": 6, "learning_rate": 0.02, "l1_weight": (10.0, 1.0)}
    always_changes = False

    @pytest.fixture
    def make_attack(self) -> Any:
        kind = art_crop.load_attack(self.named)
        return lambda estimator, **kwargs: kind(estimator, **{**self.options, **kwargs})


class TestSmallestColorDifferenceOnQuality(TestColorVarianceOnClassifiers):
    named, victim = "minimum-color-difference", "quality"
    options = {"max_iter": 8}


class TestQuantisedCoefficients(TestColorVarianceOnClassifiers):
    named, victim = "dct-quantization", "quality"
    options = {"max_iter": 2}
    always_changes = True
    bad_parameters = {
        "domain": ("pixels", None),
        "quality": (0, 101, "90"),
        "subsampling": ("4:1:1", None),
        "resaved": (90, [(0, "4:2:0")]),
        "bound": (0, 0.5),
        "margin": (-0.1, "half"),
        "max_radius": (0.0, None),
        "inner": ("pgd",),
    }


class TestQuantisedLevels(TestQuantisedCoefficients):
    options = {"domain": "spatial"}


class TestSensitivityOnQuality(TestColorVarianceOnClassifiers):
    named, victim = "sensitivity-carlini-l2", "quality"
    options = {"max_iter": 8, "binary_search_steps": 2, "initial_const": 0.1}
    bad_parameters = {
        "sensitivity": (3, None, "no-such-model"),
        "floor": (-0.1, 1.1),
        "alpha": (0.0, "10"),
        "confidence": (-1.0, None),
        "learning_rate": (0.0, "fast"),
        "initial_const": (0.0, None),
        "binary_search_steps": (0, 1.5),
        "abort_early": ("yes", None),
    }


class TestCarliniAndWagnerOnClassifiers(TestSensitivityOnQuality):
    victim = "classifier"
    options = {"max_iter": 8, "sensitivity": "uniform", "initial_const": 1.0}


class TestTPE(OfThePeak):
    named = "tpe-pixel-search"
    options = {"max_queries": 10, "batch": 3, "trials": 6}
    always_changes = False
    bad_parameters = {
        "max_queries": (0, 1.5),
        "batch": (0, None),
        "trials": (0, "many"),
        "sampler": ("grid", None),
        "combine": (1.5, "yes"),
        "transfer": ("end",),
        "storage": (3, ""),
    }


class TestTPEOnQuality(OnOtherTasks):
    named, victim = "tpe-pixel-search", "quality"
    options = {"max_queries": 10, "batch": 3, "trials": 6}


class TestSquareAttack(OfThePeak):
    named = "art-square-attack"
    options = {"max_queries": 10}
    always_changes = False
    bad_parameters = {"max_queries": (0, 1.5), "p_init": (0.0, 1.5)}


class TestHopSkipJump(OnOtherTasks):
    named, victim = "art-hop-skip-jump", "quality"
    options = {"max_queries": 40, "eps": 60.0}  # its first photo is noise all over
    always_changes = False


class TestIterativeFGSM(OnOtherTasks):
    named, victim = "i-fgsm", "quality"
    options = {"norm": "inf", "eps": 4 / 255}
    budgets = (2 / 255, 0.05)


class TestMomentum(TestIterativeFGSM):
    named = "mi-fgsm"
    bad_parameters = {"decay": (-0.1, "1"), "eps_step": (0.0,)}


class TestMomentumInL2(OnOtherTasks):
    named, victim = "mi-fgsm", "quality"


class TestAdaptiveMomentum(TestIterativeFGSM):
    named = "ami-fgsm"


class TestSpatialActivityOnClassifiers(TestIterativeFGSM):
    named, victim = "korhonen-you", "classifier"


class TestMaximumDifferentiation(OnOtherTasks):
    named, victim = "madc", "quality"


class TestUniversalPerturbation(TestIterativeFGSM):
    named = "universal-perturbation"
    options = {"norm": "inf", "eps": 4 / 255, "max_iter": 3}
    bad_parameters = {"photos": (3, [3], [np.zeros((4, 4), np.uint8)])}


class TestSharpening(TestIterativeFGSM):
    named = "unsharp-mask"
    bad_parameters = {"sigma": (0.0, "1"), "amount": ("much", float("nan"))}


class TestContrast(TestIterativeFGSM):
    named = "contrast-change"
    bad_parameters = {"factor": (-1.0, None)}


class TestJPEG(TestIterativeFGSM):
    named = "jpeg-compression"
    bad_parameters = {"quality": (0, 101, 90.5)}


@pytest.mark.parametrize("named", ["saliency-peak-fgm", *ON_ANYTHING])
def test_an_estimator_of_arts_own_is_refused_with_what_is_taken_instead(named: str) -> None:
    plain = PyTorchClassifier(
        filled(TinyClassifier()), torch.nn.CrossEntropyLoss(), (3, 32, 48), 4, clip_values=(0, 1), device_type="cpu"
    )
    with pytest.raises(
        (InvalidInputError, EstimatorError), match=r"estimator: .* of art_crop.*, not PyTorchClassifier"
    ):
        art_crop.load_attack(named)(plain)


@pytest.mark.parametrize("model", one_of_each())
def test_noise_and_contrast_take_every_model_and_gradients_every_white_box(model: str) -> None:
    estimator = one_of_each()[model]
    for named in ON_ANYTHING:
        assert art_crop.load_attack(named)(estimator).estimator is estimator
    if "query-only" not in model:
        assert art_crop.load_attack("saliency-peak-fgm")(estimator).estimator is estimator
        return
    with pytest.raises(InvalidInputError, match=r"estimator: .* takes a white box of art_crop, not BlackBox"):
        art_crop.load_attack("saliency-peak-fgm")(estimator)
