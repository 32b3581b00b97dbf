"""A test kit for plugin authors: subclass a class, give it one fixture, and pytest says what does not hold.

    import pytest
    import art_crop
    from art_crop.testing import SaliencyModelConformance

    class TestMyModel(SaliencyModelConformance):
        @pytest.fixture
        def estimator(self):
            return art_crop.load_model("my-model")

Every check is a method with a plain name, and fails with a sentence that says what to do. Settings and the other
fixtures of a class have defaults, which a subclass may override. Needs pytest: ``pip install "art-crop[test]"``.
"""

from __future__ import annotations

from art_crop.errors import MissingDependencyError

try:
    import pytest  # noqa: F401 (so that its absence is explained here, once)
except ImportError as error:
    raise MissingDependencyError('art_crop.testing needs pytest: pip install "art-crop[test]"') from error

from art_crop.testing.attack import AttackConformance
from art_crop.testing.classifier import ClassifierConformance
from art_crop.testing.dataset import DatasetConformance
from art_crop.testing.metric import MetricConformance
from art_crop.testing.quality import QualityModelConformance
from art_crop.testing.saliency import SaliencyModelConformance
from art_crop.testing.task import TaskConformance

__all__ = [
    "AttackConformance",
    "ClassifierConformance",
    "DatasetConformance",
    "MetricConformance",
    "QualityModelConformance",
    "SaliencyModelConformance",
    "TaskConformance",
]
