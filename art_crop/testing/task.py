"""What a task must keep to: options checked in words, a target, an objective that fits its models, named measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from art_crop.bench.tasks import NotMeasured, Outcome, Sample, Target, Task
from art_crop.errors import InvalidInputError

__all__ = ["TaskConformance"]


class TaskConformance:
    """Subclass it and give the fixtures ``task`` (made, with its options) and ``estimator`` (a model that it measures).

    ``pixels`` is a photo, uint8 (H, W, 3), for which the task has a target; by default the astronaut of scikit-image.
    """

    @pytest.fixture
    def task(self) -> Task:
        """The task under test."""
        raise NotImplementedError("give a fixture `task`, such as art_crop.load_task('my-task')")

    @pytest.fixture
    def estimator(self) -> Any:
        """A model that the task measures."""
        raise NotImplementedError("give a fixture `estimator`, such as art_crop.load_model('gaze-lite')")

    @pytest.fixture
    def pixels(self) -> Any:
        """A photo for which the task has a target."""
        from skimage import data

        return np.ascontiguousarray(data.astronaut()[::2, ::2])

    @pytest.fixture
    def sample(self, estimator: Any, pixels: Any) -> Sample:
        """The photo, and what the model makes of it."""
        x = pixels[None].astype(np.float32) / 255
        output = estimator.output(x.transpose(0, 3, 1, 2) if estimator.channels_first else x)
        return Sample(pixels, output, estimator)

    @pytest.fixture
    def target(self, task: Task, sample: Sample) -> Target:
        """What is wanted of the photo."""
        try:
            return task.target(sample)
        except NotMeasured as reason:
            pytest.fail(f"the photo of the fixture `pixels` has no target ({reason}); give another")

    def test_it_measures_models_of_a_known_task(self, task: Task, estimator: Any) -> None:
        """Suites refuse models of another task before anything runs."""
        assert task.models in ("saliency", "quality", "classification")
        assert estimator.task == task.models, "the fixtures `task` and `estimator` do not go together"

    def test_unknown_options_are_refused(self, task: Task) -> None:
        """A misspelt option must not be passed over."""
        with pytest.raises(InvalidInputError, match="no_such_option"):
            type(task)(no_such_option=1)

    def test_a_jpeg_quality_can_be_asked_for(self, task: Task) -> None:
        """Every task is measured on files, and files may be JPEGs."""
        assert "jpeg_quality" in task.options, "defaults must have jpeg_quality, 0 for a PNG"

    def test_the_objective_fits_the_model(self, task: Task, sample: Sample, target: Target) -> None:
        """One verdict a photo, and for two photos two."""
        verdict = task.objective([target])(sample.output)
        assert verdict.loss.shape == verdict.success.shape == (1,)
        assert len(task.objective([target, target])) == 2

    def test_the_unchanged_photo_is_told_as_it_is(self, task: Task, sample: Sample, target: Target) -> None:
        """Success before the attack is the objective's own verdict on the unchanged photo, or stricter."""
        outcome = self._outcome(task, sample, target)
        if outcome.success_before:
            assert bool(task.objective([target])(sample.output).success[0])

    def test_it_gives_the_measures_that_it_names(self, task: Task, sample: Sample, target: Target) -> None:
        """Tables are checked against these names before anything runs."""
        outcome = self._outcome(task, sample, target)
        assert set(outcome.metrics) == set(task.measures), (
            "metrics of an outcome and `measures` must have one set of names"
        )
        assert all(isinstance(value, float) for value in outcome.metrics.values()), "metrics are floats"

    def test_details_can_be_kept_as_json(self, task: Task, sample: Sample, target: Target) -> None:
        """They go into the results' table."""
        import json

        json.dumps(self._outcome(task, sample, target).details, allow_nan=False)

    def test_it_says_what_reached_means(self, task: Task) -> None:
        """Readers of a report are told in a sentence."""
        assert task.reached().strip().endswith("."), "reached() gives a sentence"

    @staticmethod
    def _outcome(task: Task, sample: Sample, target: Target) -> Outcome:
        return task.outcome(sample, target, sample.output, {"psnr": 99.0, "l2": 0.0, "linf": 0.0})
