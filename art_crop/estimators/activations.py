"""What a layer gives out, while its model runs on something else's behalf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from art_crop.errors import InvalidInputError

__all__ = ["layer_called", "layer_names", "watched"]


def layer_names(model: nn.Module) -> list[str]:
    """Names of the modules that hold no others, in the order in which the model lists them."""
    return [name for name, module in model.named_modules() if name and not list(module.children())]


def layer_called(model: nn.Module, layer: object) -> str:
    """Name of a layer given by name or by index into :func:`layer_names`.

    Raises:
        InvalidInputError: No such layer.
    """
    names = layer_names(model)
    if isinstance(layer, int) and -len(names) <= layer < len(names):
        return names[layer]
    if isinstance(layer, str) and layer in dict(model.named_modules()):
        return layer
    raise InvalidInputError(f"layer: a name or an index from 0 to {len(names) - 1} is needed, not {layer!r}: {names}")


@contextmanager
def watched(model: nn.Module, name: str) -> Iterator[Callable[[], Tensor]]:
    """Gives a function that returns the layer's latest output, once; the hook is removed whatever happens.

    Raises:
        InvalidInputError: From that function: the layer did not run, or gave no tensor.
    """
    latest: list[Any] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        # The latest call counts where a layer is used twice; a clone, for the next layer may work in place.
        latest[:] = [output.clone() if isinstance(output, Tensor) else output]

    def take() -> Tensor:
        output = latest.pop() if latest else None
        if not isinstance(output, Tensor):
            raise InvalidInputError(f"layer: {name!r} is not used by the model, or gives no tensor")
        return output

    handle = model.get_submodule(name).register_forward_hook(keep)
    try:
        yield take
    finally:
        handle.remove()
