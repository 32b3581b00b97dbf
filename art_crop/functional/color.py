"""sRGB, XYZ, CIELAB (D65), the CIEDE2000 colour difference, differentiable, and the colour variance made of it.

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

from art_crop.checks import check_int, check_number
from art_crop.errors import InvalidInputError

_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE_D65 = (0.95047, 1.0, 1.08883)
_LINEAR_BELOW, _SLOPE, _OFFSET = 0.008856, 7.787, 16 / 116
"""Where f of CIELAB is a line instead of a cube root; CIE 15's fractions rounded as scikit-image has them."""
_STRIP_PIXELS, _STRIP_ROWS = 1 << 15, 24
"""A photo's colour variance is computed in strips of so many pixels, and of so many rows at least: whole, 12 megapixels
would take 3 GB, and what fits into a core's cache is a fifth faster."""


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
    root = ratio.clamp_min(_LINEAR_BELOW) ** (1 / 3)
    f = torch.where(ratio > _LINEAR_BELOW, root, _SLOPE * ratio + _OFFSET)
    x, y, z = f.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def lab_to_xyz(lab: Tensor) -> Tensor:
    """L*a*b* (D65) to CIE XYZ; inverse of :func:`xyz_to_lab`."""
    lightness, a, b = _channels(lab, "lab").unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), dim=-3)
    return torch.where(f > 6 / 29, f**3, (f - _OFFSET) / _SLOPE) * _white(lab)


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
    delta_h, cos, sin, hue = _hues(a_1, b_1, c_1, a_2, b_2, c_2)

    lightness = ((l_1 + l_2) / 2 - 50) ** 2
    s_l = 1 + 0.015 * lightness / torch.sqrt(20 + lightness)
    s_c = 1 + 0.045 * c_mean
    cos_2, sin_2 = 2 * cos * cos - 1, 2 * cos * sin
    t = (
        1
        - 0.17 * _turned(cos, sin, 30)
        + 0.24 * cos_2
        + 0.32 * _turned(cos * (2 * cos_2 - 1), sin * (2 * cos_2 + 1), -6)
        - 0.20 * _turned(2 * cos_2 * cos_2 - 1, 2 * cos_2 * sin_2, 63)
    )
    s_h = 1 + 0.015 * c_mean * t
    away = ((hue - math.radians(275)) / math.radians(25)) ** 2
    theta = math.radians(30) * torch.exp(-away.clamp_max(80))  # below that are denormal numbers, which are slow
    rotation = -2 * _chroma_weight(c_mean) * torch.sin(2 * theta)

    d_l = (l_2 - l_1) / (k_l * s_l)
    d_c = (c_2 - c_1) / (k_c * s_c)
    d_h = delta_h / (k_h * s_h)
    return _safe_sqrt(d_l**2 + d_c**2 + d_h**2 + rotation * d_c * d_h)


def color_variance(rgb: Tensor, *, window: int = 5, sigma: float = 1.0) -> Tensor:
    """Map how much the colours about each pixel differ from its own, as CIEDE2000 sees them.

    Paper 002 and the method's code: cV(p) = sqrt(mean over q of (dE(p, q) G(q - p))^2) over the other pixels q of the
    window about p that are inside the photo, G(r) = exp(-r^2 / 2 sigma^2) / (2 pi sigma^2); then divided by the photo's
    maximum. Changes hide where it is high. dE is symmetric, so that each pair of pixels is computed once.

    Args:
        rgb: Photos (N, 3, H, W), sRGB in [0, 1], float.
        window: Width of the square window in pixels, odd, at least 3.
        sigma: Standard deviation of the Gaussian weight, in pixels.

    Returns:
        (N, 1, H, W), 0 to 1; all 0 for a photo of one colour.

    Raises:
        InvalidInputError: Another shape, an even or too small window, a photo smaller than the window.
    """
    if _channels(rgb, "rgb").ndim != 4:
        raise InvalidInputError(f"rgb must be of shape (N, 3, H, W), got {tuple(rgb.shape)}")
    if check_int(window, "window", at_least=3) % 2 == 0:
        raise InvalidInputError(f"window: an odd number is needed, not {window}")
    check_number(sigma, "sigma", above=0)
    height, width = rgb.shape[-2:]
    if min(height, width) < window:
        raise InvalidInputError(
            f"photos of at least {window} x {window} pixels are needed for a window of {window}, not {width} x {height}"
        )
    radius = window // 2
    rows = max(_STRIP_ROWS, _STRIP_PIXELS // width)
    strips = [_summed_differences(rgb, top, min(top + rows, height), radius, sigma) for top in range(0, height, rows)]
    total = torch.cat(strips, dim=1)
    counts = [
        (torch.arange(side, device=rgb.device) + radius + 1).clamp_max(side)
        - (torch.arange(side, device=rgb.device) - radius).clamp_min(0)
        for side in (height, width)
    ]
    deviation = _safe_sqrt(total / (counts[0][:, None] * counts[1] - 1))[:, None]
    greatest = deviation.amax((2, 3), keepdim=True)
    return deviation / torch.where(greatest > 0, greatest, torch.ones_like(greatest))


def _summed_differences(rgb: Tensor, top: int, bottom: int, radius: int, sigma: float) -> Tensor:
    """Sum (dE(p, q) G(q - p))^2 over each window, for the pixels p of some rows: (N, bottom - top, W)."""
    first_row = max(0, top - radius)
    lab = srgb_to_lab(rgb[..., first_row : bottom + radius, :])
    height, width = lab.shape[-2:]
    total = lab.new_zeros(len(lab), height, width)
    for down in range(min(radius, height - 1) + 1):
        for right in range(-radius, radius + 1):
            if down == 0 and right <= 0:
                continue  # the pixel itself, and pairs that come from the other side
            rows = slice(0, height - down), slice(down, height)
            columns = slice(max(0, -right), width - max(0, right)), slice(max(0, right), width + min(0, right))
            first, second = ((..., row, column) for row, column in zip(rows, columns, strict=True))
            weight = math.exp(-(down**2 + right**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
            squared = (ciede2000(lab[first], lab[second]) * weight) ** 2
            total[first] += squared
            total[second] += squared
    return total[:, top - first_row : bottom - first_row]


def color_metric(rgb: Tensor, *, step: float = 1 / 255) -> Tensor:
    """Measure how large small changes of each pixel look, as the quadratic form of the squared CIEDE2000 difference.

    dE(x, x + d)^2 is about d' M d for a change d = (red, green, blue); M is taken from the differences that changes of
    ``step`` up and down make in three channels and in three pairs of them. It is positive definite.

    Args:
        rgb: Photos (N, 3, H, W), sRGB in [0, 1], float.
        step: Size of the change that it is taken at; a grey level by default.

    Returns:
        (N, 6, H, W), the entries rr, gg, bb, rg, rb, gb of M, for changes in units of ``step``.
    """
    lab = srgb_to_lab(rgb)

    def squared(*channels: int) -> Tensor:
        change = torch.zeros_like(rgb)
        change[:, channels] = step
        up, down = (ciede2000(lab, srgb_to_lab(rgb + sign * change)) for sign in (1, -1))
        return (up * up + down * down) / 2

    red, green, blue = squared(0), squared(1), squared(2)
    pairs = squared(0, 1) - red - green, squared(0, 2) - red - blue, squared(1, 2) - green - blue
    floor = 1e-3 * (red + green + blue)  # where the formula bends so much that a square could be negative
    return torch.stack((red + floor, green + floor, blue + floor, *(pair / 2 for pair in pairs)), dim=1)


def _hues(
    a_1: Tensor, b_1: Tensor, c_1: Tensor, a_2: Tensor, b_2: Tensor, c_2: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """2 sqrt(C1 C2) sin((h2 - h1) / 2), 0 when either colour is grey; cosine, sine and angle of the mean hue.

    The mean hue's direction (Sharma's equation 14) is that of the sum of the two hues' unit vectors, and for hues more
    than a right angle apart, where a sum cancels, at right angles to their difference. With a grey it is the other
    colour's hue, and of two greys 0.
    """
    dot = a_1 * a_2 + b_1 * b_2
    far = dot < 0
    # Hues that differ by exactly half a turn have no sign of their own; this is the one of Sharma's equation 10.
    turn = a_1 * b_2 - b_1 * a_2
    turn = torch.where(turn == 0, torch.where(b_1 == 0, a_1, b_1), turn)
    sign = (turn > 0).to(dot) * 2 - 1

    cross = a_1 * (b_2 - b_1) - b_1 * (a_2 - a_1)
    whole_1, whole_2 = (torch.where(c == 0, torch.ones_like(c), c) for c in (c_1, c_2))  # a grey's a and b are 0
    half = (whole_1 * whole_2 + dot) * 0.5
    delta = torch.where(far, _safe_sqrt(2 * (c_1 * c_2 - dot)) * sign, cross / torch.sqrt(half.clamp_min(1e-30)))

    x_1, y_1, x_2, y_2 = a_1 * whole_2, b_1 * whole_2, a_2 * whole_1, b_2 * whole_1
    x = torch.where(far, (y_2 - y_1) * sign, x_1 + x_2)
    y = torch.where(far, (x_1 - x_2) * sign, y_1 + y_2)
    x = torch.where((x == 0) & (y == 0), torch.ones_like(x), x)
    length = torch.sqrt(x * x + y * y)
    angle = torch.atan2(y, x)
    return delta, x / length, y / length, torch.where(angle < 0, angle + 2 * math.pi, angle)


def _turned(cos: Tensor, sin: Tensor, degrees: float) -> Tensor:
    """cos(angle - degrees) of an angle given by its cosine and sine."""
    return cos * math.cos(math.radians(degrees)) + sin * math.sin(math.radians(degrees))


def _chroma_weight(chroma: Tensor) -> Tensor:
    """sqrt(C^7 / (C^7 + 25^7)); its derivative at C = 0 is 0."""
    cube = chroma * chroma * chroma
    power = cube * cube * chroma
    return _safe_sqrt(power / (power + 25.0**7))


def _safe_sqrt(x: Tensor) -> Tensor:
    """Square root of max(x, 0) whose gradient at 0 is 0."""
    if not x.requires_grad:
        return x.clamp_min(0).sqrt_()
    positive = x > 0
    return torch.where(positive, torch.sqrt(torch.where(positive, x, torch.ones_like(x))), torch.zeros_like(x))


def _safe_hypot(a: Tensor, b: Tensor) -> Tensor:
    return _safe_sqrt(a * a + b * b)


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
