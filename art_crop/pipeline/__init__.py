"""The main job: change a photo so that a cropper shows a region of choice, and prove it on the written file.

``goals`` says what is wanted, ``craft`` makes changed photos, ``verify`` decides on the written file, ``run`` does one
photo from file to file, ``folder`` many, ``record`` and ``figure`` say what happened.
"""

from art_crop.pipeline.figure import draw_prediction
from art_crop.pipeline.folder import Done, Job, collect, show_in_each, sources_of
from art_crop.pipeline.goals import SHOWN_RATIOS, CropView, Goal, Label, LabelView, Score, ScoreView, ShowRegion
from art_crop.pipeline.outputs import Outputs, make_folder, names_a_file
from art_crop.pipeline.record import Record, Settings, read_record
from art_crop.pipeline.run import job_model, saliency_map, show_region
from art_crop.pipeline.verify import Verified, verify, verify_file

__all__ = [
    "SHOWN_RATIOS",
    "Done",
    "CropView",
    "Goal",
    "Job",
    "Label",
    "LabelView",
    "Outputs",
    "Record",
    "Score",
    "ScoreView",
    "Settings",
    "ShowRegion",
    "Verified",
    "collect",
    "draw_prediction",
    "job_model",
    "make_folder",
    "names_a_file",
    "read_record",
    "saliency_map",
    "show_in_each",
    "show_region",
    "sources_of",
    "verify",
    "verify_file",
]
