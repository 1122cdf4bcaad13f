"""Names that pass for others are shown so that they cannot; honest ones of any script stay readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.lookalike import shown
from claudebox.text import printable


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("/home/ada/\u0430pp", "/home/ada/\\u0430pp"),  # Cyrillic a
        ("/home/\u0430\u0440\u0440", "/home/\\u0430\\u0440\\u0440"),  # all of it
        ("\uff0fetc", "\\uff0fetc"),
        ("a\u2215b", "a\\u2215b"),
        ("a \u2192 b", "a \\u2192 b"),
        ("\U0001d41apple", "\\U0001d41apple"),  # a bold a
        ("s\u0131de", "s\\u0131de"),  # a dotless i
        ("\u0301x", "\\u0301x"),  # would sit on what stands before it
        ("a\x1b[2K\u202eb", "a\\x1b[2K\\u202eb"),
    ],
)
def test_what_deceives(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize("text", ["/home/ada/app", "résumé", "Документы", "作業/データ", "ελληνικά", "straße", "x²"])
def test_what_is_honest(text: str) -> None:
    assert shown(text) in (text, text.replace("²", "\\u00b2"))


@given(st.text())
def test_it_escapes_at_least_what_is_not_printable(text: str) -> None:
    seen = shown(text)
    assert printable(seen) == seen
    assert shown(seen) == seen
