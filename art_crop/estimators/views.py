"""Regressors seen as classifiers, so that ART's attacks on classifiers run on croppers and quality models unchanged.

A view decides as its regressor does: its first class is the region that holds the saliency peak, or the bin that holds
the score. Its logits are differentiable functions of the regressor's output, so an attack on the view is an attack on
the regressor.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from functools import total_ordering
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from art_crop.checks import check_choice, check_int, check_number
from art_crop.errors import InvalidInputError
from art_crop.estimators.classifier import PyTorchPhotoClassifier
from art_crop.estimators.quality import PyTorchQualityRegressor
from art_crop.estimators.saliency import PyTorchSaliencyRegressor
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.geometry import Region
from art_crop.objectives import PEAKS, Peak, PeakInRegion, SaliencyOutput

__all__ = ["QualityClassifierView", "SaliencyClassifierView", "region_grid"]

FEWEST = 3  # ART's difference-of-logits-ratio loss divides by a difference to the third logit


def region_grid(columns: int = 3, rows: int = 3) -> list[Region]:
    """Equal tiles of the photo, row by row.

    Example:
        >>> region_grid(3, 1)[1]
        Region(x0=0.3333333333333333, y0=0.0, x1=0.6666666666666666, y1=1.0)

    Raises:
        InvalidInputError: A count below 1.
    """
    check_int(columns, "columns", at_least=1)
    check_int(rows, "rows", at_least=1)
    return [
        Region(i / columns, j / rows, (i + 1) / columns, (j + 1) / rows) for j in range(rows) for i in range(columns)
    ]


class _Logits(nn.Module):
    """The regressor's network, its defences, and the step from its output to logits, or to their softmax."""

    def __init__(self, regressor: TorchEstimator, probabilities: bool) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.network = regressor.model
        self.regressor = copy.copy(regressor)  # what is set on the regressor later does not change the view
        self.regressor.preprocessing_operations = list(regressor.preprocessing_operations)
        self.regressor._model = self.network

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.regressor._model = self.network  # one network, also after a copy or a pickle

    def forward(self, x: Tensor) -> Tensor:
        """Photos (N, 3, H, W) -> logits or probabilities (N, K)."""
        logits, holds = self.logits(self.regressor.forward_output(x))
        return _decided(torch.softmax(logits, 1) if self.probabilities else logits, holds)

    @abstractmethod
    def logits(self, output: Any) -> tuple[Tensor, Tensor]:
        """Logits (N, K) of what the regressor gives, and which of the classes it decides for (N, K)."""


def _decided(logits: Tensor, holds: Tensor) -> Tensor:
    """The logits, with those of other classes pressed beneath the decided ones (N, K) where they tie; same gradient.

    Without it, equal cells (a flat photo) or a score beside an edge could be decided otherwise than by the regressor.
    """
    best = logits.detach().masked_fill(~holds, -torch.inf).amax(1, keepdim=True)
    beneath = torch.nextafter(best, torch.full_like(best, -torch.inf))
    stays = holds | (logits.detach() < best) | ~holds.any(1, keepdim=True)
    pressed = torch.where(stays, logits.detach(), beneath)
    return logits + (pressed - logits.detach())


class _RegionLogits(_Logits):
    def __init__(self, regressor: TorchEstimator, probabilities: bool, regions: Sequence[Region], by: Peak) -> None:
        super().__init__(regressor, probabilities)
        self.regions, self.by = list(regions), by

    def logits(self, output: SaliencyOutput) -> tuple[Tensor, Tensor]:
        peaks = [PeakInRegion([region] * len(output.saliency), by=self.by) for region in self.regions]
        logits = torch.stack([peak.evidence(output) for peak in peaks], 1)
        return logits, torch.stack([peak(output).success for peak in peaks], 1)


class _BinLogits(_Logits):
    def __init__(self, regressor: TorchEstimator, probabilities: bool, edges: Sequence[float]) -> None:
        super().__init__(regressor, probabilities)
        self.width = (edges[-1] - edges[0]) / (len(edges) - 1)
        self.edges = [_float32_below(edge) for edge in edges]

    def logits(self, output: Tensor) -> tuple[Tensor, Tensor]:
        edges = torch.tensor(self.edges, dtype=torch.float32, device=output.device)
        steps = (output[:, None] - edges) / self.width
        logits = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], 1)
        holds = nn.functional.one_hot((output[:, None] > edges).sum(1), len(self.edges) + 1).bool()
        return logits, holds


def _float32_below(number: float) -> float:
    """The greatest float32 that is not above a number, so that float32 scores compare with it as with the number."""
    nearest = np.float32(number)
    return float(np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > number else nearest)


def _settings(estimator: TorchEstimator, input_shape: tuple[int, int, int] | None) -> dict[str, Any]:
    """What a view takes over: same photos, same device. Defences stand before the regressor inside it already."""
    return {
        "input_shape": estimator.input_shape if input_shape is None else tuple(input_shape),
        "clip_values": tuple(float(value) for value in estimator.clip_values),
        "channels_first": estimator.channels_first,
        "device": estimator.device,
        "micro_batch": estimator.micro_batch,
        "gradient_dtype": estimator.gradient_dtype,
    }


@total_ordering
class _AnySize:
    """The -1 of a height or width that may be any, as attacks get it: equal to -1, and nothing to compute with."""

    def __eq__(self, other: object) -> bool:
        return other is self or other == -1 or isinstance(other, _AnySize)

    def __lt__(self, other: int) -> bool:
        return other > -1

    def __hash__(self) -> int:
        return hash(-1)

    def __repr__(self) -> str:
        return "-1"

    def _refuse(self, *others: object) -> NoReturn:
        raise InvalidInputError(
            "input_shape: who asks needs the size of the photos; say it to the view, such as input_shape=x.shape[1:]"
        )

    __index__ = __int__ = __float__ = __neg__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = __mod__ = __rmod__ = _refuse


class _View(PyTorchPhotoClassifier):
    """What both views share: the regressor inside turns photos into its network's own type itself."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of a photo. A size that may be any is refused where an attack computes with it.

        ART's query attacks draw noise of this shape; of -1 they would make none, or nonsense.
        """
        return cast("tuple[int, int, int]", tuple(_AnySize() if n == -1 else n for n in self._input_shape))

    def _dtype(self) -> None:
        return None


class SaliencyClassifierView(_View):
    """A saliency regressor as a classifier: class k is "the peak lies in region k".

    The logit of a region is the greatest log density of a map cell in it (the objective
    :class:`~art_crop.objectives.PeakInRegion`'s evidence), so the first class is a region that holds the peak, whenever
    one does. Regions may overlap and need not cover the photo.

    Example:
        >>> import art_crop
        >>> view = SaliencyClassifierView(art_crop.load_model("gaze-lite"), region_grid(3, 1))
        >>> view.nb_classes
        3

    Args:
        estimator: The regressor; its network is shared, its settings are taken as they are now.
        regions: At least 3 regions; default: a grid of 3 x 3.
        by: ``"cell"``, ``"column"`` or ``"map-column"``: what counts as the peak, as for
            :class:`~art_crop.objectives.PeakInRegion`.
        input_shape: Shape of a photo, such as ``x.shape[1:]``; default: the regressor's. Many of ART's query attacks
            draw noise of this shape and need the size stated; where it is not, they are told so.
        probabilities: Give the softmax of the logits, which ART's SimBA and VirtualAdversarialMethod want.

    Two more of ART's attacks want something: ShadowAttack ``view.set_params(slack=3)``, and SquareAttack, of a photo
    that is not square, a first tile that fits into it, such as ``p_init=0.3``.

    Raises:
        InvalidInputError: Another kind of estimator, or fewer than 3 regions.
    """

    def __init__(
        self,
        estimator: PyTorchSaliencyRegressor,
        regions: Sequence[Region] | None = None,
        *,
        by: Peak = "cell",
        input_shape: tuple[int, int, int] | None = None,
        probabilities: bool = False,
    ) -> None:
        _check_kind(estimator, PyTorchSaliencyRegressor)
        check_choice(by, "by", PEAKS)
        chosen = region_grid() if regions is None else regions
        if not isinstance(chosen, (list, tuple)) or not all(isinstance(region, Region) for region in chosen):
            raise InvalidInputError(f"regions: a list of Regions is needed, not {regions!r}")
        if len(chosen) < FEWEST:
            raise InvalidInputError(f"regions: at least {FEWEST} are needed, for ART's attacks, not {len(chosen)}")
        names = [f"{r.x0:.3g},{r.y0:.3g},{r.x1:.3g},{r.y1:.3g}" for r in chosen]
        model = _RegionLogits(estimator, probabilities, chosen, by)
        super().__init__(model, nb_classes=len(names), labels=names, **_settings(estimator, input_shape))

    @property
    def regions(self) -> list[Region]:
        """The regions, in the order of the classes."""
        return list(self.model.regions)


class QualityClassifierView(_View):
    """A quality regressor as a classifier: class k is "the score lies in bin k".

    Bins are those of ``numpy.digitize(score, edges, right=True)``: below or at the first edge, up to the second, …,
    above the last. With edges e and score s, logit k is the sum over the first k edges of (s - e) in units of the mean
    distance of edges. Logits k - 1 and k then differ by s - e_k, which is positive exactly above that edge: the first
    class is the score's bin. (For equal distances this is minus half the squared distance to the bins' middles, up to a
    term that all classes share.)

    Args:
        estimator: The regressor; its network is shared, its settings are taken as they are now.
        edges: At least 2 increasing scores that part the bins.
        input_shape: As for :class:`SaliencyClassifierView`.
        probabilities: As there, as is what a few attacks want.

    Raises:
        InvalidInputError: Another kind of estimator, or edges that are too few, not finite or not increasing.
    """

    def __init__(
        self,
        estimator: PyTorchQualityRegressor,
        edges: Sequence[float],
        *,
        input_shape: tuple[int, int, int] | None = None,
        probabilities: bool = False,
    ) -> None:
        _check_kind(estimator, PyTorchQualityRegressor)
        if not isinstance(edges, (list, tuple, np.ndarray)) or len(edges) < FEWEST - 1:
            raise InvalidInputError(
                f"edges: at least {FEWEST - 1} numbers are needed, for {FEWEST} bins, not {edges!r}"
            )
        self.edges = tuple(check_number(edge, "edges") for edge in edges)
        if any(low >= high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise InvalidInputError(f"edges: increasing numbers are needed, not {self.edges}")
        between = [f"{low:g} to {high:g}" for low, high in zip(self.edges, self.edges[1:], strict=False)]
        names = [f"up to {self.edges[0]:g}", *between, f"above {self.edges[-1]:g}"]
        model = _BinLogits(estimator, probabilities, self.edges)
        super().__init__(model, nb_classes=len(names), labels=names, **_settings(estimator, input_shape))


def _check_kind(estimator: object, kind: type[TorchEstimator]) -> None:
    if not isinstance(estimator, kind):
        raise InvalidInputError(f"estimator: a {kind.__name__} is needed, not {type(estimator).__name__}")
