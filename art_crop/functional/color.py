"""sRGB, XYZ, CIELAB (D65) and the CIEDE2000 colour difference, differentiable.

Sources: IEC 61966-2-1 (sRGB), CIE 15 (Lab), and Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula:
Implementation Notes, Supplementary Test Data, and Mathematical Observations", 2005 (equations 2-22).

Every function takes ``(..., 3, H, W)`` tensors of any float dtype on any device and returns the same layout, so that a
batch is NCHW. The matrix and the white point are those of ``skimage.color``: what an attack minimises here is what
:mod:`art_crop.metrics.image` reports on the written file.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from art_crop.errors import InvalidInputError

_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE_D65 = (0.95047, 1.0, 1.08883)
_DELTA = 6.0 / 29.0


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Undo the sRGB transfer curve; values in [0, 1] stay in [0, 1], negative ones continue on the linear piece."""
    # The clamp keeps the branch that `where` does not take away from 0 ** x, whose gradient would poison the other.
    curved = ((rgb.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, curved, rgb / 12.92)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer curve; inverse of :func:`srgb_to_linear`."""
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, linear * 12.92)


def linear_to_xyz(linear: Tensor) -> Tensor:
    """Linear sRGB to CIE XYZ, where white is (0.9505, 1, 1.0888)."""
    return _mix_channels(_channels(linear, "linear"), linear.new_tensor(_XYZ_FROM_RGB))


def xyz_to_linear(xyz: Tensor) -> Tensor:
    """CIE XYZ to linear sRGB; colours outside the gamut leave [0, 1]."""
    inverse = torch.linalg.inv(torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64))
    return _mix_channels(_channels(xyz, "xyz"), inverse.to(xyz))


def xyz_to_lab(xyz: Tensor) -> Tensor:
    """CIE XYZ to L*a*b* for the D65 white; L* is in [0, 100] for colours between black and white."""
    ratio = _channels(xyz, "xyz") / _white(xyz)
    root = ratio.clamp_min(_DELTA**3) ** (1 / 3)
    f = torch.where(ratio > _DELTA**3, root, ratio / (3 * _DELTA**2) + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def lab_to_xyz(lab: Tensor) -> Tensor:
    """L*a*b* (D65) to CIE XYZ; inverse of :func:`xyz_to_lab`."""
    lightness, a, b = _channels(lab, "lab").unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), dim=-3)
    return torch.where(f > _DELTA, f**3, 3 * _DELTA**2 * (f - 4 / 29)) * _white(lab)


def srgb_to_lab(rgb: Tensor) -> Tensor:
    """Gamma-encoded sRGB in [0, 1] to L*a*b* (D65)."""
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(_channels(rgb, "rgb"))))


def lab_to_srgb(lab: Tensor) -> Tensor:
    """L*a*b* (D65) to sRGB, not clipped: colours outside the gamut leave [0, 1]."""
    return linear_to_srgb(xyz_to_linear(lab_to_xyz(lab)))


def ciede2000(lab_1: Tensor, lab_2: Tensor, *, k_l: float = 1.0, k_c: float = 1.0, k_h: float = 1.0) -> Tensor:
    """CIEDE2000 difference of two L*a*b* tensors that broadcast, ``(..., 3, H, W)`` to ``(..., H, W)``, >= 0.

    Gradients are finite everywhere. Where the formula has none, 0 is returned in its place: at identical colours
    (the difference has a kink there) and for the hue of a grey.

    The hue difference is taken from cross and dot products instead of from angles (Seve, "Practical formula for the
    computation of CIE 1976 hue difference", 1996): equal in value, and it neither cancels for close colours in
    float32 nor divides by the chroma of a grey.
    """
    l_1, a_1, b_1 = _channels(lab_1, "lab_1").unbind(-3)
    l_2, a_2, b_2 = _channels(lab_2, "lab_2").unbind(-3)

    chroma_factor = _chroma_weight((_safe_hypot(a_1, b_1) + _safe_hypot(a_2, b_2)) / 2)
    scale = 1.5 - 0.5 * chroma_factor
    a_1, a_2 = a_1 * scale, a_2 * scale
    c_1, c_2 = _safe_hypot(a_1, b_1), _safe_hypot(a_2, b_2)
    c_mean = (c_1 + c_2) / 2

    h_1, h_2 = _safe_hue(a_1, b_1), _safe_hue(a_2, b_2)
    h_mean = _mean_hue(h_1, h_2, grey=(c_1 == 0) | (c_2 == 0))
    delta_h = _signed_hue_difference(a_1, b_1, c_1, h_1, a_2, b_2, c_2, h_2)

    lightness = ((l_1 + l_2) / 2 - 50) ** 2
    s_l = 1 + 0.015 * lightness / torch.sqrt(20 + lightness)
    s_c = 1 + 0.045 * c_mean
    t = (
        1
        - 0.17 * torch.cos(h_mean - math.radians(30))
        + 0.24 * torch.cos(2 * h_mean)
        + 0.32 * torch.cos(3 * h_mean + math.radians(6))
        - 0.20 * torch.cos(4 * h_mean - math.radians(63))
    )
    s_h = 1 + 0.015 * c_mean * t
    theta = math.radians(30) * torch.exp(-(((h_mean - math.radians(275)) / math.radians(25)) ** 2))
    rotation = -2 * _chroma_weight(c_mean) * torch.sin(2 * theta)

    d_l = (l_2 - l_1) / (k_l * s_l)
    d_c = (c_2 - c_1) / (k_c * s_c)
    d_h = delta_h / (k_h * s_h)
    return _safe_sqrt(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)


def _signed_hue_difference(
    a_1: Tensor, b_1: Tensor, c_1: Tensor, h_1: Tensor, a_2: Tensor, b_2: Tensor, c_2: Tensor, h_2: Tensor
) -> Tensor:
    """2 sqrt(C1 C2) sin((h2 - h1) / 2), 0 when either colour is grey."""
    dot = a_1 * a_2 + b_1 * b_2
    cross = a_1 * (b_2 - b_1) - b_1 * (a_2 - a_1)
    near = dot > 0
    half = (c_1 * c_2 + dot) / 2
    close_hues = cross / torch.sqrt(torch.where(near, half, torch.ones_like(half)))
    turn = h_2 - h_1
    # Hues that differ by exactly half a turn have no sign of their own; this is the one of Sharma's equation 10.
    positive = ((turn > 0) & (turn <= math.pi)) | (turn < -math.pi)
    far_hues = _safe_sqrt(2 * (c_1 * c_2 - dot)) * torch.where(positive, 1.0, -1.0).to(dot)
    return torch.where(near, close_hues, far_hues)


def _mean_hue(h_1: Tensor, h_2: Tensor, *, grey: Tensor) -> Tensor:
    """Mean hue on the circle in radians (Sharma's equation 14); with a grey it is the other colour's hue."""
    total = h_1 + h_2
    apart = (h_1 - h_2).abs() > math.pi
    across = torch.where(total < 2 * math.pi, total + 2 * math.pi, total - 2 * math.pi)
    return torch.where(grey, total, torch.where(apart, across, total) / 2)


def _chroma_weight(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)), written so that its derivative at C = 0 is 0 and not 0 * inf."""
    return chroma**3.5 / torch.sqrt(chroma**7 + 25.0**7)


def _safe_sqrt(x: Tensor) -> Tensor:
    """Square root of max(x, 0) whose gradient at 0 is 0."""
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, torch.ones_like(x))), torch.zeros_like(x))


def _safe_hypot(a: Tensor, b: Tensor) -> Tensor:
    return _safe_sqrt(a * a + b * b)


def _safe_hue(a: Tensor, b: Tensor) -> Tensor:
    """Angle of (a, b) in [0, 2 pi), 0 and without gradient where the colour is grey."""
    coloured = a * a + b * b > 0
    angle = torch.atan2(torch.where(coloured, b, torch.zeros_like(b)), torch.where(coloured, a, torch.ones_like(a)))
    return torch.where(angle < 0, angle + 2 * math.pi, angle)


def _mix_channels(image: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ij,...jhw->...ihw", matrix, image)


def _white(like: Tensor) -> Tensor:
    return like.new_tensor(_WHITE_D65).view(3, 1, 1)


def _channels(image: Tensor, name: str) -> Tensor:
    if image.ndim < 3 or image.shape[-3] != 3 or not image.is_floating_point():
        raise InvalidInputError(
            f"{name} must be a float tensor of shape (..., 3, H, W), got {image.dtype} {tuple(image.shape)}"
        )
    return image
