"""The classifier part of ``peers.py``: PGD by this project's gradient path, ART, torchattacks and foolbox."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from race import Array, Batch, Contender, race, rows
from torch import nn

from art_crop.estimators import PyTorchPhotoClassifier
from art_crop.estimators.placement import frozen
from art_crop.objectives import LabelOut

STEPS, LINF, STEP = 10, 4 / 255, 1 / 255
FEW = 4
"""Photos that go through the network together in one row; one at a time is the default on a CPU."""
SIZE = (256, 256)
"""Width and height of the photos; EfficientNet-Lite0 takes their middle 224 as they are."""
HEAD = "| attack | time / ours | passes a photo, forward + backward | label changed | Linf, largest, of 255 |"


def our_pgd(estimator: PyTorchPhotoClassifier, batch: Batch) -> Array:
    """PGD without a random start: Madry et al., ICLR 2018, equation 2.2."""
    x, wish = estimator.to_tensor(batch.x), LabelOut(batch.y, loss="cross_entropy")
    moved, low, high = x, (x - LINF).clamp_min(0), (x + LINF).clamp_max(1)
    with frozen(estimator.model):
        for _ in range(STEPS):
            gradient = estimator.value_and_gradient(moved, wish, decide=False).gradient
            moved = (moved - STEP * gradient.sign()).clamp(low, high)
    return estimator.to_array(moved)


def art_pgd(estimator: Any) -> Callable[[Batch], Array]:
    attack = ProjectedGradientDescent(
        estimator, norm=np.inf, eps=LINF, eps_step=STEP, max_iter=STEPS, batch_size=32, verbose=False
    )
    return lambda batch: attack.generate(batch.x, batch.y)


def torchattacks_pgd(library: Any, network: nn.Module) -> Callable[[Batch], Array]:
    attack = library.PGD(network, eps=LINF, alpha=STEP, steps=STEPS, random_start=False)
    return lambda batch: attack(torch.from_numpy(batch.x), torch.from_numpy(batch.y)).numpy()


def foolbox_pgd(library: Any, network: nn.Module) -> Callable[[Batch], Array]:
    model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = library.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)

    def run(batch: Batch) -> Array:
        wish = library.criteria.Misclassification(torch.from_numpy(batch.y))
        return attack.run(model, torch.from_numpy(batch.x), wish, epsilon=LINF).numpy()

    return run


def contenders_on(estimator: PyTorchPhotoClassifier, make: Callable[[], nn.Module], n: int) -> list[Contender]:
    """This project's loop first; the others as their libraries are used, then with parameters frozen by hand."""
    found = [Contender("art_crop, value_and_gradient", estimator.model, lambda b: our_pgd(estimator, b), STEPS)]
    if n > 1:
        four = PyTorchPhotoClassifier(
            estimator.model, nb_classes=estimator.nb_classes, device=estimator.device, micro_batch=FEW
        )
        name = f"art_crop, value_and_gradient, micro_batch={FEW}"
        found.append(Contender(name, four.model, lambda b: our_pgd(four, b), STEPS))
    name = "ART ProjectedGradientDescent, PyTorchPhotoClassifier"
    found.append(Contender(name, estimator.model, art_pgd(estimator), STEPS))
    peers: dict[str, Callable[[Any, nn.Module], Callable[[Batch], Array]]]
    peers = {"torchattacks PGD": torchattacks_pgd, "foolbox LinfPGD": foolbox_pgd}
    for by_hand in (False, True):
        note, network = ", parameters frozen" if by_hand else "", make().requires_grad_(not by_hand)
        loss, shape = nn.CrossEntropyLoss(), (3, *SIZE)
        art = PyTorchClassifier(
            network, loss, shape, estimator.nb_classes, clip_values=(0, 1), preprocessing=None, device_type="cpu"
        )
        found.append(Contender(f"ART ProjectedGradientDescent, PyTorchClassifier{note}", network, art_pgd(art), STEPS))
        for name, start in peers.items():
            if name == "torchattacks PGD" and by_hand:
                continue
            network, library = make().requires_grad_(not by_hand), _library(name.split()[0])
            found.append(Contender(name + note, network, library and start(library, network), STEPS))
    return found


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def table(estimator: PyTorchPhotoClassifier, make: Callable[[], nn.Module], x: Array, n: int) -> list[str]:
    """The table of one batch size; what must go is the label that the network gives each photo."""
    y = estimator.predict(x).argmax(1)
    batches = [Batch(x[i : i + n], y[i : i + n]) for i in range(0, len(x), n)]

    def achieved(x: Array, y: Array, found: Array) -> list[str]:
        hits = int((estimator.predict(found).argmax(1) != y).sum())
        return [f"{hits} of {len(y)}", f"{np.abs(found - x).max() * 255:.2f}"]

    contenders = contenders_on(estimator, make, n)
    race(contenders, batches)
    return [HEAD, "|---|---|---|---|---|", *rows(contenders, batches, achieved)]
