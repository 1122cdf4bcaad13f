"""Text from places that an agent can write, made safe to show. A leaf, and pure."""

from __future__ import annotations

SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: str) -> str:
    """The text with all that a terminal would obey or hide escaped: control characters, escape
    sequences, bidi and zero-width characters, and bytes that are not UTF-8 (as `\\xNN`)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if character in SHORT:
        return SHORT[character]
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # a byte that Python could not decode
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
