"""Running ART's evasion attacks on real estimators and a real photo, and saying what became of each.

The table is in ``art_attack_rows.py``; the tests of this folder and ``benchmarks/art_attacks.py`` read it.
"""

from __future__ import annotations

import importlib.util
import inspect
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import art.attacks.evasion as attacks
import numpy as np
import torch
from art.attacks.attack import EvasionAttack
from art.exceptions import EstimatorError

from art_crop.models.torchvision_import import import_torchvision

Array = np.ndarray[Any, Any]
Status = Literal["runs", "refused", "fails in ART", "needs a package"]
SIZE = 64
SMALL = 4


class Setting:
    """The embedded cropper, a real photo, and the estimators that attacks are given."""

    @cached_property
    def cropper(self) -> Any:
        """The regressor itself, for photos of 64x64 px."""
        return self._cropper(input_shape=(3, SIZE, SIZE))

    @cached_property
    def view(self) -> Any:
        """The cropper as a classifier: is its peak on the left, in the middle, on the right?"""
        return self._view(self.cropper)

    @cached_property
    def view_nhwc(self) -> Any:
        """The same for photos (N, H, W, 3), which a few attacks want."""
        return self._view(self._cropper(input_shape=(SIZE, SIZE, 3), channels_first=False))

    @cached_property
    def view_small(self) -> Any:
        """The same for photos of 4x4 px (the cropper enlarges every photo), for attacks that search each pixel."""
        return self._view(self._cropper(input_shape=(3, SMALL, SMALL)))

    @cached_property
    def plain(self) -> Any:
        """ART's own classifier around the view's network: what fails there is not our doing."""
        from art.estimators.classification import PyTorchClassifier

        shape, loss = (3, SIZE, SIZE), torch.nn.CrossEntropyLoss()
        return PyTorchClassifier(
            self.view.model, loss, shape, 3, clip_values=(0.0, 1.0), preprocessing=None, device_type="cpu"
        )

    @cached_property
    def view_wide(self) -> Any:
        """The view with leave to ask about photos far out of range."""
        view = self._view(self.cropper)
        view.set_params(slack=3)
        return view

    @cached_property
    def probabilities(self) -> Any:
        """The view with a softmax at its end, which a few attacks want."""
        return self._view(self.cropper, probabilities=True)

    @cached_property
    def probabilities_small(self) -> Any:
        """The same for photos of 4x4 px, with leave to ask about photos out of range."""
        view = self._view(self._cropper(input_shape=(3, SMALL, SMALL)), probabilities=True)
        view.set_params(slack=1)
        return view

    def _cropper(self, **kwargs: Any) -> Any:
        import art_crop

        return art_crop.load_model("gaze-lite", device="cpu", **kwargs)

    def _view(self, cropper: Any, **kwargs: Any) -> Any:
        from art_crop.estimators import SaliencyClassifierView, region_grid

        return SaliencyClassifierView(cropper, region_grid(3, 1), **kwargs)

    def photo(self, estimator: Any) -> Array:
        """Scikit-image's astronaut in the estimator's size and layout, levels of uint8 in [0, 1]."""
        from skimage import data, transform

        shape = estimator.input_shape if estimator.channels_first else estimator.input_shape[::-1]
        small = transform.resize(data.astronaut(), shape[1:], anti_aliasing=True)[None]
        small = small.transpose(0, 3, 1, 2) if estimator.channels_first else small
        return np.ascontiguousarray((small * 255).round().astype(np.float32) / 255)

    @cached_property
    def other(self) -> Array:
        """Another photo for attacks that want a guide, (1, 3, 64, 64)."""
        return np.ascontiguousarray(np.roll(self.photo(self.view), SIZE // 3, 3))

    @cached_property
    def ranking(self) -> list[int]:
        """The photo's classes, first to last."""
        order: list[int] = self.view.predict(self.photo(self.view))[0].argsort()[::-1].tolist()
        return order

    def one_hot(self, place: int) -> Array:
        """Label (1, 3) of the class at a place of the ranking."""
        return np.eye(3, dtype=np.float32)[[self.ranking[place]]]

    @cached_property
    def map_elsewhere(self) -> Array:
        """A saliency map with its peak in a corner, (1, h, w), for the regressor."""
        maps = self.cropper.predict(self.photo(self.cropper))
        maps[:, 2, 2] = maps.max() + 3
        return maps


def nothing(setting: Setting) -> dict[str, Any]:
    return {}


def as_it_is(attack: Any, x: Array, kwargs: dict[str, Any]) -> Array:
    result: Array = attack.generate(x, **kwargs)
    return result


def as_patch(attack: Any, x: Array, kwargs: dict[str, Any]) -> Array:
    """Attacks that give a patch; the photo is what comes of applying it."""
    patch, _ = attack.generate(x, **kwargs)
    patched: Array = attack.apply_patch(x, 0.4, patch_external=patch)
    return patched


@dataclass(frozen=True)
class Row:
    """One attack on one estimator."""

    attack: str
    """Name in ``art.attacks.evasion``."""
    make: Callable[[Setting], dict[str, Any]] = nothing
    """Constructor arguments after the estimator."""
    give: Callable[[Setting], dict[str, Any]] = nothing
    """Arguments of ``generate`` after the photo."""
    on: str = "view"
    """Which of the setting's estimators."""
    status: Status = "runs"
    """What is known to become of it."""
    error: str = ""
    """Part of the error's text, where it does not run."""
    needs: tuple[str, ...] = ()
    """Packages that ART imports for it and does not install."""
    moves: bool | None = True
    """Whether the photo it gives differs from the one it got; None: by chance, for it draws from the clock's time."""
    leaves: bool = True
    """Whether the model is left as it was found."""
    slow: bool = False
    run: Callable[[Any, Array, dict[str, Any]], Array] = as_it_is
    note: str = ""


@dataclass
class Outcome:
    """What became of a row."""

    status: Status
    detail: str = ""
    changed: float = 0.0
    """Greatest change of a pixel."""
    fooled: bool = False
    """Whether the peak is in another region than before."""
    left: bool = True
    seconds: float = 0.0
    where: str = ""
    trace: str = field(default="", repr=False)


def evasion_classes() -> dict[str, type]:
    """Every public evasion attack of the installed ART."""
    found = vars(attacks).items()
    return {name: value for name, value in found if inspect.isclass(value) and issubclass(value, EvasionAttack)}


def state(model: torch.nn.Module) -> list[Any]:
    """Modes, gradient flags, stored gradients, hooks and a sum of every tensor."""
    return [
        [module.training for module in model.modules()],
        [(p.requires_grad, p.grad is None) for p in model.parameters()],
        [float(value.double().sum()) for value in model.state_dict().values()],
        [len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    ]


@contextmanager
def seeded() -> Iterator[None]:
    """ART draws from global generators; they are set for the run and put back."""
    numpy_state, torch_state, python_state = np.random.get_state(), torch.get_rng_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    torch.manual_seed(0)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        random.setstate(python_state)


def attempt(row: Row, setting: Setting) -> Outcome:
    """Run a row and say what became of it. Nothing that an attack raises gets out."""
    estimator = getattr(setting, row.on)
    x = setting.photo(estimator)
    estimator.model.train().requires_grad_(True).zero_grad()  # so that whatever an attack leaves behind is seen
    if "torchvision" in row.needs and available("torchvision"):
        import_torchvision()
    kept, before, start = x.copy(), state(estimator.model), time.perf_counter()
    result: Any = None
    try:
        with seeded():
            attack = evasion_classes()[row.attack](estimator, **row.make(setting))
            result = row.run(attack, x, row.give(setting))
        outcome = judged(result, kept, x, setting, row.on)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        outcome = failed(error)
    outcome.seconds = time.perf_counter() - start
    outcome.left = state(estimator.model) == before
    return outcome


def judged(result: Any, kept: Array, x: Array, setting: Setting, on: str) -> Outcome:
    """A valid photo of the same shape, finite and in range, or a failure."""
    if not isinstance(result, np.ndarray) or result.shape != kept.shape:
        return Outcome("fails in ART", f"returns {getattr(result, 'shape', type(result).__name__)}, not a photo")
    if not np.isfinite(result).all():
        return Outcome("fails in ART", "returns pixels that are not finite")
    if result.min() < -1e-5 or result.max() > 1 + 1e-5:
        return Outcome("fails in ART", f"returns pixels in [{result.min():.2f}, {result.max():.2f}]")
    if not np.array_equal(kept, x):
        return Outcome("fails in ART", "changes the photo that it was given")
    judge = getattr(setting, "view" if on == "cropper" else on)
    before, after = (int(judge.predict(photo.astype(np.float32)).argmax()) for photo in (kept, result))
    return Outcome("runs", changed=float(np.abs(result - kept).max()), fooled=before != after)


def failed(error: BaseException) -> Outcome:
    """Where an error comes from, and what it says in one line."""
    text = " ".join(str(error).split())
    trace = "".join(traceback.format_exception(error))
    frames = [Path(f.filename).as_posix() for f in traceback.extract_tb(error.__traceback__)]
    own = [f for f in frames if "/art/" in f]
    where = own[-1].split("/art/")[-1] if own else ""
    if isinstance(error, EstimatorError):
        return Outcome("refused", text, trace=trace, where=where)
    if isinstance(error, ImportError):
        return Outcome("needs a package", text, trace=trace, where=where)
    return Outcome("fails in ART", f"{type(error).__name__}: {text}", trace=trace, where=where)


def available(package: str) -> bool:
    """Whether a package can be imported; torchvision also beside a torch for processors only."""
    if importlib.util.find_spec(package) is None:
        return False
    if package == "torchvision":
        try:
            import_torchvision()
        except ImportError:
            return False
    return True


def expected(row: Row) -> Status:
    """What must become of a row here: without its packages, ART cannot run it."""
    return row.status if all(map(available, row.needs)) else "needs a package"
