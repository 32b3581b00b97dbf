"""How far a changed photo is from its original: L2, L-infinity, PSNR, SSIM, MS-SSIM and CIEDE2000.

Every function takes two photos ``(height, width, 3)``, RGB, each either uint8 or float in [0, 1], and returns a float.
An :class:`~art_crop.errors.InvalidInputError` names the argument when a photo is neither, or when the two differ in
shape. Measure what was written: read the file back and pass its uint8 pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from art_crop.errors import InvalidInputError

Pixels = NDArray[np.uint8] | NDArray[np.floating[Any]]

# Wang et al. 2004, section III-B: a Gaussian window with sigma 1.5; scikit-image truncates it to 11 x 11.
_SSIM_SIGMA = 1.5
_SSIM_WINDOW = 11


def l2(original: Pixels, changed: Pixels) -> float:
    """L2 norm of the difference over the whole photo, all channels, pixels in [0, 1].

    The unit of the papers on croppers: at 640 x 360, L2 10 is a PSNR of 38.4 dB.
    """
    first, second = _pair(original, changed)
    # Not numpy's norm: BLAS sums in an order that depends on its threads, and with it the last digit.
    return float(np.sqrt(np.square(second - first).sum()))


def linf(original: Pixels, changed: Pixels) -> float:
    """Largest absolute difference of any channel of any pixel, pixels in [0, 1]: one grey level is 1/255."""
    first, second = _pair(original, changed)
    return float(np.abs(second - first).max())


def psnr(original: Pixels, changed: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, peak 1 in [0, 1] (255 in grey levels); infinite for equal photos."""
    first, second = _pair(original, changed)
    mean_square = float(np.mean((second - first) ** 2))
    return math.inf if mean_square == 0 else -10 * math.log10(mean_square)


def ssim(original: Pixels, changed: Pixels) -> float:
    """Structural similarity, mean over pixels and over the three channels, at most 1 (equal photos).

    The settings of Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", 2004: Gaussian window with sigma 1.5 (11 x 11), K1 = 0.01, K2 = 0.03, population covariance, data range
    1; computed on RGB by ``skimage.metrics.structural_similarity``. Both sides must be at least 11 pixels.
    """
    from skimage.metrics import structural_similarity

    first, second = _pair(original, changed)
    if min(first.shape[:2]) < _SSIM_WINDOW:
        raise InvalidInputError(
            f"original must be at least {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels for SSIM, got {first.shape[:2]}"
        )
    return float(
        structural_similarity(
            first,
            second,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=_SSIM_SIGMA,
            use_sample_covariance=False,
        )
    )


def ms_ssim(original: Pixels, changed: Pixels) -> float:
    """Multi-scale structural similarity, mean over the three channels, at most 1 (equal photos).

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", 2003, with the settings
    of :func:`ssim` at five scales; see :func:`art_crop.functional.ssim.ms_ssim`. Where a side is below 176 pixels, at
    as many as its window fits into, their weights scaled to a sum of 1. Both sides must be at least 11 pixels.
    """
    import torch

    from art_crop.functional import ssim as scales

    first, second = _pair(original, changed)
    side = min(first.shape[:2])
    if side < _SSIM_WINDOW:
        raise InvalidInputError(
            f"original must be at least {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels for MS-SSIM, got {first.shape[:2]}"
        )
    weights = scales.WEIGHTS[: int(math.log2(side / _SSIM_WINDOW)) + 1]
    total = sum(weights) if len(weights) < len(scales.WEIGHTS) else 1.0
    x, y = (torch.from_numpy(np.ascontiguousarray(one.transpose(2, 0, 1)))[None] for one in (first, second))
    return float(scales.ms_ssim(x, y, tuple(weight / total for weight in weights))[0])


def rms(original: Pixels, changed: Pixels) -> float:
    """Root mean square of the difference, pixels in [0, 1]: the L2 norm over the square root of how many there are."""
    first, second = _pair(original, changed)
    return float(np.sqrt(np.square(second - first).mean()))


def ciede2000_map(original: Pixels, changed: Pixels) -> NDArray[np.float64]:
    """CIEDE2000 difference of every pixel, float64 ``(height, width)``; sRGB read as CIELAB under D65.

    About 1 is a just noticeable difference of two patches side by side. See :func:`art_crop.functional.color.ciede2000`
    for the differentiable form.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    first, second = _pair(original, changed)
    differences: NDArray[np.float64] = deltaE_ciede2000(rgb2lab(first), rgb2lab(second))
    return differences


def ciede2000_mean(original: Pixels, changed: Pixels) -> float:
    """Mean over the pixels of the CIEDE2000 colour difference."""
    return float(ciede2000_map(original, changed).mean())


def ciede2000_l2(original: Pixels, changed: Pixels) -> float:
    """L2 norm over the pixels of the CIEDE2000 colour difference."""
    return float(np.linalg.norm(ciede2000_map(original, changed)))


def ciede2000_p95(original: Pixels, changed: Pixels) -> float:
    """95th percentile over the pixels of the CIEDE2000 colour difference: what the most changed places look like."""
    return float(np.percentile(ciede2000_map(original, changed), 95))


def within_color_threshold(original: Pixels, changed: Pixels) -> float:
    """Share of the pixels no channel of which changed by more than paper 002's threshold: 50/255 times the colour
    variance of the original about the pixel, 5 x 5, sigma 1; see :func:`art_crop.functional.color.color_variance`.
    """
    import torch

    from art_crop.functional.color import color_variance

    first, second = _pair(original, changed)
    photo = torch.from_numpy(first.transpose(2, 0, 1)[None].astype(np.float32))
    bound = color_variance(photo)[0, 0].numpy() * (50 / 255)
    return float((np.abs(second - first).max(2) <= bound + 4e-6).mean())  # what float32 makes of a whole level


def _pair(original: Pixels, changed: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both photos as float64 in [0, 1], of one shape."""
    first, second = _unit(original, "original"), _unit(changed, "changed")
    if first.shape != second.shape:
        raise InvalidInputError(f"changed must have the shape of original, {first.shape}, got {second.shape}")
    return first, second


def _unit(photo: Pixels, name: str) -> NDArray[np.float64]:
    if not isinstance(photo, np.ndarray) or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
        shape = getattr(photo, "shape", type(photo).__name__)
        raise InvalidInputError(f"{name} must be an array of shape (height, width, 3), got {shape}")
    if photo.dtype == np.uint8:
        return photo.astype(np.float64) / 255
    if not np.issubdtype(photo.dtype, np.floating):
        raise InvalidInputError(f"{name} must be uint8 or float in [0, 1], got {photo.dtype}")
    unit = photo.astype(np.float64)
    low, high = float(unit.min()), float(unit.max())
    if not (low >= 0 and high <= 1):  # written so that NaN is refused too
        raise InvalidInputError(f"{name} must be finite and in [0, 1] when it is float, got {low:g} to {high:g}")
    return unit
