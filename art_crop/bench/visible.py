"""Text from outside with its control characters shown, among them those that turn the direction of writing."""

from __future__ import annotations

__all__ = ["visible"]

_HIDDEN = [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F)]
_SHOWN = {code: f"⟨U+{code:04X}⟩" for code in [*_HIDDEN, *range(0x2066, 0x206A), 0xFEFF]}


def visible(text: object) -> str:
    """Replace control characters by their codes: hidden, one can make the name of a program read as that of a photo."""
    return str(text).translate(_SHOWN)
