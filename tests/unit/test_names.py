"""The name server's messages: what is a question, what is answered, and that nothing makes the reader stumble."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import names as world
from claudebox.plan.network import names
from claudebox.plan.network.names import Query, answer, packed, read, reversed_address

HEAD = struct.Struct("!HHHHHH")


def query(name: str, kind: int = names.A) -> Query:
    found = read(world.question(name, kind))
    assert isinstance(found, Query)
    return found


def test_a_question() -> None:
    found = query("API.Example.COM", names.AAAA)
    assert (found.number, found.name, found.kind, found.extended) == (7, "api.example.com", names.AAAA, False)
    assert found.question == world.question("API.Example.COM", names.AAAA)[12:]


def test_an_answer_repeats_the_question_as_it_was_written() -> None:
    found = query("Example.com")
    said = answer(found, names.NOERROR, bytes([198, 18, 1, 0]), lasts=30)
    assert HEAD.unpack_from(said) == (7, 0x8180, 1, 1, 0, 0)
    assert said[12:] == found.question + b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\xc6\x12\1\0"


def test_an_answer_without_a_record() -> None:
    said = answer(query("example.com"), names.NO_SUCH_NAME)
    assert HEAD.unpack_from(said) == (7, 0x8183, 1, 0, 0, 0) and said[12:] == query("example.com").question


def test_edns_is_answered_in_kind() -> None:
    asked = bytearray(world.question("example.com") + b"\0\0\x29\x10\0\0\0\x80\0\0\0")
    asked[11] = 1
    found = read(bytes(asked))
    assert isinstance(found, Query) and found.extended
    said = answer(found, names.NOERROR)
    assert HEAD.unpack_from(said)[5] == 1 and said.endswith(b"\0\0\x29\x04\xd0\0\0\0\0\0\0")


def changed(at: int, value: bytes, message: bytes = world.question("example.com")) -> bytes:
    return message[:at] + value + message[at + len(value) :]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(changed(4, b"\0\2"), names.MALFORMED, id="two questions"),
        pytest.param(changed(4, b"\0\0"), names.MALFORMED, id="no question"),
        pytest.param(changed(2, b"\x28\0"), names.NOT_DONE, id="an update"),
        pytest.param(changed(12, b"\xc0"), names.MALFORMED, id="a pointer"),
        pytest.param(changed(12, b"\x3f"), names.MALFORMED, id="a label beyond the end"),
        pytest.param(world.question("example.com")[:-1], names.MALFORMED, id="cut off"),
        pytest.param(changed(-2, b"\0\3", world.question("example.com")), names.REFUSED, id="chaos"),
        pytest.param(world.question(".".join(["a" * 60] * 5)), names.MALFORMED, id="too long a name"),
    ],
)
def test_what_is_no_question(message: bytes, code: int) -> None:
    said = read(message) if message[-2:] != b"\0\3" else read(message[:-2] + b"\0\3")
    assert isinstance(said, bytes) and said[:2] == message[:2]
    assert said[2] & 0x80 and said[3] & 15 == code


@pytest.mark.parametrize("message", [b"", b"x" * 11, changed(2, b"\x81\x80"), bytes(5000)])
def test_what_has_no_answer(message: bytes) -> None:
    """An answer is none: two name servers that answered each other would do so for ever."""
    assert read(message) == b""


@pytest.mark.parametrize("label", [b"a b", b"a.b", b"\xff", b"\x1b[2J", b'"', b"a/b"])
def test_what_no_host_is_called(label: bytes) -> None:
    message = HEAD.pack(7, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\3com\0\0\1\0\1"
    found = read(message)
    assert isinstance(found, Query) and found.name == ""


def test_reverse_names() -> None:
    assert reversed_address("5.1.18.198.in-addr.arpa") == (4, 0xC6120105)
    assert reversed_address(".".join("1" * 32) + ".ip6.arpa") == (6, int("1" * 32, 16))
    for text in ("in-addr.arpa", "300.1.1.1.in-addr.arpa", "1.1.1.in-addr.arpa", "x.1.1.1.in-addr.arpa", "ip6.arpa"):
        assert reversed_address(text) is None


def test_a_packed_name() -> None:
    assert packed("a.example") == b"\1a\7example\0"


@given(st.binary(max_size=600))
def test_any_bytes(message: bytes) -> None:
    found = read(message)
    assert found == b"" or isinstance(found, Query) or found[2] & 0x80


@given(st.integers(0, 600), st.binary(min_size=1, max_size=4), st.integers(0, 40))
def test_a_damaged_question(at: int, value: bytes, cut: int) -> None:
    message = world.question("api.example.com")
    at %= len(message)
    message = (message[:at] + value + message[at + len(value) :])[: len(message) - cut]
    found = read(message)
    if isinstance(found, Query):
        assert len(found.name) <= 253 and set(found.name) <= names.LETTERS
        assert len(answer(found, names.NOERROR, bytes(4))) <= 512
