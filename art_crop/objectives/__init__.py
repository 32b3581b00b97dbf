"""Say what an attack is for: per sample a loss to make small and whether it succeeded, in one object for any task.

An objective is called with what a model gives for a batch (:class:`SaliencyOutput`, :class:`BoxOutput`, scores or
logits) and answers with a :class:`Verdict`. Loss and success come from the same rule, so an attack never stops at
something that the written file would not hold. Objectives of one task are joined by ``&``.
"""

from __future__ import annotations

from art_crop.objectives.base import LOSSES, And, Loss, Objective, Verdict, evidence
from art_crop.objectives.crops import CropContainsRegion
from art_crop.objectives.labels import LabelDistance, LabelIs, LabelOut
from art_crop.objectives.saliency import PEAKS, BoxOutput, MapDistance, Peak, PeakInRegion, SaliencyOutput
from art_crop.objectives.scores import ScoreBeyond, ScoreDistance

__all__ = [
    "LOSSES",
    "PEAKS",
    "And",
    "BoxOutput",
    "CropContainsRegion",
    "LabelDistance",
    "LabelIs",
    "LabelOut",
    "Loss",
    "MapDistance",
    "Objective",
    "Peak",
    "PeakInRegion",
    "SaliencyOutput",
    "ScoreBeyond",
    "ScoreDistance",
    "Verdict",
    "evidence",
]
