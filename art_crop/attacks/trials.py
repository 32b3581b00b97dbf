"""The trials of a query-only search: proposing their parameters, keeping them, and sharing them between workers.

Proposals follow from the trials that are finished and from seeds alone (:class:`Suggestions`), so that a search that
was killed goes on as if it had not been. Trials are kept in memory (:class:`TrialLog`), or in a study of Optuna's in a
database or journal file (:class:`StudyLog`), which its dashboard shows and several workers share.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from art_crop.errors import InvalidInputError, MissingDependencyError, OutputError, describe

__all__ = [
    "SAMPLERS",
    "Range",
    "Sampler",
    "StudyLog",
    "Suggestions",
    "Trial",
    "TrialLog",
    "check_storage",
    "need_optuna",
]

Sampler = Literal["tpe", "random", "cma-es"]
SAMPLERS = ("tpe", "random", "cma-es")
PATIENCE = 60.0
"""Seconds that SQLite waits for another worker."""
CLOCK = 5.0
"""Seconds by which two readings of when a process began may differ."""
STALE = timedelta(minutes=10)
"""A trial that a worker of another machine began longer ago is taken over."""


class Range(NamedTuple):
    """Between which values a parameter is searched, evenly or in the logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Trial:
    """A change that is asked about: patches by their parameters, or a weighted sum of earlier trials' changes.

    Attributes:
        round: Of the search, from 0.
        params: Of the patches; empty for a sum.
        base: Number of the trial with whose change the patches are mixed, -1 for the one that was given, or None.
        weights: Of earlier trials, by their numbers, for a sum.
        scale: Size of the change over the budget.
        number: Its place among all trials of the photo; -1 while it has none.
        loss: The answer's, or None.
        success: Whether the answer met the objective.
    """

    round: int = 0
    params: dict[str, float] = field(default_factory=dict)
    base: int | None = None
    weights: dict[int, float] = field(default_factory=dict)
    scale: float = 1.0
    number: int = -1
    loss: float | None = None
    success: bool = False


class Suggestions:
    """Proposals of parameters, which follow from what was asked so far and from seeds alone.

    What TPE's study holds is kept from call to call, for making it anew would cost more than the proposals.

    Args:
        sampler: ``"tpe"``, multivariate, those of one call being kept apart (constant liar); ``"cma-es"``, whose
            generations are the history in its order; ``"random"``.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.ranges: dict[str, Range] = {}
        self.told: list[tuple[dict[str, float], float]] = []
        self.study: Any = None

    def __call__(
        self,
        ranges: dict[str, Range],
        history: Sequence[tuple[dict[str, float], float]],
        seeds: Sequence[int],
    ) -> list[dict[str, float]]:
        """Propose parameters, one set for each seed.

        Args:
            ranges: Of the parameters.
            history: Parameters and value (less is better) of what was asked; those outside of the ranges are left out.
            seeds: Of the proposals.
        """
        known = [(params, value) for params, value in history if _inside(params, ranges)]
        if not seeds:
            return []
        if self.sampler == "random":
            return [_point(np.random.default_rng(seed).random(len(ranges)), ranges) for seed in seeds]
        return _cma_es(ranges, known, seeds) if self.sampler == "cma-es" else self._tpe(ranges, known, seeds)

    def _tpe(self, ranges: dict[str, Range], known: Any, seeds: Sequence[int]) -> list[dict[str, float]]:
        optuna = need_optuna()
        spread = {name: optuna.distributions.FloatDistribution(*bounds) for name, bounds in ranges.items()}
        if ranges != self.ranges or known[: len(self.told)] != self.told:
            self.study, self.ranges, self.told = optuna.create_study(), ranges, []
        for params, value in known[len(self.told) :]:
            self.study.add_trial(optuna.trial.create_trial(params=params, distributions=spread, value=value))
        self.told = known
        asked = []
        for seed in seeds:
            self.study.sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)
            asked.append(self.study.ask(spread))
        for trial in asked:  # what becomes of them is told as history
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return [trial.params for trial in asked]


def _cma_es(ranges: dict[str, Range], known: Any, seeds: Sequence[int]) -> list[dict[str, float]]:
    from cmaes import CMA

    cube = np.tile([0.0, 1.0], (len(ranges), 1))
    search = CMA(mean=np.full(len(ranges), 0.5), sigma=1 / 6, bounds=cube, seed=seeds[0])
    size = search.population_size
    for start in range(0, len(known) - size + 1, size):
        if not search.should_stop():
            search.tell([(_shares(params, ranges), value) for params, value in known[start : start + size]])
    return [_point(search.ask(), ranges) for _ in seeds]


def _inside(params: dict[str, float], ranges: dict[str, Range]) -> bool:
    return params.keys() == ranges.keys() and all(
        low <= params[name] <= high for name, (low, high, _) in ranges.items()
    )


def _point(shares: Any, ranges: dict[str, Range]) -> dict[str, float]:
    return {
        name: float(np.clip(low * (high / low) ** share if log else low + (high - low) * share, low, high))
        for share, (name, (low, high, log)) in zip(shares, ranges.items(), strict=True)
    }


def _shares(params: dict[str, float], ranges: dict[str, Range]) -> Any:
    return np.array(
        [
            np.log(params[name] / low) / np.log(high / low) if log else (params[name] - low) / max(high - low, 1e-12)
            for name, (low, high, log) in ranges.items()
        ]
    )


class TrialLog:
    """The trials of one photo, in memory."""

    shared = False
    """Whether other workers may have trials in it, too."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}
        self.trials: list[Trial] = []
        self.count = 0

    def has(self, key: str) -> bool:
        """Look whether something is noted under a key."""
        return key in self.notes

    def note(self, key: str, value: Callable[[], Any]) -> Any:
        """Give what is noted under a key, by whoever was first."""
        if key not in self.notes:
            self.notes[key] = value()
        return self.notes[key]

    def finished(self) -> list[Trial]:
        """List the trials that have an answer, by their numbers."""
        return self.trials

    def running(self) -> int:
        """Count the trials that other workers are asking about."""
        return 0

    def taken_over(self) -> list[Trial]:
        """Take over the trials that a dead worker has left without an answer."""
        return []

    def reserve(self, trials: Sequence[Trial], limit: int) -> list[Trial]:
        """Number trials that are about to be asked about; left out are those beyond so many in all, and others' own."""
        numbered = [replace(trial, number=self.count + k) for k, trial in enumerate(trials)]
        self.count += len(numbered)
        return [trial for trial in numbered if trial.number < limit]

    def finish(self, trial: Trial) -> None:
        """Keep a trial with its answer."""
        self.trials.append(trial)

    def give_up(self) -> None:
        """Leave what has no answer to others."""


class StudyLog(TrialLog):
    """The trials of one photo in a study of Optuna's.

    Args:
        storage: URL of a database (``sqlite:///search.db``, ``postgresql://...``), or the path of a journal file.
        name: Of the study.

    Raises:
        InvalidInputError: No such kind of database.
        MissingDependencyError: Its driver is not installed.
        OutputError: It cannot be opened, is locked, or is damaged.
    """

    shared = True

    def __init__(self, storage: str, name: str) -> None:
        self.shown = check_storage(storage)
        with self._said():
            self.storage = _opened(storage)
            optuna = need_optuna()
            optuna.create_study(storage=self.storage, study_name=name, load_if_exists=True)
            self.study = self.storage.get_study_id_from_name(name)
        self.ids: dict[int, int] = {}
        self.known: dict[int, Trial] = {}

    def has(self, key: str) -> bool:
        """Look whether something is noted under a key."""
        with self._said():
            return key in self.storage.get_study_user_attrs(self.study)

    def note(self, key: str, value: Callable[[], Any]) -> Any:
        """Give what is noted under a key, by whoever was first."""
        with self._said():
            found = self.storage.get_study_user_attrs(self.study).get(key)
            if found is None:
                self.storage.set_study_user_attr(self.study, key, json.dumps(value()))
                found = self.storage.get_study_user_attrs(self.study)[key]
            return json.loads(found)

    def finished(self) -> list[Trial]:
        """List the trials that have an answer, by their numbers."""
        for frozen in self._all("COMPLETE"):
            if frozen.number not in self.known:
                trial = _of_frozen(frozen)
                self.known[frozen.number] = replace(trial, loss=frozen.value, success="success" in frozen.user_attrs)
        return [self.known[number] for number in sorted(self.known)]

    def running(self) -> int:
        """Count the trials that other workers are asking about."""
        return sum(frozen.number not in self.ids for frozen in self._all("RUNNING"))

    def taken_over(self) -> list[Trial]:
        """Take over the trials that a dead worker has left without an answer."""
        left = []
        for frozen in self._all("RUNNING"):
            others = frozen.number not in self.ids
            dead = others and _is_dead(frozen.user_attrs.get("worker", ""), frozen.datetime_start)
            if dead and self._failed(frozen._trial_id):
                left.append(_of_frozen(frozen))
        return self.reserve(left, 1 << 62)

    def reserve(self, trials: Sequence[Trial], limit: int) -> list[Trial]:
        """Number trials that are about to be asked about; see :meth:`TrialLog.reserve`."""
        optuna = need_optuna()
        numbered = []
        with self._said():
            for trial in trials:
                template = optuna.trial.create_trial(
                    state=optuna.trial.TrialState.RUNNING,
                    params=trial.params,
                    distributions={
                        name: optuna.distributions.FloatDistribution(min(value, 0.0), max(value, 1.0))
                        for name, value in trial.params.items()
                    },
                    user_attrs={"worker": _this_worker(), "trial": _as_json(trial)},
                )
                template.datetime_start = datetime.now()
                trial_id = self.storage.create_new_trial(self.study, template_trial=template)
                number = self.storage.get_trial_number_from_id(trial_id)
                self.ids[number] = trial_id
                numbered.append(replace(trial, number=number))
        first: dict[Any, int] = {}  # of trials alike, which two workers chose at once, the one of the lowest number
        for frozen in sorted(self._all("COMPLETE", "RUNNING"), key=lambda frozen: frozen.number):
            first.setdefault((tuple(sorted(frozen.params.items())), frozen.user_attrs["trial"]), frozen.number)
        allowed = set(list(first.values())[:limit])
        for trial in numbered:
            if trial.number not in allowed:  # another worker was quicker
                self._failed(self.ids.pop(trial.number))
        return [trial for trial in numbered if trial.number in allowed]

    def finish(self, trial: Trial) -> None:
        """Keep a trial with its answer."""
        optuna = need_optuna()
        with self._said():
            trial_id = self.ids.pop(trial.number)
            if trial.success:
                self.storage.set_trial_user_attr(trial_id, "success", True)
            self.storage.set_trial_state_values(trial_id, optuna.trial.TrialState.COMPLETE, [trial.loss])
        self.known[trial.number] = trial

    def give_up(self) -> None:
        """Leave what has no answer to others."""
        for trial_id in self.ids.values():
            self._failed(trial_id)
        self.ids.clear()

    def _all(self, *states: str) -> list[Any]:
        kinds = need_optuna().trial.TrialState
        with self._said():
            found: list[Any] = self.storage.get_all_trials(
                self.study, deepcopy=False, states=tuple(kinds[state] for state in states)
            )
            return found

    def _failed(self, trial_id: int) -> bool:
        """End a trial without an answer; False where somebody else has ended it."""
        optuna = need_optuna()
        with self._said():
            try:
                done: bool = self.storage.set_trial_state_values(trial_id, optuna.trial.TrialState.FAIL)
            except optuna.exceptions.UpdateFinishedTrialError:
                return False
            return done

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Turn what a database or a file does into a sentence."""
        try:
            yield
        except (InvalidInputError, MissingDependencyError, OutputError):
            raise
        except ImportError as error:
            raise MissingDependencyError(f"storage: {self.shown} needs a driver that is missing ({error})") from error
        except Exception as error:  # SQLAlchemy's, Optuna's, the driver's, and json's for a damaged journal
            raise OutputError(
                f"storage: {self.shown} cannot be used; it may be locked, damaged, or something else "
                f"({describe(error, 200)})"
            ) from error


def check_storage(storage: object) -> str:
    """Give a storage as messages show it, without its password.

    Raises:
        InvalidInputError: Neither the URL of a database nor the path of a journal file.
    """
    if isinstance(storage, os.PathLike):
        storage = os.fspath(storage)
    if not isinstance(storage, str) or not storage.strip():
        raise InvalidInputError(
            f"storage: a database's URL (sqlite:///search.db) or a journal file is needed, not {storage!r}"
        )
    scheme, separator, rest = storage.partition("://")
    if not separator:
        return storage
    return f"{scheme}://{'***@' if '@' in rest else ''}{rest.rpartition('@')[2]}"


def _opened(storage: str | os.PathLike[str]) -> Any:
    optuna = need_optuna()
    text = os.fspath(storage)
    if "://" not in text:
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        path = Path(text)
        if not path.parent.is_dir():
            raise OutputError(f"storage: there is no folder {path.parent}")
        backend = JournalFileBackend(text, lock_obj=JournalFileOpenLock(text))
        return optuna.storages.JournalStorage(backend)
    from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError

    waits = {"connect_args": {"timeout": PATIENCE}} if text.startswith("sqlite") else {}
    for tries_left in reversed(range(5)):
        try:
            return optuna.storages.RDBStorage(text, engine_kwargs=waits)
        except (ArgumentError, NoSuchModuleError) as error:  # noqa: PERF203 - five tries
            raise InvalidInputError(
                f"storage: sqlite:///FILE, postgresql://..., mysql://... or a journal file is needed, not "
                f"{check_storage(storage)}"
            ) from error
        except (IntegrityError, OperationalError) as error:  # another worker is making the same tables
            if not tries_left or "locked" in str(error):
                raise
            time.sleep(0.2)
    return None


def _as_json(trial: Trial) -> str:
    kept = {name: value for name, value in asdict(trial).items() if name in ("round", "base", "weights", "scale")}
    return json.dumps(kept)


def _of_frozen(frozen: Any) -> Trial:
    kept = json.loads(frozen.user_attrs["trial"])
    kept["weights"] = {int(number): weight for number, weight in kept["weights"].items()}
    return Trial(params=dict(frozen.params), number=frozen.number, **kept)


def _this_worker() -> str:
    import psutil

    own = psutil.Process()
    return json.dumps([socket.gethostname(), own.pid, own.create_time(), threading.get_ident()])


def _is_dead(worker: str, began: datetime | None) -> bool:
    """Whether the worker that began a trial is no more; of another machine's that is a guess by the time."""
    import psutil

    try:
        host, pid, created, _ = json.loads(worker)
    except ValueError:
        return True
    if host != socket.gethostname():
        return began is not None and datetime.now() - began > STALE
    try:
        # The time is counted from when the machine was started, which adjusted clocks move by a second.
        return bool(abs(psutil.Process(pid).create_time() - created) > CLOCK)
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # it is there, and somebody else's
        return False


def need_optuna() -> Any:
    """Import Optuna, quiet.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import cmaes  # noqa: F401 - of the same extra
        import optuna
        import psutil  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError('this attack needs Optuna: pip install "art-crop[tpe]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
