"""Group normalisation, which converters spell out in some fifteen operators, joined into one again.

The pattern, with r the input after its channels were split into groups, m and v r's mean and variance over positions
and a group's channels: ``r * (rsqrt(v + e) * gamma) + ((-m * rsqrt(v + e)) * gamma + beta)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from art_crop_tflite.reading import Graph

if TYPE_CHECKING:
    from art_crop_tflite.network import Step

__all__ = ["fuse_group_norms"]

Activation = Callable[["Step"], "nn.Module | None"]


class GroupNormLayer(nn.Module):
    """Values (N, 1, h, w, C) -> normalised (N, 1, h, w, G, C / G), the split form that the pattern ends in."""

    def __init__(self, operation: nn.GroupNorm, activation: nn.Module | None) -> None:
        super().__init__()
        self.operation, self.activation = operation, activation

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, h, w, C) -> (N, 1, h, w, G, C / G)."""
        result = cast(Tensor, self.operation(x.flatten(0, 1).permute(0, 3, 1, 2)))
        if self.activation is not None:
            result = self.activation(result)
        return result.permute(0, 2, 3, 1).reshape(*x.shape[:4], self.operation.num_groups, -1)


def fuse_group_norms(graph: Graph, steps: list[Step], constants: Mapping[int, Tensor], kept: set[int]) -> list[Step]:
    """The steps with each group normalisation as one; whatever does not fit stays as it is.

    Args:
        graph: What the steps were made from.
        steps: In the order of execution.
        constants: Values that do not depend on the input.
        kept: Tensors that must be there at the end.
    """
    matcher = _Matcher(graph, {step.output: step for step in steps}, constants)
    fused = [matcher.fused(step) or step for step in steps]
    needed, result = set(kept), []
    for step in reversed(fused):
        if step.output in needed:
            needed.update(step.inputs)
            result.append(step)
    return result[::-1]


class _Matcher:
    def __init__(self, graph: Graph, makers: Mapping[int, Step], constants: Mapping[int, Tensor]) -> None:
        self.graph, self.makers, self.constants = graph, makers, constants

    def inputs(self, index: int, name: str) -> tuple[int, ...]:
        """Inputs of the operator of that name which makes a tensor, broadcasts left out; LookupError: it is no such."""
        step = self.makers[self.root(index)]
        if step.operator.name != name or step.operator.options.get("FusedActivationFunction", 0):
            raise LookupError(name)
        return tuple(self.root(k) for k in step.inputs)

    def root(self, index: int) -> int:
        while index in self.makers and self.makers[index].operator.name == "BROADCAST_TO":
            index = self.makers[index].inputs[0]
        return index

    def mean_of(self, index: int) -> int:
        (source,) = self.inputs(index, "MEAN")
        operator = self.makers[self.root(index)].operator
        axes = set(self.constants[operator.inputs[1]].flatten().tolist())
        if axes != {1, 2, 4} or not operator.options["KeepDims"]:
            raise LookupError("MEAN over other axes")
        return source

    def fused(self, final: Step) -> Step | None:
        """A step for the addition that ends a group normalisation; None: this one ends none."""
        if final.operator.name != "ADD":
            return None
        try:
            return self._fused(final)
        except (LookupError, ValueError):  # an input that nothing makes, another operator, another number of inputs
            return None

    def _fused(self, final: Step) -> Step | None:
        from art_crop_tflite.operators import activation_called

        scaled, shift = final.inputs
        split, gain = self.inputs(scaled, "MUL")
        inverse, gamma = self.inputs(gain, "MUL")
        product, beta = self.inputs(shift, "ADD")
        moved, gamma_again = self.inputs(product, "MUL")
        negative, inverse_again = self.inputs(moved, "MUL")
        (mean,) = self.inputs(negative, "NEG")
        (spread,) = self.inputs(inverse, "RSQRT")
        variance, epsilon = self.inputs(spread, "ADD")
        (difference,) = self.inputs(self.mean_of(variance), "SQUARE")
        (source,) = self.inputs(split, "RESHAPE")
        shape, whole = self.graph.tensors[split].shape, self.graph.tensors[source].shape
        fits = (
            inverse == inverse_again
            and self.inputs(difference, "SUB") == (split, mean)
            and self.mean_of(mean) == split
            and len(shape) == 5
            and whole == (1, shape[1], shape[2], shape[3] * shape[4])
            and bool((self.constants[gamma] == self.constants[gamma_again]).all())
            and all(tuple(self.constants[k].shape) == (1, 1, 1, *shape[3:]) for k in (gamma, gamma_again, beta))
            and bool((self.constants[epsilon] == self.constants[epsilon].flatten()[0]).all())
        )
        if not fits:
            return None
        norm = nn.GroupNorm(shape[3], whole[3], eps=float(self.constants[epsilon].flatten()[0]), device="meta")
        norm.weight = nn.Parameter(self.constants[gamma].reshape(-1).clone())
        norm.bias = nn.Parameter(self.constants[beta].reshape(-1).clone())
        activation = activation_called(int(cast(int, final.operator.options["FusedActivationFunction"])))
        return final._replace(run=GroupNormLayer(norm, activation), inputs=(source,))
