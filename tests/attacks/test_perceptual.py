"""The attacks whose limits are perceptual: what they keep to, when they stop, and what they say where they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skimage import color as reference
from skimage import data

import art_crop
from art_crop.attacks import ColorVarianceAttack, MinimumColorDifference, SaliencyPeakFGM, color_threshold
from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchPhotoClassifier
from art_crop.functional.color import color_variance
from art_crop.objectives import LabelOut, PeakInRegion
from art_crop.testing.doubles import photos, tiny_estimator

REGION = art_crop.Region(0.3, 0.75, 0.7, 1.0)


@pytest.fixture(scope="module")
def gaze_lite() -> Any:
    return art_crop.load_model("gaze-lite")


@pytest.fixture(scope="module")
def astronaut() -> Any:
    return data.astronaut()[::2, ::2].transpose(2, 0, 1)[None].astype(np.float32) / 255


def classifier() -> Any:
    """Ten classes that a fixed random network tells apart, as easily fooled as real ones."""
    generator = torch.Generator().manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d((8, 12)), torch.nn.Flatten(), torch.nn.Linear(288, 64), torch.nn.Tanh()
    )
    network.append(torch.nn.Linear(64, 10))
    with torch.no_grad():
        for layer, scale in ((network[2], 0.5), (network[4], 0.2)):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * scale)
            layer.bias.zero_()
    return PyTorchPhotoClassifier(network, nb_classes=10)


def test_a_peak_moves_with_every_pixel_inside_its_threshold(gaze_lite: Any, astronaut: Any) -> None:
    attack = ColorVarianceAttack(gaze_lite, l1_weight=(100.0, 0.1), max_iter=30)
    changed = attack.generate(astronaut, REGION)
    assert attack.results[0].success
    assert bool(gaze_lite.evaluate(gaze_lite.to_tensor(changed), PeakInRegion([REGION])).success[0])
    levels = changed * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    bound = 50 / 255 * color_variance(torch.from_numpy(astronaut)).numpy()
    assert (np.abs(changed - astronaut) <= bound + 1e-6).all()
    assert np.abs(changed - astronaut).any()


@pytest.mark.parametrize("options", [{}, {"minimal": True, "eps": 30.0}, {"norm": "inf", "eps": 0.1}])
def test_the_threshold_map_is_a_constraint_for_every_gradient_attack(
    gaze_lite: Any, astronaut: Any, options: dict[str, Any]
) -> None:
    limits = color_threshold(torch.from_numpy(astronaut))
    changed = SaliencyPeakFGM(gaze_lite, **options).generate(astronaut, REGION, constraint=limits)
    assert (np.abs(changed - astronaut) <= limits.bound.numpy() + 1e-6).all()


@pytest.mark.parametrize("condition", ["top1", "top1-50", "top5"])
@pytest.mark.parametrize("kind", [ColorVarianceAttack, MinimumColorDifference])
def test_conditions_hold_on_what_is_returned(kind: Any, condition: str) -> None:
    estimator, x = classifier(), photos(4, 32, 48)
    labels = estimator.predict(x).argmax(1)
    attack = kind(estimator, condition=condition)
    changed = attack.generate(x, labels)
    logits = torch.from_numpy(estimator.predict(np.rint(changed * 255).astype(np.float32) / 255))
    chances = logits.double().softmax(1).numpy()
    own = chances[np.arange(4), labels]
    rank = (chances > own[:, None]).sum(1)
    met = {"top1": rank >= 1, "top1-50": own <= 0.5 * chances.max(1), "top5": rank >= 5}[condition]
    assert met.tolist() == [result.success for result in attack.results]
    assert met.sum() >= 3
    assert not any(result.success_before for result in attack.results)


def test_a_label_that_is_wrong_to_begin_with_is_left_alone() -> None:
    estimator, x = classifier(), photos(3, 32, 48)
    labels = estimator.predict(x).argmax(1)
    labels[1] = (labels[1] + 1) % 10
    for kind in (ColorVarianceAttack, MinimumColorDifference):
        attack = kind(estimator)
        changed = attack.generate(x, labels)
        assert [result.success_before for result in attack.results] == [False, True, False]
        np.testing.assert_array_equal(changed[1], x[1])
        assert attack.results[1].gradients == 1


def test_a_flat_photo_cannot_be_changed_and_the_result_says_so() -> None:
    estimator, x = classifier(), photos(2, 32, 48)
    x[0] = 0.5
    attack = ColorVarianceAttack(estimator, learning_rate=0.01)
    changed = attack.generate(x, estimator.predict(x).argmax(1))
    np.testing.assert_array_equal(changed[0], np.float32(np.rint(0.5 * 255) / 255))
    assert "one colour" in attack.results[0].note
    assert not attack.results[0].success
    assert attack.results[1].note == ""


def test_a_failed_photo_says_so() -> None:
    estimator, x = classifier(), photos(2, 32, 48)
    labels = estimator.predict(x).argmax(1)
    for attack in (
        ColorVarianceAttack(estimator, threshold=0.5 / 255, max_iter=3),
        MinimumColorDifference(estimator, max_difference=1e-4, max_iter=3),
    ):
        changed = attack.generate(x, labels)
        assert not any(result.success for result in attack.results)
        assert (estimator.predict(changed).argmax(1) == labels).all()


def test_the_smallest_color_difference_is_smaller_than_other_attacks_make(gaze_lite: Any, astronaut: Any) -> None:
    def size(changed: Any) -> float:
        before, after = (reference.rgb2lab(x[0].transpose(1, 2, 0)) for x in (astronaut, changed))
        return float(np.linalg.norm(reference.deltaE_ciede2000(before, after)))

    ours = MinimumColorDifference(gaze_lite, max_iter=25)
    changed = ours.generate(astronaut, REGION)
    assert ours.results[0].success
    for other in (
        ColorVarianceAttack(gaze_lite, l1_weight=10.0),
        SaliencyPeakFGM(gaze_lite, minimal=True, eps=50.0, quantize="round"),
    ):
        assert size(changed) < size(other.generate(astronaut, REGION))


def test_growing_the_l1_weight_makes_the_change_sparser() -> None:
    estimator, x = classifier(), photos(3, 48, 64)
    labels = estimator.predict(x).argmax(1)
    shares = []
    for weight in (0.0, (1000.0, 0.1)):
        attack = ColorVarianceAttack(estimator, l1_weight=weight)
        changed = attack.generate(x, labels)
        assert all(result.success for result in attack.results)
        shares.append(np.abs(changed - x).sum())
    assert shares[1] < 0.8 * shares[0]


@pytest.mark.parametrize(
    ("options", "y", "said"),
    [
        ({}, LabelOut([0, 0], k=10), "k below 10"),
        ({"window": 41}, [0, 0], "41 x 41 pixels are needed"),
    ],
)
def test_what_cannot_be_done_is_named(options: dict[str, Any], y: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        ColorVarianceAttack(classifier(), **options).generate(photos(2, 32, 48), y)


@pytest.mark.parametrize("kind", [ColorVarianceAttack, MinimumColorDifference])
def test_models_of_photos_in_another_range_are_refused(kind: Any) -> None:
    network = tiny_estimator("classifier").model
    other = PyTorchPhotoClassifier(network, nb_classes=4, clip_values=(0, 255))
    with pytest.raises(InvalidInputError, match=r"\[0, 1\]"):
        kind(other, quantize=False)
