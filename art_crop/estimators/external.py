"""Models that are somebody else's: a Python function by its name, or a program that is given a photo's path.

A program is started without a shell, with a time limit, once a photo; what it prints is its answer:

- ``x y``: the salient point, in pixels;
- ``left top width height``: a crop window in pixels;
- one number: a quality score;
- a JSON object with ``"point": [x, y]``, ``"crop": [left, top, width, height]``, ``"crops": {ratio: window, ...}``,
  ``"map": [[...], ...]`` (a density) or ``"score": number``.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from art_crop.errors import ArtCropError, InvalidInputError
from art_crop.estimators.blackbox import BlackBoxQualityRegressor, BlackBoxSaliencyRegressor
from art_crop.geometry import DEFAULT_RATIOS
from art_crop.images import encode_png

__all__ = ["ExternalProgramError", "Program", "ProgramCropper", "ProgramScorer", "external_model", "import_function"]

Array = np.ndarray[Any, Any]
MOST = 16 << 20
"""Bytes of an answer, at most."""


class ExternalProgramError(ArtCropError):
    """A program hangs, dies, or prints nonsense; the message says which, and quotes it."""


class Program:
    """A program that answers for a photo's path.

    Args:
        command: Program and arguments; the path is appended.
        timeout: Seconds after which it is ended.

    Raises:
        InvalidInputError: There is no such program.
    """

    def __init__(self, command: Sequence[str], timeout: float = 60.0) -> None:
        if not command or shutil.which(command[0]) is None:
            raise InvalidInputError(f"target: there is no program {command[0] if command else ''!r}")
        self.command, self.timeout = [str(part) for part in command], timeout

    def __call__(self, path: str | Path) -> dict[str, Any]:
        """Ask about a file: one of point, crop, crops, map and score.

        Raises:
            ExternalProgramError: It did not answer in time, ended with another code than 0, or printed nonsense.
        """
        name, file = self.command[0], os.fspath(Path(path).absolute())
        try:
            done = subprocess.run(  # noqa: S603 - the user's own program, and no shell
                [*self.command, file], stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise ExternalProgramError(
                f"{name}: no answer for {file} within {self.timeout:g} s; it was ended"
            ) from None
        except OSError as error:
            raise ExternalProgramError(f"{name}: cannot be started: {error.strerror or error}") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = f": {said[-1][:200]}" if said else ""
            raise ExternalProgramError(f"{name}: ended with code {done.returncode} for {file}{why}")
        return _answer(done.stdout[: MOST + 1], name)


def _answer(printed: bytes, name: str) -> dict[str, Any]:
    text = printed.decode("utf-8", "replace").strip()
    try:
        if len(printed) > MOST:
            raise ValueError
        if text.startswith("{"):
            answer: dict[str, Any] = json.loads(text)
            return answer
        numbers = [float(part) for part in text.replace(",", " ").split()]
        if not all(map(math.isfinite, numbers)):
            raise ValueError
        kind = {1: "score", 2: "point", 4: "crop"}[len(numbers)]
        return {kind: numbers[0] if kind == "score" else numbers}
    except (ValueError, KeyError, RecursionError):
        shown = text[:80] + ("…" if len(text) > 80 else "")
        raise ExternalProgramError(
            f"{name}: printed {shown!r}; needed is x y, or left top width height, or a score, or a JSON object"
        ) from None


class _Asked:
    """Photos as files for a program; batches are asked about one by one."""

    def __init__(self, program: Program, read: Callable[[dict[str, Any]], Any]) -> None:
        self.program, self.read = program, read
        self.__qualname__ = " ".join(program.command)

    def __call__(self, x: Array) -> Array:
        levels = np.rint(x.clip(0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        with tempfile.TemporaryDirectory(prefix="art-crop-") as folder:
            rows = []
            for i, pixels in enumerate(levels):
                path = Path(folder) / f"{i}.png"
                path.write_bytes(encode_png(np.ascontiguousarray(pixels)))
                rows.append(self.read(self.program(path)))
        return np.array(rows, np.float32)

    def of_file(self, path: str | Path) -> Array:
        """The answer for a file as it is, as for a batch of one."""
        return np.array([self.read(self.program(path))], np.float32)


class ProgramCropper(BlackBoxSaliencyRegressor):
    """A cropping program: its first answer decides whether it gives maps, points or crops; files are given as they are.

    Args:
        program: What is started.
        first: Its answer for any photo.
        ratios: Of its crops, where it prints one window (the first of them), or names none.
        **kwargs: As for :class:`~art_crop.estimators.BlackBoxSaliencyRegressor`.

    Raises:
        ExternalProgramError: The answer is none of a cropper.
    """

    def __init__(
        self, program: Program, first: dict[str, Any], *, ratios: Sequence[float] = DEFAULT_RATIOS, **kwargs: Any
    ) -> None:
        kinds = {"map": "map", "point": "point", "crop": "crops", "crops": "crops"}
        kind = next((name for name in kinds if name in first), None)
        if kind is None:
            raise ExternalProgramError(f"{program.command[0]}: a cropper's answer is needed, not {sorted(first)}")
        own: tuple[float, ...] = tuple(ratios[:1]) if kind == "crop" else tuple(ratios)

        def read(answer: dict[str, Any]) -> Any:
            try:
                if kind == "crops":
                    windows = {float(ratio): window for ratio, window in answer["crops"].items()}
                    return [[float(v) for v in windows[ratio]] for ratio in own]
                value = np.array(answer[kind], np.float32)
                return value[None] if kind == "crop" else value
            except (KeyError, TypeError, ValueError, AttributeError):
                raise ExternalProgramError(
                    f"{program.command[0]}: an answer lacks {kind!r}, or it is malformed"
                ) from None

        asked = _Asked(program, read)
        super().__init__(asked, returns=kinds[kind], ratios=own, **kwargs)  # type: ignore[arg-type]
        self.asked = asked

    def output_of_file(self, path: str | Path) -> Any:
        """Give the program the file itself, unless defences stand before it."""
        if self.preprocessing_operations:
            return super().output_of_file(path)
        return _ask_about_file(self, path)


class ProgramScorer(BlackBoxQualityRegressor):
    """A program that prints a quality score; files are given as they are."""

    def __init__(self, program: Program, **kwargs: Any) -> None:
        def read(answer: dict[str, Any]) -> Any:
            try:
                return float(answer["score"])
            except (KeyError, TypeError, ValueError):
                raise ExternalProgramError(f"{program.command[0]}: a score is needed as an answer") from None

        self.asked = _Asked(program, read)
        super().__init__(self.asked, **kwargs)

    def output_of_file(self, path: str | Path) -> Any:
        """Give the program the file itself, unless defences stand before it."""
        if self.preprocessing_operations:
            return super().output_of_file(path)
        return _ask_about_file(self, path)


def _ask_about_file(model: Any, path: str | Path) -> Any:
    from art_crop.images import load_photo

    height, width = load_photo(path).pixels.shape[:2]
    model._count(model._promise(1))
    return model._as_output(model._checked(model.asked.of_file(path), 1), (width, height))


def import_function(target: str, what: str = "target") -> Callable[[Any], Any]:
    """Import the function that ``module:name`` names.

    Raises:
        InvalidInputError: Not of that form, no such module or name, or not callable.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise InvalidInputError(f"{what}: a model's name or module:function is needed, not {target!r}")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"{what}: {target} cannot be imported ({error})") from error
    if not callable(function):
        raise InvalidInputError(f"{what}: {target} is not callable")
    return function  # type: ignore[no-any-return]


def external_model(
    text: str,
    *,
    task: str = "saliency",
    ratios: Sequence[float] = DEFAULT_RATIOS,
    timeout: float = 60.0,
    scale: tuple[float, float] | None = None,
    preprocessing_defences: Any = None,
) -> Any:
    """Make a query-only estimator of ``module:function`` or of a program with its arguments.

    A function takes photos (N, 3, H, W) in [0, 1] and answers with maps (N, h, w), salient points (N, 2), crops
    (N, R, 4) for the ratios, or scores (N,).

    Args:
        text: What the user wrote.
        task: ``"saliency"`` or ``"quality"``.
        ratios: Aspect ratios of the crops that it gives.
        timeout: Seconds that a program may take for a photo.
        scale: The worst and the best score that it gives, such as (10, 0); None: 0 and 100.
        preprocessing_defences: ART preprocessors before it.

    Raises:
        InvalidInputError: No such function or program; a task for which there is none; a scale that is none.
        ExternalProgramError: The program's first answer is nonsense.
    """
    if task not in ("saliency", "quality"):
        raise InvalidInputError(f"target: a {task} model cannot be a function or a program here; name a model")
    if scale is not None and task != "quality":
        raise InvalidInputError(f"scale: a {task} model gives no scores")
    parts = shlex.split(text)
    named = len(parts) == 1 and ":" in text and not os.path.exists(parts[0])  # noqa: PTH110 - a text, not a path yet
    options: dict[str, Any] = {"preprocessing_defences": preprocessing_defences}
    grey = np.full((1, 3, 48, 64), 0.5, np.float32)
    if named:
        function = import_function(text)
        if task == "quality":
            return BlackBoxQualityRegressor(function, **options, **_stated(scale))
        answer = np.asarray(function(grey.copy()))
        crops = answer.ndim == 3 and answer.shape[1:] == (len(ratios), 4)
        if not crops and _are_windows(answer, width=64, height=48):
            raise InvalidInputError(
                f"target: {text} answers with {answer.shape[1]} crop windows, and is asked about the ratios "
                f"{', '.join(f'{ratio:g}' for ratio in ratios)}; a window for each of them, in their order, is needed"
            )
        kind: Any = "point" if answer.shape == (1, 2) else "crops" if crops else "map"
        return BlackBoxSaliencyRegressor(function, returns=kind, ratios=ratios, **options)
    program = Program(parts, timeout)
    if task == "quality":
        return ProgramScorer(program, **options, **_stated(scale))
    with tempfile.TemporaryDirectory(prefix="art-crop-") as folder:
        path = Path(folder) / "grey.png"
        path.write_bytes(encode_png(np.full((48, 64, 3), 128, np.uint8)))
        first = program(path)
    return ProgramCropper(program, first, ratios=ratios, **options)


def _are_windows(answer: Array, *, width: int, height: int) -> bool:
    """Whether an answer (1, R, 4) that has not the number of windows that was asked for can only be windows."""
    if answer.ndim != 3 or answer.shape[2] != 4 or not np.issubdtype(answer.dtype, np.number):
        return False
    near, size = answer[..., :2], answer[..., 2:]
    inside = (near >= 0).all() and (size >= 1).all() and (near + size <= np.array([width, height]) + 0.5).all()
    return bool(inside and (size.max(1) > 8).any())


def _stated(scale: tuple[float, float] | None) -> dict[str, Any]:
    """A scale from the worst to the best score as estimators have it."""
    worst, best = (0.0, 100.0) if scale is None else scale
    if not (math.isfinite(worst) and math.isfinite(best)) or worst == best:
        raise InvalidInputError(f"scale: two different finite numbers are needed, worst and best, not {scale}")
    return {"score_range": (min(worst, best), max(worst, best)), "higher_is_better": worst < best}
