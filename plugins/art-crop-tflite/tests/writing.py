"""Writes small TensorFlow Lite files for the tests, with the schema package's own builders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


@dataclass
class T:
    """A tensor: a constant where ``data`` is given."""

    shape: Sequence[int]
    data: Any = None
    type: str = "float32"
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    dimension: int = 0
    name: str = ""


@dataclass
class O:  # noqa: E742 (operator; short, for the tables of the tests)
    """An operator."""

    name: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


def constant(values: Any, type: str = "int32") -> T:
    array = np.asarray(values, type)
    return T(array.shape, array, type)


def _offsets(builder: Any, items: Sequence[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())


def _numbers(builder: Any, values: Sequence[Any], dtype: str) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, dtype)))


def tflite_bytes(
    tensors: Sequence[T], operators: Sequence[O], inputs: Sequence[int] = (0,), outputs: Sequence[int] = (-1,)
) -> bytes:
    """A model of one subgraph; an output of -1 means the last tensor."""
    b = flatbuffers.Builder(1024)
    buffers, places = [None], []
    for tensor in tensors:
        places.append(0 if tensor.data is None else len(buffers))
        if tensor.data is not None:
            buffers.append(np.frombuffer(np.asarray(tensor.data, tensor.type).tobytes(), np.uint8))
    made = []
    for data in buffers:
        vector = None if data is None else b.CreateNumpyVector(data)
        tflite.BufferStart(b)
        if vector is not None:
            tflite.BufferAddData(b, vector)
        made.append(tflite.BufferEnd(b))
    buffer_vector = _offsets(b, made)

    records = []
    for place, tensor in zip(places, tensors, strict=True):
        shape, name = _numbers(b, tensor.shape, "int32"), b.CreateString(tensor.name)
        quantization = None
        if len(tensor.scale):
            scale, zero = _numbers(b, tensor.scale, "float32"), _numbers(b, tensor.zero_point, "int64")
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scale)
            tflite.QuantizationParametersAddZeroPoint(b, zero)
            tflite.QuantizationParametersAddQuantizedDimension(b, tensor.dimension)
            quantization = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, TYPES[tensor.type])
        tflite.TensorAddBuffer(b, place)
        tflite.TensorAddName(b, name)
        if quantization is not None:
            tflite.TensorAddQuantization(b, quantization)
        records.append(tflite.TensorEnd(b))
    tensor_vector = _offsets(b, records)

    codes, steps = [], []
    for k, operator in enumerate(operators):
        custom = None
        number = getattr(tflite.BuiltinOperator, operator.name, None)
        if number is None:
            number, custom = tflite.BuiltinOperator.CUSTOM, b.CreateString(operator.name)
        tflite.OperatorCodeStart(b)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(b, number)
        tflite.OperatorCodeAddVersion(b, operator.version)
        if custom is not None:
            tflite.OperatorCodeAddCustomCode(b, custom)
        codes.append(tflite.OperatorCodeEnd(b))
        options = None
        if operator.kind:
            getattr(tflite, f"{operator.kind}Start")(b)
            for key, value in operator.options.items():
                getattr(tflite, f"{operator.kind}Add{key}")(b, value)
            options = getattr(tflite, f"{operator.kind}End")(b)
        goes_in, comes_out = _numbers(b, operator.inputs, "int32"), _numbers(b, operator.outputs, "int32")
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, k)
        tflite.OperatorAddInputs(b, goes_in)
        tflite.OperatorAddOutputs(b, comes_out)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, operator.kind))
            tflite.OperatorAddBuiltinOptions(b, options)
        steps.append(tflite.OperatorEnd(b))
    code_vector, step_vector = _offsets(b, codes), _offsets(b, steps)
    first = _numbers(b, inputs, "int32")
    last = _numbers(b, [k if k >= 0 else len(tensors) + k for k in outputs], "int32")

    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensor_vector)
    tflite.SubGraphAddInputs(b, first)
    tflite.SubGraphAddOutputs(b, last)
    tflite.SubGraphAddOperators(b, step_vector)
    subgraphs = _offsets(b, [tflite.SubGraphEnd(b)])
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddOperatorCodes(b, code_vector)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffer_vector)
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def write(path: Path, *parts: Any, **named: Any) -> Path:
    path.write_bytes(tflite_bytes(*parts, **named))
    return path
