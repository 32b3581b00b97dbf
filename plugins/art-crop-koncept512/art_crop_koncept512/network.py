"""KonCept512: InceptionResNetV2's features, averaged over the photo, and four fully connected layers.

Hosu, Lin, Sziranyi and Saupe, "KonIQ-10k: An ecologically valid database for deep learning of blind image quality
assessment", IEEE Transactions on Image Processing 29, 2020, section VI; the features are those of Szegedy et al.,
"Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", AAAI 2017, as timm has them.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from art_crop.errors import MissingDependencyError
from art_crop.models.torchvision_import import import_torchvision

__all__ = ["SIZE", "KonCept512", "Pooling"]

Pooling = Literal["global", "corner"]
SIZE = (384, 512)
"""Height and width of the photos that it was trained on."""
SMALLEST = 75
"""Pixels below which a side has no features left."""
WIDTHS = (1536, 2048, 1024, 256)
DROPOUT = (0.25, 0.25, 0.5)
CORNER = 8


def _features() -> nn.Module:
    """InceptionResNetV2 of timm without a classifier: its ``forward_features`` is (N, 3, H, W) -> (N, 1536, h, w)."""
    import_torchvision()  # timm imports it, and a wheel for CUDA needs help beside a torch without
    try:
        from timm.models.inception_resnet_v2 import InceptionResnetV2
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"koncept512 needs {error.name}: pip install timm, with a constraint such as "
            '"torch==2.13.0" (-c) where the installed torch must stay'
        ) from error
    network: nn.Module = InceptionResnetV2(num_classes=0, global_pool="")
    return network


class KonCept512(nn.Module):
    """Photos (N, 3, H, W) in [0, 1] -> scores (N,) on the scale of KonIQ-10k, higher is better.

    Args:
        size: (height, width) to which photos are resized, with antialiasing; None: they are seen as they are, and
            rows and columns are repeated where a side is shorter than 75 pixels.
        pooling: ``"global"``: features are averaged over the whole photo, as in the paper. ``"corner"``: over the
            first 8x8 cells, all there are of fewer; of a photo of 512x384 pixels there are 14x10.
    """

    def __init__(self, *, size: tuple[int, int] | None = SIZE, pooling: Pooling = "global") -> None:
        super().__init__()
        self.size, self.pooling = size, pooling
        self.features = _features()
        layers: list[nn.Module] = []
        for fan_in, fan_out, share in zip(WIDTHS, WIDTHS[1:], DROPOUT, strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.BatchNorm1d(fan_out), nn.Dropout(share)]
        self.head = nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N,)."""
        cells: Tensor = self.features.forward_features(2 * self._sized(x) - 1)  # type: ignore[operator]
        if self.pooling == "corner":
            cells = cells[..., :CORNER, :CORNER]
        scores: Tensor = self.head(cells.mean((2, 3)))
        return scores[:, 0]

    def _sized(self, x: Tensor) -> Tensor:
        if self.size is None:
            height, width = (max(0, SMALLEST - have) for have in x.shape[-2:])
            return F.pad(x, (0, width, 0, height), mode="replicate") if height or width else x
        if tuple(x.shape[-2:]) == tuple(self.size):
            return x
        return F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)
