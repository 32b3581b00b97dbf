"""The kit on our attacks, in several configurations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import art_crop
from art_crop.objectives import PeakInRegion
from art_crop.testing import AttackConformance


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
        kind, options = art_crop.load_attack(self.named), {"eps": 1.0, **self.options}
        return lambda estimator, **kwargs: kind(estimator, **{**options, **kwargs})

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
