"""``art-crop bench compare``: what is different between two runs, two models or two attack methods, photo by photo.

Only results that belong together are compared: of the same photo (by its content) and seed, and the same in all that is
not compared: method, attacked and scored model, norm and budget. A photo's difference is the mean over its results in a
cell, its seeds say. Shares differ by McNemar's exact test where each photo has one result, all else by the sign-flip
permutation test, and p-values are corrected for their number by Holm's method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from art_crop.bench.measures import TASK, Measure, known, measure
from art_crop.bench.pairing import Side, columns_of, differences_of, pairs_of
from art_crop.bench.resolved import task_sha256
from art_crop.bench.results import Frame, completeness, load_run
from art_crop.bench.statistics import holm
from art_crop.bench.store import RunInfo
from art_crop.errors import InvalidInputError

__all__ = ["LEVEL", "Comparison", "Difference", "compare_runs"]

LEVEL = 0.05
"""Corrected p-values below it are called significant."""
_METRICS = 6
Role = Literal["scored", "attacked"]


@dataclass(frozen=True)
class Difference:
    """One measure of one method, pair of models and budget on both sides; ``difference`` is b minus a.

    ``n`` counts photos, ``low`` and ``high`` are the ends of the difference's 95% interval, ``p`` is that of the paired
    test, ``p_corrected`` the same for the number of comparisons, and ``significant`` says that it is below LEVEL. Names
    that end in ``_b`` are those of the second side; they differ from the first's in what is compared.
    """

    method: str
    attacked: str
    scored: str
    norm: str
    eps: float | None
    method_b: str
    attacked_b: str
    scored_b: str
    eps_b: float | None
    measure: str
    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    p_corrected: float
    significant: bool


@dataclass(frozen=True)
class Comparison:
    """Two sides and their pairs: what only one of them has, differences, and what a reader has to know.

    Attributes:
        compared: "runs", "models" or "methods".
        names: What the two sides are called.
        pairs: Results that both sides have.
        only_a: Results that only the first has.
        only_b: Results that only the second has.
        differences: For each measure, method, pair of models and budget.
        notices: Sentences.
    """

    compared: str
    names: tuple[str, str]
    pairs: int
    only_a: int
    only_b: int
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give values that JSON can hold."""
        return asdict(self)

    @property
    def table(self) -> pl.DataFrame:
        """The differences, a row each, as a Polars data frame."""
        return pl.DataFrame([asdict(one) for one in self.differences])


def compare_runs(
    run_a: Path,
    run_b: Path | None = None,
    *,
    models: Sequence[str] = (),
    methods: Sequence[str] = (),
    role: Role = "scored",
    measures: Sequence[str] = (),
    across_suites: bool = False,
) -> Comparison:
    """Compare two runs, or two models or attack methods of one run or of two.

    Args:
        run_a: Folder of a run.
        run_b: Another; None for two models or methods of the first.
        models: Two of them, the first of the first run. What was made by attacking a model itself is compared with the
            same of the other. Default: of two runs that scored one model each, and not the same, these.
        methods: Two attack methods, as reports name them.
        role: Whether ``models`` are those that were scored, or those that were attacked.
        measures: Shares and means, as suites name them; none: success or the task's verdict, and all means.
        across_suites: Compare what fits even where the suites do different things.

    Raises:
        InvalidInputError: It is not clear what to compare, a name is not known, the suites differ, there is nothing in
            common, or a measure is no share or mean.
    """
    first = load_run(run_a)
    second = first if run_b is None else load_run(run_b)
    models, methods = tuple(models), tuple(methods)
    if not models and not methods and run_b is not None:
        models = _only_models(first[1], second[1])
    _check_asked(first, run_b is not None, models, methods, role)
    _check_suites(first[0], second[0], models if role == "scored" else (), across_suites)
    wanted = [_comparable(name) for name in measures or _default_measures(first[1], second[1])]
    a, b = (_side(frame, wanted, models[k:][:1], methods[k:][:1], role) for k, (_, frame) in enumerate((first, second)))
    pairs, alone, doubled = pairs_of(a, b)
    compared, names = _names(models, methods)
    if not len(pairs):
        raise InvalidInputError(
            f"the {compared} have no result in common ({len(a.data)} and {len(b.data)} results): no photo with "
            "the same content, method, models, budget and seed"
        )
    found = differences_of(pairs, wanted)
    corrected = holm([row["p"] for row in found])
    differences = [
        Difference(**row, p_corrected=p, significant=p < LEVEL) for row, p in zip(found, corrected, strict=True)
    ]
    notices = _notices(first, None if run_b is None else second, models, across_suites)
    if models:
        notices += _other_roles(pairs, models)
    if doubled:
        notices.append(f"{doubled} results have the same photo, method, models and budget as others and are not paired")
    return Comparison(compared, names, len(pairs), *alone, tuple(differences), tuple(notices))


def _names(models: tuple[str, ...], methods: tuple[str, ...]) -> tuple[str, tuple[str, str]]:
    for compared, names in (("models", models), ("methods", methods)):
        if names and names[0] != names[1]:
            return compared, (names[0], names[1])
    return "runs", ("first", "second")


def _only_models(a: Frame, b: Frame) -> tuple[str, ...]:
    """The model of each run where it scored one and the other run scored another."""
    scored = [frame.text("scored").present(frame.measured) for frame in (a, b)]
    return (scored[0][0], scored[1][0]) if [len(one) for one in scored] == [1, 1] and scored[0] != scored[1] else ()


def _check_asked(
    run: tuple[RunInfo, Frame], two: bool, models: tuple[str, ...], methods: tuple[str, ...], role: str
) -> None:
    """Refuse what does not say which two sides there are."""
    if role not in ("scored", "attacked"):
        raise InvalidInputError(f"role: scored or attacked is needed, not {role!r}")
    if models and methods:
        raise InvalidInputError("methods: give models or methods, not both")
    for name, given in (("models", models), ("methods", methods)):
        if given and (len(given) != 2 or not (two or given[0] != given[1])):
            raise InvalidInputError(f"{name}: two different names are needed, not {', '.join(map(repr, given))}")
    if not (two or models or methods):
        frame = run[1]
        scored, attacks = (frame.text(name).present(frame.measured) for name in ("scored", "method"))
        raise InvalidInputError(
            "models: with one run two of its models are needed, or two of its methods, or else a second run. "
            f"Scored in this one: {', '.join(scored) or 'nothing'}; methods: {', '.join(attacks) or 'none'}"
        )


def _check_suites(a: RunInfo, b: RunInfo, models: Sequence[str], across_suites: bool) -> None:
    """Refuse suites that do different things, to the models that are scored or at all."""
    if a.suite_sha256 == b.suite_sha256 or across_suites:
        return
    if models:
        weights = [{name: own.get("weights_sha256") for name, own in info.models.items()} for info in (a, b)]
        tasks = [task_sha256(i.suite_content, m, w) for i, m, w in zip((a, b), models, weights, strict=True)]
        if tasks[0] and tasks[0] == tasks[1]:
            return
    raise InvalidInputError(
        f"across_suites: the runs are of different suites: {_suite(a)} and {_suite(b)}; their results are not mixed, "
        "unless this is asked for"
    )


def _side(frame: Frame, measures: Sequence[Measure], models: Sequence[str], methods: Sequence[str], role: Role) -> Side:
    """Results of one side with what tells them apart, and the value of each measure in a column of its name."""
    data = frame.data.filter("_measured")
    for kind, names, column in (("models", models, role), ("methods", methods, "method")):
        for name in names:
            there = frame.text(column).present(frame.measured)
            if name not in there:
                raise InvalidInputError(f"{kind}: {_not_there(frame, name, column, there)}")
            data = data.filter(pl.col(column).cast(pl.String) == name)
    rows = data.select(*columns_of(), *(one.of(data).alias(f"_value {one.name}") for one in measures))
    return Side(rows, models[0] if models else "", methods[0] if methods else "", role)


def _not_there(frame: Frame, name: str, column: str, there: Sequence[str]) -> str:
    if column == "method":
        return f"{name!r} is no method with results in the run; methods: {', '.join(there) or 'none'}"
    other = "attacked" if column == "scored" else "scored"
    others = [one for one in frame.text(other).present(frame.measured) if one]
    hint = f"; {other}: {', '.join(others)}" if others else ""
    cure = f"; for the latter ask for role {other}" if name in others else ""
    named = ", ".join(one for one in there if one)
    return f"{name!r} was not {column} in the run; {column}: {named or 'none'}{hint}{cure}"


def _comparable(name: str) -> Measure:
    one = measure(name)
    if one.kind not in ("share", "mean", "clipped mean") or one.of_successes:
        raise InvalidInputError(f"measures: {name!r} cannot be compared in pairs; shares and means can")
    return one


def _default_measures(a: Frame, b: Frame) -> list[str]:
    both = [name for name in ("success", *TASK.summary) if known(a.data, name) and known(b.data, name)]
    both = [name for name in both if name != TASK.verdict or "success" not in both]
    passed = ("l2", "linf", *TASK.percent, *TASK.particular)
    means = sorted(name for name in a.metrics if name in b.metrics and name not in passed)
    return [*both, "mean l2", *(f"mean {name}" for name in means[:_METRICS])]


def _notices(
    first: tuple[RunInfo, Frame], second: tuple[RunInfo, Frame] | None, models: Sequence[str], across_suites: bool
) -> list[str]:
    if second is None:
        return [*filter(None, [completeness(*first).sentence("the run")])]
    (a, _), (b, _) = first, second
    unfinished = [completeness(*first).sentence("the first run"), completeness(*second).sentence("the second run")]
    found = []
    if a.suite_sha256 != b.suite_sha256:
        same = models and not across_suites
        found.append(
            f"the suites differ{', and do the same to each model' if same else ''}: {_suite(a)} and {_suite(b)}"
        )
    if a.art_crop != b.art_crop:
        found.append(f"made by art_crop {a.art_crop} and {b.art_crop}")
    for name in a.models.keys() & b.models.keys():
        weights = [info.models[name].get("weights_sha256") or "" for info in (a, b)]
        if weights[0] != weights[1]:
            found.append(f"{name} has other weights: {weights[0][:12] or 'none'} and {weights[1][:12] or 'none'}")
    return [*filter(None, unfinished), *sorted(found)]


def _other_roles(pairs: pl.DataFrame, models: Sequence[str]) -> list[str]:
    """Say where one side is an attack on the scored model itself, and the other one from another model."""
    first, second = (pl.col(f"attacked{end}") == pl.col(f"scored{end}") for end in ("", " b"))
    found = []
    for (name, other), alone in ((models, first & ~second), (models[::-1], second & ~first)):
        if pairs.select(alone.any()).item():
            found.append(
                f"in some pairs {name} stands for an attack on the scored model itself, {other} for one that is not"
            )
    return found


def _suite(info: RunInfo) -> str:
    return f"{info.suite} ({info.suite_sha256[:12]})"
