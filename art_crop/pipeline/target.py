"""Load the target of a job, the model that must be convinced, behind its defences, and the surrogate beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from art_crop.errors import InvalidInputError
from art_crop.estimators.quality import on_scale_of
from art_crop.geometry import DEFAULT_RATIOS
from art_crop.pipeline.run import job_model
from art_crop.plugins.lookup import find
from art_crop.plugins.registry import list_plugins, load_attack, load_defence

__all__ = ["load_models", "parse_value"]

_MODELS = {"saliency": "gaze-lite"}
"""The surrogate of a task, unless another is named."""


def load_models(
    model: str | None,
    target: str | None,
    *,
    task: str,
    attack: str,
    device: str = "auto",
    weights: Path | None = None,
    defences: Sequence[str] = (),
    ratios: Sequence[float] | None = None,
    timeout: float = 60.0,
    scale: tuple[float, float] | None = None,
) -> tuple[Any, Any | None]:
    """Load the target, and the surrogate where there is one.

    Args:
        model: The target's name or, where ``target`` is given, the surrogate's.
        target: A model's name, ``module:function``, or a program with its arguments; None: ``model`` is the target.
        task: What both must be for.
        attack: The attack's name; only one that needs gradients needs a surrogate.
        device: Of both.
        weights: Weight file of ``model``.
        defences: Defences before the target, in order: ``NAME`` or ``NAME:key=value,key=value``.
        ratios: Aspect ratios that a function or program answers for.
        timeout: Seconds that a program may take for a photo.
        scale: The worst and the best score that a function or program gives; None: 0 and 100.

    Returns:
        The target, and the surrogate or None; a surrogate that rates quality does so on the target's scale.

    Raises:
        InvalidInputError: No model is named where one is needed; one that does not fit; an unknown defence.
    """
    options: dict[str, Any] = {"device": device} | ({} if weights is None else {"weights": weights.expanduser()})
    chain = {"preprocessing_defences": [_defence(text) for text in defences]} if defences else {}
    if target is None:
        if scale is not None:
            raise InvalidInputError("scale: it is that of a function or program (--target); a model states its own")
        name = model or _MODELS.get(task)
        if name is None:
            raise InvalidInputError(f"model: the name of a {task} model is needed (--model)")
        return job_model(name, task=task, white_box=False, **options, **chain), None
    if any(target in (record.name, record.ask_for) for record in list_plugins() if record.kind == "model"):
        if scale is not None:
            raise InvalidInputError(f"scale: it is that of a function or program; {target} states its own")
        loaded = job_model(target, task=task, white_box=False, device=device, **chain)
    else:
        from art_crop.estimators.external import external_model

        loaded = external_model(
            target, task=task, ratios=ratios or DEFAULT_RATIOS, timeout=timeout, scale=scale, **chain
        )
        loaded.name = target
    kind = load_attack(attack)
    takes = getattr(kind, "is_estimator_valid", lambda *_: True)
    if model is None and takes(loaded, getattr(kind, "_estimator_requirements", ())):
        return loaded, None
    name = model or _MODELS.get(task)
    if name is None:
        raise InvalidInputError(f"model: {attack} needs gradients, and the target has none; name a surrogate (--model)")
    return loaded, on_scale_of(job_model(name, task=task, **options), loaded)


def _defence(text: str) -> Any:
    name, _, rest = text.partition(":")
    find("defence", name)
    options = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidInputError(f"defence: {text!r}: NAME or NAME:key=value,key=value is needed")
        options[key.strip()] = parse_value(value)
    try:
        return load_defence(name, **options)
    except TypeError as error:
        raise InvalidInputError(f"defence: {name}: {error}") from error


def parse_value(text: str) -> Any:
    """Read a parameter's value: true, false, none, a number, a list in brackets, or text.

    Example:
        >>> parse_value("0.5"), parse_value("true"), parse_value("[1, 2]"), parse_value("grad-cam")
        (0.5, True, [1, 2], 'grad-cam')
    """
    text = text.strip()
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return [parse_value(part) for part in inner.split(",")] if inner else []
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")
