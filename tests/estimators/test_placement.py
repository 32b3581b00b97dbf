"""A model is frozen while it is looked into, once for a whole loop, and left as it was found."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

from art_crop.estimators.placement import frozen
from art_crop.objectives import LabelOut


def state(model: nn.Module) -> tuple[list[bool], list[bool]]:
    return [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]


@pytest.fixture
def mixed() -> nn.Module:
    """Modes and flags of every kind, and a parameter that two modules share."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(), nn.Conv2d(3, 3, 1))
    model[3].weight = model[0].weight
    model[1].eval()
    model[1].weight.requires_grad_(False)
    return model


def test_everything_is_frozen_inside_and_as_before_afterwards(mixed: nn.Module) -> None:
    before = state(mixed)
    for _ in range(2):
        with frozen(mixed):
            assert not any(state(mixed)[0])
            assert not any(state(mixed)[1])
        assert state(mixed) == before


def test_flags_that_change_inside_are_set_back(mixed: nn.Module) -> None:
    before = state(mixed)
    with frozen(mixed):
        mixed.train().requires_grad_(True)
    assert state(mixed) == before


def test_only_the_outermost_thaws(mixed: nn.Module) -> None:
    before = state(mixed)

    def fail() -> None:
        with frozen(mixed):
            with frozen(mixed), frozen(mixed[0]):
                pass
            assert not any(state(mixed)[0] + state(mixed)[1])
            raise RuntimeError("in the loop")

    with pytest.raises(RuntimeError, match="in the loop"):
        fail()
    assert state(mixed) == before
    with frozen(mixed):  # and the model is not taken for frozen ever after
        assert not any(state(mixed)[0] + state(mixed)[1])


def test_another_thread_does_not_count_on_it(mixed: nn.Module) -> None:
    found = []

    def look() -> None:
        with frozen(mixed):
            mixed.train()
        found.append(state(mixed))

    with frozen(mixed):
        inside = state(mixed)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == [inside]  # it froze and set back by itself


def test_a_loop_that_holds_the_model_gets_the_same_gradients(tiny: Any) -> None:
    estimator, x = tiny.classifier(), torch.from_numpy(tiny.photos(2))
    estimator.model.train().requires_grad_(True)
    wish, before = LabelOut([0, 1]), state(estimator.model)
    alone = estimator.value_and_gradient(x, wish)
    with frozen(estimator.model):
        held = estimator.value_and_gradient(x, wish)
    assert torch.equal(alone.gradient, held.gradient)
    assert torch.equal(alone.loss, held.loss)
    assert state(estimator.model) == before
