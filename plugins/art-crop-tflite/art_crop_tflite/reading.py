"""TensorFlow Lite files, strictly read: a flatbuffer of tensors and operators becomes plain, checked records.

Nothing in a file is believed: every count has a limit, every buffer must have the length that its tensor's shape and
type need, every operator may use only what stands before it. Schema: TensorFlow Lite, version 3 (file identifier TFL3).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from art_crop.errors import WeightsError
from art_crop.models.files import read_bytes
from art_crop_tflite.schema import NUMPY, OPERATORS, OPTION_TYPES, OPTIONS, TYPES

__all__ = ["Graph", "Operator", "Tensor", "read_graph"]

MAX_BYTES = 512 * 2**20
MAX_COUNT = 1 << 16
MAX_RANK = 8
MAX_ELEMENTS = 1 << 27
SCHEMA = 3

Array = np.ndarray[Any, Any]
Option = int | float | bool | tuple[int, ...]

# What flatbuffers, struct and numpy raise on bytes that are no such table.
_DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError, KeyError, MemoryError)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file."""

    index: int
    name: str
    type: str
    """The schema's name of its element type, such as ``"FLOAT32"``."""
    shape: tuple[int, ...]
    data: Array | None = None
    """Content, for constants."""
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    quantized_dimension: int = 0

    def __str__(self) -> str:
        """How messages name it."""
        return f"tensor {self.index} ({self.name or 'no name'}, {self.type} {list(self.shape)})"


@dataclass(frozen=True)
class Operator:
    """One operator of a file; -1 among the inputs stands for an optional one that is left out."""

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Option] = field(default_factory=dict)

    def __str__(self) -> str:
        """How messages name it."""
        return f"operator {self.index} ({self.name} version {self.version})"


@dataclass(frozen=True)
class Graph:
    """A file's first subgraph, in the order of execution."""

    path: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(path: str | Path) -> Graph:
    """The graph of a ``.tflite`` file.

    Raises:
        WeightsError: The file is missing, longer than 512 MiB, no TensorFlow Lite file, damaged, or inconsistent; the
            sentence names the file and what is wrong.
    """
    data = read_bytes(path, MAX_BYTES)
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise WeightsError(f"{path} is not a TensorFlow Lite file: its bytes 4 to 7 are not TFL3")
    try:
        graph = _Reader(data, str(path)).graph()
    except _DAMAGE as error:
        raise WeightsError(
            f"{path} is damaged: its tables do not hold together ({type(error).__name__}: {error})"
        ) from error
    _check_order(graph)
    return graph


class _Reader:
    def __init__(self, data: bytes, path: str) -> None:
        self.path = path
        self.model = tflite.Model.GetRootAs(data, 0)

    def graph(self) -> Graph:
        model = self.model
        if model.Version() != SCHEMA:
            self.fail(f"its schema version is {model.Version()}, {SCHEMA} is read here")
        if self.count(model.SubgraphsLength(), "subgraphs") < 1:
            self.fail("it has no subgraph")
        graph = model.Subgraphs(0)
        buffers = self.count(model.BuffersLength(), "buffers")
        codes = [self.code(i) for i in range(self.count(model.OperatorCodesLength(), "operator codes"))]
        tensors = tuple(self.tensor(graph, i, buffers) for i in range(self.count(graph.TensorsLength(), "tensors")))
        operators = tuple(
            self.operator(graph, i, codes) for i in range(self.count(graph.OperatorsLength(), "operators"))
        )
        self.count(graph.InputsLength(), "inputs")
        self.count(graph.OutputsLength(), "outputs")
        return Graph(self.path, tensors, operators, _integers(graph.InputsAsNumpy()), _integers(graph.OutputsAsNumpy()))

    def fail(self, what: str) -> None:
        raise WeightsError(f"{self.path}: {what}")

    def count(self, number: int, what: str) -> int:
        if not 0 <= number <= MAX_COUNT:
            self.fail(f"it claims {number} {what}, at most {MAX_COUNT} are read")
        return number

    def code(self, index: int) -> tuple[str, int]:
        code = self.model.OperatorCodes(index)
        number = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
        name = OPERATORS.get(number, f"operator code {number}")
        if name == "CUSTOM":
            name = f"CUSTOM {_text(code.CustomCode())}"
        return name, int(code.Version())

    def tensor(self, graph: Any, index: int, buffers: int) -> Tensor:
        raw = graph.Tensors(index)
        what = f"tensor {index}"
        if raw.ShapeLength() > MAX_RANK:
            self.fail(f"{what} has {raw.ShapeLength()} dimensions, at most {MAX_RANK} are read")
        shape = _integers(raw.ShapeAsNumpy())
        if any(side < 0 for side in shape) or math.prod(shape) > MAX_ELEMENTS:
            self.fail(f"{what} has the shape {list(shape)}: sides are >= 0, at most {MAX_ELEMENTS} elements are read")
        kind = TYPES.get(int(raw.Type()), f"type {raw.Type()}")
        if raw.Sparsity() is not None:
            self.fail(f"{what} is stored sparsely, which is not read here")
        if not 0 <= raw.Buffer() < buffers:
            self.fail(f"{what} lies in buffer {raw.Buffer()}, there are {buffers}")
        scale, zero_point, dimension = self.quantization(raw, what, shape)
        content = self.content(raw.Buffer(), kind, shape, what)
        return Tensor(index, _text(raw.Name()), kind, shape, content, scale, zero_point, dimension)

    def quantization(
        self, raw: Any, what: str, shape: tuple[int, ...]
    ) -> tuple[tuple[float, ...], tuple[int, ...], int]:
        record = raw.Quantization()
        if record is None or record.ScaleLength() == 0:
            return (), (), 0
        self.count(record.ScaleLength(), f"scales of {what}")
        self.count(record.ZeroPointLength(), f"zero points of {what}")
        scale = tuple(float(value) for value in record.ScaleAsNumpy())
        zero_point = _integers(record.ZeroPointAsNumpy()) or (0,) * len(scale)
        dimension = int(record.QuantizedDimension())
        per_channel = 0 <= dimension < len(shape) and len(scale) == shape[dimension]
        if not (len(scale) == 1 or per_channel) or len(zero_point) != len(scale):
            self.fail(f"{what} has {len(scale)} scales and {len(zero_point)} zero points for the shape {list(shape)}")
        if not all(math.isfinite(value) and value >= 0 for value in scale):
            self.fail(f"{what} has a scale that is negative or not finite")
        return scale, zero_point, dimension

    def content(self, buffer: int, kind: str, shape: tuple[int, ...], what: str) -> Array | None:
        raw = self.model.Buffers(buffer)
        if raw.Offset() > 1 or raw.Size() > 1:
            self.fail(f"{what} lies outside the flatbuffer, which is not read here")
        if raw.DataLength() == 0 or kind not in NUMPY:
            return None
        stored = np.asarray(raw.DataAsNumpy(), np.uint8)
        dtype = np.dtype(NUMPY[kind])
        if stored.size != dtype.itemsize * math.prod(shape):
            self.fail(
                f"{what} holds {stored.size} bytes, {kind} {list(shape)} needs {dtype.itemsize * math.prod(shape)}"
            )
        array: Array = np.frombuffer(stored.tobytes(), dtype).reshape(shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            self.fail(f"{what} holds values that are not finite")
        return array

    def operator(self, graph: Any, index: int, codes: list[tuple[str, int]]) -> Operator:
        raw = graph.Operators(index)
        if not 0 <= raw.OpcodeIndex() < len(codes):
            self.fail(f"operator {index} has the code number {raw.OpcodeIndex()}, there are {len(codes)}")
        name, version = codes[raw.OpcodeIndex()]
        self.count(raw.InputsLength(), f"inputs of operator {index}")
        self.count(raw.OutputsLength(), f"outputs of operator {index}")
        return Operator(
            index,
            name,
            version,
            _integers(raw.InputsAsNumpy()),
            _integers(raw.OutputsAsNumpy()),
            self.options(raw, name, index),
        )

    def options(self, raw: Any, name: str, index: int) -> dict[str, Option]:
        table = raw.BuiltinOptions()
        if name not in OPTIONS or table is None or raw.BuiltinOptionsType() == 0:
            return {}
        kind, wanted = OPTIONS[name]
        found = OPTION_TYPES.get(int(raw.BuiltinOptionsType()), "unknown options")
        if found != kind:
            self.fail(f"operator {index} ({name}) comes with {found}, not {kind}")
        options = getattr(tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        if kind == "ReshapeOptions":
            self.count(options.NewShapeLength(), f"sides in operator {index}")
            return {"NewShape": _integers(options.NewShapeAsNumpy())}
        return {key: getattr(options, key)() for key in wanted}


def _integers(values: Any) -> tuple[int, ...]:
    """The schema package's vectors: an array, or the number 0 where there is none."""
    return tuple(int(value) for value in values) if isinstance(values, np.ndarray) else ()


def _text(value: bytes | None) -> str:
    """A name from the file, fit for a message."""
    text = (value or b"")[:200].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "?" for character in text)


def _check_order(graph: Graph) -> None:
    """Each operator uses constants, inputs and what operators before it made; each tensor is made once."""
    known = {tensor.index for tensor in graph.tensors if tensor.data is not None or 0 in tensor.shape}
    for name, group in (("input", graph.inputs), ("output", graph.outputs)):
        for index in group:
            if not 0 <= index < len(graph.tensors):
                raise WeightsError(f"{graph.path}: {name} {index} is not one of its {len(graph.tensors)} tensors")
    known.update(graph.inputs)
    for operator in graph.operators:
        for index in operator.inputs:
            if index == -1:
                continue
            if not 0 <= index < len(graph.tensors):
                raise WeightsError(f"{graph.path}: {operator} reads tensor {index}, there are {len(graph.tensors)}")
            if index not in known:
                raise WeightsError(
                    f"{graph.path}: {operator} reads {graph.tensors[index]}, which nothing before it makes"
                )
        for index in operator.outputs:
            if not 0 <= index < len(graph.tensors):
                raise WeightsError(f"{graph.path}: {operator} makes tensor {index}, there are {len(graph.tensors)}")
            if index in known:
                raise WeightsError(f"{graph.path}: {operator} makes {graph.tensors[index]}, which is there already")
            known.add(index)
