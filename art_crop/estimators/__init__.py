"""ART estimators for saliency-map and quality regressors, white box and query-only, and for photo classifiers."""

from art_crop.estimators.blackbox import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.estimators.classifier import PyTorchPhotoClassifier
from art_crop.estimators.quality import PyTorchQualityRegressor
from art_crop.estimators.saliency import PyTorchSaliencyRegressor

__all__ = [
    "BlackBoxQualityRegressor",
    "BlackBoxSaliencyRegressor",
    "PyTorchPhotoClassifier",
    "PyTorchQualityRegressor",
    "PyTorchSaliencyRegressor",
]
