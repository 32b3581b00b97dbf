"""A TensorFlow Lite graph as a torch module through which gradients flow.

What does not depend on the photo is computed once, when the module is made: dequantised weights, shapes, broadcast
arguments. Every step is then tried on torch's "meta" device, which has shapes but no memory, and must give the shapes
that the file states.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from art_crop.errors import WeightsError
from art_crop_tflite.fusing import fuse_group_norms
from art_crop_tflite.operators import OPERATORS, Run
from art_crop_tflite.reading import Graph, Operator, read_graph
from art_crop_tflite.reading import Tensor as Record

__all__ = ["Network", "Step", "load_tflite"]

_FLOATS = ("FLOAT32", "FLOAT16", "FLOAT64")


class Step(NamedTuple):
    """One operator, ready to run."""

    operator: Operator
    run: Run
    inputs: tuple[int, ...]
    output: int


class _Node:
    """An operator while it is built; see :class:`~art_crop_tflite.operators.Node`."""

    def __init__(self, graph: Graph, operator: Operator, constants: dict[int, Tensor]) -> None:
        self.graph, self.operator, self.constants = graph, operator, constants

    def refuse(self, why: str) -> WeightsError:
        makes = ", ".join(str(self.graph.tensors[index]) for index in self.operator.outputs)
        return WeightsError(f"{self.graph.path}: {self.operator}, which makes {makes}: {why}")

    def option(self, name: str) -> Any:
        if name not in self.operator.options:
            raise self.refuse(f"its option {name} is missing")
        return self.operator.options[name]

    def has(self, position: int) -> bool:
        return position < len(self.operator.inputs) and self.operator.inputs[position] >= 0

    def record(self, position: int) -> Record:
        if not self.has(position):
            raise self.refuse(f"its input {position} is missing")
        return self.graph.tensors[self.operator.inputs[position]]

    def shape(self, position: int) -> tuple[int, ...]:
        return self.record(position).shape

    def constant(self, position: int) -> Tensor:
        record = self.record(position)
        if record.index not in self.constants:
            raise self.refuse(f"{record} would have to be a constant")
        value = self.constants[record.index]
        if record.scale:
            value = _dequantized(value, record)
        return value.float() if value.is_floating_point() else value


def _dequantized(value: Tensor, record: Record) -> Tensor:
    """(stored - zero point) x scale, per tensor or per channel."""
    shape = [1] * value.ndim
    if len(record.scale) > 1:
        shape[record.quantized_dimension] = -1
    scale = torch.tensor(record.scale, dtype=torch.float32).reshape(shape if value.ndim else ())
    zero_point = torch.tensor(record.zero_point, dtype=torch.float32).reshape(shape if value.ndim else ())
    return (value.float() - zero_point) * scale


class Network(nn.Module):
    """A graph as a module: (N, *shape of a sample) -> the chosen tensors, each (N, *shape).

    The file's own batch dimension, where it is 1, is left out of inputs and outputs; samples never mix.

    Args:
        graph: What :func:`~art_crop_tflite.reading.read_graph` gave.
        outputs: Numbers of the tensors to give out; default: the file's outputs.
        fuse: Join the operators of a group normalisation into one, which is faster and agrees within float32 rounding.

    Raises:
        WeightsError: Operators that are not supported (all are named), or a graph that contradicts itself.
    """

    def __init__(self, graph: Graph, outputs: Sequence[int] | None = None, *, fuse: bool = True) -> None:
        super().__init__()
        self.path = graph.path
        self.outputs = tuple(graph.outputs if outputs is None else outputs)
        if not self.outputs or not all(0 <= index < len(graph.tensors) for index in self.outputs):
            raise WeightsError(f"{graph.path}: its tensors are 0 to {len(graph.tensors) - 1}, not {self.outputs}")
        operators = _needed(graph, self.outputs)
        _check_supported(graph, operators)
        self.input = _the_input(graph, operators)
        self.input_shape = graph.tensors[self.input].shape
        steps, constants = _build(graph, operators)
        made = {step.output for step in steps}
        lost = [str(graph.tensors[index]) for index in self.outputs if index not in made]
        if lost:
            raise WeightsError(f"{graph.path}: {', '.join(lost)} is not computed from the input")
        if fuse:
            steps = fuse_group_norms(graph, steps, constants, set(self.outputs))
        self.steps = steps
        self.layers = nn.ModuleDict(
            {f"{s.operator.index}_{s.operator.name.lower()}": s.run for s in steps if isinstance(s.run, nn.Module)}
        )
        used = {index for step in steps for index in step.inputs}
        self.constants = {index: f"constant_{index}" for index in constants if index in used}
        for index, name in self.constants.items():
            self.register_buffer(name, constants[index][None].clone())
        self._last = {index: k for k, step in enumerate(steps) for index in step.inputs}
        self._squeezed = {i: graph.tensors[i].shape[:1] == (1,) for i in (self.input, *self.outputs)}
        self._try(graph)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The chosen tensors for a batch, in the order of ``outputs``."""
        values: dict[int, Tensor] = {index: getattr(self, name) for index, name in self.constants.items()}
        values[self.input] = x[:, None] if self._squeezed[self.input] else x
        for k, step in enumerate(self.steps):
            values[step.output] = step.run(*(values[index] for index in step.inputs))
            for index in step.inputs:  # what nobody reads again is let go, so memory stays flat without gradients
                if self._last[index] == k and index not in self.outputs:
                    values.pop(index, None)
        return tuple(values[i][:, 0] if self._squeezed[i] else values[i] for i in self.outputs)

    def _try(self, graph: Graph) -> None:
        """One pass on the "meta" device, shapes against the file's."""
        module: dict[int, Run] = {id(layer): copy.deepcopy(layer).to("meta") for layer in self.layers.values()}
        values = {index: getattr(self, name).to("meta") for index, name in self.constants.items()}
        values[self.input] = torch.empty((2, *self.input_shape), device="meta")
        for step in self.steps:
            record = graph.tensors[step.output]
            run = module.get(id(step.run), step.run)
            try:
                result = run(*(values[index] for index in step.inputs))
            except (RuntimeError, IndexError, ValueError, TypeError) as error:
                raise WeightsError(f"{self.path}: {step.operator} cannot make {record}: {error}") from error
            if tuple(result.shape[1:]) != record.shape:
                raise WeightsError(f"{self.path}: {step.operator} makes {list(result.shape[1:])}, stated is {record}")
            values[step.output] = result


def load_tflite(path: str | Path, outputs: Sequence[int] | None = None) -> Network:
    """The graph of a ``.tflite`` file as a differentiable module; see :class:`Network`.

    Args:
        path: The file.
        outputs: Numbers of the tensors to give out; default: the file's outputs.

    Raises:
        WeightsError: As :func:`~art_crop_tflite.reading.read_graph` and :class:`Network`.
    """
    return Network(read_graph(path), outputs).eval()


def _needed(graph: Graph, outputs: Iterable[int]) -> list[Operator]:
    """The operators on which the outputs depend, in order."""
    wanted, chosen = set(outputs), []
    for operator in reversed(graph.operators):
        if wanted.intersection(operator.outputs):
            chosen.append(operator)
            wanted.update(operator.inputs)
    return chosen[::-1]


def _check_supported(graph: Graph, operators: Iterable[Operator]) -> None:
    unknown: dict[tuple[str, int], Operator] = {}
    for operator in operators:
        if operator.name not in OPERATORS or len(operator.outputs) != 1:
            unknown.setdefault((operator.name, operator.version), operator)
    if unknown:
        named = "; ".join(
            f"{name} version {version} (operator {operator.index}, which makes "
            f"{', '.join(str(graph.tensors[i]) for i in operator.outputs) or 'nothing'})"
            for (name, version), operator in unknown.items()
        )
        raise WeightsError(f"{graph.path} uses operators that are not supported: {named}")
    for operator in operators:
        makes = graph.tensors[operator.outputs[0]]
        quantized = makes.type not in (*_FLOATS, "INT32", "INT64") and makes.data is None
        if quantized:
            raise WeightsError(f"{graph.path}: {operator} makes {makes}; computing in that type is not supported")


def _the_input(graph: Graph, operators: Iterable[Operator]) -> int:
    used = {index for operator in operators for index in operator.inputs}
    inputs = [index for index in graph.inputs if index in used]
    if len(inputs) != 1 or graph.tensors[inputs[0]].type != "FLOAT32":
        listed = ", ".join(str(graph.tensors[index]) for index in inputs) or "none"
        raise WeightsError(f"{graph.path}: one FLOAT32 input is needed, what is used is {listed}")
    return inputs[0]


def _stored(record: Record) -> Tensor | None:
    if record.data is not None:
        value = torch.from_numpy(record.data.copy())
        return value.float() if record.type in _FLOATS else value.long()
    if 0 in record.shape:
        return torch.zeros(record.shape, dtype=torch.float32 if record.type in _FLOATS else torch.int64)
    return None


def _build(graph: Graph, operators: Iterable[Operator]) -> tuple[list[Step], dict[int, Tensor]]:
    """The steps that depend on the input, and the value of everything that does not."""
    constants: dict[int, Tensor] = {}
    steps: list[Step] = []
    for operator in operators:
        for index in operator.inputs:
            if index >= 0 and index not in constants and (value := _stored(graph.tensors[index])) is not None:
                constants[index] = value
        entry, node = OPERATORS[operator.name], _Node(graph, operator, constants)
        positions = range(len(operator.inputs)) if entry.data is None else entry.data
        inputs = tuple(node.record(position).index for position in positions)
        try:
            run = entry.build(node)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            raise node.refuse(str(error)) from error
        step = Step(operator, run, inputs, operator.outputs[0])
        if all(index in constants for index in inputs):
            constants[step.output] = _folded(graph, step, [node.constant(position) for position in positions])
        else:
            steps.append(step)
    return steps, constants


def _folded(graph: Graph, step: Step, values: list[Tensor]) -> Tensor:
    record = graph.tensors[step.output]
    try:
        with torch.no_grad():
            result = step.run(*(value[None] for value in values))[0]
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise WeightsError(f"{graph.path}: {step.operator} cannot make {record}: {error}") from error
    if tuple(result.shape) != record.shape:
        raise WeightsError(f"{graph.path}: {step.operator} makes {list(result.shape)}, stated is {record}")
    return result
