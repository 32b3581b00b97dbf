"""Evasion attacks as ART knows them: one attack, one file."""

from art_crop.attacks.contrast_shift import ContrastShift
from art_crop.attacks.gaussian_noise import GaussianNoise
from art_crop.attacks.saliency_peak import SaliencyPeakFGM

__all__ = ["ContrastShift", "GaussianNoise", "SaliencyPeakFGM"]
