"""DNS messages (RFC 1035) as tier allowlist needs them: one question read, one answer made. Pure, and never forwards.

What is read comes from inside: every length is checked, nothing is decompressed, and a message that is no plain
question gets an error or nothing at all.
"""

from __future__ import annotations

import struct

from claudebox.record import NamedTuple

A, PTR, AAAA = 1, 12, 28
NOERROR, MALFORMED, FAILED, NO_SUCH_NAME, NOT_DONE, REFUSED = 0, 1, 2, 3, 4, 5
INTERNET = 1
LARGEST = 4096  # bytes of a question; a longer one is none
LABELS, LETTERS = 253, frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
RESPONSE, TRUNCATED, DESIRED, AVAILABLE, OPCODE = 0x8000, 0x0200, 0x0100, 0x0080, 0x7800
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"  # EDNS(0): we take 1232 bytes, and know no option


class Query(NamedTuple):
    """A question. name: lower case, without a dot at its end, "" for the root or for one that no host can have;
    question: its bytes, repeated in the answer; extended: it came with EDNS."""

    number: int
    flags: int
    name: str
    kind: int
    question: bytes
    extended: bool


def read(message: bytes) -> Query | bytes:
    """The question of a message, or the answer to one that can have no other; b"" where there is none at all."""
    if not 12 <= len(message) <= LARGEST:
        return b""
    number, flags, count, _, _, additional = struct.unpack_from("!HHHHHH", message)
    if flags & RESPONSE:
        return b""
    nothing = Query(number=number, flags=flags, name="", kind=0, question=b"", extended=False)
    if flags & OPCODE:
        return answer(nothing, NOT_DONE)
    found = _name(message, 12) if count == 1 else None
    if found is None or found[1] + 4 > len(message):
        return answer(nothing, MALFORMED)
    labels, end = found
    kind, network = struct.unpack_from("!HH", message, end)
    query = nothing._replace(
        name=_joined(labels),
        kind=kind,
        question=message[12 : end + 4],
        extended=additional > 0 and message[end + 4 : end + 7] == OPT[:3],
    )
    return query if network == INTERNET else answer(query, REFUSED)


def _name(message: bytes, at: int) -> tuple[list[bytes], int] | None:
    """The labels at a place of a message, and where they end; None for a pointer, what is cut off, what is too long."""
    labels: list[bytes] = []
    start = at
    while at < len(message) and at - start < 255:
        length = message[at]
        if length == 0:
            return labels, at + 1
        if length > 63:
            return None
        labels.append(message[at + 1 : at + 1 + length])
        at += 1 + length
    return None


def _joined(labels: list[bytes]) -> str:
    """A host's name in lower case; "" where one could not be called that."""
    text = b".".join(labels).decode("latin-1").lower()
    plain = all(labels) and not any(b"." in label for label in labels)
    return text if plain and len(text) <= LABELS and LETTERS.issuperset(text) else ""


def answer(query: Query, code: int, data: bytes = b"", *, lasts: int = 30) -> bytes:
    """The answer to a query. data: of a record of the kind that was asked for, b"" for none; lasts: in seconds."""
    flags = RESPONSE | AVAILABLE | query.flags & (OPCODE | DESIRED) | code
    record = b"\xc0\x0c" + struct.pack("!HHIH", query.kind, INTERNET, lasts, len(data)) + data if data else b""
    head = struct.pack("!HHHHHH", query.number, flags, bool(query.question), bool(data), 0, query.extended)
    return head + query.question + record + (OPT if query.extended else b"")


def packed(name: str) -> bytes:
    """A name as the data of a record has it."""
    labels = [label.encode("ascii") for label in name.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def reversed_address(name: str) -> tuple[int, int] | None:
    """(4 or 6, the address as a number) of a name below in-addr.arpa or ip6.arpa; None for any other."""
    labels = name.split(".")
    if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
        numbers = [int(one) if one.isdigit() and len(one) <= 3 else 256 for one in labels[3::-1]]
        return (4, int.from_bytes(bytes(numbers), "big")) if max(numbers) < 256 else None
    if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34 and all(len(one) == 1 for one in labels[:32]):
        digits = "".join(labels[31::-1])
        return (6, int(digits, 16)) if set(digits) <= set("0123456789abcdef") else None
    return None
