"""What this project's own small networks are built of, and how they are read from files and written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from art_crop.errors import WeightsError
from art_crop.models.files import read_bytes

__all__ = ["Residual", "conv", "fold_batch_norm", "load_weights", "read_metadata", "save_weights"]

MAX_BYTES = 16 * 2**20
Network = TypeVar("Network", bound=nn.Module)


def conv(
    fan_in: int, fan_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, norm: bool
) -> nn.Sequential:
    """Make a convolution that keeps the size but for its stride, batch normalisation where asked for, and ReLU."""
    convolution = nn.Conv2d(fan_in, fan_out, kernel, stride, dilation * (kernel // 2), dilation, bias=not norm)
    return nn.Sequential(convolution, *([nn.BatchNorm2d(fan_out)] if norm else []), nn.ReLU())


class Residual(nn.Module):
    """Add a convolution's output to its input."""

    def __init__(self, channels: int, *, dilation: int = 1, norm: bool) -> None:
        super().__init__()
        self.conv = conv(channels, channels, dilation=dilation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same."""
        return x + self.conv(x)  # type: ignore[no-any-return]


def fold_batch_norm(net: nn.Module, folded: Network) -> Network:
    """Fill a network without batch normalisation so that it is the same function in evaluation mode.

    Args:
        net: A network of :func:`conv`, pairs of batch normalisation and a linear layer, and other layers.
        folded: The same without.
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)  # folding is defined in evaluation mode only
    state, modules = net.state_dict(), dict(net.named_modules())
    wanted = folded.state_dict()
    for name, module in modules.items():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            convolution = module[0]
            assert isinstance(convolution, nn.Conv2d)
            fused = nn.utils.fuse_conv_bn_eval(convolution, module[1])
            state |= {f"{name}.0.{key}": value for key, value in fused.state_dict().items()}
        elif isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[0], nn.BatchNorm1d):
            norm, linear = module[0], module[1]
            assert isinstance(linear, nn.Linear)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            state[f"{name}.1.weight"] = linear.weight * gain
            state[f"{name}.1.bias"] = linear.bias + linear.weight @ (norm.bias - norm.running_mean * gain)
    folded.load_state_dict({name: state[name] for name in wanted})
    return folded.eval()


def save_weights(net: nn.Module, path: str | Path, metadata: dict[str, object]) -> None:
    """Write float16 safetensors; ``metadata`` (command, seed, figures) travels in the header as JSON."""
    from safetensors.torch import save

    from art_crop.images import write_atomic

    tensors = {name: value.detach().half().contiguous() for name, value in net.state_dict().items()}
    write_atomic(path, save(tensors, metadata={"art_crop": json.dumps(metadata, sort_keys=True)}))


def load_weights(net: Network, path: str | Path, name: str, *, max_bytes: int = MAX_BYTES) -> Network:
    """Fill a network, which may be on the meta device, from a safetensors file.

    Args:
        net: The network.
        path: The file.
        name: What the weights are called in messages.
        max_bytes: Longest file that is read.

    Raises:
        WeightsError: Missing, longer than that, not safetensors, or tensors of other names, shapes or types.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read_bytes(path, max_bytes)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    expected = net.state_dict()
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise WeightsError(f"{path} does not hold {name} weights: missing or unknown tensors {', '.join(odd[:4])}")
    for key, value in tensors.items():
        if value.shape != expected[key].shape or not value.is_floating_point():
            raise WeightsError(
                f"{path}: {key} is {value.dtype} {tuple(value.shape)}, expected float {tuple(expected[key].shape)}"
            )
        tensors[key] = value.float()
        if not torch.isfinite(tensors[key]).all():
            raise WeightsError(f"{path}: {key} holds values that are not finite")
    net.load_state_dict(tensors, assign=True)
    return net.eval()


def read_metadata(path: str | Path) -> dict[str, object]:
    """Read what :func:`save_weights` wrote beside the tensors; empty where there is nothing of it.

    Raises:
        WeightsError: Missing, or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), "np") as file:
            about = json.loads((file.metadata() or {}).get("art_crop", "{}"))
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error
    return about if isinstance(about, dict) else {}
