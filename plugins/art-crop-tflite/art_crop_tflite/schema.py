"""The numbers of TensorFlow Lite's schema by name, and which options are read of which operator."""

from __future__ import annotations

from collections.abc import Mapping

import tflite

__all__ = ["NUMPY", "OPERATORS", "OPTIONS", "OPTION_TYPES", "TYPES"]

_CONV = ("Padding", "StrideW", "StrideH", "DilationWFactor", "DilationHFactor", "FusedActivationFunction")
_POOL = ("Padding", "StrideW", "StrideH", "FilterWidth", "FilterHeight", "FusedActivationFunction")
_FUSED = ("FusedActivationFunction",)
_SLICE = ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset")
OPTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", _FUSED),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", *_FUSED)),
    "CONV_2D": ("Conv2DOptions", _CONV),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_CONV, "DepthMultiplier")),
    "DIV": ("DivOptions", _FUSED),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (*_FUSED, "WeightsFormat", "KeepNumDims")),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "MUL": ("MulOptions", _FUSED),
    "PACK": ("PackOptions", ("Axis",)),
    "REDUCE_MAX": ("ReducerOptions", ("KeepDims",)),
    "RESHAPE": ("ReshapeOptions", ("NewShape",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "STRIDED_SLICE": ("StridedSliceOptions", _SLICE),
    "SUB": ("SubOptions", _FUSED),
    "SUM": ("ReducerOptions", ("KeepDims",)),
}


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


OPERATORS = _names(tflite.BuiltinOperator)
OPTION_TYPES = _names(tflite.BuiltinOptions)
TYPES = _names(tflite.TensorType)
NUMPY = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "FLOAT64": "<f8",
    "INT8": "i1",
    "UINT8": "u1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "BOOL": "?",
}
