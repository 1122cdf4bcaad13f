"""Names of hosts in the form in which they are compared: lower-case A-labels (RFC 5890), and back for people."""

from __future__ import annotations

LONGEST, LONGEST_LABEL = 253, 63
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
# What IDNA 2003, which Python has, and IDNA 2008, which programs use, read as different names.
DIFFERENT = "ßς\u200c\u200d"


def normal(name: str) -> str:
    """The name as DNS carries it: lower case, A-labels, no dot at its end. Raises ValueError for what is no name.

    A name in letters beyond ASCII that the two editions of IDNA read differently is none: it has to be written as
    A-labels. What a program would take for an address (`1.2.3`, `0x7f.1`) is none either.
    """
    if not name.isascii():
        name = _encoded(name)
    name = name.removesuffix(".").lower()
    labels = name.split(".")
    if len(name) > LONGEST or not all(map(_is_label, labels)):
        raise ValueError("no name of a host")
    last = labels[-1]
    if last.isdigit() or last.startswith("0x") or "_" in last:
        raise ValueError("an address and no name")
    return name


def _is_label(label: str) -> bool:
    return 0 < len(label) <= LONGEST_LABEL and PLAIN.issuperset(label) and label[0] != "-" != label[-1]


def _encoded(name: str) -> str:
    if any(letter in name for letter in DIFFERENT):
        raise ValueError("a name that programs read differently: write it in its xn-- form")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("no name of a host") from None


def readable(name: str) -> str:
    """The name with its A-labels decoded, as a person wrote it; the same where one does not decode both ways."""
    if "xn--" not in name:
        return name
    try:
        decoded = name.encode("ascii").decode("idna")
        return decoded if normal(decoded) == name else name
    except ValueError:
        return name
