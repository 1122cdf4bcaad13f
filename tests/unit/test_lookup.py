"""The answers of the program that looks names up."""

from __future__ import annotations

from claudebox import address, lookup


def test_answers_are_read() -> None:
    found = lookup.parsed(b"nas.lan 192.168.1.9 fd12::9\nnobody.lan\n")
    assert {name: [address.text(one) for one in each] for name, each in found.items()} == {
        "nas.lan": ["192.168.1.9", "fd12::9"],
        "nobody.lan": [],
    }


def test_a_line_that_is_cut_off_is_no_answer() -> None:
    assert list(lookup.parsed(b"one.lan 192.168.1.9\ntwo.lan 192.168.1")) == ["one.lan"]
    assert lookup.parsed(b"") == {}
