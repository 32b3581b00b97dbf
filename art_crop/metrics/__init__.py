"""Measures of photos, saliency maps and crops: pure functions, each with a record of what its number means.

``METRICS["psnr"]`` is a record that is called like the function it describes. Importing this module costs numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from art_crop.metrics import image, saliency


@dataclass(frozen=True)
class MetricRecord:
    """What a metric's number means.

    Attributes:
        name: Name in tables, reports and ``art_crop.load_metric``.
        unit: Unit of the value, "" for a pure number.
        direction: "higher" when a larger value is closer to the original, a better prediction or a more successful
            attack; "lower" when a smaller one is.
        range: Smallest and largest possible value, infinite where there is no bound.
        function: The function itself, whose docstring gives its arguments; calling the record calls it.
    """

    name: str
    unit: str
    direction: Literal["higher", "lower"]
    range: tuple[float, float]
    function: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that this record describes."""
        return self.function(*args, **kwargs)


# Of a photo and its changed version.
L2 = MetricRecord("l2", "pixels in [0, 1]", "lower", (0.0, math.inf), image.l2)
LINF = MetricRecord("linf", "pixels in [0, 1]", "lower", (0.0, 1.0), image.linf)
PSNR = MetricRecord("psnr", "dB", "higher", (0.0, math.inf), image.psnr)
SSIM = MetricRecord("ssim", "", "higher", (-1.0, 1.0), image.ssim)
MS_SSIM = MetricRecord("ms-ssim", "", "higher", (0.0, 1.0), image.ms_ssim)
RMS = MetricRecord("rms", "pixels in [0, 1]", "lower", (0.0, 1.0), image.rms)
CIEDE2000_MEAN = MetricRecord("ciede2000-mean", "CIEDE2000", "lower", (0.0, math.inf), image.ciede2000_mean)
CIEDE2000_L2 = MetricRecord("ciede2000-l2", "CIEDE2000", "lower", (0.0, math.inf), image.ciede2000_l2)
CIEDE2000_P95 = MetricRecord("ciede2000-p95", "CIEDE2000", "lower", (0.0, math.inf), image.ciede2000_p95)
WITHIN_COLOR_THRESHOLD = MetricRecord("within-color-threshold", "", "higher", (0.0, 1.0), image.within_color_threshold)

# Of a saliency map and fixations.
NSS = MetricRecord("nss", "standard deviations", "higher", (-math.inf, math.inf), saliency.nss)
AUC_JUDD = MetricRecord("auc-judd", "", "higher", (0.0, 1.0), saliency.auc_judd)

# Of a saliency map and a density.
CC = MetricRecord("cc", "", "higher", (-1.0, 1.0), saliency.cc)
KLD = MetricRecord("kld", "nats", "lower", (0.0, math.inf), saliency.kld)
SIM = MetricRecord("sim", "", "higher", (0.0, 1.0), saliency.sim)

# Of the columns of a peak before and after an attack.
PEAK_SHIFT = MetricRecord("peak-shift", "distance to the target", "higher", (-math.inf, math.inf), saliency.peak_shift)
SHIFT_OVER_WIDTH = MetricRecord(
    "shift-over-width", "width of the photo", "higher", (-1.0, 1.0), saliency.shift_over_width
)
MEAN_CLIPPED_SHIFT = MetricRecord(
    "mean-clipped-shift", "distance to the target", "higher", (0.0, 1.0), saliency.mean_clipped_shift
)
SHARE_AT_TARGET = MetricRecord("share-at-target", "share of photos", "higher", (0.0, 1.0), saliency.share_at_target)

METRICS: Mapping[str, MetricRecord] = MappingProxyType(
    {
        record.name: record
        for record in (
            L2,
            LINF,
            PSNR,
            SSIM,
            MS_SSIM,
            RMS,
            CIEDE2000_MEAN,
            CIEDE2000_P95,
            CIEDE2000_L2,
            WITHIN_COLOR_THRESHOLD,
            NSS,
            AUC_JUDD,
            CC,
            KLD,
            SIM,
            PEAK_SHIFT,
            SHIFT_OVER_WIDTH,
            MEAN_CLIPPED_SHIFT,
            SHARE_AT_TARGET,
        )
    }
)
"""Every record by its name."""
