"""One table of every evasion attack of ART: how it is made, on which estimator, and what becomes of it.

Budgets are tiny on purpose: the question is whether an attack runs and gives a valid photo, not how strong it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import art.attacks.evasion as attacks
import numpy as np
import torch
from art_attacks import SIZE, Row, Setting, as_patch

EPS = 16 / 255
STEPS = {"eps": EPS, "eps_step": 4 / 255, "max_iter": 4, "verbose": False}


def always(**kwargs: Any) -> Callable[[Setting], dict[str, Any]]:
    return lambda setting: kwargs


def own(setting: Setting) -> dict[str, Any]:
    """The photo's own class, to leave."""
    return {"y": setting.one_hot(0)}


def last(setting: Setting) -> dict[str, Any]:
    """The last class, to reach."""
    return {"y": setting.one_hot(2)}


def second(setting: Setting) -> dict[str, Any]:
    """The second class, to reach."""
    return {"y": setting.one_hot(1)}


def towards(setting: Setting) -> dict[str, Any]:
    return {"y": setting.map_elsewhere}


def guide(setting: Setting) -> dict[str, Any]:
    return {"y": setting.other}


def mirrored(setting: Setting) -> dict[str, Any]:
    return {"y": setting.photo(setting.view_small)[..., ::-1].copy(), "maxiter": 1}


def example(setting: Setting) -> dict[str, Any]:
    return {**second(setting), "x_tar": setting.other}


def auto_attacks(view: Any) -> list[Any]:
    """Two of AutoAttack's four, with small budgets; its own defaults take 100 steps and more."""
    return [
        attacks.AutoProjectedGradientDescent(view, **AUTO),
        attacks.SquareAttack(view, max_iter=5, eps=EPS, verbose=False),
    ]


def square(setting: Setting) -> dict[str, Any]:
    """SquareAttack on a regressor must be told what success is and what to lower: here the peak's lead over a cell."""
    cell = 2 * setting.map_elsewhere.shape[2] + 2

    def lead(maps: Any) -> Any:
        flat = maps.reshape(len(maps), -1)
        return flat.max(1) - flat[:, cell]

    return {"adv_criterion": lambda maps, y: lead(maps) == 0, "loss": lambda x, y: lead(setting.cropper.predict(x))}


def laser(setting: Setting) -> dict[str, Any]:
    from art.attacks.evasion.laser_attack.laser_attack import LaserBeam, LaserBeamGenerator

    weakest, strongest = LaserBeam.from_array([380, 0, 0, 1]), LaserBeam.from_array([780, math.pi, SIZE, 10])
    return {"iterations": 3, "laser_generator": LaserBeamGenerator(weakest, strongest)}


def seen(estimator: Any, x: Any) -> tuple[list[Any], list[Any]]:
    """What SNAL's user would collect from each photo: patches of objects, and where the objects are."""
    return [[torch.full((3, 16, 16), 0.5)]] * len(x), [torch.tensor([[4.0, 4.0, 40.0, 40.0]])] * len(x)


PATCH = {"max_iter": 2, "batch_size": 1, "targeted": False, "verbose": False}
TORCH_PATCH = {**PATCH, "patch_shape": (3, 24, 24)}
AUTO = {**STEPS, "nb_random_init": 1}
CE, DLR = {**AUTO, "loss_type": "cross_entropy"}, {**AUTO, "loss_type": "difference_logits_ratio"}
CARLINI = {"binary_search_steps": 1, "initial_const": 10, "learning_rate": 0.05, "verbose": False}
LINF = {"max_iter": 3, "initial_const": 1, "largest_const": 4, "decrease_factor": 0.5, "verbose": False}
COMPOSITE = {"enabled_attack": (3, 5), "attack_order": "fixed", "max_inner_iter": 2, "verbose": False}
FEATURES = {"delta": EPS, "layer": 0, "max_iter": 3, "step_size": 0.02, "verbose": False}
MASKS = {"heat_patch_size": (32, 32), "heat_patch_stride": (32, 32), "num_xforms_mask": 2}
STICKER = {
    "noise_size": (SIZE, SIZE),
    "net_size": (SIZE, SIZE),
    **MASKS,
    "num_xforms_boost": 2,
    "num_boost_queries": 10,
}
STICKER_WHITE = {"net_size": (SIZE, SIZE), "num_xforms": 2, "steps": 1, "first_steps": 1, "min_tr": 1.0}
REMOVAL = {"patch_removal_size": 32, "patch_removal_interval": 32, "num_patches_to_remove": 1}
DECISION = {"targeted": False, "verbose": False, "init_size": 100}
YOLO = {"eps": EPS, "max_iter": 1, "num_grid": 2}
MOVES = {"max_translation": 20, "num_translations": 2, "max_rotation": 20, "num_rotations": 1, "verbose": False}
UNIVERSAL = {"attacker": "fgsm", "max_iter": 1, "eps": EPS}
SINKHORN = {"regularization": 1, "conjugate_sinkhorn_max_iter": 3, "projected_sinkhorn_max_iter": 3, "kernel_size": 3}
ZOO = {"nb_parallel": 4, "use_resize": False, "use_importance": False, "variable_h": 0.02, "verbose": False}
VAT = {"max_iter": 1, "finite_diff": 0.1, "eps": 2, "verbose": False}
BRENDEL = {"steps": 1, "init_size": 10, "binary_search_steps": 2}
FAILS, REFUSED = "fails in ART", "refused"
CLASSIFIER_LONG = "Expected floating point type for target with class probabilities, got Long"

ROWS = (
    Row("AdversarialPatch", always(**TORCH_PATCH), own, run=as_patch, needs=("torchvision",)),
    Row("AdversarialPatchNumpy", always(**PATCH), own, status=FAILS, error="has no attribute 'patch'"),
    Row("AdversarialPatchPyTorch", always(**TORCH_PATCH), own, run=as_patch, needs=("torchvision",)),
    Row("AdversarialPatchTensorFlowV2", always(**TORCH_PATCH), own, run=as_patch, needs=("tensorflow",)),
    Row("AdversarialTexturePyTorch", always(patch_height=8, patch_width=8), status=REFUSED, error="ObjectTrackerMixin"),
    Row("AutoAttack", lambda s: {"eps": EPS, "attacks": auto_attacks(s.view)}, needs=("multiprocess",)),
    Row("AutoConjugateGradient", always(**AUTO)),
    Row("AutoConjugateGradient", always(**CE), status=FAILS, error=CLASSIFIER_LONG, leaves=False),
    Row("AutoConjugateGradient", always(**DLR), leaves=False),
    Row("AutoProjectedGradientDescent", always(**AUTO)),
    Row("AutoProjectedGradientDescent", always(**CE), leaves=False),
    Row("AutoProjectedGradientDescent", always(**DLR), leaves=False),
    Row("BasicIterativeMethod", always(**STEPS)),
    Row("BasicIterativeMethod", always(**STEPS, targeted=True), towards, on="cropper"),
    Row("BoundaryAttack", always(**DECISION, max_iter=1, num_trial=2, sample_size=2)),
    Row("BrendelBethgeAttack", always(**BRENDEL), needs=("numba",), leaves=False, slow=True),
    Row("CarliniL0Method", always(**CARLINI, max_iter=2, max_halving=1, max_doubling=1), slow=True),
    Row("CarliniL2Method", always(**CARLINI, max_iter=2)),
    Row("CarliniLInfMethod", always(**LINF)),
    Row("CarliniWagnerASR", status=REFUSED, error="SpeechRecognizerMixin"),
    Row("CompositeAdversarialAttackPyTorch", always(**COMPOSITE), own, needs=("kornia",)),
    Row("DPatch", status=REFUSED, error="ObjectDetectorMixin"),
    Row("DecisionTreeAttack", status=REFUSED, error="ScikitlearnDecisionTreeClassifier"),
    Row("DeepFool", always(max_iter=4, nb_grads=3, verbose=False)),
    Row("ElasticNet", always(**CARLINI, max_iter=3)),
    Row("FastGradientMethod", always(eps=EPS)),
    Row("FastGradientMethod", always(eps=EPS, targeted=True), towards, on="cropper"),
    Row("FeatureAdversariesNumpy", always(delta=EPS, layer=0), mirrored, on="view_small", moves=False),
    Row("FeatureAdversariesPyTorch", always(**FEATURES), guide, leaves=False),
    Row("FeatureAdversariesPyTorch", always(**FEATURES), guide, on="cropper", leaves=False),
    Row("FeatureAdversariesTensorFlowV2", always(**FEATURES), guide, needs=("tensorflow",)),
    Row("FrameSaliencyAttack", lambda s: {"attacker": attacks.FastGradientMethod(s.view, eps=EPS), "verbose": False}),
    Row("GRAPHITEBlackbox", always(**STICKER), example, needs=("cv2",), slow=True, moves=False),
    Row("GRAPHITEWhiteboxPyTorch", always(**STICKER_WHITE, **REMOVAL), last, needs=("cv2",)),
    Row("GeoDA", always(sub_dim=4, verbose=False), status=FAILS, error="`np.mat` was removed in the NumPy 2.0 release"),
    Row("HighConfidenceLowUncertainty", status=REFUSED, error="GPyGaussianProcessClassifier"),
    Row("HopSkipJump", always(**DECISION, max_iter=1, max_eval=10, init_eval=5)),
    Row("ImperceptibleASR", always(masker=None), status=REFUSED, error="SpeechRecognizerMixin"),
    Row("ImperceptibleASRPyTorch", status=REFUSED, error="SpeechRecognizerMixin"),
    Row("LaserAttack", laser, on="view_nhwc", status=FAILS, error="`np.asfarray` was removed in the NumPy 2.0 release"),
    Row(
        "LowProFool",
        always(n_steps=2, importance=np.ones(3)),
        second,
        status=FAILS,
        error="broadcast",
        note="for tables",
    ),
    Row(
        "MalwareGDTensorFlow",
        always(embedding_weights=np.eye(2), param_dic={}),
        needs=("tensorflow",),
        note="for programs",
    ),
    Row("MomentumIterativeMethod", always(**STEPS)),
    Row("MomentumIterativeMethod", always(**STEPS, targeted=True), towards, on="cropper"),
    Row("NewtonFool", always(max_iter=3, eta=0.05, verbose=False)),
    Row("OverTheAirFlickeringPyTorch", always(max_iter=1), status=FAILS, error="index out of range", note="for videos"),
    Row("OverloadPyTorch", always(**YOLO, batch_size=1, threshold=0.5), status=FAILS, error="'model'", note="for YOLO"),
    Row("PixelAttack", always(th=5, es=0, max_iter=3), needs=("cma",), moves=None),
    Row("ProjectedGradientDescent", always(**STEPS)),
    Row("ProjectedGradientDescent", always(**STEPS, targeted=True), towards, on="cropper"),
    Row("ProjectedGradientDescentNumpy", always(**STEPS)),
    Row("ProjectedGradientDescentNumpy", always(**STEPS, targeted=True), towards, on="cropper"),
    Row("ProjectedGradientDescentPyTorch", always(**STEPS)),
    Row("ProjectedGradientDescentTensorFlowV2", always(**STEPS), needs=("tensorflow",)),
    Row("RescalingAutoConjugateGradient", always(**AUTO)),
    Row("RescalingAutoConjugateGradient", always(**CE), status=FAILS, error=CLASSIFIER_LONG, leaves=False),
    Row("RescalingAutoConjugateGradient", always(**DLR), leaves=False),
    Row("RobustDPatch", status=REFUSED, error="ObjectDetectorMixin"),
    Row(
        "SNAL",
        always(**YOLO, candidates=[torch.full((3, 16, 16), 0.5)], collector=seen),
        needs=("torchvision",),
        status=FAILS,
        note="for YOLO",
    ),
    Row("SaliencyMapMethod", always(theta=0.5, gamma=0.0005, verbose=False), second),
    Row("ShadowAttack", always(nb_steps=4, batch_size=1, verbose=False), on="view_wide"),
    Row("SignOPTAttack", always(targeted=False, num_trial=3, max_iter=1, k=1, beta=0.1, query_limit=30), slow=True),
    Row("SimBA", always(attack="px", max_iter=10, epsilon=0.5, verbose=False), on="probabilities"),
    Row("SimBA", always(attack="dct", max_iter=10, epsilon=0.5, freq_dim=8, verbose=False), on="probabilities"),
    Row("SpatialTransformation", always(**MOVES)),
    Row("SquareAttack", always(max_iter=12, eps=EPS, verbose=False)),
    Row("SquareAttack", lambda s: {"max_iter": 8, "eps": 0.3, "verbose": False, **square(s)}, towards, on="cropper"),
    Row("TargetedUniversalPerturbation", always(**UNIVERSAL, attacker_params={"eps": EPS, "targeted": True}), second),
    Row("ThresholdAttack", always(th=30, es=0, max_iter=3), on="view_small", moves=None, needs=("cma",)),
    Row("UniversalPerturbation", always(**UNIVERSAL, attacker_params={"eps": EPS}, verbose=False)),
    Row("VirtualAdversarialMethod", always(**VAT), on="probabilities_small", slow=True),
    Row("Wasserstein", always(**SINKHORN, max_iter=2, verbose=False)),
    Row("ZooAttack", always(**ZOO, max_iter=2), moves=False),
)
