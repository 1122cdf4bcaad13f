"""The first thing that a TLS client says: its ClientHello (RFC 8446, 4.1.2), read without answering it.

Whatever a server might read in another way is no hello: a name twice, bytes behind the end, records of another kind
in between. Those are refused, as no client says them.
"""

from __future__ import annotations

from claudebox.hostname import normal
from claudebox.record import NamedTuple

MOST = 16 << 10  # bytes of a hello; those of browsers with post-quantum keys have 2,000
MOST_DATA = 2 * MOST  # with the heads of its records, which may be as short as one byte
RECORD, HANDSHAKE, CLIENT_HELLO = 5, 22, 1
LONGEST_RECORD = 1 << 14
SERVER_NAME, ALPN = 0, 16
ENCRYPTED = frozenset({0xFE0D, 0xFFCE})  # ECH (RFC 9849), and what it was as a draft


class Hello(NamedTuple):
    """sni: the name, normal, None without one; ech: it carries an encrypted hello, or GREASE that looks like one; alpn:
    the protocols it speaks, as text."""

    sni: str | None
    ech: bool
    alpn: tuple[str, ...]


class _Reader:
    """Takes bytes from the front. Raises ValueError beyond the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise ValueError("cut off")
        found = self.data[self.at : end]
        self.at = end
        return found

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def vector(self, octets: int) -> bytes:
        """Bytes behind their length, which has so many octets."""
        return self.take(self.number(octets))

    @property
    def left(self) -> int:
        return len(self.data) - self.at


def client_hello(data: bytes) -> Hello | None:
    """The hello at the start of what a client sent; None while more bytes are needed. Raises ValueError for what is
    none. data: as it came, at most MOST_DATA of it is looked at."""
    message = _message(data[:MOST_DATA])
    if message is None:
        if len(data) >= MOST_DATA:
            raise ValueError("too long for a TLS hello")
        return None
    return _hello(message)


def _message(data: bytes) -> bytes | None:
    """The handshake message out of its records; None where it is not whole yet."""
    message, at = b"", 0
    while at < len(data):
        if data[at] != HANDSHAKE or data[at + 1 : at + 2] not in (b"", b"\3"):
            raise ValueError("no TLS")
        if len(data) - at < RECORD:
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= LONGEST_RECORD:
            raise ValueError("no TLS record")
        message += data[at + RECORD : at + RECORD + length]
        at += RECORD + length
        whole = _length(message)
        if whole is not None and len(message) >= whole:
            if len(message) > whole or at > len(data):
                raise ValueError("bytes behind the TLS hello")
            return message[4:]
    return None


def _length(message: bytes) -> int | None:
    """How long the message is with its head; None where that is not whole."""
    if message[:1] not in (b"", bytes([CLIENT_HELLO])):
        raise ValueError("no TLS hello")
    if len(message) < 4:
        return None
    length = 4 + int.from_bytes(message[1:4], "big")
    if length > MOST:
        raise ValueError("too long for a TLS hello")
    return length


def _hello(message: bytes) -> Hello:
    reader = _Reader(message)
    if reader.number(1) != 3:
        raise ValueError("an unknown version of TLS")
    reader.take(1 + 32)  # the version's other half, the random
    if len(reader.vector(1)) > 32:
        raise ValueError("too long a session")
    ciphers = reader.vector(2)
    if not ciphers or len(ciphers) % 2 or not reader.vector(1):
        raise ValueError("no ciphers, or no compression")
    found = _extensions(reader.vector(2)) if reader.left else {}
    if reader.left:
        raise ValueError("bytes behind the extensions")
    return Hello(
        sni=_name(found[SERVER_NAME]) if SERVER_NAME in found else None,
        ech=not ENCRYPTED.isdisjoint(found),
        alpn=_protocols(found[ALPN]) if ALPN in found else (),
    )


def _extensions(data: bytes) -> dict[int, bytes]:
    reader = _Reader(data)
    found: dict[int, bytes] = {}
    while reader.left:
        kind, value = reader.number(2), reader.vector(2)
        if kind in found:
            raise ValueError("an extension twice")
        found[kind] = value
    return found


def _name(data: bytes) -> str:
    """The one name of the list: there is but one kind, and no kind may come twice."""
    reader = _Reader(data)
    names = _Reader(reader.vector(2))
    kind, name = names.number(1), names.vector(2)
    if reader.left or names.left or kind:
        raise ValueError("more than one name")
    return normal(name.decode("ascii"))  # a UnicodeDecodeError is a ValueError


def _protocols(data: bytes) -> tuple[str, ...]:
    reader = _Reader(data)
    names, found = _Reader(reader.vector(2)), []
    while names.left:
        found.append(names.vector(1).decode("latin-1"))
    if reader.left or not found or not all(found):
        raise ValueError("no protocols")
    return tuple(found)
