"""Task of classifiers: the label of the photo is none of the model's first k any more, or another one is the first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from art_crop.bench.store import EXCLUDED
from art_crop.bench.tasks.base import NotMeasured, Outcome, Sample, Target, Task
from art_crop.checks import check_choice, check_int
from art_crop.errors import InvalidInputError

__all__ = ["Label"]


class Label(Task):
    """The model's first class for the unchanged photo should leave its first k.

    Options: ``k`` (1: the decision changes), ``target``: the class that should become the first instead, -1 for none;
    ``correct_only``: photos whose first class is not the true one are left out, and counted; ``jpeg_quality``. The true
    class is the dataset's, or else that of the WordNet id with which the photo's name begins, as ImageNet's do and the
    model's names of its classes have to.
    """

    name = "label"
    models = "classification"
    defaults: ClassVar[Mapping[str, Any]] = {"k": 1, "target": -1, "correct_only": False, "jpeg_quality": 0}
    measures = ("rank", "probability", "probability-before", "confidence-gap")

    def check(self) -> None:
        """Raise InvalidInputError where an option cannot be used."""
        check_int(self.options["k"], "k", at_least=1)
        check_int(self.options["target"], "target", at_least=-1)
        check_choice(self.options["correct_only"], "correct_only", (True, False))
        if self.options["target"] >= 0 and self.options["k"] != 1:
            raise InvalidInputError("k: it cannot go with target, which must become the first")

    def reached(self) -> str:
        """Say what "reached" means."""
        if self.options["target"] >= 0:
            return f"“Reached” means that the written file’s first class is number {self.options['target']}."
        k = self.options["k"]
        first = "first class" if k == 1 else f"first {k} classes"
        return f"“Reached” means that the class of the unchanged photo is not among the written file’s {first}."

    def target(self, sample: Sample) -> Target:
        """Choose the class that must leave, or come."""
        first, classes = int(sample.output[0].argmax()), sample.output.shape[1]
        wanted = self.options["target"]
        if wanted >= classes or self.options["k"] >= classes:
            raise InvalidInputError(f"k, target: the model has {classes} classes")
        if self.options["correct_only"] and first != (true := _true_class(sample)):
            raise NotMeasured(EXCLUDED, f"the model's first class, number {first}, is not the true one, number {true}")
        if wanted == first:
            raise NotMeasured(EXCLUDED, f"the photo's class is number {wanted} already")
        return Target(first if wanted < 0 else wanted, known={"first": first})

    def objective(self, targets: Sequence[Target]) -> Any:
        """Build the objective: the class is out of the first k, or the wanted one is the first."""
        from art_crop.objectives import LabelIs, LabelOut

        labels = [target.y for target in targets]
        return LabelOut(labels, k=self.options["k"]) if self.options["target"] < 0 else LabelIs(labels)

    def y(self, targets: Sequence[Target]) -> Any:
        """Give the objective itself."""
        return self.objective(targets)

    def outcome(self, sample: Sample, target: Target, output: Any, change: Mapping[str, float]) -> Outcome:
        """Say where the class stands now, and how sure the model is of it."""
        shares = [one[0].double().softmax(0) for one in (sample.output, output)]
        own = target.y
        rank = int((output[0] > output[0][own]).sum()) + 1
        names = getattr(sample.estimator, "labels", None) or ()
        after = int(output[0].argmax())

        def name(label: int) -> str:
            return names[label] if label < len(names) else str(label)

        return Outcome(
            success=bool(self.objective([target])(output).success[0]),
            success_before=bool(self.objective([target])(sample.output).success[0]),
            metrics={
                "rank": float(rank),
                "probability": float(shares[1][own]),
                "probability-before": float(shares[0][own]),
                "confidence-gap": 1 - float(shares[1][own] / shares[1].max()),
            },
            details={"label before": name(target.known["first"]), "label after": name(after)},
        )


def _true_class(sample: Sample) -> int:
    """Number of the photo's true class.

    Raises:
        NotMeasured: Neither the dataset nor the photo's name tells it.
    """
    if sample.label is not None:
        return sample.label
    name = sample.name.rpartition("/")[2].split("_")[0].split(".")[0]
    ids = [str(label).partition(" ")[0] for label in getattr(sample.estimator, "labels", None) or ()]
    if not re.fullmatch(r"n\d{8}", name) or name not in ids:
        raise NotMeasured(EXCLUDED, "its true class is not known: no dataset's, and no WordNet id that the model has")
    return ids.index(name)
