"""Text from outside as a reader of a report should see it: with the signs that are made not to be seen."""

from __future__ import annotations

__all__ = ["visible"]

_HIDDEN = [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F)]
_SHOWN = {code: f"⟨U+{code:04X}⟩" for code in [*_HIDDEN, *range(0x2066, 0x206A), 0xFEFF]}


def visible(text: object) -> str:
    """Text whose control characters can be seen: one of them makes a name of a program read as that of a photo."""
    return str(text).translate(_SHOWN)
