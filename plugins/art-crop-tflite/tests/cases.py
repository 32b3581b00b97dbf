"""One small file for each operator, and each way of using it, that the network must compute as the runtime does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from writing import O, T, constant

NONE, RELU, RELU_N1_TO_1, RELU6, TANH = range(5)
SAME, VALID = range(2)


def wave(shape: Sequence[int], seed: float = 1.0) -> Any:
    """Values that anybody can compute again: 3 sin(seed (k + 1)^1.3)."""
    k = np.arange(int(np.prod(shape)), dtype=np.float64)
    return (3 * np.sin(seed * (k + 1) ** 1.3)).astype(np.float32).reshape(shape)


def weights(shape: Sequence[int], seed: float = 0.7) -> T:
    return T(shape, wave(shape, seed) / 3)


def _conv(shape, kernel, out, stride=1, padding=SAME, dilation=1, activation=NONE):
    options = {
        "Padding": padding,
        "StrideW": stride,
        "StrideH": stride,
        "DilationWFactor": dilation,
        "DilationHFactor": dilation,
        "FusedActivationFunction": activation,
    }
    tensors = [T(shape), weights(kernel), weights((kernel[0],), 0.3), T(out)]
    return tensors, [O("CONV_2D", [0, 1, 2], [3], "Conv2DOptions", options)]


def _depthwise(shape, kernel, out, multiplier, stride, padding, activation=NONE):
    options = {
        "Padding": padding,
        "StrideW": stride,
        "StrideH": stride,
        "DilationWFactor": 1,
        "DilationHFactor": 1,
        "DepthMultiplier": multiplier,
        "FusedActivationFunction": activation,
    }
    tensors = [T(shape), weights(kernel), weights((kernel[3],), 0.3), T(out)]
    return tensors, [O("DEPTHWISE_CONV_2D", [0, 1, 2], [3], "DepthwiseConv2DOptions", options)]


def _pool(name, shape, size, stride, padding, out):
    options = {
        "Padding": padding,
        "StrideW": stride,
        "StrideH": stride,
        "FilterWidth": size[1],
        "FilterHeight": size[0],
        "FusedActivationFunction": NONE,
    }
    return [T(shape), T(out)], [O(name, [0], [1], "Pool2DOptions", options)]


def _one(name, shape, out, kind="", **options):
    return [T(shape), T(out)], [O(name, [0], [1], kind, options)]


def _with(name, shape, second, out, kind="", **options):
    return [T(shape), second, T(out)], [O(name, [0, 1], [2], kind, options)]


def _resize(shape, size, **options):
    out = (shape[0], *size, shape[3])
    return _with("RESIZE_BILINEAR", shape, constant(size), out, "ResizeBilinearOptions", **options)


def _half() -> Any:
    half = T((4, 1, 1, 3), wave((4, 1, 1, 3), 0.7).astype(np.float16), "float16")
    options = {"Padding": VALID, "StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}
    return (
        [T((1, 2, 3, 3)), half, T((4, 1, 1, 3)), weights((4,)), T((1, 2, 3, 4))],
        [
            O("DEQUANTIZE", [1], [2], "DequantizeOptions", version=3),
            O("CONV_2D", [0, 2, 3], [4], "Conv2DOptions", {**options, "FusedActivationFunction": NONE}),
        ],
    )


def _strided() -> Any:
    tensors = [T((1, 5, 6, 2)), constant([0, 1, -1, 0]), constant([0, 5, 0, 2]), constant([1, 2, 1, 1]), T((1, 2, 2))]
    options = {"BeginMask": 1, "EndMask": 1, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 4}
    return tensors, [O("STRIDED_SLICE", [0, 1, 2, 3], [4], "StridedSliceOptions", options)]


CASES: dict[str, tuple[list[T], list[O]]] = {
    "conv, SAME, stride 2, even size: the odd pixel of padding comes after": _conv(
        (1, 6, 8, 2), (3, 3, 3, 2), (1, 3, 4, 3), stride=2, activation=RELU6
    ),
    "conv, SAME, stride 2, odd size": _conv((1, 5, 7, 2), (3, 3, 3, 2), (1, 3, 4, 3), stride=2),
    "conv, SAME, stride 3, 4x4": _conv((1, 7, 8, 1), (2, 4, 4, 1), (1, 3, 3, 2), stride=3, activation=RELU),
    "conv, VALID": _conv((1, 5, 6, 2), (2, 3, 3, 2), (1, 3, 4, 2), padding=VALID),
    "conv, SAME, dilation 2": _conv((1, 6, 7, 1), (2, 3, 3, 1), (1, 6, 7, 2), dilation=2),
    "conv, two groups": _conv((1, 4, 4, 4), (4, 3, 3, 2), (1, 4, 4, 4)),
    "conv, float16 weights": _half(),
    "depthwise, multiplier 2, SAME, stride 2": _depthwise(
        (1, 6, 5, 3), (1, 3, 3, 6), (1, 3, 3, 6), 2, 2, SAME, activation=RELU
    ),
    "depthwise, VALID": _depthwise((1, 5, 5, 2), (1, 3, 3, 2), (1, 3, 3, 2), 1, 1, VALID),
    "max pool, SAME, stride 2": _pool("MAX_POOL_2D", (1, 5, 6, 2), (3, 3), 2, SAME, (1, 3, 3, 2)),
    "max pool, SAME, stride 1": _pool("MAX_POOL_2D", (1, 4, 5, 1), (3, 3), 1, SAME, (1, 4, 5, 1)),
    "mean pool, SAME: padding is not counted": _pool("AVERAGE_POOL_2D", (1, 5, 6, 1), (3, 2), 2, SAME, (1, 3, 3, 1)),
    "mean pool, VALID": _pool("AVERAGE_POOL_2D", (1, 5, 6, 1), (2, 3), 2, VALID, (1, 2, 2, 1)),
    "resize, legacy, up": _resize((1, 2, 3, 2), (5, 7), AlignCorners=False, HalfPixelCenters=False),
    "resize, legacy, down": _resize((1, 5, 7, 1), (2, 3), AlignCorners=False, HalfPixelCenters=False),
    "resize, half-pixel centres, up": _resize((1, 2, 3, 2), (5, 7), AlignCorners=False, HalfPixelCenters=True),
    "resize, half-pixel centres, down": _resize((1, 5, 7, 1), (2, 3), AlignCorners=False, HalfPixelCenters=True),
    "resize, aligned corners": _resize((1, 3, 3, 2), (5, 4), AlignCorners=True, HalfPixelCenters=False),
    "fully connected": _with(
        "FULLY_CONNECTED",
        (1, 2, 6),
        weights((3, 12)),
        (1, 3),
        "FullyConnectedOptions",
        FusedActivationFunction=RELU,
        WeightsFormat=0,
        KeepNumDims=False,
    ),
    "fully connected, dimensions kept": _with(
        "FULLY_CONNECTED",
        (1, 2, 3, 4),
        weights((2, 4)),
        (1, 2, 3, 2),
        "FullyConnectedOptions",
        FusedActivationFunction=NONE,
        WeightsFormat=0,
        KeepNumDims=True,
    ),
    "mean, dimensions kept": _with(
        "MEAN", (1, 3, 4, 2), constant([1, -2]), (1, 1, 1, 2), "ReducerOptions", KeepDims=True
    ),
    "sum": _with("SUM", (1, 3, 4, 2), constant([1]), (1, 4, 2), "ReducerOptions", KeepDims=False),
    "maximum of all": _with("REDUCE_MAX", (1, 3, 4, 2), constant([0, 1, 2, 3]), (), "ReducerOptions", KeepDims=False),
    "strided slice with an axis taken out": _strided(),
    "slice": (
        [T((1, 4, 5)), constant([0, 1, 2]), constant([1, 2, -1]), T((1, 2, 3))],
        [O("SLICE", [0, 1, 2], [3])],
    ),
    "pad": _with("PAD", (1, 2, 3, 1), constant([[0, 0], [1, 0], [0, 2], [0, 0]]), (1, 3, 5, 1)),
    "transpose": _with("TRANSPOSE", (1, 2, 3, 4), constant([0, 3, 1, 2]), (1, 4, 2, 3)),
    "reshape by its options' input": _with("RESHAPE", (1, 4, 6), constant([-1, 3, 8]), (1, 3, 8)),
    "broadcast": (
        [T((1, 3, 1)), constant([1, 3, 4]), T((1, 3, 4))],
        [O("BROADCAST_TO", [0, 1], [2], version=2)],
    ),
    "concatenation with a constant": _with(
        "CONCATENATION",
        (1, 2, 3),
        weights((1, 2, 2)),
        (1, 2, 5),
        "ConcatenationOptions",
        Axis=-1,
        FusedActivationFunction=NONE,
    ),
    "pack": _with("PACK", (1, 3), weights((1, 3)), (1, 2, 3), "PackOptions", Axis=1, ValuesCount=2),
    "batch matmul, second transposed": _with(
        "BATCH_MATMUL", (1, 2, 3), weights((1, 4, 3)), (1, 2, 4), "BatchMatMulOptions", AdjX=False, AdjY=True
    ),
    "softmax": _one("SOFTMAX", (1, 7), (1, 7), "SoftmaxOptions", Beta=0.5),
    "hard swish": _one("HARD_SWISH", (1, 12), (1, 12), "HardSwishOptions"),
    "logistic": _one("LOGISTIC", (1, 12), (1, 12)),
    "tanh": _one("TANH", (1, 12), (1, 12)),
    "relu": _one("RELU", (1, 12), (1, 12)),
    "relu6": _one("RELU6", (1, 12), (1, 12)),
    "leaky relu": _one("LEAKY_RELU", (1, 12), (1, 12), "LeakyReluOptions", Alpha=0.2),
    "neg": _one("NEG", (1, 12), (1, 12), "NegOptions"),
    "square": _one("SQUARE", (1, 12), (1, 12), "SquareOptions"),
    "square root": (
        [T((1, 12)), T((1, 12)), T((1, 12))],
        [O("SQUARE", [0], [1], "SquareOptions"), O("SQRT", [1], [2])],
    ),
    "reciprocal square root": (
        [T((1, 12)), T((1, 12)), T((1, 12))],
        [O("SQUARE", [0], [1], "SquareOptions"), O("RSQRT", [1], [2])],
    ),
    "add, broadcast, relu": _with(
        "ADD", (1, 3, 4), weights((4,)), (1, 3, 4), "AddOptions", FusedActivationFunction=RELU
    ),
    "sub, clipped to -1..1": _with(
        "SUB", (1, 3, 4), weights((3, 1)), (1, 3, 4), "SubOptions", FusedActivationFunction=RELU_N1_TO_1
    ),
    "mul": _with("MUL", (1, 3, 4), weights((1, 3, 4)), (1, 3, 4), "MulOptions", FusedActivationFunction=NONE),
    "div": _with("DIV", (1, 3, 4), weights(()), (1, 3, 4), "DivOptions", FusedActivationFunction=NONE),
    "maximum": _with("MAXIMUM", (1, 3, 4), weights((1, 3, 4)), (1, 3, 4), "MaximumMinimumOptions"),
    "minimum": _with("MINIMUM", (1, 3, 4), weights((1, 3, 4)), (1, 3, 4), "MaximumMinimumOptions"),
    "add_n": ([T((1, 6)), weights((1, 6)), T((1, 6))], [O("ADD_N", [0, 1, 0], [2], "AddNOptions")]),
}
