"""What a protocol is: a function from a photo under one setting to what was found, its options, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from art_crop.errors import InvalidInputError

if TYPE_CHECKING:
    from art_crop.bench.case import Case

__all__ = ["NotMeasured", "Outcome", "Protocol", "check_options"]


class NotMeasured(Exception):  # noqa: N818 - no error of the program: the photo has no number, and the row says why
    """This photo has no number under this setting."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass
class Outcome:
    """What a protocol found: success before and after, its own measures, and facts for pictures."""

    success: bool
    success_before: bool
    metrics: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """A protocol: its function, the task of the models it measures, and its options with their defaults.

    Attributes:
        measures: Names of the numbers that it gives for every photo.
        params: Options of the protocol that are parameters of the attack as well: option -> parameter.
        reached: What "reached" means under some options, and what pictures of it show, as a sentence for readers.
    """

    name: str
    task: str
    measure: Callable[[Case], Outcome]
    options: Mapping[str, Any]
    check: Callable[[Mapping[str, Any]], None]
    measures: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    reached: Callable[[Mapping[str, Any]], str] = lambda options: ""


def check_options(protocol: Protocol, options: Mapping[str, Any]) -> None:
    """Refuse options that the protocol does not have, and values that it cannot use.

    Raises:
        InvalidInputError: There are such.
    """
    for name in options:
        if name not in protocol.options:
            raise InvalidInputError(
                f"{name!r} is no option of {protocol.name!r}; allowed: {', '.join(protocol.options)}"
            )
    protocol.check({**protocol.options, **options})
