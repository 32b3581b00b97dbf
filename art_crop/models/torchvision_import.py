"""torchvision, also where its wheel and torch's do not fit: the published wheel is built for CUDA.

Beside a torch for processors only, that wheel's compiled part cannot be loaded, and `import torchvision` ends in
"operator torchvision::nms does not exist", because two of its operators are described but were never defined. Defining
their names is enough for the classification models and the transforms; `torchvision.io` and the detection models stay
out of reach, and say so themselves when they are called.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from art_crop.errors import MissingDependencyError

__all__ = ["import_torchvision"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """The package ``torchvision``, imported; afterwards ``import torchvision.models`` works as well.

    Raises:
        MissingDependencyError: It is not installed, or does not fit the installed torch.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise MissingDependencyError(
            'torchvision is needed: pip install "torchvision>=0.19", with a constraint such as "torch==2.13.0" (-c) '
            "where the installed torch must stay"
        ) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        return _with_operators(error)


def _with_operators(cause: RuntimeError) -> ModuleType:
    """Import again with the missing operators defined; what the failed import left behind is forgotten first."""
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SCHEMA)
    try:
        return importlib.import_module("torchvision")
    except (RuntimeError, ImportError) as error:
        raise MissingDependencyError(
            f"the installed torchvision does not fit torch {torch.__version__} ({cause}): "
            "pip install the release that belongs to it, such as torchvision 0.28 for torch 2.13"
        ) from error
