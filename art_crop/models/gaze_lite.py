"""gaze-lite, the saliency network that comes with the package: one backbone, one head per thing it was taught.

The head ``cropper`` follows the deployed cropper (FastGaze), the head ``human`` follows where people look. Both give a
log density on cells of 16 px, as FastGaze does, at about a fifth of its arithmetic. The weights are this project's own:
:mod:`art_crop.training.distil` makes them, the card beside the weight file says how and how well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from art_crop.checks import check_choice
from art_crop.models import layers
from art_crop.models.layers import Residual, conv, load_weights, save_weights

__all__ = [
    "EMBEDDED",
    "HEADS",
    "GazeLite",
    "GazeLiteNet",
    "fold_batch_norm",
    "load_gaze_lite",
    "load_gaze_lite_net",
    "save_gaze_lite",
]

HEADS = ("cropper", "human")
Head = Literal["cropper", "human"]
EMBEDDED = Path(__file__).parent / "data" / "gaze_lite.safetensors"


class _Context(nn.Module):
    """What the whole photo shows, added to every cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(x.mean((-2, -1)))[:, :, None, None]  # type: ignore[no-any-return]


class _Head(nn.Module):
    """Two layers, and a learned quadratic prior over the position (people look at the middle; croppers less)."""

    def __init__(self, channels: int, hidden: int, *, norm: bool) -> None:
        super().__init__()
        self.reduce = conv(channels, hidden, 1, norm=norm)
        self.look = Residual(hidden, dilation=2, norm=norm)
        self.out = nn.Conv2d(hidden, 1, 1)
        self.prior = nn.Parameter(torch.zeros(4))

    def reset_parameters(self) -> None:
        """No prior, as before training (the layers inside reset themselves)."""
        nn.init.zeros_(self.prior)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        v = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5) / height * 2 - 1
        u = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5) / width * 2 - 1
        prior = (self.prior[0] * v + self.prior[1] * v**2)[:, None] + (self.prior[2] * u + self.prior[3] * u**2)[None]
        return (self.out(self.look(self.reduce(x))) + prior).squeeze(1)  # type: ignore[no-any-return]


class GazeLiteNet(nn.Module):
    """Backbone and both heads.

    Args:
        norm: Batch normalisation after each convolution: for training. :func:`fold_batch_norm` removes it.
    """

    stride = 16
    widths = (20, 24, 40, 64, 96)

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        a, b, c, d, e = self.widths
        self.backbone = nn.Sequential(
            conv(3, a, 5, stride=2, norm=norm),
            conv(a, b, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            conv(b, c, norm=norm),
            Residual(c, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            conv(c, d, norm=norm),
            Residual(d, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            conv(d, e, norm=norm),
            Residual(e, norm=norm),
            _Context(e),
        )
        self.heads = nn.ModuleDict({head: _Head(e, 40, norm=norm) for head in HEADS})

    def features(self, x: Tensor) -> Tensor:
        """Mean-subtracted levels (N, 3, h, w) -> features (N, channels, ceil(h/16), ceil(w/16))."""
        return self.backbone(x / 64)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Log densities (not normalised) (N, ceil(h/16), ceil(w/16)) by head."""
        features = self.features(x)
        return {name: head(features) for name, head in self.heads.items()}


class GazeLite(nn.Module):
    """One head of :class:`GazeLiteNet`: (N, 3, h, w) mean-subtracted levels -> map (N, ceil(h/16), ceil(w/16))."""

    stride = 16

    def __init__(self, net: GazeLiteNet, head: Head = "cropper") -> None:
        super().__init__()
        self.backbone, self.head = net.backbone, net.heads[head]

    def forward(self, x: Tensor) -> Tensor:
        """Log density, not normalised."""
        return self.head(self.backbone(x / 64))  # type: ignore[no-any-return]


def fold_batch_norm(net: GazeLiteNet) -> GazeLiteNet:
    """The same function without batch normalisation: its running statistics folded into weights and biases."""
    with torch.random.fork_rng(devices=[]):  # fresh weights, all of them replaced, should not cost random numbers
        return layers.fold_batch_norm(net, GazeLiteNet(norm=False))


def save_gaze_lite(net: GazeLiteNet, path: str | Path, metadata: dict[str, object]) -> None:
    """Write float16 safetensors; ``metadata`` (command, seed, figures) travels in the header as JSON."""
    save_weights(net, path, {"network": "gaze-lite", **metadata})


def load_gaze_lite(path: str | Path | None = None, head: Head = "cropper") -> GazeLite:
    """One head of gaze-lite from a safetensors file (default: the one in the package).

    Raises:
        WeightsError: Missing, larger than 16 MiB, not safetensors, or tensors of other names, shapes or types.
        InvalidInputError: An unknown head.
    """
    check_choice(head, "head", HEADS)
    return GazeLite(load_gaze_lite_net(path), head).eval()


def load_gaze_lite_net(path: str | Path | None = None) -> GazeLiteNet:
    """Backbone and both heads; arguments and errors as for :func:`load_gaze_lite`."""
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        net = GazeLiteNet()
    return load_weights(net, EMBEDDED if path is None else path, "gaze-lite")
