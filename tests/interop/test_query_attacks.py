"""ART's attacks that only ask, on both views as a user makes them, with a photo that is not square: each runs, or its
error says what to give.
"""

from __future__ import annotations

from typing import Any

import art.attacks.evasion as attacks
import numpy as np
import pytest
from art_attacks import Array, available, seeded
from skimage import data, transform

import art_crop
from art_crop.errors import InvalidInputError
from art_crop.estimators import PyTorchQualityRegressor, QualityClassifierView, SaliencyClassifierView, region_grid
from art_crop.testing.doubles import tiny_estimator

QUIET = {"verbose": False}
DECISION = {**QUIET, "targeted": False, "max_iter": 1, "init_size": 50}
MOVES = {"max_translation": 20, "num_translations": 2, "max_rotation": 20, "num_rotations": 1}
XFORMS = {"num_xforms_mask": 2, "num_xforms_boost": 2, "num_boost_queries": 2}
PATCHES = {"heat_patch_size": (160, 120), "heat_patch_stride": (160, 120)}
STICKER = {"noise_size": (320, 240), "net_size": (320, 240), **PATCHES, **XFORMS}
ZOO = {"max_iter": 1, "nb_parallel": 2, "use_resize": False, "use_importance": False, "variable_h": 0.02}
ROWS: dict[str, tuple[str, dict[str, Any], bool]] = {
    # ART's class, its options, and whether it computes with the estimator's input_shape
    "boundary": ("BoundaryAttack", {**DECISION, "num_trial": 2, "sample_size": 2}, True),
    "hop-skip-jump": ("HopSkipJump", {**DECISION, "max_eval": 10, "init_eval": 5}, True),
    "zoo": ("ZooAttack", {**QUIET, **ZOO}, True),
    "square": ("SquareAttack", {**QUIET, "max_iter": 8, "eps": 0.02, "p_init": 0.3}, True),
    "square-l2": ("SquareAttack", {**QUIET, "max_iter": 8, "eps": 2.0, "norm": 2, "p_init": 0.3}, False),
    "sign-opt": ("SignOPTAttack", {**QUIET, "targeted": False, "num_trial": 3, "max_iter": 1, "k": 1}, False),
    "spatial": ("SpatialTransformation", {**QUIET, **MOVES}, False),
    "graphite": ("GRAPHITEBlackbox", STICKER, False),
    "simba": ("SimBA", {**QUIET, "attack": "px", "max_iter": 5, "epsilon": 0.5}, False),
    "simba-dct": ("SimBA", {**QUIET, "attack": "dct", "max_iter": 5, "epsilon": 0.5, "freq_dim": 8}, False),
}
NEEDS = {"graphite": "cv2"}


@pytest.fixture(scope="module")
def x() -> Array:
    """Scikit-image's astronaut as a photo of 320x240 px, levels of uint8 in [0, 1]."""
    small = transform.resize(data.astronaut()[:384], (240, 320), anti_aliasing=True)
    return np.ascontiguousarray((small * 255).round().astype(np.float32).transpose(2, 0, 1)[None] / 255)


def cropper_view(x: Array, **kwargs: Any) -> Any:
    return SaliencyClassifierView(art_crop.load_model("gaze-lite", device="cpu"), region_grid(3, 1), **kwargs)


def score_view(x: Array, **kwargs: Any) -> Any:
    model: PyTorchQualityRegressor = tiny_estimator("quality")
    score = float(model.predict(x)[0])
    return QualityClassifierView(model, [score - 2, score - 0.02, score + 0.02, score + 2], **kwargs)


def run(name: str, view: Any, x: Array) -> Array:
    attack, options, _ = ROWS[name]
    if not available(NEEDS.get(name, "numpy")):
        pytest.skip(f"needs {NEEDS[name]}")
    given = {}
    if name == "graphite":
        given = {"y": np.eye(view.nb_classes, dtype=np.float32)[[0]], "x_tar": np.ascontiguousarray(np.roll(x, 99, 3))}
    with seeded():
        result: Array = getattr(attacks, attack)(view, **options).generate(x.copy(), **given)
    return result


@pytest.mark.parametrize("make", [cropper_view, score_view])
@pytest.mark.parametrize("name", ROWS)
def test_with_the_size_said_it_runs(name: str, make: Any, x: Array) -> None:
    view = make(x, input_shape=x.shape[1:], probabilities=name.startswith("simba"))
    result = run(name, view, x)
    assert result.shape == x.shape
    assert np.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1 + 1e-6
    if name in ("boundary", "hop-skip-jump", "sign-opt"):  # they give nothing but photos of another class
        assert view.predict(result.astype(np.float32)).argmax() != view.predict(x).argmax()


@pytest.mark.parametrize("make", [cropper_view, score_view])
@pytest.mark.parametrize("name", ROWS)
def test_with_the_size_left_open_it_runs_or_says_what_to_give(name: str, make: Any, x: Array) -> None:
    view = make(x, probabilities=name.startswith("simba"))
    if ROWS[name][2]:
        with pytest.raises(InvalidInputError, match=r"^input_shape: .* input_shape=x\.shape\[1:\]$"):
            run(name, view, x)
    else:
        assert run(name, view, x).shape == x.shape


def test_a_view_of_any_size_is_as_it_was_for_all_else(x: Array) -> None:
    view = cropper_view(x)
    assert view.input_shape == (3, -1, -1)
    assert repr(view.input_shape) == "(3, -1, -1)"
    view.set_params(input_shape=view.input_shape)
    assert view.input_shape == cropper_view(x, input_shape=(3, -1, -1)).input_shape
    assert cropper_view(x, input_shape=x.shape[1:]).input_shape == (3, 240, 320)
    np.testing.assert_array_equal(view.predict(x), cropper_view(x, input_shape=x.shape[1:]).predict(x))


@pytest.mark.parametrize("make", [cropper_view, score_view])
def test_probabilities_are_the_softmax_of_the_logits_and_decide_alike(make: Any, x: Array) -> None:
    photos = np.concatenate([x, x[..., ::-1], np.full_like(x, 0.5)])
    logits, found = (make(x, probabilities=asked).predict(photos).astype(np.float64) for asked in (False, True))
    expected = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-6)
    assert (found.argmax(1) == logits.argmax(1)).all()


def test_an_attack_that_asks_about_heavy_noise_is_told_what_to_set(x: Array) -> None:
    view = cropper_view(x)
    attack = attacks.ShadowAttack(view, nb_steps=2, batch_size=1, verbose=False)
    with pytest.raises(InvalidInputError, match=r"allowed is \[0, 1\] .* beyond it 10% of the range \(slack\)"):
        attack.generate(x)
    view.set_params(slack=3)
    assert attack.generate(x).shape == x.shape
