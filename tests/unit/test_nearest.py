"""The word that was meant."""

from __future__ import annotations

import pytest

from claudebox.nearest import nearest

WORDS = ("offline", "allowlist", "internet-only", "full", "--Mixed")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("ofline", "offline"), ("FULL", "full"), ("intrenet", "internet-only"), ("--mixd", "--Mixed")]
    + [(word, "") for word in ("", "zzz", "offline" * 20, "\udcff")],
)
def test_nearest(word: str, meant: str) -> None:
    assert nearest(word, WORDS) == meant


def test_among_none() -> None:
    assert nearest("x", ()) == ""
