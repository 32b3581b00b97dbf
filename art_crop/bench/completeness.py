"""How much of a run is there: the suite in ``run.json`` says which settings, and how many photos, it was to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from art_crop.bench.frame import Frame
from art_crop.bench.resolved import settings_of
from art_crop.bench.store import RunInfo
from art_crop.bench.suite import Setting, canonical

__all__ = ["Completeness", "completeness"]

_NAMED = 5
_NUMBERS = ("seed", "eps")
_Key = tuple[str | float, ...]


@dataclass(frozen=True)
class Completeness:
    """Results that are there, those that were to come, and settings of which there is none.

    Attributes:
        found: Results, with those that were left out or ended with an error.
        expected: Photos times settings; None where ``run.json`` does not say.
        without: Settings that have no result at all, in words.
    """

    found: int
    expected: int | None = None
    without: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether nothing is known to be missing."""
        return self.expected is None or self.found >= self.expected

    def sentence(self, of: str = "this run") -> str:
        """What a reader has to know; "" for a finished run."""
        if self.finished:
            return ""
        text = f"{self.found:,} of {self.expected:,} results: {of} is not finished. The same command goes on."
        named = "; ".join(self.without[:_NAMED])
        more = f"; and {len(self.without) - _NAMED} more" if len(self.without) > _NAMED else ""
        return f"{text} No result yet of: {named}{more}." if named else text


def completeness(info: RunInfo, frame: Frame) -> Completeness:
    """Compare the rows of a run with what its suite asks for.

    Where the suite cannot be read, the settings that some row has are taken for all that there are.
    """
    photos = info.data.get("photos")
    if not isinstance(photos, int) or isinstance(photos, bool) or photos < 1:
        return Completeness(len(frame))
    counts = _counts(frame)
    settings = settings_of(info.suite_content)
    wanted = [_key(one) for one in settings] if settings else list(counts)
    found = sum(min(photos, counts.get(key, 0)) for key in wanted)
    without = [one for one, key in zip(settings, wanted, strict=False) if key not in counts]
    return Completeness(found, photos * len(wanted) if wanted else None, tuple(_labels(without, settings)))


def _counts(frame: Frame) -> dict[_Key, int]:
    """Rows of each setting that has any."""
    names = ("suite_method", "attacked", "scored", "params")
    _, first, counts = np.unique(frame.groups(names, _NUMBERS), return_index=True, return_counts=True)
    texts = [frame.text(name) for name in names]
    numbers = [np.nan_to_num(frame.numbers(name)[first], nan=-1.0).tolist() for name in _NUMBERS]
    return {
        (*(text.categories[text.codes[row]] for text in texts), *own): int(count)
        for row, own, count in zip(first, zip(*numbers, strict=True), counts, strict=True)
    }


def _key(setting: Setting) -> _Key:
    eps = setting.params.get("eps")
    eps = float(eps) if isinstance(eps, (int, float)) else -1.0
    params = canonical(dict(setting.params))
    return (setting.method, setting.attacked, setting.scored, params, float(setting.seed), eps)


def _labels(some: Sequence[Setting], every: Sequence[Setting]) -> list[str]:
    """Settings in words: the method, and of models, parameters and seeds those that tell it from others."""
    scored, seeds = len({one.scored for one in every}) > 1, len({one.seed for one in every}) > 1
    found = []
    for one in some:
        alike = [other.params for other in every if (other.method, other.attacked) == (one.method, one.attacked)]
        words = [
            f"{one.method}{f' from {one.attacked}' if one.attacked else ''}{f' on {one.scored}' if scored else ''}"
        ]
        for name, value in one.params.items():
            if any(canonical(other.get(name)) != canonical(value) for other in alike):
                words.append(f"{'budget' if name == 'eps' else name} {value:g}" if isinstance(value, float) else
                             f"{name} {value}")  # fmt: skip
        words += [f"seed {one.seed}"] if seeds else []
        found.append(", ".join(words))
    return found
