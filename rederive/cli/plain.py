"""Stored text as it may be shown on a terminal: others wrote it."""

import unicodedata

_BIDI = ("\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)))


def plain(text: str) -> str:
    r"""The text with control characters and marks of direction escaped (`\x1b`, `\u202e`); newline and tab stay."""
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if one in _BIDI or (unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t")
        else one
        for one in text
    )
