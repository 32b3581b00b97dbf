"""Tasks: what a suite measures for a photo, each a plugin (hook ``art_crop_tasks``); saliency's two, scores, labels."""

from art_crop.bench.tasks.base import NotMeasured, Outcome, Sample, Target, Task

__all__ = ["NotMeasured", "Outcome", "Sample", "Target", "Task"]
