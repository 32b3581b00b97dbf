"""gaze-lite, the saliency network that comes with the package: one backbone, one head per thing it was taught.

The head ``cropper`` follows the deployed cropper (FastGaze), the head ``human`` follows where people look. Both give a
log density on cells of 16 px, as FastGaze does, at about a fifth of its arithmetic. The weights are this project's own:
:mod:`art_crop.training.distil` makes them, the card beside the weight file says how and how well.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from art_crop.checks import check_choice
from art_crop.errors import WeightsError
from art_crop.models.files import read_bytes

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
MAX_BYTES = 16 * 2**20


def _conv(
    fan_in: int, fan_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, norm: bool
) -> nn.Sequential:
    convolution = nn.Conv2d(fan_in, fan_out, kernel, stride, dilation * (kernel // 2), dilation, bias=not norm)
    return nn.Sequential(convolution, *([nn.BatchNorm2d(fan_out)] if norm else []), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, channels: int, *, dilation: int = 1, norm: bool) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, dilation=dilation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)  # type: ignore[no-any-return]


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
        self.reduce = _conv(channels, hidden, 1, norm=norm)
        self.look = _Residual(hidden, dilation=2, norm=norm)
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
            _conv(3, a, 5, stride=2, norm=norm),
            _conv(a, b, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            _conv(b, c, norm=norm),
            _Residual(c, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            _conv(c, d, norm=norm),
            _Residual(d, norm=norm),
            nn.MaxPool2d(2, 2, ceil_mode=True),
            _conv(d, e, norm=norm),
            _Residual(e, norm=norm),
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
        folded = GazeLiteNet(norm=False)
    target = dict(folded.named_modules())
    for name, module in copy.deepcopy(net).eval().named_modules():  # folding is defined in evaluation mode only
        other = target.get(name)
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            fused = nn.utils.fuse_conv_bn_eval(convolution, module[1])
            other[0].load_state_dict(fused.state_dict())  # type: ignore[index]
        elif isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and name.endswith(".out")):
            other.load_state_dict(module.state_dict())  # type: ignore[union-attr]
        elif isinstance(module, _Head):
            other.prior.data.copy_(module.prior.data)  # type: ignore[union-attr]
    return folded.eval()


def save_gaze_lite(net: GazeLiteNet, path: str | Path, metadata: dict[str, object]) -> None:
    """Write float16 safetensors; ``metadata`` (command, seed, figures) travels in the header as JSON."""
    from safetensors.torch import save

    from art_crop.images import write_atomic

    tensors = {name: value.detach().half().contiguous() for name, value in net.state_dict().items()}
    write_atomic(
        path, save(tensors, metadata={"art_crop": json.dumps({"network": "gaze-lite", **metadata}, sort_keys=True)})
    )


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
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = EMBEDDED if path is None else Path(path)
    data = read_bytes(path, MAX_BYTES)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        net = GazeLiteNet()
    expected = net.state_dict()
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise WeightsError(f"{path} does not hold gaze-lite weights: missing or unknown tensors {', '.join(odd[:4])}")
    for name, value in tensors.items():
        if value.shape != expected[name].shape or not value.is_floating_point():
            raise WeightsError(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)}, expected float {tuple(expected[name].shape)}"
            )
        tensors[name] = value.float()
        if not torch.isfinite(tensors[name]).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
    net.load_state_dict(tensors, assign=True)
    return net.eval()
