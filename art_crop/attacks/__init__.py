"""Evasion attacks as ART knows them: one attack, one file, and what they share beside them."""

from art_crop.attacks.art_query_attacks import ARTHopSkipJump, ARTSquareAttack
from art_crop.attacks.base import EstimatorRequirementError
from art_crop.attacks.color_difference import MinimumColorDifference
from art_crop.attacks.color_variance import ColorVarianceAttack, color_threshold
from art_crop.attacks.constraints import L2, Constraint, GreyLevels, LInf, Mask, PerPixelBound
from art_crop.attacks.contrast_shift import ContrastShift
from art_crop.attacks.dct_quantization import DCTQuantizationAttack
from art_crop.attacks.gaussian_noise import GaussianNoise
from art_crop.attacks.iterative_fgsm import (
    AdaptiveMomentumIterativeFGSM,
    IterativeFGSM,
    MomentumIterativeFGSM,
    SpatialActivityFGSM,
)
from art_crop.attacks.maximum_differentiation import MaximumDifferentiation
from art_crop.attacks.photo_edits import ContrastChange, JPEGCompression, UnsharpMask
from art_crop.attacks.saliency_peak import SaliencyPeakFGM
from art_crop.attacks.sensitivity_carlini import SensitivityCarliniL2
from art_crop.attacks.tpe_pixel_search import TPEPixelSearch
from art_crop.attacks.universal_perturbation import UniversalPerturbation

__all__ = [
    "L2",
    "ARTHopSkipJump",
    "ARTSquareAttack",
    "ColorVarianceAttack",
    "Constraint",
    "ContrastShift",
    "DCTQuantizationAttack",
    "EstimatorRequirementError",
    "GaussianNoise",
    "GreyLevels",
    "LInf",
    "Mask",
    "MinimumColorDifference",
    "PerPixelBound",
    "SaliencyPeakFGM",
    "SensitivityCarliniL2",
    "TPEPixelSearch",
    "color_threshold",
    "AdaptiveMomentumIterativeFGSM",
    "IterativeFGSM",
    "MomentumIterativeFGSM",
    "SpatialActivityFGSM",
    "MaximumDifferentiation",
    "ContrastChange",
    "JPEGCompression",
    "UnsharpMask",
    "UniversalPerturbation",
]
