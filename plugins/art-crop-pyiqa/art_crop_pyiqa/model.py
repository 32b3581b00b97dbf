"""A metric of pyiqa as a quality regressor: with gradients where it has some, else to be asked only."""

from __future__ import annotations

import difflib
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.checks import check_clip_values
from art_crop.errors import InvalidInputError
from art_crop.estimators import BlackBoxQualityRegressor, PyTorchQualityRegressor
from art_crop_pyiqa.loading import build_metric, metric_table
from art_crop_pyiqa.notice import give_notice

__all__ = ["ASKED_ONLY", "quality"]

Array = np.ndarray[Any, Any]

ASKED_ONLY = {
    "piqe": "it rounds to grey levels, so its gradient is exactly 0, and counts blocks whose variances pass thresholds",
    "entropy": "it counts grey levels",
}
"""Metrics without a usable gradient, and why."""

_NOT_OF_ONE_PHOTO = {"FID": "a set of photos", "InceptionScore": "a set of photos", "CLIPScore": "a caption"}
_RUN_DOWNLOADED_CODE = ("QAlign", "Compare2Score")


class Score(nn.Module):
    """Photos (N, 3, H, W) with values in a range -> scores (N,) of a network of pyiqa."""

    def __init__(self, net: nn.Module, metric: str, clip_values: tuple[float, float]) -> None:
        super().__init__()
        self.net, self.metric, self.clip_values = net, metric, clip_values

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,)."""
        low, high = self.clip_values
        try:
            output = self.net((x - low) / (high - low) if (low, high) != (0, 1) else x)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError, ValueError) as error:
            size = f"{x.shape[-1]}x{x.shape[-2]}"
            raise InvalidInputError(f"x: pyiqa's {self.metric} cannot score photos of {size} px ({error})") from error
        finally:
            vars(self.net).pop("results", None)  # PIQE keeps the maps of its last photos, with their graph
        scores: Tensor = (output[0] if isinstance(output, (tuple, list)) else output).reshape(-1)
        return scores


class Asked:
    """The same as a function of numpy photos, one photo at a time."""

    def __init__(self, score: Score, device: torch.device, channels_first: bool) -> None:
        self.score, self.device, self.channels_first = score, device, channels_first

    def __call__(self, x: Array) -> Array:
        """Photos (n, 3, H, W) or (n, H, W, 3) -> scores (n,)."""
        planar = x if self.channels_first else x.transpose(0, 3, 1, 2)
        scores = []
        with torch.no_grad():
            for photo in planar:
                scores.append(self.score(torch.from_numpy(np.ascontiguousarray(photo)[None]).to(self.device)))
        values: Array = torch.cat(scores).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise InvalidInputError(
                f"x: pyiqa's {self.score.metric} has no finite score for a photo such as one that is all black"
            )
        return values


def quality(
    *,
    metric: str = "piqe",
    gradients: bool | None = None,
    score_range: tuple[float, float] | None = None,
    device: str = "cpu",
    **kwargs: Any,
) -> PyTorchQualityRegressor | BlackBoxQualityRegressor:
    """A no-reference metric of pyiqa as a quality regressor.

    Args:
        metric: Name as in ``pyiqa.list_models("NR")``. ``"piqe"`` needs no weights; most others download theirs.
        gradients: True for a :class:`~art_crop.estimators.PyTorchQualityRegressor`, False for a
            :class:`~art_crop.estimators.BlackBoxQualityRegressor`; None: with gradients, unless the metric has none.
        score_range: Ends of the scale; default: pyiqa's own statement, which is approximate for many.
        device: As torch names it.
        **kwargs: As for those estimators: ``clip_values``, ``channels_first``, ``input_shape``, ``max_queries``, …

    Warns:
        LicenceNotice: Once, before pyiqa is first used: its licence is non-commercial.

    Raises:
        InvalidInputError: No such metric, or one that this cannot be; gradients of a metric that has none.
        DownloadError: Weights that cannot be fetched; the message says which file, and where to put it.
        WeightsError: Weights that cannot be read without running code.
        MissingDependencyError: The metric needs a package that is not installed.
    """
    give_notice()
    entry = _entry(metric)
    if gradients and metric in ASKED_ONLY:
        raise InvalidInputError(f"gradients: pyiqa's {metric} has none: {ASKED_ONLY[metric]}; ask it (gradients=False)")
    ends = _stated_range(metric, entry.get("score_range")) if score_range is None else score_range
    higher_is_better = not entry.get("lower_better", False)
    clip_values = check_clip_values(kwargs.get("clip_values", (0.0, 1.0)))
    score = Score(build_metric(metric, device), metric, clip_values).eval().requires_grad_(False)
    estimator: PyTorchQualityRegressor | BlackBoxQualityRegressor
    if gradients is False or (gradients is None and metric in ASKED_ONLY):
        asked = Asked(score, torch.device(device), bool(kwargs.get("channels_first", True)))
        estimator = BlackBoxQualityRegressor(asked, score_range=ends, higher_is_better=higher_is_better, **kwargs)
    else:
        estimator = PyTorchQualityRegressor(
            score, score_range=ends, higher_is_better=higher_is_better, device=device, **kwargs
        )
    estimator.name = f"pyiqa-{metric}"
    return estimator


def _entry(metric: str) -> dict[str, Any]:
    """Pyiqa's entry of a metric that judges one photo on its own.

    Raises:
        InvalidInputError: There is none of that name, or it needs more than one photo, or it is not safe to load.
    """
    table = metric_table()
    fitting = [name for name, entry in table.items() if entry.get("metric_mode") == "NR"]
    entry = table.get(metric) if isinstance(metric, str) else None
    if entry is None:
        near = difflib.get_close_matches(str(metric), fitting, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(fitting)}"
        raise InvalidInputError(f"metric: pyiqa has no {metric!r}; {hint}")
    kind = entry["metric_opts"].get("type")
    needs = "a reference photo" if metric not in fitting else _NOT_OF_ONE_PHOTO.get(kind)
    if needs:
        raise InvalidInputError(f"metric: pyiqa's {metric} needs {needs}; known: {', '.join(fitting)}")
    if kind in _RUN_DOWNLOADED_CODE:
        raise InvalidInputError(f"metric: pyiqa's {metric} runs code that it downloads, so it is not offered here")
    return entry


def _stated_range(metric: str, stated: str | None) -> tuple[float, float]:
    """Ends of a range that pyiqa writes like ``"0, 100"`` or, where it is approximate, ``"~0, ~1"``."""
    numbers = [re.fullmatch(r"\s*~?\s*(-?\d+(?:\.\d+)?)\s*", part) for part in (stated or "").split(",")]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        raise InvalidInputError(f"score_range: pyiqa states {stated!r} for {metric}; two numbers are needed")
    return float(numbers[0].group(1)), float(numbers[1].group(1))
