"""JSON of scalars, written by hand: importing json costs a launch 2 ms. A leaf."""

from __future__ import annotations


def json_text(value: str | bool | int | None) -> str:
    """A scalar as JSON, in ASCII. Bytes that are not UTF-8, as surrogates, become `\\udcXX`, as json writes them."""
    if isinstance(value, str):
        return '"' + (value if _plain(value) else "".join(map(_escaped, value))) + '"'
    return "null" if value is None else str(value).lower()


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _escaped(character: str) -> str:
    if _plain(character):
        return character
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 | code >> 10:04x}\\u{0xDC00 | code & 0x3FF:04x}"
