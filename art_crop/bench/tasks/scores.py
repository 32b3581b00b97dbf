"""Task of quality models: the score passes a bound on the model's own scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from art_crop.bench.quality_scores import relative_gains, robustness_scores
from art_crop.bench.store import EXCLUDED
from art_crop.bench.tasks.base import NotMeasured, Outcome, Sample, Target, Task
from art_crop.checks import check_choice, check_number
from art_crop.errors import InvalidInputError

__all__ = ["Score"]


class Score(Task):
    """The score of the written file should lie below a bound, or above it.

    Options: ``below`` or ``above``, the bound; ``change``, instead of a bound: by how much the photo's own score should
    fall (negative) or rise; ``towards``, instead of both: ``"better"`` or ``"worse"``, the best or the worst score of
    the model's scale, so that an attack goes as far as its budget allows; ``jpeg_quality``. Photos whose score is
    beyond the bound already count as a success before.

    Measures: ``score-change``, on the model's own scale; ``relative-gain``, positive where the model finds the written
    file better than the photo; and ``robustness-score``, of the photo, 0 where the attack did all it could, higher for
    models that are more robust: see :mod:`art_crop.bench.quality_scores`. The last two need a score within that scale.
    """

    name = "score"
    models = "quality"
    defaults: ClassVar[Mapping[str, Any]] = {
        "below": None,
        "above": None,
        "change": None,
        "towards": None,
        "jpeg_quality": 0,
    }
    measures = ("score", "score-before", "score-change", "relative-gain", "robustness-score")

    def check(self) -> None:
        """Raise InvalidInputError unless exactly one of below, above, change and towards is given, as it should be."""
        kinds = ("below", "above", "change", "towards")
        given = {name: self.options[name] for name in kinds if self.options[name] is not None}
        if len(given) != 1:
            raise InvalidInputError(f"{', '.join(kinds)}: exactly one of them is needed")
        for name, value in given.items():
            if name != "towards":
                check_number(value, name)
        check_choice(self.options["towards"], "towards", (None, "better", "worse"))
        if self.options["change"] == 0:
            raise InvalidInputError("change: a number other than 0 is needed")

    def _direction(self, estimator: Any) -> Any:
        """On which side of its bound a score should be; ``towards`` leaves that to the model."""
        if self.options["towards"] is not None:
            rises = (self.options["towards"] == "better") == getattr(estimator, "higher_is_better", True)
        else:
            rises = self.options["above"] is not None or (self.options["change"] or 0) > 0
        return "above" if rises else "below"

    def reached(self) -> str:
        """Say what "reached" means."""
        if self.options["change"] is not None:
            word = "falls" if self._direction(None) == "below" else "rises"
            return f"“Reached” means that the score of the written file {word} by {abs(self.options['change']):g}."
        if self.options["towards"] is not None:
            word = "best" if self.options["towards"] == "better" else "worst"
            return f"“Reached” means that the score of the written file is the {word} that there is."
        direction = self._direction(None)
        return f"“Reached” means that the score of the written file lies {direction} {self.options[direction]:g}."

    def target(self, sample: Sample) -> Target:
        """Choose the bound."""
        score = float(sample.output[0])
        change, direction = self.options["change"], self._direction(sample.estimator)
        low, high = getattr(sample.estimator, "score_range", (float("-inf"), float("inf")))
        if self.options["towards"] is not None:
            bound = float(high if direction == "above" else low)
        else:
            bound = float(self.options[direction]) if change is None else score + change
        if not low <= bound <= high or not math.isfinite(bound):
            raise NotMeasured(EXCLUDED, f"a score of {bound:g} is not on the model's scale, {low:g} to {high:g}")
        return Target(bound, known={"score": score, "direction": direction})

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective: the score lies beyond the bound."""
        from art_crop.objectives import ScoreBeyond

        return ScoreBeyond([target.y for target in targets], targets[0].known["direction"])

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
            metrics={
                "score": after,
                "score-before": before,
                "score-change": after - before,
                **_robustness(before, after, sample.estimator),
            },
            details={"score before": before, "score after": after, "bound": target.y},
        )


def _robustness(before: float, after: float, estimator: Any) -> dict[str, float]:
    """Robustness score and relative gain of a photo, of scores turned such that more is better; none off the scale."""
    low, high = getattr(estimator, "score_range", (-math.inf, math.inf))
    if not (math.isfinite(low) and math.isfinite(high) and low <= before <= high):
        return {}
    if not getattr(estimator, "higher_is_better", True):
        before, after, low, high = -before, -after, -high, -low
    scale = {"low": low, "high": high}
    return {
        "relative-gain": float(relative_gains([before], [after], **scale)[0]),
        "robustness-score": float(robustness_scores([before], [after], **scale)[0]),
    }
