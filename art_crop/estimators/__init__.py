"""ART estimators: saliency and quality regressors, white box or query-only; classifiers; views of one as the other."""

from art_crop.estimators.blackbox import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.estimators.classifier import PyTorchPhotoClassifier
from art_crop.estimators.quality import PyTorchQualityRegressor
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.views import QualityClassifierView, SaliencyClassifierView, region_grid

__all__ = [
    "BlackBoxQualityRegressor",
    "BlackBoxSaliencyRegressor",
    "PyTorchPhotoClassifier",
    "PyTorchQualityRegressor",
    "PyTorchSaliencyRegressor",
    "QualityClassifierView",
    "SaliencyClassifierView",
    "region_grid",
]
