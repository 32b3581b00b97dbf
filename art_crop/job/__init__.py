"""The main job: change a photo so that a cropper shows a region of choice, and prove it on the written file.

``goal`` is what is wanted and whether a file fulfils it, ``search`` finds the changed photo, ``run`` does one photo
from file to file, ``folder`` many, ``record`` and ``figure`` say what happened.
"""

from art_crop.job.folder import Done, collect, show_in_each
from art_crop.job.goal import Goal, View
from art_crop.job.record import Record, Settings, read_record
from art_crop.job.run import show_region

__all__ = ["Done", "Goal", "Record", "Settings", "View", "collect", "read_record", "show_in_each", "show_region"]
