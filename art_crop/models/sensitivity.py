"""The sensitivity network of paper 004: where people look at a photo, and so where they see a change of it.

Shen, Habibi, Fan and Kankanhalli ("Maintaining Human-Imperceptibility of Image Adversarial Attack by using Human-Aware
Sensitivity Map", MediaEval 2020, section 2.3 and figure 2): the convolutions of VGG-16 (Simonyan and Zisserman 2014),
fully convolutional, and a 1x1 convolution of their features to one channel, enlarged bilinearly to the photo. No
weights come with the package: :mod:`art_crop.training.sensitivity` makes them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.checks import check_int
from art_crop.errors import WeightsError
from art_crop.models.layers import load_weights, read_metadata, save_weights
from art_crop.models.state_dicts import read_state_dict
from art_crop.models.torchvision_import import import_torchvision

__all__ = ["LONG_SIDE", "NAME", "FCNVGG16", "load_fcn_vgg16", "load_start", "save_fcn_vgg16"]

NAME = "fcn-vgg16-sensitivity"
LONG_SIDE = 160
"""Pixels of a photo's longer side as the network sees it, unless it was trained at another."""
MAX_BYTES = 64 * 2**20
SMALLEST, LARGEST = 32, 2048
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, by which torchvision's VGG-16 is fed."""


class FCNVGG16(nn.Module):
    """Photos (N, 3, H, W) in [0, 1] -> sensitivity (N, H, W) in [0, 1].

    The last of VGG-16's five max pools, which no weight depends on, is left out: a cell then is 16 pixels of what the
    network sees, about as wide as what a fixation is blurred by at the usual size, and not 32.

    Args:
        long_side: Photos are brought to this length of their longer side, 32 to 2048 pixels, whatever they had, for a
            network knows things at the size at which it was taught. Both sides become multiples of 16.

    Raises:
        InvalidInputError: A length outside its range.
        MissingDependencyError: torchvision is missing or does not fit torch.
    """

    stride = 16

    def __init__(self, *, long_side: int = LONG_SIDE) -> None:
        super().__init__()
        check_int(long_side, "long_side", at_least=SMALLEST, at_most=LARGEST)
        self.long_side = long_side
        device = torch.get_default_device()
        with torch.device("meta"):  # or the classifier, nine tenths of its weights, would be made as well
            vgg = import_torchvision().models.vgg16(weights=None, init_weights=False)
        self.features: nn.Sequential = vgg.features[:-1].to_empty(device=device)
        self.out = nn.Conv2d(512, 1, 1)
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.out.weight, std=0.01)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which a photo is seen, multiples of 16: every cell then has all of its pixels."""
        scale = self.long_side / (max(height, width) * self.stride)
        return tuple(self.stride * max(1, int(scale * side + 0.5)) for side in (height, width))  # type: ignore[return-value]

    def seen(self, x: Tensor) -> Tensor:
        """Photos at the size at which the network sees them, bilinear, antialiased."""
        size = self.seen_size(x.shape[-2], x.shape[-1])
        if size == tuple(x.shape[-2:]):
            return x
        return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)

    def unclamped(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (N, height, width) of that size before they are clamped: what it learns by.

        A clamped value would have no gradient by which to come back, and clamping takes no map away from one in [0, 1].
        """
        x = self.seen(x)
        mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        cells = self.out(self.features((x - mean) / std))
        return F.interpolate(cells, size, mode="bilinear", align_corners=False)[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, H, W)."""
        return self.unclamped(x, (x.shape[-2], x.shape[-1])).clamp(0, 1)


def save_fcn_vgg16(net: FCNVGG16, path: str | Path, metadata: dict[str, object]) -> None:
    """Write float16 safetensors (29 MB); the size at which it sees photos travels with ``metadata`` in the header."""
    save_weights(net, path, {**metadata, "network": NAME, "long_side": net.long_side})


def load_fcn_vgg16(path: str | Path) -> FCNVGG16:
    """Load a network that :func:`save_fcn_vgg16` wrote.

    Raises:
        WeightsError: Missing, longer than 64 MiB, not safetensors, tensors of other names, shapes or types, or no word
            on the size at which it sees photos.
        MissingDependencyError: torchvision is missing or does not fit torch.
    """
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        net = FCNVGG16()
    net = load_weights(net, path, NAME, max_bytes=MAX_BYTES)
    long_side = read_metadata(path).get("long_side")
    if type(long_side) is not int or not SMALLEST <= long_side <= LARGEST:
        raise WeightsError(
            f"{path} does not hold {NAME} weights: its header must say long_side, {SMALLEST} to {LARGEST} pixels, "
            f"not {long_side!r}"
        )
    net.long_side = long_side
    return net


def load_start(net: FCNVGG16, path: str | Path) -> bool:
    """Fill a network with what a training is to begin with; it is changed.

    Args:
        net: The network.
        path: Weights of this network, or of torchvision's VGG-16 (``vgg16-397923af.pth``, trained on ImageNet) whole or
            ``features`` alone: ``.safetensors`` or torch's own format.

    Returns:
        Whether the file held the last layer too.

    Raises:
        WeightsError: The file cannot be read, holds more than data, or other tensors.
    """
    wanted = net.state_dict()
    features = {name for name in wanted if name.startswith("features.")}
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith("classifier.")}
    if state.keys() != wanted.keys() and state.keys() != features:
        odd = sorted(state.keys() ^ (wanted.keys() if state.keys() - features else features))
        raise WeightsError(f"{path} holds neither {NAME} nor VGG-16: missing or unknown tensors {', '.join(odd[:4])}")
    for name, value in state.items():
        if value.shape != wanted[name].shape or not value.is_floating_point() or not torch.isfinite(value).all():
            raise WeightsError(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)}, expected finite float "
                f"{tuple(wanted[name].shape)}"
            )
    net.load_state_dict(state, strict=False)
    return state.keys() == wanted.keys()
