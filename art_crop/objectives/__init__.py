"""What an attack wants: for each sample a loss to make small, and whether the wish is fulfilled, in one object.

An objective is called with what a model gives for a batch (:class:`SaliencyOutput` or scores) and answers with a
:class:`Verdict`. Loss and success come from the same rule, so an attack never stops at something that the judge would
refuse. Sources: papers 000 and 001 (peak in region, equation 1's J, left open there); the crop rule is the deployed
cropper's.
"""

from __future__ import annotations

from art_crop.objectives.base import LOSSES, Loss, Objective, Verdict, evidence
from art_crop.objectives.labels import LabelDistance, LabelIs, LabelOut
from art_crop.objectives.saliency import PEAKS, CropContainsRegion, MapDistance, Peak, PeakInRegion, SaliencyOutput
from art_crop.objectives.scores import ScoreBeyond, ScoreDistance

__all__ = [
    "LOSSES",
    "PEAKS",
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
