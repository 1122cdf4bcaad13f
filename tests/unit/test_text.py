"""Text for terminals, JSON by hand, and amounts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.jsontext import json_text
from claudebox.text import amount, span


@given(st.text(st.characters(exclude_categories=())))
def test_a_json_text_is_read_back_as_it_was(text: str) -> None:
    written = json_text(text)
    assert json.loads(written.encode()) == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (90 * 86400, "90 d")],
)
def test_span(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1536 << 10, "1.5 MiB"), (3 << 40, "3.0 TiB")]
)
def test_amount(size: int, shown: str) -> None:
    assert amount(size) == shown
