"""quality-lite, the image-quality network that comes with the package: it scores photos from 0 to 100.

The weights are this project's own: :mod:`art_crop.training.quality` makes them; the card beside the weight file says
how, and how well.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.functional.jpeg import RGB_TO_YCC, dct_matrix
from art_crop.models.layers import Residual, conv, load_weights

__all__ = ["EMBEDDED", "QualityLiteNet", "load_quality_lite"]

EMBEDDED = Path(__file__).parent / "data" / "quality_lite.safetensors"


class BlockStatistics(nn.Module):
    """How large the DCT coefficients of 8x8 blocks are, and how many are next to 0, for each frequency.

    What blurs, compresses or adds noise shows in these; blocks half a block aside tell a JPEG's grid. After Saad, Bovik
    and Charrier, "Blind Image Quality Assessment: A Natural Scene Statistics Approach in the DCT Domain", TIP 2012.
    """

    features = 2 * 2 * 64

    def __init__(self) -> None:
        super().__init__()
        transform = dct_matrix(8)
        kernels = torch.einsum("ui,vj->uvij", transform, transform).reshape(64, 1, 8, 8)
        self.kernels: Tensor
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1], sides of at least 12 pixels -> (N, 256)."""
        luma = 255 * torch.einsum("c,nchw->nhw", x.new_tensor(RGB_TO_YCC[0]), x)[:, None]
        found = []
        for phase in (0, 4):
            coefficients = F.conv2d(luma[..., phase:, phase:], self.kernels.to(x), stride=8)
            found.append((coefficients.abs() + 0.5).log().mean((2, 3)))
            found.append((coefficients.square() / -2).exp().mean((2, 3)))
        return torch.cat(found, 1)


class QualityLiteNet(nn.Module):
    """Convolutions at four scales and the statistics of blocks; logarithms of means and spreads over the photo decide.

    Args:
        norm: Batch normalisation after each convolution: for training; :func:`art_crop.models.layers.fold_batch_norm`
            removes it.
    """

    widths = (24, 48, 96, 128)
    hidden = 96

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        first, *others = self.widths
        stages = [conv(6, first, 5, stride=2, norm=norm)]
        for before, channels in zip(self.widths, others, strict=False):
            stages.append(nn.Sequential(conv(before, channels, stride=2, norm=norm), Residual(channels, norm=norm)))
        self.stages = nn.ModuleList(stages)
        self.blocks = BlockStatistics()
        pooled = 2 * sum(self.widths) + self.blocks.features
        self.mix = nn.Sequential(nn.BatchNorm1d(pooled) if norm else nn.Identity(), nn.Linear(pooled, self.hidden))
        self.out = nn.Linear(self.hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [0, 1] -> scores (N,) from 0 to 100, higher is better."""
        with torch.autocast(x.device.type, enabled=False):  # sums over a photo need more than half a type
            pooled = [self.blocks(_at_least(_precise(x), 12))]
        detail = x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # where most distortions show
        x = torch.cat([4 * x - 2, 20 * detail], 1)
        for stage in self.stages:
            x = stage(x)
            features = _precise(x)
            mean = features.mean((2, 3))
            spread = (features - mean[:, :, None, None]).square().mean((2, 3))
            pooled += [(mean + 1e-2).log(), (spread + 1e-4).log() / 2]  # what distorts multiplies
        score = self.out(torch.relu(self.mix(torch.cat(pooled, 1))))[:, 0]
        return 100 * torch.sigmoid(_precise(score))


def _precise(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _at_least(x: Tensor, side: int) -> Tensor:
    """Repeat the last row and column of photos that are smaller than that."""
    missing = [max(0, side - have) for have in x.shape[-2:]]
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x


def load_quality_lite(path: str | Path | None = None) -> QualityLiteNet:
    """Load quality-lite from a safetensors file (default: the one in the package).

    Raises:
        WeightsError: Missing, larger than 16 MiB, not safetensors, or tensors of other names, shapes or types.
    """
    with torch.random.fork_rng(devices=[]):  # fresh weights, all of them replaced, should not cost random numbers
        net = QualityLiteNet()
    return load_weights(net, EMBEDDED if path is None else path, "quality-lite")
