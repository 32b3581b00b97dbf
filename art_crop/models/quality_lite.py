"""quality-lite, the image-quality network that comes with the package: it scores photos from 0 to 100.

The weights are this project's own: :mod:`art_crop.training.quality` makes them; the card beside the weight file says
how, and how well.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.models.layers import Residual, conv, load_weights

__all__ = ["EMBEDDED", "QualityLiteNet", "load_quality_lite"]

EMBEDDED = Path(__file__).parent / "data" / "quality_lite.safetensors"


class QualityLiteNet(nn.Module):
    """Convolutions at five scales; logarithms of the means and spreads of the last two over the photo decide.

    Args:
        norm: Batch normalisation after each convolution: for training; :func:`art_crop.models.layers.fold_batch_norm`
            removes it.
    """

    widths = (24, 48, 96, 160, 224)
    pooled = 2
    hidden = 128

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        first, *others = self.widths
        stages = [conv(6, first, 5, stride=2, norm=norm)]
        for before, channels in zip(self.widths, others, strict=False):
            stages.append(nn.Sequential(conv(before, channels, stride=2, norm=norm), Residual(channels, norm=norm)))
        self.stages = nn.ModuleList(stages)
        features = 2 * sum(self.widths[-self.pooled :])
        self.mix = nn.Sequential(nn.BatchNorm1d(features) if norm else nn.Identity(), nn.Linear(features, self.hidden))
        self.out = nn.Linear(self.hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1] -> scores (N,) from 0 to 100, higher is better."""
        detail = x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # where most distortions show
        x, pooled = torch.cat([4 * x - 2, 20 * detail], 1), []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number <= len(self.stages) - self.pooled:
                continue
            features = _precise(x)
            mean = features.mean((2, 3))
            spread = (features - mean[:, :, None, None]).square().mean((2, 3))
            pooled += [(mean + 1e-2).log(), (spread + 1e-4).log() / 2]  # what distorts multiplies
        score = self.out(torch.relu(self.mix(torch.cat(pooled, 1))))[:, 0]
        return 100 * torch.sigmoid(_precise(score))


def _precise(x: Tensor) -> Tensor:
    """At least float32: sums over a photo need more than half a type."""
    return x if x.dtype == torch.float64 else x.float()


def load_quality_lite(path: str | Path | None = None) -> QualityLiteNet:
    """Load quality-lite from a safetensors file (default: the one in the package).

    Raises:
        WeightsError: Missing, larger than 16 MiB, not safetensors, or tensors of other names, shapes or types.
    """
    with torch.random.fork_rng(devices=[]):  # fresh weights, all of them replaced, should not cost random numbers
        net = QualityLiteNet()
    return load_weights(net, EMBEDDED if path is None else path, "quality-lite")
