"""The record by which a model, attack, metric or dataset is known before any of its code is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from art_crop.errors import InvalidInputError

Kind = Literal["model", "attack", "metric", "dataset"]
KINDS: tuple[Kind, ...] = ("model", "attack", "metric", "dataset")

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class PluginSpec:
    """One named object and where it lives; validated on construction.

    Attributes:
        kind: "model", "attack", "metric" or "dataset".
        name: lower-case words joined by hyphens, unique within its kind.
        target: "package.module:attribute"; a model's and a dataset's target is called with the user's keyword
            arguments, an attack's is the class, a metric's is the metric itself.
        summary: one line for listings.
        licence: SPDX identifier of the code or, for models and datasets, of the weights or data.
        task: what it works on, such as "saliency", "quality" or "classification"; empty where it fits all.
        requirements: extras or pip requirements beyond the core, such as ("optuna>=4",).

    Raises:
        InvalidInputError: a field is malformed.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    licence: str = "MIT"
    task: str = ""
    requirements: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate every field that a listing or a loader relies on."""
        if self.kind not in KINDS:
            raise InvalidInputError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not _NAME.fullmatch(self.name):
            raise InvalidInputError(f"name must be lower-case words joined by hyphens, not {self.name!r}")
        if not _TARGET.fullmatch(self.target):
            raise InvalidInputError(f"target of {self.name!r} must read 'module:attribute', not {self.target!r}")
        if not self.summary or "\n" in self.summary:
            raise InvalidInputError(f"summary of {self.name!r} must be one line that is not empty")
