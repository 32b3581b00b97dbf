"""Try every evasion attack of ART on the embedded cropper and write what became of each.

    python benchmarks/art_attacks.py --out benchmarks/results/art-attacks.md

The table of attacks is that of ``tests/interop``, whose tests hold the page to it. Attacks that want a package which
ART does not install (kornia, cma, multiprocess, numba, opencv-python-headless, torchvision) run where it is installed.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import art
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "interop"))
from art_attack_rows import ROWS
from art_attacks import Outcome, Row, Setting, attempt, evasion_classes

ON = {
    "view": "view",
    "view_nhwc": "view, channels last",
    "view_small": "view, 4x4 px",
    "view_wide": "view, slack 3",
    "probabilities": "view, softmax",
    "probabilities_small": "view, softmax, 4x4 px",
    "cropper": "regressor",
}
INTRO = """# ART's evasion attacks on a cropper

`python benchmarks/art_attacks.py`; ART {art}, numpy {numpy}, torch {torch}, Python {python}, {machine}.

Every public class of `art.attacks.evasion`, on the embedded cropper gaze-lite and one real photo (scikit-image's
astronaut, 64x64 px; the cropper enlarges it to 320). *View*: the cropper as a classifier of three regions, left,
middle, right (`SaliencyClassifierView`). *Regressor*: the cropper itself, for attacks that ART lets onto a regressor.
Budgets are a few steps, so a decision that was not changed says nothing about an attack's strength.

- **runs**: gives a finite photo of the same shape, in range, and does not touch the one it was given.
- **refused**: by ART's own requirement check (`EstimatorError`), which names the class of estimator that is wanted.
- **fails in ART**: ART's own code raises; the error's first words follow. On ART's own `PyTorchClassifier` around the
  same network it raises the same (a test compares, for all but LaserAttack, which wants channels last).
- **needs a package**: that ART imports and does not install. Installed for this page: cma, kornia, multiprocess, numba,
  opencv-python-headless, torchvision.

What a view must be told for some of them: `input_shape=x.shape[1:]` for those that compute with it (BoundaryAttack,
HopSkipJump, ZooAttack, SquareAttack, the Auto attacks with a `loss_type`; without it they say so),
`probabilities=True` for SimBA and VirtualAdversarialMethod, and `view.set_params(slack=3)` for ShadowAttack, which asks
about heavy noise. SquareAttack draws a first tile of 80% of the photo's area, which does not fit into one that is not
square ("high <= 0"): give `p_init=0.3`. ThresholdAttack holds a matrix with a row and a column for every value of the
photo (396 GiB at 320x240 px), so it is for small photos. A test runs the attacks that
only ask on both views at 320x240 px.

*Regressor allowed*: what ART's requirement check says to the bare regressor; an attack that it lets on may still expect
class labels. *Model left*: modes, gradient flags,
stored gradients and hooks of the network as before; where not, the attack wraps the network in an estimator of ART's
own, or sets its mode itself.

{counts}

| attack | on | what becomes of it | change, largest | decision changed | model left | regressor allowed |
|---|---|---|---|---|---|---|
"""


def limited(row: Row, setting: Setting, seconds: int) -> Outcome:
    """The outcome, or that there was none in time."""

    def stop(*arguments: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s of computing")

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # computing time, whatever else the machine does
    try:
        return attempt(row, setting)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def line(row: Row, outcome: Outcome, kind: Any, setting: Setting) -> str:
    """One row of the page."""
    kwargs = row.make(setting)
    how = [ON[row.on], *([row.note] if row.note else [])]
    how += [f"`{kwargs['loss_type']}`"] if "loss_type" in kwargs else []
    how += ["CMA-ES"] if kwargs.get("es") == 0 else []
    how += [kwargs["attack"]] if row.attack == "SimBA" else []
    status = f"**{outcome.status}**"
    if outcome.status == "refused":
        status += f": wants {', '.join(wanted(kind, setting.view))}"
    elif outcome.status != "runs":
        status += f": {outcome.detail[:110].replace('|', '/')}"
    runs = outcome.status == "runs"
    cells = [
        row.attack,
        ", ".join(how),
        status,
        f"{outcome.changed:.3f}" if runs else "",
        ("yes" if outcome.fooled else "no") if runs else "",
        "yes" if outcome.left else "no",
        "yes" if kind is not None and not wanted(kind, setting.cropper) else "no",
    ]
    return "| " + " | ".join(cells) + " |"


def wanted(kind: Any, estimator: Any) -> list[str]:
    """Classes that ART asks for and the estimator is not derived from."""
    classes = type(estimator).__mro__
    groups = [need if isinstance(need, tuple) else (need,) for need in kind._estimator_requirements]
    return [" or ".join(c.__name__ for c in group) for group in groups if not any(c in classes for c in group)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "art-attacks.md")
    parser.add_argument("--limit", type=int, default=600, help="seconds of computing for one attack")
    args = parser.parse_args()
    lines, statuses, setting = [], Counter[str](), Setting()
    for row in ROWS:
        kind = evasion_classes().get(row.attack)
        if kind is None:
            outcome = Outcome("needs a package", f"ART offers it where {', '.join(row.needs)} is installed")
        else:
            outcome = limited(row, setting, args.limit)
        statuses[outcome.status] += 1
        lines.append(line(row, outcome, kind, setting))
        print(f"{outcome.seconds:6.1f} s  {lines[-1]}", flush=True)
    counts = f"{len({row.attack for row in ROWS})} attacks in {len(ROWS)} rows: " + ", ".join(
        f"{count} {status}" for status, count in statuses.most_common()
    )
    versions = {"art": art.__version__, "numpy": np.__version__, "torch": torch.__version__}
    head = INTRO.format(**versions, python=platform.python_version(), machine=platform.machine(), counts=counts + ".")
    args.out.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
