"""One perturbation for every photo: trained on some photos, added to others, no model asked for them.

Shumitskaya, Antsiferova and Vatolin, "Universal Perturbation Attack on Differentiable No-Reference Image- and
Video-Quality Metrics", BMVC 2022, after Moosavi-Dezfooli et al., CVPR 2017: gradient steps on the mean score of the
training photos, all with the same perturbation, which is clipped to its budget after each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from art_crop.attacks import gradients
from art_crop.attacks.base import Batch, EstimatorRequirementError, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate, PhotoSpace
from art_crop.checks import check_int, reject_unknown
from art_crop.datasets.folder import Folder
from art_crop.datasets.samples import Samples
from art_crop.errors import InvalidInputError
from art_crop.estimators.torch_estimator import TorchEstimator
from art_crop.functional.norms import norm_of, unit
from art_crop.images import load_photo
from art_crop.objectives import ScoreBeyond

__all__ = ["UniversalPerturbation"]

Array = np.ndarray[Any, Any]
UNUSED = "minimal", "mask", "layer", "by", "ratios", "loss"


class UniversalPerturbation(PhotoAttack):
    """A perturbation that raises or lowers the scores of photos that it has never seen.

    It is trained once for a size of photos, a direction of the objective and a budget, and kept; gradients of the
    training are in no photo's record, and its time in that of the first photos.

    Args:
        estimator: The source model, a white-box quality model.
        photos: What it is trained on: photos uint8 (H, W, 3), a folder of them, or None: the seven of scikit-image.
            Each is scaled and its middle cut to the size of the photos that are attacked.
        max_iter: Steps over all training photos.
        **kwargs: ``norm``, ``eps``, ``constraint``, ``quantize``, ``success_oracle``, ``seed``, ``verbose``,
            ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`. A step has norm
            ``2.5 eps / max_iter``. ``generate`` also takes a mask; where that is 0 nothing changes.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one; when used: an objective that is no bound
            on scores, or no photos to train on.
        EstimatorRequirementError: The estimator is no white-box quality model.
    """

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in UNUSED),
        *("photos", "max_iter"),
    ]
    _estimator_requirements: Any = (TorchEstimator,)
    _needed = "a white-box quality model of art_crop"
    _searches_reduced = False

    def __init__(
        self, estimator: Any, *, photos: Sequence[Array] | str | Path | None = None, max_iter: int = 20, **kwargs: Any
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, **kwargs)
        if estimator.task != "quality":
            raise EstimatorRequirementError(
                f"estimator: {type(self).__name__} takes {self._needed}, not {type(estimator).__name__}"
            )
        self.photos, self.max_iter = photos, max_iter
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.max_iter, "max_iter", at_least=1)
        if self.photos is not None and not isinstance(self.photos, (str, Path, list, tuple, np.ndarray)):
            raise InvalidInputError(f"photos: a folder, a list of photos or None is needed, not {self.photos!r}")
        if isinstance(self.photos, (list, tuple, np.ndarray)):
            for photo in self.photos:
                if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or photo.shape[2:] != (3,):
                    raise InvalidInputError("photos: each must be an array uint8 (H, W, 3)")
        self._trained: dict[Any, Tensor] = {}

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        first = batch.evaluate(batch.start)
        ends = []
        for eps, space in zip(batch.eps, batch.spaces, strict=True):
            assert isinstance(space, PhotoSpace)
            ends.append(space.nearest(space.grid + self._perturbation(batch, eps), eps))
        curves = [[] if self.success_oracle is not None else [loss] for loss in first.loss.tolist()]
        n = len(batch)
        return self._records(batch, ends, first.success.tolist(), [0] * n, [1] * n, curves)

    def _perturbation(self, batch: Batch, eps: float) -> Tensor:
        """The perturbation (3, H, W) for photos of this size, trained where there is none yet."""
        if not isinstance(batch.objective, ScoreBeyond):
            raise InvalidInputError("y: this attack needs a bound on scores: a bound, one a photo, or ScoreBeyond")
        height, width = batch.start.shape[-2:]
        key = (height, width, batch.objective.direction, eps)
        if key not in self._trained:
            self._trained[key] = self._train(self._training_photos(height, width), batch, eps)
        return self._trained[key]

    def _train(self, photos: Tensor, batch: Batch, eps: float) -> Tensor:
        source, (low, high) = gradients.plain(batch.estimator), self._clip
        objective = ScoreBeyond([0.0] * len(photos), batch.objective.direction)
        change = torch.zeros_like(photos[:1])
        for k in range(self.max_iter):
            seen = (photos + change).clamp(low, high)
            gradient = source(seen, objective, False).gradient.mean(0, keepdim=True)
            change = change - 2.5 * eps / self.max_iter * unit(gradient, self._norm)
            size = norm_of(change).view(-1, 1, 1, 1)
            change = change.clamp(-eps, eps) if self._norm == "inf" else change * (eps / size).clamp_max(1)
            self.on_step(k + 1, self.max_iter)
        return change[0]

    def _training_photos(self, height: int, width: int) -> Tensor:
        """Photos (k, 3, H, W) in the estimator's range, on its device."""
        if isinstance(self.photos, (list, tuple, np.ndarray)):
            pixels = list(self.photos)
        else:
            dataset = Samples() if self.photos is None else Folder(str(self.photos))
            pixels = [load_photo(item.path).pixels for item in dataset]
        if not pixels:
            raise InvalidInputError("photos: at least one photo to train on is needed")
        size = (width, height)
        fitted = [np.asarray(ImageOps.fit(Image.fromarray(one), size, Image.Resampling.LANCZOS)) for one in pixels]
        low, high = self._clip
        x = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2).to(self.estimator.device).float() / 255
        return (low + x * (high - low)).contiguous()
