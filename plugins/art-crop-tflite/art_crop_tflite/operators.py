"""TensorFlow Lite's operators in torch: a table of small functions.

Values have the file's shapes with one dimension more in front, the samples: a file made for one photo thus runs on any
number of them, each sample by itself, whatever its operators do with the file's own batch dimension. Images stay in
the file's layout (height, width, channels); to convolutions that is torch's channels_last, so nothing is transposed.
Semantics: TensorFlow Lite's reference kernels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from art_crop_tflite.layers import Convolution, ImageLayer, Interpolation, MatrixLayer, Pool, interpolation_matrix

__all__ = ["OPERATORS", "Node", "Run", "activation_called"]

Run = Callable[..., Tensor]
ACTIVATIONS: dict[int, type[nn.Module] | None] = {
    0: None,
    1: nn.ReLU,
    2: nn.Hardtanh,  # RELU_N1_TO_1
    3: nn.ReLU6,
    4: nn.Tanh,
}


class Node(Protocol):
    """What the table's functions may ask of an operator; what is not there raises a WeightsError that names it."""

    def option(self, name: str) -> Any:
        """One of its options."""
        ...

    def constant(self, position: int) -> Tensor:
        """An input that must be known beforehand; integers as they are, weights in float32."""
        ...

    def has(self, position: int) -> bool:
        """Whether that input is given."""
        ...

    def shape(self, position: int) -> tuple[int, ...]:
        """Shape of an input, as in the file."""
        ...

    def refuse(self, why: str) -> Exception:
        """The error for something that is not supported."""
        ...


class Entry(NamedTuple):
    """How an operator is built, and which of its inputs are data; the others are read when it is built."""

    build: Callable[[Node], Run]
    data: tuple[int, ...] | None = (0,)
    """None: all."""


def _integers(values: Tensor) -> list[int]:
    return [int(value) for value in values.flatten().tolist()]


def activation_called(number: int) -> nn.Module | None:
    """A fused activation by its number in the schema; None where there is none. KeyError: not supported."""
    kind = ACTIVATIONS[number]
    return None if kind is None else kind()


def _activation(node: Node) -> nn.Module | None:
    number = int(node.option("FusedActivationFunction"))
    if number not in ACTIVATIONS:
        raise node.refuse(f"its fused activation {number} is not supported")
    return activation_called(number)


def _aligned(values: Sequence[Tensor]) -> list[Tensor]:
    """Equal ranks by ones behind the samples' dimension, so that broadcasting goes as in the file."""
    rank = max(value.ndim for value in values)
    return [v.reshape(v.shape[0], *(1,) * (rank - v.ndim), *v.shape[1:]) if v.ndim < rank else v for v in values]


# What runs is a partial of a function of this module, never a closure, so that networks can be copied and pickled.


def _on_aligned(function: Run, activation: nn.Module | None, *values: Tensor) -> Tensor:
    result = function(*_aligned(values))
    return result if activation is None else cast(Tensor, activation(result))


def _elementwise(function: Run) -> Entry:
    return Entry(lambda node: partial(_on_aligned, function, _activation(node)), None)


def _plain(function: Run) -> Entry:
    """Elementwise without options."""
    return Entry(lambda node: partial(_on_aligned, function, None), None)


def _layer(*modules: nn.Module | None) -> ImageLayer:
    given = [module for module in modules if module is not None]
    names = ("operation", "activation")
    return ImageLayer(OrderedDict(zip(names, given, strict=False)))


def _window(node: Node) -> dict[str, Any]:
    padding = int(node.option("Padding"))
    if padding not in (0, 1):
        raise node.refuse(f"its padding scheme {padding} is not supported")
    stride = (int(node.option("StrideH")), int(node.option("StrideW")))
    if min(stride) < 1:
        raise node.refuse(f"its strides {stride} are not positive")
    return {"stride": stride, "same": padding == 0}


def _dilation(node: Node) -> tuple[int, int]:
    dilation = (int(node.option("DilationHFactor")), int(node.option("DilationWFactor")))
    if min(dilation) < 1:
        raise node.refuse(f"its dilations {dilation} are not positive")
    return dilation


def _bias(node: Node, count: int) -> Tensor | None:
    if not node.has(2):
        return None
    bias = node.constant(2)
    if tuple(bias.shape) != (count,):
        raise node.refuse(f"its bias has the shape {list(bias.shape)}, not [{count}]")
    return bias


def _conv_2d(node: Node) -> Run:
    weight = node.constant(1)  # (out, height, width, in), which is torch's order in channels_last
    channels = node.shape(0)[-1] if len(node.shape(0)) == 4 else 0
    if weight.ndim != 4 or 0 in weight.shape or channels % weight.shape[3] or channels < 1:
        raise node.refuse(f"weights {list(weight.shape)} do not fit an input {list(node.shape(0))}")
    groups = channels // weight.shape[3]
    bias = _bias(node, weight.shape[0])
    return _layer(
        Convolution(weight.permute(0, 3, 1, 2), bias, groups=groups, dilation=_dilation(node), **_window(node)),
        _activation(node),
    )


def _depthwise_conv_2d(node: Node) -> Run:
    weight = node.constant(1)  # (1, height, width, channels * multiplier), a channel's outputs next to each other
    channels = node.shape(0)[-1] if len(node.shape(0)) == 4 else 0
    if weight.ndim != 4 or weight.shape[0] != 1 or channels < 1 or weight.shape[3] % channels:
        raise node.refuse(f"weights {list(weight.shape)} do not fit an input {list(node.shape(0))}")
    bias = _bias(node, weight.shape[3])
    return _layer(
        Convolution(weight.permute(3, 0, 1, 2), bias, groups=channels, dilation=_dilation(node), **_window(node)),
        _activation(node),
    )


def _pool(kind: str) -> Entry:
    def build(node: Node) -> Run:
        size = (int(node.option("FilterHeight")), int(node.option("FilterWidth")))
        if min(size) < 1 or len(node.shape(0)) != 4:
            raise node.refuse(f"a window {size} on an input {list(node.shape(0))}")
        return _layer(Pool(kind, size, **_window(node)), _activation(node))

    return Entry(build)


def _fully_connected(node: Node) -> Run:
    if int(node.option("WeightsFormat")) != 0:
        raise node.refuse("its weights are shuffled, which is not supported")
    weight = node.constant(1)
    if weight.ndim != 2 or 0 in weight.shape:
        raise node.refuse(f"weights of shape {list(weight.shape)} are not a matrix")
    shape = node.shape(0)
    leading = shape[:-1] if node.option("KeepNumDims") else (-1,)
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight = nn.Parameter(weight)
    bias = _bias(node, weight.shape[0])
    layer.bias = None if bias is None else nn.Parameter(bias)  # type: ignore[assignment]
    return MatrixLayer(layer, _activation(node), (*leading, weight.shape[1]))


def _axes(node: Node) -> tuple[list[int], bool]:
    rank = len(node.shape(0))
    axes = _integers(node.constant(1))
    if any(not -rank <= axis < rank for axis in axes):
        raise node.refuse(f"its axes {axes} do not lie in {rank} dimensions")
    return sorted({axis % rank + 1 for axis in axes}), bool(node.option("KeepDims"))


def _reduced(function: Run, axes: list[int], keep: bool, x: Tensor) -> Tensor:
    return function(x, axes, keep) if axes else x


def _reduce(function: Run) -> Entry:
    return Entry(lambda node: partial(_reduced, function, *_axes(node)))


def _reshaped(target: list[int], x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], *target)


def _reshape(node: Node) -> Run:
    return partial(_reshaped, _integers(node.constant(1)) if node.has(1) else list(node.option("NewShape")))


def _broadcast_to(node: Node) -> Run:
    target = _integers(node.constant(1))
    if len(target) < len(node.shape(0)):
        raise node.refuse(f"a shape {list(node.shape(0))} cannot become {target}")

    return partial(_broadcast, target)


def _broadcast(target: list[int], x: Tensor) -> Tensor:
    x = x.reshape(x.shape[0], *(1,) * (len(target) + 1 - x.ndim), *x.shape[1:])
    return x.expand(x.shape[0], *target)


def _known(value: Tensor, *_: Tensor) -> Tensor:
    return value[None]


def _broadcast_args(node: Node) -> Run:
    shape = np.broadcast_shapes(tuple(_integers(node.constant(0))), tuple(_integers(node.constant(1))))
    return partial(_known, torch.tensor(shape, dtype=torch.int64))


def _strided_slice(node: Node) -> Run:
    if node.option("EllipsisMask") or node.option("NewAxisMask") or node.option("Offset"):
        raise node.refuse("an ellipsis, a new axis and an offset are not supported")
    begin, end, step = (_integers(node.constant(k)) for k in (1, 2, 3))
    masks = {name: int(node.option(f"{name}Mask")) for name in ("Begin", "End", "ShrinkAxis")}
    rank = len(node.shape(0))
    if not len(begin) == len(end) == len(step) <= rank or any(s < 1 for s in step):
        raise node.refuse(f"it goes from {begin} to {end} in steps of {step}; steps are 1 or more")
    index: list[Any] = [slice(None)]
    for k, (b, e, s) in enumerate(zip(begin, end, step, strict=True)):
        if masks["ShrinkAxis"] >> k & 1:
            index.append(b)
        else:
            index.append(slice(None if masks["Begin"] >> k & 1 else b, None if masks["End"] >> k & 1 else e, s))
    return partial(_indexed, tuple(index))


def _indexed(index: tuple[Any, ...], x: Tensor) -> Tensor:
    return x[index]


def _slice(node: Node) -> Run:
    begin, size = _integers(node.constant(1)), _integers(node.constant(2))
    shape = node.shape(0)
    if len(begin) != len(shape) or len(size) != len(shape):
        raise node.refuse(f"it takes {size} from {begin} of an input {list(shape)}")
    if any(not 0 <= b <= n or not -1 <= s <= n - b for b, s, n in zip(begin, size, shape, strict=True)):
        raise node.refuse(f"it takes {size} from {begin} of an input {list(shape)}")
    index = (slice(None), *(slice(b, None if s < 0 else b + s) for b, s in zip(begin, size, strict=True)))
    return partial(_indexed, index)


def _expanded(values: Sequence[Tensor]) -> list[Tensor]:
    """Constants repeated for every sample."""
    count = max(value.shape[0] for value in values)
    return [value.expand(count, *value.shape[1:]) for value in values]


def _concatenation(node: Node) -> Run:
    rank = len(node.shape(0))
    axis = int(node.option("Axis"))
    if not -rank <= axis < rank:
        raise node.refuse(f"its axis {axis} does not lie in {rank} dimensions")
    return partial(_joined, torch.cat, axis % rank + 1, _activation(node))


def _joined(function: Run, axis: int, activation: nn.Module | None, *values: Tensor) -> Tensor:
    result = function(_expanded(values), axis)
    return result if activation is None else cast(Tensor, activation(result))


def _pack(node: Node) -> Run:
    rank = len(node.shape(0)) + 1
    axis = int(node.option("Axis"))
    if not -rank <= axis < rank:
        raise node.refuse(f"its axis {axis} does not lie in {rank} dimensions")
    return partial(_joined, torch.stack, axis % rank + 1, None)


def _resize_bilinear(node: Node) -> Run:
    shape, target = node.shape(0), _integers(node.constant(1))
    if len(shape) != 4 or len(target) != 2 or min(target) < 1 or 0 in shape or max(target) > 1 << 15:
        raise node.refuse(f"an input {list(shape)} cannot become {target} pixels")
    corners, centres = bool(node.option("AlignCorners")), bool(node.option("HalfPixelCenters"))
    if corners and centres:
        raise node.refuse("align_corners and half_pixel_centers exclude each other")
    return Interpolation(
        interpolation_matrix(shape[1], target[0], corners, centres),
        interpolation_matrix(shape[2], target[1], corners, centres),
    )


def _batch_matmul(node: Node) -> Run:
    return partial(_matrix_product, bool(node.option("AdjX")), bool(node.option("AdjY")))


def _matrix_product(left: bool, right: bool, a: Tensor, b: Tensor) -> Tensor:
    a, b = _aligned((a, b))
    return (a.mT if left else a) @ (b.mT if right else b)


def _softmax(node: Node) -> Run:
    return partial(_sharpened, float(node.option("Beta")))


def _sharpened(beta: float, x: Tensor) -> Tensor:
    return (x * beta).softmax(-1)


def _leaky_relu(node: Node) -> Run:
    return partial(F.leaky_relu, negative_slope=float(node.option("Alpha")))


def _pad(node: Node) -> Run:
    pads = node.constant(1)
    if tuple(pads.shape) != (len(node.shape(0)), 2) or bool((pads < 0).any()) or bool((pads > 1 << 15).any()):
        raise node.refuse(f"it pads an input {list(node.shape(0))} by {pads.tolist()}")
    amounts = [int(n) for pair in reversed(pads.tolist()) for n in pair]
    return partial(_padded, amounts)


def _padded(amounts: list[int], x: Tensor) -> Tensor:
    return F.pad(x, amounts)


def _transpose(node: Node) -> Run:
    order = _integers(node.constant(1))
    if sorted(order) != list(range(len(node.shape(0)))):
        raise node.refuse(f"{order} is no order of {len(node.shape(0))} dimensions")
    return partial(_permuted, [0, *(axis + 1 for axis in order)])


def _permuted(order: list[int], x: Tensor) -> Tensor:
    return x.permute(order)


def _sum_of(*values: Tensor) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


OPERATORS: dict[str, Entry] = {
    "ADD": _elementwise(torch.add),
    "ADD_N": _plain(_sum_of),
    "AVERAGE_POOL_2D": _pool("average"),
    "BATCH_MATMUL": Entry(_batch_matmul, None),
    "BROADCAST_ARGS": Entry(_broadcast_args, ()),
    "BROADCAST_TO": Entry(_broadcast_to),
    "CONCATENATION": Entry(_concatenation, None),
    "CONV_2D": Entry(_conv_2d),
    "DEPTHWISE_CONV_2D": Entry(_depthwise_conv_2d),
    "DEQUANTIZE": Entry(lambda node: partial(_known, node.constant(0))),
    "DIV": _elementwise(torch.div),
    "FULLY_CONNECTED": Entry(_fully_connected),
    "HARD_SWISH": _plain(F.hardswish),
    "LEAKY_RELU": Entry(_leaky_relu),
    "LOGISTIC": _plain(torch.sigmoid),
    "MAX_POOL_2D": _pool("max"),
    "MAXIMUM": _plain(torch.maximum),
    "MEAN": _reduce(torch.mean),
    "MINIMUM": _plain(torch.minimum),
    "MUL": _elementwise(torch.mul),
    "NEG": _plain(torch.neg),
    "PACK": Entry(_pack, None),
    "PAD": Entry(_pad),
    "REDUCE_MAX": _reduce(torch.amax),
    "RELU": _plain(F.relu),
    "RELU6": _plain(F.relu6),
    "RESHAPE": Entry(_reshape),
    "RESIZE_BILINEAR": Entry(_resize_bilinear),
    "RSQRT": _plain(torch.rsqrt),
    "SHAPE": Entry(lambda node: partial(_known, torch.tensor(node.shape(0), dtype=torch.int64)), ()),
    "SLICE": Entry(_slice),
    "SOFTMAX": Entry(_softmax),
    "SQRT": _plain(torch.sqrt),
    "SQUARE": _plain(torch.square),
    "STRIDED_SLICE": Entry(_strided_slice),
    "SUB": _elementwise(torch.sub),
    "SUM": _reduce(torch.sum),
    "TANH": _plain(torch.tanh),
    "TRANSPOSE": Entry(_transpose),
}
