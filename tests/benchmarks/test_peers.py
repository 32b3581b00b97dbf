"""The race of ``benchmarks/perf/peers.py`` on tiny models: everybody does the same work, and times are told apart."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

PERF = Path(__file__).resolve().parents[2] / "benchmarks" / "perf"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    if not PERF.is_dir():
        pytest.skip("benchmarks/perf is not in this source distribution")
    monkeypatch.syspath_prepend(str(PERF))
    return importlib.import_module


class Whole(nn.Module):
    """ART calls the children of a Sequential itself, past the hooks that count passes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(x)
        return logits


@pytest.fixture
def make(tiny: Any) -> Any:
    return lambda: Whole(tiny.seeded(tiny.TinyClassifier)).eval()


def test_every_pgd_ends_at_the_same_photos(load: Any, tiny: Any, make: Any) -> None:
    race, x = load("race"), tiny.photos(3)
    batch = race.Batch(x, tiny.classifier().predict(x).argmax(1))
    contenders = load("peers_classifier").contenders_on(tiny.classifier(), make, 3)
    contenders = [contender for contender in contenders if contender.attack is not None]
    race.race(contenders, [batch])
    ours = contenders[0].results[0]
    assert np.abs(ours - x).max() == pytest.approx(4 / 255, abs=1e-6)
    assert len(contenders) >= 5
    for contender in contenders[1:]:
        # A gradient of almost 0 may have either sign.
        assert (np.abs(contender.results[0] - ours) < 1e-5).mean() > 0.999, contender.name
        assert contender.passes.endswith("+ 10")


def test_a_missing_library_has_a_row_that_says_so(
    load: Any, tiny: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torchattacks", "foolbox"):
        monkeypatch.setitem(sys.modules, name, None)
    lines = load("peers_classifier").table(tiny.classifier(), make, tiny.photos(2), 1)
    told = [line for line in lines if "not installed" in line]
    assert [line.split("`")[1] for line in told] == [f"pip install {n}" for n in ("torchattacks", "foolbox", "foolbox")]
    assert sum(" of 2 |" in line for line in lines) == 4


def test_the_saliency_part_takes_ten_gradients_or_one(load: Any, tiny: Any) -> None:
    estimator, half = tiny.saliency_estimator(), tiny.saliency_estimator(gradient_dtype="bfloat16")
    lines = load("peers_saliency").table(estimator, half, tiny.photos(2), 1)[2:]
    assert [line.split("|")[3].split("+")[1].strip() for line in lines] == ["10"] * 5 + ["1"] * 3
    assert [line.split("|")[1].strip() for line in lines if "ART" in line] == [
        "ART ProjectedGradientDescentPyTorch, view",
        "ART ProjectedGradientDescentNumpy, regressor",
        "ART FastGradientMethod, view",
        "ART FastGradientMethod, regressor",
    ]


def test_who_takes_fewer_gradients_ends_the_run(load: Any, tiny: Any) -> None:
    race, network = load("race"), tiny.seeded(tiny.TinyClassifier).eval()

    def lazy(batch: Any) -> Any:
        x = torch.from_numpy(batch.x).requires_grad_()
        network(x).sum().backward()
        return batch.x

    with pytest.raises(SystemExit, match="lazy: 1 gradients of a photo, not 2"):
        race.race([race.Contender("lazy", network, lazy, 2)], [race.Batch(tiny.photos(2), np.zeros(2, int))])
    assert not network._forward_hooks


def test_ratios_are_taken_turn_by_turn(load: Any, tiny: Any) -> None:
    race, x = load("race"), tiny.photos(1)
    # The machine slows down fivefold in the third turn; the second attack takes 1, 2 and 3 times as long.
    times = ([1.0, 1.0, 5.0], [1.0, 2.0, 15.0])
    pair = [race.Contender(n, None, len, 1, t, [x] * 3, "1 + 1") for n, t in zip("ab", times, strict=True)]
    lines = race.rows(pair, [race.Batch(x, np.zeros(1, int))] * 3, lambda x, y, found: [str(len(found))])
    assert lines == ["| a | 1.00 (1.00 to 1.00) | 1 + 1 | 3 |", "| b | 2.00 (1.50 to 2.50) | 1 + 1 | 3 |"]


def test_help_says_what_is_measured(load: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["peers.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        load("peers").main()
    assert "--repeats" in capsys.readouterr().out
