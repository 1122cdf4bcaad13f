"""The name server of the test internet: one zone, answers made by hand (RFC 1035).

Names ending in `.test` resolve to public, private, metadata and embedded addresses; `rebind.test` changes its answer.
The two names of the real internet are what `doctor --sandbox --online` tries.
"""

from __future__ import annotations

import socket
import struct

A, AAAA = 1, 28

PUBLIC4, PUBLIC6 = "203.0.113.10", "2001:db8:1::10"
LAN4, LAN6 = "192.168.77.10", "2001:db8:77::10"

ZONE: dict[str, tuple[str, ...]] = {
    "public.test": (PUBLIC4, PUBLIC6),
    "public4.test": (PUBLIC4,),
    "public6.test": (PUBLIC6,),
    "lan.test": (LAN4, LAN6),
    "ula.test": ("fd77::10",),
    "host.test": ("198.51.100.2", "2001:db8:77::1"),
    "loopback.test": ("127.0.0.1", "::1"),
    "metadata.test": ("169.254.169.254", "fd00:ec2::254"),
    "mapped.test": ("::ffff:192.168.77.10",),
    "nat64.test": ("64:ff9b::c0a8:4d0a",),
    "sixtofour.test": ("2002:c0a8:4d0a::1",),
    "zero.test": ("0.0.0.0", "::"),
    "github.com": (PUBLIC4, PUBLIC6),
    "api.anthropic.com": (PUBLIC4, PUBLIC6),
    "wild.test": (PUBLIC4,),
    "xn--bcher-kva.test": (PUBLIC4, PUBLIC6),
    "many.test": tuple(f"203.0.113.{n}" for n in range(1, 121)),  # does not fit in a datagram
}
# Whatever stands before it.
WILD, BELOW = ".wild.test", (PUBLIC4, PUBLIC6)
# One after the other: each question of this name gets the next answer.
CHANGING: dict[str, tuple[str, ...]] = {
    "rebind.test": (PUBLIC4, LAN4),
    "rebind6.test": (PUBLIC6, LAN6),
}


def answer(query: bytes, asked: dict[str, int], *, stream: bool) -> tuple[str, bytes]:
    """The name that was asked for, and the answer. asked: how often each changing name was, and is updated."""
    number, flags = struct.unpack_from(">HH", query)
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", errors="replace"))
        at += 1 + length
    name = ".".join(labels).lower()
    (kind,) = struct.unpack_from(">H", query, at + 1)
    addresses = BELOW if name.endswith(WILD) else ZONE.get(name)
    family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
    if name in CHANGING:
        turns = CHANGING[name]
        addresses = (turns[asked.get(name, 0) % len(turns)],)
        if (":" in turns[0]) == (kind == AAAA):
            asked[name] = asked.get(name, 0) + 1
    known = addresses is not None
    chosen = [a for a in addresses or () if (":" in a) == (kind == AAAA)] if kind in (A, AAAA) else []
    records = [
        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
        for packed in (socket.inet_pton(family, address) for address in chosen)
    ]
    truncated = not stream and 12 + at + sum(map(len, records)) > 512
    if truncated:
        records = []
    flags = 0x8180 | (flags & 0x0110) | (0x0200 if truncated else 0) | (0 if known else 3)
    head = struct.pack(">HHHHHH", number, flags, 1, len(records), 0, 0)
    return name, head + query[12 : at + 5] + b"".join(records)


def question(name: str, kind: int = A, number: int = 7) -> bytes:
    """A query for a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
