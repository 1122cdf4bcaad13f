"""Text made safe to show or to write down, and amounts as a person reads them. A leaf, and pure."""

from __future__ import annotations

SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def printable(text: str) -> str:
    """The text with all that a terminal would obey or hide escaped: control characters, escape
    sequences, bidi and zero-width characters, and bytes that are not UTF-8 (as `\\xNN`)."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else escaped(one) for one in text)


def escaped(character: str) -> str:
    """A character as an escape sequence."""
    number = ord(character)
    if character in SHORT:
        return SHORT[character]
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00  # a byte that Python could not decode
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def span(seconds: float) -> str:
    """A stretch of time by its largest unit: `12 s`, `5 min`, `3 h`, `40 d`; never below zero."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def amount(size: int) -> str:
    """Bytes by the power of 1024 that fits: `512 B`, `1.5 MiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
