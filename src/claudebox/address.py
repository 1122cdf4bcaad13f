"""IP addresses and prefixes as numbers. Pure; imports only the nouns.

By hand: the standard ipaddress costs a launch 4 ms, of which it would use a hundredth.
"""

from __future__ import annotations

from claudebox.model import Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = {4: 32, 6: 128}


def packed(raw: bytes, length: int | None = None) -> Prefix:
    """The prefix of length bits (default: the address alone) around an address as the kernel carries it."""
    version = 4 if len(raw) == 4 else 6
    return prefix(version, int.from_bytes(raw, "big"), BITS[version] if length is None else length)


def prefix(version: int, value: int, length: int) -> Prefix:
    """The prefix of length bits around an address: what is behind them is cleared."""
    host = BITS[version] - length
    return Prefix(version=version, value=value >> host << host, length=length)


def single(version: int, value: int) -> Prefix:
    """One address."""
    return Prefix(version=version, value=value, length=BITS[version])


def parse(text: str) -> Prefix | None:
    """`10.0.0.0/8`, `::1`; None for anything else, a prefix with bits set behind it too."""
    address, slash, bits = text.partition("/")
    version, value = (6, _parse6(address)) if ":" in address else (4, _parse4(address))
    if value is None or (slash and not _is_number(bits, BITS[version])):
        return None
    length = int(bits) if slash else BITS[version]
    found = prefix(version, value, length)
    return found if found.value == value else None


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and str(int(text)) == text and int(text) <= most


def _parse4(text: str) -> int | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(_is_number(part, 255) for part in parts):
        return None
    return int.from_bytes(bytes(map(int, parts)), "big")


def _parse6(text: str) -> int | None:
    if "." in text:  # the last 32 bits may be written as IPv4
        head, colon, tail = text.rpartition(":")
        last = _parse4(tail)
        if last is None or not colon:
            return None
        text = f"{head}:{last >> 16:x}:{last & 0xFFFF:x}"
    left, gap, right = text.partition("::")
    groups = left.split(":") if left else []
    after = right.split(":") if right else []
    missing = 8 - len(groups) - len(after)
    if (missing < 1) if gap else missing:
        return None
    value = 0
    for group in [*groups, *["0"] * missing, *after]:
        if not 1 <= len(group) <= 4 or not set(group) <= set("0123456789abcdefABCDEF"):
            return None
        value = value << 16 | int(group, 16)
    return value


def text(one: Prefix) -> str:
    """As nft and a person write it; the length is left out of a single address."""
    shown = _text4(one.value) if one.version == 4 else _text6(one.value)
    return shown if one.length == BITS[one.version] else f"{shown}/{one.length}"


def _text4(value: int) -> str:
    return ".".join(map(str, value.to_bytes(4, "big")))


def _text6(value: int) -> str:
    """RFC 5952: the first of the longest runs of two and more zeros is `::`."""
    groups = [value >> shift & 0xFFFF for shift in range(112, -16, -16)]
    start, longest = 0, 1
    for first in range(8):
        run = 0
        while first + run < 8 and not groups[first + run]:
            run += 1
        if run > longest:
            start, longest = first, run
    words = [f"{group:x}" for group in groups]
    if longest == 1:
        return ":".join(words)
    return ":".join(words[:start]) + "::" + ":".join(words[start + longest :])


def contains(outer: Prefix, inner: Prefix) -> bool:
    """Whether every address of inner lies in outer."""
    if outer.version != inner.version or outer.length > inner.length:
        return False
    return prefix(inner.version, inner.value, outer.length).value == outer.value


def overlap(one: Prefix, other: Prefix) -> bool:
    """Whether the two have an address in common."""
    return contains(one, other) or contains(other, one)


def collapsed(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """The same addresses in the fewest prefixes, sorted, IPv4 first."""
    done: list[Prefix] = []
    for one in sorted(prefixes):
        if done and contains(done[-1], one):
            continue
        while done and _siblings(done[-1], one):
            one = prefix(one.version, one.value, one.length - 1)
            done.pop()
        done.append(one)
    return tuple(done)


def _siblings(one: Prefix, other: Prefix) -> bool:
    if (one.version, one.length) != (other.version, other.length) or not one.length:
        return False
    return one.value ^ other.value == 1 << (BITS[one.version] - one.length)


def size(prefixes: Iterable[Prefix]) -> int:
    """How many addresses lie in prefixes, each counted once; all of one version."""
    return sum(1 << (BITS[one.version] - one.length) for one in collapsed(prefixes))
