"""Edits that are no attack: sharpening, contrast, a JPEG. What they do to a score is no adversarial finding.

A quality model that people may trust should answer to such edits, and to them alone: an attack has to be seen beside
them at the same budget, for models like sharpening without anyone having meant to fool them (Antsiferova et al., AAAI
2024; Siniukov et al., "Hacking VMAF and VMAF NEG", 2021).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult
from art_crop.attacks.space import Candidate, PhotoSpace
from art_crop.checks import check_int, check_number, reject_unknown
from art_crop.functional.filters import LUMA, gaussian_blur
from art_crop.images.encoding import Jpeg

__all__ = ["ContrastChange", "JPEGCompression", "PhotoEdit", "UnsharpMask"]


UNLIMITED = 1e6
"""A budget that no change reaches."""


class PhotoEdit(PhotoAttack):
    """Base of the edits, which know no objective: the same photo whatever is wanted, and no gradient.

    Args:
        estimator: The model that decides success, of any task, white box or query-only.
        norm: As for every attack; of ``eps``.
        eps: Largest change, to which the edit is clipped (norm inf) or shrunk; None: as the edit makes it.
        **kwargs: ``constraint``, ``mask``, ``layer``, ``by``, ``ratios``, ``loss``, ``quantize``, ``success_oracle``,
            ``seed``, ``verbose``, ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`. Of a mask it
            only counts where it is 0.
    """

    attack_params: ClassVar[list[str]] = [name for name in PhotoAttack.attack_params if name != "minimal"]
    _searches_reduced = False

    def __init__(
        self, estimator: Any, *, norm: float | str = "inf", eps: float | Sequence[float] | None = None, **kwargs: Any
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer", "judge"}, type(self).__name__)
        super().__init__(estimator, norm=norm, **kwargs)
        self.eps = eps  # type: ignore[assignment]

    def _check_params(self) -> None:
        eps = self.eps
        try:
            self.eps = 1.0 if eps is None else eps
            super()._check_params()
        finally:
            self.eps = eps

    def _budgets(self, count: int) -> Any:
        return np.full(count, UNLIMITED) if self.eps is None else super()._budgets(count)

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    @abstractmethod
    def _edited(self, photos: Tensor) -> Tensor:
        """The edit of photos (n, 3, H, W) in the estimator's range, which it may leave."""

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        first, n = batch.evaluate(batch.start), len(batch)
        edited, ends = self._edited(batch.start), []
        for photo, eps, space in zip(edited, batch.eps, batch.spaces, strict=True):
            assert isinstance(space, PhotoSpace)
            ends.append(space.nearest(photo, eps))
        curves = [[] if self.success_oracle is not None else [loss] for loss in first.loss.tolist()]
        taken = [int(self.mask == "grad-cam")] * n
        return self._records(batch, ends, first.success.tolist(), taken, [1] * n, curves)


class UnsharpMask(PhotoEdit):
    """Sharpening: the photo plus ``amount`` times its difference to a blurred copy, as in every photo editor.

    Args:
        estimator: The model that decides success, of any task.
        amount: Of the difference; negative: blurred a little.
        sigma: Standard deviation of the blur in pixels.
        **kwargs: As for :class:`PhotoEdit`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
    """

    attack_params: ClassVar[list[str]] = [*PhotoEdit.attack_params, "amount", "sigma"]

    def __init__(self, estimator: Any, *, amount: float = 1.0, sigma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.amount, self.sigma = amount, sigma
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.amount, "amount")
        check_number(self.sigma, "sigma", above=0)

    def _edited(self, photos: Tensor) -> Tensor:
        return photos + self.amount * (photos - gaussian_blur(photos, self.sigma))


class ContrastChange(PhotoEdit):
    """Contrast: every pixel's distance to the photo's mean luma times ``factor``.

    Args:
        estimator: The model that decides success, of any task.
        factor: Above 1: more contrast; below: less.
        **kwargs: As for :class:`PhotoEdit`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
    """

    attack_params: ClassVar[list[str]] = [*PhotoEdit.attack_params, "factor"]

    def __init__(self, estimator: Any, *, factor: float = 1.1, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.factor = factor
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.factor, "factor", at_least=0)

    def _edited(self, photos: Tensor) -> Tensor:
        weights = torch.tensor(LUMA, dtype=photos.dtype, device=photos.device).view(1, 3, 1, 1)
        mean = (photos * weights).sum(1, keepdim=True).mean((-2, -1), keepdim=True)
        return mean + self.factor * (photos - mean)


class JPEGCompression(PhotoEdit):
    """The photo as Pillow's JPEG of a quality shows it.

    Args:
        estimator: The model that decides success, of any task.
        quality: 1 to 100.
        **kwargs: As for :class:`PhotoEdit`.

    Raises:
        InvalidInputError: A parameter outside its range, or an unknown one.
    """

    attack_params: ClassVar[list[str]] = [*PhotoEdit.attack_params, "quality"]

    def __init__(self, estimator: Any, *, quality: int = 90, **kwargs: Any) -> None:
        super().__init__(estimator, **kwargs)
        self.quality = quality
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.quality, "quality", at_least=1, at_most=100)

    def _edited(self, photos: Tensor) -> Tensor:
        low, high = self._clip
        levels = ((photos - low) * (255 / (high - low))).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        decoded = np.stack([Jpeg(self.quality).encode(np.ascontiguousarray(one)).decoded for one in levels])
        x = torch.from_numpy(decoded).permute(0, 3, 1, 2).to(photos)
        return low + x * ((high - low) / 255)
