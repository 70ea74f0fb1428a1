"""Text of a record: blanks, control characters, blanks in disguise."""

from __future__ import annotations

import unicodedata

TEXT_BYTES_MAX = 4_096
# White_Space of Unicode. str.isspace() is another set: it takes U+001C to U+001F for blanks.
BLANKS = frozenset(
    [chr(code) for code in (*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))]
    + ["\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
)
BLANK_TEXT = "".join(sorted(BLANKS))
DIRECTION_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NOTHING = frozenset(["", "-", "null", "#n/a", "n/a", "none"])


def is_control(char: str) -> bool:
    """Invisible, and no blank."""
    if char in DIRECTION_CONTROLS:
        return True
    return unicodedata.category(char) == "Cc" and char not in BLANKS


def faults(text: str) -> list[str]:
    """What is wrong with a text whatever field it is in."""
    found = []
    if any(map(is_control, text)):
        found.append("text_control_character")
    if len(text.encode("utf-8")) > TEXT_BYTES_MAX:
        found.append("text_too_long")
    return found


def trim(text: str) -> str:
    """Without blanks at both ends."""
    return text.strip(BLANK_TEXT)


def without_blanks(text: str) -> str:
    """Without any blank."""
    return "".join(char for char in text if char not in BLANKS)


def clean(text: str) -> str | None:
    """NFC, trimmed, runs of blanks made one space; None for a blank in disguise."""
    composed = unicodedata.normalize("NFC", text)
    tidy = " ".join("".join(" " if char in BLANKS else char for char in composed).split(" "))
    while "  " in tidy:
        tidy = tidy.replace("  ", " ")
    tidy = tidy.strip(" ")
    return None if ascii_lower(tidy) in NOTHING else tidy


def ascii_lower(text: str) -> str:
    """Lower case of A to Z alone."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def word(text: str) -> str:
    """For comparison: without blanks, lower case."""
    return "".join(char.lower() for char in without_blanks(text))
