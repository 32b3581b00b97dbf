"""What a layer gives out, while its model runs on something else's behalf."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from art_crop.errors import InvalidInputError

__all__ = ["layer_called", "layer_for_grad_cam", "layer_names", "watched"]

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Softplus, nn.Sigmoid, nn.Tanh)


def layer_names(model: nn.Module) -> list[str]:
    """Names of the modules that hold no others, in the order in which the model lists them; "" is the model itself."""
    return [name for name, module in model.named_modules() if not list(module.children())]


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
    """Gives a function that returns the layer's latest output in this thread, once; the hook is always removed.

    Raises:
        InvalidInputError: From that function: the layer did not run, or gave no tensor.
    """
    latest: list[Any] = []
    thread = threading.get_ident()

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() != thread:
            return  # another thread's pass through the same model
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


def layer_for_grad_cam(model: nn.Module, layer: str | None) -> nn.Module:
    """Choose the module whose activations Grad-CAM weights: the named one, or the last wide convolution, activated.

    Raises:
        InvalidInputError: No such module; none is named and the model has no convolution of 8 or more channels.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if layer is not None:
        if layer not in modules:
            raise InvalidInputError(
                f"layer: the name of a module is needed, not {layer!r}: {', '.join(filter(None, modules))}"
            )
        return modules[layer]
    listed = [module for module in modules.values() if not list(module.children())]
    wide = [k for k, m in enumerate(listed) if isinstance(m, nn.Conv2d) and m.out_channels >= 8]
    if not wide:
        raise InvalidInputError("layer: this model has no convolution of 8 or more channels; name a layer for Grad-CAM")
    after = [module for module in listed[wide[-1] + 1 :] if not isinstance(module, nn.BatchNorm2d)][:1]
    return after[0] if after and isinstance(after[0], ACTIVATIONS) else listed[wide[-1]]
