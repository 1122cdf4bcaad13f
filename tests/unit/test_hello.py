"""The ClientHello parser, against hellos that OpenSSL makes and against what it reads in mutated ones."""

from __future__ import annotations

import random
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox.plan.network.hello import MOST_DATA, Hello, client_hello


def hello(name: str | None = "a.example.com", alpn: tuple[str, ...] = (), oldest: bool = False) -> bytes:
    """What OpenSSL's client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if oldest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class Server:
    """OpenSSL's server: which name it read in a hello; "nothing" where it got that far and there was none."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.sni_callback = lambda _object, name, _context: self.names.append(name)
        self.names: list[str | None] = []

    def reads(self, data: bytes) -> list[str | None]:
        self.names = []
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        try:
            self.context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
        except (ssl.SSLError, ValueError, UnicodeError):
            pass
        return self.names


def records(data: bytes, size: int) -> bytes:
    """The same message in records of at most size bytes."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


def with_extension(data: bytes, kind: int, value: bytes) -> bytes:
    """The hello with one more extension at the end."""
    body = data[9:]
    at = 34 + 1 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extensions = body[at + 2 :] + struct.pack(">HH", kind, len(value)) + value
    body = body[:at] + struct.pack(">H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


@pytest.mark.parametrize("oldest", [False, True])
def test_hellos_of_openssl(oldest: bool) -> None:
    assert client_hello(hello(oldest=oldest)) == Hello(sni="a.example.com", ech=False, alpn=())
    assert client_hello(hello(None, oldest=oldest)) == Hello(sni=None, ech=False, alpn=())
    assert client_hello(hello(alpn=("h2", "http/1.1"))) == Hello("a.example.com", False, ("h2", "http/1.1"))
    assert client_hello(hello("bücher.example")) == Hello("xn--bcher-kva.example", False, ())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, 200])
def test_a_hello_in_several_records(size: int) -> None:
    data = records(hello(), size)
    assert client_hello(data) == client_hello(hello())
    assert client_hello(data + b"\x14\x03\x03\0\1\1") == client_hello(hello())


def test_every_part_of_one_wants_more() -> None:
    for data in (hello(), records(hello(), 50)):
        assert all(client_hello(data[:length]) is None for length in range(len(data)))


@pytest.mark.parametrize("kind", [0xFE0D, 0xFFCE])
def test_encrypted_ones_are_seen(kind: int) -> None:
    found = client_hello(with_extension(hello(), kind, b"\0" * 40))
    assert found == Hello(sni="a.example.com", ech=True, alpn=())


SNI = b"\0\x08\0\0\x05b.com"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",  # of SSL 2
        b"SSH-2.0-x\r\n",
        b"\x16\x02",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff\1",
        b"\x16\x03\x01\0\5\2\0\0\0\0",
        b"\x16\x03\x01\0\4\1\xff\xff\xff",
        b"\x16\x03\x01\0\5\1\0\0\0\0",
        with_extension(hello(), 0, SNI),  # the name twice
        with_extension(hello(None), 0, b"\0\x10\0\0\x05b.com\0\0\x05c.com"),
        with_extension(hello(None), 0, b"\0\x08\1\0\x05b.com"),
        with_extension(hello(None), 0, b"\0\x08\0\0\x05b.co\0"),
        with_extension(hello(None), 0, b"\0\x08\0\0\x05b.c\xff\xff"),
        with_extension(hello(None), 0, b"\0\x0a\0\0\x071.2.3.4"),
        with_extension(hello(None), 0, b"\0\x03\0\0\0"),
        with_extension(hello(None), 0, SNI + b"\0"),
        with_extension(hello(None), 16, b"\0\0"),
        records(hello(), 30)[:70] + b"\x15\x03\x03\0\2\1\0" + records(hello(), 30)[70:],
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(ValueError):
        client_hello(data)


def test_one_that_never_ends_is_none() -> None:
    piece = b"\x16\x03\x01\0\1" + b"\0"
    head = b"\x16\x03\x01\0\4\1\0\x3f\0"
    with pytest.raises(ValueError, match="too long"):
        client_hello(head + piece * MOST_DATA)


def test_a_name_that_the_server_has_not_asked_for_is_never_let_through() -> None:
    """Mutated hellos: where we read the listed name, OpenSSL reads the same or nothing at all."""
    chance = random.Random(20)
    server = Server()
    seeds = [hello(), hello(oldest=True), records(hello(), 90), with_extension(hello(None), 0, SNI)]
    seeds += [with_extension(hello(), 0xFE0D, b"\0" * 30), hello("b.example.com", ("h2",))]
    assert server.reads(seeds[0]) == ["a.example.com"]
    read = both = 0
    for _ in range(60000):
        data = mutated(chance, seeds)
        try:
            found = client_hello(data)
        except ValueError:
            continue
        if found is None:
            continue
        read += 1
        names = server.reads(data)
        both += bool(names)
        seen = {name.lower().removesuffix(".") if name else None for name in names}
        assert seen <= {found.sni}, (data, found, names)
    assert both > read / 3 > 100  # most of what we read OpenSSL reads as well


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at] ^= 1 << chance.randrange(8)
            case 2:
                del data[at : at + chance.randint(1, 8)]
            case 3:
                data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
            case 4:
                other = chance.choice(seeds)
                start = chance.randrange(len(other))
                data[at : at + 20] = other[start : start + 20]
            case _:
                data[at : at + 1] = bytes([(data[at] + chance.choice([1, 255])) % 256])
    return bytes(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_hello_or_none(data: bytes) -> None:
    for start in (b"", b"\x16\x03\x01", hello()[:60]):
        try:
            client_hello(start + data)
        except ValueError:
            pass
