"""Verify an attack's product: write it, read it back by the target's exact file pipeline with its defences, and decide.

The one place where success is decided for the command line, the benchmark and the Python API alike; it works for every
estimator, query-only ones included.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from art_crop.errors import OutputError
from art_crop.images.encoding import EncodedImage

__all__ = ["Verified", "verify", "verify_file"]


class Verified(NamedTuple):
    """What the target makes of a file."""

    success: bool
    """Whether the file meets the objective."""
    loss: float
    output: Any
    """What the objective was called with, for this one photo: map and positions, score (1,) or logits (1, K)."""


def verify(target: Any, objective: Any, encoded: EncodedImage) -> Verified:
    """Write an encoded image to a temporary file and decide whether the target, reading that file, meets the objective.

    Example:
        >>> from art_crop.images.encoding import Jpeg
        >>> encoded = Jpeg(75).encode(pixels)  # doctest: +SKIP
        >>> verify(art_crop.load_model("gaze-lite"), PeakInRegion([region]), encoded).success  # doctest: +SKIP
        True

    Args:
        target: Any estimator of art_crop.
        objective: For one photo, of the target's task.
        encoded: The attack's product.

    Raises:
        InvalidInputError: An objective for another task, or for more than one photo.
        OutputError: The file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="art-crop-") as folder:
        path = Path(folder) / f"photo{encoded.suffix}"
        try:
            path.write_bytes(encoded.data)  # of no use to anybody a moment later: nothing is flushed to the disk
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        return verify_file(target, objective, path)


def verify_file(target: Any, objective: Any, path: str | Path) -> Verified:
    """Decide for a file that is there already; as :func:`verify`.

    Raises:
        InvalidInputError: As :func:`verify`.
        ImageFileError: Not a readable photo.
    """
    from art_crop.estimators.base import check_objective

    check_objective(objective, 1, target.task)
    output = target.output_of_file(path)
    verdict = objective(output)
    return Verified(bool(verdict.success[0]), float(verdict.loss[0]), output)
