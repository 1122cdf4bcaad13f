"""What a gateway's log says: events out of hostile lines, counts, and a profile that is right."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from claudebox import validate
from claudebox.allowing import parse
from claudebox.model import Why
from claudebox.plan.network.learned import Asked, Event, as_value, counted, event, profile
from claudebox.plan.network.rules import decide


def line(**fields: Any) -> bytes:
    return json.dumps(
        {"time": 1700000000.5, "verdict": "allowed", "name": "a.example.com", "port": 443, **fields}
    ).encode()


def made(**fields: Any) -> Event:
    found = event(line(**fields))
    assert found
    return found


def test_an_event() -> None:
    found = made(up=3, program="curl", unknown=4)
    assert found == Event(1700000000.5, "allowed", "a.example.com", "", 443, "", "", 3, 0, "curl", 0)
    assert as_value(found) == {
        "time": 1700000000.5, "verdict": "allowed", "name": "a.example.com", "port": 443, "up": 3, "program": "curl",
    }  # fmt: skip


def test_what_is_no_event() -> None:
    torn = line()[:30]
    for text in (b"", torn, b"[]", b"3", b"{}", b"[" * 5000, line(reason="x" * 5000), line(verdict=3), b"\xff"):
        assert event(text) is None
    odd = made(port="x", up=1 << 80, name=3, time=True)
    assert (odd.port, odd.up, odd.name, odd.time) == (0, 0, "", 0)


def test_counts() -> None:
    events = [
        made(), made(), made(repeated=3), made(port=80), made(name="b.org", verdict="refused", reason="no rule"),
        made(verdict="ended"), made(name="", address="203.0.113.7", port=22), made(name=""),
    ]  # fmt: skip
    assert counted(events) == (
        Asked("203.0.113.7", 22, 1, 0, ""),
        Asked("a.example.com", 80, 1, 0, ""),
        Asked("a.example.com", 443, 6, 0, ""),
        Asked("b.org", 443, 0, 1, "no rule"),
    )
    assert len(counted(made(name=f"a{number}.example.com") for number in range(5000))) == 4096


def test_a_profile_of_what_was_reached() -> None:
    asked = counted(
        [
            made(), made(port=80), made(name="db.example.com", port=5432), made(name="known.example.com"),
            made(name="2001:db8::1", port=22), made(name="no.example.com", verdict="refused", reason="it is\n10.0.0.1"),
            made(name='x"]\nevil', port=1), made(name="a b"),
        ]
    )  # fmt: skip
    text = profile(asked, (parse("known.example.com", Why("")),))
    assert text == (
        '[network]\ntier = "allowlist"\nallow = [\n    "[2001:db8::1]:22",  # once\n    "a.example.com",  # 2 times\n'
        '    "db.example.com:5432",  # once\n    # "no.example.com:443",  # refused once: it is\\n10.0.0.1\n]\n'
    )
    assert not validate.problems(tomllib.loads(text))
    assert profile((), ()) == '[network]\ntier = "allowlist"\nallow = [\n]\n'


ASKED = st.builds(
    Asked, what=st.text(max_size=40), port=st.integers(-1, 70000), reached=st.integers(0, 3), refused=st.integers(0, 3),
    reason=st.text(max_size=20),
)  # fmt: skip


@given(st.lists(ASKED, max_size=8))
def test_whatever_was_asked_for_the_profile_is_right(asked: list[Asked]) -> None:
    text = profile(asked, ())
    found = tomllib.loads(text)
    assert not validate.problems(found)
    rules = tuple(parse(one, Why("")) for one in found["network"]["allow"])
    for one in asked:  # nothing that was only refused is in it
        if decide(rules, one.what, one.port).allowed:
            assert any(other.reached for other in asked)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_none(data: bytes) -> None:
    for text in (data, line()[:-1] + b"," + data, line(name=data.decode("latin-1"))):
        event(text)
