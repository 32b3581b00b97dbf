"""Adversarial robustness of croppers, image-quality regressors and scene classifiers, on top of ART.

Public names and submodules are resolved when they are first used (PEP 562), so that `import art_crop` itself imports
neither torch nor ART nor numpy.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from art_crop.estimators import (
        BlackBoxQualityRegressor,
        BlackBoxSaliencyRegressor,
        PyTorchPhotoClassifier,
        PyTorchQualityRegressor,
        PyTorchSaliencyRegressor,
    )
    from art_crop.geometry import Region
    from art_crop.pipeline.verify import verify
    from art_crop.plugins.registry import (
        list_plugins,
        load_attack,
        load_dataset,
        load_defence,
        load_executor,
        load_metric,
        load_task,
    )

    @overload
    def load_model(
        name: Literal["gaze-lite", "gaze-lite-human", "fcn-vgg16-sensitivity", "fastgaze"], **kwargs: Any
    ) -> PyTorchSaliencyRegressor: ...
    @overload
    def load_model(name: Literal["quality-lite"], **kwargs: Any) -> PyTorchQualityRegressor: ...
    @overload
    def load_model(
        name: str, *, task: Literal["saliency"], **kwargs: Any
    ) -> PyTorchSaliencyRegressor | BlackBoxSaliencyRegressor: ...
    @overload
    def load_model(
        name: str, *, task: Literal["quality"], **kwargs: Any
    ) -> PyTorchQualityRegressor | BlackBoxQualityRegressor: ...
    @overload
    def load_model(name: str, *, task: Literal["classification"], **kwargs: Any) -> PyTorchPhotoClassifier: ...
    @overload
    def load_model(name: str, **kwargs: Any) -> Any: ...
    def load_model(name: str, **kwargs: Any) -> Any:
        """Build an estimator; see :func:`art_crop.plugins.registry.load_model`. Editors know the built-in ones, and
        any other by its task: ``load_model("my-model", task="saliency")``.
        """


__version__ = "0.1.0"
__all__ = [
    "Region",
    "__version__",
    "list_plugins",
    "load_attack",
    "load_dataset",
    "load_defence",
    "load_executor",
    "load_metric",
    "load_model",
    "load_task",
    "verify",
]

_LAZY = {
    "Region": "art_crop.geometry",
    "list_plugins": "art_crop.plugins.registry",
    "load_attack": "art_crop.plugins.registry",
    "load_dataset": "art_crop.plugins.registry",
    "load_defence": "art_crop.plugins.registry",
    "load_executor": "art_crop.plugins.registry",
    "load_metric": "art_crop.plugins.registry",
    "load_model": "art_crop.plugins.registry",
    "load_task": "art_crop.plugins.registry",
    "verify": "art_crop.pipeline.verify",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a public name, or the submodule of that name."""
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        try:
            value = importlib.import_module(f"{__name__}.{name}")
        except ImportError as error:
            # What lists a module's members (help, pydoc, inspect) passes over these, and over no other error.
            raise AttributeError(f"module {__name__!r} has no attribute {name!r} here: {error}") from error
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names and the submodules, imported or not."""
    modules = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*globals(), *_LAZY, *modules})
