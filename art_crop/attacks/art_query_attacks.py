"""ART's own query-only attacks under our objectives, budgets and count of queries: peers of the search by patches.

ART sees a classifier of two classes, whether the objective is met and by how much, and never the network. What it asks
about is first brought to whole grey levels; for SquareAttack, which moves inside the budget, without leaving the
budget. A photo that it asks about again is answered from memory. The search ends at the first photo inside the budget
that meets the objective, or when the model was asked ``max_queries`` times.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from art.attacks.evasion import HopSkipJump, SquareAttack
from art.estimators.classification import BlackBoxClassifierNeuralNetwork

from art_crop.attacks.base import Batch, PhotoAttack
from art_crop.attacks.results import AttackResult, photo_stream
from art_crop.attacks.space import Candidate
from art_crop.checks import check_int, check_number, reject_unknown

__all__ = ["ARTHopSkipJump", "ARTSquareAttack"]

Array = np.ndarray[Any, Any]
REMEMBERED = 8
"""Photos whose answers are kept, for ART asks about the present one at every step."""
ENDLESS = 10**6


class _EnoughError(Exception):
    """The search is over: it has succeeded, or may not ask again."""


class _ARTQueryAttack(PhotoAttack):
    """Run an attack of ART's on one photo after the other."""

    attack_params: ClassVar[list[str]] = [
        *(name for name in PhotoAttack.attack_params if name not in ("norm", "minimal", "mask", "layer")),
        "max_queries",
    ]
    _searches_reduced = False
    _keeps_budget = True

    def __init__(
        self,
        estimator: Any,
        *,
        max_queries: int = 300,
        quantize: bool | Literal["round"] = "round",
        **kwargs: Any,
    ) -> None:
        reject_unknown(kwargs, {*self.attack_params, "summary_writer"}, type(self).__name__)
        super().__init__(estimator, quantize=quantize, **kwargs)
        self.max_queries = max_queries
        self._check_params()

    def _check_params(self) -> None:
        super()._check_params()
        check_int(self.max_queries, "max_queries", at_least=1)

    def _halvings(self, size: tuple[int, int]) -> int:
        return 0

    def _search(self, batch: Batch) -> list[tuple[Candidate, AttackResult]]:
        found = []
        for i in range(len(batch)):
            asked = _Asked(batch, i, self.max_queries, keeps_budget=self._keeps_budget)
            x = batch.spaces[i].start.seen[None].cpu().numpy()
            if not asked.success and self.max_queries > 1:
                stream = photo_stream(batch.spaces[i].start.seen, self.seed, self._clip)
                with _random_state(stream), suppress(_EnoughError):
                    self._run(asked.as_classifier(x.shape[1:]), x, batch.eps[i])
            found.append((asked.best, asked.result()))
            self.on_step(i + 1, len(batch))
        return found

    @abstractmethod
    def _run(self, classifier: BlackBoxClassifierNeuralNetwork, x: Array, eps: float) -> None:
        """Let ART's attack ask about changes of one photo (1, 3, H, W), until it is stopped."""


class ARTSquareAttack(_ARTQueryAttack):
    """Ask about squares of random colour, as ART's SquareAttack in L2 does (Andriushchenko et al., ECCV 2020).

    Args:
        estimator: The model that is asked, of any task, query-only or not.
        p_init: Share of the photo that the first square covers. ART's 0.8 does not fit into one that is not square.
        max_queries: Times that the model may be asked about a photo, the photo itself included.
        **kwargs: ``eps``, ``constraint``, ``by``, ``ratios``, ``loss``, ``quantize``, ``success_oracle``, ``seed``,
            ``verbose``, ``summary_writer``: as for :class:`~art_crop.attacks.base.PhotoAttack`.
    """

    attack_params: ClassVar[list[str]] = [*_ARTQueryAttack.attack_params, "p_init"]

    def __init__(self, estimator: Any, *, p_init: float = 0.3, **kwargs: Any) -> None:
        self.p_init = p_init
        super().__init__(estimator, **kwargs)

    def _check_params(self) -> None:
        super()._check_params()
        check_number(self.p_init, "p_init", above=0, at_most=1)

    def _run(self, classifier: BlackBoxClassifierNeuralNetwork, x: Array, eps: float) -> None:
        def loss(photos: Array, wanted: Array) -> Array:
            answers: Array = classifier.predict(photos)[:, 0]
            return answers

        SquareAttack(
            classifier, norm=2, loss=loss, max_iter=self.max_queries, eps=eps, p_init=self.p_init, verbose=False
        ).generate(x, np.array([[1.0, 0.0]], np.float32))


class ARTHopSkipJump(_ARTQueryAttack):
    """Walk along the border of success, as ART's HopSkipJump does (Chen et al., S&P 2020), by yes and no alone.

    It begins at noise that succeeds; where none does, no photo is changed.

    Args:
        estimator: The model that is asked, of any task, query-only or not.
        **kwargs: ``max_queries``, ``eps``, ``constraint``, ``by``, ``ratios``, ``loss``, ``quantize``,
            ``success_oracle``, ``seed``, ``verbose``, ``summary_writer``: as for :class:`ARTSquareAttack`.
    """

    _keeps_budget = False

    def _run(self, classifier: BlackBoxClassifierNeuralNetwork, x: Array, eps: float) -> None:
        start = x
        while not classifier.predict(start)[0].argmax():  # ART's own noise is of no seed
            start = np.asarray(np.random.random_sample(x.shape), np.float32)  # noqa: NPY002 - ART's source, and seeded
        HopSkipJump(classifier, targeted=True, max_iter=ENDLESS, init_eval=10, verbose=False).generate(
            x, np.array([[0.0, 1.0]], np.float32), x_adv_init=start
        )


class _Asked:
    """One photo's objective as a classifier: class 1 is success, class 0 everything else."""

    def __init__(self, batch: Batch, index: int, max_queries: int, *, keeps_budget: bool) -> None:
        self.batch, self.index, self.max_queries, self.keeps_budget = batch, index, max_queries, keeps_budget
        self.space: Any = batch.spaces[index]
        self.best, self.answers = self.space.start, dict[bytes, tuple[float, bool]]()
        self.curve: list[float] = []
        self.least, self.success = math.inf, False
        self.least, self.before = self._ask(self.space.start)
        self.success = self.before
        self.answers[self._key(self.space.start)] = self.least, self.before

    def as_classifier(self, shape: tuple[int, ...]) -> BlackBoxClassifierNeuralNetwork:
        return BlackBoxClassifierNeuralNetwork(self._predict, shape, 2, channels_first=True, clip_values=(0.0, 1.0))

    def _predict(self, x: Array) -> Array:
        rows = []
        for photo in torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.space.start.seen):
            loss, success = self._answer(photo)
            side = 0.5 / (1 + math.exp(min(loss, 50.0)))  # below 0.5, and less the greater the loss
            rows.append([0.4, 0.6] if success else [1 - side, side])
        return np.array(rows, np.float32)

    def _answer(self, photo: torch.Tensor) -> tuple[float, bool]:
        eps = self.batch.eps[self.index]
        start = self.space.start.seen
        if not self.keeps_budget:  # what is far may be asked about, and is never returned
            photo = start + self.space.inside(photo - start)
        candidate = Candidate((photo * 255).round() / 255)
        inside = self.keeps_budget or float((candidate.seen - start).norm()) <= eps
        candidate = self.space.nearest(photo, eps) if inside else candidate
        key = self._key(candidate)
        if key not in self.answers:
            if len(self.curve) >= self.max_queries:
                raise _EnoughError
            while len(self.answers) >= REMEMBERED:
                self.answers.pop(next(iter(self.answers)))
            self.answers[key] = self._ask(candidate)
        loss, success = self.answers[key]
        if inside and (success, -loss) > (self.success, -self.least):
            self.best, self.least, self.success = candidate, loss, success
            self.curve[-1] = min(self.curve[-1], loss)
        if self.success:
            raise _EnoughError
        return loss, success

    @staticmethod
    def _key(candidate: Candidate) -> bytes:
        return candidate.seen.cpu().numpy().tobytes()

    def _ask(self, candidate: Candidate) -> tuple[float, bool]:
        verdict = self.batch.evaluate(candidate.seen[None], [self.index])
        loss, success = float(verdict.loss[0]), bool(verdict.success[0])
        self.curve.append(min(self.curve[-1], self.least) if self.curve else loss)
        return loss, success

    def result(self) -> AttackResult:
        return AttackResult(
            success=self.success,
            success_before=self.before,
            l2=math.nan,
            linf=math.nan,
            loss=self.least,
            gradients=0,
            queries=len(self.curve),
            curve=tuple(self.curve),
            curve_of="loss",
        )


@contextmanager
def _random_state(stream: np.random.Generator) -> Iterator[None]:
    """Seed the global states that ART draws from, and put them back."""
    import random

    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002 - ART's source
    np.random.seed(int(stream.integers(2**32)))  # noqa: NPY002
    random.seed(int(stream.integers(2**32)))
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
