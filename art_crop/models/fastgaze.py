"""FastGaze, the saliency network of a deployed social-media cropper: strict weight reader and network.

Sources: Theis et al. 2018, "Faster gaze prediction with dense networks and Fisher pruning"; the open-sourced program
image-crop-analysis (Yee et al. 2021, Apache-2.0). The reference ships a Gaussian blur layer and never applies it; the
map is raw and behaves as a log density: exp(map) predicts where people look.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop.errors import WeightsError
from art_crop.models.files import read_bytes

__all__ = ["MEANS", "FastGaze", "load_fastgaze", "read_vxm"]

MAGIC = b"\x01\x74\x50\x4d"
MAX_BYTES = 16 * 2**20
# The Caffe means in BGR order, subtracted from R, G, B. It looks like a slip and it is what the reference does.
MEANS = (103.939, 116.779, 123.68)
CONVOLUTION, POOL, BLUR = 0, 2, 3
RELU, LEAKY = 1, 4


def read_vxm(path: str | Path) -> dict[str, bytes]:
    """Entries of a ``.vxm`` weight file.

    Raises:
        WeightsError: The file is missing, too large (16 MiB), not of this format, truncated, or has bytes left over.
    """
    data = read_bytes(path, MAX_BYTES)
    if data[:4] != MAGIC or len(data) < 8:
        raise WeightsError(f"{path} is not a FastGaze weight file: it does not start with {MAGIC.hex(' ')}")
    entries: dict[str, bytes] = {}
    offset = 8

    def take() -> bytes:
        nonlocal offset
        if offset + 4 > len(data):
            raise WeightsError(f"{path} is truncated at byte {offset}")
        (length,) = struct.unpack_from("<I", data, offset)
        if length > len(data) - offset - 4:
            raise WeightsError(f"{path}: a length of {length} at byte {offset} reaches past the end of the file")
        offset += 4 + length
        return data[offset - length : offset]

    (count,) = struct.unpack_from("<I", data, 4)
    for _ in range(count):
        key = take()
        if not key.endswith(b"\0") or not key[:-1].isascii() or not key[:-1].decode("ascii").isprintable():
            raise WeightsError(f"{path}: an entry's key is not a printable ASCII string ending in NUL")
        name = key[:-1].decode("ascii")
        if name in entries:
            raise WeightsError(f"{path}: the key {name!r} stands twice")
        entries[name] = take()
    if offset != len(data):
        raise WeightsError(f"{path}: {len(data) - offset} bytes after the last of {count} entries")
    return entries


class _Entries:
    """Typed access to the entries; every access checks that what is there is what it should be."""

    def __init__(self, entries: dict[str, bytes], path: str | Path) -> None:
        self.entries, self.path = entries, path

    def integer(self, key: str, allowed: Callable[[int], bool], what: str) -> int:
        value = self.entries.get(key)
        if value is None or len(value) != 4:
            raise WeightsError(f"{self.path}: {key!r} is missing or not a 4-byte integer")
        (number,) = struct.unpack("<I", value)
        if not allowed(number):
            raise WeightsError(f"{self.path}: {key!r} is {number}; {what}")
        return int(number)

    def floats(self, key: str, shape: tuple[int, ...]) -> Tensor:
        value = self.entries.get(key)
        if value is None:
            raise WeightsError(f"{self.path}: {key!r} is missing")
        if self.entries.get(f"{key}.dtype", b"float32").rstrip(b"\0") != b"float32":
            raise WeightsError(f"{self.path}: {key!r} is not float32")
        if len(value) != 4 * int(np.prod(shape)):
            raise WeightsError(
                f"{self.path}: {key!r} holds {len(value)} bytes, its shape {shape} needs {4 * int(np.prod(shape))}"
            )
        array = np.frombuffer(value, "<f4").reshape(shape)
        if not np.isfinite(array).all():
            raise WeightsError(f"{self.path}: {key!r} holds values that are not finite")
        return torch.from_numpy(array.astype(np.float32))


class FastGaze(nn.Module):
    """The network: (N, 3, h, w) mean-subtracted levels -> raw saliency map (N, ceil(h/16), ceil(w/16))."""

    stride = 16

    def __init__(self, layers: list[nn.Module], blur: Tensor | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.blur: Tensor | None
        self.register_buffer("blur", blur, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Raw map; with ``blur`` smoothed by the file's Gaussian, edges replicated (paper 001 assumes it is active)."""
        saliency: Tensor = self.layers(x)
        if self.blur is not None:
            half = self.blur.numel() // 2
            saliency = F.pad(saliency, (half, half, half, half), mode="replicate")
            saliency = F.conv2d(saliency, self.blur.view(1, 1, 1, -1))
            saliency = F.conv2d(saliency, self.blur.view(1, 1, -1, 1))
        return saliency.squeeze(1)


def _blur_kernel(size: int, std: float) -> Tensor:
    position = torch.arange(size, dtype=torch.float32) - size // 2
    kernel = torch.exp(-(position**2) / (2 * std**2))
    return kernel / kernel.sum()


def load_fastgaze(path: str | Path, *, blur: bool = False) -> FastGaze:
    """Build the network from its weight file.

    Args:
        path: ``fastgaze.vxm`` or a file of the same format.
        blur: Apply the file's Gaussian blur layer to the map. The deployed program does not.

    Raises:
        WeightsError: The file is malformed; the sentence names the entry.
    """
    entries = _Entries(read_vxm(path), path)
    layers: list[nn.Module] = []
    kernel: Tensor | None = None
    channels = 3
    count = entries.integer("layerCount", lambda n: 0 < n <= 256, "a network has 1 to 256 layers")
    for i in range(count):
        if kernel is not None:
            raise WeightsError(f"{path}: layer {i} follows the Gaussian blur, which must be the last")
        kind = entries.integer(
            f"{i}Type",
            lambda n: n in (CONVOLUTION, POOL, BLUR),
            "layer types are 0 (convolution), 2 (max pool) and 3 (Gaussian blur)",
        )
        if kind == CONVOLUTION:
            shape = [
                entries.integer(f"{i}w.shape[{k}]", lambda n: 0 < n <= 4096, "a size lies in 1..4096") for k in range(4)
            ]
            out, fan_in, height, width = shape
            if fan_in != channels or height != width or height % 2 == 0:
                raise WeightsError(f"{path}: layer {i} has shape {shape}, expected (out, {channels}, k, k) with k odd")
            # On "meta" it takes no memory, whatever size the file claims, and draws no random numbers.
            convolution = nn.Conv2d(channels, out, height, padding=height // 2, device="meta")
            convolution.weight = nn.Parameter(entries.floats(f"{i}w", (out, fan_in, height, width)))
            convolution.bias = nn.Parameter(entries.floats(f"{i}b", (out,)))
            activation = entries.integer(
                f"{i}Act", lambda n: n in (RELU, LEAKY), "activations are 1 (ReLU), 4 (leaky ReLU)"
            )
            slope = 0.0 if activation == RELU else float(entries.floats(f"{i}alpha", (1,)))
            layers += [convolution, nn.ReLU() if activation == RELU else nn.LeakyReLU(slope)]
            channels = out
        elif kind == POOL:
            size = entries.integer(f"{i}Pool", lambda n: n == 2, "the cropper pools by 2")
            layers.append(nn.MaxPool2d(size, size, ceil_mode=True))
        else:
            taps = entries.integer(
                f"{i}KernelSize", lambda n: n % 2 == 1 and n < 256, "a blur kernel is odd, at most 255"
            )
            std = entries.integer(f"{i}Std", lambda n: 0 < n < 256, "a blur's sigma lies in 1..255")
            kernel = _blur_kernel(taps, float(std))
    if channels != 1:
        raise WeightsError(f"{path}: the last layer gives {channels} channels, a saliency map has 1")
    return FastGaze(layers, kernel if blur else None).eval()
