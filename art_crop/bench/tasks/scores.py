"""Task of quality models: the score passes a bound on the model's own scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from art_crop.bench.store import EXCLUDED
from art_crop.bench.tasks.base import NotMeasured, Outcome, Sample, Target, Task
from art_crop.checks import check_choice, check_number
from art_crop.errors import InvalidInputError

__all__ = ["Score"]


class Score(Task):
    """The score of the written file should lie below a bound, or above it.

    Options: ``below`` or ``above``, the bound; ``change``, instead of a bound: by how much the photo's own score should
    fall (negative) or rise; ``jpeg_quality``. Photos whose score is beyond the bound already count as a success before.
    """

    name = "score"
    models = "quality"
    defaults: ClassVar[Mapping[str, Any]] = {"below": None, "above": None, "change": None, "jpeg_quality": 0}
    measures = ("score", "score-before", "score-change")

    def check(self) -> None:
        """Raise InvalidInputError unless exactly one of below, above and change is given, as a number."""
        given = {name: self.options[name] for name in ("below", "above", "change") if self.options[name] is not None}
        if len(given) != 1:
            raise InvalidInputError("below, above, change: exactly one of them is needed, on the model's scale")
        for name, value in given.items():
            check_number(value, name)
        if self.options["change"] == 0:
            raise InvalidInputError("change: a number other than 0 is needed")
        check_choice(self.direction, "direction", ("below", "above"))

    @property
    def direction(self) -> Any:
        """On which side of its bound a score should be."""
        falls = self.options["below"] is not None or (self.options["change"] or 0) < 0
        return "below" if falls else "above"

    def reached(self) -> str:
        """Say what "reached" means."""
        if self.options["change"] is not None:
            word = "falls" if self.direction == "below" else "rises"
            return f"“Reached” means that the score of the written file {word} by {abs(self.options['change']):g}."
        bound = self.options[self.direction]
        return f"“Reached” means that the score of the written file lies {self.direction} {bound:g}."

    def target(self, sample: Sample) -> Target:
        """Choose the bound."""
        score = float(sample.output[0])
        change = self.options["change"]
        bound = float(self.options[self.direction]) if change is None else score + change
        low, high = getattr(sample.estimator, "score_range", (float("-inf"), float("inf")))
        if not low <= bound <= high:
            raise NotMeasured(EXCLUDED, f"a score of {bound:g} is not on the model's scale, {low:g} to {high:g}")
        return Target(bound, known={"score": score})

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective: the score lies beyond the bound."""
        from art_crop.objectives import ScoreBeyond

        return ScoreBeyond([target.y for target in targets], self.direction)

    def y(self, targets: Sequence[Target]) -> Any:
        """Give the objective itself: a bare bound would mean the model's worse side."""
        return self.objective(targets)

    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say where the score is."""
        before, after = target.known["score"], float(output[0])
        objective = self.objective([target])
        return Outcome(
            success=bool(objective(output).success[0]),
            success_before=bool(objective(sample.output).success[0]),
            metrics={"score": after, "score-before": before, "score-change": after - before},
            details={"score before": before, "score after": after, "bound": target.y},
        )
